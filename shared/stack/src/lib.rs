//! A private PostgreSQL and RabbitMQ in one folder: install, start, stop, kill, restart. Knows nothing of what they are used for.
//!
//! Invariants
//! - The servers listen on the loopback address only, on ports of their own, with users of their own; another PostgreSQL
//!   or RabbitMQ of the machine is never touched. Ports and password are kept in the folder (`stack.json`) and stay the
//!   same between starts as long as the ports are free.
//! - One process uses a folder at a time: it holds the lock of `stack.lock` until it ends, however it ends.
//! - Servers that a killed process left running in the folder are taken over by the next start, or ended; never doubled.
//! - The servers are children in process groups of their own: Ctrl-C at the terminal reaches us, not them. After
//!   [`Stack::stop`] none of their processes is left; a dropped [`Stack`] kills them.
//!
//! # In the folder
//! `postgres/` (data, log; elsewhere when we are root and user `postgres` may not enter the folder), `rabbitmq/` (data,
//! logs, configuration, Erlang cookie), `stack.json`, `stack.lock`.

mod error;
mod folder;
mod install;
mod management;
mod plugins;
mod postgres;
mod process;
mod rabbitmq;
mod servers;
mod shared;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

pub use crate::{
    error::Error,
    folder::{free_port, holder},
    install::{install, missing},
    management::definitions,
    servers::{Login, Servers},
    shared::shared,
};
use crate::{folder::Folder, postgres::Postgres, rabbitmq::RabbitMq};

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder; made when missing.
    pub dir: PathBuf,
    /// PostgreSQL writes through to the disk. Without, data survives the end of every process, but not of the machine.
    pub durable: bool,
    /// Start PostgreSQL.
    pub postgres: bool,
    /// Start RabbitMQ.
    pub rabbitmq: bool,
}

impl Options {
    /// Both servers in this folder, not durable.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), durable: false, postgres: true, rabbitmq: true }
    }
}

/// The running servers of one folder.
#[derive(Debug)]
pub struct Stack {
    servers: Servers,
    postgres: Option<Postgres>,
    rabbitmq: Option<RabbitMq>,
    // Last: the folder is free for others when the servers have gone.
    folder: Folder,
}

impl Stack {
    /// Claims the folder and starts nothing yet.
    ///
    /// # Errors
    /// When another process uses the folder, or it cannot be written.
    pub fn open(options: &Options) -> Result<Self, Error> {
        Self::open_in(Folder::lock(&options.dir)?, options)
    }

    fn open_in(folder: Folder, options: &Options) -> Result<Self, Error> {
        let mut state = folder.state()?;
        let postgres = options.postgres.then(|| Postgres::new(&folder, &mut state, options.durable)).transpose()?;
        let rabbitmq = options.rabbitmq.then(|| RabbitMq::new(&folder, &mut state)).transpose()?;
        state.write(&folder)?;
        Ok(Self { servers: state.servers, postgres, rabbitmq, folder })
    }

    /// Starts both servers side by side, or takes over those that run in the folder without an owner, and returns when
    /// both can be used.
    ///
    /// # Errors
    /// When a server is not installed or does not start, when another process uses the folder, or when the folder
    /// cannot be written.
    pub async fn start(options: Options) -> Result<Self, Error> {
        Self::open(&options)?.started().await
    }

    async fn started(self) -> Result<Self, Error> {
        tokio::try_join!(self.start_rabbitmq(), self.start_postgres())?;
        Ok(self)
    }

