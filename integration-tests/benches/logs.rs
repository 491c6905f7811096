//! How long it takes from the answer to a POST until the incident is in the database, and how many nodes a second one log
//! worker handles.
//!
//! `cargo bench -p kcidb-integration-tests` prints two tables. All services run in this process, on private servers; logs
//! are served at a loopback address. `BENCH_ROUNDS` is the number of POSTs per row (default 60), `BENCH_NODES` the number
//! of failed tests (default 10000).

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract, routing::get};
use clap::Parser;
use gateway::StatusRoute;
use serde_json::{Value, json};
use stack::Stack;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

const HOST: &str = "127.0.0.2";
/// Logs that the many tests have.
const LOGS: usize = 100;

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    spool: spool::Options,
    #[command(flatten)]
    database: db::Options,
    #[command(flatten)]
    broker: events::Options,
    #[command(flatten)]
    auth: auth::Options,
    #[command(flatten)]
    gateway: gateway::Options,
    #[command(flatten)]
    ingester: ingester::Options,
    #[command(flatten)]
    logspec: logspec_worker::Options,
    #[command(flatten)]
    status: status::Options,
}

/// The services in this process, and the ways into them.
struct System {
    gateway: SocketAddr,
    http: reqwest::Client,
    database: Client,
    logs: String,
    fetches: Arc<AtomicUsize>,
}

#[tokio::main]
async fn main() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first provider");
    stack::install().expect("the servers can be installed");
    let dir = tempfile::Builder::new().prefix("kcidb-bench-").tempdir().expect("a folder");
    let stack = Stack::start(stack::Options::at(dir.path().join("stack"))).await.expect("the servers start");
    let shutdown = CancellationToken::new();
    let system = System::start(dir.path(), &stack, &shutdown).await;
    println!("{:>10} {:>6} {:>8} {:>8} {:>8}", "log bytes", "POSTs", "p50 ms", "p95 ms", "max ms");
    for bytes in [10_000, 100_000, 1_000_000] {
        system.latency(bytes, number("BENCH_ROUNDS", 60)).await;
    }
    system.throughput(number("BENCH_NODES", 10_000)).await;
    shutdown.cancel();
    stack.stop().await;
}

