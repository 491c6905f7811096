//! What the tables hold after loading: known submissions with known rows.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Read as _,
    path::PathBuf,
};

use crate::server::{Database, migrated};
use db::Connection;
use diesel_async::AsyncConnection as _;
use schema::{Document, Objects, Options, TreeNames};
use serde_json::Value;

/// The tables that loading writes, and the column of each that is never compared.
const TABLES: [(&str, &str); 9] = [
    ("checkouts", "_timestamp"),
    ("builds", "_timestamp"),
    ("tests", "_timestamp"),
    ("issues", "_timestamp"),
    ("incidents", "_timestamp"),
    ("latest_checkout", "id"),
    ("tree_listing", "id"),
    ("pending_test", ""),
    ("pending_builds", ""),
];

type Rows = BTreeMap<String, Vec<Value>>;

fn conformance() -> Option<PathBuf> {
    let folder = std::env::var_os("KCIDB_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    if folder.join("db").is_dir() {
        return Some(folder);
    }
    println!("skipped: no conformance data (KCIDB_CONFORMANCE)");
    None
}

fn unzip(path: PathBuf) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The real submissions, by file name.
fn corpus(folder: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = unzip(folder.join("submissions/submissions-dev.tar.gz"));
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = Vec::new();
        entry.read_to_end(&mut text).unwrap();
        files.insert(entry.path().unwrap().to_string_lossy().into_owned(), text);
    }
    files
}

fn options(folder: &std::path::Path) -> Options {
    let text = fs::read_to_string(folder.join("db/tree_names.json")).unwrap();
    let names: HashMap<String, String> = serde_json::from_str(&text).unwrap();
    let trees: Value = names.into_iter().map(|(url, name)| (name, serde_json::json!({ "url": url }))).collect();
    // JSON is YAML.
    let tree_names = TreeNames::from_yaml(&serde_json::json!({ "trees": trees }).to_string()).unwrap();
    Options { tree_names, ..Options::default() }
}

async fn load(connection: &mut Connection, documents: &[Objects<'_>]) -> Result<(), db::Error> {
    connection.transaction(async |connection| db::load(connection, documents).await).await
}

/// Loads one text as the ingester does; false when it must be refused.
async fn load_text(connection: &mut Connection, text: &[u8], options: &Options) -> bool {
    let Ok(objects) = Document::open(text).and_then(|document| document.objects(options)) else { return false };
    if !db::unstorable(&objects).is_empty() {
        return false;
    }
    load(connection, &[objects]).await.unwrap();
    true
}

async fn rows(database: &Database) -> Rows {
    database.client.batch_execute("SET timezone = 'UTC'").await.unwrap();
    let mut tables = Rows::new();
    for (table, without) in TABLES {
        let query = format!("SELECT (to_jsonb(t) - $1)::text FROM {table} t");
        let found = database.client.query(&query, &[&without]).await.unwrap();
        let mut rows: Vec<Value> = found.iter().map(|row| plain(&serde_json::from_str(row.get(0)).unwrap())).collect();
        rows.sort_by_cached_key(Value::to_string);
        tables.insert(table.to_owned(), rows);
    }
    tables.retain(|_, rows| !rows.is_empty());
    tables
}

/// Numbers by value: `2.0` and `2` are the same.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64().unwrap()),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

fn goldens(folder: &std::path::Path) -> Rows {
    let mut tables = Rows::new();
    for (table, _) in TABLES {
        let text = String::from_utf8(unzip(folder.join(format!("db/{table}.jsonl.gz")))).unwrap();
        let mut rows: Vec<Value> = text
            .split('\n')
            .filter(|line| !line.is_empty())
            .map(|line| plain(&serde_json::from_str(line).unwrap()))
            .collect();
        rows.sort_by_cached_key(Value::to_string);
        tables.insert(table.to_owned(), rows);
    }
    tables.retain(|_, rows| !rows.is_empty());
    tables
}

/// Fails with the first row that differs instead of all of them.
fn assert_same(found: &Rows, wanted: &Rows, what: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{what}: tables with rows");
    for (table, wanted) in wanted {
        let found = &found[table];
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!(found, wanted, "{what}: {table}");
        }
        assert_eq!(found.len(), wanted.len(), "{what}: rows of {table}");
    }
}

/// Two checkouts were sent twice with different times: which one stays depends on the order.
fn without_disputed_times(mut rows: Rows) -> Rows {
    for row in rows.get_mut("checkouts").into_iter().flatten() {
        if ["linaro:5ff1a27b-6d34-4938-9df9-3e09c2c80604", "linaro:bea0bfda-5b68-415b-a324-4b730fe32332"]
            .contains(&row["id"].as_str().unwrap())
        {
            row["start_time"] = Value::Null;
        }
    }
    rows
}

