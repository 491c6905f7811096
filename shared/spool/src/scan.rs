//! Slow looks at the whole top folder: files that wait, how full it is, and what dead uploads have left.

use std::{
    collections::BinaryHeap,
    fs::{DirEntry, TryLockError},
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

use crate::{Error, FileName, Inner, Spool, Usage, blocking};

/// The most files of one listing: memory stays bounded however many wait.
const LISTING: usize = 50_000;

/// A file that waits. Older ones are smaller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// When it was written.
    pub modified: SystemTime,
    /// Its name.
    pub file: FileName,
    /// Its bytes.
    pub size_bytes: u64,
}

impl Spool {
    /// The names of files that wait and were written at least `older_than` ago, oldest first, at most 50 000.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub async fn ready(&self, older_than: Duration) -> Result<Vec<FileName>, Error> {
        Ok(self.waiting(None, older_than).await?.into_iter().map(|waiting| waiting.file).collect())
    }

    /// Files that wait and were written at least `older_than` ago, oldest first, at most 50 000; only those that come
    /// after `after`, to go through more than that.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub async fn waiting(&self, after: Option<Waiting>, older_than: Duration) -> Result<Vec<Waiting>, Error> {
        let inner = self.0.clone();
        blocking(move || {
            let newest = SystemTime::now() - older_than;
            let mut oldest: BinaryHeap<Waiting> = BinaryHeap::new();
            inner.each_waiting(|waiting| {
                if waiting.modified <= newest && after.as_ref().is_none_or(|after| waiting > *after) {
                    oldest.push(waiting);
                    if oldest.len() > LISTING {
                        oldest.pop();
                    }
                }
            })?;
            Ok(oldest.into_sorted_vec())
        })
        .await
    }

    /// How full the spool is, from memory.
    pub fn usage(&self) -> Usage {
        self.0.usage.read()
    }

    /// Whether one more submission would be accepted.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn check_admits(&self) -> Result<(), Error> {
        self.0.usage.admit(&self.0.options)
    }

    /// The configured free space below which no submission is accepted.
    pub fn min_free_bytes(&self) -> u64 {
        self.0.options.spool_min_free
    }

    /// Corrects the free space that [`Spool::usage`] tells. Quick.
    ///
    /// # Errors
    /// When the file system does not say.
    pub async fn measure_space(&self) -> Result<(), Error> {
        let inner = self.0.clone();
        blocking(move || {
            let space = rustix::fs::statvfs(&inner.root).map_err(|error| Error::Io {
                action: "ask for the free space of",
                path: inner.root.clone(),
                source: error.into(),
            })?;
            inner.usage.free_bytes.store(space.f_bavail.saturating_mul(space.f_frsize), Relaxed);
            Ok(())
        })
        .await
    }

    /// Corrects what [`Spool::usage`] tells of files, by listing the top folder and `failed/`. Slow when many wait.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub async fn count(&self) -> Result<(), Error> {
        let inner = self.0.clone();
        blocking(move || {
            let (mut files, mut bytes, mut oldest) = (0, 0, None);
            inner.each_waiting(|waiting| {
                files += 1;
                bytes += waiting.size_bytes;
                oldest = Some(oldest.map_or(waiting.modified, |oldest: SystemTime| oldest.min(waiting.modified)));
            })?;
            let age = oldest.and_then(|oldest| oldest.elapsed().ok()).unwrap_or_default();
            let mut failed = 0;
            each(&inner.failed, |entry| failed += u64::from(file_name(&entry).is_some()))?;
            let usage = &inner.usage;
            for (counter, value) in [
                (&usage.files, files),
                (&usage.bytes, bytes),
                (&usage.oldest_seconds, age.as_secs()),
                (&usage.failed, failed),
            ] {
                counter.store(value, Relaxed);
            }
            Ok(())
        })
        .await
    }

    /// Removes files of uploads that were written last at least the configured age ago and that nobody works on;
    /// returns how many.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub async fn sweep_temporary(&self) -> Result<u64, Error> {
        let inner = self.0.clone();
        blocking(move || {
            let newest = SystemTime::now() - inner.options.spool_temp_age;
            let mut removed = 0;
            each(&inner.root, |entry| {
                if is_abandoned(&entry, newest) && std::fs::remove_file(entry.path()).is_ok() {
                    removed += 1;
                    tracing::info!(file = %entry.path().display(), "removed what a dead upload had left");
                }
            })?;
            Ok(removed)
        })
        .await
    }
}

impl Inner {
    fn each_waiting(&self, mut see: impl FnMut(Waiting)) -> Result<(), Error> {
        each(&self.root, |entry| {
            let Some(file) = file_name(&entry) else { return };
            // A file that went away since it was listed, or a folder, waits for nobody.
            let Ok(about) = std::fs::metadata(entry.path()) else { return };
            if let (true, Ok(modified)) = (about.is_file(), about.modified()) {
                see(Waiting { modified, file, size_bytes: about.len() });
            }
        })
    }
}

/// A name that is not UTF-8 cannot be told in an event, and is left to the operator.
fn file_name(entry: &DirEntry) -> Option<FileName> {
    entry.file_name().to_str()?.parse().ok()
}

fn is_abandoned(entry: &DirEntry, newest: SystemTime) -> bool {
    let name = entry.file_name();
    let ours = name.to_str().is_some_and(|name| name.starts_with("submission-") && name.ends_with(".json.temp"));
    if !ours || entry.metadata().and_then(|about| about.modified()).is_ok_and(|modified| modified > newest) {
        return false;
    }
    // Whoever still writes it holds a lock; a file system without locks leaves us the age.
    let Ok(file) = std::fs::File::open(entry.path()) else { return false };
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

fn each(folder: &Path, mut see: impl FnMut(DirEntry)) -> Result<(), Error> {
    let failed = |source| Error::Io { action: "list", path: PathBuf::from(folder), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        see(entry.map_err(failed)?);
    }
    Ok(())
}
