//! The options of the gateway.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use reqwest::Url;

use crate::OriginPolicy;

/// Everything the gateway needs to know.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where submissions go.
    #[command(flatten)]
    pub spool: spool::Options,
    /// Who is told of them.
    #[command(flatten)]
    pub broker: events::Options,
    /// Who may submit.
    #[command(flatten)]
    pub auth: auth::Options,
    /// The gateway's own options.
    #[command(flatten)]
    pub options: Options,
}

/// The gateway's own options.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Gateway")]
pub struct Options {
    /// The port; 0 is 80, or 443 with TLS. One below 1024 becomes 8080 without the right to it.
    #[arg(short = 'p', long, env = "KCIDB_PORT", default_value_t = 0, value_name = "PORT")]
    pub port: u16,
    /// The address or host name to listen at.
    #[arg(short = 'b', long, env = "KCIDB_HOST", default_value = "0.0.0.0", value_name = "HOST")]
    pub host: String,
    /// Address and port in one, in place of `--host` and `--port`; here port 0 is any free one.
    #[arg(long, env = "KCIDB_GATEWAY_LISTEN", value_name = "ADDRESS")]
    pub gateway_listen: Option<SocketAddr>,
    /// The gateway's admin port: /metrics, /livez, /readyz.
    #[arg(long, env = "KCIDB_GATEWAY_ADMIN", default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    pub gateway_admin: SocketAddr,
    /// Serve with TLS, with certbot's certificate of this domain, from /etc/letsencrypt/live.
    #[arg(long, env = "CERTBOT_DOMAIN", value_name = "DOMAIN")]
    pub certbot_domain: Option<String>,
    /// Serve with TLS, with this certificate chain (PEM); read again when it changes.
    #[arg(long, env = "KCIDB_TLS_CERT", value_name = "FILE", requires = "tls_key", conflicts_with = "certbot_domain")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate (PEM).
    #[arg(long, env = "KCIDB_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The folder of ACME challenges to answer at /.well-known/acme-challenge/.
    #[arg(long, env = "ACME_WEBROOT", value_name = "FOLDER")]
    pub acme_webroot: Option<PathBuf>,
    /// The status service that `/status` and `/api/v1/…` are forwarded to.
    #[arg(long, env = "STATUS_URL", value_name = "URL")]
    pub status_url: Option<Url>,
    /// Bytes of a submission at most, unpacked.
    #[arg(long, env = "KCIDB_MAX_SUBMISSION", default_value_t = 512 << 20, value_name = "BYTES")]
    pub max_submission: u64,
    /// Submissions received at the same moment at most; further ones are told to come later.
    #[arg(long, env = "KCIDB_MAX_UPLOADS", default_value_t = 256, value_name = "N")]
    pub max_uploads: usize,
    /// What becomes of a submission with objects of an origin that its token may not speak for.
    #[arg(long, env = "KCIDB_ORIGIN_POLICY", value_enum, default_value = "warn", value_name = "POLICY")]
    pub origin_policy: OriginPolicy,
    /// Bytes of a document to validate at most, unpacked. It is held in memory, its upgraded form as well.
    #[arg(long, env = "KCIDB_MAX_VALIDATION", default_value_t = 64 << 20, value_name = "BYTES")]
    pub max_validation: u64,
    /// Documents validated at the same moment at most; further ones are told to come later.
    #[arg(long, env = "KCIDB_MAX_VALIDATIONS", default_value_t = 4, value_name = "N")]
    pub max_validations: usize,
    /// How long a request may take to begin, from the connection on.
    #[arg(long, env = "KCIDB_HEAD_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub head_timeout: Duration,
    /// How long a connection may wait for its next request.
    #[arg(long, env = "KCIDB_IDLE_TIMEOUT", default_value = "75s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub idle_timeout: Duration,
    /// How long no byte of a body may come. The whole may take as long as it likes.
    #[arg(long, env = "KCIDB_BODY_TIMEOUT", default_value = "60s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub body_timeout: Duration,
    /// Pause between being not ready and accepting no more connections, for load balancers to notice.
    #[arg(long, env = "KCIDB_PRE_STOP", default_value = "0s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub pre_stop: Duration,
    /// How long requests in progress may still take at shutdown.
    #[arg(long, env = "KCIDB_GRACE", default_value = "30s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub grace: Duration,
}
