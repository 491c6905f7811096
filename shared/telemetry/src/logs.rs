//! Logs: human lines with colours on a terminal, JSON lines otherwise, always on standard error.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, Layer as _, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{Traces, traces};

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One line for people per record.
    Human,
    /// One JSON object per record.
    Json,
}

/// The log options of every command.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Logs")]
pub struct Options {
    /// What is logged: a level, or directives such as `info,events=debug`.
    #[arg(long, env = "KCIDB_LOG", default_value = "info", global = true, value_name = "FILTER")]
    pub log: String,
    /// How logs look.
    #[arg(long, env = "KCIDB_LOG_FORMAT", default_value = "auto", global = true, value_enum)]
    pub log_format: Format,
}

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "--log (KCIDB_LOG) {filter:?} is not a log filter: {source}; use a level such as info, or directives such as info,events=debug"
)]
pub struct FilterError {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Sets up the process's logs, and makes the spans of its traces; call once, before anything is logged.
///
/// # Errors
/// When the filter is malformed.
pub fn init(options: &Options, traces: &Traces) -> Result<(), FilterError> {
    // The broker client logs each lost connection itself; our own lines say it in our words.
    let filter = EnvFilter::try_new(format!("lapin=off,{}=off,{}", traces::TARGET, options.log))
        .map_err(|source| FilterError { filter: options.log.clone(), source })?;
    let terminal = std::io::stderr().is_terminal();
    let json = match options.log_format {
        Format::Auto => !terminal,
        Format::Human => false,
        Format::Json => true,
    };
    let lines = if json {
        let layer = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
        layer.with_writer(std::io::stderr).with_filter(filter).boxed()
    } else {
        let colours = terminal && std::env::var_os("NO_COLOR").is_none();
        let layer = fmt::layer().with_ansi(colours).with_target(false);
        layer.with_writer(std::io::stderr).with_filter(filter).boxed()
    };
    // A list, not an optional layer, which would have every span made that the logs leave out.
    let layers: Vec<_> = traces.layer().into_iter().chain([lines]).collect();
    tracing_subscriber::registry().with(layers).init();
    Ok(())
}
