//! The stack with real servers: started, killed, started again, stopped, left behind.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        fs::PermissionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use lapin::{
    Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use stack::{Options, Servers, Stack};
use tokio_postgres::{Client, NoTls};

/// A folder that user `postgres` can get to.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("kcidb-stack").tempdir_in("/tmp").expect("a folder")
}

async fn database(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

async fn broker(url: &str) -> Connection {
    Connection::connect(url, ConnectionProperties::default()).await.expect("a connection")
}

/// The processes whose working directory is in a folder, with their names.
fn processes_in(dir: &Path) -> BTreeMap<u32, String> {
    let dir = dir.canonicalize().expect("it exists");
    let pids =
        fs::read_dir("/proc").expect("Linux").flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&dir)))
        .map(|pid| (pid, fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()))
        .collect()
}

async fn publish(servers: &Servers, text: &str) {
    let connection = broker(&servers.amqp_url()).await;
    let channel = connection.create_channel().await.expect("a channel");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare("kept".into(), QueueDeclareOptions::durable(), arguments).await.expect("a queue");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let properties = lapin::BasicProperties::default().with_delivery_mode(2);
    channel
        .basic_publish("".into(), "kept".into(), BasicPublishOptions::default(), text.as_bytes(), properties)
        .await
        .expect("sent")
        .await
        .expect("confirmed");
}

