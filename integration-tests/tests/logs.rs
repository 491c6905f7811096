//! From a failed node to issues and incidents, on the real binary: exactly what is recorded, once, whatever happens on the
//! way; and every log that is none ends in a reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path as Segment,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures::{StreamExt as _, stream};
use integration_tests::{System, conformance};
use logspec::{Incident, Kind, KnownIssue, Node};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

/// A build log with one error.
const BUILD_LOG: &str = "  CC a/b.o\na/b.c:1:2: error: expected ';'\nmake: *** [s:1: a/b.o] Error 1\n";
/// Another loopback address than the one that must not be asked.
const HOST: &str = "127.0.0.2";

/// Serves at a loopback address until the test ends; `http://HOST:PORT`.
async fn serve(host: &str, router: Router) -> String {
    let listener = tokio::net::TcpListener::bind((host, 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The options of the log worker that every test here wants.
fn options() -> Vec<(&'static str, String)> {
    vec![
        ("KCIDB_LOG_ALLOW", HOST.into()),
        ("KCIDB_LOG_SWEEP_EVERY", "1s".into()),
        ("KCIDB_LOG_SWEEP_AGE", "20s".into()),
    ]
}

fn document(builds: &[Value], tests: &[Value]) -> Vec<u8> {
    json!({"version": {"major": 5, "minor": 3}, "builds": builds, "tests": tests}).to_string().into_bytes()
}

fn build(id: &str, url: &str) -> Value {
    json!({"id": id, "origin": "maestro", "checkout_id": "maestro:c", "status": "FAIL", "log_url": url})
}

fn test(id: &str, path: &str, url: &str) -> Value {
    json!({"id": id, "origin": "maestro", "build_id": "maestro:b", "status": "FAIL", "path": path, "log_url": url})
}

/// What became of the logs: node → outcome and reason.
async fn marks(system: &System) -> BTreeMap<String, String> {
    let rows = system.database().await.query("SELECT id, outcome, reason FROM kcidb_ng.logs", &[]).await.expect("rows");
    let mark = |row: &tokio_postgres::Row| {
        let (outcome, reason): (String, Option<String>) = (row.get(1), row.get(2));
        (row.get(0), reason.map_or(outcome.clone(), |reason| format!("{outcome} {reason}")))
    };
    rows.iter().map(mark).collect()
}

/// Waits until so many logs are finished, and told of.
async fn wait_for_marks(system: &System, count: i64) {
    let database = system.database().await;
    let query = "SELECT count(*) FROM kcidb_ng.logs WHERE outcome <> 'retrying' AND announce IS NULL";
    let finished = async || database.query_one(query, &[]).await.expect("a count").get::<_, i64>(0) >= count;
    system.until(&format!("{count} logs are finished"), finished).await;
}

/// The recorded logs of the existing worker, and what it made of them as a node of each type.
struct Recorded {
    logs: BTreeMap<String, Bytes>,
    /// (log, type) → issues and incidents.
    results: BTreeMap<(String, &'static str), Value>,
}

fn read(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    if let Ok(bytes) = std::fs::read(path) {
        return Some(bytes);
    }
    let packed = std::fs::File::open(format!("{}.gz", path.display())).ok()?;
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut bytes).expect("a recorded file");
    Some(bytes)
}

impl Recorded {
    fn load(folder: &Path) -> Self {
        let mut recorded = Self { logs: BTreeMap::new(), results: BTreeMap::new() };
        for entry in std::fs::read_dir(folder.join("logs")).expect("logs") {
            let file = entry.expect("a file").file_name().into_string().expect("a name");
            let name = file.split('.').next().expect("a name").to_owned();
            let log = read(&folder.join("logs").join(format!("{name}.log"))).expect("a log");
            for kind in ["build", "boot", "kselftest"] {
                let result = read(&folder.join(format!("expected/{name}.worker-{kind}.json"))).expect("a result");
                let result: Value = serde_json::from_slice(&result).expect("JSON");
                recorded.results.insert((name.clone(), kind), result["result"].clone());
            }
            recorded.logs.insert(name, log.into());
        }
        recorded
    }

    fn router(&self) -> Router {
        let logs = Arc::new(self.logs.clone());
        let serve = async move |Segment(name): Segment<String>| logs.get(&name).cloned().ok_or(StatusCode::NOT_FOUND);
        Router::new().route("/{name}", get(serve))
    }

    fn id(name: &str, kind: &str) -> String {
        format!("maestro:{name}-{kind}")
    }

    /// A document with a failed node of each type for each log.
    fn document(&self, url: &str) -> Vec<u8> {
        let (mut builds, mut tests) = (Vec::new(), Vec::new());
        for (name, kind) in self.results.keys() {
            let (id, url) = (Self::id(name, kind), format!("{url}/{name}"));
            match *kind {
                "build" => builds.push(build(&id, &url)),
                "boot" => tests.push(test(&id, "boot", &url)),
                kind => tests.push(test(&id, &format!("{kind}.all"), &url)),
            }
        }
        document(&builds, &tests)
    }

    /// Compares the tables with the recorded results.
    async fn check(&self, system: &System) {
        let database = system.database().await;
        let mut expected_incidents = BTreeSet::new();
        let mut expected_issues: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for ((name, kind), result) in &self.results {
            let id = Self::id(name, kind);
            let node = Node { id: &id, origin: "maestro", kind: Kind::named(kind).expect("a kind") };
            for incident in result["incidents"].as_array().expect("a list") {
                let issue = KnownIssue {
                    id: incident["issue_id"].as_str().expect("an id").to_owned(),
                    version: incident["issue_version"].as_i64().expect("a version"),
                };
                expected_incidents.insert(json!(Incident::of(&issue, &node)).to_string());
            }
            for issue in result["issues"].as_array().expect("a list") {
                let stored = json!({"comment": issue["comment"], "version": issue["version"], "origin": issue["origin"],
                    "culprit_code": issue["culprit"]["code"], "culprit_tool": issue["culprit"]["tool"],
                    "culprit_harness": issue["culprit"]["harness"], "misc": as_stored(issue["misc"].clone())});
                expected_issues.entry(issue["id"].as_str().expect("an id").into()).or_default().push(stored);
            }
        }
        let query = "SELECT jsonb_strip_nulls(to_jsonb(i) - '_timestamp')::text FROM incidents i";
        let rows = database.query(query, &[]).await.expect("rows");
        let incidents: BTreeSet<String> =
            rows.iter().map(|row| serde_json::from_str::<Value>(row.get(0)).expect("JSON").to_string()).collect();
        assert_eq!(incidents.len(), rows.len());
        let sorted = |set: &BTreeSet<String>| -> BTreeSet<String> {
            set.iter().map(|text| serde_json::from_str::<Value>(text).expect("JSON").to_string()).collect()
        };
        assert_eq!(sorted(&incidents), sorted(&expected_incidents));
        let query = "SELECT id, (jsonb_strip_nulls(to_jsonb(i)) - '_timestamp' - 'id')::text FROM issues i";
        let rows = database.query(query, &[]).await.expect("rows");
        let ids: BTreeSet<&str> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, expected_issues.keys().map(String::as_str).collect());
        for row in &rows {
            let (id, issue): (&str, &str) = (row.get(0), row.get(1));
            let issue: Value = serde_json::from_str(issue).expect("JSON");
            // Of several logs with the same issue the first one's words stay.
            assert!(expected_issues[id].contains(&issue), "{id}: {issue:#}\n{:#?}", expected_issues[id]);
        }
    }
}

/// Without null members, and with no more than 16 KiB of excerpt.
fn as_stored(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            for (name, value) in members.iter_mut() {
                *value = as_stored(value.take());
                if let ("log_excerpt", Value::String(text)) = (name.as_str(), value) {
                    text.truncate(text.floor_char_boundary(16 << 10));
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| *value = as_stored(value.take())),
        _ => {}
    }
    value
}

/// A file that picks the recorded nodes.
fn selection() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"maestro:\n  - type: build\n  - type: test\n    parser: auto\n").expect("written");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_logs_end_once_as_recorded_however_often_the_worker_is_killed() {
    let Some(folder) = conformance() else { return };
    let recorded = Recorded::load(&folder.join("logspec"));
    let url = serve(HOST, recorded.router()).await;
    let selection = selection();
    let mut options = options();
    options.push(("KCIDB_LOGSPEC_CONFIG", selection.path().display().to_string()));
    let mut system = System::start_configured(&["gateway", "ingester", "status", "logspec"], &options).await;
    let document = recorded.document(&url);
    let count = i64::try_from(recorded.results.len()).expect("a small number");
    let id = system.submit(document.clone()).await;
    let again = system.submit(document.clone()).await;
    for id in [&id, &again] {
        assert_eq!(system.wait(id).await["status"], "processed");
    }
    wait_for_marks(&system, count).await;
    recorded.check(&system).await;
    let logs = json!({"pending": 0, "analyzed": count, "failed": 0, "skipped": 0, "reasons": {}});
    system.until("the status counts every log", async || system.status(&again).await["logs"] == logs).await;

    let truncate = "TRUNCATE builds, tests, issues, incidents, kcidb_ng.logs, kcidb_ng.submission_logs";
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        system.database().await.batch_execute(truncate).await.expect("empty tables");
        system.empty_log_cache();
        system.submit(document.clone()).await;
        system.submit(document.clone()).await;
        // Killed in the middle of its work, at other places with each seed.
        for _ in 0..2 {
            let place = random.random_range(0..count);
            let database = system.database().await;
            let query = "SELECT count(*) FROM kcidb_ng.logs";
            let marked = async || database.query_one(query, &[]).await.expect("a count").get::<_, i64>(0);
            system.until("so many logs are done", async || marked().await >= place).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
            system.kill_service("logspec");
            println!("seed {seed}: killed after {} of {count} logs", marked().await);
            system.start_service("logspec");
        }
        wait_for_marks(&system, count).await;
        recorded.check(&system).await;
    }
    assert_eq!(system.dead_letters().await, 0);
    system.stop().await;
}

