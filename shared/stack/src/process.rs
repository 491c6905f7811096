//! Server processes: started, taken over, signalled, and surely gone.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;

/// A log that has grown beyond this begins anew at the next start.
const LOG_SIZE: u64 = 16 << 20;
/// The environment variable that marks a server and the helpers that it starts.
pub(crate) const MARK: &str = "KCIDB_SERVER";
const PAUSE: Duration = Duration::from_millis(10);

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    server: &'static str,
    log: PathBuf,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Child(Child),
    /// The child of a process that has ended; PID 1 collects it.
    Adopted(u32),
}

/// A command in a process group of its own, with nothing of our environment but the path.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).process_group(0);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin:/usr/sbin:/sbin".into()));
    command
}

impl Process {
    /// Starts a server that writes its log to `log`.
    pub(crate) fn start(mut command: Command, server: &'static str, log: &Path) -> Result<Self, Error> {
        let fault = Error::file("open", log);
        let big = fs::metadata(log).is_ok_and(|metadata| metadata.len() > LOG_SIZE);
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .and_then(|file| if big { file.set_len(0).map(|()| file) } else { Ok(file) })
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(fault)?;
        let child = command
            .stdout(output.0)
            .stderr(output.1)
            .spawn()
            .map_err(|source| Error::Run { program: command.get_program().to_string_lossy().into_owned(), source })?;
        Ok(Self { server, log: log.into(), running: Running::Child(child) })
    }

    /// Takes over a server that a process which has ended left behind.
    pub(crate) fn adopt(pid: u32, server: &'static str, log: &Path) -> Self {
        tracing::info!(server, pid, "taking over a server that an earlier start left running");
        Self { server, log: log.into(), running: Running::Adopted(pid) }
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.running {
            Running::Child(child) => child.id(),
            Running::Adopted(pid) => *pid,
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        match &mut self.running {
            Running::Child(child) => matches!(child.try_wait(), Ok(None)),
            Running::Adopted(pid) => is_alive(*pid),
        }
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        // A child that has ended is collected here, so that its number cannot be somebody else's by now.
        if self.is_running() {
            send(self.pid(), signal);
        }
    }

    /// Waits until it has ended; false when it has not by then.
    pub(crate) async fn ended(&mut self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while self.is_running() {
            if Instant::now() > until {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    }

    /// Waits until `probe` says that the server can be used.
    pub(crate) async fn ready(&mut self, within: Duration, probe: impl AsyncFn() -> bool) -> Result<(), Error> {
        let until = Instant::now() + within;
        while !probe().await {
            if !self.is_running() {
                return Err(self.fault("ended while it was starting".into()));
            }
            if Instant::now() > until {
                return Err(self.fault(format!("was not ready after {} s", within.as_secs())));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    pub(crate) fn fault(&self, what: String) -> Error {
        Error::Server { server: self.server, what, log: self.log.clone(), tail: tail(&self.log) }
    }

    /// Kills it and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.ended(crate::PATIENCE).await;
    }

    /// Lets it run on without us.
    pub(crate) fn leave(mut self) {
        self.running = Running::Adopted(0);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.pid() == 0 {
            return;
        }
        self.signal(Signal::KILL);
        if let Running::Child(child) = &mut self.running {
            child.wait().ok();
        }
    }
}

/// The processes whose working directory lies in a folder, and which have this name or the mark [`MARK`] with it.
pub(crate) fn in_folder(folder: &Path, name: &str) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mark = format!("{MARK}={name}");
    let is_marked = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let is_ours = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
            && (is_named(*pid, name) || is_marked(*pid))
    };
    processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}

pub(crate) fn is_named(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
}

/// Kills the processes of this name or mark in a folder, until there are none.
pub(crate) async fn kill_in_folder(folder: &Path, name: &str) {
    let until = Instant::now() + crate::PATIENCE;
    while kill_once_in_folder(folder, name) && Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Kills the processes of this name or mark in a folder; true when there were any.
pub(crate) fn kill_once_in_folder(folder: &Path, name: &str) -> bool {
    let pids = in_folder(folder, name);
    for pid in &pids {
        send(*pid, Signal::KILL);
    }
    !pids.is_empty()
}

/// Asks a process that is not our child to end, and gives it time.
pub(crate) async fn end(pid: u32, signal: Signal, within: Duration) {
    send(pid, signal);
    let until = Instant::now() + within;
    while is_alive(pid) && Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
    }
}

pub(crate) async fn answers(port: u16) -> bool {
    tokio::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).await.is_ok()
}

/// A process that has ended and waits to be collected has no working directory.
fn is_alive(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok()
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended just now.
        kill_process(pid, signal).ok();
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let mut text = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(4096)))?;
        file.read_to_end(&mut text)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
