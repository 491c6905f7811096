//! One stack for all test processes of a run: a broker's start costs seconds.
//!
//! The first process that asks starts the servers and leaves them running; the others find them. Each user holds a shared
//! lock on a file until it ends, however it ends. A small keeper waits until nobody holds it, and kills the servers.

use std::{
    env,
    fs::{self, File, OpenOptions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::OnceCell;

use crate::{
    Error, Options, Servers, Stack,
    folder::{Folder, STATE},
    process,
};

const KEEPER: &str = include_str!("keeper.sh");
/// How long the servers wait for the next test process.
const IDLE_SECONDS: &str = "5";

/// The servers that all test processes of this build share; use [`Servers::fresh_database`] and
/// [`Servers::fresh_vhost`] in them. They end some seconds after the last process that uses them.
///
/// The folder is `KCIDB_TEST_STACK`, or one for this build in the system's folder for temporary files.
///
/// # Errors
/// As [`Stack::start`].
pub async fn shared() -> Result<&'static Servers, Error> {
    static SHARED: OnceCell<(Servers, File)> = OnceCell::const_new();
    SHARED.get_or_try_init(find_or_start).await.map(|(servers, _lock)| servers)
}

async fn find_or_start() -> Result<(Servers, File), Error> {
    let dir = own_folder(&env::var_os("KCIDB_TEST_STACK").map_or_else(default_folder, PathBuf::from))?;
    let users = dir.join("users");
    let lock = OpenOptions::new().create(true).append(true).open(&users).map_err(Error::file("open", &users))?;
    // Waits while a keeper is ending servers that nobody used.
    let lock = tokio::task::spawn_blocking(move || {
        flock(&lock, FlockOperation::LockShared)
            .map_err(|error| Error::file("lock", users)(error.into()))
            .map(|()| lock)
    })
    .await
    .expect("locking a file does not panic")?;
    let folder = loop {
        match Folder::lock(&dir.join("stack")) {
            Ok(folder) => break folder,
            // Another process is starting the servers, or looking for them.
            Err(Error::InUse { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error),
        }
    };
    if folder.path.join(STATE).exists() {
        let servers = folder.state()?.servers;
        if servers.connect("kcidb").await.is_ok() && process::answers(servers.ports.amqp).await {
            return Ok((servers, lock));
        }
    }
    keep(&dir)?;
    let options = Options::at(&folder.path);
    let servers = Stack::open_in(folder, &options)?.started().await?.leave().await;
    Ok((servers, lock))
}

fn keep(dir: &Path) -> Result<(), Error> {
    let mut keeper: Command = process::command("sh");
    keeper.args(["-c", KEEPER, "kcidb-test-keeper"]).arg(dir).arg(IDLE_SECONDS);
    keeper.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    keeper.spawn().map(drop).map_err(|source| Error::Run { program: "sh".into(), source })
}

/// One per user and build; user `postgres` can get there.
fn default_folder() -> PathBuf {
    let build =
        env::current_exe().ok().and_then(|exe| exe.parent().map(|parent| parent.to_string_lossy().into_owned()));
    // FNV-1a: the same in every process.
    let digest = build
        .unwrap_or_default()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    env::temp_dir().join(format!("kcidb-test-{}-{digest:016x}", rustix::process::getuid().as_raw()))
}

/// Makes the folder, and refuses one that somebody else has put there.
fn own_folder(dir: &Path) -> Result<PathBuf, Error> {
    if !dir.exists() {
        fs::create_dir_all(dir).map_err(Error::file("make", dir))?;
    }
    let owner = fs::symlink_metadata(dir).map_err(Error::file("look at", dir))?.uid();
    if owner != rustix::process::getuid().as_raw() {
        return Err(Error::Folder {
            path: dir.into(),
            message: "belongs to another user; set KCIDB_TEST_STACK to a folder of yours".into(),
        });
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(Error::file("open up", dir))?;
    dir.canonicalize().map_err(Error::file("find", dir))
}
