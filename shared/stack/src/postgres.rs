//! PostgreSQL in a folder. It refuses to run as root: then it runs as user `postgres`, which must be able to get there.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use tokio::sync::Mutex;

use crate::{
    Error, PATIENCE,
    folder::{Folder, State, free_port, is_free, secret, write_private},
    install,
    process::{self, Process},
    servers::{NAME, Servers},
};

const POSTGRES: &str = "postgres";
/// The process name of the server and all its workers.
const COMM: &str = "postgres";

/// The PostgreSQL of a folder.
#[derive(Debug)]
pub(crate) struct Postgres {
    home: PathBuf,
    /// The home is outside of the stack's folder.
    elsewhere: bool,
    servers: Servers,
    user: Option<User>,
    durable: bool,
    /// Nothing was written through to the disk so far.
    to_sync: bool,
    process: Mutex<Option<Process>>,
}

/// Whom PostgreSQL runs as when we are root.
#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    pub(crate) fn new(folder: &Folder, state: &mut State, durable: bool) -> Result<Self, Error> {
        let user = if rustix::process::getuid().is_root() { Some(User::find()?) } else { None };
        let home = match (&state.postgres, user) {
            (Some(elsewhere), _) => elsewhere.clone(),
            (None, Some(user)) if !user.can_enter(&folder.path) => {
                let elsewhere = Path::new("/var/lib/kcidb").join(&secret()[..16]);
                state.postgres = Some(elsewhere.clone());
                elsewhere
            }
            (None, _) => folder.path.join("postgres"),
        };
        let to_sync = durable && !state.durable && home.join("data").exists();
        state.durable = durable;
        let port = &mut state.servers.ports.postgres;
        if !is_free(*port) && process::in_folder(&home, COMM).is_empty() {
            *port = free_port();
        }
        Ok(Self {
            home,
            elsewhere: state.postgres.is_some(),
            servers: state.servers.clone(),
            user,
            durable,
            to_sync,
            process: Mutex::default(),
        })
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Starts it, or takes over the one that runs here; does nothing when it runs already.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        let mut slot = self.process.lock().await;
        if slot.as_mut().is_some_and(Process::is_running) {
            return Ok(());
        }
        *slot = None;
        if let Some(running) = self.take_over().await {
            *slot = Some(running);
            return Ok(());
        }
        self.end_leftovers().await;
        let bin = self.binaries()?;
        self.initialise(&bin).await?;
        write_private(&self.data().join("kcidb.conf"), &self.configuration())?;
        self.give(&self.data().join("kcidb.conf"))?;
        let mut command = self.command(&bin.join("postgres"));
        command.arg("-D").arg(self.data());
        let mut process = Process::start(command, "PostgreSQL", &self.log())?;
        process.ready(Duration::from_mins(1), async || self.servers.connect(POSTGRES).await.is_ok()).await?;
        *slot = Some(process);
        let admin = self.servers.connect(POSTGRES).await?;
        if admin.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&NAME]).await?.is_none() {
            admin.batch_execute(&format!("CREATE DATABASE {NAME}")).await?;
        }
        Ok(())
    }

    /// The server that runs here without an owner, if it answers and is as durable as asked for.
    async fn take_over(&self) -> Option<Process> {
        let pid = self.postmaster()?;
        let admin = self.servers.connect(NAME).await.ok()?;
        let fsync: String = admin.query_one("SHOW fsync", &[]).await.ok()?.get(0);
        ((fsync == "on") == self.durable).then(|| Process::adopt(pid, "PostgreSQL", &self.log()))
    }

    /// The number that the data folder names, if that process really is a PostgreSQL in this folder.
    fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        process::in_folder(&self.home, COMM).contains(&pid).then_some(pid)
    }

    /// Ends what runs here without an owner; true when there was something.
    pub(crate) async fn end_leftovers(&self) -> bool {
        if process::in_folder(&self.home, COMM).is_empty() {
            return false;
        }
        if let Some(pid) = self.postmaster() {
            process::end(pid, Signal::INT, Duration::from_secs(10)).await;
        }
        self.clear_away().await;
        true
    }

    pub(crate) async fn stop(&self) {
        let Some(mut process) = self.process.lock().await.take() else { return };
        // The fast shutdown: clients are disconnected.
        process.signal(Signal::INT);
        if !process.ended(PATIENCE).await {
            tracing::warn!("PostgreSQL does not stop: killing it");
        }
        process.kill().await;
        self.clear_away().await;
    }

    pub(crate) async fn kill(&self) {
        if let Some(process) = self.process.lock().await.take() {
            process.kill().await;
        }
        self.clear_away().await;
    }

    /// Whatever is left of a server that has ended: its workers notice the end by themselves, but a restart must not meet
    /// them. Nor must it meet the file with the number of one that nobody has collected yet.
    async fn clear_away(&self) {
        process::kill_in_folder(&self.home, COMM).await;
        fs::remove_file(self.data().join("postmaster.pid")).ok();
    }

    pub(crate) async fn leave(&self) {
        if let Some(process) = self.process.lock().await.take() {
            process.leave();
        }
    }

    pub(crate) async fn pids(&self) -> BTreeMap<&'static str, u32> {
        self.process.lock().await.iter().map(|process| ("postgres", process.pid())).collect()
    }

    /// The installed version that made the data, else the newest.
    fn binaries(&self) -> Result<PathBuf, Error> {
        let path = self.data().join("PG_VERSION");
        let made_by = fs::read_to_string(&path).ok().map(|text| text.trim().to_owned());
        let found = install::postgres(made_by.as_deref());
        match (found, made_by) {
            (Some(found), _) => Ok(found),
            (None, Some(version)) if install::postgres(None).is_some() => Err(Error::Folder {
                message: format!(
                    "the data was made by PostgreSQL {version}, which is not installed; install it, or remove {} to begin anew",
                    self.home.display()
                ),
                path,
            }),
            (None, _) => Err(install::error()),
        }
    }

    /// Makes the data folder, once; a half-made one is never taken for a whole.
    async fn initialise(&self, bin: &Path) -> Result<(), Error> {
        if self.data().exists() {
            if self.to_sync {
                let mut sync = self.command(&bin.join("initdb"));
                sync.arg("--sync-only").arg("-D").arg(self.data());
                self.run(sync).await?;
            }
            return Ok(());
        }
        if self.elsewhere {
            let home = self.home.display();
            eprintln!(
                "kcidb: PostgreSQL keeps its data in {home}: its user, {POSTGRES}, may not enter the folder given"
            );
        }
        fs::create_dir_all(&self.home).map_err(Error::file("make", &self.home))?;
        self.give(&self.home)?;
        fs::set_permissions(&self.home, fs::Permissions::from_mode(0o700)).map_err(Error::file("close", &self.home))?;
        let (draft, password) = (self.home.join("data.draft"), self.home.join("password"));
        fs::remove_dir_all(&draft).ok();
        write_private(&password, &self.servers.password)?;
        self.give(&password)?;
        let mut initdb = self.command(&bin.join("initdb"));
        initdb.args(["--username", NAME, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "-D"]);
        initdb.arg(&draft).arg("--pwfile").arg(&password);
        if !self.durable {
            initdb.arg("--no-sync");
        }
        let made = self.run(initdb).await;
        fs::remove_file(&password).ok();
        made?;
        let settings = draft.join("postgresql.conf");
        let mut text = fs::read_to_string(&settings).map_err(Error::file("read", &settings))?;
        text.push_str("\ninclude 'kcidb.conf'\n");
        fs::write(&settings, text).map_err(Error::file("write", &settings))?;
        fs::rename(&draft, self.data()).map_err(Error::file("rename", draft))
    }

    fn configuration(&self) -> String {
        let (port, safe) = (self.servers.ports.postgres, if self.durable { "on" } else { "off" });
        format!(
            "# Written at every start.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 128MB
max_wal_size = 1GB
fsync = {safe}
full_page_writes = {safe}
log_line_prefix = '%m [%p] %q%u@%d '
"
        )
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = process::command(program);
        command.current_dir(&self.home);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    async fn run(&self, command: Command) -> Result<(), Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = tokio::process::Command::from(command).output().await;
        let output = output.map_err(|source| Error::Run { program: program.clone(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        Err(Error::Folder { path: self.home.clone(), message: format!("{program} failed: {}", message.trim()) })
    }

    /// Makes the server's user the owner.
    fn give(&self, path: &Path) -> Result<(), Error> {
        match self.user {
            Some(user) => chown(path, Some(user.uid), Some(user.gid)).map_err(Error::file("change the owner of", path)),
            None => Ok(()),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.process.get_mut().take().is_some() {
            process::kill_once_in_folder(&self.home, COMM);
        }
    }
}

impl User {
    fn find() -> Result<Self, Error> {
        let path = Path::new("/etc/passwd");
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        let line = text.lines().find(|line| line.starts_with("postgres:"));
        let ids = line.and_then(|line| {
            let mut fields = line.split(':').skip(2).map(str::parse);
            Some(Self { uid: fields.next()?.ok()?, gid: fields.next()?.ok()? })
        });
        ids.ok_or_else(|| {
            if install::missing().is_empty() {
                Error::Folder {
                    path: path.into(),
                    message: "there is no user postgres, whom PostgreSQL needs when started by root; add it, or run this as an ordinary user".into(),
                }
            } else {
                install::error()
            }
        })
    }

    /// Asked the way the server will: by going there.
    fn can_enter(self, folder: &Path) -> bool {
        let mut test = process::command("test");
        test.arg("-x").arg(folder).current_dir("/").uid(self.uid).gid(self.gid);
        test.status().is_ok_and(|status| status.success())
    }
}
