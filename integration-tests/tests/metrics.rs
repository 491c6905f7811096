//! What the dashboards and rules ask for is there when the system has worked, docs/metrics.md lists exactly what is exported,
//! and no stranger can make up more of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use axum::{Router, routing::get};
use futures::{StreamExt as _, stream};
use integration_tests::{System, document};
use reqwest::{Client, Method};
use serde_json::json;

const SERVICES: [&str; 4] = ["gateway", "ingester", "logspec", "status"];
/// The `/metrics` of the gateway's traffic port.
const OLD: &str = "the existing system";
/// Another loopback address than the one that the log worker must not ask.
const HOST: &str = "127.0.0.2";

/// What docs/metrics.md says.
#[derive(Default)]
struct Catalogue {
    /// Service and metric → type and labels.
    families: BTreeMap<(String, String), (String, BTreeSet<String>)>,
    /// Metric and label → values, where there are a few words.
    words: BTreeMap<(String, String), BTreeSet<String>>,
}

/// A word in backticks.
fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

/// A list of them.
fn codes(cell: &str) -> impl Iterator<Item = String> {
    cell.split(", ").filter_map(code).map(str::to_owned)
}

impl Catalogue {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let page = std::fs::read_to_string(path).expect("the page");
        let (mut catalogue, mut section) = (Self::default(), "");
        for line in page.lines() {
            section = line.strip_prefix("## ").unwrap_or(section);
            let Some(row) = line.strip_prefix("| `").and_then(|row| row.strip_suffix(" |")) else { continue };
            let cells: Vec<&str> = row.split(" | ").collect();
            let name = cells[0].trim_end_matches('`');
            if section == "Labels" {
                catalogue.add_label(name, cells[1], cells[2]);
            } else {
                catalogue.add_family(section, name, &cells[1..]);
            }
        }
        assert!(catalogue.families.len() > 80 && catalogue.words.len() > 20, "the page is read");
        catalogue
    }

    fn add_family(&mut self, section: &str, name: &str, cells: &[&str]) {
        let services: Vec<&str> = match section {
            "Of several services" if cells[2] == "all" => SERVICES.to_vec(),
            "Of several services" => cells[2].split(", ").collect(),
            "Names of the existing system" => vec![OLD],
            service => vec![service],
        };
        for service in services {
            let family = (cells[0].to_owned(), codes(cells[1]).collect());
            let before = self.families.insert((service.to_owned(), name.to_owned()), family);
            assert!(before.is_none(), "{name} of {service} is there twice");
        }
    }

    fn add_label(&mut self, label: &str, metrics: &str, values: &str) {
        let words: BTreeSet<String> = codes(values).chain(values.contains("nothing").then(String::new)).collect();
        if words.len() == values.split(", ").count() {
            for metric in codes(metrics) {
                self.words.insert((metric, label.to_owned()), words.clone());
            }
        }
    }

    /// Checks what a service exports; the names of the metrics.
    fn check(&self, service: &str, exported: &str) -> BTreeSet<String> {
        let families = parse(exported);
        for (name, (kind, series)) in &families {
            let Some((documented, labels)) = self.families.get(&(service.to_owned(), name.clone())) else {
                panic!("{name} of {service} is not in docs/metrics.md");
            };
            assert_eq!(kind, documented, "type of {name} of {service}");
            for labels_here in series {
                let names: BTreeSet<String> = labels_here.keys().cloned().collect();
                assert_eq!(&names, labels, "labels of {name} of {service}");
                for (label, value) in labels_here {
                    let words = self.words.get(&(name.clone(), label.clone()));
                    assert!(words.is_none_or(|words| words.contains(value)), "{name} of {service}: {label}={value:?}");
                }
            }
        }
        families.into_iter().filter(|(_, (_, series))| !series.is_empty()).map(|(name, _)| name).collect()
    }

    /// The metrics that a service should export and does not.
    fn missing(&self, service: &str, seen: &BTreeSet<String>) -> Vec<String> {
        let own = self.families.keys().filter(|(whose, name)| whose == service && !seen.contains(name));
        own.map(|(_, name)| format!("{name} of {service}")).collect()
    }
}

type Labels = BTreeMap<String, String>;

/// Metric → type, and the labels of each series but `le`.
fn parse(exported: &str) -> BTreeMap<String, (String, Vec<Labels>)> {
    let mut families: BTreeMap<String, (String, Vec<Labels>)> = BTreeMap::new();
    let mut current = String::new();
    for line in exported.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            name.clone_into(&mut current);
            families.insert(current.clone(), (kind.to_owned(), Vec::new()));
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(name == current || base == Some(&current), "{line} under {current}");
            families.get_mut(&current).expect("its type comes first").1.push(labels(line));
        }
    }
    families
}

