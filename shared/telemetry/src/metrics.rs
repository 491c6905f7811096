//! Metrics: a registry per service, the shared buckets, and constructors that register what they make.

use std::{collections::HashSet, sync::Mutex};

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
    process_collector::ProcessCollector,
};

/// The buckets of every duration histogram, in seconds.
pub const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// The buckets of every size histogram, in bytes.
pub const BYTES: &[f64] = &[1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6, 16e6, 64e6, 256e6, 512e6];

/// How many origins have metrics of their own.
pub const ORIGINS: usize = 1000;

/// The origins that have metrics of their own: labels come from strangers, and must not fill the memory.
#[derive(Debug, Default)]
pub struct Origins(Mutex<HashSet<String>>);

impl Origins {
    /// The label of an origin: itself, or `other` when it is not known or there are too many.
    pub fn label(&self, origin: &str) -> String {
        let mut origins = self.0.lock().expect("no panic happens under this lock");
        if origin.is_empty() || (origins.len() >= ORIGINS && !origins.contains(origin)) {
            return "other".to_owned();
        }
        if !origins.contains(origin) {
            origins.insert(origin.to_owned());
        }
        origin.to_owned()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_do_not_grow_without_end() {
        let origins = Origins::default();
        for number in 0..ORIGINS {
            assert_eq!(origins.label(&format!("lab{number}")), format!("lab{number}"));
        }
        assert_eq!((origins.label("one more").as_str(), origins.label("lab7").as_str()), ("other", "lab7"));
        assert_eq!(Origins::default().label(""), "other");
    }
}
