//! The spool: durable submission files, and what became of them (spec rest-and-spool 7).
//!
//! Invariants
//! - State is where the file is, and a transition is one rename inside one file system: a submission is never in two
//!   states and never in none.
//! - [`Incoming::commit`] returns only after the file's bytes, then its final name, are on the disk (design.md,
//!   invariant 1): fsync of the file, rename, fsync of the folder, in this order. A crash leaves at most a `.temp` file.
//! - A file is in `failed/` only after its reason is durable beside it, under a name that nothing takes for a submission.
//! - Moving is idempotent: archiving what is archived already changes nothing.
//! - No disk call runs on a thread of the async runtime, and no answer to a request lists a folder.
//!
//! ```text
//! submission-ID.json.temp      being received
//! submission-ID.json           waiting, as is any other name ending in .json
//! archive/NAME.json            in the database
//! failed/NAME.json             refused; failed/NAME.reason says why
//! pending_retry/NAME.json      made by the old ingester; counts as waiting, nothing is put there
//! ```

mod commit;
mod config;
mod disk;
mod finish;
mod name;
mod operate;
mod receive;
mod scan;
mod usage;

#[cfg(test)]
mod model_test;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

pub use config::Options;
pub use finish::{Fault, Reason};
pub use name::{FileName, NameError, SubmissionId};
pub use operate::{Entry, Place};
pub use receive::{Incoming, Stored};
pub use scan::Waiting;
pub use usage::Usage;

/// A spool folder; clones share it.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    archive: PathBuf,
    failed: PathBuf,
    pending_retry: PathBuf,
    options: Options,
    usage: usage::Counters,
    /// Started by the first submission: a service that only reads needs none.
    committer: OnceLock<commit::Committer>,
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Being received.
    InProgress,
    /// Waiting for the ingester.
    Ready,
    /// In the database.
    Archived,
    /// Refused.
    Failed,
    /// Not here.
    Unknown,
}

/// What goes wrong with a spool.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder does not exist.
    #[error("--directory (KCIDB_SPOOL): the spool folder {} does not exist; create it or mount it", .0.display())]
    NoFolder(PathBuf),
    /// The system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No room for another submission: a limit of files or of free space is reached.
    #[error("the spool is full: {0}")]
    Full(&'static str),
    /// Too much is being received at the moment.
    #[error("the spool is busy: {0}")]
    Busy(&'static str),
    /// A file that should be moved is nowhere.
    #[error("the file {0} is not in the spool")]
    Gone(FileName),
}

impl Error {
    /// Whether there is no room: a limit is reached, or the disk says so.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}

impl Spool {
    /// Opens a spool folder as it is; makes `archive/`, `failed/` and `pending_retry/` when missing.
    ///
    /// # Errors
    /// When the folder does not exist, or cannot be written to while one of the three is missing.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let root = options.directory.clone();
        if !root.is_dir() {
            return Err(Error::NoFolder(root));
        }
        let folder = |name| {
            let path = root.join(name);
            if path.is_dir() {
                return Ok(path);
            }
            match std::fs::create_dir(&path) {
                Err(source) if !path.is_dir() => Err(Error::Io { action: "make the folder", path, source }),
                _ => Ok(path),
            }
        };
        Ok(Self(Arc::new(Inner {
            archive: folder("archive")?,
            failed: folder("failed")?,
            pending_retry: folder("pending_retry")?,
            root,
            options: options.clone(),
            usage: usage::Counters::default(),
            committer: OnceLock::new(),
        })))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// Where a waiting file is.
    pub fn path(&self, file: &FileName) -> PathBuf {
        self.0.root.join(file.as_str())
    }

    /// Where an archived file is.
    pub fn archived_path(&self, file: &FileName) -> PathBuf {
        self.0.archive.join(file.as_str())
    }

    /// What became of a submission, in the order of spec rest-and-spool 4.
    ///
    /// # Errors
    /// When the spool cannot be read: nothing is known then.
    pub async fn state(&self, id: &SubmissionId) -> Result<State, Error> {
        let (inner, id) = (self.0.clone(), id.clone());
        blocking(move || {
            // A submission that moves backwards (an operator's replay) between two looks is found by the second round.
            match inner.look(&id)? {
                State::Unknown => inner.look(&id),
                known => Ok(known),
            }
        })
        .await
    }

    /// SHA-256 of a waiting file, 64 lower-case hexadecimal digits; `None` when it waits no longer.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn digest(&self, file: &FileName) -> Result<Option<String>, Error> {
        let path = self.path(file);
        blocking(move || match receive::digest(&path) {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "read", path, source }),
        })
        .await
    }

    /// Checks that the spool can be listed.
    ///
    /// # Errors
    /// When not.
    pub async fn check_readable(&self) -> Result<(), Error> {
        let path = self.0.root.clone();
        blocking(move || {
            let first = std::fs::read_dir(&path).and_then(|mut names| names.next().transpose());
            first.map(drop).map_err(|source| Error::Io { action: "list", path, source })
        })
        .await
    }

    /// Checks that files can be made in the spool, by making one.
    ///
    /// # Errors
    /// When not.
    pub async fn check_writable(&self) -> Result<(), Error> {
        let inner = self.0.clone();
        blocking(move || {
            let path = inner.root.join(format!(".probe-{}", std::process::id()));
            let result = std::fs::write(&path, b"probe").and_then(|()| std::fs::remove_file(&path));
            result.map_err(|source| Error::Io { action: "write", path, source })
        })
        .await
    }
}

