//! Connections.
//!
//! Nothing here opens a connection before it is asked for one, so a service starts while the database is away; every
//! connection that broke is replaced by the next [`Pool::get`].

use std::{
    fmt,
    time::{Duration, Instant},
};

use diesel::ConnectionError;
use diesel_async::{
    AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool},
};
use futures::FutureExt as _;

use crate::{Error, Metrics, Options, check, target::Target};

/// A pool of connections; clones share it.
#[derive(Clone)]
pub struct Pool {
    connections: deadpool::Pool<AsyncPgConnection>,
    address: String,
    patience: Duration,
    metrics: Option<Metrics>,
}

/// A connection of the pool; it goes back when dropped.
pub type Connection = deadpool::Object<AsyncPgConnection>;

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("address", &self.address)
            .field("status", &self.connections.status())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool without connections yet.
    ///
    /// # Errors
    /// When the options are wrong.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Self::build(options, None)
    }

    /// The same, which counts what it does.
    ///
    /// # Errors
    /// When the options are wrong.
    pub fn measured(options: &Options, metrics: Metrics) -> Result<Self, Error> {
        Self::build(options, Some(metrics))
    }

    fn build(options: &Options, metrics: Option<Metrics>) -> Result<Self, Error> {
        let target = options.target()?;
        let address = target.to_string();
        let settings = settings(options.database_statement_timeout, options.database_lock_timeout);
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let counted = metrics.as_ref().map(Metrics::statements);
        config.custom_setup = Box::new(move |_| {
            let (target, settings, counted) = (target.clone(), settings.clone(), counted.clone());
            let opened = async move {
                let mut connection = open(&target, &settings).await?;
                if let Some(statements) = counted {
                    connection.set_instrumentation(statements.stopwatch());
                }
                Ok(connection)
            };
            opened
                .map(|opened: Result<_, Error>| {
                    opened.map_err(|error| ConnectionError::BadConnection(error.to_string()))
                })
                .boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        let connections = deadpool::Pool::builder(manager)
            .max_size(options.database_connections.max(1))
            .build()
            .map_err(|error| Error::setup(error.to_string()))?;
        if let Some(metrics) = &metrics {
            let connections = connections.clone();
            metrics.watch_pool(move || {
                let status = connections.status();
                (status.max_size, status.size.saturating_sub(status.available))
            });
        }
        Ok(Self { connections, address, patience: options.database_connect_timeout, metrics })
    }

    /// A connection, new or used before.
    ///
    /// # Errors
    /// [`Error::Outage`] when the database cannot be reached, or every connection is busy for too long.
    pub async fn get(&self) -> Result<Connection, Error> {
        let started = Instant::now();
        let connection = tokio::time::timeout(self.patience, self.connections.get()).await;
        if let Some(metrics) = &self.metrics {
            metrics.wait.observe(started.elapsed().as_secs_f64());
        }
        match connection {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(Error::Outage {
                message: format!("{}: {}", self.address, crate::error::chain(&error)),
                source: Some(Box::new(error)),
            }),
            Err(_) => Err(Error::Outage {
                message: format!("{}: no connection within {:?}", self.address, self.patience),
                source: None,
            }),
        }
    }

    /// Can the services work with this database? For their readiness.
    ///
    /// # Errors
    /// [`Error::Outage`] when it cannot be reached, [`Error::Setup`] when its schema is older than this program needs.
    pub async fn check_ready(&self) -> Result<(), Error> {
        check::ready(&mut *self.get().await?).await
    }

    /// User, host, port and database.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Connections open now, idle ones included.
    pub fn size(&self) -> usize {
        self.connections.status().size
    }
}

/// One connection outside of a pool, without a limit on the time of a statement: for migrations.
pub(crate) async fn connect(options: &Options) -> Result<AsyncPgConnection, Error> {
    let target = options.target()?;
    let settings = settings(Duration::ZERO, Duration::from_mins(1));
    match tokio::time::timeout(options.database_connect_timeout, open(&target, &settings)).await {
        Ok(result) => result.map_err(|error| match error {
            Error::Outage { message, source } => Error::Outage { message: format!("{target}: {message}"), source },
            other => other,
        }),
        Err(_) => Err(Error::Outage { message: format!("{target}: no answer in time"), source: None }),
    }
}

/// What each connection is told first. English messages are asked for because errors are recognised by them; only some
/// roles may ask.
fn settings(statement: Duration, lock: Duration) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = '5min';
         DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false);
         EXCEPTION WHEN insufficient_privilege THEN NULL; END $$",
        statement.as_millis(),
        lock.as_millis(),
    )
}

async fn open(target: &Target, settings: &str) -> Result<AsyncPgConnection, Error> {
    let tls = target.tls().map_err(|message| Error::Options { option: "DATABASE_URL", message })?;
    let (client, connection) = target.config.connect(tls).await?;
    let mut connection = AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
    connection.batch_execute(settings).await?;
    Ok(connection)
}
