//! Where the spool is, and its limits.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// The spool options of a service.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Spool")]
pub struct Options {
    /// The spool folder; it must exist.
    #[arg(short = 'd', long, env = "KCIDB_SPOOL", default_value = "/app/spool", value_name = "FOLDER")]
    pub directory: PathBuf,
    /// Free space below which no submission is accepted, in bytes.
    #[arg(long, env = "KCIDB_SPOOL_MIN_FREE", default_value_t = 1 << 30, value_name = "BYTES")]
    pub spool_min_free: u64,
    /// Waiting files from which on no submission is accepted.
    #[arg(long, env = "KCIDB_SPOOL_MAX_FILES", default_value_t = 2_000_000, value_name = "N")]
    pub spool_max_files: u64,
    /// Bytes being received at the same moment from which on no further submission is accepted.
    #[arg(long, env = "KCIDB_SPOOL_MAX_INCOMING", default_value_t = 4 << 30, value_name = "BYTES")]
    pub spool_max_incoming: u64,
    /// Age at which the file of an upload that nobody works on is removed.
    #[arg(long, env = "KCIDB_SPOOL_TEMP_AGE", default_value = "1h", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub spool_temp_age: Duration,
}

impl Options {
    /// The defaults, for a folder.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            spool_min_free: 1 << 30,
            spool_max_files: 2_000_000,
            spool_max_incoming: 4 << 30,
            spool_temp_age: Duration::from_hours(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn the_defaults_are_those_of_the_command_line() {
        let parsed = Command::parse_from(["test", "-d", "/x"]).options;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Options::at("/x")));
    }
}
