//! Metrics: a registry per service, the shared buckets, and constructors that register what they make.

mod registry;

use std::{collections::HashSet, sync::Mutex};

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, PullingGauge, core::Collector,
    process_collector::ProcessCollector,
};
use tokio::runtime::{Handle, RuntimeMetrics};

pub use registry::{Family, Label, Registry};

/// The commit that the program is built from, where whoever builds it says so.
const REVISION: &str = match option_env!("KCIDB_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The buckets of every duration histogram, in seconds.
pub const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The buckets of every size histogram, in bytes.
pub const BYTES: &[f64] = &[1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6, 16e6, 64e6, 256e6, 512e6];

/// How many origins have metrics of their own.
pub const ORIGINS: usize = 1000;
/// The bytes of the longest name that has metrics of its own.
pub const LONGEST_NAME: usize = 256;

/// The names that have metrics of their own, of a label whose values come from strangers and must not fill the memory.
#[derive(Debug)]
pub struct Names {
    most: usize,
    known: Mutex<HashSet<String>>,
}

impl Names {
    /// So many names at most.
    pub fn at_most(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// Those of origins.
    pub fn of_origins() -> Self {
        Self::at_most(ORIGINS)
    }

    /// The label of a name: itself, or `other` when there is none, it is too long, or there are too many.
    pub fn label(&self, name: &str) -> String {
        let mut known = self.known.lock().expect("no panic happens under this lock");
        if name.is_empty() || name.len() > LONGEST_NAME || (known.len() >= self.most && !known.contains(name)) {
            return "other".to_owned();
        }
        if !known.contains(name) {
            known.insert(name.to_owned());
        }
        name.to_owned()
    }
}

/// The label of an origin, whose values are of [`Names::of_origins`].
pub fn origin() -> Label {
    let values = format!(
        "{ORIGINS} origins at most, of {LONGEST_NAME} bytes at most; `other` is all others together; nothing where none is known"
    );
    Label::limited("origin", &values)
}

/// A registry with what every service exports: figures of the process and the runtime, and `kcidb_build_info`.
pub fn registry(service: &str) -> Registry {
    let registry = Registry::default();
    registry.add(ProcessCollector::for_self(), &[]);
    of_runtime(&registry, "tokio_workers", "Threads of the asynchronous runtime", RuntimeMetrics::num_workers);
    of_runtime(
        &registry,
        "tokio_alive_tasks",
        "Asynchronous tasks that are not finished",
        RuntimeMetrics::num_alive_tasks,
    );
    of_runtime(
        &registry,
        "tokio_global_queue_depth",
        "Asynchronous tasks that wait for any thread of the runtime",
        RuntimeMetrics::global_queue_depth,
    );
    let labels = [
        Label::limited("version", "that of the program"),
        Label::limited("revision", "the commit of the program, or `unknown`"),
        Label::limited("service", "the service"),
    ];
    let info = gauges(&registry, "kcidb_build_info", "Version of the running program", &labels);
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION, service]).set(1);
    registry
}

/// A gauge of the runtime that the registry's owner is asked in.
fn of_runtime(registry: &Registry, name: &str, help: &str, figure: fn(&RuntimeMetrics) -> usize) {
    #[expect(clippy::cast_precision_loss, reason = "nobody has that many tasks")]
    let ask = move || Handle::try_current().map_or(0.0, |runtime| figure(&runtime.metrics()) as f64);
    registry.add(PullingGauge::new(name, help, Box::new(ask)).expect("a valid name"), &[]);
}

fn declared<T: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<T>, labels: &[Label]) -> T {
    let metric = metric.expect("metric names and labels are constants that are valid");
    registry.add(metric.clone(), labels);
    metric
}

fn names(labels: &[Label]) -> Vec<&'static str> {
    labels.iter().map(|label| label.name).collect()
}

/// A counter.
pub fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    declared(registry, IntCounter::new(name, help), &[])
}

/// A counter with labels.
pub fn counters(registry: &Registry, name: &str, help: &str, labels: &[Label]) -> IntCounterVec {
    declared(registry, IntCounterVec::new(Opts::new(name, help), &names(labels)), labels)
}

/// A gauge.
pub fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    declared(registry, IntGauge::new(name, help), &[])
}

/// A gauge with labels.
pub fn gauges(registry: &Registry, name: &str, help: &str, labels: &[Label]) -> IntGaugeVec {
    declared(registry, IntGaugeVec::new(Opts::new(name, help), &names(labels)), labels)
}

/// A histogram with labels and the given buckets ([`SECONDS`] or [`BYTES`]).
pub fn histograms(registry: &Registry, name: &str, help: &str, labels: &[Label], buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    declared(registry, HistogramVec::new(options, &names(labels)), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_grow_without_end() {
        let origins = Names::of_origins();
        let long = "l".repeat(LONGEST_NAME + 1);
        assert_eq!((origins.label("").as_str(), origins.label(&long).as_str()), ("other", "other"));
        for number in 0..ORIGINS {
            assert_eq!(origins.label(&format!("lab{number}")), format!("lab{number}"));
        }
        assert_eq!((origins.label("one more").as_str(), origins.label("lab7").as_str()), ("other", "lab7"));
    }

    #[tokio::test]
    async fn the_runtime_is_asked_when_its_figures_are_wanted() {
        let registry = registry("test");
        let value = |name: &str| {
            let families = registry.gather();
            families.iter().find(|family| family.name() == name).expect("a family").get_metric()[0]
                .get_gauge()
                .get_value()
        };
        let (workers, before) = (value("tokio_workers"), value("tokio_alive_tasks"));
        let task = tokio::spawn(std::future::pending::<()>());
        assert!(workers >= 1.0);
        assert!((value("tokio_alive_tasks") - before - 1.0).abs() < f64::EPSILON);
        task.abort();
    }
}