impl System {
    async fn start(dir: &Path, stack: &Stack, shutdown: &CancellationToken) -> Self {
        let fetches = Arc::new(AtomicUsize::new(0));
        let counter = fetches.clone();
        let answer = async move |extract::Path((bytes, name)): extract::Path<(usize, String)>| {
            counter.fetch_add(1, Ordering::Relaxed);
            log(bytes, &name)
        };
        let listener = tokio::net::TcpListener::bind((HOST, 0)).await.expect("a port");
        let logs = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().route("/{bytes}/{name}", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let folder = |name: &str| {
            let path = dir.join(name);
            std::fs::create_dir_all(&path).expect("a folder");
            path.display().to_string()
        };
        let (database_url, amqp_url) = (stack.database_url(), stack.amqp_url());
        db::migrate(&db::Options::of(&database_url)).await.expect("the database can be prepared");
        let (spool, cache, any) = (folder("spool"), folder("cache"), "127.0.0.1:0");
        let line = Line::parse_from([
            "--directory",
            &spool,
            "--log-cache",
            &cache,
            "--database-url",
            &database_url,
            "--amqp-url",
            &amqp_url,
            "--jwt-secret",
            "",
            "--log-allow",
            HOST,
            "--spool-min-free",
            "0",
            "--gateway-listen",
            any,
            "--gateway-admin",
            any,
            "--ingester-admin",
            any,
            "--logspec-admin",
            any,
            "--status-admin",
            any,
        ]);
        let Line { spool, database, broker, auth, gateway, ingester, logspec, status } = line;
        let config = logspec_worker::Config { database: database.clone(), broker: broker.clone(), options: logspec };
        logspec_worker::start(config, shutdown.clone()).await.expect("it starts");
        let config = status::Config {
            spool: spool.clone(),
            database: database.clone(),
            broker: broker.clone(),
            auth: auth.clone(),
            options: status,
        };
        status::start(config, shutdown.clone()).await.expect("it starts");
        let config = ingester::Config { spool: spool.clone(), database, broker: broker.clone(), options: ingester };
        ingester::start(config, shutdown.clone()).await.expect("it starts");
        let config = gateway::Config { spool, broker, auth, options: gateway };
        let gateway = gateway::start(config, StatusRoute::Off, shutdown.clone()).await.expect("it starts").address;
        let (client, connection) =
            tokio_postgres::connect(&database_url, tokio_postgres::NoTls).await.expect("the database");
        tokio::spawn(connection);
        Self { gateway, http: reqwest::Client::new(), database: client, logs, fetches }
    }

    async fn submit(&self, builds: &[Value], tests: &[Value]) {
        let body = json!({"version": {"major": 5, "minor": 3}, "builds": builds, "tests": tests}).to_string();
        let url = format!("http://{}/submit", self.gateway);
        let answer = self.http.post(url).body(body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// One failed build after the other, each with a log and an error of its own.
    async fn latency(&self, bytes: usize, rounds: usize) {
        let query = self.database.prepare("SELECT FROM incidents WHERE build_id = $1").await.expect("a statement");
        let mut times = Vec::new();
        for round in 0..rounds {
            let id = format!("lab:{bytes}-{round}");
            let url = format!("{}/{bytes}/{round}", self.logs);
            let build = json!({"id": id, "origin": "lab", "checkout_id": "lab:c", "status": "FAIL", "log_url": url});
            self.submit(&[build], &[]).await;
            let answered = Instant::now();
            while self.database.query(&query, &[&id]).await.expect("an answer").is_empty() {
                assert!(answered.elapsed() < Duration::from_mins(1), "no incident of {id}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The first one pays for connections.
            if round > 0 {
                times.push(answered.elapsed());
            }
        }
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        println!("{bytes:>10} {rounds:>6} {:>8.1} {:>8.1} {:>8.1}", at(50), at(95), at(100));
    }

    /// Many failed tests at once that share logs.
    async fn throughput(&self, nodes: usize) {
        let tests: Vec<Value> = (0..nodes)
            .map(|node| {
                let url = format!("{}/60000/shared-{}", self.logs, node % LOGS);
                json!({"id": format!("lab:t{node}"), "origin": "lab", "build_id": "lab:b", "path": "boot", "status": "FAIL", "log_url": url})
            })
            .collect();
        self.fetches.store(0, Ordering::Relaxed);
        self.submit(&[], &tests).await;
        let (started, wanted) = (Instant::now(), i64::try_from(nodes).expect("a small number"));
        let query = "SELECT count(*) FROM kcidb_ng.logs WHERE kind = 'test' AND outcome = 'analyzed'";
        while self.database.query_one(query, &[]).await.expect("a count").get::<_, i64>(0) < wanted {
            assert!(started.elapsed() < Duration::from_mins(10), "too slow");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (seconds, fetches) = (started.elapsed().as_secs_f64(), self.fetches.load(Ordering::Relaxed));
        let rate = f64::from(u32::try_from(nodes).expect("a small number")) / seconds;
        println!("\n{nodes} failed tests with {LOGS} logs: {fetches} fetches, {seconds:.1} s, {rate:.0} nodes/s");
    }
}

/// A build log (or a boot log, it serves for both) of about so many bytes with one error in a file of this name.
fn log(bytes: usize, name: &str) -> String {
    let mut log = String::from("U-Boot\nStarting kernel ...\n[    0.000000] Linux version\n");
    for number in 0_usize.. {
        if log.len() >= bytes {
            break;
        }
        log.extend(["  CC      drivers/example/part", &number.to_string(), ".o\n"]);
    }
    log + &format!(
        "  CC      drivers/example/{name}.o\ndrivers/example/{name}.c:41:5: error: expected ';' before 'return'\n\
         make[4]: *** [scripts/Makefile.build:287: drivers/example/{name}.o] Error 1\n"
    )
}