/// The next message of the queue that [`publish`] fills.
async fn take(servers: &Servers) -> Option<String> {
    let connection = broker(&servers.amqp_url()).await;
    let channel = connection.create_channel().await.expect("a channel");
    for _ in 0..100 {
        let message = channel.basic_get("kept".into(), BasicGetOptions { no_ack: true }).await.expect("an answer");
        if let Some(message) = message {
            return Some(String::from_utf8_lossy(&message.delivery.data).into_owned());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn data_outlives_stops_and_kills_and_nothing_is_left_running() {
    let dir = folder();
    let begun = Instant::now();
    let stack = Stack::start(Options::at(dir.path())).await.expect("started");
    println!("first start: {:.1} s", begun.elapsed().as_secs_f64());
    let servers = stack.servers().clone();
    database(&stack.database_url()).await.batch_execute("CREATE TABLE t AS SELECT 1 AS a").await.expect("made");
    publish(&servers, "one").await;
    tokio::time::sleep(Duration::from_secs(4)).await;

    let begun = Instant::now();
    stack.kill_postgres().await;
    stack.start_postgres().await.expect("started again");
    println!("PostgreSQL killed and started: {:.1} s", begun.elapsed().as_secs_f64());
    let rows = database(&stack.database_url()).await.query("SELECT a FROM t", &[]).await.expect("the table");
    assert_eq!(rows.len(), 1);

    let begun = Instant::now();
    stack.kill_rabbitmq().await;
    stack.start_rabbitmq().await.expect("started again");
    println!("RabbitMQ killed and started: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(take(&servers).await.as_deref(), Some("one"));

    publish(&servers, "two").await;
    let begun = Instant::now();
    stack.stop_app().await.expect("stopped");
    assert!(Connection::connect(&servers.amqp_url(), ConnectionProperties::default()).await.is_err());
    stack.start_app().await.expect("started");
    println!("broker application stopped and started: {:.1} s", begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    stack.stop().await;
    println!("stop: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(processes_in(dir.path()), BTreeMap::new());

    let begun = Instant::now();
    let stack = Stack::start(Options { durable: true, ..Options::at(dir.path()) }).await.expect("started again");
    println!("second start: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(stack.database_url(), servers.database_url(), "the addresses stay");
    assert_eq!(stack.amqp_url(), servers.amqp_url());
    let client = database(&stack.database_url()).await;
    assert_eq!(client.query("SELECT a FROM t", &[]).await.expect("the table").len(), 1);
    let fsync: String = client.query_one("SHOW fsync", &[]).await.expect("a setting").get(0);
    assert_eq!(fsync, "on");
    assert_eq!(take(&servers).await.as_deref(), Some("two"));
    drop(stack);
    // They are killed, but it takes the system a moment.
    let until = Instant::now() + Duration::from_secs(5);
    while !processes_in(dir.path()).is_empty() {
        assert!(Instant::now() < until, "dropped means killed: {:?}", processes_in(dir.path()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stacks_live_side_by_side_and_a_folder_is_used_once() {
    let (one, two) = (folder(), folder());
    let (first, second) = tokio::join!(Stack::start(Options::at(one.path())), Stack::start(Options::at(two.path())));
    let (first, second) = (first.expect("started"), second.expect("started"));
    assert_ne!(first.database_url(), second.database_url());
    publish(first.servers(), "for the first").await;
    publish(second.servers(), "for the second").await;
    assert_eq!(take(first.servers()).await.as_deref(), Some("for the first"));
    assert_eq!(take(second.servers()).await.as_deref(), Some("for the second"));

    let error = Stack::start(Options::at(one.path())).await.expect_err("in use").to_string();
    assert!(error.contains("in use") && error.contains(&std::process::id().to_string()), "{error}");
    assert_eq!(stack::holder(one.path()), Some(std::process::id()));

    first.stop().await;
    assert_eq!(processes_in(one.path()), BTreeMap::new());
    publish(second.servers(), "still there").await;
    second.stop().await;
    assert_eq!(processes_in(two.path()), BTreeMap::new());
}

/// Not a test by itself: starts a stack in `KCIDB_STACK_LEAVE` and ends as if killed.
#[tokio::test]
async fn starts_and_is_killed() {
    let Some(dir) = std::env::var_os("KCIDB_STACK_LEAVE") else { return };
    let stack = Stack::start(Options::at(dir)).await.expect("started");
    publish(stack.servers(), "kept").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).expect("killed");
}

fn start_and_kill(dir: &Path) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let status = command.args(["--exact", "starts_and_is_killed"]).env("KCIDB_STACK_LEAVE", dir).status();
    assert_eq!(status.expect("run").signal(), Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_taken_over_or_ended() {
    let dir = folder();
    start_and_kill(dir.path());
    let left = processes_in(dir.path());
    assert!(!left.is_empty());
    assert_eq!(stack::holder(dir.path()), None);

    let begun = Instant::now();
    let stack = Stack::start(Options::at(dir.path())).await.expect("taken over");
    println!("taken over: {:.2} s", begun.elapsed().as_secs_f64());
    let pids = stack.pids().await;
    assert_eq!(pids.keys().copied().collect::<Vec<_>>(), ["epmd", "postgres", "rabbitmq"]);
    assert!(pids.values().all(|pid| left.contains_key(pid)), "{pids:?} of {left:?}");
    assert_eq!(take(stack.servers()).await.as_deref(), Some("kept"));

    stack.kill_postgres().await;
    stack.start_postgres().await.expect("started again");
    stack.stop().await;
    assert_eq!(processes_in(dir.path()), BTreeMap::new());

    start_and_kill(dir.path());
    let durable = Stack::start(Options { durable: true, ..Options::at(dir.path()) }).await.expect("started");
    let client = database(&durable.database_url()).await;
    let fsync: String = client.query_one("SHOW fsync", &[]).await.expect("a setting").get(0);
    assert_eq!(fsync, "on", "what was left is less durable than asked for, and was started again");
    drop(durable);

    start_and_kill(dir.path());
    assert!(stack::end_leftovers(dir.path()).await.expect("ended"));
    assert_eq!(processes_in(dir.path()), BTreeMap::new());
    assert!(!stack::end_leftovers(dir.path()).await.expect("nothing to end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_replaced() {
    let dir = folder();
    let stack = Stack::start(Options { rabbitmq: false, ..Options::at(dir.path()) }).await.expect("started");
    let before = stack.database_url();
    stack.stop().await;
    let port = before.rsplit([':', '/']).nth(1).expect("a port").parse::<u16>().expect("a number");
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("free by now");
    let stack = Stack::start(Options { rabbitmq: false, ..Options::at(dir.path()) }).await.expect("started");
    assert_ne!(stack.database_url(), before);
    database(&stack.database_url()).await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_closed_to_postgres_and_one_with_a_space_work_too() {
    let closed = tempfile::tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).expect("closed");
    let dir = closed.path().join("in here");
    let stack = Stack::start(Options::at(&dir)).await.expect("started");
    database(&stack.database_url()).await.batch_execute("CREATE TABLE t AS SELECT 1 AS a").await.expect("made");
    publish(stack.servers(), "here").await;
    assert_eq!(take(stack.servers()).await.as_deref(), Some("here"));
    stack.stop().await;
    let stack = Stack::start(Options { rabbitmq: false, ..Options::at(&dir) }).await.expect("started again");
    database(&stack.database_url()).await.batch_execute("SELECT a FROM t").await.expect("the table");
    stack.stop().await;
    let state = fs::read_to_string(dir.join("stack.json")).expect("the state");
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    if let Some(elsewhere) = state["postgres"].as_str() {
        fs::remove_dir_all(elsewhere).expect("removed");
    }
}

#[test]
fn works_as_an_ordinary_user() {
    if !rustix::process::getuid().is_root() {
        return;
    }
    let exe = std::env::current_exe().expect("this program");
    let as_nobody = |program: &Path| {
        let mut command = Command::new(program);
        command.uid(65534).gid(65534).current_dir("/").env_remove("HOME");
        command
    };
    if !as_nobody(Path::new("test")).arg("-x").arg(&exe).status().is_ok_and(|status| status.success()) {
        println!("skipped: an ordinary user may not enter {}", exe.display());
        return;
    }
    let dir = folder();
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).expect("given away");
    let mut command = as_nobody(&exe);
    command.args(["--exact", "data_outlives_stops_and_kills_and_nothing_is_left_running", "--nocapture"]);
    assert!(command.status().expect("run").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_share_servers_and_get_places_of_their_own() {
    let dir = folder();
    // As if this were the only test process: a folder of its own.
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "uses_the_shared_stack", "--nocapture"]).env("KCIDB_TEST_STACK", dir.path());
    command.env("KCIDB_STACK_SHARED", "1");
    let begun = Instant::now();
    assert!(command.status().expect("run").success());
    let first = begun.elapsed();
    let running = processes_in(dir.path());
    assert!(!running.is_empty(), "they wait for the next");
    let begun = Instant::now();
    assert!(command.status().expect("run").success());
    let second = begun.elapsed();
    println!("the first user waits {:.1} s, the second {:.1} s", first.as_secs_f64(), second.as_secs_f64());
    assert!(running.keys().all(|pid| processes_in(dir.path()).contains_key(pid)) || second < first);
    let until = Instant::now() + Duration::from_secs(30);
    while !processes_in(dir.path()).is_empty() {
        assert!(Instant::now() < until, "nobody ends them: {:?}", processes_in(dir.path()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Not a test by itself: what a test of another crate does.
#[tokio::test(flavor = "multi_thread")]
async fn uses_the_shared_stack() {
    if std::env::var_os("KCIDB_STACK_SHARED").is_none() {
        return;
    }
    let servers = stack::shared().await.expect("shared");
    let url = servers.fresh_database().await.expect("a database");
    database(&url).await.batch_execute("CREATE TABLE mine AS SELECT 1").await.expect("made");
    servers.drop_database(&url).await.expect("dropped");
    let prepare = async |url: String| {
        database(&url).await.batch_execute("CREATE TABLE prepared AS SELECT 1").await.map_err(|error| error.to_string())
    };
    let (one, two) =
        tokio::join!(servers.fresh_database_like("key", prepare), servers.fresh_database_like("key", prepare));
    for url in [one.expect("a copy"), two.expect("a copy")] {
        database(&url).await.batch_execute("DROP TABLE prepared").await.expect("there, in each");
    }

    let url = servers.fresh_vhost().await.expect("a virtual host");
    let connection = broker(&url).await;
    let channel = connection.create_channel().await.expect("a channel");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let declare = async |name: &str| {
        channel.queue_declare(name.into(), QueueDeclareOptions::durable(), arguments.clone()).await.expect("a queue");
    };
    declare("ingester.submissions").await;
    declare("ingester.submissions.retry.5s").await;
    let begun = Instant::now();
    let room = "ingester.submissions.retry.5s".into();
    channel
        .basic_publish("".into(), room, BasicPublishOptions::default(), b"again", lapin::BasicProperties::default())
        .await
        .expect("sent");
    let back = loop {
        let options = BasicGetOptions { no_ack: true };
        if let Some(message) = channel.basic_get("ingester.submissions".into(), options).await.expect("an answer") {
            break message;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "the waiting room's policy brings it back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(back.delivery.data, b"again");
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    servers.close_connections().await.expect("closed");
    let until = Instant::now() + Duration::from_secs(10);
    while connection.status().connected() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    servers.drop_vhost(&url).await.expect("dropped");
}
