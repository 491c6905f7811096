//! Several documents in one transaction end as the same documents one after the other, and a document of many objects with
//! one id as many documents of one object.

use crate::server::{Database, migrated};
use db::Connection;
use diesel_async::AsyncConnection as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use schema::{Document, Objects, Options};
use serde_json::{Map, Value, json};

const TABLES: [&str; 9] = [
    "checkouts",
    "builds",
    "tests",
    "issues",
    "incidents",
    "latest_checkout",
    "tree_listing",
    "pending_test",
    "pending_builds",
];

/// An object with few possible ids and values, so that nearly everything collides.
fn object(random: &mut StdRng, list: &str) -> Value {
    let mut members = Map::new();
    let letter = |random: &mut StdRng| ["a", "b"].choose(random).unwrap().to_string();
    let origin = letter(random);
    members.insert("id".into(), json!(format!("{origin}:{}", letter(random))));
    members.insert("origin".into(), json!(origin));
    let times = ["2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", "2024-01-02T00:00:00Z", "2023-01-01T00:00:00Z"];
    let mut maybe = |name: &str, values: &[Value]| {
        if random.random_bool(0.5) {
            members.insert(name.into(), values.choose(random).unwrap().clone());
        }
    };
    let words = [json!("a"), json!("b"), json!("")];
    let lists = [json!([]), json!(["x", "y"]), json!(["z\"\\"])];
    let flags = [json!(true), json!(false)];
    let statuses = [json!("PASS"), json!("FAIL"), json!("SKIP")];
    let times = times.map(Value::from);
    maybe("comment", &words);
    maybe("misc", &[json!({}), json!({"a": [1, 2.5]}), json!({"lab": "x", "runtime": "y"})]);
    match list {
        "checkouts" => {
            maybe("start_time", &times);
            maybe("tree_name", &words);
            maybe("git_repository_branch", &words);
            maybe("git_commit_name", &words);
            maybe("git_commit_tags", &lists);
            maybe("valid", &flags);
        }
        "builds" => {
            maybe("status", &statuses);
            maybe("start_time", &times);
            maybe("duration", &[json!(0), json!(1.5)]);
            members.insert("checkout_id".into(), json!(format!("a:{}", random.random_range(0..2))));
        }
        "tests" => {
            maybe("status", &statuses);
            maybe("path", &[json!("boot"), json!("boot.x"), json!("bootx"), json!("")]);
            let platforms =
                [json!({"misc": {"platform": "p"}}), json!({"misc": {"platform": 5}}), json!({"compatible": ["c"]})];
            maybe("environment", &platforms);
            members.insert("build_id".into(), json!(format!("a:{}", random.random_range(0..2))));
        }
        "issues" => {
            maybe("culprit", &[json!({}), json!({"code": false}), json!({"tool": true})]);
            maybe("categories", &[json!([]), json!(["x.y", "z"])]);
            members.insert("version".into(), json!(random.random_range(0..3)));
        }
        _ => {
            maybe("present", &flags);
            maybe("build_id", &[json!("a:1")]);
            members.insert("issue_id".into(), json!(format!("a:{}", random.random_range(0..2))));
            members.insert("issue_version".into(), json!(random.random_range(0..3)));
        }
    }
    Value::Object(members)
}

fn document(random: &mut StdRng) -> String {
    let mut document = json!({"version": {"major": 5, "minor": 3}});
    for list in ["checkouts", "builds", "tests", "issues", "incidents"] {
        let count = random.random_range(0..5);
        document[list] = (0..count).map(|_| object(random, list)).collect();
    }
    document.to_string()
}

async fn load(connection: &mut Connection, documents: &[Objects<'_>]) {
    connection.transaction(async |connection| db::load(connection, documents).await).await.unwrap();
}

/// All rows but what is volatile, and empty tables again.
async fn take(database: &Database) -> Vec<String> {
    let mut rows = Vec::new();
    for table in TABLES {
        let volatile = if table.starts_with("latest") || table.starts_with("tree") { "id" } else { "_timestamp" };
        let query = format!("SELECT '{table} ' || (to_jsonb(t) - '{volatile}')::text FROM {table} t ORDER BY 1");
        rows.extend(database.client.query(&query, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)));
    }
    database.client.batch_execute(&format!("TRUNCATE {}", TABLES.join(", "))).await.unwrap();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_the_same_as_one_after_the_other() {
    let database = migrated().await;
    let mut connection = db::Pool::new(&database.options).unwrap().get().await.unwrap();
    let mut random = StdRng::seed_from_u64(20);
    for round in 0..25 {
        let texts: Vec<String> = (0..random.random_range(2..7)).map(|_| document(&mut random)).collect();
        let documents: Vec<Objects<'_>> = texts
            .iter()
            .map(|text| {
                let document = Document::open(text.as_bytes()).unwrap();
                document.objects(&Options::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
            })
            .collect();
        for document in &documents {
            load(&mut connection, std::slice::from_ref(document)).await;
        }
        let one_by_one = take(&database).await;
        assert!(!one_by_one.is_empty());
        load(&mut connection, &documents).await;
        assert_eq!(take(&database).await, one_by_one, "round {round}: {texts:#?}");
        // Each object alone, those of a document in the order of ids.
        for document in &documents {
            alone(&mut connection, document).await;
        }
        assert_eq!(take(&database).await, one_by_one, "round {round}, object by object: {texts:#?}");
    }
}

async fn alone(connection: &mut Connection, document: &Objects<'_>) {
    macro_rules! each {
        ($($list:ident),+) => {$(
            let mut objects = document.$list.clone();
            objects.sort_by(|a, b| a.id.cmp(&b.id));
            for object in objects {
                load(connection, &[Objects { $list: vec![object], ..Objects::default() }]).await;
            }
        )+};
    }
    each!(issues, checkouts, builds, tests, incidents);
}
