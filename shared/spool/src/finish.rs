//! What becomes of a waiting file: archived, or refused with its reason.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Error, FileName, Inner, Spool, SubmissionId, blocking, disk};

/// Why a submission was refused; kept as JSON beside the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word, such as `schema_invalid`.
    pub code: String,
    /// One sentence for people.
    pub reason: String,
    /// The first faults.
    #[serde(default)]
    pub errors: Vec<Fault>,
    /// How many faults there are in all.
    #[serde(default)]
    pub error_count: u64,
    /// How often loading was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it was given up.
    pub at: DateTime<Utc>,
}

/// One thing that is wrong with a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// JSON pointer into the document as sent.
    pub path: String,
    /// The rule that is broken.
    pub code: String,
    /// A sentence with the remedy.
    pub message: String,
    /// The offending value, cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The id of the object that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Spool {
    /// Archives a waiting file, durably; one that is archived already is fine.
    ///
    /// # Errors
    /// When the disk refuses, or the file is nowhere.
    pub async fn archive(&self, file: &FileName) -> Result<(), Error> {
        self.archive_all(std::slice::from_ref(file)).await
    }

    /// Archives many waiting files, and makes that durable once for all.
    ///
    /// # Errors
    /// The first error; the other files are archived all the same, and calling again is right.
    pub async fn archive_all(&self, files: &[FileName]) -> Result<(), Error> {
        let (inner, files) = (self.0.clone(), files.to_vec());
        blocking(move || {
            let mut result = Ok(());
            for file in &files {
                result = result.and(inner.take_out(file, &inner.archive));
            }
            Inner::sync_folders(&inner.archive, &inner.root).and(result)
        })
        .await
    }

    /// Refuses a waiting file: writes the reason, durably, then moves the file to `failed/`.
    ///
    /// # Errors
    /// When the disk refuses, or the file is nowhere.
    pub async fn fail(&self, file: &FileName, reason: &Reason) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(reason).expect("a reason has string keys and plain values");
        let (inner, file) = (self.0.clone(), file.clone());
        blocking(move || {
            // A file that has gone (another ingester was faster) gets no new reason.
            if inner.root.join(file.as_str()).exists() {
                inner.write_reason(&file, &text)?;
            }
            inner.take_out(&file, &inner.failed)?;
            Inner::sync_folders(&inner.failed, &inner.root)
        })
        .await
    }

    /// Why a submission was refused; `None` when that is not known, as with files refused by the old ingester.
    ///
    /// # Errors
    /// When the reason cannot be read.
    pub async fn reason(&self, id: &SubmissionId) -> Result<Option<Reason>, Error> {
        let path = self.0.failed.join(id.file_name().reason());
        blocking(move || match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| Error::Io {
                action: "understand the reason",
                path,
                source: error.into(),
            }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidFilename) => Ok(None),
            Err(source) => Err(Error::Io { action: "read", path, source }),
        })
        .await
    }
}

impl Inner {
    fn take_out(&self, file: &FileName, to: &Path) -> Result<(), Error> {
        match disk::rename(&self.root.join(file.as_str()), &to.join(file.as_str())) {
            Ok(()) => {
                self.usage.file_left();
                Ok(())
            }
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let there = |folder: &Path| folder.join(file.as_str()).exists();
                // Done before, by us before a crash or by another ingester, one way or the other.
                if there(&self.archive) || there(&self.failed) { Ok(()) } else { Err(Error::Gone(file.clone())) }
            }
            Err(error) => Err(error),
        }
    }

    /// The new place first: should the machine crash in between, a file may be seen twice, but not never.
    pub(crate) fn sync_folders(to: &Path, from: &Path) -> Result<(), Error> {
        for folder in [to, from] {
            disk::sync_folder(&disk::open_folder(folder)?, folder)?;
        }
        Ok(())
    }

    fn write_reason(&self, file: &FileName, text: &[u8]) -> Result<(), Error> {
        let path = self.failed.join(file.reason());
        let temporary = path.with_added_extension("temp");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(removal(&temporary, error)),
            _ => {}
        }
        let mut open = disk::create(&temporary)?;
        disk::write(&mut open, &temporary, text)?;
        disk::sync_file(&open, &temporary)?;
        disk::rename(&temporary, &path)?;
        disk::sync_folder(&disk::open_folder(&self.failed)?, &self.failed)
    }
}

fn removal(path: &Path, source: io::Error) -> Error {
    Error::Io { action: "remove", path: path.to_owned(), source }
}
