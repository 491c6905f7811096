//! lz4 for the large columns: half the cost of storing them. It concerns new values only.
//!
//! Like [`crate::roles`] it is best effort, tried again at each migration: a server may be built without lz4, and the
//! setting is changed in a moment when nobody uses the table. What the existing system's log worker has read it holds
//! for as long as it runs (spec: logspec.md 14.3), and whoever comes after us would wait behind us; so we wait shortly.

use diesel::{QueryableByName, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

use crate::Error;

/// One statement for each table that has such columns, in the order of their names.
const STATEMENTS: &str = "
SELECT relname::text AS name,
       format('ALTER TABLE %s %s', attrelid::regclass,
              string_agg(format('ALTER COLUMN %I SET COMPRESSION lz4', attname), ', ')) AS statement
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE attrelid IN ('checkouts'::regclass, 'builds'::regclass, 'tests'::regclass, 'issues'::regclass, 'incidents'::regclass)
  AND attname IN ('patchset_files', 'input_files', 'output_files', 'environment_misc', 'misc', 'log_excerpt', 'comment',
                  'command', 'git_commit_message')
  AND NOT attisdropped AND attcompression <> 'l'
GROUP BY attrelid, relname
ORDER BY relname";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    statement: String,
}

/// Switches the large columns to lz4 where that is possible now. Returns what could not be done. The tables are looked
/// for in the search path.
pub(crate) async fn prefer_lz4(connection: &mut AsyncPgConnection) -> Result<Vec<String>, Error> {
    let rows: Vec<Row> = diesel::sql_query(STATEMENTS).load(connection).await?;
    connection.batch_execute("SET lock_timeout = '500ms'").await?;
    let mut report = Vec::new();
    for Row { name, statement } in rows {
        match connection.batch_execute(&statement).await.map_err(Error::from) {
            Ok(()) => {}
            Err(Error::Conflict { .. }) => report.push(format!(
                "{name} is in use and keeps its compression: run this again when the old log worker has stopped"
            )),
            Err(Error::Setup { message, .. }) => report.push(format!("{name} keeps its compression: {message}")),
            Err(other) => return Err(other),
        }
    }
    connection.batch_execute("SET lock_timeout = '1min'").await?;
    Ok(report)
}
