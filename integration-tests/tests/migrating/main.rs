//! `docs/migrating.md`, followed to the letter: from a database, a spool and an `.env` as the existing system leaves them
//! to this system, and back.

mod document;
mod site;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::site::{Site, USER, fixture, is_root, owner, variable};

/// A token that a lab has had for long, signed with the `JWT_SECRET` of the old `.env`.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJvcmlnaW4iOiJmYXJtIiwiZ2VuZGF0ZSI6IjIwMjUtMDItMDMiLCJleHAiOjQxMDI0NDQ4MDB9.hPJ_ruSKR8Cmtcri4OWXNh-agG6XeRF_EKJNsm1CmQI";
/// One for all services of the project, signed with the `UNIFIED_SECRET`.
const UNIFIED_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIiwiZW1haWwiOiJmYXJtQGV4YW1wbGUub3JnIiwib3JpZ2luIjoiZmFybSIsInBlcm1pc3Npb25zIjpbImtjaWRiIl0sImF1ZCI6WyJmYXN0YXBpLXVzZXJzOmF1dGgiXSwiaWF0IjoxNzY0NTQ3MjAwLCJleHAiOjQxMDI0NDQ4MDB9.1Lk_CRhRv1HFXjpKyKBrKg2SBKqpJTch6N49Q91c4WU";
/// What the old system has archived, found wrong, and not finished to receive.
const ARCHIVED: &str = "Xc4Vb7Nm1Qw8Er2Ty6Ui9Op3As5Df0Gh";
const BAD: &str = "B4dD0cumentWithAnUnkn0wnSt4tusXx";
const TORN: &str = "7yHn4UjM1kIq8OlP2wSx5EdC9rFv3TgB";
const TABLES: [&str; 5] = ["checkouts", "builds", "tests", "issues", "incidents"];

/// What is in the old tables, and what these are: nobody may change it.
#[derive(PartialEq)]
struct Old {
    /// Columns, keys and indexes.
    catalogue: BTreeSet<String>,
    /// Rows by table, each with the transaction that wrote it.
    rows: BTreeMap<String, Vec<(String, Value)>>,
}

impl Old {
    async fn read(client: &Client) -> Self {
        let list = async |query: &str| -> Vec<String> {
            client.query(query, &[]).await.expect(query).iter().map(|row| row.get(0)).collect()
        };
        let catalogue = list(
            "SELECT format('%s.%s %s %s%s%s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity)
             FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
             UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
             UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        );
        let catalogue = catalogue.await.into_iter().collect();
        let mut rows = BTreeMap::new();
        for table in list("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'").await {
            let query = format!("SELECT xmin::text, to_jsonb(t)::text FROM {table} t ORDER BY 2");
            let found = client.query(&query, &[]).await.expect("rows");
            let row = |row: &tokio_postgres::Row| (row.get(0), serde_json::from_str(row.get(1)).expect("JSON"));
            rows.insert(table, found.iter().map(row).collect());
        }
        Self { catalogue, rows }
    }

