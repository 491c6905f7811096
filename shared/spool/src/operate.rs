//! What operators do by hand: look at files, put them back, remove old ones. These calls block: they are for tools.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{Error, FileName, Inner, Reason, Spool, disk};

/// A folder of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The top folder: what waits.
    Ready,
    /// What is in the database.
    Archive,
    /// What was refused.
    Failed,
}

/// A file in one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub file: FileName,
    /// Its bytes.
    pub size_bytes: u64,
    /// When it was written; moving does not change that.
    pub modified: SystemTime,
}

impl Entry {
    /// How long ago it was written.
    pub fn age(&self) -> Duration {
        self.modified.elapsed().unwrap_or_default()
    }
}

impl Spool {
    /// The files of a folder, in no order, read as they are asked for: an archive may hold millions.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn entries(&self, place: Place) -> Result<impl Iterator<Item = Result<Entry, Error>> + use<>, Error> {
        let folder = self.0.folder(place).to_owned();
        let failed = move |source| Error::Io { action: "list", path: folder.clone(), source };
        let names = std::fs::read_dir(self.0.folder(place)).map_err(failed.clone())?;
        Ok(names.filter_map(move |name| match name {
            Ok(name) => {
                let file = name.file_name().to_str()?.parse().ok()?;
                let about = name.metadata().ok().filter(std::fs::Metadata::is_file)?;
                Some(Ok(Entry { file, size_bytes: about.len(), modified: about.modified().ok()? }))
            }
            Err(source) => Some(Err(failed(source))),
        }))
    }

    /// Why a file was refused; `None` when that is not known.
    pub fn reason_of(&self, file: &FileName) -> Option<Reason> {
        let text = std::fs::read(self.0.failed.join(file.reason())).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Puts a file back to those that wait, durably; the ingester finds it. Its old reason is removed.
    ///
    /// # Errors
    /// When the disk refuses, the file is not there, or one of its name waits already.
    pub fn requeue(&self, place: Place, file: &FileName) -> Result<(), Error> {
        let (inner, from) = (&self.0, self.0.folder(place));
        let (old, new) = (from.join(file.as_str()), inner.root.join(file.as_str()));
        if new.exists() {
            return Err(Error::Io { action: "put back", path: new, source: ErrorKind::AlreadyExists.into() });
        }
        if !old.exists() {
            return Err(Error::Gone(file.clone()));
        }
        disk::rename(&old, &new)?;
        Inner::sync_folders(&inner.root, from)?;
        if place == Place::Failed { remove(&inner.failed.join(file.reason())) } else { Ok(()) }
    }

    /// Removes an archived or a refused file, and the reason of the latter.
    ///
    /// # Errors
    /// When the disk refuses.
    ///
    /// # Panics
    /// For a file that waits: nobody may remove that.
    pub fn remove(&self, place: Place, file: &FileName) -> Result<(), Error> {
        assert!(place != Place::Ready, "a submission that waits is never removed");
        remove(&self.0.folder(place).join(file.as_str()))?;
        if place == Place::Failed { remove(&self.0.failed.join(file.reason())) } else { Ok(()) }
    }
}

impl Inner {
    fn folder(&self, place: Place) -> &Path {
        match place {
            Place::Ready => &self.root,
            Place::Archive => &self.archive,
            Place::Failed => &self.failed,
        }
    }
}

/// Removes a file; one that is gone is fine.
fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::Io { action: "remove", path: PathBuf::from(path), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, State};

    fn names(spool: &Spool, place: Place) -> Vec<String> {
        let entries = spool.entries(place).expect("a folder");
        let mut names: Vec<String> = entries.map(|entry| entry.expect("an entry").file.to_string()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_refused_file_goes_back_without_its_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(&Options::at(folder.path())).expect("a spool");
        let id: crate::SubmissionId = "abc".parse().expect("an id");
        let file = id.file_name();
        std::fs::write(spool.path(&file), "{}").expect("written");
        let reason = Reason {
            code: "schema_invalid".into(),
            reason: "wrong".into(),
            errors: vec![],
            error_count: 0,
            attempts: 1,
            at: chrono::Utc::now(),
        };
        spool.fail(&file, &reason).await.expect("failed");
        assert_eq!(names(&spool, Place::Failed), ["submission-abc.json"], "a reason is no submission");
        assert_eq!(spool.reason_of(&file).map(|reason| reason.code), Some("schema_invalid".into()));

        spool.requeue(Place::Failed, &file).expect("put back");
        assert_eq!(spool.state(&id).await.expect("readable"), State::Ready);
        assert_eq!(spool.reason_of(&file), None);
        assert!(matches!(spool.requeue(Place::Archive, &file), Err(Error::Io { .. })), "it waits already");

        spool.archive(&file).await.expect("archived");
        assert!(matches!(spool.requeue(Place::Failed, &file), Err(Error::Gone(_))));
        spool.remove(Place::Archive, &file).expect("removed");
        assert_eq!(names(&spool, Place::Archive), Vec::<String>::new());
    }
}
