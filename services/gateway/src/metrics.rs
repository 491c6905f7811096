//! Every metric of the gateway: those of spec ops.md 14 on the admin port, and the old daemon's on `/metrics`.

use std::{fmt::Write as _, time::Instant};

use api::RequestMetrics;
use events::PublishMetrics;
use prometheus::{
    HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, core::Collector, proto::MetricFamily,
};
use spool::Usage;
use telemetry::metrics::{BYTES, Family, Label, Names, Registry, counter, counters, gauge, gauges, histograms, origin};

use crate::OriginPolicy;

/// What the old daemon exports (spec rest-and-spool 5): names, types and help texts, in its order.
const OLD: [(&str, &str, &str); 8] = [
    ("kcidb_submissions_total", "counter", "Total number of submissions received"),
    ("kcidb_submission_size_total", "counter", "Total size of all submissions received in bytes"),
    ("kcidb_errors_total", "counter", "Total number of errors encountered"),
    ("kcidb_system_errors_total", "counter", "Total number of system errors encountered"),
    ("kcidb_user_errors_total", "counter", "Total number of user errors encountered"),
    ("kcidb_json_files", "gauge", "Total number of JSON files in the spool directory"),
    (BY_ORIGIN, "counter", "Total submissions received per origin"),
    ("kcidb_uptime_seconds", "gauge", "Uptime of the server in seconds"),
];
/// The only one of them with a label.
const BY_ORIGIN: &str = "kcidb_submissions_by_origin";

/// Every metric of the gateway; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Events published.
    pub(crate) publish: PublishMetrics,
    /// HTTP requests.
    pub(crate) requests: RequestMetrics,
    /// Submissions by origin, outcome and reason.
    submissions: IntCounterVec,
    /// Submissions with objects of an origin that their tokens may not speak for, by what the policy was.
    origin_mismatches: IntCounterVec,
    /// Bytes per accepted submission, by origin.
    submission_bytes: HistogramVec,
    /// When the last submission of an origin was accepted.
    last_submission: IntGaugeVec,
    /// Events that could not be kept in memory while the broker was away.
    pub(crate) publish_deferred: IntCounter,
    /// Spool files, bytes and age of the oldest, by state.
    spool_files: IntGaugeVec,
    spool_bytes: IntGaugeVec,
    spool_oldest: IntGaugeVec,
    spool_free: IntGauge,
    /// The free space below which nothing is accepted.
    pub(crate) spool_limit: IntGauge,
    old: std::sync::Arc<Old>,
}

/// The counters that the old daemon has (spec rest-and-spool 5).
#[derive(Debug)]
struct Old {
    started: Instant,
    submissions: IntCounter,
    bytes: IntCounter,
    errors: IntCounter,
    user_errors: IntCounter,
    system_errors: IntCounter,
    by_origin: IntCounterVec,
    /// The labels in use.
    origins: Names,
}

/// Every metric of the gateway's admin port as it is declared at the start, for the page about them.
pub fn metric_families() -> Vec<Family> {
    let registry = telemetry::metrics::registry("gateway");
    Metrics::new(&registry);
    registry.families()
}