    /// A port for somebody else who works in this folder: the one of the last start if it is free, else `preferred` if
    /// that is free, else any.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn port(&self, name: &str, preferred: u16) -> Result<u16, Error> {
        let mut state = self.folder.state()?;
        let taken: Vec<u16> = state.others.iter().filter(|(other, _)| *other != name).map(|(_, port)| *port).collect();
        let wanted = state.others.get(name).copied().into_iter().chain([preferred]);
        let port = wanted.filter(|port| !taken.contains(port)).find(|port| folder::is_free(*port));
        let port = port.unwrap_or_else(folder::free_port);
        state.others.insert(name.to_owned(), port);
        state.write(&self.folder)?;
        Ok(port)
    }

    /// The folder: absolute, without symbolic links.
    pub fn dir(&self) -> &Path {
        &self.folder.path
    }

    /// How to reach the servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The address of the database `kcidb`.
    pub fn database_url(&self) -> String {
        self.servers.database_url()
    }

    /// The address of the virtual host `kcidb`.
    pub fn amqp_url(&self) -> String {
        self.servers.amqp_url()
    }

    /// The web pages of RabbitMQ.
    pub fn rabbitmq_ui(&self) -> Login {
        self.servers.rabbitmq_ui()
    }

    /// The processes: `postgres`, `rabbitmq` and `epmd`, its port mapper.
    pub async fn pids(&self) -> BTreeMap<&'static str, u32> {
        let mut pids = BTreeMap::new();
        if let Some(postgres) = &self.postgres {
            pids.extend(postgres.pids().await);
        }
        if let Some(rabbitmq) = &self.rabbitmq {
            pids.extend(rabbitmq.pids().await);
        }
        pids
    }

    /// Stops both servers cleanly; what does not end in time is killed.
    pub async fn stop(self) {
        tokio::join!(self.stop_postgres(), self.stop_rabbitmq());
    }

    /// Starts PostgreSQL, or starts it again at the same address; does nothing when it runs, or is not ours to start.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn start_postgres(&self) -> Result<(), Error> {
        match &self.postgres {
            Some(postgres) => postgres.start().await,
            None => Ok(()),
        }
    }

    /// Stops PostgreSQL cleanly; connections are closed.
    pub async fn stop_postgres(&self) {
        if let Some(postgres) = &self.postgres {
            postgres.stop().await;
        }
    }

    /// Ends PostgreSQL without a warning, and waits until its processes are gone.
    pub async fn kill_postgres(&self) {
        if let Some(postgres) = &self.postgres {
            postgres.kill().await;
        }
    }

    /// Starts RabbitMQ, or starts it again at the same address; does nothing when it runs, or is not ours to start.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub async fn start_rabbitmq(&self) -> Result<(), Error> {
        match &self.rabbitmq {
            Some(rabbitmq) => rabbitmq.start().await,
            None => Ok(()),
        }
    }

    /// Stops RabbitMQ cleanly.
    pub async fn stop_rabbitmq(&self) {
        if let Some(rabbitmq) = &self.rabbitmq {
            rabbitmq.stop().await;
        }
    }

    /// Ends RabbitMQ without a warning, and waits until it is gone.
    ///
    /// A quorum queue must be at least 3 seconds old by then: the broker may lose a younger one for good.
    pub async fn kill_rabbitmq(&self) {
        if let Some(rabbitmq) = &self.rabbitmq {
            rabbitmq.kill().await;
        }
    }

    /// Takes the broker away from its clients but lets its process live: the quickest outage (0.2 s).
    ///
    /// # Errors
    /// When the broker does not obey.
    pub async fn stop_app(&self) -> Result<(), Error> {
        match &self.rabbitmq {
            Some(rabbitmq) => rabbitmq.stop_app().await,
            None => Ok(()),
        }
    }

    /// Gives the broker back after [`Self::stop_app`] (0.5 s).
    ///
    /// # Errors
    /// When the broker does not obey.
    pub async fn start_app(&self) -> Result<(), Error> {
        match &self.rabbitmq {
            Some(rabbitmq) => rabbitmq.start_app().await,
            None => Ok(()),
        }
    }

    /// Leaves the servers running without an owner, and the folder to others.
    async fn leave(self) -> Servers {
        if let Some(postgres) = &self.postgres {
            postgres.leave().await;
        }
        if let Some(rabbitmq) = &self.rabbitmq {
            rabbitmq.leave().await;
        }
        self.servers
    }
}

/// Ends the servers that run in a folder which no process uses; true when there were any.
///
/// # Errors
/// When a process uses the folder.
pub async fn end_leftovers(dir: impl Into<PathBuf>) -> Result<bool, Error> {
    let dir = dir.into();
    if !dir.join(folder::STATE).exists() {
        return Ok(false);
    }
    let folder = Folder::lock(&dir)?;
    let mut state = folder.state()?;
    let durable = state.durable;
    let rabbitmq = RabbitMq::new(&folder, &mut state)?.end_leftovers().await;
    // Where it cannot be set up it has never run.
    let postgres = match Postgres::new(&folder, &mut state, durable) {
        Ok(postgres) => postgres.end_leftovers().await,
        Err(_) => false,
    };
    Ok(rabbitmq || postgres)
}

/// How long servers may take to stop before they are killed.
const PATIENCE: Duration = Duration::from_secs(30);