/// Zeros or lines: so many of 64 MiB pieces, each a gzip member.
fn bomb(piece: &[u8], pieces: usize) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..(64 << 20) / piece.len() {
        encoder.write_all(piece).expect("a vector takes everything");
    }
    encoder.finish().expect("a vector takes everything").repeat(pieces).into()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

fn redirect(to: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

/// What a strange server answers.
struct Strange {
    /// Where nobody may be sent to.
    inside: String,
    zeros: Bytes,
    lines: Bytes,
    flaky: AtomicUsize,
}

impl Strange {
    fn answer(&self, name: &str) -> Response {
        let chunk = |size: usize| Bytes::from(vec![b'x'; size]);
        match name {
            "flaky" if self.flaky.fetch_add(1, Ordering::Relaxed) == 0 => {
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            "good" | "query" | "flaky" => BUILD_LOG.into_response(),
            "good-gzip" => gzip(BUILD_LOG.as_bytes()).into_response(),
            "encoded" => ([(header::CONTENT_ENCODING, "gzip")], gzip(BUILD_LOG.as_bytes())).into_response(),
            "moved" => redirect("/good"),
            "loop" => redirect("/loop"),
            "inside" => redirect(&self.inside),
            "metadata" => redirect("http://169.254.169.254/latest/meta-data/"),
            "file" => redirect("file:///etc/passwd"),
            "nowhere" => StatusCode::FOUND.into_response(),
            "gone" => StatusCode::GONE.into_response(),
            "broken" => StatusCode::BAD_GATEWAY.into_response(),
            "busy" => StatusCode::TOO_MANY_REQUESTS.into_response(),
            "private" => StatusCode::FORBIDDEN.into_response(),
            "stalled" => {
                let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"make"))]);
                Body::from_stream(start.chain(stream::pending())).into_response()
            }
            "slow" => {
                let drops = stream::repeat(()).then(|()| tokio::time::sleep(Duration::from_millis(100)));
                Body::from_stream(drops.map(|()| Ok::<_, std::io::Error>(Bytes::from_static(b"x")))).into_response()
            }
            "endless" => {
                let chunk = chunk(1 << 20);
                Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()))).into_response()
            }
            "large" => {
                ([(header::CONTENT_LENGTH, (65 << 20).to_string())], Body::from(chunk(65 << 20))).into_response()
            }
            "zeros" => self.zeros.clone().into_response(),
            "lines" => self.lines.clone().into_response(),
            "page" => ([(header::CONTENT_TYPE, "text/plain")], "\n<!doctype html>\n<p>Log in").into_response(),
            "empty" => "".into_response(),
            "empty-gzip" => gzip(b"").into_response(),
            "damaged" => gzip(&[7; 5000])[..20].to_vec().into_response(),
            "nul" => b"  CC a/n.o\na/n.c:1:2: error: a \0 and \xff\xfe here\nmake: *** [s:1: a/n.o] Error 1\n"
                .to_vec()
                .into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

