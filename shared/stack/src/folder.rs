//! The folder: who uses it, and what is remembered in it between starts.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rand::Rng as _;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    servers::{Ports, Servers},
};

/// The file of what is remembered; only its owner can read it.
pub(crate) const STATE: &str = "stack.json";
const LOCK: &str = "stack.lock";

/// A folder that this process uses, and no other.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Absolute, without symbolic links.
    pub(crate) path: PathBuf,
    _lock: File,
}

/// What is remembered between starts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    #[serde(flatten)]
    pub(crate) servers: Servers,
    /// Where PostgreSQL's data is, when it cannot be in the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postgres: Option<PathBuf>,
    /// Whether PostgreSQL wrote through to the disk when it ran last.
    #[serde(default)]
    pub(crate) durable: bool,
    /// The ports of others who work in the folder.
    #[serde(default)]
    pub(crate) others: BTreeMap<String, u16>,
}

/// The process that uses a folder, if one does.
pub fn holder(dir: &Path) -> Option<u32> {
    let mut file = File::open(dir.join(LOCK)).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => Some(read_pid(&mut file)),
    }
}

fn read_pid(file: &mut File) -> u32 {
    let mut text = String::new();
    file.read_to_string(&mut text).ok();
    text.trim().parse().unwrap_or(0)
}

impl Folder {
    /// Makes the folder when missing, and claims it.
    pub(crate) fn lock(dir: &Path) -> Result<Self, Error> {
        if !dir.exists() {
            fs::create_dir_all(dir).map_err(Error::file("make", dir))?;
            // Whatever the umask: user `postgres` passes through this folder when we are root.
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(Error::file("open up", dir))?;
        }
        let path = dir.canonicalize().map_err(Error::file("find", dir))?;
        let name = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&name)
            .map_err(Error::file("open", &name))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::InUse { dir: path, pid: read_pid(&mut lock) });
        }
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(Error::file("write", &name))?;
        Ok(Self { path, _lock: lock })
    }

    /// What earlier starts left, or a new beginning.
    pub(crate) fn state(&self) -> Result<State, Error> {
        let path = self.path.join(STATE);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| Error::Folder {
                message: format!(
                    "cannot be understood ({error}); remove the folder {} to begin anew",
                    self.path.display()
                ),
                path,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let ports = Ports {
                    postgres: free_port(),
                    amqp: free_port(),
                    management: free_port(),
                    prometheus: free_port(),
                    distribution: free_port(),
                    epmd: free_port(),
                };
                Ok(State {
                    servers: Servers::new(ports, secret()),
                    postgres: None,
                    durable: false,
                    others: BTreeMap::new(),
                })
            }
            Err(error) => Err(Error::file("read", path)(error)),
        }
    }
}

impl State {
    pub(crate) fn write(&self, folder: &Folder) -> Result<(), Error> {
        let path = folder.path.join(STATE);
        let text = serde_json::to_string_pretty(self).expect("numbers and text can be written as JSON");
        write_private(&path, &text)
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(Error::file("write", path))
}

/// A port that is free at the moment, below those that the system gives to outgoing connections; a process
/// gets each only once in twelve thousand.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 20_000..32_000;
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(rand::rng().random_range(PORTS)));
    loop {
        let port = PORTS.start + NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start);
        let port = u16::try_from(port).expect("all of them are ports");
        if is_free(port) {
            return port;
        }
    }
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// 128 random bits as text.
pub(crate) fn secret() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_once_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(holder(dir.path()), None);
        let folder = Folder::lock(dir.path()).expect("free");
        assert_eq!(holder(dir.path()), Some(std::process::id()));
        let error = Folder::lock(dir.path()).expect_err("in use").to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(folder);
        assert_eq!(holder(dir.path()), None);
        Folder::lock(dir.path()).expect("free again");
    }

    #[test]
    fn what_is_remembered_is_private_and_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::lock(dir.path()).expect("free");
        let state = folder.state().expect("new");
        state.write(&folder).expect("written");
        let mode = fs::metadata(dir.path().join(STATE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.state().expect("readable").servers.database_url(), state.servers.database_url());
        fs::write(dir.path().join(STATE), "{").expect("written");
        let error = folder.state().expect_err("broken").to_string();
        assert!(error.contains(STATE) && error.contains("remove the folder"), "{error}");
    }
}
