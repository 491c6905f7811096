//! The system calls that durability rests on. Under test each is written down, so that a test can say what a crash at
//! any moment would leave.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::Error;

/// One call, as the tests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Create(PathBuf),
    Write(PathBuf),
    SyncFile(PathBuf),
    SyncAll(PathBuf),
    Rename(PathBuf, PathBuf),
    SyncFolder(PathBuf),
    Remove(PathBuf),
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

/// Makes a new file, readable by everybody, as the old daemon does.
pub(crate) fn create(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map_err(failed("make", path))?;
    record(|| Call::Create(path.to_owned()));
    Ok(file)
}

pub(crate) fn write(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file.write_all(bytes).map_err(failed("write", path))?;
    record(|| Call::Write(path.to_owned()));
    Ok(())
}

/// Makes the bytes of a file durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<(), Error> {
    file.sync_data().map_err(failed("make durable", path))?;
    record(|| Call::SyncFile(path.to_owned()));
    Ok(())
}

/// Makes everything durable that was written to the folder's file system.
pub(crate) fn sync_all(folder: &File, path: &Path) -> Result<(), Error> {
    rustix::fs::syncfs(folder).map_err(|source| failed("make durable everything in", path)(source.into()))?;
    record(|| Call::SyncAll(path.to_owned()));
    Ok(())
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(failed("rename", from))?;
    record(|| Call::Rename(from.to_owned(), to.to_owned()));
    Ok(())
}

pub(crate) fn open_folder(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(failed("open the folder", path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &File, path: &Path) -> Result<(), Error> {
    folder.sync_all().map_err(failed("make durable the folder", path))?;
    record(|| Call::SyncFolder(path.to_owned()));
    Ok(())
}

pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    std::fs::remove_file(path).map_err(failed("remove", path))?;
    record(|| Call::Remove(path.to_owned()));
    Ok(())
}

#[cfg(not(test))]
fn record(_: impl FnOnce() -> Call) {}

#[cfg(test)]
fn record(call: impl FnOnce() -> Call) {
    journal::add(call());
}

/// What was called, in order, by all tests of this process.
#[cfg(test)]
pub(crate) mod journal {
    use std::{path::Path, sync::Mutex};

    use super::Call;

    static CALLS: Mutex<Vec<Call>> = Mutex::new(Vec::new());

    pub(super) fn add(call: Call) {
        CALLS.lock().expect("no panic happens under this lock").push(call);
    }

    /// The calls so far that concern `root` and what is below it.
    pub(crate) fn below(root: &Path) -> Vec<Call> {
        let calls = CALLS.lock().expect("no panic happens under this lock");
        let concerns = |call: &&Call| match call {
            Call::Create(path)
            | Call::Write(path)
            | Call::SyncFile(path)
            | Call::Rename(path, _)
            | Call::SyncFolder(path)
            | Call::SyncAll(path)
            | Call::Remove(path) => path.starts_with(root),
        };
        calls.iter().filter(concerns).cloned().collect()
    }
}