/// The servers' answers, each with how the log of the node ends.
const ENDS: [(&str, &str); 27] = [
    ("good", "analyzed"),
    ("good-gzip", "analyzed"),
    ("encoded", "analyzed"),
    ("query?token=hunter3", "analyzed"),
    ("moved", "analyzed"),
    ("flaky", "analyzed"),
    ("nul", "analyzed"),
    ("lines", "analyzed"),
    ("loop", "failed redirects_exceeded"),
    ("inside", "failed address_refused"),
    ("metadata", "failed address_refused"),
    ("file", "failed url_invalid"),
    ("nowhere", "failed http_refused"),
    ("missing", "failed gone"),
    ("gone", "failed gone"),
    ("broken", "failed server_error"),
    ("busy", "failed server_busy"),
    ("private", "failed http_refused"),
    ("stalled", "failed timeout"),
    ("slow", "failed timeout"),
    ("endless", "failed log_too_large"),
    ("large", "failed log_too_large"),
    ("zeros", "failed not_plain_text"),
    ("page", "failed not_plain_text"),
    ("empty", "failed log_empty"),
    ("empty-gzip", "failed log_empty"),
    ("damaged", "failed log_damaged"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_log_that_is_none_ends_in_its_reason_and_the_worker_lives() {
    let asked_inside = Arc::new(AtomicUsize::new(0));
    let counter = asked_inside.clone();
    let inside = Router::new().fallback(async move || counter.fetch_add(1, Ordering::Relaxed).to_string());
    let inside = serve("127.0.0.1", inside).await;
    let port = inside.rsplit(':').next().expect("a port").to_owned();
    let strange = Strange {
        inside: inside.clone(),
        zeros: bomb(&vec![0; 1 << 20], 16),
        lines: bomb(&b"x\n".repeat(1 << 19), 16),
        flaky: AtomicUsize::new(0),
    };
    let strange = Arc::new(strange);
    let url = serve(
        HOST,
        Router::new().route("/{name}", get(async move |Segment(name): Segment<String>| strange.answer(&name))),
    )
    .await;
    let closed = format!("http://{HOST}:{}", integration_tests::free_port());

    let mut options = options();
    options.extend([
        ("KCIDB_LOG_SILENCE_TIMEOUT", "1s".into()),
        ("KCIDB_LOG_TIMEOUT", "3s".into()),
        ("KCIDB_MAX_ATTEMPTS", "2".into()),
        ("KCIDB_LOG", "debug".into()),
    ]);
    let system = System::start_configured(&["gateway", "ingester", "status", "logspec"], &options).await;
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    let mut builds = Vec::new();
    let mut add = |name: &str, url: &str, end: &str| {
        let id = format!("maestro:{}", name.split('?').next().expect("a name"));
        builds.push(build(&id, url));
        ends.insert(id, end.to_owned());
    };
    for (name, end) in ENDS {
        add(name, &format!("{url}/{name}"), end);
    }
    let with_password = url.replace("http://", "http://user:hunter2@");
    add("with-password", &format!("{with_password}/good"), "analyzed");
    add("name", &format!("http://localhost:{port}/"), "failed address_refused");
    add("inside-directly", &format!("{inside}/"), "failed address_refused");
    add("no-server", &closed, "failed unreachable");
    add("no-name", "http://nowhere.invalid/", "failed name_unresolved");
    add("ftp", "ftp://example.org/log", "failed url_invalid");
    let id = system.submit(document(&builds, &[])).await;
    wait_for_marks(&system, i64::try_from(builds.len()).expect("a small number")).await;
    assert_eq!(marks(&system).await, ends);
    assert_eq!(asked_inside.load(Ordering::Relaxed), 0, "nothing inside may be asked");

    let failed = ends.values().filter(|end| end.starts_with("failed")).count();
    system.until("the status counts every log", async || system.status(&id).await["logs"]["failed"] == failed).await;
    let logs = system.status(&id).await["logs"].clone();
    assert_eq!((&logs["pending"], &logs["reasons"]["address_refused"]), (&json!(0), &json!(4)), "{logs}");
    let database = system.database().await;
    let cut = "SELECT is_cut, log_bytes FROM kcidb_ng.logs WHERE id = 'maestro:lines'";
    let cut = database.query_one(cut, &[]).await.expect("a row");
    assert_eq!((cut.get::<_, bool>(0), cut.get::<_, i64>(1)), (true, 64 << 20));
    let comment = "SELECT comment FROM issues WHERE comment LIKE '%a/n.c%'";
    let comment: String = database.query_one(comment, &[]).await.expect("an issue").get(0);
    assert!(comment.contains("a \u{FFFD} and \u{FFFD}\u{FFFD} here"), "{comment}");
    let gone = "SELECT attempts, next_try_at - analyzed_at BETWEEN '23 hours' AND '25 hours' FROM kcidb_ng.logs WHERE reason = 'gone'";
    for row in database.query(gone, &[]).await.expect("rows") {
        assert_eq!((row.get::<_, i32>(0), row.get::<_, bool>(1)), (1, true));
    }
    assert_eq!(system.dead_letters().await, 0);
    let peak = system.peak_rss("logspec") >> 20;
    println!("the log worker took {peak} MiB at most");
    assert!(peak < 500, "{peak} MiB");
    let log = system.log("logspec");
    assert!(!log.contains("hunter2") && !log.contains("hunter3"), "no secret may be logged");
    let metrics = system.metrics("logspec").await;
    for line in [
        "kcidb_logs_total{outcome=\"failed\",reason=\"address_refused\"} 4",
        "kcidb_log_fetch_total{outcome=\"failed\",reason=\"gone\"} 2",
        "kcidb_findings_total{error_type=\"kbuild.compiler.error\",parser=\"kbuild\"} 8",
        "kcidb_issues_total{state=\"new\"} 2",
        "kcidb_incidents_total 8",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    system.stop().await;
}

/// Serves one build log under every name, and counts how often it is asked.
async fn counting_server() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let answer = async move || {
        counter.fetch_add(1, Ordering::Relaxed);
        BUILD_LOG
    };
    (serve(HOST, Router::new().fallback(answer)).await, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_with_one_log_cost_one_fetch() {
    let (url, asked) = counting_server().await;
    let system = System::start_configured(&["all"], &options()).await;
    let tests: Vec<Value> =
        (0..1000).map(|n| test(&format!("maestro:{n}"), "boot", &format!("{url}/{}", n % 10))).collect();
    system.submit(document(&[], &tests)).await;
    wait_for_marks(&system, 1000).await;
    assert_eq!(asked.load(Ordering::Relaxed), 10);
    assert_eq!((system.count("issues").await, system.count("incidents").await), (1, 1000));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_no_event_told_of_are_found_and_old_ones_on_request() {
    let (url, _) = counting_server().await;
    let mut options = options();
    options.push(("KCIDB_LOG_GONE_PAUSE", "1s".into()));
    let system = System::start_configured(&["all"], &options).await;
    let insert = format!(
        "INSERT INTO builds (id, checkout_id, origin, status, log_url, _timestamp) VALUES
         ('lab:young', 'lab:c', 'lab', 'FAIL', '{url}/1', now()),
         ('lab:swept', 'lab:c', 'lab', 'FAIL', '{url}/2', now() - interval '1 hour'),
         ('lab:passed', 'lab:c', 'lab', 'PASS', '{url}/3', now() - interval '1 hour'),
         ('lab:old', 'lab:c', 'lab', 'ERROR', '{url}/4', now() - interval '3 days');
         INSERT INTO tests (id, build_id, origin, status, path, log_url, _timestamp) VALUES
         ('lab:boot', 'lab:b', 'lab', 'MISS', 'boot.nfs', '{url}/5', now() - interval '1 hour'),
         ('lab:ltp', 'lab:b', 'lab', 'FAIL', 'ltp.a', '{url}/6', now() - interval '1 hour')"
    );
    system.database().await.batch_execute(&insert).await.expect("rows");
    wait_for_marks(&system, 3).await;
    let expected = [("lab:boot", "analyzed"), ("lab:ltp", "skipped not_selected"), ("lab:swept", "analyzed")];
    let expected: BTreeMap<String, String> = expected.map(|(id, end)| (id.into(), end.into())).into();
    let swept = marks(&system).await;
    assert_eq!(swept, expected);

    let shown = system.kcidb(&["log", "reanalyze", "--since", "7d", "--parser", "kbuild", "--dry-run"]);
    assert!(shown.contains("build lab:old:\n  + lab:") && shown.contains("2 nodes would be"), "{shown}");
    assert_eq!(marks(&system).await.len(), 3, "a dry run changes nothing");
    let asked = system.kcidb(&["log", "reanalyze", "--since", "7d", "--parser", "kbuild", "--origin", "lab"]);
    assert!(asked.contains("2 nodes wait"), "{asked}");
    wait_for_marks(&system, 5).await;
    let marks = marks(&system).await;
    assert_eq!((marks["lab:old"].as_str(), marks["lab:young"].as_str()), ("analyzed", "analyzed"));
    // One error at one place is one issue, however many builds have it.
    assert_eq!(system.count("issues WHERE comment LIKE '%kbuild%'").await, 1);
    assert_eq!(system.count("incidents WHERE build_id IS NOT NULL").await, 3);
    let shown = system.kcidb(&["log", "reanalyze", "--since", "7d", "--all", "--dry-run"]);
    assert!(shown.contains("build lab:old: no change") && shown.contains("4 nodes would be"), "{shown}");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_comes_back_is_analysed_after_all_and_one_that_does_not_is_left() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let late = async move || match counter.fetch_add(1, Ordering::Relaxed) {
        0 => StatusCode::NOT_FOUND.into_response(),
        _ => BUILD_LOG.into_response(),
    };
    let url = serve(HOST, Router::new().route("/late", get(late))).await;
    let mut options = options();
    options.push(("KCIDB_LOG_GONE_PAUSE", "1s".into()));
    options.push(("KCIDB_LOG_FAILURE_MEMORY", "500ms".into()));
    let system = System::start_configured(&["all"], &options).await;
    let builds = [build("maestro:late", &format!("{url}/late")), build("maestro:never", &format!("{url}/never"))];
    system.submit(document(&builds, &[])).await;
    let database = system.database().await;
    let query = "SELECT count(*) FROM kcidb_ng.logs WHERE next_try_at IS NULL";
    system
        .until("nothing is left to try", async || {
            database.query_one(query, &[]).await.expect("a count").get::<_, i64>(0) == 2
        })
        .await;
    let expected = [("maestro:late", "analyzed"), ("maestro:never", "failed gone")];
    assert_eq!(marks(&system).await, expected.map(|(id, end)| (id.into(), end.into())).into());
    let attempts = "SELECT attempts FROM kcidb_ng.logs WHERE id = 'maestro:never'";
    assert_eq!(database.query_one(attempts, &[]).await.expect("a row").get::<_, i32>(0), 4);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_and_changes_nothing() {
    let (url, asked) = counting_server().await;
    let mut options = options();
    options.push(("KCIDB_DRY_RUN", "1".into()));
    let mut system = System::start_configured(&["gateway", "ingester", "status"], &options).await;
    let insert = format!(
        "INSERT INTO builds (id, checkout_id, origin, status, log_url, _timestamp) VALUES
         ('lab:b', 'lab:c', 'lab', 'FAIL', '{url}/1', now() - interval '1 hour')"
    );
    system.database().await.batch_execute(&insert).await.expect("rows");
    system.add_service("logspec");
    system
        .until("the node is printed", async || system.output("logspec").contains("build lab:b kbuild\n1 nodes"))
        .await;
    assert_eq!((system.count("kcidb_ng.logs").await, asked.load(Ordering::Relaxed)), (0, 0));
    system.stop().await;
}

/// Each name a log of its own: the same place in the source, other words.
async fn one_place_server() -> String {
    let answer =
        async |Segment(name): Segment<String>| BUILD_LOG.replace("expected ';'", &format!("{name} is undeclared"));
    serve(HOST, Router::new().route("/{name}", get(answer))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_at_one_place_that_come_at_once_are_one_issue() {
    let url = one_place_server().await;
    let system = System::start_configured(&["all"], &options()).await;
    let builds: Vec<Value> = (0..100).map(|n| build(&format!("maestro:{n}"), &format!("{url}/{n}"))).collect();
    system.submit(document(&builds, &[])).await;
    wait_for_marks(&system, 100).await;
    assert_eq!((system.count("issues").await, system.count("incidents").await), (1, 100));

    // What is known is left alone; what was not seen for long is no longer known, and other words are another issue.
    let database = system.database().await;
    let issue = async || database.query_one("SELECT to_jsonb(i)::text FROM issues i", &[]).await.expect("one").get(0);
    let before: String = issue().await;
    system.submit(document(&[build("maestro:again", &format!("{url}/again"))], &[])).await;
    wait_for_marks(&system, 101).await;
    assert_eq!(issue().await, before);
    database.batch_execute("UPDATE issues SET _timestamp = now() - interval '26 days'").await.expect("an update");
    system.submit(document(&[build("maestro:late", &format!("{url}/late"))], &[])).await;
    wait_for_marks(&system, 102).await;
    assert_eq!((system.count("issues").await, system.count("incidents").await), (2, 102));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_of_database_and_broker_are_waited_out() {
    let url = one_place_server().await;
    let system = System::start_configured(&["gateway", "ingester", "status", "logspec"], &options()).await;
    system.settle_queues().await;
    let builds: Vec<Value> = (0..300).map(|n| build(&format!("maestro:{n}"), &format!("{url}/{n}"))).collect();
    let id = system.submit(document(&builds, &[])).await;
    wait_for_marks(&system, 1).await;
    system.kill_postgres().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!system.ready("logspec").await.contains("database: ok"));
    system.start_postgres().await;
    wait_for_marks(&system, 20).await;
    system.stop_rabbitmq().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    system.start_rabbitmq().await;
    wait_for_marks(&system, 300).await;
    assert_eq!((system.count("issues").await, system.count("incidents").await), (1, 300));
    let attempts = "kcidb_ng.logs WHERE outcome <> 'analyzed' OR attempts > 1";
    assert_eq!(system.count(attempts).await, 0, "an outage is no try");
    let logs = json!({"pending": 0, "analyzed": 300, "failed": 0, "skipped": 0, "reasons": {}});
    system.until("the status counts every log", async || system.status(&id).await["logs"] == logs).await;
    assert_eq!(system.dead_letters().await, 0);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_killed_worker_left_are_published_and_can_be_read() {
    let system = System::start_configured(&["gateway", "status"], &options()).await;
    let event = include_str!("../../proto/examples/issue.opened.json");
    let insert = "INSERT INTO kcidb_ng.logs (kind, id, origin, log_url, outcome, attempts, is_cut, issues, incidents, analyzed_at, announce)
                  VALUES ('build', 'lab:b', 'lab', 'http://x', 'analyzed', 1, false, 1, 1, now() - interval '5 minutes', jsonb_build_array($1::text::jsonb))";
    system.database().await.execute(insert, &[&event]).await.expect("a row");
    let mut system = system;
    system.add_service("logspec");
    wait_for_marks(&system, 1).await;
    let metrics = system.metrics("logspec").await;
    let line = "kcidb_publish_total{event=\"issue.opened\",outcome=\"confirmed\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    system.stop().await;
}
