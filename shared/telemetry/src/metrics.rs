//! Metrics: a registry per service, the shared buckets, and constructors that register what they make.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
    process_collector::ProcessCollector,
};

/// The buckets of every duration histogram, in seconds.
pub const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The buckets of every size histogram, in bytes.
pub const BYTES: &[f64] = &[1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6, 16e6, 64e6, 256e6, 512e6];

/// A registry with what every service exports: process figures and `kcidb_build_info`.
pub fn registry(service: &str) -> Registry {
    let registry = Registry::new();
    add(&registry, ProcessCollector::for_self());
    let info = gauges(&registry, "kcidb_build_info", "Version of the running program", &["version", "service"]);
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), service]).set(1);
    registry
}

fn add(registry: &Registry, collector: impl Collector + 'static) {
    registry.register(Box::new(collector)).expect("every metric of a service is declared once, with a valid name");
}

fn declared<T: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<T>) -> T {
    let metric = metric.expect("metric names and labels are constants that are valid");
    add(registry, metric.clone());
    metric
}

/// A counter.
pub fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    declared(registry, IntCounter::new(name, help))
}

/// A counter with labels.
pub fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    declared(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

/// A gauge.
pub fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    declared(registry, IntGauge::new(name, help))
}

/// A gauge with labels.
pub fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    declared(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram with labels and the given buckets ([`SECONDS`] or [`BYTES`]).
pub fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    declared(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}
