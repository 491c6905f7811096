//! Every metric of the status service.

use events::ConsumeMetrics;
use prometheus::{HistogramVec, IntCounterVec, Registry};
use telemetry::metrics::{SECONDS, counters, histograms};

/// Every metric of the status service.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Connections and statements.
    pub(crate) database: db::Metrics,
    /// The ledger's consumer.
    pub(crate) consume: ConsumeMetrics,
    /// Questions answered, by route and status code.
    pub(crate) requests: IntCounterVec,
    /// Seconds per question, by route.
    pub(crate) duration: HistogramVec,
    /// Questions answered without the ledger, by reason.
    pub(crate) without_ledger: IntCounterVec,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            database: db::Metrics::new(registry),
            consume: ConsumeMetrics::new(registry),
            requests: counters(
                registry,
                "kcidb_http_requests_total",
                "HTTP requests, by route and status code",
                &["method", "route", "status"],
            ),
            duration: histograms(
                registry,
                "kcidb_http_request_duration_seconds",
                "Time to answer an HTTP request",
                &["route"],
                SECONDS,
            ),
            without_ledger: counters(
                registry,
                "kcidb_status_without_ledger_total",
                "Questions answered from the spool alone because the ledger did not answer",
                &["reason"],
            ),
        }
    }
}
