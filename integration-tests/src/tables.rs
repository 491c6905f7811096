//! Tables as the goldens have them: one JSON object per row, without what is volatile by nature.

use serde_json::Value;
use tokio_postgres::Client;

/// The tables that a load writes, and the column of each that is never compared.
pub const TABLES: [(&str, &str); 9] = [
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

/// The rows of a table without one column, ordered by their text.
pub async fn rows(database: &Client, table: &str, without: &str) -> Vec<Value> {
    let query = format!("SELECT (to_jsonb(t) - $1)::text FROM {table} t");
    database.batch_execute("SET timezone = 'UTC'").await.expect("a time zone");
    let rows = database.query(&query, &[&without]).await.unwrap_or_else(|error| panic!("{table}: {error:?}"));
    let mut rows: Vec<Value> =
        rows.iter().map(|row| serde_json::from_str(row.get::<_, &str>(0)).expect("PostgreSQL writes JSON")).collect();
    rows.sort_by_cached_key(Value::to_string);
    rows
}

/// Every table that a load writes.
pub async fn rows_without_timestamps(database: &Client) -> Vec<(&'static str, Vec<Value>)> {
    let mut tables = Vec::new();
    for (table, without) in TABLES {
        tables.push((table, rows(database, table, without).await));
    }
    tables
}
