//! Finding the servers' programs, and installing them where apt is.

use std::{
    env, fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Error;

const SCRIPT: &str = include_str!("install.sh");

/// What is not installed; empty when everything is there.
pub fn missing() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if postgres(None).is_none() {
        missing.push("PostgreSQL");
    }
    if rabbitmq().is_none() || program("epmd").is_none() || program("erl_call").is_none() {
        missing.push("RabbitMQ");
    }
    missing
}

/// Installs PostgreSQL and RabbitMQ with apt if they are missing, through sudo when we are not root. Starts no service,
/// makes no database cluster, and leaves what is installed alone. Progress goes to standard error.
///
/// # Errors
/// When this is no Debian-like system, when there is neither root nor sudo, or when apt fails.
pub fn install() -> Result<(), Error> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if program("apt-get").is_none() {
        return Err(error());
    }
    let packages = missing.iter().map(|server| match *server {
        "PostgreSQL" => "postgresql",
        _ => "rabbitmq-server",
    });
    let root = rustix::process::getuid().is_root();
    let mut command = if root {
        Command::new("sh")
    } else if program("sudo").is_some() {
        eprintln!("kcidb: installing {} with apt; sudo may ask for your password", missing.join(" and "));
        let mut sudo = Command::new("sudo");
        if !std::io::stdin().is_terminal() {
            sudo.arg("--non-interactive");
        }
        sudo.arg("sh");
        sudo
    } else {
        return Err(Error::Install(format!(
            "there is no sudo; run as root: apt-get install {}",
            packages.collect::<Vec<_>>().join(" ")
        )));
    };
    command.args(["-c", SCRIPT, "install.sh"]).args(packages).stdout(Stdio::from(std::io::stderr()));
    let status = command.status().map_err(|source| Error::Run { program: "sh".into(), source })?;
    if !status.success() {
        return Err(Error::Install(format!("apt did not succeed ({status}); its messages are above")));
    }
    if self::missing().is_empty() { Ok(()) } else { Err(error()) }
}

/// The error that names what is missing and how to get it.
pub(crate) fn error() -> Error {
    let hint = if program("apt-get").is_some() {
        "run: kcidb up --install".to_owned()
    } else {
        "install PostgreSQL 14 or newer (initdb, postgres) and RabbitMQ 3.10 or newer (rabbitmq-server, epmd, erl_call) \
         with your system's package manager, or give DATABASE_URL and AMQP_URL of servers that run elsewhere"
            .to_owned()
    };
    Error::Missing { missing: missing(), hint }
}

/// The folder of PostgreSQL's programs: of this major version, or the newest.
pub(crate) fn postgres(version: Option<&str>) -> Option<PathBuf> {
    let complete = |bin: &Path| bin.join("initdb").is_file() && bin.join("postgres").is_file();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| complete(bin))
        .collect();
    found.sort_unstable();
    if let Some(version) = version
        && !found.is_empty()
    {
        return found.into_iter().find(|(major, _)| major.to_string() == version).map(|(_, bin)| bin);
    }
    let newest = found.pop().map(|(_, bin)| bin);
    newest.or_else(|| Some(program("initdb")?.canonicalize().ok()?.parent()?.to_owned()).filter(|bin| complete(bin)))
}

/// The start script of the installation itself: the one in the path changes to the system's user and folders.
pub(crate) fn rabbitmq() -> Option<PathBuf> {
    let script = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    script.is_file().then(|| script.to_owned())
}

/// A program in the path, or where programs for administrators are.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}
