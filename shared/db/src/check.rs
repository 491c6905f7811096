//! What is missing or wrong in a database, in words.

use diesel_async::AsyncPgConnection;

use crate::{
    Error, catalogue,
    migrate::{self, DASHBOARD, Facts, History, OLDEST_SERVER},
};

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Loading cannot work until this is mended; otherwise readers or speed suffer.
    pub blocks_loading: bool,
    /// What is missing or wrong.
    pub what: String,
    /// How to mend it: a command, or a statement of SQL.
    pub remedy: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// The remedy for everything that a migration makes.
const MIGRATE: &str = "run `kcidb db migrate`";

/// The tables that loading writes.
const LOADED: [&str; 10] = [
    "builds",
    "checkouts",
    "incidents",
    "issues",
    "latest_checkout",
    "pending_builds",
    "pending_test",
    "tests",
    "tree_listing",
    "kcidb_ng.submissions",
];

/// Compares the database with what this program and the readers of the database need. Empty when all is well.
///
/// # Errors
/// When the database cannot be asked.
pub async fn check(connection: &mut AsyncPgConnection) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let facts = Facts::read(connection).await?;
    findings.extend(server(&facts));
    let pending = pending(connection, &facts).await?;
    if let Some(finding) = &pending {
        findings.push(finding.clone());
    }
    let live = catalogue::read(connection).await?;
    let mut unmade = 0;
    for (name, definition) in catalogue::expected() {
        let found = live.get(&name);
        if found.is_none() && pending.is_some() {
            unmade += 1;
        } else if found != Some(&definition) {
            findings.push(difference(&name, &definition, found, pending.is_some()));
        }
    }
    if unmade > 0 {
        let what = format!("{unmade} columns, keys, indexes and functions are still to be made");
        findings.push(advice(what, MIGRATE));
    }
    match migrate::dashboard_migration(connection, &facts).await? {
        Some(last) if last.as_str() < DASHBOARD => findings.push(advice(
            format!("the dashboard's list of migrations stops at {last}"),
            "bring it on with `manage.py migrate kernelCI_app`",
        )),
        Some(last) if last.as_str() > DASHBOARD => findings.push(advice(
            format!("the dashboard's migrations are newer than this program knows: {last}"),
            "see whether a newer version of this program is there",
        )),
        _ => {}
    }
    Ok(findings)
}

/// Only what decides whether services may start: reachable, migrated, new enough.
pub(crate) async fn ready(connection: &mut AsyncPgConnection) -> Result<(), Error> {
    let facts = Facts::read(connection).await?;
    let blocking = match pending(connection, &facts).await? {
        Some(finding) => Some(finding),
        None => server(&facts).into_iter().find(|finding| finding.blocks_loading),
    };
    blocking.map_or(Ok(()), |finding| Err(Error::setup(finding.to_string())))
}

fn advice(what: String, remedy: &str) -> Finding {
    Finding { blocks_loading: false, what, remedy: remedy.to_owned() }
}

fn server(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.server < OLDEST_SERVER {
        findings.push(Finding {
            blocks_loading: true,
            what: format!("this is PostgreSQL {}", facts.server / 10_000),
            remedy: "PostgreSQL 15 or newer is needed".into(),
        });
    }
    let language = facts.messages.to_ascii_lowercase();
    if !(language.is_empty()
        || language.starts_with("en")
        || language == "c"
        || language.starts_with("c.")
        || language == "posix")
    {
        findings.push(advice(
            format!("the server's messages are in {}, errors are recognised by their English text", facts.messages),
            "as a superuser: ALTER SYSTEM SET lc_messages = 'C'; SELECT pg_reload_conf()",
        ));
    }
    findings
}

/// Migrations that have not been applied.
async fn pending(connection: &mut AsyncPgConnection, facts: &Facts) -> Result<Option<Finding>, Error> {
    let what = if facts.migrations {
        let missing = migrate::missing(connection).await?;
        if missing.is_empty() {
            return Ok(None);
        }
        format!("the schema is older than this program needs: not applied are {}", missing.join(", "))
    } else {
        match facts.history() {
            History::Empty => "the database has no tables yet".into(),
            history => format!("this is {history}, not adopted yet"),
        }
    };
    Ok(Some(Finding { blocks_loading: true, what, remedy: MIGRATE.into() }))
}

/// Tells one line of the catalogue that is not as expected.
fn difference(name: &str, definition: &str, found: Option<&String>, unmigrated: bool) -> Finding {
    let (kind, path) = name.split_once(' ').expect("a name starts with its kind");
    let (table, object) = path.rsplit_once('.').unwrap_or(("", path));
    let what = match found {
        None => format!("{kind} {path} is missing"),
        Some(found) => format!("{kind} {path} is {found}, expected is {definition}"),
    };
    let statement = match (kind, found) {
        _ if unmigrated => MIGRATE.to_owned(),
        ("index", None) => format!("CREATE INDEX CONCURRENTLY {object} ON {table} USING {definition}"),
        ("index", Some(_)) => {
            format!("DROP INDEX {object}; CREATE INDEX CONCURRENTLY {object} ON {table} USING {definition}")
        }
        ("constraint", None) => format!("ALTER TABLE {table} ADD CONSTRAINT {object} {definition}"),
        ("constraint", Some(_)) => {
            format!("ALTER TABLE {table} DROP CONSTRAINT {object}, ADD CONSTRAINT {object} {definition}")
        }
        ("column", None) => format!("ALTER TABLE {table} ADD COLUMN {object} {definition}"),
        ("column", Some(_)) => format!("ALTER TABLE {table} ALTER COLUMN {object} to this definition"),
        _ => format!("make it again as the migrations do: {definition}"),
    };
    Finding {
        blocks_loading: LOADED.contains(&table) && matches!(kind, "column" | "constraint"),
        what,
        remedy: statement,
    }
}
