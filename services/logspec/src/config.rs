//! The options of the log worker.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, builder::FalseyValueParser};

use crate::address::Allowed;

/// Everything the log worker needs to know.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where findings go.
    #[command(flatten)]
    pub database: db::Options,
    /// Who tells of failed nodes.
    #[command(flatten)]
    pub broker: events::Options,
    /// The worker's own options.
    #[command(flatten)]
    pub options: Options,
}

/// The log worker's own options.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Log worker")]
pub struct Options {
    /// The log worker's admin port: /metrics, /livez, /readyz.
    #[arg(long, env = "KCIDB_LOGSPEC_ADMIN", default_value = "127.0.0.1:8084", value_name = "ADDRESS")]
    pub logspec_admin: SocketAddr,
    /// A YAML file that says which nodes' logs are analysed; all failed builds and boot tests when not given.
    #[arg(long, env = "KCIDB_LOGSPEC_CONFIG", value_name = "FILE")]
    pub logspec_config: Option<PathBuf>,
    /// How many nodes are in hand at once.
    #[arg(long, env = "KCIDB_LOGSPEC_PREFETCH", default_value_t = 8, value_name = "N")]
    pub logspec_prefetch: u16,
    /// How many logs are analysed at once; each takes memory of up to both size limits.
    #[arg(long, env = "KCIDB_LOGSPEC_ANALYSES", default_value_t = 2, value_name = "N")]
    pub logspec_analyses: usize,
    /// How old a known issue may be, so that an error at the same place in the source counts as the same.
    #[arg(long, env = "KCIDB_LOGSPEC_ISSUE_AGE", default_value = "25d", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub logspec_issue_age: Duration,
    /// Print which nodes would be handled, and write, publish and mark nothing. (As a variable: 0, false, no or nothing is off.)
    #[arg(long, env = "KCIDB_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// How logs are fetched.
    #[command(flatten)]
    pub fetch: Fetch,
    /// When nodes that no event told of are looked for.
    #[command(flatten)]
    pub sweep: Sweep,
}

/// How logs are fetched.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Fetch {
    /// The folder of fetched logs; workers may share it.
    #[arg(
        id = "log-cache",
        long = "log-cache",
        env = "KCIDB_LOG_CACHE",
        default_value = "/cache",
        value_name = "FOLDER"
    )]
    pub cache: PathBuf,
    /// Bytes that the folder may take, about.
    #[arg(id = "log-cache-size", long = "log-cache-size", env = "KCIDB_LOG_CACHE_SIZE", default_value_t = 2 << 30, value_name = "BYTES")]
    pub cache_size: u64,
    /// The largest log that is taken, as it is sent.
    #[arg(id = "log-bytes", long = "log-bytes", env = "KCIDB_LOG_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub bytes: u64,
    /// How much of a log is analysed, unpacked; what is beyond is left out.
    #[arg(id = "log-text-bytes", long = "log-text-bytes", env = "KCIDB_LOG_TEXT_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub text_bytes: u64,
    /// How long connecting to a log's server may take.
    #[arg(id = "log-connect-timeout", long = "log-connect-timeout", env = "KCIDB_LOG_CONNECT_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub connect_timeout: Duration,
    /// How long a log's server may be silent, before the first byte and after.
    #[arg(id = "log-silence-timeout", long = "log-silence-timeout", env = "KCIDB_LOG_SILENCE_TIMEOUT", default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub silence_timeout: Duration,
    /// How long fetching a log may take in all.
    #[arg(id = "log-timeout", long = "log-timeout", env = "KCIDB_LOG_TIMEOUT", default_value = "2m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// Fetches from one host at once.
    #[arg(
        id = "log-per-host",
        long = "log-per-host",
        env = "KCIDB_LOG_PER_HOST",
        default_value_t = 4,
        value_name = "N"
    )]
    pub per_host: usize,
    /// Redirects that are followed.
    #[arg(
        id = "log-redirects",
        long = "log-redirects",
        env = "KCIDB_LOG_REDIRECTS",
        default_value_t = 5,
        value_name = "N"
    )]
    pub redirects: usize,
    /// How long it is remembered that there is no log at a URL, so that many nodes with one dead link cost one request.
    #[arg(id = "log-failure-memory", long = "log-failure-memory", env = "KCIDB_LOG_FAILURE_MEMORY", default_value = "1m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub failure_memory: Duration,
    /// Networks, addresses and host names that logs may come from although they are private: 10.1.0.0/16,logs.lab.example
    #[arg(id = "log-allow", long = "log-allow", env = "KCIDB_LOG_ALLOW", value_delimiter = ',', value_name = "LIST")]
    pub allow: Vec<Allowed>,
}

/// When nodes that no event told of are looked for.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Sweep {
    /// How often the database is looked through.
    #[arg(id = "log-sweep-every", long = "log-sweep-every", env = "KCIDB_LOG_SWEEP_EVERY", default_value = "3m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub every: Duration,
    /// How old a node must be, so that its event has had time to come.
    #[arg(id = "log-sweep-age", long = "log-sweep-age", env = "KCIDB_LOG_SWEEP_AGE", default_value = "2m", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub age: Duration,
    /// How far back it looks.
    #[arg(id = "log-sweep-back", long = "log-sweep-back", env = "KCIDB_LOG_SWEEP_BACK", default_value = "1d", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub back: Duration,
    /// Pause before a log that is gone is looked for again; it is looked for three times.
    #[arg(id = "log-gone-pause", long = "log-gone-pause", env = "KCIDB_LOG_GONE_PAUSE", default_value = "1d", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub gone_pause: Duration,
}