    /// The rows of a table whose column `key` is not among `changed`.
    fn without(&self, table: &str, key: &str, changed: &[&str]) -> Vec<&Value> {
        let rows = self.rows[table].iter().map(|(_, row)| row);
        rows.filter(|row| !changed.iter().any(|changed| row[key] == *changed)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_leads_from_the_existing_system_to_this_one_and_back() {
    let mut site = Site::make().await;
    site.begin();
    let old = before(&mut site).await;
    give_the_spool(&mut site);
    change_over(&mut site).await;
    clients_notice_nothing(&site).await;
    failed_ones_are_loaded_again(&mut site).await;
    assert_spool(&site);
    assert_rows(&site, &old).await;
    let pruned = site.run("kcidb spool prune");
    let told = ["archive: 0 files older than 365 days", "failed: 0 files older than 7 days"];
    assert!(told.iter().all(|told| pruned.contains(told)), "{pruned}");
    back(&mut site).await;
    site.document.assert_followed_to_the_end();
    site.clean_up().await;
}

/// The section "Before", while the old programs run: the log worker, whose transaction stays open, and a reader.
async fn before(site: &mut Site) -> Old {
    let (client, worker) = (site.client().await, site.client().await);
    client.batch_execute("SET timezone = 'UTC'").await.expect("a time zone");
    let old = Old::read(&client).await;
    let reads = "BEGIN; SELECT FROM builds; SELECT FROM tests; SELECT FROM issues";
    worker.batch_execute(reads).await.expect("the log worker reads");

    let checked = site.run_in_vain("kcidb db check");
    assert!(checked.contains("wrong: this is a database made by the dashboard, not adopted yet"), "{checked}");
    assert!(checked.contains("remedy: run `kcidb db migrate`"), "{checked}");
    assert!(checked.lines().count() <= 6, "a few lines tell it: {checked}");
    assert!(Old::read(&client).await == old, "looking changes nothing");

    let waiting = site.run("pg_dump");
    assert_eq!(waiting.trim(), "4", "the files that wait");
    let (_, dumped) = site.shell("pg_restore --list before.dump");
    assert!(dumped.contains("TABLE DATA public tests"), "{dumped}");

    let reader = tokio::spawn(slowest_read(site.client().await));
    let migrated = site.run("kcidb db migrate");
    assert!(migrated.contains("a database made by the dashboard"), "{migrated}");
    assert!(migrated.contains("tests is in use and keeps its compression"), "{migrated}");
    assert!(migrated.contains("all is well"), "{migrated}");
    worker.batch_execute("SELECT FROM issues; COMMIT").await.expect("the log worker was not disturbed");
    let slowest = reader.await.expect("no read failed");
    assert!(slowest < Duration::from_secs(5), "a read took {slowest:?}");

    let new = Old::read(&client).await;
    assert!(new.rows == old.rows, "no row was changed or written anew");
    let gone: Vec<&String> = old.catalogue.difference(&new.catalogue).collect();
    assert_eq!(gone, Vec::<&String>::new(), "no column, key or index was changed or removed");
    old
}

/// How long the slowest of many reads takes until the migration is over.
async fn slowest_read(client: Client) -> Duration {
    let mut slowest = Duration::ZERO;
    let over = "SELECT to_regclass('kcidb_ng.logs') IS NOT NULL
                FROM (SELECT count(*) FROM builds) b, (SELECT count(*) FROM tests) t, (SELECT count(*) FROM issues) i";
    let mut after = 0;
    while after < 20 {
        let started = Instant::now();
        let is_over: bool = client.query_one(over, &[]).await.expect("a read").get(0);
        slowest = slowest.max(started.elapsed());
        after += i32::from(is_over);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    slowest
}

/// The section "The spool folder".
fn give_the_spool(site: &mut Site) {
    site.run_as_root("chown 10001:10001");
    if is_root() {
        for name in ["", "archive", "failed", "pending_retry", "from the weekend.json"] {
            assert_eq!(owner(&site.spool().join(name)), USER, "{name}");
        }
    }
}

/// The section "Change over", up to the first document of a lab.
async fn change_over(site: &mut Site) {
    site.run("find");
    assert_eq!(site.files("pending_retry"), Vec::<String>::new());

    site.run("cp deploy/env.example");
    let (old, new) = (site.old().join(".env"), site.checkout().join("deploy/.env"));
    for name in site.document.row("the same names") {
        let value = variable(&old, &name);
        assert!(value.is_some(), "{name} is promised to mean the same, and the old file has it");
        if name.ends_with("SECRET") || name == "PG_URI" {
            assert_eq!(variable(&new, &name), value, "{name}");
        }
    }
    let spool = site.spool().canonicalize().expect("it is there");
    assert_eq!(variable(&new, "KCIDB_SPOOL_SOURCE").as_deref(), spool.to_str());
    for password in ["POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"] {
        assert_eq!(variable(&new, password).map(|password| password.len()), Some(32), "{password}");
    }
    assert_eq!(site.asked_of_docker(), "compose -f deploy/compose.yaml up -d\n");
    // The first container of compose does this; the old log worker has stopped by now.
    let (success, migrated) = site.shell("kcidb db migrate");
    assert!(success && !migrated.contains("in use"), "{migrated}");
    let large = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'tests'::regclass AND attcompression = 'l'";
    let large: i64 = site.client().await.query_one(large, &[]).await.expect("a count").get(0);
    assert_eq!(large, 6, "the large columns have lz4");

    site.start();
    let ask = site.document.take("for service in");
    site.until("all is ok", async || {
        let (_, text) = site.shell(&ask);
        text.lines().count() >= 4 && text.lines().all(|line| line.ends_with(": ok") || line == "ok")
    })
    .await;
    site.until("what waited is loaded", async || site.waiting_files().is_empty()).await;

    let file = site.checkout().join("document.json");
    fs::write(&file, document("farm:t10")).expect("written");
    let rest = site.url("gateway").replace("//", &format!("//{TOKEN}@"));
    let put_in = [("http://TOKEN@127.0.0.1:8080", rest.as_str()), ("FILE", "document.json")];
    let sent = site.run_with("KCIDB_REST=", &put_in);
    let lines: Vec<&str> = sent.lines().collect();
    assert!(lines[0].ends_with(" processed") && lines[1..] == ["0"], "{sent}");
}

/// A document with one test.
fn document(test: &str) -> String {
    json!({"version": {"major": 5, "minor": 3},
           "tests": [{"id": test, "origin": "farm", "build_id": "farm:b3", "status": "PASS"}]})
    .to_string()
}

/// Sends a document as labs do; its id. The answer begins with the old one, word for word.
async fn post(site: &Site, document: String) -> String {
    let url = format!("{}/submit", site.url("gateway"));
    let bytes = document.len();
    let response = reqwest::Client::new().post(url).bearer_auth(TOKEN).body(document).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let answer = response.text().await.expect("text");
    let id = answer.strip_prefix(r#"{"id":""#).and_then(|rest| rest.get(..32)).unwrap_or_default().to_owned();
    let old = format!(r#"{{"id":"{id}","status":"ok","message":"Received submission {id} with size {bytes} bytes""#);
    assert!(answer.starts_with(&old), "{answer}");
    id
}

async fn get(site: &Site, path: &str, token: &str) -> (u16, String) {
    let url = format!("{}{path}", site.url("gateway"));
    let response = reqwest::Client::new().get(url).bearer_auth(token).send().await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("text"))
}

/// Old tokens, old addresses, old answers; and the old gateway still writes into the folder.
async fn clients_notice_nothing(site: &Site) {
    let id = post(site, document("farm:t11")).await;
    site.until("it is loaded", async || {
        get(site, &format!("/status?id={id}"), TOKEN).await.1.contains(r#""processed""#)
    })
    .await;
    for (id, status, message) in
        [(ARCHIVED, "processed", "File archived"), (BAD, "failed", "File failed to pass validation")]
    {
        let (code, answer) = get(site, &format!("/status?id={id}"), TOKEN).await;
        let old = format!(r#"{{"id":"{id}","status":"{status}","message":"{message}"#);
        assert!(code == 200 && answer.starts_with(&old), "{code} {answer}");
    }
    for token in [TOKEN, UNIFIED_TOKEN] {
        let (code, answer) = get(site, "/authtest", token).await;
        let old = r#"{"id":"0","status":"ok","message":"Authentication successful""#;
        assert!(code == 200 && answer.starts_with(old), "{code} {answer}");
    }
    let challenge = get(site, "/.well-known/acme-challenge/token", "").await;
    assert_eq!(challenge, (200, "answer".to_owned()), "ACME_WEBROOT");

    let name = "submission-OldG4tewayStillWritesToThisFolde.json";
    site.old_gateway_writes(name, &document("farm:t12"));
    site.until("it is loaded", async || site.files("archive").iter().any(|file| file == name)).await;
}

/// Step 5 of the section "Change over".
async fn failed_ones_are_loaded_again(site: &mut Site) {
    let put_back = site.run("kcidb spool list --place failed");
    assert!(put_back.contains("2 of 2 files put back"), "{put_back}");
    let bad = ["json", "reason"].map(|kind| format!("submission-{BAD}.{kind}"));
    site.until("the bad one is back, the good one is not", async || site.files("failed") == bad).await;
    let reason = fs::read_to_string(site.spool().join("failed").join(&bad[1])).expect("a reason");
    assert!(reason.contains("schema_invalid") && reason.contains("/tests/0/status"), "{reason}");
}

/// Every old file is where it belongs, byte for byte.
fn assert_spool(site: &Site) {
    let old = [
        ("spool/submission-aQ7Zk2mX9dLr4TnB6vYc1HsW8pJe3GfU.json", "archive"),
        ("spool/submission-0bVw5RtY8uIo2PaS6dFg9HjK3lZxC7vN.json", "archive"),
        ("spool/logspec_4f0c9e1a7b3d5826.json.json", "archive"),
        ("spool/from the weekend.json", "archive"),
        ("spool/archive/submission-Xc4Vb7Nm1Qw8Er2Ty6Ui9Op3As5Df0Gh.json", "archive"),
        ("spool/failed/submission-G0odD0cumentTh4tTheD4t4b4seRefus.json", "archive"),
        ("spool/failed/submission-B4dD0cumentWithAnUnkn0wnSt4tusXx.json", "failed"),
        ("spool/pending_retry/submission-Zx9Cv8Bn7Mm6Aa5Ss4Dd3Ff2Gg1Hh0Jj.json", "archive"),
        ("spool/logspec_00112233445566ff.json.temp", ""),
    ];
    for (fixture_name, folder) in old {
        let name = fixture_name.rsplit('/').next().expect("a name");
        let now = fs::read_to_string(site.spool().join(folder).join(name)).unwrap_or_default();
        assert!(now == fixture(fixture_name), "{name} is in {folder:?} as it was");
    }
    assert_eq!(site.files(""), ["logspec_00112233445566ff.json.temp"], "the torn upload ({TORN}) is removed");
    assert_eq!(site.files("archive").len(), 7 + 3, "the old ones, and those of this test");
}

/// The old rows, and those of every document that waited.
async fn assert_rows(site: &Site, old: &Old) {
    let client = site.client().await;
    client.batch_execute("SET timezone = 'UTC'").await.expect("a time zone");
    let new = Old::read(&client).await;
    let filled = ["farm:t2"];
    for (table, key, changed) in [
        ("tests", "id", filled.as_slice()),
        ("pending_test", "test_id", &filled),
        ("latest_checkout", "checkout_id", &["farm:c1"]),
    ] {
        let kept = new.without(table, key, changed);
        assert!(old.without(table, key, changed).iter().all(|row| kept.contains(row)), "{table}");
    }
    for table in old.rows.keys().filter(|table| !["tests", "pending_test", "latest_checkout"].contains(&table.as_str()))
    {
        let kept = new.without(table, "", &[]);
        assert!(old.without(table, "", &[]).iter().all(|row| kept.contains(row)), "{table}");
    }

    let mut expected: BTreeMap<String, Vec<Value>> = serde_json::from_str(&fixture("loaded.json")).expect("JSON");
    for id in ["farm:t10", "farm:t11", "farm:t12"] {
        let row =
            json!({"id": id, "origin": "farm", "build_id": "farm:b3", "status": "PASS", "misc": {"runtime": "farm"}});
        expected.get_mut("tests").expect("tests").push(row);
    }
    for table in TABLES {
        let known: Vec<String> = old.rows[table].iter().map(|(_, row)| row["id"].to_string()).collect();
        let query = format!("SELECT (jsonb_strip_nulls(to_jsonb(t)) - '_timestamp')::text FROM {table} t");
        let rows = client.query(&query, &[]).await.expect("rows");
        let rows = rows.iter().map(|row| serde_json::from_str::<Value>(row.get(0)).expect("JSON"));
        let mut loaded: Vec<Value> =
            rows.filter(|row| row["id"] == filled[0] || !known.contains(&row["id"].to_string())).collect();
        loaded.sort_by_key(|row| row["id"].to_string());
        expected.get_mut(table).expect(table).sort_by_key(|row| row["id"].to_string());
        assert_eq!(Some(&loaded), expected.get(table), "{table}");
    }
    let latest = "SELECT checkout_id FROM latest_checkout WHERE origin = 'farm'";
    assert_eq!(client.query_one(latest, &[]).await.expect("a row").get::<_, &str>(0), "farm:c3");
    let pending = "SELECT string_agg(concat(build_id, status), ' ' ORDER BY build_id) FROM pending_builds";
    assert_eq!(client.query_one(pending, &[]).await.expect("a row").get::<_, &str>(0), "farm:b2F farm:b3P farm:b4F");
}

/// The section "Back": the old programs find what they know.
async fn back(site: &mut Site) {
    site.stop(&["ingester", "logspec"]);
    site.run("docker compose -f deploy/compose.yaml stop");
    let id = post(site, document("farm:after")).await;
    site.stop(&["gateway", "status"]);
    site.run_as_root("docker compose -f deploy/compose.yaml down\nchown");

    let waiting = format!("submission-{id}.json");
    assert_eq!(site.waiting_files(), [waiting.as_str()], "what the old ingester reads");
    let path = site.spool().join(&waiting);
    assert_eq!(fs::read_to_string(&path).expect("readable"), document("farm:after"));
    if is_root() {
        assert_eq!((owner(&path), owner(&site.spool()), owner(&site.spool().join("archive"))), (0, 0, 0));
    }

    let client = site.client().await;
    client.batch_execute(&fixture("ingester.sql")).await.expect("the old ingester's statements");
    fs::rename(&path, site.spool().join("archive").join(&waiting)).expect("archived by the old ingester");
    for (query, row) in [
        ("SELECT status || build_id FROM tests WHERE id = 'farm:after'", "PASSfarm:b4"),
        ("SELECT concat(status, duration, comment) FROM builds WHERE id = 'farm:b4'", "FAIL2.5an older tool"),
        (
            "SELECT concat(version, report_subject, culprit_harness) FROM issues WHERE id = 'farm:i1'",
            "2The hen is latef",
        ),
        ("SELECT checkout_id FROM latest_checkout WHERE origin = 'farm'", "farm:c4"),
        ("SELECT status FROM pending_builds WHERE build_id = 'farm:b4'", "F"),
    ] {
        assert_eq!(client.query_one(query, &[]).await.expect(query).get::<_, &str>(0), row, "{query}");
    }
}