/// The labels of a line, without `le`.
fn labels(line: &str) -> Labels {
    let mut labels = Labels::new();
    let Some((_, mut rest)) = line.split_once('{') else { return labels };
    while let Some((name, value)) = rest.split_once("=\"") {
        let mut ends = value.char_indices().scan(false, |escaped, (at, c)| {
            let ends = c == '"' && !*escaped;
            *escaped = c == '\\' && !*escaped;
            Some((at, ends))
        });
        let end = ends.find(|(_, ends)| *ends).expect("the value's end").0;
        labels.insert(name.trim_start_matches(',').to_owned(), value[..end].to_owned());
        rest = &value[end + 1..];
    }
    labels.remove("le");
    labels
}

/// Everything that the system exports, by service.
async fn exported(system: &System) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    for service in SERVICES {
        texts.push((service, system.metrics(service).await));
    }
    let old = reqwest::get(format!("http://{}/metrics", system.gateway_address())).await.expect("an answer");
    texts.push((OLD, old.text().await.expect("text")));
    texts
}

/// Serves logs at a loopback address until the test ends.
async fn log_server(log: String) -> String {
    let listener = tokio::net::TcpListener::bind((HOST, 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().route("/log", get(async move || log));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A token of an origin that may speak for these, too.
fn token(system: &System, origin: &str, origins: &[&str]) -> String {
    let origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    let expires_at = chrono::Utc::now() + Duration::from_hours(1);
    auth::mint(system.secret(), &auth::Mint { origin: origin.to_owned(), origins, expires_at })
}

async fn post(system: &System, http: &Client, token: &str, body: Vec<u8>) -> u16 {
    let url = format!("http://{}/submit", system.gateway_address());
    http.post(url).bearer_auth(token).body(body).send().await.expect("an answer").status().as_u16()
}

async fn start() -> System {
    System::start_configured(&SERVICES, &[("KCIDB_LOG_ALLOW", HOST.into())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_documented_is_what_every_service_exports() {
    /// What a system that is well has nothing of.
    const TROUBLE: [&str; 3] =
        ["kcidb_db_retries_total", "kcidb_publish_unroutable_total", "kcidb_status_without_ledger_total"];
    let (system, http, catalogue) = (start().await, Client::new(), Catalogue::read());
    let url = log_server("a/b.c:1:2: error: expected ';'\nmake: *** [s:1: a/b.o] Error 1\n".into()).await;
    let build = |id: &str, log: &str| json!({"id": id, "origin": "maestro", "checkout_id": "maestro:c", "status": "FAIL", "log_url": format!("{url}/{log}")});
    let builds = [build("maestro:good", "log"), build("maestro:gone", "nothing")];
    let failed = json!({"version": {"major": 5, "minor": 3}, "builds": builds}).to_string().into_bytes();
    let good = system.submit(failed).await;
    let bad = system.submit(br#"{"version": {"major": 5, "minor": 3}, "tests": [{"origin": "lab"}]}"#.to_vec()).await;
    let foreign = token(&system, "elsewhere", &[]);
    assert_eq!(post(&system, &http, &foreign, document("foreign", 1)).await, 200);
    assert_eq!(post(&system, &http, "no token", document("nobody", 1)).await, 401);
    assert_eq!(post(&system, &http, system.token(), b"no JSON".to_vec()).await, 400);
    assert_eq!(system.wait(&good).await["status"], "processed");
    assert_eq!(system.wait(&bad).await["status"], "failed");
    system.send_to_queue("ingester.submissions", "no event").await;

    let mut missing = Vec::new();
    for _ in 0..200 {
        missing.clear();
        for (service, text) in exported(&system).await {
            missing.extend(catalogue.missing(service, &catalogue.check(service, &text)));
        }
        missing.retain(|name| !TROUBLE.iter().any(|trouble| name.starts_with(trouble)));
        if missing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(missing.is_empty(), "in docs/metrics.md, but not exported: {missing:?}");
    system.stop().await;
}

/// A boot log with so many kinds of errors, some of which no kernel has.
fn odd_log(kinds: u32) -> String {
    let mut log = "[ 0.0] Booting Linux\n[ 0.0] Linux version 6\n".to_owned();
    for number in 0..kinds {
        let letter = |power| char::from(b'A' + u8::try_from(number / 26_u32.pow(power) % 26).expect("a letter"));
        let kind: String = (0..3).map(letter).collect();
        let _ = write!(log, "[ 1.0] --[ cut here ]--\n[ 1.0] {kind}: CPU: 0 at x.c:1\n[ 1.0] --[ end trace 0 ]--\n");
    }
    log + "/ # "
}

/// The values that a label has in anything that a service exports.
fn values<'p>(parsed: &'p BTreeMap<String, (String, Vec<Labels>)>, label: &str) -> BTreeSet<&'p str> {
    let series = parsed.values().flat_map(|(_, series)| series);
    series.filter_map(|labels| labels.get(label)).map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_make_up_metrics_without_end() {
    /// More than any label may have values.
    const MANY: usize = 2000;
    const MOST: usize = telemetry::metrics::ORIGINS + 2;
    let (system, http, catalogue) = (start().await, Client::new(), Catalogue::read());
    let url = log_server(odd_log(300)).await;
    let boot = json!({"id": "maestro:boot", "origin": "maestro", "build_id": "maestro:b", "path": "boot", "status": "FAIL", "log_url": format!("{url}/log")});
    system.submit(json!({"version": {"major": 5, "minor": 3}, "tests": [boot]}).to_string().into_bytes()).await;
    let submissions = stream::iter(0..MANY).for_each_concurrent(16, |number| {
        let (system, http) = (&system, &http);
        async move {
            let origin = match number % 20 {
                0 => format!("{}{number}", "long".repeat(100)),
                1 => format!("\"odd\",\n\\é={number}"),
                _ => format!("lab{number}"),
            };
            let body = if number % 10 == 2 { br#"{"tests": [1]}"#.to_vec() } else { document(&origin, 1) };
            assert_eq!(post(system, http, &token(system, &origin, &["*"]), body).await, 200, "{origin:?}");
            if number < 200 {
                let method = Method::from_bytes(format!("ODD{number}").as_bytes()).expect("a method");
                for path in ["status", "nothing"] {
                    let url = format!("http://{}/{path}/{number}", system.gateway_address());
                    let odd = http.request(method.clone(), url).send().await.expect("an answer");
                    assert!(odd.status().is_client_error(), "{}", odd.status());
                }
                let url = format!("http://{}/status?id={number}", system.gateway_address());
                http.request(method, url).send().await.expect("an answer");
            }
        }
    });
    submissions.await;
    system.wait_until_empty().await;
    let finished = async || {
        let (ingester, logspec) = (system.metrics("ingester").await, system.metrics("logspec").await);
        ingester.contains("\nkcidb_ingestions_total 1801\n") && logspec.contains("kcidb_findings_total{")
    };
    system.until("everything is counted", finished).await;

    for (service, text) in exported(&system).await {
        catalogue.check(service, &text);
        let parsed = parse(&text);
        for (name, (_, series)) in &parsed {
            for label in series.first().map(|labels| labels.keys()).into_iter().flatten() {
                let most = if label == "origin" { MOST } else { 101 };
                let count = series.iter().map(|labels| &labels[label]).collect::<BTreeSet<_>>().len();
                assert!(count <= most, "{name} of {service} has {count} values of {label}");
                // A character may be written as two.
                let longest = series.iter().map(|labels| labels[label].len()).max().unwrap_or_default();
                assert!(longest <= 2 * telemetry::metrics::LONGEST_NAME, "{name} of {service}: {longest}");
            }
        }
        match service {
            "gateway" | "ingester" | OLD => {
                let origins = values(&parsed, "origin");
                assert!(origins.len() > telemetry::metrics::ORIGINS && origins.contains("other"), "{service}");
            }
            "logspec" => assert_eq!(values(&parsed, "error_type").len(), 101),
            _ => assert!(values(&parsed, "method").contains("other"), "{text}"),
        }
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_and_the_origins_are_measured() {
    let system = System::start().await;
    let good = system.submit(document("good", 3)).await;
    let bad = system.submit(br#"{"version": {"major": 5, "minor": 3}, "tests": [{"origin": "lab"}]}"#.to_vec()).await;
    assert_eq!(system.wait(&good).await["status"], "processed");
    assert_eq!(system.wait(&bad).await["status"], "failed");
    let ingester = system.metrics("ingester").await;
    for line in [
        "kcidb_db_query_duration_seconds_count{statement=\"insert tests\"} 1",
        "kcidb_db_query_duration_seconds_count{statement=\"commit\"} 1",
        "kcidb_submissions_finished_total{origin=\"lab\",outcome=\"ingested\",reason=\"\"} 1",
        "kcidb_submissions_finished_total{origin=\"lab\",outcome=\"rejected\",reason=\"schema_invalid\"} 1",
        "kcidb_schema_faults_total{origin=\"lab\",rule=",
    ] {
        assert!(ingester.contains(line), "{line}\n{ingester}");
    }
    for service in ["ingester", "logspec", "status"] {
        let metrics = system.metrics(service).await;
        for name in ["kcidb_db_pool_size", "kcidb_db_pool_in_use", "kcidb_db_pool_wait_seconds_count"] {
            assert!(metrics.lines().any(|line| line.starts_with(&format!("{name} "))), "{service}: {name}\n{metrics}");
        }
        let allowed = metrics.lines().find_map(|line| line.strip_prefix("kcidb_db_pool_size "));
        assert!(allowed.is_some_and(|allowed| allowed != "0"), "{service}: {allowed:?}");
    }
    system.stop().await;
}
