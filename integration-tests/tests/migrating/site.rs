//! The machine of an operator who has the existing system: its folder and its database as it leaves them, this system's
//! program on the `PATH`, and a broker. What `docker` is asked for, the test starts as processes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use integration_tests::{free_port, until};
use stack::Servers;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::document::Document;

/// Whom the containers of this system run as.
pub(crate) const USER: u32 = 10_001;
/// A password with letters that mean something in a URL, as `.env` may hold.
const PASSWORD: &str = "p@ss/w:rd";
/// Answers for `docker`: notes what it is asked, and asks the process in the container's place how it is.
const DOCKER: &str = r#"#!/bin/sh
echo "$*" >> "${0%/*}/docker.log"
case "$*" in
*" exec -T "*" kcidb health") exec kcidb health "$(cat "${0%/*}/$6.admin")" ;;
esac
"#;

pub(crate) struct Site {
    pub(crate) document: Document,
    servers: &'static Servers,
    dir: TempDir,
    user: String,
    database: String,
    vhost: String,
    ports: BTreeMap<&'static str, u16>,
    running: BTreeMap<&'static str, Child>,
    setup: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Site {
    pub(crate) async fn make() -> Self {
        stack::install().expect("the servers can be installed");
        let servers = stack::shared().await.expect("the servers start");
        let dir = tempfile::Builder::new().prefix("kcidb-test-").tempdir().expect("a folder");
        // Another user has to get into it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("opened");
        let ports = ["gateway", "gateway.admin", "ingester.admin", "logspec.admin", "status", "status.admin"];
        let site = Self {
            document: Document::read(),
            servers,
            user: format!("old_editor_{:016x}", rand::random::<u64>()),
            database: servers.fresh_database().await.expect("a database"),
            vhost: servers.fresh_vhost().await.expect("a virtual host"),
            ports: ports.into_iter().map(|name| (name, free_port())).collect(),
            running: BTreeMap::new(),
            setup: String::new(),
            dir,
        };
        site.make_database().await;
        site.make_folder();
        site.make_programs();
        site
    }

    /// The database: made and filled by the role that the existing system has for this.
    async fn make_database(&self) {
        let (user, name) = (&self.user, self.database_name());
        let role = format!(
            "CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'; GRANT ALL ON DATABASE {name} TO {user};
             GRANT ALL ON SCHEMA public TO {user}"
        );
        connect(&self.database).await.batch_execute(&role).await.expect("a role");
        let client = self.client().await;
        for sql in [fixture("tables.sql"), fixture("rows.sql")] {
            client.batch_execute(&sql).await.expect("the old tables");
        }
    }

    /// The folder with spool and `.env`. The last upload was cut off two hours ago.
    fn make_folder(&self) {
        let old = self.old();
        copy(&fixtures().join("spool"), &old.join("spool"));
        let torn = old.join("spool/submission-7yHn4UjM1kIq8OlP2wSx5EdC9rFv3TgB.json.temp");
        let file = File::options().write(true).open(torn).expect("it is there");
        file.set_modified(SystemTime::now() - Duration::from_hours(2)).expect("aged");
        fs::create_dir(old.join("acme-challenge")).expect("a folder");
        fs::write(old.join("acme-challenge/token"), "answer").expect("written");
        let port = self.database.rsplit_once(':').and_then(|(_, rest)| rest.split_once('/')).expect("a port").0;
        let text = fixture("env");
        let text = text.replace("@DATABASE@", self.database_name()).replace("@USER@", &self.user);
        let text = text.replace("@PASSWORD@", PASSWORD).replace("@PORT@", port);
        fs::write(old.join(".env"), text.replace("@OLD@", &old.to_string_lossy())).expect("written");
    }

    /// What is on the `PATH`, and what the document needs of a checkout.
    fn make_programs(&self) {
        let (bin, deploy) = (self.bin(), self.checkout().join("deploy"));
        fs::create_dir(&bin).expect("a folder");
        fs::create_dir_all(&deploy).expect("a folder");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/env.example");
        fs::copy(examples, deploy.join("env.example")).expect("copied");
        let (built, kcidb) = (integration_tests::binary(), bin.join("kcidb"));
        // The folder that it was built in may be closed to other users.
        fs::hard_link(&built, &kcidb).or_else(|_| fs::copy(&built, &kcidb).map(drop)).expect("copied");
        fs::write(bin.join("docker"), DOCKER).expect("written");
        fs::set_permissions(bin.join("docker"), fs::Permissions::from_mode(0o755)).expect("executable");
        for service in ["gateway", "ingester", "logspec", "status"] {
            let url = format!("{}/readyz?verbose", self.url(&format!("{service}.admin")));
            fs::write(bin.join(format!("{service}.admin")), url).expect("written");
        }
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    pub(crate) fn checkout(&self) -> PathBuf {
        self.dir.path().join("checkout")
    }

    /// The folder of the existing system.
    pub(crate) fn old(&self) -> PathBuf {
        self.dir.path().join("old system")
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.old().join("spool")
    }

    fn database_name(&self) -> &str {
        self.database.rsplit('/').next().expect("a name")
    }

    pub(crate) fn url(&self, port: &str) -> String {
        format!("http://127.0.0.1:{}", self.ports[port])
    }

    /// A connection as the old programs open theirs.
    pub(crate) async fn client(&self) -> Client {
        let (_, place) = self.database.split_once('@').expect("an address");
        connect(&format!(
            "postgresql://{}:{}@{place}",
            self.user,
            PASSWORD.replace('@', "%40").replace('/', "%2F").replace(':', "%3A")
        ))
        .await
    }

    /// Takes the document's first block: every other one runs after it, in the same shell.
    pub(crate) fn begin(&mut self) {
        self.setup = self.replaced("OLD=", &[("/path/to/kcidb-ng", &format!("'{}'", self.old().display()))]);
    }

    /// Runs the document's next block, which begins like this; it must succeed. All that it printed.
    pub(crate) fn run(&mut self, beginning: &str) -> String {
        self.run_with(beginning, &[])
    }

    /// The same, with what the reader puts in.
    pub(crate) fn run_with(&mut self, beginning: &str, put_in: &[(&str, &str)]) -> String {
        let block = self.replaced(beginning, put_in);
        let (success, text) = self.shell(&block);
        assert!(success, "{block}\n{text}");
        text
    }

    /// The same, where it must fail.
    pub(crate) fn run_in_vain(&mut self, beginning: &str) -> String {
        let block = self.replaced(beginning, &[]);
        let (success, text) = self.shell(&block);
        assert!(!success, "{block}\n{text}");
        text
    }

    /// The next block, which changes owners: only root may.
    pub(crate) fn run_as_root(&mut self, beginning: &str) {
        if is_root() {
            self.run(beginning);
        } else {
            let block = self.replaced(beginning, &[]);
            println!("skipped: `{} …` needs root", block.lines().next().unwrap_or_default());
        }
    }

    fn replaced(&mut self, beginning: &str, put_in: &[(&str, &str)]) -> String {
        let mut block = self.document.take(beginning);
        for (placeholder, value) in put_in {
            assert!(block.contains(placeholder), "{placeholder} is not in\n{block}");
            block = block.replace(placeholder, value);
        }
        block
    }

    pub(crate) fn shell(&self, commands: &str) -> (bool, String) {
        let path = std::env::var("PATH").expect("a PATH");
        let script = format!("set -eu\n{}\n{commands}", self.setup);
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(self.checkout()).stdin(Stdio::null());
        command.env_clear().env("PATH", format!("{}:{path}", self.bin().display())).env("KCIDB_LOG", "warn");
        let output = command.output().expect("a shell");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("$ {}\n{text}", commands.replace('\n', "\n> "));
        (output.status.success(), text)
    }

    /// What `docker` was asked for, one line each time.
    pub(crate) fn asked_of_docker(&self) -> String {
        fs::read_to_string(self.bin().join("docker.log")).unwrap_or_default()
    }

    /// Starts the four services as the containers would run, with the old `.env` as it is.
    pub(crate) fn start(&mut self) {
        let cache = self.dir.path().join("cache");
        fs::create_dir(&cache).expect("a folder");
        if is_root() {
            chown(&cache, Some(USER), Some(USER)).expect("given");
        }
        for service in ["gateway", "ingester", "logspec", "status"] {
            let file = |kind: &str| File::create(self.dir.path().join(format!("{service}.{kind}"))).expect("a file");
            let mut command = Command::new(self.bin().join("kcidb"));
            command.args(["run", service]).env_clear().envs(variables(&self.old().join(".env")));
            if service == "gateway" {
                // The flags of the old daemon; its variables are stronger.
                let port = self.ports["gateway"].to_string();
                command.args(["-p", &port, "-b", "127.0.0.1", "-j", "not this one", "-d"]).arg(self.spool());
            } else {
                command.env("KCIDB_SPOOL", self.spool());
            }
            let admin = format!("KCIDB_{}_ADMIN", service.to_uppercase());
            command
                .env(admin, self.address(&format!("{service}.admin")))
                .env("AMQP_URL", &self.vhost)
                .env("KCIDB_LOG_CACHE", &cache)
                .env("KCIDB_SPOOL_MIN_FREE", "1000000")
                .env("KCIDB_STATUS_LISTEN", self.address("status"))
                .env("STATUS_URL", self.url("status"));
            if is_root() {
                command.uid(USER).gid(USER);
            }
            let child = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("log")).spawn();
            self.running.insert(service, child.expect("the program starts"));
        }
    }

    fn address(&self, port: &str) -> String {
        format!("127.0.0.1:{}", self.ports[port])
    }

    /// Stops services as `docker compose stop` does.
    pub(crate) fn stop(&mut self, services: &[&'static str]) {
        for service in services {
            let mut child = self.running.remove(service).expect("it runs");
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
            let status = child.wait().expect("it ends");
            assert!(status.success(), "{service} ended with {status}: {}", self.log(service));
        }
    }

    fn log(&self, service: &str) -> String {
        fs::read_to_string(self.dir.path().join(format!("{service}.log"))).unwrap_or_default()
    }

    /// Waits until a condition holds.
    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        until(what, condition, || self.running.keys().map(|service| self.log(service)).collect()).await;
    }

    /// The files in the spool, or in a folder of it, by name.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.spool().join(folder)).expect("a folder");
        let files = entries.map(|entry| entry.expect("an entry")).filter(|entry| entry.path().is_file());
        let mut names: Vec<String> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The files that wait, for an ingester old or new.
    pub(crate) fn waiting_files(&self) -> Vec<String> {
        self.files("").into_iter().filter(|name| name.strip_suffix(".json").is_some()).collect()
    }

    /// Puts a file into the spool as the old gateway does: whole, under its last name.
    pub(crate) fn old_gateway_writes(&self, name: &str, document: &str) {
        let temporary = self.spool().join(format!("{name}.temp"));
        fs::write(&temporary, document).expect("written");
        fs::rename(temporary, self.spool().join(name)).expect("renamed");
    }

    /// Removes database, role and virtual host.
    pub(crate) async fn clean_up(self) {
        self.servers.drop_vhost(&self.vhost).await.expect("dropped");
        self.servers.drop_database(&self.database).await.expect("dropped");
        let drop_role = format!("DROP ROLE {}", self.user);
        connect(&self.servers.database_url()).await.batch_execute(&drop_role).await.expect("dropped");
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Who owns a file.
pub(crate) fn owner(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").uid()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/old-system")
}

pub(crate) fn fixture(name: &str) -> String {
    fs::read_to_string(fixtures().join(name)).expect("a fixture")
}

/// A variable of a file such as `.env`, as containers get it: the whole line, the last of its name.
pub(crate) fn variable(file: &Path, name: &str) -> Option<String> {
    variables(file).into_iter().rev().find_map(|(key, value)| (key == name).then_some(value))
}

/// Every line `NAME=value`, as `docker` reads a file of variables.
fn variables(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).expect("a file of variables");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database");
    tokio::spawn(connection);
    client
}
