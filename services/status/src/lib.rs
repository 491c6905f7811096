//! The status service: says what became of a submission, and keeps the ledger.
//!
//! Invariants (design.md)
//! - The spool alone decides the old words of `/status`; the ledger only adds to them. So the answer needs neither the
//!   broker nor the database, and a slow database delays it by a bounded time.
//! - An event is acknowledged after its ledger row is committed; outages of the database are waited out.

mod answer;
mod config;
mod ledger;
mod metrics;
mod routes;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use telemetry::Health;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Options};
use metrics::Metrics;
pub use metrics::metric_families;

/// What keeps the status service from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// The database options are wrong.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The secrets are wrong.
    #[error(transparent)]
    Secrets(#[from] auth::OptionsError),
    /// A port cannot be bound.
    #[error("{option}: cannot listen on {address}: {source}")]
    Bind {
        /// The option that gave the address.
        option: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A running status service.
#[derive(Debug)]
pub struct Running {
    /// Where `/metrics`, `/livez` and `/readyz` are.
    pub admin: SocketAddr,
    /// Its routes, for a gateway in the same process.
    pub router: Router,
    /// Ends after shutdown, when everything in hand is finished.
    pub finished: JoinHandle<()>,
}

/// Starts the ledger and makes the routes, for a gateway in the same process to serve.
///
/// # Errors
/// When the configuration cannot work. Servers that are away are no error: they are waited for.
pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Running, Error> {
    let registry = telemetry::metrics::registry("status");
    let metrics = Metrics::new(&registry);
    let health = Health::new();
    let broker = health.check("broker");
    let address = config.options.status_admin;
    let admin = telemetry::admin::serve(address, "status", registry, health.clone(), shutdown.clone())
        .await
        .map_err(|source| Error::Bind { option: "--status-admin (KCIDB_STATUS_ADMIN)", address, source })?;
    let spool = spool::Spool::open(&config.spool)?;
    let pool = db::Pool::measured(&config.database, metrics.database.clone())?;
    probes(&health, &spool, &pool, &shutdown);
    health.beat_with_runtime(shutdown.clone());

    let state = routes::State {
        spool,
        pool: pool.clone(),
        verifier: config.auth.verifier()?.map(Arc::new),
        metrics: metrics.clone(),
    };
    let consumer = events::Consumer {
        options: config.broker,
        queue: events::topology::STATUS_LEDGER,
        prefetch: ledger::PREFETCH,
        metrics: metrics.consume,
        check: broker,
    };
    let finished = tokio::spawn(ledger::keep(consumer, pool, shutdown));
    Ok(Running { admin, router: routes::router(state), finished })
}

/// Starts the service with a listener of its own; returns the address it is bound to.
///
/// # Errors
/// As [`start`], and when the address cannot be bound.
pub async fn serve(config: Config, shutdown: CancellationToken) -> Result<(SocketAddr, Running), Error> {
    let address = config.options.status_listen;
    let bind = |source| Error::Bind { option: "--status-listen (KCIDB_STATUS_LISTEN)", address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let bound = listener.local_addr().map_err(bind)?;
    let running = start(config, shutdown.clone()).await?;
    let router = running.router.clone();
    let server = tokio::spawn(async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "the status service has failed");
        }
    });
    let Running { admin, router, finished: ledger } = running;
    let finished = tokio::spawn(async move {
        let _ = tokio::join!(server, ledger);
    });
    tracing::info!(address = %bound, "the status service answers");
    Ok((bound, Running { admin, router, finished }))
}

fn probes(health: &Health, spool: &spool::Spool, pool: &db::Pool, shutdown: &CancellationToken) {
    const PERIOD: Duration = Duration::from_secs(3);
    let spool = spool.clone();
    health.probe("spool", PERIOD, shutdown.clone(), move || {
        let spool = spool.clone();
        async move { spool.check_readable().await.map_err(|error| error.to_string()) }
    });
    let pool = pool.clone();
    health.probe("database", PERIOD, shutdown.clone(), move || {
        let pool = pool.clone();
        async move { pool.check_ready().await.map_err(|error| error.to_string()) }
    });
}
