//! Where the database is, and how patient to be with it.

use std::{fmt, fs, path::PathBuf, time::Duration};

use clap::Args;

use crate::{Error, target::Target};

/// The database options of a service.
#[derive(Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Database")]
pub struct Options {
    /// The PostgreSQL database: <postgresql://user:password@host:port/name>, with ?sslmode=require for TLS and
    /// ?sslmode=verify-full for TLS with a verified certificate.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// A file that holds the database URL, for when it shall be in no argument and no environment.
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// The database as the existing system names it: a URL, or `postgresql:` followed by libpq key=value pairs. Used when
    /// there is no database URL.
    #[arg(long, env = "PG_URI", hide_env_values = true, value_name = "URI")]
    pub pg_uri: Option<String>,
    /// A file that holds the password, for a URL without one.
    #[arg(long, env = "DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Connections that a process may open at once.
    #[arg(long, env = "KCIDB_DATABASE_CONNECTIONS", default_value_t = 8, value_name = "N")]
    pub database_connections: usize,
    /// How long opening a connection, or waiting for a free one, may take.
    #[arg(long, env = "KCIDB_DATABASE_CONNECT_TIMEOUT", default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub database_connect_timeout: Duration,
    /// How long one statement may take.
    #[arg(long, env = "KCIDB_DATABASE_STATEMENT_TIMEOUT", default_value = "2m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub database_statement_timeout: Duration,
    /// How long one statement may wait for a lock.
    #[arg(long, env = "KCIDB_DATABASE_LOCK_TIMEOUT", default_value = "20s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub database_lock_timeout: Duration,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("database", &self.target().map_or_else(|error| error.to_string(), |target| target.to_string()))
            .field("connections", &self.database_connections)
            .field("connect_timeout", &self.database_connect_timeout)
            .field("statement_timeout", &self.database_statement_timeout)
            .field("lock_timeout", &self.database_lock_timeout)
            .finish_non_exhaustive()
    }
}

/// As without flags and environment: no database.
impl Default for Options {
    fn default() -> Self {
        Self {
            database_url: None,
            database_url_file: None,
            pg_uri: None,
            database_password_file: None,
            database_connections: 8,
            database_connect_timeout: Duration::from_secs(5),
            database_statement_timeout: Duration::from_mins(2),
            database_lock_timeout: Duration::from_secs(20),
        }
    }
}

impl Options {
    /// The default options with this database.
    pub fn of(url: &str) -> Self {
        Self { database_url: Some(url.to_owned()), ..Self::default() }
    }

    /// User, host, port and database: what may be shown of where the database is.
    ///
    /// # Errors
    /// When no database is given, or its URL cannot be read; the message names the option and holds no password.
    pub fn address(&self) -> Result<String, Error> {
        Ok(self.target()?.to_string())
    }

    /// The database as a URL for libpq's programs, the password included.
    ///
    /// # Errors
    /// As [`Self::address`].
    pub fn url(&self) -> Result<String, Error> {
        Ok(self.target()?.url())
    }

    pub(crate) fn target(&self) -> Result<Target, Error> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let (option, text) = if let Some(text) = filled(&self.database_url) {
            if self.database_url_file.is_some() {
                let message = "DATABASE_URL and DATABASE_URL_FILE are both given: use one of them".into();
                return Err(Error::Options { option: "DATABASE_URL_FILE", message });
            }
            ("DATABASE_URL", text)
        } else if let Some(path) = &self.database_url_file {
            ("DATABASE_URL_FILE", secret("DATABASE_URL_FILE", path)?)
        } else if let Some(text) = filled(&self.pg_uri) {
            ("PG_URI", text)
        } else {
            return Err(Error::Options {
                option: "DATABASE_URL",
                message: "no database given; it looks like postgresql://user:password@host:5432/kcidb".into(),
            });
        };
        let mut target = Target::parse(&text).map_err(|message| Error::Options { option, message })?;
        target.config.connect_timeout(self.database_connect_timeout);
        if let Some(path) = &self.database_password_file {
            target.config.password(secret("DATABASE_PASSWORD_FILE", path)?);
        }
        Ok(target)
    }
}

fn secret(option: &'static str, path: &PathBuf) -> Result<String, Error> {
    fs::read_to_string(path)
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        .map_err(|error| Error::Options { option, message: format!("cannot read {}: {error}", path.display()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let options = Options::of("postgresql://kcidb:s3cret@db.example.org:5433/kcidb?sslmode=verify-full");
        let shown = format!("{options:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("kcidb@db.example.org:5433/kcidb"), "{shown}");
        let broken = Options::of("postgresql://kcidb:s3cret@db:port/kcidb");
        let error = broken.address().expect_err("a port is a number").to_string();
        assert!(error.contains("DATABASE_URL") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn without_a_database_the_option_is_named() {
        let error = Options::default().address().expect_err("there is none").to_string();
        assert!(error.contains("DATABASE_URL"), "{error}");
    }

    #[test]
    fn defaults_are_those_of_the_command_line() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            options: Options,
        }
        // The environment of whoever runs the tests must not matter.
        let command = <Command as clap::CommandFactory>::command().mut_args(|argument| argument.env(None::<&str>));
        let matches = command.try_get_matches_from(["test"]).expect("nothing is required");
        let parsed = <Command as clap::FromArgMatches>::from_arg_matches(&matches).expect("defaults are valid").options;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Options::default()));
    }

    #[test]
    fn the_existing_systems_variable_is_the_fallback() {
        let options = Options {
            pg_uri: Some("postgresql:dbname=kcidb user=editor password=x host=db".into()),
            ..Options::default()
        };
        assert_eq!(options.address().expect("readable"), "editor@db:5432/kcidb");
    }
}
