//! The log worker: finds issues in the logs of failed builds and tests.
//!
//! Invariants (design.md)
//! - At least once, and idempotent: fetch → analyse → commit → publish → acknowledge. Issues, incidents and the mark of the
//!   node are one transaction; a repetition finds the mark, or writes the same rows.
//! - Every node ends with a mark that says what became of its log; a log that cannot be had is no dead letter. Outages of
//!   the database and the broker are waited out and count as no try.
//! - URLs are chosen by strangers: limits of time and size hold for every fetch, and nothing inside our own network is
//!   asked (`address.rs`).
//! - The queue is only the speed: the sweep finds every failed node without a mark.

mod address;
mod analyse;
mod cache;
mod catchup;
mod config;
mod failure;
mod fetch;
mod look;
mod metrics;
mod plain;
mod selection;
mod sweep;
mod wildcard;
mod worker;
mod write;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use events::{Consumer, Publisher, consume, topology};
use telemetry::Health;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use address::Allowed;
pub use catchup::{Catchup, Change, Preview, Request};
pub use config::{Config, Fetch, Options, Sweep};
use metrics::Metrics;
pub use metrics::metric_families;
pub use selection::Selection;
use worker::Worker;

/// Requests of operators that are in hand at once: few, for what has just failed comes first.
const CATCHUP_PREFETCH: u16 = 1;
/// The pause between two passes of a dry run, as it always was.
const DRY_RUN_PAUSE: Duration = Duration::from_hours(6);

/// What keeps the log worker from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file that says which nodes are picked makes no sense.
    #[error("--logspec-config (KCIDB_LOGSPEC_CONFIG): {0}")]
    Selection(String),
    /// The folder of logs cannot be used.
    #[error("--log-cache (KCIDB_LOG_CACHE): cannot write to {folder}: {source}")]
    Cache {
        /// The folder.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The database options are wrong.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The admin port cannot be bound.
    #[error("--logspec-admin (KCIDB_LOGSPEC_ADMIN): cannot listen on {address}: {source}")]
    Admin {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A running log worker.
#[derive(Debug)]
pub struct Running {
    /// Where `/metrics`, `/livez` and `/readyz` are.
    pub admin: SocketAddr,
    /// Ends after shutdown, when everything in hand is finished.
    pub finished: JoinHandle<()>,
}

/// Starts the log worker.
///
/// # Errors
/// When the configuration cannot work. Servers that are away are no error: they are waited for.
pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Running, Error> {
    let registry = telemetry::metrics::registry("logspec");
    let metrics = Metrics::new(&registry);
    let selection = Selection::load(config.options.logspec_config.as_deref())?;
    let looker = look::Looker::new(&config.options.fetch, config.options.logspec_analyses, metrics.clone())?;
    let pool = db::Pool::measured(&config.database, metrics.database.clone())?;
    let health = Health::new();
    let checks = [health.check("broker"), health.check("broker-catchup")];
    let address = config.options.logspec_admin;
    let admin = telemetry::admin::serve(address, "logspec", registry, health.clone(), shutdown.clone())
        .await
        .map_err(|source| Error::Admin { address, source })?;
    probe(&health, &pool, &shutdown);
    health.beat_with_runtime(shutdown.clone());

    // The publisher outlives the shutdown signal: what is in hand still has to be announced.
    let publisher_stop = CancellationToken::new();
    let publisher = Publisher::start(config.broker.clone(), "logspec", metrics.publish.clone(), publisher_stop.clone());
    let worker = Arc::new(Worker {
        pool,
        publisher,
        selection,
        looker,
        issue_age: config.options.logspec_issue_age,
        gone_pause: config.options.sweep.gone_pause,
        max_attempts: config.broker.max_attempts,
        metrics,
        shutdown: shutdown.clone(),
    });
    if config.options.dry_run {
        // It asks the broker for nothing.
        checks.iter().for_each(telemetry::Check::ok);
        let finished = tokio::spawn(dry_run(worker, config.options.sweep, shutdown));
        return Ok(Running { admin, finished });
    }
    let sweep = tokio::spawn(sweep::run(worker.clone(), config.options.sweep.clone()));
    let [check, catchup_check] = checks;
    let queues = [
        (topology::LOGSPEC_FAILURES, config.options.logspec_prefetch, check),
        (topology::LOGSPEC_CATCHUP, CATCHUP_PREFETCH, catchup_check),
    ];
    let consumers = queues.map(|(queue, prefetch, check)| {
        let (options, metrics) = (config.broker.clone(), worker.metrics.consume.clone());
        let consumer = Consumer { options, queue, prefetch, metrics, check };
        let worker = worker.clone();
        tokio::spawn(consume(consumer, shutdown.clone(), move |delivery| worker.clone().handle(delivery)))
    });
    let finished = tokio::spawn(async move {
        for consumer in consumers {
            let _ = consumer.await;
        }
        let _ = sweep.await;
        publisher_stop.cancel();
        tracing::info!("the log worker has finished");
    });
    Ok(Running { admin, finished })
}

async fn dry_run(worker: Arc<Worker>, options: Sweep, shutdown: CancellationToken) {
    let passes = async {
        loop {
            if let Err(error) = sweep::print(&worker, &options).await {
                tracing::warn!(%error, "the database cannot be asked now");
                tokio::time::sleep(Duration::from_secs(5)).await;
                continue;
            }
            tokio::time::sleep(DRY_RUN_PAUSE).await;
        }
    };
    shutdown.run_until_cancelled(passes).await;
}

fn probe(health: &Health, pool: &db::Pool, shutdown: &CancellationToken) {
    const PERIOD: Duration = Duration::from_secs(3);
    let pool = pool.clone();
    health.probe("database", PERIOD, shutdown.clone(), move || {
        let pool = pool.clone();
        async move { pool.check_ready().await.map_err(|error| error.to_string()) }
    });
}
