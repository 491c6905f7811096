//! `kcidb run`: one service, or all of them in one process.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use gateway::StatusRoute;
use tokio_util::sync::CancellationToken;

/// Runs one service, or all of them in one process.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// The REST gateway: takes submissions, makes them durable, announces them.
    Gateway(gateway::Config),
    /// The ingester: loads submissions into the database.
    Ingester(ingester::Config),
    /// The log worker: finds issues in the logs of failed builds and tests.
    Logspec(logspec_worker::Config),
    /// The status service: says what became of submissions, and keeps the ledger.
    Status(status::Config),
    /// All services in one process, which share what they need.
    All(Box<All>),
}

/// The options of all services.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct All {
    #[command(flatten)]
    pub(crate) spool: spool::Options,
    #[command(flatten)]
    pub(crate) database: ::db::Options,
    #[command(flatten)]
    pub(crate) broker: events::Options,
    #[command(flatten)]
    pub(crate) auth: auth::Options,
    #[command(flatten)]
    pub(crate) gateway: gateway::Options,
    #[command(flatten)]
    pub(crate) ingester: ingester::Options,
    #[command(flatten)]
    pub(crate) logspec: logspec_worker::Options,
    #[command(flatten)]
    pub(crate) status: status::Options,
}

/// Where the services of one process can be reached.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: Vec<(&'static str, SocketAddr)>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let shutdown = telemetry::shutdown::on_signal()?;
    match args {
        Args::Gateway(config) => {
            let status = StatusRoute::from(&config);
            gateway::start(config, status, shutdown).await?.finished.await?;
        }
        Args::Ingester(config) => ingester::start(config, shutdown).await?.finished.await?,
        Args::Logspec(config) => logspec_worker::start(config, shutdown).await?.finished.await?,
        Args::Status(config) => {
            let (_, running) = status::serve(config, shutdown).await?;
            running.finished.await?;
        }
        Args::All(config) => {
            let (_, finished) = all(*config, shutdown).await?;
            finished.await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts all services in this process; the handle ends after shutdown, when all have finished.
pub(crate) async fn all(
    config: All,
    shutdown: CancellationToken,
) -> anyhow::Result<(Addresses, tokio::task::JoinHandle<()>)> {
    let All { spool, database, broker, auth, gateway, ingester, logspec, status } = config;
    let status = status::Config {
        spool: spool.clone(),
        database: database.clone(),
        broker: broker.clone(),
        auth: auth.clone(),
        options: status,
    };
    let status = status::start(status, shutdown.clone()).await.context("the status service")?;
    let worker = logspec_worker::Config { database: database.clone(), broker: broker.clone(), options: logspec };
    let worker = logspec_worker::start(worker, shutdown.clone()).await.context("the log worker")?;
    let ingester = ingester::Config { spool: spool.clone(), database, broker: broker.clone(), options: ingester };
    let ingester = ingester::start(ingester, shutdown.clone()).await.context("the ingester")?;
    let gateway = gateway::Config { spool, broker, auth, options: gateway };
    let gateway = gateway::start(gateway, StatusRoute::Local(status.router), shutdown).await.context("the gateway")?;
    let addresses = Addresses {
        gateway: gateway.address,
        admin: vec![
            ("gateway", gateway.admin),
            ("ingester", ingester.admin),
            ("logspec", worker.admin),
            ("status", status.admin),
        ],
    };
    let finished = tokio::spawn(async move {
        let _ = tokio::join!(gateway.finished, ingester.finished, worker.finished, status.finished);
    });
    Ok((addresses, finished))
}
