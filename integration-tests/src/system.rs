//! The real binary on servers of its own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use serde_json::Value;
use stack::{Login, Stack, free_port};
use tempfile::TempDir;
use tokio::sync::{Mutex, OwnedMutexGuard};

const SECRET: &str = "a secret of the tests, long enough";
/// The passwords that [`System::amqp_url_of`] knows, as `kcidb queue setup` wants them.
const OWN_PASSWORDS: [(&str, &str); 6] = [
    ("KCIDB_BROKER_PASSWORD_GATEWAY", "gateway-password"),
    ("KCIDB_BROKER_PASSWORD_INGESTER", "ingester-password"),
    ("KCIDB_BROKER_PASSWORD_LOGSPEC", "logspec-password"),
    ("KCIDB_BROKER_PASSWORD_STATUS", "status-password"),
    ("KCIDB_BROKER_PASSWORD_OPERATOR", "operator-password"),
    ("KCIDB_BROKER_PASSWORD_KEDA", "keda-password"),
];
/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until a condition holds; gives up with what the services have logged.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool, logs: impl Fn() -> Vec<String>) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() <= deadline, "not within {PATIENCE:?}: {what}\n{}", logs().join("\n"));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Two cores carry one system at a time.
static ONE_AT_A_TIME: LazyLock<Arc<Mutex<()>>> = LazyLock::new(Arc::default);

