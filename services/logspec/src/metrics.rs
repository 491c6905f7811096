//! Every metric of the log worker.

use std::sync::Arc;

use db::logs::Outcome;
use events::{ConsumeMetrics, PublishMetrics};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use telemetry::metrics::{BYTES, Family, Label, Names, Registry, SECONDS, counter, counters, histograms};

/// How many classes of errors have metrics of their own: some are words of the log.
const CLASSES: usize = 100;

/// Every metric of the log worker.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Connections and statements.
    pub(crate) database: db::Metrics,
    /// The queues of failed nodes and of requests.
    pub(crate) consume: ConsumeMetrics,
    /// What is announced.
    pub(crate) publish: PublishMetrics,
    /// Fetches by outcome (fetched, cached, failed) and reason.
    pub(crate) fetches: IntCounterVec,
    /// Bytes of fetched logs, as they are sent.
    pub(crate) fetch_bytes: Histogram,
    /// Seconds that fetches took.
    pub(crate) fetch_duration: Histogram,
    /// Seconds from the file to the findings, by parser.
    pub(crate) analysis_duration: HistogramVec,
    /// The classes of errors that have metrics of their own.
    pub(crate) classes: Arc<Names>,
    /// Findings by parser and class.
    pub(crate) findings: IntCounterVec,
    /// Issues found, by whether they were new or known.
    pub(crate) issues: IntCounterVec,
    /// Incidents written.
    pub(crate) incidents: IntCounter,
    /// Nodes finished, by outcome and reason.
    pub(crate) logs: IntCounterVec,
    /// Transactions repeated, by kind of error.
    pub(crate) database_retries: IntCounterVec,
    /// Nodes that no event told of.
    pub(crate) swept: IntCounter,
}

/// Every metric of the log worker as it is declared at the start, for the page about them.
pub fn metric_families() -> Vec<Family> {
    let registry = telemetry::metrics::registry("logspec");
    Metrics::new(&registry);
    registry.families()
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let histogram =
            |name, help, buckets| histograms(registry, name, help, &[], buckets).with_label_values::<&str>(&[]);
        let parser = Label::words("parser", logspec::ALL.iter().map(|parser| parser.name));
        let error_type = format!("{CLASSES} classes of errors at most; `other` is all others together");
        let error_type = Label::limited("error_type", &error_type);
        let reason = Label::limited("reason", "a reason of [log-worker.md](log-worker.md), or nothing");
        let outcome = Label::words("outcome", ["fetched", "cached", "failed"]);
        let ended = Label::words("outcome", Outcome::ALL.map(Outcome::as_str));
        Self {
            database: db::Metrics::new(registry),
            consume: ConsumeMetrics::new(registry),
            publish: PublishMetrics::new(registry),
            fetches: counters(
                registry,
                "kcidb_log_fetch_total",
                "Logs asked for, by outcome and reason",
                &[outcome, reason.clone()],
            ),
            fetch_bytes: histogram("kcidb_log_fetch_bytes", "Size of fetched logs as they are sent", BYTES),
            fetch_duration: histogram("kcidb_log_fetch_duration_seconds", "Time to fetch a log", SECONDS),
            analysis_duration: histograms(
                registry,
                "kcidb_log_analysis_duration_seconds",
                "Time to unpack and analyse a log",
                std::slice::from_ref(&parser),
                SECONDS,
            ),
            classes: Arc::new(Names::at_most(CLASSES)),
            findings: counters(
                registry,
                "kcidb_findings_total",
                "Errors found in logs, by parser and class",
                &[parser, error_type],
            ),
            issues: counters(
                registry,
                "kcidb_issues_total",
                "Issues found in logs: new or known",
                &[Label::words("state", ["new", "known"])],
            ),
            incidents: counter(registry, "kcidb_incidents_total", "Incidents found in logs that were not known"),
            logs: counters(
                registry,
                "kcidb_logs_total",
                "Logs of nodes finished, by outcome and reason",
                &[ended, reason],
            ),
            database_retries: counters(
                registry,
                "kcidb_db_retries_total",
                "Transactions repeated, by kind of error",
                &[Label::words("kind", ["conflict", "outage"])],
            ),
            swept: counter(registry, "kcidb_swept_nodes_total", "Failed nodes that no event told of"),
        }
    }
}