/// Every metric of the old daemon, as on the traffic port.
pub fn old_metric_families() -> Vec<Family> {
    let family = |(name, kind, help): (&str, _, &str)| {
        let labels = if name == BY_ORIGIN { vec![origin()] } else { Vec::new() };
        Family { name: name.into(), kind, labels, help: help.into() }
    };
    OLD.map(family).into()
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let r = registry;
        let outcome = Label::words("outcome", ["accepted", "rejected", "unauthorized", "too_large", "unavailable"]);
        let reason = Label::limited("reason", "the `code` of the answer, or nothing");
        let policies = [OriginPolicy::Warn, OriginPolicy::Enforce].map(OriginPolicy::as_str);
        let state = |states: &[&str]| [Label::words("state", states.iter().copied())];
        Self {
            publish: PublishMetrics::new(r),
            requests: RequestMetrics::new(r),
            submissions: counters(
                r,
                "kcidb_submissions_total",
                "Submissions, by origin, outcome and reason",
                &[origin(), outcome, reason],
            ),
            origin_mismatches: counters(
                r,
                "kcidb_origin_mismatches_total",
                "Submissions with objects of an origin that the token may not speak for, by policy",
                &[Label::words("policy", policies)],
            ),
            submission_bytes: histograms(
                r,
                "kcidb_submission_size_bytes",
                "Size of accepted submissions",
                &[origin()],
                BYTES,
            ),
            last_submission: gauges(
                r,
                "kcidb_origin_last_submission_timestamp_seconds",
                "When the last submission of an origin was accepted",
                &[origin()],
            ),
            publish_deferred: counter(
                r,
                "kcidb_publish_deferred_total",
                "Events that did not fit into memory while the broker was away, and are made again from the spool",
            ),
            spool_files: gauges(r, "kcidb_spool_files", "Files in the spool", &state(&["ready", "incoming", "failed"])),
            spool_bytes: gauges(r, "kcidb_spool_bytes", "Bytes in the spool", &state(&["ready", "incoming"])),
            spool_oldest: gauges(r, "kcidb_spool_oldest_seconds", "Age of the oldest file", &state(&["ready"])),
            spool_free: gauge(r, "kcidb_spool_free_bytes", "Free space of the spool's file system"),
            spool_limit: gauge(r, "kcidb_spool_limit_bytes", "Free space below which nothing is accepted"),
            old: std::sync::Arc::new(Old::new(r)),
        }
    }

    /// A submission was accepted.
    pub(crate) fn accepted(&self, origin: &str, bytes: u64) {
        let origin = self.old.label(origin);
        self.old.submissions.inc();
        self.old.bytes.inc_by(bytes);
        self.old.by_origin.with_label_values(&[&origin]).inc();
        self.submissions.with_label_values(&[origin.as_str(), "accepted", ""]).inc();
        #[expect(clippy::cast_precision_loss, reason = "a histogram's bucket does not need the last digit")]
        self.submission_bytes.with_label_values(&[&origin]).observe(bytes as f64);
        self.last_submission.with_label_values(&[&origin]).set(chrono::Utc::now().timestamp());
    }

    /// A submission was not accepted; the origin is that of its token, if that was good.
    pub(crate) fn refused(&self, origin: Option<&str>, error: &api::Error) {
        use api::Error as E;
        let outcome = match error {
            E::AuthRequired | E::AuthInvalid(_) | E::AuthExpired => {
                self.old.errors.inc();
                "unauthorized"
            }
            E::JsonInvalid(_) => {
                self.old.user_errors.inc();
                "rejected"
            }
            E::TooLarge(_) => "too_large",
            E::Overloaded(_) | E::ShuttingDown | E::StorageFull => "unavailable",
            E::Internal => {
                self.old.system_errors.inc();
                "unavailable"
            }
            _ => "rejected",
        };
        let origin = origin.map(|origin| self.old.label(origin)).unwrap_or_default();
        self.submissions.with_label_values(&[origin.as_str(), outcome, error.code()]).inc();
    }

    /// A submission had an object of an origin that its token may not speak for.
    pub(crate) fn origin_mismatch(&self, policy: OriginPolicy) {
        self.origin_mismatches.with_label_values(&[policy.as_str()]).inc();
    }

    /// What the old daemon counts as the user's error on `/status` and `/authtest`.
    pub(crate) fn user_error(&self) {
        self.old.user_errors.inc();
    }

    /// How full the spool is.
    pub(crate) fn spool(&self, usage: &Usage) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.spool_files.with_label_values(&["ready"]).set(gauge(usage.files));
        self.spool_files.with_label_values(&["incoming"]).set(gauge(usage.uploads));
        self.spool_files.with_label_values(&["failed"]).set(gauge(usage.failed));
        self.spool_bytes.with_label_values(&["ready"]).set(gauge(usage.bytes));
        self.spool_bytes.with_label_values(&["incoming"]).set(gauge(usage.incoming_bytes));
        self.spool_oldest.with_label_values(&["ready"]).set(gauge(usage.oldest.as_secs()));
        self.spool_free.set(gauge(usage.free_bytes));
    }

    /// The text of the old daemon's `/metrics`: its names, its types, its help texts, integers only.
    pub(crate) fn old_text(&self, json_files: u64) -> String {
        self.old.text(json_files)
    }
}

