//! A registry that knows what is in it also before there is anything to count: Prometheus is not shown a metric with
//! labels until then.

use std::sync::{Arc, Mutex};

use prometheus::{
    core::Collector,
    proto::{MetricFamily, MetricType},
};

/// The metrics of one service; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    collectors: prometheus::Registry,
    families: Arc<Mutex<Vec<Family>>>,
}

/// What there is to know of a metric without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its name; histograms have three series for it, which end in `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, in the order in which values are given.
    pub labels: Vec<Label>,
    /// What it says, as Prometheus is told.
    pub help: String,
}

/// A label, and what its values can be: they may not grow without end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What its values can be, in Markdown.
    pub values: String,
}

impl Label {
    /// Its values are these words; the empty one stands for nothing.
    pub fn words<'w>(name: &'static str, words: impl IntoIterator<Item = &'w str>) -> Self {
        let word = |word: &str| if word.is_empty() { "nothing".to_owned() } else { format!("`{word}`") };
        Self { name, values: words.into_iter().map(word).collect::<Vec<_>>().join(", ") }
    }

    /// Its values are limited in another way, which is said in Markdown.
    pub fn limited(name: &'static str, values: &str) -> Self {
        Self { name, values: values.to_owned() }
    }
}

impl Registry {
    /// Adds a collector whose families all have these labels.
    pub fn add(&self, collector: impl Collector + 'static, labels: &[Label]) {
        let names = super::names(labels);
        debug_assert!(collector.desc().iter().all(|described| described.variable_labels == names), "{names:?}");
        let added = collector.collect();
        self.lock().extend(added.iter().map(|family| Family::of(family, labels)));
        self.collectors
            .register(Box::new(collector))
            .expect("every metric of a service is declared once, with a valid name");
    }

    /// What there is to count now.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.collectors.gather()
    }

    /// Everything that was added, by name.
    pub fn families(&self) -> Vec<Family> {
        let mut families = self.lock().clone();
        families.sort_by(|one, other| one.name.cmp(&other.name));
        families
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Family>> {
        self.families.lock().expect("no panic happens under this lock")
    }
}

impl Family {
    fn of(family: &MetricFamily, labels: &[Label]) -> Self {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY => "summary",
            MetricType::UNTYPED => "untyped",
        };
        Self { name: family.name().to_owned(), kind, labels: labels.to_vec(), help: family.help().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{SECONDS, counters, gauge, histograms};

    #[test]
    fn what_is_declared_is_known_before_there_is_anything_to_count() {
        let registry = Registry::default();
        let labels = [Label::words("outcome", ["done", ""]), Label::limited("queue", "a queue of ours")];
        let done = counters(&registry, "done_total", "What is done", &labels);
        histograms(&registry, "a_seconds", "How long it takes", &labels[1..], SECONDS);
        gauge(&registry, "size", "How large it is");
        let told = registry.families().into_iter().map(|family| (family.name, family.kind, family.labels.len()));
        let expected = [("a_seconds", "histogram", 1), ("done_total", "counter", 2), ("size", "gauge", 0)];
        assert!(told.eq(expected.map(|(name, kind, count)| (name.to_owned(), kind, count))));
        assert_eq!(registry.families()[1].labels[0].values, "`done`, nothing");
        assert_eq!(registry.families()[1].help, "What is done");

        assert_eq!(registry.gather().len(), 1, "only the gauge has a value");
        done.with_label_values(&["done", "q"]).inc();
        assert_eq!(registry.gather().len(), 2);
    }
}
