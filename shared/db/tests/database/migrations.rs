//! Migrations on an empty database and on each kind that the existing system leaves behind.

use std::{collections::BTreeMap, fs, path::Path};

use crate::server::{Database, empty, migrated};

const REPORT_TABLES: &str = include_str!("../../../../migrations/2026-01-01-000001_report_tables/up.sql");
const DASHBOARD_TABLES: &str = include_str!("../../../../migrations/2026-01-01-000002_dashboard_tables/up.sql");
const KCIDB: &str = include_str!("fixtures/kcidb-5.3.sql");
const DJANGO: &str = include_str!("fixtures/django.sql");

async fn findings(database: &Database) -> Vec<String> {
    let pool = db::Pool::new(&database.options).unwrap();
    let mut connection = pool.get().await.unwrap();
    db::check(&mut connection).await.unwrap().iter().map(ToString::to_string).collect()
}

async fn ready(database: &Database) -> Result<(), db::Error> {
    db::Pool::new(&database.options).unwrap().check_ready().await
}

async fn rows(database: &Database, query: &str) -> Vec<String> {
    let query = format!("SELECT t::text FROM ({query}) AS t");
    database.client.query(&query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_becomes_complete() {
    let database = empty().await;
    assert!(ready(&database).await.unwrap_err().to_string().contains("kcidb db migrate"));
    let report = db::migrate(&database.options).await.unwrap();
    assert!(report.iter().any(|line| line.contains("applied migration")), "{report:?}");
    assert_eq!(findings(&database).await, Vec::<String>::new());
    ready(&database).await.unwrap();
    let again = db::migrate(&database.options).await.unwrap();
    assert!(again.iter().any(|line| line.contains("applied before")), "{again:?}");
    assert!(!again.iter().any(|line| line.contains("made: ") || line.contains("changed: ")), "{again:?}");
    // Nothing of ours is where the dashboard looks.
    let public =
        rows(&database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE '%diesel%'")
            .await;
    assert_eq!(public, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_do_the_work_once() {
    let database = empty().await;
    let (first, second) = (database.options.clone(), database.options.clone());
    let first = tokio::spawn(async move { db::migrate(&first).await });
    let second = tokio::spawn(async move { db::migrate(&second).await });
    let reports = [first.await.unwrap().unwrap(), second.await.unwrap().unwrap()];
    let applied = reports.iter().flatten().filter(|line| line.starts_with("applied migration")).count();
    let list = rows(&database, "SELECT version FROM kcidb_ng.__diesel_schema_migrations").await;
    assert_eq!(applied, list.len());
    assert!(applied > 0);
}

/// The lines of `catalogue.txt`; `UPDATE=1` writes the file from a fresh database.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_a_complete_database_is_current() {
    let database = migrated().await;
    let pool = db::Pool::new(&database.options).unwrap();
    let live = db::catalogue(&mut pool.get().await.unwrap()).await.unwrap();
    let lines: Vec<String> = live.iter().map(|(name, definition)| format!("{name} = {definition}\n")).collect();
    let text = lines.concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalogue.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(path).unwrap(), "run with UPDATE=1 and look at the difference");
}

/// The dashboard's schema, exported from a live database, line by line.
#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_the_dashboards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("KCIDB_CONFORMANCE").map_or(root.join("../shared/conformance"), Into::into);
    let Ok(text) = fs::read_to_string(folder.join("db/catalog.json")) else {
        println!("skipped: no conformance data (KCIDB_CONFORMANCE)");
        return;
    };
    let wanted = lines(&serde_json::from_str(&text).unwrap());
    let database = migrated().await;
    let pool = db::Pool::new(&database.options).unwrap();
    let mut live = db::catalogue(&mut pool.get().await.unwrap()).await.unwrap();
    // What is ours alone; the index is the one thing of ours on a table of the dashboard's.
    live.retain(|name, _| !name.contains("kcidb_ng.") && name != "index issues.issues_logspec_signature_loc");
    assert_eq!(wanted.len(), live.len());
    for (name, definition) in &wanted {
        assert_eq!(live.get(name), Some(definition), "{name}");
    }
}

/// The exported catalogue in the words of ours.
fn lines(catalogue: &serde_json::Value) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list =
        |value: &serde_json::Value| -> Vec<String> { value.as_array().into_iter().flatten().map(text).collect() };
    let is = |value: &serde_json::Value| value.as_bool() == Some(true);
    let mut lines = BTreeMap::new();
    for (table, parts) in catalogue["tables"].as_object().unwrap() {
        for column in parts["columns"].as_array().unwrap() {
            let mut definition = text(&column["type"]);
            for (flag, words) in
                [("not_null", " NOT NULL"), ("generated", " GENERATED STORED"), ("identity", " GENERATED AS IDENTITY")]
            {
                if is(&column[flag]) {
                    definition.push_str(words);
                }
            }
            lines.insert(format!("column {table}.{}", text(&column["name"])), definition);
        }
        for constraint in parts["constraints"].as_array().unwrap() {
            let mut definition = text(&constraint["type"]).to_uppercase();
            if is(&constraint["nulls_not_distinct"]) {
                definition.push_str(" NULLS NOT DISTINCT");
            }
            definition.extend([" (", &list(&constraint["columns"]).join(", "), ")"]);
            if let Some(other) = constraint["references"].as_str() {
                definition.extend([" REFERENCES ", other, "(id) DEFERRABLE INITIALLY DEFERRED"]);
            }
            lines.insert(format!("constraint {table}.{}", text(&constraint["name"])), definition);
        }
        for index in parts["indexes"].as_array().unwrap() {
            let class = list(&index["opclass"]).first().map_or(String::new(), |class| format!(" {class}"));
            let on: Vec<String> = list(&index["on"])
                .iter()
                .map(|on| if on.starts_with('(') { format!("({on})") } else { format!("{on}{class}") })
                .collect();
            let filter = index["where"].as_str().map_or(String::new(), |filter| format!(" WHERE {filter}"));
            let definition = format!("{} ({}){filter}", text(&index["method"]), on.join(", "));
            lines.insert(format!("index {table}.{}", text(&index["name"])), definition);
        }
    }
    for function in catalogue["functions"].as_array().unwrap() {
        let name = format!("{} {}({})", text(&function["kind"]), text(&function["name"]), text(&function["args"]));
        lines.insert(name, text(&function["returns"]));
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboards_database_is_adopted() {
    let database = empty().await;
    database.client.batch_execute(REPORT_TABLES).await.unwrap();
    database.client.batch_execute("DROP SCHEMA kcidb_ng").await.unwrap();
    database.client.batch_execute(DASHBOARD_TABLES).await.unwrap();
    database.client.batch_execute(DJANGO).await.unwrap();
    database.client.batch_execute("INSERT INTO issues (id, version, origin) VALUES ('lab:i', 3, 'lab')").await.unwrap();
    let before = findings(&database).await;
    assert!(
        before[0].contains("made by the dashboard, not adopted") && before[0].contains("kcidb db migrate"),
        "{before:?}"
    );
    let report = db::migrate(&database.options).await.unwrap();
    assert!(report[0].contains("made by the dashboard"), "{report:?}");
    assert!(report.iter().any(|line| line.contains("aggregate × 2")), "{report:?}");
    assert!(!report.iter().any(|line| line.starts_with("changed")), "{report:?}");
    assert_eq!(findings(&database).await, Vec::<String>::new());
    assert_eq!(rows(&database, "SELECT id, version FROM issues").await, ["(lab:i,3)"]);
}

/// What the fixture's rows must be after adoption.
async fn assert_kcidb_rows_kept(database: &Database) {
    assert_eq!(
        rows(database, "SELECT id, status, number_value, number_prefix FROM tests ORDER BY id").await,
        ["(lab:t,MISS,1.5,binary)", "(lab:u,,,)"]
    );
    assert_eq!(
        rows(database, "SELECT status, misc, series = md5('defconfiggcc-13arm64') FROM builds").await,
        [r#"(ERROR,"{""lab"": ""x""}",t)"#]
    );
    assert_eq!(
        rows(database, "SELECT id, version, comment FROM issues ORDER BY id").await,
        ["(lab:i,10,tenth)", "(lab:j,7,alone)"]
    );
    assert_eq!(
        rows(database, "SELECT id, version, comment, categories, _timestamp = '2024-05-02Z' FROM kcidb_ng.issue_versions ORDER BY version")
            .await,
        ["(lab:i,1,first,,f)", "(lab:i,2,second,{a},t)"]
    );
    assert_eq!(rows(database, "SELECT issue_version FROM incidents ORDER BY id").await, ["(1)", "(10)"]);
    assert_eq!(rows(database, "SELECT git_commit_tags FROM checkouts").await, [r#"("{v6.9,next}")"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kcidb_tools_database_is_adopted() {
    let database = empty().await;
    database.client.batch_execute(KCIDB).await.unwrap();
    let before = findings(&database).await;
    assert!(before[0].contains("made by the kcidb tools, not adopted"), "{before:?}");
    let report = db::migrate(&database.options).await.unwrap();
    assert!(report.iter().any(|line| line.contains("2 older versions") && line.contains("1 incidents")), "{report:?}");
    assert!(report.iter().any(|line| line.contains("changed: column tests.status from status")), "{report:?}");
    assert_eq!(findings(&database).await, Vec::<String>::new());
    assert_kcidb_rows_kept(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_both_is_adopted() {
    let database = empty().await;
    database.client.batch_execute(KCIDB).await.unwrap();
    database.client.batch_execute(DASHBOARD_TABLES).await.unwrap();
    database.client.batch_execute(DJANGO).await.unwrap();
    let dashboards = "ALTER TABLE builds ADD series text GENERATED ALWAYS AS
                          (md5(coalesce(config_name, '') || coalesce(compiler, '') || coalesce(architecture, ''))) STORED;
                      CREATE INDEX builds_series_idx ON builds (series);
                      CREATE INDEX checkouts_commit_name ON checkouts (git_commit_name);
                      INSERT INTO pending_builds VALUES ('lab:b', 'lab', 'lab:c', 'I')";
    database.client.batch_execute(dashboards).await.unwrap();
    let report = db::migrate(&database.options).await.unwrap();
    assert!(report[0].contains("made by the kcidb tools and the dashboard"), "{report:?}");
    assert_eq!(findings(&database).await, Vec::<String>::new());
    assert_kcidb_rows_kept(&database).await;
    assert_eq!(rows(&database, "SELECT build_id FROM pending_builds").await, ["(lab:b)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_migrated_dashboard_is_refused_untouched() {
    let database = empty().await;
    database.client.batch_execute(DJANGO).await.unwrap();
    database.client.batch_execute("DELETE FROM django_migrations WHERE name > '0013'").await.unwrap();
    let error = db::migrate(&database.options).await.unwrap_err().to_string();
    assert!(error.contains("0012_rename") && error.contains("manage.py migrate"), "{error}");
    assert_eq!(
        rows(&database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'").await,
        ["(django_migrations)"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_kcidb_schema_is_refused() {
    let database = empty().await;
    database
        .client
        .batch_execute("CREATE FUNCTION get_version() RETURNS integer LANGUAGE sql AS 'SELECT 4009'")
        .await
        .unwrap();
    let error = db::migrate(&database.options).await.unwrap_err().to_string();
    assert!(error.contains("4.9") && error.contains("5.3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_removed_is_found_and_the_remedy_works() {
    let database = migrated().await;
    database
        .client
        .batch_execute(
            "DROP INDEX tests_status; DROP FUNCTION encode_uri_component(text);
             ALTER TABLE latest_checkout DROP CONSTRAINT latest_checkout_unique; ALTER TABLE tests DROP COLUMN number_unit",
        )
        .await
        .unwrap();
    let pool = db::Pool::new(&database.options).unwrap();
    let found = db::check(&mut pool.get().await.unwrap()).await.unwrap();
    let blocking: Vec<&str> = found.iter().filter(|one| one.blocks_loading).map(|one| one.what.as_str()).collect();
    assert_eq!(
        blocking,
        ["column tests.number_unit is missing", "constraint latest_checkout.latest_checkout_unique is missing"]
    );
    assert_eq!(found.len(), 4, "{found:?}");
    for finding in found.iter().filter(|finding| !finding.what.starts_with("function")) {
        database.client.batch_execute(&finding.remedy).await.unwrap();
    }
    assert_eq!(db::check(&mut pool.get().await.unwrap()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_may_make_no_roles_migrates_all_the_same() {
    let database = empty().await;
    let role = format!("plain_{}", std::process::id());
    let rights = format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'plain'; GRANT CREATE ON SCHEMA public TO {role};
         DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END $$"
    );
    database.client.batch_execute(&rights).await.unwrap();
    let (_, place) = database.url().split_once('@').unwrap();
    let address = format!("postgresql://{role}:plain@{place}");
    let report = db::migrate(&db::Options::of(&address)).await.unwrap();
    assert!(report.iter().any(|line| line.contains("kcidb_viewer")), "{report:?}");
    let database = Database { options: db::Options::of(&address), ..database };
    assert_eq!(findings(&database).await, Vec::<String>::new());
}
