//! The options of the status service.

use std::net::SocketAddr;

use clap::Args;

/// Everything the status service needs to know.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where submissions are.
    #[command(flatten)]
    pub spool: spool::Options,
    /// Where the ledger is.
    #[command(flatten)]
    pub database: db::Options,
    /// Who tells of what happened.
    #[command(flatten)]
    pub broker: events::Options,
    /// Whose questions are answered.
    #[command(flatten)]
    pub auth: auth::Options,
    /// The status service's own options.
    #[command(flatten)]
    pub options: Options,
}

/// The status service's own options.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Status service")]
pub struct Options {
    /// Where `/status` is answered, when the service has a process of its own.
    #[arg(long, env = "KCIDB_STATUS_LISTEN", default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    pub status_listen: SocketAddr,
    /// The status service's admin port: /metrics, /livez, /readyz.
    #[arg(long, env = "KCIDB_STATUS_ADMIN", default_value = "127.0.0.1:8083", value_name = "ADDRESS")]
    pub status_admin: SocketAddr,
}
