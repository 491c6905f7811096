//! Receiving a submission.

use std::{
    fs::File,
    io, mem,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use crate::{
    Error, Spool, SubmissionId, blocking,
    commit::{Body, Committer},
    disk,
};

/// Up to here a submission stays in memory until it is committed; beyond, this much is written at a time.
const CHUNK: usize = 128 << 10;

/// A submission that is being received. Dropped before it is committed, it leaves nothing.
///
/// Holds at most two chunks of 128 KiB, however big the submission and however slow the disk.
#[derive(Debug)]
pub struct Incoming {
    spool: Spool,
    id: SubmissionId,
    size_bytes: u64,
    buffer: Vec<u8>,
    disk: Disk,
    /// Whether the temporary file is ours to remove.
    has_file: bool,
}

/// Where the bytes before the buffer's are, when not on their way.
#[derive(Debug)]
enum Disk {
    /// There are none.
    Nothing,
    /// In the temporary file, but for the last chunk, which is being written.
    Writing(JoinHandle<Result<Writer, Error>>),
    /// Handed on, or lost with an error.
    Over,
}

/// The temporary file of a big submission. Its lock tells the sweepers of all processes that somebody works on it.
#[derive(Debug)]
struct Writer {
    file: File,
    path: PathBuf,
    hash: Sha256,
    spare: Vec<u8>,
}

/// A submission that is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: SubmissionId,
    /// Bytes of the stored document.
    pub size_bytes: u64,
    /// SHA-256 of the stored document, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// When it became safe.
    pub received_at: DateTime<Utc>,
}

impl Spool {
    /// Begins to receive a submission, unless a limit is reached.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Busy`].
    pub fn receive(&self) -> Result<Incoming, Error> {
        self.check_admits()?;
        self.0.usage.upload_began();
        Ok(Incoming {
            spool: self.clone(),
            id: SubmissionId::random(),
            size_bytes: 0,
            buffer: Vec::new(),
            disk: Disk::Nothing,
            has_file: false,
        })
    }
}

impl Incoming {
    /// The id that it will have.
    pub fn id(&self) -> &SubmissionId {
        &self.id
    }

    /// The bytes so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Adds bytes; waits for the disk when it is behind.
    ///
    /// # Errors
    /// When the disk refuses; the submission cannot be committed any more.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        let size = bytes.len() as u64;
        self.size_bytes += size;
        self.spool.0.usage.bytes_came(size);
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(CHUNK - self.buffer.len()));
            self.buffer.extend_from_slice(&part);
            // A full buffer is written only when more comes: a submission of just this size needs no file yet.
            if self.buffer.len() == CHUNK && !bytes.is_empty() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Hands the buffer to the disk, after what was handed before.
    async fn flush(&mut self) -> Result<(), Error> {
        let mut writer = self.writer().await?;
        let bytes = mem::replace(&mut self.buffer, mem::take(&mut writer.spare));
        self.disk = Disk::Writing(tokio::task::spawn_blocking(move || {
            writer.write(&bytes)?;
            writer.spare = bytes;
            writer.spare.clear();
            Ok(writer)
        }));
        Ok(())
    }

    async fn writer(&mut self) -> Result<Writer, Error> {
        match mem::replace(&mut self.disk, Disk::Over) {
            Disk::Writing(task) => task.await.expect("writing does not panic"),
            Disk::Nothing => {
                let path = self.temporary();
                self.has_file = true;
                blocking(move || {
                    let file = disk::create(&path)?;
                    // A file system without locks leaves the sweeper the age alone.
                    let _ = file.lock_shared();
                    Ok(Writer { file, path, hash: Sha256::new(), spare: Vec::with_capacity(CHUNK) })
                })
                .await
            }
            Disk::Over => unreachable!("nothing is written after a commit or an error"),
        }
    }

    fn temporary(&self) -> PathBuf {
        self.spool.0.root.join(self.id.file_name().temporary())
    }

    /// Makes the submission durable under its final name: when this returns, it is safe.
    ///
    /// # Errors
    /// When the disk refuses; then nothing is left.
    pub async fn commit(mut self) -> Result<Stored, Error> {
        let bytes = mem::take(&mut self.buffer);
        let (body, hash) = if matches!(self.disk, Disk::Nothing) {
            let hash = Sha256::digest(&bytes);
            (Body::Memory(bytes), hash)
        } else {
            let mut writer = self.writer().await?;
            let writer = blocking(move || {
                writer.write(&bytes)?;
                disk::sync_file(&writer.file, &writer.path)?;
                Ok(writer)
            })
            .await?;
            (Body::File(writer.file), writer.hash.finalize())
        };
        // From here on the committing thread removes it, should it have to.
        self.has_file = false;
        let inner = &self.spool.0;
        let committer = inner.committer.get_or_init(|| Committer::start(std::sync::Arc::downgrade(inner)));
        committer.commit(self.id.file_name(), body).await?;
        inner.usage.file_came(self.size_bytes);
        Ok(Stored { id: self.id.clone(), size_bytes: self.size_bytes, sha256: hex(&hash), received_at: Utc::now() })
    }
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        disk::write(&mut self.file, &self.path, bytes)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.spool.0.usage.upload_ended(self.size_bytes);
        if !self.has_file {
            return;
        }
        let path = self.temporary();
        let remove = move || {
            if let Err(error) = disk::remove(&path)
                && path.exists()
            {
                tracing::warn!(%error, "a temporary file is left for the sweeper");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// SHA-256 of a file, as in [`Stored`].
pub(crate) fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; CHUNK];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            size => hash.update(&buffer[..size]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
