//! The gateway as a client sees it: what the old daemon did not do, or did worse (spec rest-and-spool 9).

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use auth::Mint;
use axum::{Router, extract::Request, routing::get};
use gateway::{Config, OriginPolicy, Running, StatusRoute};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use schema::Verdict;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

mod start;

struct Gateway {
    folder: TempDir,
    running: Running,
    shutdown: CancellationToken,
    client: Client,
}

impl Gateway {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(StatusRoute::Off, change).await
    }

    async fn start_with(status: StatusRoute, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = start::config(folder.path(), "s3cret");
        change(&mut config);
        let shutdown = CancellationToken::new();
        let running = gateway::start(config, status, shutdown.clone()).await.expect("started");
        Self { folder, running, shutdown, client: Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(token())
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.expect("an answer")
    }

    /// A connection on which this was sent: a request line and headers, without the empty line.
    async fn connect(&self, head: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.running.address).await.expect("a connection");
        connection.write_all(head.replace('\n', "\r\n").as_bytes()).await.expect("sent");
        connection.write_all(b"\r\n").await.expect("sent");
        connection
    }

    async fn ready(&self) -> StatusCode {
        reqwest::get(format!("http://{}/readyz", self.running.admin)).await.expect("an answer").status()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.finished.await.expect("finished");
    }
}

fn token() -> String {
    token_for(&[])
}

/// A token of the origin `lab` that may speak for these, too.
fn token_for(origins: &[&str]) -> String {
    let expires_at = chrono::Utc::now() + Duration::from_hours(1);
    let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    auth::mint("s3cret", &Mint { origin: "lab".into(), origins, expires_at })
}

fn authorized(rest: &str) -> String {
    format!("POST /submit HTTP/1.1\nHost: x\nAuthorization: Bearer {}\n{rest}\n", token())
}

