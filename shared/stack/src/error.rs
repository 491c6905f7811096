//! What can go wrong.

use std::{fmt, io, path::PathBuf};

/// Why the servers cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Programs that are not installed.
    #[error("not installed: {}; {hint}", missing.join(", "))]
    Missing {
        /// The programs.
        missing: Vec<&'static str>,
        /// How to get them.
        hint: String,
    },
    /// The installation of a package failed.
    #[error("the installation failed: {0}")]
    Install(String),
    /// Another process uses the folder.
    #[error("{} is in use by process {pid}: stop that first (kcidb down --dir {}), or use another folder", dir.display(), dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The process.
        pid: u32,
    },
    /// A file or folder cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The folder holds what this version cannot use.
    #[error("{}: {message}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong, and how to fix it.
        message: String,
    },
    /// A program cannot be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A server ended, or did not become ready in time.
    #[error("{server} {what}; its log {} ends with:\n{tail}", log.display())]
    Server {
        /// The server.
        server: &'static str,
        /// What happened.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// PostgreSQL refused something.
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] PostgresError),
    /// A database that others are copied from cannot be prepared.
    #[error("a database cannot be prepared: {0}")]
    Prepare(String),
    /// RabbitMQ's management API refused something.
    #[error("RabbitMQ's management API: {0}")]
    Management(String),
}

/// An error of PostgreSQL, with the server's own words.
#[derive(Debug)]
pub struct PostgresError(tokio_postgres::Error);

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_db_error() {
            Some(error) => write!(f, "{}", error.message()),
            None => write!(f, "{}", self.0),
        }
    }
}

impl std::error::Error for PostgresError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(PostgresError(error))
    }
}

impl Error {
    /// For `map_err` on what happened to a file.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
