//! The options of the ingester.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, builder::FalseyValueParser};

use crate::Error;

/// Everything the ingester needs to know.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where submissions wait.
    #[command(flatten)]
    pub spool: spool::Options,
    /// Where they go.
    #[command(flatten)]
    pub database: db::Options,
    /// Who tells of them.
    #[command(flatten)]
    pub broker: events::Options,
    /// The ingester's own options.
    #[command(flatten)]
    pub options: Options,
}

/// The ingester's own options.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Ingester")]
pub struct Options {
    /// How much is loaded at once.
    #[command(flatten)]
    pub batch: Batch,
    /// When files that no event announced are taken.
    #[command(flatten)]
    pub sweep: Sweep,
    /// How many submissions are in hand at once.
    #[arg(long, env = "KCIDB_INGESTER_PREFETCH", default_value_t = 200, value_name = "N")]
    pub ingester_prefetch: u16,
    /// The ingester's admin port: /metrics, /livez, /readyz.
    #[arg(long, env = "KCIDB_INGESTER_ADMIN", default_value = "127.0.0.1:8082", value_name = "ADDRESS")]
    pub ingester_admin: SocketAddr,
    /// A YAML file of tree names (`trees: NAME: url: URL`); today's public trees when not given.
    #[arg(long, env = "KCIDB_TREES", value_name = "FILE")]
    pub trees: Option<PathBuf>,
    /// Reject documents of old versions whose upgraded form is not valid in the newest version. (As a variable: 0, false,
    /// no or nothing is off.)
    #[arg(long, env = "KCIDB_STRICT", value_parser = FalseyValueParser::new())]
    pub strict: bool,
}

/// How much is loaded in one transaction.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Batch {
    /// Submissions in one transaction at most.
    #[arg(
        id = "batch-count",
        long = "batch-count",
        env = "INGEST_FILES_BATCH_SIZE",
        default_value_t = 100,
        value_name = "N"
    )]
    pub count: usize,
    /// Bytes of submissions in one transaction, about: a batch ends with the submission that reaches it.
    #[arg(id = "batch-bytes", long = "batch-bytes", env = "KCIDB_BATCH_BYTES", default_value_t = 16 << 20, value_name = "BYTES")]
    pub bytes: u64,
    /// How long a batch waits for one more submission.
    #[arg(id = "batch-wait", long = "batch-wait", env = "KCIDB_BATCH_WAIT", default_value = "5ms", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub wait: Duration,
    /// Batches that are loaded at the same time, each with a database connection of its own.
    #[arg(
        id = "ingester-workers",
        long = "ingester-workers",
        env = "KCIDB_INGESTER_WORKERS",
        default_value_t = 2,
        value_name = "N"
    )]
    pub workers: usize,
}

/// When files that no event announced are taken.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Sweep {
    /// How often the spool is looked through.
    #[arg(id = "sweep-every", long = "sweep-every", env = "KCIDB_SWEEP_EVERY", default_value = "5s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub every: Duration,
    /// How old a file must be while nothing else is in hand.
    #[arg(id = "sweep-idle-age", long = "sweep-idle-age", env = "KCIDB_SWEEP_IDLE_AGE", default_value = "2s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub idle_age: Duration,
    /// How old a file must be while the ingester is busy.
    #[arg(id = "sweep-busy-age", long = "sweep-busy-age", env = "KCIDB_SWEEP_BUSY_AGE", default_value = "5m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub busy_age: Duration,
}

impl Options {
    /// How documents are read.
    pub(crate) fn schema_options(&self) -> Result<schema::Options, Error> {
        let tree_names = match &self.trees {
            None => schema::TreeNames::public(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| error.to_string())
                .and_then(|text| schema::TreeNames::from_yaml(&text).map_err(|error| error.to_string()))
                .map_err(|error| Error::Trees(format!("{}: {error}", path.display())))?,
        };
        Ok(schema::Options { tree_names, strict: self.strict, ..schema::Options::default() })
    }
}
