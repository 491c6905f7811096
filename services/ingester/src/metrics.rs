//! Every metric of the ingester.

use std::sync::Arc;

use events::{ConsumeMetrics, PublishMetrics};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use telemetry::metrics::{Family, Label, Names, Registry, SECONDS, counter, counters, histograms, origin};

use crate::follow::Refused;

/// Every metric of the ingester.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Connections and statements.
    pub(crate) database: db::Metrics,
    /// The queue of submissions.
    pub(crate) consume: ConsumeMetrics,
    /// What is announced.
    pub(crate) publish: PublishMetrics,
    /// The origins that have metrics of their own.
    pub(crate) origins: Arc<Names>,
    /// Submissions finished, by origin, outcome (ingested, rejected) and reason.
    pub(crate) submissions: IntCounterVec,
    /// The same, as existing dashboards read it: submissions loaded.
    pub(crate) ingestions: IntCounter,
    /// Objects loaded, by kind and origin.
    pub(crate) objects: IntCounterVec,
    /// Faults of rejected documents, by origin and code.
    pub(crate) faults: IntCounterVec,
    /// Seconds from the gateway's answer to the commit.
    pub(crate) end_to_end: HistogramVec,
    /// Submissions per transaction.
    pub(crate) batch_submissions: Histogram,
    /// Transactions repeated, by kind of error.
    pub(crate) database_retries: IntCounterVec,
    /// Files that no event announced.
    pub(crate) swept: IntCounter,
}

/// Every metric of the ingester as it is declared at the start, for the page about them.
pub fn metric_families() -> Vec<Family> {
    let registry = telemetry::metrics::registry("ingester");
    Metrics::new(&registry);
    registry.families()
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let outcome = Label::words("outcome", ["ingested", "rejected"]);
        let reason = Label::words("reason", Refused::CODES.into_iter().chain([""]));
        let kind = Label::words("kind", ["checkout", "build", "test", "issue", "incident"]);
        let rule = Label::limited("rule", "a code of [faults.md](faults.md)");
        Self {
            database: db::Metrics::new(registry),
            consume: ConsumeMetrics::new(registry),
            publish: PublishMetrics::new(registry),
            origins: Arc::new(Names::of_origins()),
            submissions: counters(
                registry,
                "kcidb_submissions_finished_total",
                "Submissions finished, by origin, outcome and reason",
                &[origin(), outcome, reason],
            ),
            ingestions: counter(
                registry,
                "kcidb_ingestions_total",
                "Total number of submissions loaded, under the name of the existing system",
            ),
            objects: counters(
                registry,
                "kcidb_ingested_objects_total",
                "Objects loaded, by kind and origin of the submission",
                &[kind, origin()],
            ),
            faults: counters(
                registry,
                "kcidb_schema_faults_total",
                "Faults of rejected documents, by origin and rule",
                &[origin(), rule],
            ),
            end_to_end: histograms(
                registry,
                "kcidb_submission_end_to_end_seconds",
                "Time from receiving a submission to its commit",
                &[origin()],
                SECONDS,
            ),
            batch_submissions: histograms(
                registry,
                "kcidb_batch_submissions",
                "Submissions loaded in one transaction",
                &[],
                &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0],
            )
            .with_label_values::<&str>(&[]),
            database_retries: counters(
                registry,
                "kcidb_db_retries_total",
                "Transactions repeated, by kind of error",
                &[Label::words("kind", ["conflict", "outage"])],
            ),
            swept: counter(registry, "kcidb_swept_files_total", "Waiting files that no event announced"),
        }
    }
}
