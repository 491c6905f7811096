//! `kcidb up` and `kcidb down`: the whole system in one folder.
//!
//! The folder holds the private servers, the spool, the secret, and while the system runs `up.json`, which says where
//! everything is. Nothing outside of the folder is touched.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Parser as _;
use rand::Rng as _;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};
use stack::{Login, Stack};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::run::{self, All};

/// Where to submit unless that port is taken.
const PREFERRED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// How long a start may take.
const START: Duration = Duration::from_mins(3);
/// How long a stop may take.
const STOP: Duration = Duration::from_mins(2);

/// Starts the whole system here.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct UpArgs {
    /// The folder for servers, spool and secret; what is in it is kept between runs.
    #[arg(long, default_value = "var", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// PostgreSQL writes through to the disk.
    #[arg(long)]
    pub(crate) durable: bool,
    /// Return when all is ready, and leave it running until `kcidb down`.
    #[arg(long)]
    detach: bool,
    /// Print one JSON object instead of lines for people.
    #[arg(long)]
    json: bool,
    /// Only install what is missing, and return.
    #[arg(long)]
    install: bool,
    /// Use this database instead of a private one.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// The same, as the existing system names it.
    #[arg(long, env = "PG_URI", hide_env_values = true, value_name = "URI")]
    pg_uri: Option<String>,
    /// Use this broker instead of a private one.
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_name = "URL")]
    amqp_url: Option<String>,
}

/// Stops what `up --detach` started.
#[derive(Debug, clap::Args)]
pub(crate) struct DownArgs {
    /// The folder that was given to `up`.
    #[arg(long, default_value = "var", value_name = "DIR")]
    dir: PathBuf,
}

/// Where everything is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) submit_url: String,
    status_url: String,
    pub(crate) token: String,
    jwt_secret: String,
    pub(crate) database_url: String,
    amqp_url: String,
    rabbitmq_ui: Option<Ui>,
    spool: PathBuf,
    admin: BTreeMap<String, String>,
    pids: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ui {
    url: String,
    user: String,
    password: String,
}

impl From<Login> for Ui {
    fn from(Login { url, user, password }: Login) -> Self {
        Self { url, user, password }
    }
}

/// The running system.
pub(crate) struct System {
    pub(crate) info: Info,
    stack: Stack,
    finished: JoinHandle<()>,
    shutdown: CancellationToken,
    state: PathBuf,
}

/// Runs `kcidb up`.
pub(crate) async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let needs_servers = (args.database_url.is_none() && args.pg_uri.is_none()) || args.amqp_url.is_none();
    if args.install || needs_servers {
        stack::install()?;
    }
    if args.install {
        return Ok(ExitCode::SUCCESS);
    }
    if args.detach {
        return detach(&args).await;
    }
    let shutdown = telemetry::shutdown::on_signal()?;
    let system = System::start(&args, shutdown.clone()).await?;
    print(&args, &system.info)?;
    shutdown.cancelled().await;
    system.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Runs `kcidb down`.
pub(crate) async fn down(args: DownArgs) -> anyhow::Result<ExitCode> {
    let state = args.dir.join("up.json");
    if let Some(pid) = running(&state) {
        kill_process(pid, Signal::TERM).context("cannot stop it")?;
        let deadline = Instant::now() + STOP;
        while test_kill_process(pid).is_ok() {
            if Instant::now() > deadline {
                bail!("process {} does not end; see {}", pid.as_raw_nonzero(), args.dir.join("kcidb.log").display());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eprintln!("stopped");
    } else if stack::end_leftovers(&args.dir).await? {
        eprintln!("stopped servers that a killed process had left");
    } else {
        eprintln!("nothing runs in {}", args.dir.display());
    }
    Ok(ExitCode::SUCCESS)
}

impl System {
    /// Starts everything and returns when a submission can be loaded.
    pub(crate) async fn start(args: &UpArgs, shutdown: CancellationToken) -> anyhow::Result<Self> {
        std::fs::create_dir_all(args.dir.join("spool"))
            .with_context(|| format!("cannot make {}", args.dir.display()))?;
        let dir = args.dir.canonicalize()?;
        let state = dir.join("up.json");
        let (own_database, own_broker) =
            (args.database_url.is_none() && args.pg_uri.is_none(), args.amqp_url.is_none());
        eprintln!("starting the servers in {}", dir.display());
        let options = stack::Options {
            durable: args.durable,
            postgres: own_database,
            rabbitmq: own_broker,
            ..stack::Options::at(&dir)
        };
        let stack = Stack::start(options).await?;
        let database_url =
            args.database_url.clone().or_else(|| args.pg_uri.clone()).unwrap_or_else(|| stack.database_url());
        let amqp_url = args.amqp_url.clone().unwrap_or_else(|| stack.amqp_url());
        for line in ::db::migrate(&::db::Options::of(&database_url)).await? {
            eprintln!("{line}");
        }
        let jwt_secret = secret(&dir)?;
        let spool = dir.join("spool");
        let config = config(&dir, &database_url, &amqp_url, &jwt_secret)?;
        let (addresses, finished) = run::all(config, shutdown.clone()).await?;

        let expires_at = chrono::Utc::now() + chrono::Duration::days(365);
        let token = auth::Mint { origin: "local".into(), origins: vec!["*".into()], expires_at };
        let url = format!("http://{}", addresses.gateway);
        let mut pids: BTreeMap<String, u32> =
            stack.pids().await.into_iter().map(|(name, pid)| (name.to_owned(), pid)).collect();
        pids.insert("kcidb".into(), std::process::id());
        let info = Info {
            status_url: url.clone(),
            submit_url: url,
            token: if jwt_secret.is_empty() { String::new() } else { auth::mint(&jwt_secret, &token) },
            jwt_secret,
            database_url,
            amqp_url,
            rabbitmq_ui: own_broker.then(|| stack.rabbitmq_ui().into()),
            spool,
            admin: addresses.admin.iter().map(|(name, address)| ((*name).to_owned(), address.to_string())).collect(),
            pids,
        };
        private_file(&state, &serde_json::to_vec_pretty(&info)?)?;
        Ok(Self { info, stack, finished, shutdown, state })
    }

    /// Stops everything cleanly.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        eprintln!("stopping: finishing what is in hand, then the servers");
        let _ = self.finished.await;
        self.stack.stop().await;
        let _ = std::fs::remove_file(&self.state);
    }
}

/// The options of all services, as on their command line, so that their environment variables work here too.
fn config(dir: &Path, database_url: &str, amqp_url: &str, jwt_secret: &str) -> anyhow::Result<All> {
    #[derive(clap::Parser)]
    #[command(no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        all: All,
    }
    let listen = if TcpListener::bind(PREFERRED).is_ok() { PREFERRED } else { SocketAddr::new(PREFERRED.ip(), 0) };
    let folder = |name| dir.join(name).into_os_string().into_string().ok().context("the folder's name is not text");
    let (spool, cache, listen) = (folder("spool")?, folder("log-cache")?, listen.to_string());
    let line = Line::try_parse_from([
        "--directory",
        &spool,
        "--log-cache",
        &cache,
        "--database-url",
        database_url,
        "--amqp-url",
        amqp_url,
        "--jwt-secret",
        jwt_secret,
        "--gateway-listen",
        &listen,
        "--gateway-admin",
        "127.0.0.1:0",
        "--ingester-admin",
        "127.0.0.1:0",
        "--logspec-admin",
        "127.0.0.1:0",
        "--status-admin",
        "127.0.0.1:0",
    ])?;
    Ok(line.all)
}

