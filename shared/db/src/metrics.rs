//! What the connections of a service count (spec ops.md 14).

use std::{
    fmt::{self, Write as _},
    sync::{Arc, OnceLock},
    time::Instant,
};

use diesel::connection::{Instrumentation, InstrumentationEvent};
use prometheus::{
    Histogram, HistogramVec, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use telemetry::metrics::{Label, Registry, SECONDS, histograms};

/// The tables that statements are counted by; any other is `other`.
const TABLES: [&str; 12] = [
    "builds",
    "checkouts",
    "incidents",
    "issues",
    "kcidb_ng.logs",
    "kcidb_ng.submission_logs",
    "kcidb_ng.submissions",
    "latest_checkout",
    "pending_builds",
    "pending_test",
    "tests",
    "tree_listing",
];
/// What a statement does: the first of these words that is in it.
const VERBS: [(&str, &str); 4] =
    [("INSERT", "insert"), ("DELETE", "delete"), ("UPDATE", "update"), ("SELECT", "select")];
/// As much of a statement is looked at.
const LOOKED_AT: usize = 4096;

/// The connections that a pool may have, and those in use.
type Count = Box<dyn Fn() -> (usize, usize) + Send + Sync>;

/// What a pool and its connections count; for one pool.
#[derive(Clone)]
pub struct Metrics {
    pool: Arc<OnceLock<Count>>,
    pub(crate) wait: Histogram,
    queries: HistogramVec,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Declares them in a service's registry.
    pub fn new(registry: &Registry) -> Self {
        let gauge = |name, help| IntGauge::new(name, help).expect("a valid name");
        let pool: Arc<OnceLock<Count>> = Arc::default();
        let connections = Connections {
            pool: pool.clone(),
            size: gauge("kcidb_db_pool_size", "Connections to the database that are allowed"),
            in_use: gauge("kcidb_db_pool_in_use", "Connections to the database in use"),
        };
        registry.add(connections, &[]);
        let statement =
            "what is done to which of our tables, such as `insert tests`, or `begin`, `commit`, `rollback`, `other`";
        Self {
            pool,
            wait: histograms(
                registry,
                "kcidb_db_pool_wait_seconds",
                "Time to get a connection to the database",
                &[],
                SECONDS,
            )
            .with_label_values::<&str>(&[]),
            queries: histograms(
                registry,
                "kcidb_db_query_duration_seconds",
                "Time of a statement of the database, by what it does and the table",
                &[Label::limited("statement", statement)],
                SECONDS,
            ),
        }
    }

    /// Where the pool's figures come from.
    pub(crate) fn watch_pool(&self, count: impl Fn() -> (usize, usize) + Send + Sync + 'static) {
        let first = self.pool.set(Box::new(count));
        debug_assert!(first.is_ok(), "for one pool");
    }

    /// What the connections tell their statements to.
    pub(crate) fn statements(&self) -> Statements {
        Statements(self.queries.clone())
    }
}

/// Asks the pool when the figures are wanted.
struct Connections {
    pool: Arc<OnceLock<Count>>,
    size: IntGauge,
    in_use: IntGauge,
}

impl Collector for Connections {
    fn desc(&self) -> Vec<&Desc> {
        [self.size.desc(), self.in_use.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(count) = self.pool.get() {
            let (size, in_use) = count();
            self.size.set(i64::try_from(size).unwrap_or(i64::MAX));
            self.in_use.set(i64::try_from(in_use).unwrap_or(i64::MAX));
        }
        [self.size.collect(), self.in_use.collect()].concat()
    }
}

/// Seconds by statement.
#[derive(Clone)]
pub(crate) struct Statements(HistogramVec);

impl Statements {
    /// For one connection.
    pub(crate) fn stopwatch(&self) -> impl Instrumentation + use<> {
        Stopwatch { queries: self.0.clone(), started: None }
    }
}

struct Stopwatch {
    queries: HistogramVec,
    started: Option<(String, Instant)>,
}

impl Instrumentation for Stopwatch {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                let mut sql = Sql::default();
                // It ends with an error on purpose: the values are not wanted.
                let _ = write!(sql, "{query}");
                self.started = Some((label(&sql.0), Instant::now()));
            }
            InstrumentationEvent::FinishQuery { .. } => {
                if let Some((label, started)) = self.started.take() {
                    self.queries.with_label_values(&[label]).observe(started.elapsed().as_secs_f64());
                }
            }
            _ => {}
        }
    }
}

/// The text of a statement without its values, which may be megabytes.
#[derive(Default)]
struct Sql(String);

impl fmt::Write for Sql {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.starts_with(" -- binds") || self.0.len() >= LOOKED_AT {
            return Err(fmt::Error);
        }
        self.0.extend(text.chars().take(LOOKED_AT));
        Ok(())
    }
}

/// The label of a statement, one of a few dozen: `insert builds`, `commit`, `select other`.
fn label(sql: &str) -> String {
    let word_end = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';');
    let words: Vec<&str> = sql.split(word_end).filter(|word| !word.is_empty()).collect();
    if let [word @ ("BEGIN" | "COMMIT" | "ROLLBACK")] = words[..] {
        return word.to_ascii_lowercase();
    }
    let Some((_, verb)) = VERBS.iter().find(|(word, _)| words.contains(word)) else { return "other".to_owned() };
    let place = |pair: &&[&str]| matches!(pair[0], "INTO" | "UPDATE" | "FROM" | "JOIN") && TABLES.contains(&pair[1]);
    let table = words.windows(2).find(place).map_or("other", |pair| pair[1]);
    format!("{verb} {}", table.trim_start_matches("kcidb_ng."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_counted_by_what_it_does_and_its_table() {
        for (sql, expected) in [
            ("BEGIN", "begin"),
            ("COMMIT", "commit"),
            (
                "INSERT INTO builds AS old (id) SELECT new.id FROM unnest($1) ON CONFLICT (id) DO UPDATE SET x = 1",
                "insert builds",
            ),
            ("SELECT * FROM kcidb_ng.logs WHERE id = $1", "select logs"),
            (
                "WITH due AS (SELECT id FROM kcidb_ng.logs FOR UPDATE) UPDATE kcidb_ng.logs SET a = 1 FROM due",
                "update logs",
            ),
            ("SELECT n.id FROM incidents n JOIN issues i ON true", "select incidents"),
            ("SELECT * FROM \"strange; table\"", "select other"),
            ("VACUUM", "other"),
        ] {
            assert_eq!(label(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_values_of_a_statement_are_not_looked_at() {
        struct Never;
        impl fmt::Debug for Never {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("nobody wants this")
            }
        }
        let (mut sql, text, never) = (Sql::default(), "SELECT 1", Never);
        assert!(write!(sql, "{text} -- binds: {never:?}").is_err());
        assert_eq!(sql.0, text);
    }

    #[test]
    fn the_pool_is_asked_when_its_figures_are_wanted() {
        let registry = Registry::default();
        let metrics = Metrics::new(&registry);
        metrics.watch_pool(|| (8, 3));
        let values: Vec<_> = registry
            .gather()
            .iter()
            .filter(|family| family.name() != "kcidb_db_pool_wait_seconds")
            .map(|family| (family.name().to_owned(), family.get_metric()[0].get_gauge().get_value()))
            .collect();
        let expected = [("kcidb_db_pool_in_use".to_owned(), 3.0), ("kcidb_db_pool_size".to_owned(), 8.0)];
        assert_eq!(values, expected);
    }
}
