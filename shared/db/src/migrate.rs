//! Brings a database to the shape that this program needs: an empty one, and each of the three kinds that the existing
//! system leaves behind (spec: database.md 1).
//!
//! Migrations are written so that they keep what exists. Each runs in its own transaction, all of them under one advisory
//! lock, so two processes at once do the work once. Diesel's list of applied migrations is in `kcidb_ng`: its name is
//! looked up in the search path, which has `kcidb_ng` alone while the list is made.

use std::fmt;

use diesel::{
    QueryableByName,
    migration::{Migration, MigrationSource as _},
    pg::Pg,
    sql_types::{BigInt, Bool, Integer, Nullable, Text},
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use crate::{Error, Options, catalogue, compression, pool, roles};

/// The migrations of this program, in order.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// The advisory lock that is held while migrations run: one per database.
const LOCK: i64 = 0x6b63_6964_625f_6e67;

/// The oldest server: `UNIQUE NULLS NOT DISTINCT` is new in it.
pub(crate) const OLDEST_SERVER: i32 = 150_000;

/// The last of the dashboard's migrations that our tables correspond to.
pub(crate) const DASHBOARD: &str = "0018_hardwareregistryplatformvendor_and_more";

/// Who made a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// No report tables.
    Empty,
    /// This program, before.
    Ours,
    /// The dashboard's migrations alone.
    Dashboard,
    /// The kcidb tools alone: enumerated status, several versions of an issue, no derived tables.
    Kcidb,
    /// The kcidb tools, and the dashboard's migrations on top.
    KcidbAndDashboard,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty database",
            Self::Ours => "a database made by this program",
            Self::Dashboard => "a database made by the dashboard",
            Self::Kcidb => "a database made by the kcidb tools",
            Self::KcidbAndDashboard => "a database made by the kcidb tools and the dashboard",
        })
    }
}

/// What is known about a database before anything is done to it.
#[derive(QueryableByName)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the database")]
pub(crate) struct Facts {
    #[diesel(sql_type = Integer)]
    pub(crate) server: i32,
    #[diesel(sql_type = Text)]
    pub(crate) messages: String,
    #[diesel(sql_type = Bool)]
    reports: bool,
    #[diesel(sql_type = Bool)]
    enumerated: bool,
    #[diesel(sql_type = Bool)]
    derived: bool,
    #[diesel(sql_type = Bool)]
    several_versions: bool,
    #[diesel(sql_type = Bool)]
    version_function: bool,
    #[diesel(sql_type = Bool)]
    pub(crate) migrations: bool,
    #[diesel(sql_type = Bool)]
    django: bool,
}

impl Facts {
    pub(crate) async fn read(connection: &mut AsyncPgConnection) -> Result<Self, Error> {
        Ok(diesel::sql_query(FACTS).get_result(connection).await?)
    }

    pub(crate) fn history(&self) -> History {
        let kcidb = self.enumerated || self.several_versions;
        match (self.reports, kcidb, self.derived) {
            (false, ..) => History::Empty,
            _ if self.migrations => History::Ours,
            (true, false, _) => History::Dashboard,
            (true, true, false) => History::Kcidb,
            (true, true, true) => History::KcidbAndDashboard,
        }
    }
}

const FACTS: &str = "
SELECT current_setting('server_version_num')::integer AS server,
       current_setting('lc_messages') AS messages,
       to_regclass(format('%I.tests', current_schema())) IS NOT NULL AS reports,
       coalesce((SELECT t.typtype = 'e' FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
                 WHERE attrelid = to_regclass(format('%I.tests', current_schema())) AND attname = 'status'), false)
           AS enumerated,
       to_regclass(format('%I.latest_checkout', current_schema())) IS NOT NULL AS derived,
       coalesce((SELECT cardinality(conkey) > 1 FROM pg_constraint
                 WHERE conrelid = to_regclass(format('%I.issues', current_schema())) AND contype = 'p'), false)
           AS several_versions,
       to_regprocedure(format('%I.get_version()', current_schema())) IS NOT NULL AS version_function,
       to_regclass('kcidb_ng.__diesel_schema_migrations') IS NOT NULL AS migrations,
       to_regclass(format('%I.django_migrations', current_schema())) IS NOT NULL AS django";

/// Runs the migrations that the database does not have yet, and gives the roles their rights.
///
/// Returns what was done, one sentence a line. Needs tokio's multi-threaded runtime.
///
/// # Errors
/// When the database cannot be reached, is of a kind that must first be brought on by its own tools, or a migration fails;
/// migrations before the failing one stay.
pub async fn migrate(options: &Options) -> Result<Vec<String>, Error> {
    let mut connection = pool::connect(options).await?;
    let mut report = Vec::new();
    let schema = catalogue::schema(&mut connection).await?;
    diesel::sql_query("SELECT pg_advisory_lock($1)").bind::<BigInt, _>(LOCK).execute(&mut connection).await?;

    let facts = Facts::read(&mut connection).await?;
    report.push(format!("{}: {}", options.address()?, facts.history()));
    refuse(&mut connection, &facts).await?;
    let before = catalogue::read(&mut connection).await?;
    let (mut connection, applied) = apply(connection, &schema).await?;
    if applied.is_empty() {
        report.push("every migration was applied before".into());
    }
    report.extend(applied.into_iter().map(|name| format!("applied migration {name}")));
    let after = catalogue::read(&mut connection).await?;
    report.extend(differences(&before, &after));
    report.extend(versions_moved(&mut connection).await?);
    report.extend(compression::prefer_lz4(&mut connection).await?);
    report.extend(roles::grant(&mut connection, &schema).await?);
    // The connection ends here, and with it the lock.
    Ok(report)
}

