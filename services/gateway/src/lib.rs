//! The gateway: takes submissions, makes them durable, announces them (spec rest-and-spool 1 to 6 and 9).
//!
//! Invariants (design.md)
//! - 200 means durable: `/submit` answers only after [`spool::Incoming::commit`], and announces only after that.
//! - The queue is only the speed: with the broker away submissions are accepted all the same, and are announced when it
//!   is back, from memory as long as that lasts, else from the spool.
//! - The token is judged before a byte of the body is asked for; memory does not grow with the body, but for
//!   `/api/v1/validate`, which has smaller limits.
//! - No request waits for a service that it does not need.

mod body;
mod config;
mod listen;
mod metrics;
mod origins;
mod outbox;
mod routes;
mod status;
mod submit;
mod validate;
mod watch;

use std::{net::SocketAddr, sync::Arc};

use auth::Verifier;
use events::Publisher;
use spool::Spool;
use telemetry::Health;
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Options};
use metrics::Metrics;
pub use metrics::{metric_families, old_metric_families};
pub use origins::OriginPolicy;
use outbox::Outbox;
pub use status::StatusRoute;

/// What keeps the gateway from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The secrets are wrong.
    #[error(transparent)]
    Secrets(#[from] auth::OptionsError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] spool::Error),
    /// A port cannot be bound.
    #[error("{option}: cannot listen at {address}: {source}")]
    Bind {
        /// The option that gave the address.
        option: &'static str,
        /// The address asked for.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error("TLS with {files}: {source}")]
    Tls {
        /// The files of certificate and key.
        files: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl Error {
    /// The exit code that a process should end with: 2 for wrong options, else 1 (spec rest-and-spool 6).
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Secrets(_)) { 2 } else { 1 }
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Running {
    /// Where submissions are taken.
    pub address: SocketAddr,
    /// Where `/metrics`, `/livez` and `/readyz` are.
    pub admin: SocketAddr,
    /// Ends after shutdown, when everything in hand is finished.
    pub finished: JoinHandle<()>,
}

/// What a request needs.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) options: Options,
    pub(crate) spool: Spool,
    /// `None`: authentication is off.
    pub(crate) verifier: Option<Verifier>,
    pub(crate) outbox: Outbox,
    pub(crate) metrics: Metrics,
    pub(crate) uploads: Semaphore,
    pub(crate) validations: Arc<Semaphore>,
    pub(crate) shutdown: CancellationToken,
}

/// Starts the gateway.
///
/// # Errors
/// When the configuration cannot work. A broker that is away is no error.
pub async fn start(config: Config, status: StatusRoute, shutdown: CancellationToken) -> Result<Running, Error> {
    let Config { spool, broker, auth, options } = config;
    let verifier = auth.verifier()?;
    if verifier.is_none() {
        tracing::warn!("authentication is off: the secret is empty, everybody may submit");
    }
    let spool = Spool::open(&spool)?;
    let listener = listen::Listener::open(&options, &shutdown).await?;

    let registry = telemetry::metrics::registry("gateway");
    let metrics = Metrics::new(&registry);
    let health = Health::new();
    let admin = telemetry::admin::serve(options.gateway_admin, "gateway", registry, health.clone(), shutdown.clone())
        .await
        .map_err(|source| Error::Bind {
            option: "--gateway-admin (KCIDB_GATEWAY_ADMIN)",
            address: options.gateway_admin.to_string(),
            source,
        })?;
    health.beat_with_runtime(shutdown.clone());
    watch::start(&spool, &metrics, &health, &shutdown).await?;

    // The publisher outlives the shutdown signal: what was accepted last still has to be announced.
    let publisher_stop = CancellationToken::new();
    let publisher = Publisher::start(broker, "gateway", metrics.publish.clone(), publisher_stop.clone());
    let (outbox, announcing) = outbox::start(spool.clone(), publisher.clone(), metrics.clone());

    let address = listener.address();
    let gateway = Arc::new(Gateway {
        uploads: Semaphore::new(options.max_uploads),
        validations: Arc::new(Semaphore::new(options.max_validations)),
        options,
        spool,
        verifier,
        outbox,
        metrics,
        shutdown: shutdown.clone(),
    });
    let router = routes::router(&gateway, status);
    let finished = tokio::spawn(async move {
        listener.serve(&gateway.options, router, shutdown).await;
        // With the last request the last way into the outbox is gone.
        drop(gateway);
        outbox::finish(announcing, publisher.is_connected()).await;
        publisher_stop.cancel();
        tracing::info!("the gateway has finished");
    });
    Ok(Running { address, admin, finished })
}
