//! What a database holds, as lines of text: one for each column, key, index and function.
//!
//! `catalogue.txt` is the list for a complete database, written by a test from a fresh migrated one. [`read`] gives the
//! lines of a live database; comparing the two is how [`crate::check`] finds what is missing and how a test keeps the
//! migrations honest. Only objects that the list knows matter: extra columns, indexes and tables harm nobody.

use std::collections::BTreeMap;

use diesel::{
    QueryableByName,
    sql_types::{Array, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use crate::Error;

/// A complete database: `kind name definition` per line, sorted.
const EXPECTED: &str = include_str!("catalogue.txt");

/// The definition of each object by kind and name: `column tests.status`, `constraint tests.tests_pkey`,
/// `index tests.tests_status`, `function first(anyelement)`.
pub(crate) type Catalogue = BTreeMap<String, String>;

/// The catalogue of a complete database.
pub(crate) fn expected() -> Catalogue {
    EXPECTED
        .lines()
        .map(|line| line.split_once(" = ").expect("every line of catalogue.txt has a definition"))
        .map(|(name, definition)| (name.to_owned(), definition.to_owned()))
        .collect()
}

/// The schema that the report tables are in: where an unqualified name is created.
pub(crate) async fn schema(connection: &mut AsyncPgConnection) -> Result<String, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        schema: String,
    }
    let row: Row = diesel::sql_query("SELECT coalesce(current_schema(), '') AS schema").get_result(connection).await?;
    if row.schema.is_empty() {
        return Err(Error::setup(
            "no schema to work in: the search_path names none that exists and may be used; GRANT USAGE, CREATE ON SCHEMA public",
        ));
    }
    Ok(row.schema)
}

/// What the database holds of the tables and functions that this program knows.
///
/// # Errors
/// When the database cannot be asked.
pub async fn read(connection: &mut AsyncPgConnection) -> Result<BTreeMap<String, String>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        definition: String,
    }
    let rows: Vec<Row> = diesel::sql_query(QUERY).bind::<Array<Text>, _>(TABLES.to_vec()).load(connection).await?;
    Ok(rows.into_iter().map(|row| (row.name, row.definition)).collect())
}

/// The tables that a complete database has; those of `kcidb_ng` with their schema.
const TABLES: [&str; 20] = [
    "builds",
    "checkouts",
    "hardware_registry_platform_vendors",
    "hardware_registry_platforms",
    "hardware_registry_processors",
    "hardware_registry_silicon_vendors",
    "hardware_registry_system_modules",
    "hardware_status",
    "incidents",
    "issues",
    "latest_checkout",
    "pending_builds",
    "pending_test",
    "processed_listing_items",
    "tests",
    "tree_listing",
    "tree_tests_rollup",
    "kcidb_ng.logs",
    "kcidb_ng.submission_logs",
    "kcidb_ng.submissions",
];

const QUERY: &str = r"
WITH tables AS (
    SELECT c.oid, CASE n.nspname WHEN 'kcidb_ng' THEN 'kcidb_ng.' ELSE '' END || c.relname AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname IN (current_schema(), 'kcidb_ng')
), known AS (
    SELECT * FROM tables WHERE name = ANY ($1)
)
SELECT 'column ' || name || '.' || attname AS name,
       format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
       || CASE WHEN attgenerated = 's' THEN ' GENERATED STORED' ELSE '' END
       || CASE WHEN attidentity <> '' THEN ' GENERATED AS IDENTITY' ELSE '' END AS definition
FROM known JOIN pg_attribute ON attrelid = known.oid
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint ' || name || '.' || conname, pg_get_constraintdef(pg_constraint.oid)
FROM known JOIN pg_constraint ON conrelid = known.oid
WHERE contype IN ('p', 'u', 'f', 'c')
UNION ALL
SELECT 'index ' || name || '.' || relname,
       regexp_replace(pg_get_indexdef(indexrelid), '^.*? USING ', '')
FROM known JOIN pg_index ON indrelid = known.oid JOIN pg_class ON pg_class.oid = indexrelid
WHERE indisvalid AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
UNION ALL
SELECT CASE prokind WHEN 'a' THEN 'aggregate ' ELSE 'function ' END
       || proname || '(' || pg_get_function_identity_arguments(oid) || ')',
       format_type(prorettype, NULL)
FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace
  AND proname IN ('get_version', 'first', 'last', 'first_agg', 'last_agg', 'encode_uri_component')
";
