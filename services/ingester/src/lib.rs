//! The ingester: loads submissions from the spool into the database.
//!
//! Invariants (design.md)
//! - At least once, and idempotent: commit → publish what follows → move the file → acknowledge. A crash between two
//!   steps repeats the earlier ones, which changes nothing but `_timestamp`.
//! - One bad document never harms another: a batch that fails is loaded again one submission at a time.
//! - Outages of the database, the broker and the spool are waited out; nothing is moved to `failed/` for them.
//! - The queue is only the speed: the sweep finds every waiting file that no event announced.

mod batch;
mod config;
mod follow;
mod load;
mod metrics;
mod sweep;
mod work;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use events::{Consumer, Publisher, consume, topology};
use telemetry::Health;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use config::{Batch, Config, Options, Sweep};
use metrics::Metrics;
pub use metrics::metric_families;
use work::Intake;

/// What keeps the ingester from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// The database options are wrong.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The file of tree names cannot be read.
    #[error("--trees (KCIDB_TREES): {0}")]
    Trees(String),
    /// The admin port cannot be bound.
    #[error("--ingester-admin (KCIDB_INGESTER_ADMIN): cannot listen on {address}: {source}")]
    Admin {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A running ingester.
#[derive(Debug)]
pub struct Running {
    /// Where `/metrics`, `/livez` and `/readyz` are.
    pub admin: SocketAddr,
    /// Ends after shutdown, when everything in hand is finished.
    pub finished: JoinHandle<()>,
}

/// Starts the ingester.
///
/// # Errors
/// When the configuration cannot work. Servers that are away are no error: they are waited for.
pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Running, Error> {
    let registry = telemetry::metrics::registry("ingester");
    let metrics = Metrics::new(&registry);
    let health = Health::new();
    let broker = health.check("broker");
    let admin =
        telemetry::admin::serve(config.options.ingester_admin, "ingester", registry, health.clone(), shutdown.clone())
            .await
            .map_err(|source| Error::Admin { address: config.options.ingester_admin, source })?;

    let spool = spool::Spool::open(&config.spool)?;
    let pool = db::Pool::measured(&config.database, metrics.database.clone())?;
    probes(&health, &spool, &pool, &shutdown);

    // The publisher outlives the shutdown signal: what is in hand still has to be announced.
    let publisher_stop = CancellationToken::new();
    let publisher =
        Publisher::start(config.broker.clone(), "ingester", metrics.publish.clone(), publisher_stop.clone());
    let loader = Arc::new(load::Loader {
        spool: spool.clone(),
        pool,
        publisher: publisher.clone(),
        schema: config.options.schema_options()?,
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    });
    let (intake, queue) = Intake::new(usize::from(config.options.ingester_prefetch) * 2);
    let workers = batch::start(&config.options.batch, queue, &loader, &health);
    let sweep = tokio::spawn(sweep::run(
        spool,
        intake.clone(),
        config.options.sweep.clone(),
        metrics.clone(),
        shutdown.clone(),
    ));

    let max_attempts = config.broker.max_attempts;
    let consumer = Consumer {
        options: config.broker,
        queue: topology::INGESTER_SUBMISSIONS,
        prefetch: config.options.ingester_prefetch,
        metrics: metrics.consume,
        check: broker,
    };
    let finished = tokio::spawn(async move {
        consume(consumer, shutdown, move |delivery| {
            work::handle(intake.clone(), publisher.clone(), max_attempts, delivery)
        })
        .await;
        let _ = sweep.await;
        // The last intake is gone with the consumer and the sweep: the workers see the end of their queue.
        let _ = workers.await;
        publisher_stop.cancel();
        tracing::info!("the ingester has finished");
    });
    Ok(Running { admin, finished })
}

fn probes(health: &Health, spool: &spool::Spool, pool: &db::Pool, shutdown: &CancellationToken) {
    const PERIOD: Duration = Duration::from_secs(3);
    let spool = spool.clone();
    health.probe("spool", PERIOD, shutdown.clone(), move || {
        let spool = spool.clone();
        async move { spool.check_writable().await.map_err(|error| error.to_string()) }
    });
    let pool = pool.clone();
    health.probe("database", PERIOD, shutdown.clone(), move || {
        let pool = pool.clone();
        async move { pool.check_ready().await.map_err(|error| error.to_string()) }
    });
}
