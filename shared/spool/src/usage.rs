//! How full the spool is: counters in memory, corrected by slow scans (a request never lists a folder).

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{Error, Options};

/// How full the spool is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Waiting files: names of the top folder that end in `.json`.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The age of the oldest.
    pub oldest: Duration,
    /// Refused files.
    pub failed: u64,
    /// Submissions being received by this process.
    pub uploads: u64,
    /// The bytes of them so far.
    pub incoming_bytes: u64,
    /// Free space of the file system.
    pub free_bytes: u64,
}

/// The same, as counters.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) oldest_seconds: AtomicU64,
    pub(crate) failed: AtomicU64,
    uploads: AtomicU64,
    incoming_bytes: AtomicU64,
    pub(crate) free_bytes: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            oldest_seconds: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
            incoming_bytes: AtomicU64::new(0),
            // Nobody has looked yet.
            free_bytes: AtomicU64::new(u64::MAX),
        }
    }
}

impl Counters {
    pub(crate) fn read(&self) -> Usage {
        Usage {
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            oldest: Duration::from_secs(self.oldest_seconds.load(Relaxed)),
            failed: self.failed.load(Relaxed),
            uploads: self.uploads.load(Relaxed),
            incoming_bytes: self.incoming_bytes.load(Relaxed),
            free_bytes: self.free_bytes.load(Relaxed),
        }
    }

    /// Whether one more submission may begin.
    pub(crate) fn admit(&self, limits: &Options) -> Result<(), Error> {
        let usage = self.read();
        if usage.free_bytes < limits.spool_min_free {
            return Err(Error::Full("too little free space"));
        }
        if usage.files >= limits.spool_max_files {
            return Err(Error::Full("too many files wait"));
        }
        if usage.incoming_bytes >= limits.spool_max_incoming {
            return Err(Error::Busy("too many bytes are being received"));
        }
        Ok(())
    }

    pub(crate) fn upload_began(&self) {
        self.uploads.fetch_add(1, Relaxed);
    }

    pub(crate) fn bytes_came(&self, bytes: u64) {
        self.incoming_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn upload_ended(&self, bytes: u64) {
        self.uploads.fetch_sub(1, Relaxed);
        self.incoming_bytes.fetch_sub(bytes, Relaxed);
    }

    pub(crate) fn file_came(&self, bytes: u64) {
        self.files.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn file_left(&self) {
        // A file that came after the last scan and was not received here has not been counted.
        let _ = self.files.fetch_update(Relaxed, Relaxed, |files| files.checked_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_refuses() {
        let limits = Options { spool_max_incoming: 10, spool_max_files: 2, ..Options::at("/x") };
        let counters = Counters::default();
        assert!(counters.admit(&limits).is_ok());
        counters.bytes_came(10);
        assert!(matches!(counters.admit(&limits), Err(Error::Busy(_))));
        counters.upload_began();
        counters.upload_ended(10);
        assert!(counters.admit(&limits).is_ok());
        counters.file_came(1);
        counters.file_came(1);
        assert!(counters.admit(&limits).is_err_and(|error| error.is_full()));
        counters.file_left();
        assert!(counters.admit(&limits).is_ok());
        counters.free_bytes.store(limits.spool_min_free - 1, Relaxed);
        assert!(counters.admit(&limits).is_err_and(|error| error.is_full()));
    }
}
