//! Loads real or made-up submissions and prints what it cost: `cargo bench -p kcidb-db`.
//!
//! On a private PostgreSQL, or on `DATABASE_URL`, whose tables are emptied. `BENCH_FILES` names a folder of submissions;
//! without it documents are made up. `BENCH_BATCH` (10) documents go into one transaction, over `BENCH_ROUNDS` (3) rounds.
#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a benchmark")]

use std::{fs, time::Instant};

use diesel::{QueryableByName, sql_types::Integer};
use diesel_async::{AsyncConnection as _, RunQueryDsl as _, SimpleAsyncConnection as _};
use schema::{Document, Objects, Options};

#[derive(QueryableByName)]
struct Backend {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// Seconds of user and system time that a process has used; Linux counts in hundredths.
fn cpu(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn texts() -> Vec<Vec<u8>> {
    if let Ok(folder) = std::env::var("BENCH_FILES") {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        return paths.into_iter().map(|path| fs::read(path).unwrap()).collect();
    }
    (0..300).map(made_up).collect()
}

/// A document of one build and 150 tests, about as large as those of real labs.
fn made_up(place: usize) -> Vec<u8> {
    let statuses = ["PASS", "FAIL", "SKIP"];
    let tests: Vec<serde_json::Value> = (0..150)
        .map(|test| {
            serde_json::json!({
                "id": format!("lab:{place:06}-{test:06}"), "origin": "lab", "build_id": format!("lab:{place}"),
                "path": format!("kselftest.group{}.case_{test}", test % 9), "status": statuses[test % 3],
                "start_time": "2024-05-01T12:00:00.25+00:00", "duration": 1.5,
                "environment": {"compatible": ["vendor,board", "vendor,soc"], "misc": {"platform": "board", "job": test * place}},
                "log_url": format!("https://example.org/logs/{place}/{test}.txt.gz"),
                "log_excerpt": format!("[    {test}.000000] kernel: line of a log\n").repeat(20),
                "misc": {"runtime": "lab-one", "kind": "test", "commands": ["run", "check", "report"], "number": test}
            })
        })
        .collect();
    serde_json::json!({
        "version": {"major": 5, "minor": 3},
        "builds": [{"id": format!("lab:{place}"), "checkout_id": "lab:c", "origin": "lab", "status": "PASS"}],
        "tests": tests
    })
    .to_string()
    .into_bytes()
}

#[tokio::main]
async fn main() {
    let url = if let Ok(url) = std::env::var("DATABASE_URL") {
        url
    } else {
        stack::install().unwrap();
        stack::shared().await.unwrap().fresh_database().await.unwrap()
    };
    let options = db::Options::of(&url);
    db::migrate(&options).await.unwrap();
    let pool = db::Pool::new(&options).unwrap();
    let texts = texts();
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let batch = number("BENCH_BATCH", 10);
    for round in 0..number("BENCH_ROUNDS", 3) {
        let mut connection = pool.get().await.unwrap();
        let tables =
            "checkouts, builds, tests, issues, incidents, latest_checkout, tree_listing, pending_test, pending_builds";
        connection.batch_execute(&format!("TRUNCATE {tables}; CHECKPOINT")).await.unwrap();
        let backend: Backend =
            diesel::sql_query("SELECT pg_backend_pid() AS pid").get_result(&mut *connection).await.unwrap();
        let pid = backend.pid.to_string();

        let read = cpu("self");
        let documents: Vec<Objects<'_>> =
            texts.iter().map(|text| Document::open(text).unwrap().objects(&Options::default()).unwrap()).collect();
        let judge = cpu("self");
        assert!(documents.iter().all(|objects| db::unstorable(objects).is_empty()));
        let (ours, servers, start) = (cpu("self"), cpu(&pid), Instant::now());
        for documents in documents.chunks(batch) {
            connection.transaction(async |connection| db::load(connection, documents).await).await.unwrap();
        }
        let (seconds, ended, theirs) = (start.elapsed().as_secs_f64(), cpu("self"), cpu(&pid) - servers);
        let rows: usize = documents.iter().map(|objects| objects.counts().total()).sum();
        let per = |seconds: f64| seconds * 1000.0 / texts.len() as f64;
        println!(
            "round {round}: {} submissions, {:.1} MB, {rows} objects in {seconds:.2} s: {:.0} objects/s; CPU ms per submission: \
             reading {:.2}, judging {:.2}, loading {:.2}, server {:.2}",
            texts.len(),
            bytes as f64 / 1e6,
            rows as f64 / seconds,
            per(judge - read),
            per(ours - judge),
            per(ended - ours),
            per(theirs),
        );
    }
}
