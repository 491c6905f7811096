//! Fetched logs on disk: a file per URL, named by the lower-case hex MD5 of the URL, as sent.
//!
//! Invariants
//! - A file under its name is complete: it is written under another name and renamed. Failures are never files.
//! - Of many who ask for a URL at once, one fetches it; the others wait for it. Several processes may share a folder; they
//!   may fetch the same log twice, and the last one's file stays.
//! - The folder stays within its limit, about: the files that were not used for longest go first.

use std::{
    collections::HashMap,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use events::Reason;
use futures::{FutureExt as _, future::BoxFuture, future::Shared};
use logspec::unpack::Packing;
use md5::{Digest as _, Md5};

use crate::{
    config,
    failure::{Failure, Prospect},
    fetch::{Bounds, Fetcher, local, shown},
    metrics::Metrics,
};

/// How long a passing failure is remembered: less than the shortest pause before a message is tried again.
const PASSING: Duration = Duration::from_secs(3);
/// Failures remembered at most.
const MEMORY: usize = 10_000;
/// Files younger than this are not removed: somebody may be about to open them.
const YOUNG: Duration = Duration::from_secs(10);
/// Unfinished files older than this were left by a killed process.
const ABANDONED: Duration = Duration::from_hours(1);
/// The folder is measured anew after this, for other processes write to it too.
const MEASURE: Duration = Duration::from_mins(1);

type Key = (String, Bounds);
type Flight = Shared<BoxFuture<'static, Result<(), Failure>>>;

/// Fetched logs.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    limit: u64,
    /// How long failures are remembered that do not pass.
    memory: Duration,
    fetcher: Fetcher,
    metrics: Metrics,
    flights: Mutex<HashMap<Key, Flight>>,
    failures: Mutex<HashMap<Key, (Instant, Failure)>>,
    /// Bytes in the folder, about.
    used: AtomicU64,
    measured: Mutex<Option<Instant>>,
}