/// The whole system: private servers, and the services as processes.
pub struct System {
    stack: Option<Stack>,
    dir: TempDir,
    names: Vec<String>,
    services: BTreeMap<String, Child>,
    ports: BTreeMap<&'static str, u16>,
    options: Vec<(&'static str, String)>,
    own_users: bool,
    http: reqwest::Client,
    token: String,
    _alone: OwnedMutexGuard<()>,
}

impl Drop for System {
    fn drop(&mut self) {
        for child in self.services.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A small document of the newest version with so many tests, whose ids start with `prefix`.
pub fn document(prefix: &str, tests: usize) -> Vec<u8> {
    let tests: Vec<Value> = (0..tests)
        .map(|number| serde_json::json!({"id": format!("lab:{prefix}-{number}"), "origin": "lab", "build_id": "lab:b", "status": "PASS"}))
        .collect();
    serde_json::json!({"version": {"major": 5, "minor": 3}, "tests": tests}).to_string().into_bytes()
}

/// The program that the tests run.
pub fn binary() -> PathBuf {
    let mut path = std::env::current_exe().expect("a path");
    path.pop();
    path.pop();
    path.push("kcidb");
    assert!(path.is_file(), "{} is missing: run `cargo build -p kcidb` first, or `make test`", path.display());
    path
}

impl System {
    /// All services in one process.
    pub async fn start() -> Self {
        Self::start_with(&["all"]).await
    }

    /// These services, each in a process of its own.
    pub async fn start_with(names: &[&str]) -> Self {
        Self::start_configured(names, &[]).await
    }

    /// These services, with these environment variables besides those that every test needs.
    pub async fn start_configured(names: &[&str], options: &[(&'static str, String)]) -> Self {
        let mut system = Self::prepare(names, options).await;
        system.start_services().await;
        system
    }

    /// The same, where each service has a user of its own at the broker, which `kcidb queue setup` has made.
    pub async fn start_with_own_users(names: &[&str], options: &[(&'static str, String)]) -> Self {
        let mut system = Self::prepare(names, options).await;
        system.own_users = true;
        system.kcidb(&["queue", "setup"]);
        system.start_services().await;
        system
    }

    /// The servers, and no service yet.
    async fn prepare(names: &[&str], options: &[(&'static str, String)]) -> Self {
        let alone = ONE_AT_A_TIME.clone().lock_owned().await;
        stack::install().expect("the servers can be installed");
        // User postgres has to get into the folder, which is under one that everybody may enter.
        let dir = tempfile::Builder::new().prefix("kcidb-test-").tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("spool")).expect("a folder");
        let stack = Stack::start(stack::Options::at(dir.path().join("stack"))).await.expect("the servers start");
        db::migrate(&db::Options::of(&stack.database_url())).await.expect("the database can be prepared");
        let names_of_ports = ["gateway", "gateway-admin", "ingester-admin", "logspec-admin", "status", "status-admin"];
        let expires_at = chrono::Utc::now() + chrono::Duration::hours(2);
        let mint = auth::Mint { origin: "lab".into(), origins: vec!["*".into()], expires_at };
        Self {
            stack: Some(stack),
            dir,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            services: BTreeMap::new(),
            ports: names_of_ports.into_iter().map(|name| (name, free_port())).collect(),
            options: options.to_vec(),
            own_users: false,
            http: reqwest::Client::new(),
            token: auth::mint(SECRET, &mint),
            _alone: alone,
        }
    }

    fn stack(&self) -> &Stack {
        self.stack.as_ref().expect("the system runs")
    }

    fn spawn(&self, name: &str) -> Child {
        let file = |kind: &str| {
            let path = self.dir.path().join(format!("{name}.{kind}"));
            std::fs::File::options().create(true).append(true).open(path).expect("a file")
        };
        let mut command = self.command();
        if self.own_users {
            command.env("AMQP_URL", self.amqp_url_of(name)).env("KCIDB_BROKER_DECLARE", "false");
        }
        command
            .args(["run", name])
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("log"))
            .spawn()
            .expect("the binary starts")
    }

    /// The binary, with the options of this system in its environment.
    fn command(&self) -> Command {
        let local = |port: &str| format!("127.0.0.1:{}", self.ports[port]);
        let mut command = Command::new(binary());
        command
            .env("KCIDB_SPOOL", self.spool())
            .env("DATABASE_URL", self.stack().database_url())
            .env("AMQP_URL", self.stack().amqp_url())
            .env("JWT_SECRET", SECRET)
            .env("KCIDB_GATEWAY_LISTEN", local("gateway"))
            .env("KCIDB_GATEWAY_ADMIN", local("gateway-admin"))
            .env("KCIDB_INGESTER_ADMIN", local("ingester-admin"))
            .env("KCIDB_LOGSPEC_ADMIN", local("logspec-admin"))
            .env("KCIDB_LOG_CACHE", self.dir.path().join("log-cache"))
            .env("KCIDB_STATUS_LISTEN", local("status"))
            .env("KCIDB_STATUS_ADMIN", local("status-admin"))
            .env("STATUS_URL", format!("http://{}", local("status")))
            .env("KCIDB_SPOOL_MIN_FREE", "1000000")
            .envs(self.options.iter().map(|(name, value)| (*name, value.as_str())));
        command
    }

    /// The broker's address for the user of a service.
    pub fn amqp_url_of(&self, service: &str) -> String {
        let url = self.stack().amqp_url();
        let (_, place) = url.split_once('@').expect("it has a user");
        format!("amqp://kcidb-{service}:{service}-password@{place}")
    }

    /// Runs the tool as an operator does: its success and all that it printed.
    pub fn try_kcidb(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = self.command();
        command.args(arguments).env("RABBITMQ_MANAGEMENT_URL", self.rabbitmq_ui().url).stdin(Stdio::null());
        if self.own_users {
            command.envs(OWN_PASSWORDS);
        }
        let output = command.output().expect("the binary starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs the tool, which must succeed; all that it printed.
    pub fn kcidb(&self, arguments: &[&str]) -> String {
        let (success, text) = self.try_kcidb(arguments);
        assert!(success, "{arguments:?}: {text}");
        text
    }

    /// Starts the services, and waits until the gateway answers when it is one of them.
    pub async fn start_services(&mut self) {
        for name in self.names.clone() {
            let child = self.spawn(&name);
            self.services.insert(name, child);
        }
        let url = format!("http://{}/health", self.gateway_address());
        self.until("the gateway answers", async || self.http.get(&url).send().await.is_ok()).await;
    }

    /// Adds a service to those that run.
    pub fn add_service(&mut self, name: &str) {
        let child = self.spawn(name);
        self.names.push(name.to_owned());
        self.services.insert(name.to_owned(), child);
    }

    /// Ends a service as a power cut would.
    pub fn kill_service(&mut self, name: &str) {
        let mut child = self.services.remove(name).expect("it runs");
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }

    /// Starts a service that was killed.
    pub fn start_service(&mut self, name: &str) {
        let child = self.spawn(name);
        self.services.insert(name.to_owned(), child);
    }

    /// Removes every fetched log.
    pub fn empty_log_cache(&self) {
        let folder = self.dir.path().join("log-cache");
        for name in files(&folder) {
            let _ = std::fs::remove_file(folder.join(name));
        }
    }

    /// Ends every service as a power cut would.
    pub fn kill_services(&mut self) {
        for (_, mut child) in std::mem::take(&mut self.services) {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    /// Stops everything cleanly.
    pub async fn stop(mut self) {
        for child in self.services.values() {
            let pid = rustix::process::Pid::from_child(child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for (name, mut child) in std::mem::take(&mut self.services) {
            let status = child.wait().expect("it ends");
            assert!(status.success(), "{name} ended with {status}: {}", self.log(&name));
        }
        if let Some(stack) = self.stack.take() {
            stack.stop().await;
        }
    }

    /// What a service has logged.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// What a service has printed.
    pub fn output(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{name}.out"))).unwrap_or_default()
    }

    /// Waits until a condition holds.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        until(what, condition, || self.names.iter().map(|name| self.log(name)).collect()).await;
    }

    /// Where submissions are taken.
    pub fn gateway_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports["gateway"]))
    }

    /// A token that may speak for every origin.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The secret that tokens are signed with.
    pub fn secret(&self) -> &'static str {
        SECRET
    }

    /// The spool folder.
    pub fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    /// POSTs a body; the answer.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Value {
        let url = format!("http://{}/submit", self.gateway_address());
        let response = self.http.post(url).bearer_auth(&self.token).body(body).send().await.expect("an answer");
        response.json().await.expect("a JSON answer")
    }

    /// Submits a document; its id.
    pub async fn submit(&self, document: Vec<u8>) -> String {
        let answer = self.post(document).await;
        assert_eq!(answer["status"], "ok", "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// The status of a submission.
    pub async fn status(&self, id: &str) -> Value {
        let url = format!("http://{}/status?id={id}", self.gateway_address());
        let response = self.http.get(url).bearer_auth(&self.token).send().await.expect("an answer");
        response.json().await.expect("a JSON answer")
    }

    /// Waits until a submission is loaded or rejected; its status.
    pub async fn wait(&self, id: &str) -> Value {
        self.until(&format!("{id} is finished"), async || {
            matches!(self.status(id).await["status"].as_str(), Some("processed" | "failed"))
        })
        .await;
        self.status(id).await
    }

    /// Puts a file into the spool as other programs do.
    pub fn drop_into_spool(&self, document: &[u8]) {
        let name = format!("dropped{:016x}.json", rand::random::<u64>());
        let temporary = self.spool().join(format!("{name}.temp"));
        std::fs::write(&temporary, document).expect("written");
        std::fs::rename(temporary, self.spool().join(name)).expect("renamed");
    }

    /// Waits until no file waits.
    pub async fn wait_until_empty(&self) {
        self.until("the spool is empty", async || self.waiting_files().is_empty()).await;
    }

    /// The files that wait in the spool.
    pub fn waiting_files(&self) -> Vec<String> {
        files(&self.spool()).into_iter().filter(|name| name.strip_suffix(".json").is_some()).collect()
    }

    /// What is in `failed/`.
    pub fn failed_files(&self) -> Vec<String> {
        files(&self.spool().join("failed"))
    }

    /// A connection to the database.
    pub async fn database(&self) -> tokio_postgres::Client {
        let url = self.stack().database_url();
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("the database");
        tokio::spawn(connection);
        client
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &str) -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        self.database().await.query_one(&query, &[]).await.expect("a count").get(0)
    }

    async fn management(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let ui = self.stack().rabbitmq_ui();
        let url = format!("{}api/{path}", ui.url);
        let mut request = self.http.request(method, url).basic_auth(ui.user, Some(ui.password));
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.expect("the management API").json().await.expect("JSON")
    }

    async fn queues(&self) -> Vec<(String, u64)> {
        let queues = self
            .management(reqwest::Method::GET, "queues/kcidb?disable_stats=true&enable_queue_totals=true", None)
            .await;
        let queue = |queue: &Value| {
            (queue["name"].as_str().unwrap_or_default().to_owned(), queue["messages"].as_u64().unwrap_or_default())
        };
        queues.as_array().expect("a list").iter().map(queue).collect()
    }

    /// How many dead letters there are.
    pub async fn dead_letters(&self) -> u64 {
        self.queues()
            .await
            .into_iter()
            .filter(|(name, _)| name.strip_suffix(".dead").is_some())
            .map(|(_, count)| count)
            .sum()
    }

    /// Waits until the queues are old enough to outlive the broker, which may lose younger ones for good.
    pub async fn settle_queues(&self) {
        tokio::time::sleep(Duration::from_secs(4)).await;
    }

    /// The body of the first message of a queue, as an operator sees it in the broker's pages; it stays there.
    pub async fn peek(&self, queue: &str) -> String {
        let body = serde_json::json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let path = format!("queues/kcidb/{queue}/get");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let messages = self.management(reqwest::Method::POST, &path, Some(body.clone())).await;
            if let Some(message) = messages[0]["payload"].as_str() {
                return message.to_owned();
            }
            assert!(Instant::now() < deadline, "no message in {queue}: {messages}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Puts a message into a queue as it is.
    pub async fn send_to_queue(&self, queue: &str, payload: &str) {
        let body = serde_json::json!({"routing_key": queue, "payload": payload, "payload_encoding": "string",
            "properties": {"message_id": "by-hand", "delivery_mode": 2, "headers": {"traceparent": "00-trace"}}});
        let answer = self.management(reqwest::Method::POST, "exchanges/kcidb/amq.default/publish", Some(body)).await;
        assert_eq!(answer["routed"], true, "{answer}");
    }

    /// Removes a policy, as a careless operator would.
    pub async fn delete_policy(&self, name: &str) {
        let ui = self.stack().rabbitmq_ui();
        let url = format!("{}api/policies/kcidb/{name}", ui.url);
        let response = self.http.delete(url).basic_auth(ui.user, Some(ui.password)).send().await.expect("an answer");
        assert!(response.status().is_success(), "{}", response.status());
    }

    /// The broker's management API, and its administrator.
    pub fn rabbitmq_ui(&self) -> Login {
        self.stack().rabbitmq_ui()
    }

    /// Waits until there are so many dead letters.
    pub async fn wait_for_dead_letters(&self, count: u64) {
        self.until("the dead letters are there", async || self.dead_letters().await == count).await;
    }

    /// Stops the broker.
    pub async fn stop_rabbitmq(&self) {
        self.stack().stop_rabbitmq().await;
    }

    /// Starts the broker again.
    pub async fn start_rabbitmq(&self) {
        self.stack().start_rabbitmq().await.expect("the broker starts");
    }

    /// Ends the database as a power cut would.
    pub async fn kill_postgres(&self) {
        self.stack().kill_postgres().await;
    }

    /// Starts the database again.
    pub async fn start_postgres(&self) {
        self.stack().start_postgres().await.expect("the database starts");
    }

    /// What a service says of its readiness.
    pub async fn ready(&self, service: &str) -> String {
        let port = self.ports[format!("{service}-admin").as_str()];
        let url = format!("http://127.0.0.1:{port}/readyz?verbose");
        self.http.get(url).send().await.expect("an answer").text().await.expect("text")
    }

    /// The CPU seconds that a service has used so far.
    pub fn cpu(&self, name: &str) -> f64 {
        own_cpu(self.services[name].id())
    }

    /// The CPU seconds that PostgreSQL has used so far, all its processes together.
    pub async fn postgres_cpu(&self) -> f64 {
        let postgres = self.stack().pids().await["postgres"];
        let children = std::fs::read_to_string(format!("/proc/{postgres}/task/{postgres}/children")).expect("it runs");
        let pids = children.split_whitespace().map(|pid| pid.parse().expect("a number"));
        own_cpu(postgres) + ended_children_cpu(postgres) + pids.map(own_cpu).sum::<f64>()
    }

    /// The metrics of a service.
    pub async fn metrics(&self, service: &str) -> String {
        let port = self.ports[format!("{service}-admin").as_str()];
        let url = format!("http://127.0.0.1:{port}/metrics");
        self.http.get(url).send().await.expect("an answer").text().await.expect("text")
    }

    /// The most memory that a service had in RAM so far, in bytes.
    pub fn peak_rss(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.services[name].id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("VmHWM");
        line.split_whitespace().nth(1).and_then(|kibibytes| kibibytes.parse::<u64>().ok()).expect("a number") << 10
    }
}

/// User and system time of a process in seconds; 0 when it has just ended.
fn own_cpu(pid: u32) -> f64 {
    ticks(pid, [11, 12])
}

/// The same of those of its children that have ended.
fn ended_children_cpu(pid: u32) -> f64 {
    ticks(pid, [13, 14])
}

/// Fields of `/proc/PID/stat`, counted from the state, which follows the name in parentheses.
fn ticks(pid: u32, fields: [usize; 2]) -> f64 {
    /// In which unit the system counts CPU time; it is this on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let values: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = fields.map(|field| values.get(field).and_then(|value| value.parse::<f64>().ok()).unwrap_or_default());
    ticks.iter().sum::<f64>() / TICKS_PER_SECOND
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| {
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}
