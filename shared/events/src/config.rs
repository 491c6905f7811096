//! How to reach the broker.

use clap::{ArgAction, Args};

/// The broker options of a service.
#[derive(Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Broker")]
pub struct Options {
    /// The RabbitMQ server and virtual host: amqp://user:password@host:port/vhost, or amqps:// with TLS.
    #[arg(
        long,
        env = "AMQP_URL",
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f",
        hide_env_values = true,
        value_name = "URL",
        value_parser = check
    )]
    pub amqp_url: String,
    /// How often a message is tried again, with growing pauses, before it goes to the dead letters.
    #[arg(long, env = "KCIDB_MAX_ATTEMPTS", default_value_t = 10, value_name = "N")]
    pub max_attempts: u32,
    /// Whether exchanges, queues and bindings are made at each connection, which takes the right to configure all of them;
    /// without it they only have to be there. It is false for users with the rights of one service: `kcidb queue setup`.
    #[arg(long, env = "KCIDB_BROKER_DECLARE", default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub broker_declare: bool,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("amqp_url", &self.address())
            .field("max_attempts", &self.max_attempts)
            .field("broker_declare", &self.broker_declare)
            .finish()
    }
}

fn check(url: &str) -> Result<String, String> {
    url.parse::<lapin::uri::AMQPUri>()
        .map_err(|error| format!("{error}; it looks like amqp://user:password@host:5672/vhost"))?;
    Ok(url.to_owned())
}

impl Options {
    /// Host, port and virtual host: what may be shown of the URL.
    pub fn address(&self) -> String {
        match self.amqp_url.parse::<lapin::uri::AMQPUri>() {
            Ok(uri) => format!("{}:{}/{}", uri.authority.host, uri.authority.port, uri.vhost.trim_start_matches('/')),
            Err(_) => "unreadable".into(),
        }
    }
}
