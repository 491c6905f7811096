//! Every metric of the status service.

use api::RequestMetrics;
use events::ConsumeMetrics;
use prometheus::IntCounterVec;
use telemetry::metrics::{Family, Label, Registry, counters};

/// Every metric of the status service.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Connections and statements.
    pub(crate) database: db::Metrics,
    /// The ledger's consumer.
    pub(crate) consume: ConsumeMetrics,
    /// Questions.
    pub(crate) requests: RequestMetrics,
    /// Questions answered without the ledger, by reason.
    pub(crate) without_ledger: IntCounterVec,
}

/// Every metric of the status service as it is declared at the start, for the page about them.
pub fn metric_families() -> Vec<Family> {
    let registry = telemetry::metrics::registry("status");
    Metrics::new(&registry);
    registry.families()
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            database: db::Metrics::new(registry),
            consume: ConsumeMetrics::new(registry),
            requests: RequestMetrics::new(registry),
            without_ledger: counters(
                registry,
                "kcidb_status_without_ledger_total",
                "Questions answered from the spool alone because the ledger did not answer",
                &[Label::words("reason", ["error", "timeout"])],
            ),
        }
    }
}