impl Inner {
    fn look(&self, id: &SubmissionId) -> Result<State, Error> {
        let name = id.file_name();
        let places = [
            (self.root.join(name.temporary()), State::InProgress),
            (self.root.join(name.as_str()), State::Ready),
            (self.archive.join(name.as_str()), State::Archived),
            (self.failed.join(name.as_str()), State::Failed),
            (self.pending_retry.join(name.as_str()), State::Ready),
        ];
        for (path, state) in places {
            match path.try_exists() {
                Ok(true) => return Ok(state),
                Ok(false) => {}
                // No submission has a name that the file system cannot hold.
                Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {}
                Err(source) => return Err(Error::Io { action: "look for", path, source }),
            }
        }
        Ok(State::Unknown)
    }
}

/// Runs disk calls off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(&Options::at(folder.path())).expect("a spool");
        (folder, spool)
    }

    #[tokio::test]
    async fn the_first_place_that_exists_is_the_state() {
        let (folder, spool) = spool();
        let id: SubmissionId = "abc".parse().expect("an id");
        assert_eq!(spool.state(&id).await.expect("readable"), State::Unknown);
        for (place, state) in [
            ("pending_retry/submission-abc.json", State::Ready),
            ("failed/submission-abc.json", State::Failed),
            ("archive/submission-abc.json", State::Archived),
            ("submission-abc.json", State::Ready),
            ("submission-abc.json.temp", State::InProgress),
        ] {
            std::fs::write(folder.path().join(place), "{}").expect("written");
            assert_eq!(spool.state(&id).await.expect("readable"), state, "{place}");
        }
    }

    #[tokio::test]
    async fn an_id_too_long_for_the_file_system_is_unknown() {
        let (_folder, spool) = spool();
        let id = "a".repeat(5000).parse().expect("an id");
        assert_eq!(spool.state(&id).await.expect("readable"), State::Unknown);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Spool::open(&Options::at("/nowhere/spool")).expect_err("it is missing").to_string();
        assert!(error.contains("/nowhere/spool") && error.contains("--directory"), "{error}");
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_not_writable() {
        let (folder, spool) = spool();
        spool.check_writable().await.expect("it is writable");
        spool.check_readable().await.expect("it is readable");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 3, "the probe is removed");
        drop(folder);
        assert!(spool.check_writable().await.is_err());
        assert!(spool.check_readable().await.is_err());
    }
}
