//! Fetching and analysing the log of one node; knows nothing of what becomes of the findings.

use std::{sync::Arc, time::Instant};

use db::logs::Node;
use events::Reason;
use tokio::sync::Semaphore;

use crate::{
    Error,
    analyse::{self, Analysed},
    cache::Cache,
    config,
    failure::Failure,
    fetch::{Bounds, Fetcher},
    metrics::Metrics,
    selection::{Choice, Limits},
};

/// Looks at logs.
#[derive(Debug)]
pub(crate) struct Looker {
    cache: Arc<Cache>,
    bounds: Bounds,
    analyses: Arc<Semaphore>,
    metrics: Metrics,
}

impl Looker {
    /// Fetches as these options say, and analyses so many logs at once.
    pub(crate) fn new(options: &config::Fetch, analyses: usize, metrics: Metrics) -> Result<Self, Error> {
        let cache = Cache::open(options, Fetcher::new(options)?, metrics.clone())
            .map_err(|source| Error::Cache { folder: options.cache.display().to_string(), source })?;
        let bounds = Bounds { bytes: options.bytes, text_bytes: options.text_bytes, time: options.timeout };
        Ok(Self { cache, bounds, analyses: Arc::new(Semaphore::new(analyses.max(1))), metrics })
    }

    /// Fetches and analyses the log of a node.
    pub(crate) async fn look(&self, node: &Node, choice: &Choice<'_>) -> Result<Analysed, Failure> {
        let bounds = self.bounds.within(choice.limits);
        let file = self.cache.get(&node.log_url, bounds).await?;
        // Few at a time, because each takes memory.
        let permit = self.analyses.clone().acquire_owned().await.expect("nobody closes it");
        let started = Instant::now();
        let (node, how) = (node.clone(), (choice.kind, choice.parser));
        let analysis = tokio::task::spawn_blocking(move || {
            let result = analyse::analyse(file, &node, how, bounds);
            drop(permit);
            result
        });
        let result = analysis.await.unwrap_or_else(|error| {
            Err(Failure::new(Reason::AnalysisFailed, format!("{} failed: {error}", choice.parser.name)))
        });
        let duration = self.metrics.analysis_duration.with_label_values(&[choice.parser.name]);
        duration.observe(started.elapsed().as_secs_f64());
        result
    }
}

impl Bounds {
    /// With what an entry of the configuration says otherwise.
    fn within(self, limits: &Limits) -> Self {
        Self {
            bytes: limits.bytes.unwrap_or(self.bytes),
            text_bytes: limits.text_bytes.unwrap_or(self.text_bytes),
            time: limits.time().unwrap_or(self.time),
        }
    }
}