impl Old {
    /// Those whose names are free are on the admin port, too.
    fn new(registry: &Registry) -> Self {
        Self {
            started: Instant::now(),
            submissions: IntCounter::new("accepted", "not exported under this name").expect("a valid name"),
            bytes: counter(registry, "kcidb_submission_size_total", "Total size of all submissions received in bytes"),
            errors: counter(registry, "kcidb_errors_total", "Total number of errors encountered"),
            user_errors: counter(registry, "kcidb_user_errors_total", "Total number of user errors encountered"),
            system_errors: counter(registry, "kcidb_system_errors_total", "Total number of system errors encountered"),
            by_origin: counters(registry, BY_ORIGIN, "Total submissions received per origin", &[origin()]),
            origins: Names::of_origins(),
        }
    }

    fn label(&self, origin: &str) -> String {
        let label = label(origin);
        if label.is_empty() { label } else { self.origins.label(&label) }
    }

    fn text(&self, json_files: u64) -> String {
        let one = |value: u64| vec![(String::new(), value)];
        let samples = [
            one(self.submissions.get()),
            one(self.bytes.get()),
            one(self.errors.get()),
            one(self.system_errors.get()),
            one(self.user_errors.get()),
            one(json_files),
            self.by_origin(),
            one(self.started.elapsed().as_secs()),
        ];
        let mut text = String::new();
        for ((name, kind, help), samples) in OLD.iter().zip(samples) {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }

    /// Labels and values, sorted by origin.
    fn by_origin(&self) -> Vec<(String, u64)> {
        let families = self.by_origin.collect();
        let samples = families.iter().flat_map(MetricFamily::get_metric);
        let mut origins: Vec<_> = samples
            .filter_map(|sample| {
                let origin = sample.get_label().first()?.value().to_owned();
                let count = self.by_origin.with_label_values(&[&origin]).get();
                Some((format!("{{origin=\"{origin}\"}}"), count))
            })
            .collect();
        origins.sort_unstable();
        origins
    }
}

/// The old daemon's label of an origin: lower case, every run of anything but ASCII letters and digits one `_`, none at
/// the ends.
fn label(origin: &str) -> String {
    let words = origin.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(&Registry::default())
    }

    #[test]
    fn an_origin_becomes_a_label_as_in_the_old_daemon() {
        assert_eq!(label("-My--Conf Lab!x-"), "my_conf_lab_x");
        assert_eq!(label("maestro"), "maestro");
        assert_eq!(label("日本"), "");
        assert_eq!(label("a_é_b"), "a_b");
    }

    #[test]
    fn the_old_text_has_every_family_even_before_the_first_submission() {
        let text = metrics().old_text(7);
        assert!(text.contains(
            "# HELP kcidb_submissions_by_origin Total submissions received per origin\n\
             # TYPE kcidb_submissions_by_origin counter\n\
             # HELP kcidb_uptime_seconds Uptime of the server in seconds\n"
        ));
        assert!(text.contains("# TYPE kcidb_json_files gauge\nkcidb_json_files 7\n"), "{text}");
    }

    #[test]
    fn what_counts_where() {
        let metrics = metrics();
        metrics.accepted("Lab B", 5);
        metrics.accepted("a", 6);
        metrics.refused(None, &api::Error::AuthRequired);
        metrics.refused(Some("a"), &api::Error::JsonInvalid("x at line 1 column 1".into()));
        metrics.refused(Some("a"), &api::Error::Utf8Invalid("x".into()));
        metrics.refused(Some("a"), &api::Error::TooLarge(1));
        metrics.refused(Some("a"), &api::Error::Internal);
        let text = metrics.old_text(0);
        for line in [
            "kcidb_submissions_total 2",
            "kcidb_submission_size_total 11",
            "kcidb_errors_total 1",
            "kcidb_user_errors_total 1",
            "kcidb_system_errors_total 1",
            "kcidb_submissions_by_origin{origin=\"a\"} 1\nkcidb_submissions_by_origin{origin=\"lab_b\"} 1",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in\n{text}");
        }
        let refused = |outcome, reason| metrics.submissions.with_label_values(&["a", outcome, reason]).get();
        assert_eq!(refused("too_large", "too_large"), 1);
        assert_eq!(refused("rejected", "utf8_invalid"), 1);
    }

    #[test]
    fn labels_do_not_grow_without_end() {
        let metrics = metrics();
        for number in 0..telemetry::metrics::ORIGINS + 10 {
            metrics.accepted(&format!("origin{number}"), 1);
        }
        assert!(metrics.old_text(0).contains("{origin=\"other\"} 10\n"));
    }
}