impl Cache {
    /// Opens the folder, which is made when it is missing.
    pub(crate) fn open(options: &config::Fetch, fetcher: Fetcher, metrics: Metrics) -> io::Result<Arc<Self>> {
        fs::create_dir_all(&options.cache)?;
        let probe = options.cache.join(format!("{}.temp", temporary()));
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe))?;
        Ok(Arc::new(Self {
            folder: options.cache.clone(),
            limit: options.cache_size,
            memory: options.failure_memory,
            fetcher,
            metrics,
            flights: Mutex::default(),
            failures: Mutex::default(),
            used: AtomicU64::new(0),
            measured: Mutex::default(),
        }))
    }

    /// The log at a URL, as it is sent, open for reading; fetched when it is not there yet.
    pub(crate) async fn get(self: &Arc<Self>, url: &str, bounds: Bounds) -> Result<fs::File, Failure> {
        let path = self.folder.join(name(url));
        let mut source = "cached";
        // A file may be removed, by this process or another, before it is opened.
        for _ in 0..3 {
            if let Some(file) = open(&path).map_err(|error| local(&error))? {
                if source == "cached" {
                    self.metrics.fetches.with_label_values(&["cached", ""]).inc();
                }
                return Ok(file);
            }
            source = "fetched";
            self.flight(url, bounds, &path).await?;
        }
        Err(Failure::new(Reason::CacheUnavailable, "files are removed before they are read; is the folder too small?"))
    }

    /// The fetch of this URL that is under way; or a new one.
    fn flight(self: &Arc<Self>, url: &str, bounds: Bounds, path: &Path) -> Flight {
        let key = (url.to_owned(), bounds);
        let mut flights = self.flights.lock().expect("no panic happens under this lock");
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        let (cache, path, job) = (self.clone(), path.to_owned(), key.clone());
        // A task of its own: that one of those who wait goes away must not harm the others.
        let task = tokio::spawn(async move {
            let result = cache.fill(&job, &path).await;
            cache.flights.lock().expect("no panic happens under this lock").remove(&job);
            result
        });
        let flight = async move {
            task.await.unwrap_or_else(|error| Err(Failure::new(Reason::CacheUnavailable, error.to_string())))
        };
        let flight = flight.boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }

    async fn fill(&self, key: &Key, path: &Path) -> Result<(), Failure> {
        // Whoever fetched it a moment ago may have finished between our look and now.
        if matches!(open(path), Ok(Some(_))) {
            return Ok(());
        }
        if let Some(failure) = self.remembered(key) {
            return Err(failure);
        }
        let (url, bounds) = key;
        let started = Instant::now();
        let temporary = self.folder.join(format!("{}.{}.temp", name(url), temporary()));
        let result = self.fetch(url, *bounds, &temporary, path).await;
        self.metrics.fetch_duration.observe(started.elapsed().as_secs_f64());
        match &result {
            Ok(bytes) => {
                self.metrics.fetches.with_label_values(&["fetched", ""]).inc();
                #[expect(clippy::cast_precision_loss, reason = "a histogram is not that precise")]
                self.metrics.fetch_bytes.observe(*bytes as f64);
                self.used.fetch_add(*bytes, Ordering::Relaxed);
                self.tidy().await;
            }
            Err(failure) => {
                self.metrics.fetches.with_label_values(&["failed", failure.reason.as_str()]).inc();
                tracing::info!(url = shown(url), reason = %failure.reason, "a log was not fetched: {}", failure.detail);
                let _ = fs::remove_file(&temporary);
                self.remember(key.clone(), failure.clone());
            }
        }
        result.map(drop)
    }

    /// Fetches into one file and renames it to the other; the bytes that were sent.
    async fn fetch(&self, url: &str, bounds: Bounds, temporary: &Path, path: &Path) -> Result<u64, Failure> {
        let fetched = self.fetcher.fetch(url, bounds, temporary).await?;
        if fetched.bytes == 0 {
            return Err(Failure::new(Reason::LogEmpty, "0 bytes"));
        }
        if fetched.is_encoded {
            let (temporary, limit) = (temporary.to_owned(), bounds.text_bytes.saturating_add(1));
            let decoding = tokio::task::spawn_blocking(move || decode(&temporary, limit)).await;
            decoding
                .unwrap_or_else(|error| Err(io::Error::other(error)))
                .map_err(|error| Failure::new(Reason::LogDamaged, error.to_string()))?;
        }
        fs::rename(temporary, path).map_err(|error| local(&error))?;
        Ok(fetched.bytes)
    }

    fn remembered(&self, key: &Key) -> Option<Failure> {
        let failures = self.failures.lock().expect("no panic happens under this lock");
        failures.get(key).filter(|(until, _)| *until > Instant::now()).map(|(_, failure)| failure.clone())
    }

    fn remember(&self, key: Key, failure: Failure) {
        let time = if failure.prospect() == Prospect::Passing { PASSING.min(self.memory) } else { self.memory };
        let mut failures = self.failures.lock().expect("no panic happens under this lock");
        let now = Instant::now();
        failures.retain(|_, (until, _)| *until > now);
        if failures.len() < MEMORY {
            failures.insert(key, (now + time, failure));
        }
    }

    /// Brings the folder back under its limit when it seems to be above.
    async fn tidy(&self) {
        {
            let mut measured = self.measured.lock().expect("no panic happens under this lock");
            let is_recent = measured.is_some_and(|measured| measured.elapsed() < MEASURE);
            if is_recent && self.used.load(Ordering::Relaxed) <= self.limit {
                return;
            }
            *measured = Some(Instant::now());
        }
        let (folder, limit) = (self.folder.clone(), self.limit);
        match tokio::task::spawn_blocking(move || tidy(&folder, limit)).await {
            Ok(Ok(used)) => self.used.store(used, Ordering::Relaxed),
            Ok(Err(error)) => tracing::warn!(%error, "the folder of logs cannot be tidied"),
            Err(error) => tracing::error!(%error, "tidying the folder of logs failed"),
        }
    }
}