async fn pool(database: &Database) -> Connection {
    db::Pool::new(&database.options).unwrap().get().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_in_order_and_again() {
    let Some(folder) = conformance() else { return };
    let (files, options, goldens) = (corpus(&folder), options(&folder), goldens(&folder));
    let database = migrated().await;
    let mut connection = pool(&database).await;
    for (name, text) in &files {
        assert!(load_text(&mut connection, text, &options).await, "{name}");
    }
    assert_same(&rows(&database).await, &goldens, "in order");
    let stamp = "SELECT min(_timestamp)::text FROM tests";
    let first: String = database.client.query_one(stamp, &[]).await.unwrap().get(0);
    for text in files.values() {
        assert!(load_text(&mut connection, text, &options).await);
    }
    assert_same(&rows(&database).await, &goldens, "again");
    let second: String = database.client.query_one(stamp, &[]).await.unwrap().get(0);
    assert!(second > first, "{second} is after {first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_in_reverse_order() {
    let Some(folder) = conformance() else { return };
    let (files, options) = (corpus(&folder), options(&folder));
    let database = migrated().await;
    let mut connection = pool(&database).await;
    for text in files.values().rev() {
        assert!(load_text(&mut connection, text, &options).await);
    }
    let found = without_disputed_times(rows(&database).await);
    assert_same(&found, &without_disputed_times(goldens(&folder)), "reversed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_in_one_batch_and_in_batches() {
    let Some(folder) = conformance() else { return };
    let (files, options, goldens) = (corpus(&folder), options(&folder), goldens(&folder));
    let documents: Vec<Objects<'_>> =
        files.values().map(|text| Document::open(text).unwrap().objects(&options).unwrap()).collect();
    for size in [documents.len(), 7] {
        let database = migrated().await;
        let mut connection = pool(&database).await;
        for batch in documents.chunks(size) {
            load(&mut connection, batch).await.unwrap();
        }
        assert_same(&rows(&database).await, &goldens, &format!("batches of {size}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_by_many_at_once() {
    let Some(folder) = conformance() else { return };
    let (files, options) = (corpus(&folder), options(&folder));
    let database = migrated().await;
    let pool = db::Pool::new(&database.options).unwrap();
    let files: Vec<Vec<u8>> = files.into_values().collect();
    let files = std::sync::Arc::new(files);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let (pool, files, options) = (pool.clone(), files.clone(), options.clone());
        workers.spawn(async move {
            let mut connection = pool.get().await.unwrap();
            // Neighbours share checkouts: a worker takes every fourth, so that they meet.
            for text in files.iter().skip(worker).step_by(4) {
                assert!(load_text(&mut connection, text, &options).await);
            }
        });
    }
    while let Some(result) = workers.join_next().await {
        result.unwrap();
    }
    let found = without_disputed_times(rows(&database).await);
    assert_same(&found, &without_disputed_times(goldens(&folder)), "at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scenarios() {
    let Some(folder) = conformance() else { return };
    let options = options(&folder);
    let text = fs::read_to_string(folder.join("db/scenarios.jsonl")).unwrap();
    let database = migrated().await;
    let mut connection = pool(&database).await;
    let empty: Vec<&str> = TABLES.iter().map(|(table, _)| *table).collect();
    let empty = format!("TRUNCATE {}", empty.join(", "));
    let mut wrong = Vec::new();
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let scenario: Value = serde_json::from_str(line).unwrap();
        let name = scenario["name"].as_str().unwrap();
        database.client.batch_execute(&empty).await.unwrap();
        let mut outcomes = Vec::new();
        for submission in scenario["submissions"].as_array().unwrap() {
            let text = submission.as_str().map_or_else(|| submission.to_string(), str::to_owned);
            if text.is_empty() {
                outcomes.push("deleted");
                continue;
            }
            let loaded = load_text(&mut connection, text.as_bytes(), &options).await;
            outcomes.push(if loaded { "archived" } else { "failed" });
        }
        let found = rows(&database).await;
        if name == "checkout_without_start_time" {
            // Decided otherwise (D2): loaded, without the derived rows.
            assert_eq!(outcomes, ["archived"]);
            assert!(found.contains_key("checkouts") && !found.contains_key("latest_checkout"), "{found:?}");
            continue;
        }
        let wanted: Vec<&str> =
            scenario["outcome"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        // Decided otherwise (D6): a document without objects is done.
        let wanted: Vec<&str> =
            wanted.into_iter().map(|word| if word == "left_in_spool" { "archived" } else { word }).collect();
        let mut rows: Rows = serde_json::from_value(plain(&scenario["rows"])).unwrap();
        for rows in rows.values_mut() {
            rows.sort_by_cached_key(Value::to_string);
        }
        if outcomes != wanted || found != rows {
            wrong.push(format!("{name}: {outcomes:?} instead of {wanted:?}\n found {found:?}\nwanted {rows:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