/// Status, code and the whole of an error.
async fn error(response: Response) -> (u16, String, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((&body["id"], &body["status"]), (&"0".into(), &"error".into()), "{body}");
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()) && body["retryable"].is_boolean());
    (status, body["code"].as_str().unwrap_or_default().to_owned(), body)
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn read(mut connection: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), connection.read_to_end(&mut bytes)).await.expect("in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("listed"));
    names.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Waits for what happens soon.
async fn soon(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !happened().await {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_error_has_one_shape_and_a_code() {
    let gateway = Gateway::start(|config| config.options.max_submission = 1000).await;
    let expect = async |response, status: u16, code: &str| {
        let (got, word, body) = error(response).await;
        assert_eq!((got, word.as_str()), (status, code), "{body}");
    };
    expect(gateway.get("/nowhere").await, 404, "not_found").await;
    let refused = gateway.get("/submit").await;
    assert_eq!(refused.headers()["allow"], "POST");
    expect(refused, 405, "method_not_allowed").await;
    assert_eq!(sent(gateway.post("/health")).await.headers()["allow"], "GET,HEAD");
    let refused = gateway.get("/authtest").await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    expect(refused, 401, "auth_required").await;
    expect(sent(gateway.post("/submit").body("{")).await, 400, "json_invalid").await;
    expect(sent(gateway.post("/submit").body(b"{\"a\":\"\xff\"}".to_vec())).await, 400, "utf8_invalid").await;
    expect(sent(gateway.post("/submit").body(" ".repeat(1001))).await, 413, "too_large").await;
    let refused = sent(gateway.post("/submit").header("content-encoding", "br").body("{}")).await;
    assert_eq!(refused.headers()["accept-encoding"], "gzip, zstd");
    expect(refused, 415, "encoding_unsupported").await;
    expect(sent(gateway.post("/submit").header("content-encoding", "gzip").body("{}")).await, 400, "body_invalid")
        .await;
    expect(gateway.get("/.well-known/acme-challenge/x").await, 404, "not_found").await;
    assert_eq!(files(gateway.folder.path()), Vec::<String>::new());
    gateway.stop().await;
}

#[tokio::test]
async fn a_success_tells_size_digest_time_and_where_to_ask() {
    let gateway = Gateway::start(|_| ()).await;
    let response = sent(gateway.post("/submit").header("x-request-id", "from-the-proxy").body("{\"a\":1}")).await;
    assert_eq!(response.headers()["x-request-id"], "from-the-proxy");
    assert!(!response.headers().contains_key("traceparent"), "nothing is traced");
    let location = response.headers()["location"].to_str().expect("text").to_owned();
    let body: Value = response.json().await.expect("JSON");
    let id = body["id"].as_str().expect("text");
    assert_eq!(location, format!("/status?id={id}"));
    assert_eq!(body["status_url"], location);
    assert_eq!(body["size"], 7);
    assert_eq!(body["sha256"], "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
    let received = body["received_at"].as_str().expect("text");
    assert!(chrono::DateTime::parse_from_rfc3339(received).is_ok(), "{received}");
    let who: Value =
        sent(gateway.client.get(gateway.url("/authtest")).bearer_auth(token())).await.json().await.expect("JSON");
    assert_eq!((&who["origin"], &who["secret"]), (&"lab".into(), &"primary".into()), "{who}");
    assert!(who["expires_at"].is_string());
    gateway.stop().await;
}

#[tokio::test]
async fn packed_bodies_are_stored_unpacked_and_limited_unpacked() {
    let gateway = Gateway::start(|config| config.options.max_submission = 1 << 20).await;
    let text = format!("{{\"pad\":\"{}\"}}", "x".repeat(500_000));
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("packed");
        encoder.finish().expect("packed")
    };
    for (coding, packed) in [("gzip", gzip(&text)), ("zstd", zstd::encode_all(text.as_bytes(), 3).expect("packed"))] {
        let request = gateway.post("/submit").header("content-encoding", coding).body(packed);
        let body: Value = sent(request).await.json().await.expect("JSON");
        let id = body["id"].as_str().expect("text");
        assert_eq!(body["message"], format!("Received submission {id} with size {} bytes", text.len()));
        let stored = std::fs::read_to_string(gateway.folder.path().join(format!("submission-{id}.json")));
        assert_eq!(stored.expect("stored"), text, "{coding}");
    }
    let bomb = gzip(&" ".repeat(2 << 20));
    let (status, ..) = error(sent(gateway.post("/submit").header("content-encoding", "gzip").body(bomb)).await).await;
    assert_eq!(status, 413);
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_without_length_is_limited_while_it_comes() {
    let gateway = Gateway::start(|config| config.options.max_submission = 300_000).await;
    let pieces = futures::stream::iter(std::iter::repeat_n(Ok::<_, std::fmt::Error>(vec![b' '; 10_000]), 100));
    let refused = sent(gateway.post("/submit").body(reqwest::Body::wrap_stream(pieces))).await;
    assert_eq!(error(refused).await.0, 413);
    soon("nothing is left", async || files(gateway.folder.path()).is_empty()).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_token_is_judged_before_the_body() {
    let gateway = Gateway::start(|_| ()).await;
    let head = "POST /submit HTTP/1.1\nHost: x\nContent-Length: 100000000\nExpect: 100-continue\nConnection: close\n";
    let answer = read(gateway.connect(head).await).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "no interim answer: {answer}");
    // A client that sends on regardless gets to see the answer, too.
    let big = gateway.client.post(gateway.url("/submit")).body(vec![b' '; 8 << 20]);
    assert_eq!(error(sent(big).await).await.1, "auth_required");
    gateway.stop().await;
}

#[tokio::test]
async fn who_stalls_is_sent_away_and_leaves_nothing() {
    let gateway = Gateway::start(|config| {
        config.options.body_timeout = Duration::from_millis(300);
        config.options.head_timeout = Duration::from_millis(300);
        config.options.idle_timeout = Duration::from_millis(300);
    })
    .await;
    let mut stalled = gateway.connect(&authorized("Content-Length: 5000000")).await;
    stalled.write_all(&vec![b' '; 1_000_000]).await.expect("sent");
    let answer = read(stalled).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
    let mut cut = gateway.connect(&authorized("Content-Length: 5000000")).await;
    cut.write_all(&vec![b' '; 1_000_000]).await.expect("sent");
    soon("it is being received", async || !files(gateway.folder.path()).is_empty()).await;
    drop(cut);
    soon("nothing is left", async || files(gateway.folder.path()).is_empty()).await;

    for head in ["", "GET /health HT", "GET /health HTTP/1.1\nHost: x\n"] {
        let mut connection = TcpStream::connect(gateway.running.address).await.expect("a connection");
        connection.write_all(head.replace('\n', "\r\n").as_bytes()).await.expect("sent");
        if head.ends_with('\n') {
            connection.write_all(b"\r\n").await.expect("sent");
        }
        let started = Instant::now();
        read(connection).await;
        assert!(started.elapsed() >= Duration::from_millis(250), "{head:?} was closed at once");
    }
    // A slow, steady body is no stall, however long the whole takes.
    let mut slow = gateway.connect(&authorized("Content-Length: 8\nConnection: close")).await;
    for byte in b"[1,2,3] " {
        tokio::time::sleep(Duration::from_millis(100)).await;
        slow.write_all(&[*byte]).await.expect("sent");
    }
    assert!(read(slow).await.starts_with("HTTP/1.1 200 "));
    gateway.stop().await;
}

#[tokio::test]
async fn too_much_and_too_full_say_later() {
    let gateway = Gateway::start(|config| config.options.max_uploads = 1).await;
    let mut first = gateway.connect(&authorized("Content-Length: 2\nConnection: close")).await;
    soon("the first is in progress", async || {
        let metrics = reqwest::get(format!("http://{}/metrics", gateway.running.admin)).await.expect("an answer");
        metrics.text().await.expect("text").contains("kcidb_http_requests_in_flight 1")
    })
    .await;
    let second = sent(gateway.post("/submit").body("{}")).await;
    assert_eq!(second.headers()["retry-after"], "5");
    let (status, code, body) = error(second).await;
    assert_eq!((status, code.as_str(), &body["retryable"]), (503, "overloaded", &true.into()));
    first.write_all(b"{}").await.expect("sent");
    assert!(read(first).await.starts_with("HTTP/1.1 200 "));
    soon("it is ready", async || gateway.ready().await == 200).await;
    gateway.stop().await;

    let full = Gateway::start(|config| config.spool.spool_min_free = u64::MAX).await;
    let (status, code, _) = error(sent(full.post("/submit").body("{}")).await).await;
    assert_eq!((status, code.as_str()), (503, "storage_full"));
    assert_eq!(full.ready().await, 503);
    full.stop().await;
}

#[tokio::test]
async fn a_spool_that_is_gone_is_our_fault_and_no_detail_is_told() {
    let gateway = Gateway::start(|_| ()).await;
    std::fs::remove_dir_all(gateway.folder.path()).expect("removed");
    let (status, code, body) = error(sent(gateway.post("/submit").body("{}")).await).await;
    assert_eq!((status, code.as_str(), &body["message"]), (500, "internal", &"Internal server error".into()));
    let metrics = gateway.get("/metrics").await.text().await.expect("text");
    assert!(metrics.contains("\nkcidb_system_errors_total 1\n"), "{metrics}");
    gateway.stop().await;
}

#[tokio::test]
async fn careless_addresses_are_understood() {
    let gateway = Gateway::start(|_| ()).await;
    for path in ["/submit", "/submit/", "//submit", "/"] {
        assert_eq!(sent(gateway.post(path).body("{}")).await.status(), 200, "{path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn http_2_works_without_tls() {
    let gateway = Gateway::start(|_| ()).await;
    let client = Client::builder().http2_prior_knowledge().build().expect("a client");
    let body = format!("[{}1]", "1,".repeat(500_000));
    let response = sent(client.post(gateway.url("/submit")).bearer_auth(token()).body(body)).await;
    assert_eq!((response.version(), response.status()), (reqwest::Version::HTTP_2, StatusCode::OK));
    gateway.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_progress() {
    let gateway = Gateway::start(|_| ()).await;
    soon("it is ready", async || gateway.ready().await == 200).await;
    let mut upload = gateway.connect(&authorized("Content-Length: 7")).await;
    upload.write_all(b"[1,").await.expect("sent");
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.shutdown.cancel();
    soon("it is not ready", async || gateway.ready().await == 503).await;
    soon("nobody else gets in", async || TcpStream::connect(gateway.running.address).await.is_err()).await;
    upload.write_all(b"2,3]").await.expect("sent");
    let answer = read(upload).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    gateway.running.finished.await.expect("finished");
    assert_eq!(files(gateway.folder.path()).len(), 1);
}

/// A document with a test of each of these origins.
fn document(origins: &[&str]) -> String {
    let tests = origins.iter().map(|origin| serde_json::json!({"id": "x:1", "build_id": "x:b", "origin": origin}));
    serde_json::json!({"version": {"major": 5, "minor": 3}, "tests": tests.collect::<Vec<_>>()}).to_string()
}

/// A body with this between a hundred thousand objects of the token's own origin, in pieces without a length.
fn large(origin: &'static str) -> reqwest::Body {
    let own = r#"{"id":"lab:1","build_id":"lab:b","origin":"lab","misc":{"origin":"not an object's"}},"#.repeat(50_000);
    let text = format!(r#"{{"version":{{"major":5,"minor":3}},"tests":[{own}{{"origin":"{origin}"}},{own}{{}}]}}"#);
    let pieces: Vec<_> = text.as_bytes().chunks(7001).map(|piece| Ok::<_, std::fmt::Error>(piece.to_vec())).collect();
    reqwest::Body::wrap_stream(futures::stream::iter(pieces))
}

async fn mismatches(gateway: &Gateway, policy: &str) -> u64 {
    let metrics = reqwest::get(format!("http://{}/metrics", gateway.running.admin)).await.expect("an answer");
    let text = metrics.text().await.expect("text");
    let sample = format!("kcidb_origin_mismatches_total{{policy=\"{policy}\"");
    let counts = text.lines().filter(|line| line.starts_with(&sample)).filter_map(|line| line.rsplit(' ').next());
    counts.map(|count| count.parse::<u64>().expect("a number")).sum()
}

#[tokio::test]
async fn foreign_origins_are_counted_by_default() {
    let gateway = Gateway::start(|_| ()).await;
    let own = [document(&["lab"]), document(&[]), "5".into(), r#"{"origin":"foreign"}"#.into()];
    for body in own {
        assert_eq!(sent(gateway.post("/submit").body(body)).await.status(), 200);
    }
    assert_eq!(sent(gateway.post("/submit").body(large("lab"))).await.status(), 200);
    assert_eq!(mismatches(&gateway, "warn").await, 0);
    for body in [document(&["lab", "foreign", "third"]).into(), large("foreign")] {
        assert_eq!(sent(gateway.post("/submit").body::<reqwest::Body>(body)).await.status(), 200);
    }
    assert_eq!(mismatches(&gateway, "warn").await, 2);
    assert_eq!(files(gateway.folder.path()).len(), 7);
    gateway.stop().await;

    let off = Gateway::start(|config| config.options.origin_policy = OriginPolicy::Off).await;
    assert_eq!(sent(off.post("/submit").body(document(&["foreign"]))).await.status(), 200);
    assert_eq!((mismatches(&off, "off").await, mismatches(&off, "warn").await), (0, 0));
    off.stop().await;
}

#[tokio::test]
async fn foreign_origins_are_refused_when_enforced_and_leave_nothing() {
    let gateway = Gateway::start(|config| config.options.origin_policy = OriginPolicy::Enforce).await;
    let foreign = document(&["lab", "other", "foreign", "third"]);
    let post = |token: &str| gateway.client.post(gateway.url("/submit")).bearer_auth(token);
    for body in [foreign.clone().into(), large("foreign")] {
        let (status, code, body) = error(sent(post(&token_for(&["other"])).body::<reqwest::Body>(body)).await).await;
        assert_eq!((status, code.as_str(), &body["retryable"]), (403, "origin_mismatch", &false.into()));
        let message =
            r#"The token does not speak for the origin of an object: "foreign"; it speaks for "lab", "other""#;
        assert_eq!(body["message"], message);
    }
    // Text that is no document is no question of origins.
    let broken = sent(post(&token()).body(foreign.clone() + "}")).await;
    assert_eq!(error(broken).await.1, "json_invalid");
    soon("nothing is left", async || files(gateway.folder.path()).is_empty()).await;
    assert_eq!(mismatches(&gateway, "enforce").await, 2);
    let metrics = reqwest::get(format!("http://{}/metrics", gateway.running.admin)).await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains(r#"outcome="rejected",reason="origin_mismatch""#), "{metrics}");

    let good = [(token_for(&["third", "foreign", "other"]), foreign.clone()), (token_for(&["*"]), foreign.clone())];
    for (token, body) in good.into_iter().chain([(token(), document(&["lab"]))]) {
        assert_eq!(sent(post(&token).body(body)).await.status(), 200);
    }
    assert_eq!(sent(post(&token()).body(large("lab"))).await.status(), 200);
    assert_eq!(files(gateway.folder.path()).len(), 4);
    gateway.stop().await;

    let open = Gateway::start(|config| {
        config.auth.jwt_secret = Some(String::new());
        config.options.origin_policy = OriginPolicy::Enforce;
    })
    .await;
    assert_eq!(sent(open.client.post(open.url("/submit")).body(foreign)).await.status(), 200);
    assert_eq!(mismatches(&open, "enforce").await, 0);
    open.stop().await;
}

const VALID: &str = r#"{"version":{"major":4,"minor":5},"checkouts":[{"id":"other:1","origin":"other"}]}"#;
const INVALID: &str =
    r#"{"version":{"major":5,"minor":3},"checkouts":[{"id":"other:1","origin":"other","comment":null}]}"#;

#[tokio::test]
async fn validation_answers_as_the_command_does_and_stores_nothing() {
    let gateway = Gateway::start(|_| ()).await;
    for text in [VALID, INVALID, "[]", "{}"] {
        let answer = sent(gateway.post("/api/v1/validate").body(text)).await;
        assert_eq!(
            (answer.status(), answer.headers()["content-type"].to_str().expect("text")),
            (StatusCode::OK, "application/json")
        );
        let verdict = Verdict::of(text.as_bytes(), &schema::Options::default());
        assert_eq!(answer.text().await.expect("text"), serde_json::to_string(&verdict).expect("JSON"));
    }
    let ask = async |path, text| sent(gateway.post(path).body(text)).await.json::<Value>().await.expect("JSON");
    let refused = ask("/api/v1/validate?upgrade", INVALID).await;
    assert_eq!(
        (&refused["valid"], &refused["accepted"], &refused["upgraded"]),
        (&false.into(), &false.into(), &Value::Null)
    );
    assert_eq!(refused["version"], serde_json::json!([5, 3]));
    assert_eq!(
        (&refused["faults"][0]["pointer"], &refused["faults"][0]["code"]),
        (&"/checkouts/0/comment".into(), &"null_value".into())
    );
    let upgraded = &ask("/api/v1/validate?upgrade", VALID).await["upgraded"];
    assert_eq!(upgraded["version"], serde_json::json!({"major": 5, "minor": 3}));
    assert_eq!(upgraded["checkouts"][0]["id"], "other:1");
    assert!(ask("/api/v1/validate", VALID).await.get("upgraded").is_none());
    assert_eq!(files(gateway.folder.path()), Vec::<String>::new());
    gateway.stop().await;
}

#[tokio::test]
async fn validation_refuses_what_submit_refuses_too() {
    let gateway = Gateway::start(|config| config.options.max_validation = 1000).await;
    let expect = async |request: RequestBuilder, status: u16, code: &str| {
        let (got, word, body) = error(sent(request).await).await;
        assert_eq!((got, word.as_str()), (status, code), "{body}");
    };
    let post = || gateway.post("/api/v1/validate");
    let unauthorized = gateway.client.post(gateway.url("/api/v1/validate"));
    expect(unauthorized.body(VALID), 401, "auth_required").await;
    expect(gateway.client.get(gateway.url("/api/v1/validate")), 405, "method_not_allowed").await;
    for body in ["", "{", "{} {}", "[1,]"] {
        expect(post().body(body), 400, "json_invalid").await;
        let told = async |path| error(sent(gateway.post(path).body(body)).await).await;
        assert_eq!(told("/api/v1/validate").await, told("/submit").await, "{body}");
    }
    expect(post().body(b"{\"a\":\"\xff\"}".to_vec()), 400, "utf8_invalid").await;
    expect(post().body(" ".repeat(1001)), 413, "too_large").await;
    let packed = zstd::encode_all(" ".repeat(1001).as_bytes(), 3).expect("packed");
    expect(post().header("content-encoding", "zstd").body(packed), 413, "too_large").await;
    expect(post().header("content-encoding", "br").body(VALID), 415, "encoding_unsupported").await;
    let packed = zstd::encode_all(VALID.as_bytes(), 3).expect("packed");
    assert_eq!(sent(post().header("content-encoding", "zstd").body(packed)).await.status(), 200);
    gateway.stop().await;

    let busy = Gateway::start(|config| config.options.max_validations = 0).await;
    expect(busy.post("/api/v1/validate").body(VALID), 503, "overloaded").await;
    assert_eq!(sent(busy.post("/submit").body(VALID)).await.status(), 200);
    busy.stop().await;
}

#[tokio::test]
async fn validation_does_not_need_the_status_service() {
    let status = get(async || "the status service");
    let route = || StatusRoute::Local(Router::new().route("/api/v1/submissions", status.clone()));
    let nobody = StatusRoute::Forward("http://127.0.0.1:1/".parse().expect("an address"));
    for route in [route(), nobody, StatusRoute::Off] {
        let gateway = Gateway::start_with(route, |_| ()).await;
        assert_eq!(sent(gateway.post("/api/v1/validate").body(VALID)).await.status(), 200);
        gateway.stop().await;
    }
    let gateway = Gateway::start_with(route(), |_| ()).await;
    assert_eq!(gateway.get("/api/v1/submissions").await.text().await.expect("text"), "the status service");
    gateway.stop().await;
}

#[tokio::test]
async fn status_is_forwarded_and_its_absence_is_temporary() {
    let echo = get(async |request: Request| {
        let token = request.headers().contains_key("authorization");
        format!("{} {token}", request.uri())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/status", echo.clone()).route("/api/v1/x", echo)).await
    });
    let route = StatusRoute::Forward(format!("http://{address}/").parse().expect("an address"));
    let gateway = Gateway::start_with(route, |_| ()).await;
    for path in ["/status?id=a%20b&x=1", "/api/v1/x"] {
        let answer = sent(gateway.client.get(gateway.url(path)).bearer_auth("t")).await;
        assert_eq!(answer.text().await.expect("text"), format!("{path} true"));
    }
    server.abort();
    let _ = server.await;
    let (status, code, _) = error(gateway.get("/status?id=a").await).await;
    assert_eq!((status, code.as_str()), (503, "unavailable"));
    gateway.stop().await;
}

#[tokio::test]
async fn status_errors_of_a_local_router_count_as_in_the_old_daemon() {
    let status = get(async |request: Request| match request.uri().query() {
        None => Err(api::Error::IdMissing("no id")),
        Some("id=") => Err(api::Error::IdInvalid("Empty id")),
        Some("id=a") => Err(api::Error::AuthRequired),
        _ => Ok((StatusCode::NOT_FOUND, "unknown")),
    });
    let gateway = Gateway::start_with(StatusRoute::Local(Router::new().route("/status", status)), |_| ()).await;
    for path in ["/status", "/status?id=", "/status?id=a", "/status?id=b", "/authtest", "/nowhere"] {
        gateway.get(path).await;
    }
    let metrics = gateway.get("/metrics").await.text().await.expect("text");
    assert!(metrics.contains("\nkcidb_user_errors_total 4\n"), "{metrics}");
    gateway.stop().await;
}

#[tokio::test]
async fn tls_serves_both_versions_of_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"])
        .args([Path::new("-out"), &cert, Path::new("-keyout"), &key])
        .output();
    if made.is_err() {
        println!("skipped: no openssl to make a certificate");
        return;
    }
    let pem = std::fs::read(&cert).expect("a certificate");
    let gateway = Gateway::start(|config| {
        config.options.tls_cert = Some(cert);
        config.options.tls_key = Some(key);
    })
    .await;
    let url = format!("https://localhost:{}/submit", gateway.running.address.port());
    let client = |http_1: bool| {
        let certificate = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        let builder = Client::builder().tls_certs_only([certificate]);
        if http_1 { builder.http1_only() } else { builder }.build().expect("a client")
    };
    for (http_1, version) in [(true, reqwest::Version::HTTP_11), (false, reqwest::Version::HTTP_2)] {
        let answer = sent(client(http_1).post(&url).bearer_auth(token()).body("{}")).await;
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_secret_it_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = start::config(folder.path(), "x");
    config.auth = auth::Options::default();
    let refused = gateway::start(config, StatusRoute::Off, CancellationToken::new()).await.expect_err("no secret");
    assert_eq!(refused.exit_code(), 2);
    assert!(refused.to_string().contains("JWT_SECRET"), "{refused}");
}
