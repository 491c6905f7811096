//! A gateway's configuration for tests: any free port, no broker, a spool of its own.

use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use gateway::Config;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    config: Config,
}

/// The configuration of a gateway with this spool and secret. Nobody listens where its broker should be.
pub(crate) fn config(spool: &Path, secret: &str) -> Config {
    // The environment of whoever runs the tests must not matter.
    let command = Command::command().mut_args(|argument| argument.env(None::<&str>));
    let arguments = ["test", "--gateway-listen", "127.0.0.1:0", "--gateway-admin", "127.0.0.1:0"];
    let broker = ["--amqp-url", "amqp://127.0.0.1:1/%2f", "--spool-min-free", "0", "--jwt-secret", secret];
    let matches = command.get_matches_from([&arguments[..], &broker[..]].concat());
    let mut config = Command::from_arg_matches(&matches).expect("valid arguments").config;
    spool.clone_into(&mut config.spool.directory);
    config
}