/// The secret of this folder: made once, and kept; `JWT_SECRET` wins.
fn secret(dir: &Path) -> anyhow::Result<String> {
    if let Ok(secret) = std::env::var("JWT_SECRET") {
        return Ok(secret);
    }
    let path = dir.join("jwt_secret");
    match std::fs::read_to_string(&path) {
        Ok(secret) => Ok(secret.trim().to_owned()),
        Err(_) => {
            let secret: String = rand::rng().sample_iter(rand::distr::Alphanumeric).take(48).map(char::from).collect();
            private_file(&path, secret.as_bytes())?;
            Ok(secret)
        }
    }
}

fn private_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("temp");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    std::io::Write::write_all(&mut file, content)?;
    std::fs::rename(&temporary, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Starts this program again in the background, and waits until it says where everything is.
async fn detach(args: &UpArgs) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let (state, log_path) = (args.dir.join("up.json"), args.dir.join("kcidb.log"));
    if running(&state).is_some() {
        bail!("the system runs already in {}; `kcidb down --dir {0}` stops it", args.dir.display());
    }
    let _ = std::fs::remove_file(&state);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path)?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("up")
        .arg("--dir")
        .arg(&args.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0);
    if args.durable {
        command.arg("--durable");
    }
    let mut child = command.spawn().context("cannot start in the background")?;
    let deadline = Instant::now() + START;
    let info: Info = loop {
        if let Ok(text) = std::fs::read(&state) {
            break serde_json::from_slice(&text)?;
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended at its start ({status}); its log: {}", log_path.display());
        }
        if Instant::now() > deadline {
            bail!("it is not ready after {START:?}; its log: {}", log_path.display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    print(args, &info)?;
    Ok(ExitCode::SUCCESS)
}

/// The process that runs the system of a folder.
fn running(state: &Path) -> Option<Pid> {
    let info: Info = serde_json::from_slice(&std::fs::read(state).ok()?).ok()?;
    let pid = Pid::from_raw(i32::try_from(*info.pids.get("kcidb")?).ok()?)?;
    test_kill_process(pid).is_ok().then_some(pid)
}

fn print(args: &UpArgs, info: &Info) -> anyhow::Result<()> {
    if args.json {
        println!("{}", serde_json::to_string(info)?);
        return Ok(());
    }
    let Info { submit_url, token, spool, .. } = info;
    println!("KCIDB-ng is ready.\n");
    println!("submit to    {submit_url}/submit");
    println!("token        {token}");
    println!(
        "try          curl -H 'Authorization: Bearer {token}' -d '{{\"version\":{{\"major\":5,\"minor\":3}}}}' {submit_url}/submit"
    );
    println!("database     {}", info.database_url);
    if let Some(ui) = &info.rabbitmq_ui {
        println!("RabbitMQ     {} (user {}, password {})", ui.url, ui.user, ui.password);
    }
    println!("spool        {}", spool.display());
    for (service, address) in &info.admin {
        println!("metrics      http://{address}/metrics ({service})");
    }
    if args.detach {
        println!("\n`kcidb down --dir {}` stops it.", args.dir.display());
    } else {
        println!("\nCtrl-C stops it.");
    }
    Ok(())
}