/// The name of a URL's file.
fn name(url: &str) -> String {
    hex(&Md5::digest(url))
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// A part of a file name that nobody else uses.
fn temporary() -> String {
    format!("{}-{:016x}", std::process::id(), rand::random::<u64>())
}

/// Opens a file that is complete, and notes that it was used. Empty ones were left by older programs after a failure.
fn open(path: &Path) -> io::Result<Option<fs::File>> {
    match fs::File::open(path) {
        Ok(file) if file.metadata()?.len() == 0 => Ok(None),
        Ok(file) => {
            let _ = file.set_modified(SystemTime::now());
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Undoes the server's compression, up to so many bytes; what is not compressed as it says stays.
fn decode(path: &Path, limit: u64) -> io::Result<()> {
    let mut start = [0; 4];
    let mut file = fs::File::open(path)?;
    let length = file.read(&mut start)?;
    let file = io::BufReader::new(fs::File::open(path)?);
    let mut decoder: Box<dyn io::Read> = match Packing::of(&start[..length]) {
        Packing::Plain => return Ok(()),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
    };
    let target = path.with_extension("decoded.temp");
    let result = fs::File::create(&target).and_then(|mut to| io::copy(&mut decoder.by_ref().take(limit), &mut to));
    match result {
        Ok(_) => fs::rename(target, path),
        Err(error) => {
            let _ = fs::remove_file(target);
            Err(error)
        }
    }
}

/// Removes the files that were not used for longest, until a tenth of the limit is free; the bytes that are left.
fn tidy(folder: &Path, limit: u64) -> io::Result<u64> {
    let now = SystemTime::now();
    let mut files = Vec::new();
    let mut used = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // What another process has removed meanwhile is of no interest.
        let (Ok(metadata), name) = (entry.metadata(), entry.file_name()) else { continue };
        let age = metadata.modified().ok().and_then(|time| now.duration_since(time).ok()).unwrap_or_default();
        let is_log = name.len() == 32 && name.to_string_lossy().bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_log {
            used += metadata.len();
            files.push((age, metadata.len(), entry.path()));
        } else if name.to_string_lossy().ends_with(".temp") && age > ABANDONED {
            let _ = fs::remove_file(entry.path());
        }
    }
    if used > limit {
        files.sort_unstable_by_key(|(age, ..)| std::cmp::Reverse(*age));
        for (_, size, path) in files.into_iter().take_while(|(age, ..)| *age > YOUNG) {
            if used <= limit / 10 * 9 {
                break;
            }
            if fs::remove_file(path).is_ok() {
                used -= size;
            }
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_the_existing_worker_does() {
        assert_eq!(name("https://example.org/log.gz"), "4b2d82b74f9c965ba0ca92a1d3656856");
        assert_eq!(name(""), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, age: u64, size: usize| {
            let path = folder.path().join(name);
            fs::write(&path, vec![b'x'; size]).expect("written");
            let file = fs::File::options().write(true).open(&path).expect("it is there");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("a time");
        };
        let log = |digit: &str| digit.repeat(32);
        file(&log("a"), 300, 40);
        file(&log("b"), 200, 40);
        file(&log("c"), 100, 40);
        file("d.temp", 4000, 5);
        file("e.temp", 40, 5);
        file("notes", 9000, 500);
        open(&folder.path().join(log("a"))).expect("readable").expect("it is there");
        assert_eq!(tidy(folder.path(), 100).expect("a folder"), 80);
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("a file").file_name()).collect();
        left.sort();
        assert_eq!(left, [log("a"), log("c"), "e.temp".into(), "notes".into()].map(std::ffi::OsString::from));
    }

    #[test]
    fn the_servers_own_compression_is_undone_up_to_the_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, zstd::encode_all(&b"0123456789"[..], 1).expect("packed")).expect("written");
        decode(&path, 4).expect("it is fine");
        assert_eq!(fs::read(&path).expect("a file"), b"0123");
        decode(&path, 4).expect("what is plain stays");
        assert_eq!(fs::read(&path).expect("a file"), b"0123");
        fs::write(&path, b"\x1f\x8b broken").expect("written");
        assert!(decode(&path, 4).is_err());
    }
}