/// Stops where going on would do harm.
async fn refuse(connection: &mut AsyncPgConnection, facts: &Facts) -> Result<(), Error> {
    if facts.server < OLDEST_SERVER {
        return Err(Error::setup(format!("PostgreSQL 15 or newer is needed, this is {}", facts.server / 10_000)));
    }
    if facts.version_function {
        let version = kcidb_version(connection).await?;
        if version != 5003 {
            return Err(Error::setup(format!(
                "the kcidb tools keep this database at schema {}.{}, 5.3 is needed: upgrade it with `kcidb-db-upgrade` first",
                version / 1000,
                version % 1000
            )));
        }
    }
    match dashboard_migration(connection, facts).await? {
        Some(last) if last.as_str() < DASHBOARD => Err(Error::setup(format!(
            "the dashboard's migrations stop at {last}: bring them to {DASHBOARD} with `manage.py migrate kernelCI_app` first"
        ))),
        _ => Ok(()),
    }
}

async fn kcidb_version(connection: &mut AsyncPgConnection) -> Result<i32, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        version: i32,
    }
    let row: Row = diesel::sql_query("SELECT get_version() AS version").get_result(connection).await?;
    Ok(row.version)
}

/// The last migration that the dashboard applied, or that was marked as applied.
pub(crate) async fn dashboard_migration(
    connection: &mut AsyncPgConnection,
    facts: &Facts,
) -> Result<Option<String>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Text>)]
        name: Option<String>,
    }
    if !facts.django {
        return Ok(None);
    }
    let query = "SELECT max(name)::text AS name FROM django_migrations WHERE app = 'kernelCI_app'";
    let row: Row = diesel::sql_query(query).get_result(connection).await?;
    Ok(row.name)
}

/// Runs what is pending; returns the names.
async fn apply(mut connection: AsyncPgConnection, schema: &str) -> Result<(AsyncPgConnection, Vec<String>), Error> {
    let quoted = schema.replace('"', "\"\"");
    connection.batch_execute("CREATE SCHEMA IF NOT EXISTS kcidb_ng; SET search_path = kcidb_ng").await?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let pending: Vec<String> = harness
        .pending_migrations(MIGRATIONS)
        .map_err(|error| failed("the list of migrations", &*error))?
        .iter()
        .map(|migration| migration.name().to_string())
        .collect();
    let mut connection = harness.into_inner();
    connection.batch_execute(&format!("SET search_path = \"{quoted}\", kcidb_ng")).await?;
    let mut harness = AsyncMigrationHarness::new(connection);
    for migration in all()?.iter().filter(|migration| pending.contains(&migration.name().to_string())) {
        harness.run_migration(&**migration).map_err(|error| failed(&migration.name().to_string(), &*error))?;
    }
    Ok((harness.into_inner(), pending))
}

/// Our migrations, in order.
fn all() -> Result<Vec<Box<dyn Migration<Pg>>>, Error> {
    let mut all = MIGRATIONS.migrations().map_err(|error| failed("the list of migrations", &*error))?;
    all.sort_unstable_by_key(|migration| migration.name().version().as_owned());
    Ok(all)
}

fn failed(what: &str, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    let text = crate::error::chain(error);
    let advice = if text.contains("lock timeout") { "; stop who holds the table: ingester and log worker" } else { "" };
    Error::setup(format!("{what}: {text}{advice}"))
}

/// The versions of our migrations that the database does not have.
pub(crate) async fn missing(connection: &mut AsyncPgConnection) -> Result<Vec<String>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let applied: Vec<Row> =
        diesel::sql_query("SELECT version::text AS version FROM kcidb_ng.__diesel_schema_migrations")
            .load(connection)
            .await?;
    Ok(all()?
        .iter()
        .filter(|migration| !applied.iter().any(|row| row.version == migration.name().version().to_string()))
        .map(|migration| migration.name().to_string())
        .collect())
}

/// What the migrations made or changed, counted by kind; changed columns by name.
fn differences(before: &catalogue::Catalogue, after: &catalogue::Catalogue) -> Vec<String> {
    let mut report = Vec::new();
    for kind in ["column", "constraint", "index", "function", "aggregate"] {
        let made = after.keys().filter(|name| name.starts_with(kind) && !before.contains_key(*name)).count();
        if made > 0 {
            report.push(format!("made: {kind} × {made}"));
        }
    }
    for (name, definition) in after {
        if let Some(old) = before.get(name).filter(|old| *old != definition) {
            report.push(format!("changed: {name} from {old} to {definition}"));
        }
    }
    report
}

/// Says where versions of issues went that the dashboard's key has no room for.
async fn versions_moved(connection: &mut AsyncPgConnection) -> Result<Option<String>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        versions: i64,
        #[diesel(sql_type = BigInt)]
        incidents: i64,
    }
    #[derive(QueryableByName)]
    struct Exists {
        #[diesel(sql_type = Bool)]
        there: bool,
    }
    let exists: Exists = diesel::sql_query("SELECT to_regclass('kcidb_ng.issue_versions') IS NOT NULL AS there")
        .get_result(connection)
        .await?;
    if !exists.there {
        return Ok(None);
    }
    let row: Row = diesel::sql_query(
        "SELECT (SELECT count(*) FROM kcidb_ng.issue_versions) AS versions,
                (SELECT count(*) FROM incidents i JOIN kcidb_ng.issue_versions v
                 ON v.id = i.issue_id AND v.version = i.issue_version) AS incidents",
    )
    .get_result(connection)
    .await?;
    Ok((row.versions > 0).then(|| {
        format!(
            "an issue is one row, its highest version: {} older versions are kept in kcidb_ng.issue_versions; \
             {} incidents name one of them and show without an issue in the dashboard",
            row.versions, row.incidents
        )
    }))
}
