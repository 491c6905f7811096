//! What went wrong in the database, told by what the caller should do about it.
//!
//! The driver keeps the error's code (SQLSTATE) to itself, so an error of the server is recognised by its message.
//! Therefore connections ask for English messages where they may, and [`crate::check()`] reports a server that speaks
//! another language. An error that is not recognised is never blamed on a document.

use std::error::Error as StdError;

use diesel::result::{ConnectionError, DatabaseErrorKind, Error as DieselError};

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, full, starting or stopping: wait, and try again for as long as it takes.
    #[error("the database is not available: {message}")]
    Outage {
        /// What the database or the driver said.
        message: String,
        /// The driver's error.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// Another transaction was in the way (deadlock, serialisation, lock timeout): try again soon.
    #[error("another transaction was in the way: {message}")]
    Conflict {
        /// What the database said.
        message: String,
        /// The driver's error.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The database refuses the values: the document's own fault, it would fail again.
    #[error("the database refuses the values: {message}")]
    Data {
        /// What the database said, with the column, constraint or detail when it named one.
        message: String,
        /// The driver's error.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The database is not as it must be (missing table, missing right, older schema) or answers what nobody expected:
    /// an operator must look; no document is to blame. Hold, and try again now and then.
    #[error("the database is not as it must be: {message}")]
    Setup {
        /// What is wrong, and how to put it right if that is known.
        message: String,
        /// The driver's error.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// An option is wrong.
    #[error("{option}: {message}")]
    Options {
        /// The environment variable of the option.
        option: &'static str,
        /// What is wrong with it; never a password.
        message: String,
    },
}

impl Error {
    /// An error in the set-up of the database.
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self::Setup { message: message.into(), source: None }
    }

    /// Is the document to blame? Everything else goes away by itself or by an operator, and the document must wait.
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Data { .. })
    }

    /// Will a second try soon, without anybody doing anything, probably succeed?
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// Parts of messages of errors that a document causes: values that do not fit.
const DATA: [&str; 24] = [
    "index row size",
    "index row requires",
    "invalid byte sequence",
    "unsupported Unicode escape sequence",
    "invalid input syntax",
    "invalid input value",
    "invalid memory alloc request size",
    "value too long for type",
    "out of range",
    "value overflows numeric format",
    "numeric field overflow",
    "malformed array literal",
    "malformed record literal",
    "array size exceeds the maximum",
    "object keys exceeds the maximum",
    "string too long to represent as jsonb",
    "number of jsonb",
    "total size of jsonb",
    "row is too big",
    "stack depth limit exceeded",
    "cannot be cast",
    "time zone displacement",
    "insufficient data left in message",
    "incorrect binary data format",
];

/// Parts of messages of errors that pass when others have finished.
const CONFLICT: [&str; 6] = [
    "deadlock detected",
    "could not serialize access",
    "canceling statement due to lock timeout",
    "canceling statement due to statement timeout",
    "tuple concurrently",
    "could not obtain lock",
];

/// Parts of messages of errors that pass when the server is well again.
const OUTAGE: [&str; 17] = [
    "the database system is",
    "terminating connection",
    "canceling statement due to user request",
    "canceling statement due to conflict with recovery",
    "too many clients",
    "too many connections",
    "remaining connection slots",
    "No space left on device",
    "could not extend file",
    "could not write",
    "could not open file",
    "could not read block",
    "could not access status of transaction",
    "out of memory",
    "out of shared memory",
    "Input/output error",
    "connection closed",
];

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        let message = describe(&error);
        let source = |error: DieselError| -> Option<Box<dyn StdError + Send + Sync>> { Some(Box::new(error)) };
        let says = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
        match &error {
            DieselError::DatabaseError(kind, _) => match kind {
                DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::ReadOnlyTransaction => Self::Outage { message, source: source(error) },
                DatabaseErrorKind::SerializationFailure => Self::Conflict { message, source: source(error) },
                DatabaseErrorKind::NotNullViolation | DatabaseErrorKind::CheckViolation => {
                    Self::Data { message, source: source(error) }
                }
                _ if says(&OUTAGE) => Self::Outage { message, source: source(error) },
                _ if says(&CONFLICT) => Self::Conflict { message, source: source(error) },
                _ if says(&DATA) => Self::Data { message, source: source(error) },
                _ => Self::Setup { message, source: source(error) },
            },
            DieselError::BrokenTransactionManager | DieselError::RollbackTransaction => {
                Self::Outage { message, source: source(error) }
            }
            DieselError::RollbackErrorOnCommit { rollback_error, .. } => match Self::kind(rollback_error) {
                DatabaseErrorKind::UnableToSendCommand => Self::Outage { message, source: source(error) },
                _ => Self::Setup { message, source: source(error) },
            },
            _ => Self::Setup { message, source: source(error) },
        }
    }
}

impl Error {
    fn kind(error: &DieselError) -> DatabaseErrorKind {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _)
            | DieselError::BrokenTransactionManager => DatabaseErrorKind::UnableToSendCommand,
            _ => DatabaseErrorKind::Unknown,
        }
    }
}

/// The message with what the server said about the place, on one line.
fn describe(error: &DieselError) -> String {
    let DieselError::DatabaseError(_, information) = error else { return error.to_string() };
    let mut text = information.message().to_owned();
    for (name, value) in [
        ("table", information.table_name()),
        ("column", information.column_name()),
        ("constraint", information.constraint_name()),
        ("detail", information.details()),
        ("hint", information.hint()),
    ] {
        if let Some(value) = value {
            text.extend(["; ", name, ": ", value]);
        }
    }
    text.replace('\n', " ")
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::Outage { message: error.to_string(), source: Some(Box::new(error)) }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Outage { message: chain(&error), source: Some(Box::new(error)) }
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(message: &str) -> Error {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned())).into()
    }

    #[test]
    fn every_kind_is_told_apart() {
        assert!(matches!(server("the database system is shutting down"), Error::Outage { .. }));
        assert!(matches!(server("terminating connection due to administrator command"), Error::Outage { .. }));
        assert!(matches!(server("could not extend file \"base/1/2\": No space left on device"), Error::Outage { .. }));
        assert!(matches!(server("deadlock detected"), Error::Conflict { .. }));
        assert!(matches!(server("canceling statement due to lock timeout"), Error::Conflict { .. }));
        assert!(matches!(server("index row size 3016 exceeds btree version 4 maximum 2704"), Error::Data { .. }));
        assert!(matches!(server("relation \"tests\" does not exist"), Error::Setup { .. }));
        assert!(matches!(server("permission denied for table tests"), Error::Setup { .. }));
    }

    #[test]
    fn what_nobody_knows_is_not_blamed_on_a_document() {
        assert!(!server("something new in PostgreSQL 21").is_data());
    }
}
