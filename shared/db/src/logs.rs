//! What became of the logs of failed nodes (a build or a test): one [`Mark`] per node, known issues, and what is left to do.
//!
//! - The mark is written in the transaction that writes the issues and incidents, with the events that tell of them. The
//!   events stay in the mark until they are published, so a crash at any moment neither loses nor invents one.
//! - A node without a mark was never looked at; [`nodes`] finds those.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use crate::Error;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromSqlRow)]
pub enum Kind {
    /// A build.
    Build,
    /// A test.
    Test,
}

impl Kind {
    /// Its word, as in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Test => "test",
        }
    }
}

impl FromSql<Text, Pg> for Kind {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let word: String = FromSql::<Text, Pg>::from_sql(value)?;
        [Self::Build, Self::Test].into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| word.into())
    }
}

/// What became of a node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromSqlRow)]
pub enum Outcome {
    /// It was analysed.
    Analyzed,
    /// It could not be, for the reason in the mark.
    Failed,
    /// The same, for a reason that passes: it is tried again soon.
    Retrying,
    /// The configuration does not pick it.
    Skipped,
}

impl Outcome {
    /// Every outcome there is.
    pub const ALL: [Self; 4] = [Self::Analyzed, Self::Failed, Self::Retrying, Self::Skipped];

    /// Its word, as in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Analyzed => "analyzed",
            Self::Failed => "failed",
            Self::Retrying => "retrying",
            Self::Skipped => "skipped",
        }
    }
}

impl FromSql<Text, Pg> for Outcome {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let word: String = FromSql::<Text, Pg>::from_sql(value)?;
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or_else(|| word.into())
    }
}

/// A node that did not succeed and has a log.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Node {
    /// What it is.
    #[diesel(sql_type = Text)]
    pub kind: Kind,
    /// Its id.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// Its origin.
    #[diesel(sql_type = Text)]
    pub origin: String,
    /// Its status.
    #[diesel(sql_type = Nullable<Text>)]
    pub status: Option<String>,
    /// The place of a test in the tree of tests.
    #[diesel(sql_type = Nullable<Text>)]
    pub path: Option<String>,
    /// Where its log is.
    #[diesel(sql_type = Text)]
    pub log_url: String,
    /// When its row changed last.
    #[diesel(sql_type = Timestamptz)]
    pub changed_at: DateTime<Utc>,
}

/// What became of a node's log.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Mark {
    /// What the node is.
    #[diesel(sql_type = Text)]
    pub kind: Kind,
    /// The node's id.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// The node's origin.
    #[diesel(sql_type = Text)]
    pub origin: String,
    /// The submission that told of it last; none when the sweep found it.
    #[diesel(sql_type = Nullable<Text>)]
    pub submission_id: Option<String>,
    /// Where the log was.
    #[diesel(sql_type = Text)]
    pub log_url: String,
    /// What became of it.
    #[diesel(sql_type = Text)]
    pub outcome: Outcome,
    /// Why it was not analysed.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// How often fetching it was tried.
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// When the sweep tries it again.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub next_try_at: Option<DateTime<Utc>>,
    /// The parser that looked at it.
    #[diesel(sql_type = Nullable<Text>)]
    pub parser: Option<String>,
    /// Its version.
    #[diesel(sql_type = Nullable<Text>)]
    pub parser_version: Option<String>,
    /// SHA-256 of what was analysed, lower-case hex.
    #[diesel(sql_type = Nullable<Text>)]
    pub log_sha256: Option<String>,
    /// Bytes of what was analysed.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub log_bytes: Option<i64>,
    /// The log went on beyond the limit.
    #[diesel(sql_type = Bool)]
    pub is_cut: bool,
    /// What the status of a boot should have been.
    #[diesel(sql_type = Nullable<Text>)]
    pub new_status: Option<String>,
    /// Issues found, known ones included.
    #[diesel(sql_type = Integer)]
    pub issues: i32,
    /// Incidents found.
    #[diesel(sql_type = Integer)]
    pub incidents: i32,
    /// When the mark was made.
    #[diesel(sql_type = Timestamptz)]
    pub analyzed_at: DateTime<Utc>,
    /// Events that are not known to be published: a list of their JSON forms.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub announce: Option<serde_json::Value>,
}

impl Mark {
    /// A mark that says this of a node, and nothing of a log yet.
    pub fn new(node: &Node, submission_id: Option<String>, outcome: Outcome) -> Self {
        Self {
            kind: node.kind,
            id: node.id.clone(),
            origin: node.origin.clone(),
            submission_id,
            log_url: node.log_url.clone(),
            outcome,
            reason: None,
            attempts: 0,
            next_try_at: None,
            parser: None,
            parser_version: None,
            log_sha256: None,
            log_bytes: None,
            is_cut: false,
            new_status: None,
            issues: 0,
            incidents: 0,
            analyzed_at: Utc::now(),
            announce: None,
        }
    }
}

/// The mark of a node.
///
/// # Errors
/// See [`Error`].
pub async fn get(connection: &mut AsyncPgConnection, kind: Kind, id: &str) -> Result<Option<Mark>, Error> {
    let marks: Vec<Mark> = diesel::sql_query("SELECT * FROM kcidb_ng.logs WHERE kind = $1 AND id = $2")
        .bind::<Text, _>(kind.as_str())
        .bind::<Text, _>(id)
        .load(connection)
        .await?;
    Ok(marks.into_iter().next())
}

/// Writes a mark, in the place of the node's last one.
///
/// # Errors
/// See [`Error`].
pub async fn put(connection: &mut AsyncPgConnection, mark: &Mark) -> Result<(), Error> {
    const QUERY: &str = "
        INSERT INTO kcidb_ng.logs (kind, id, origin, submission_id, log_url, outcome, reason, attempts, next_try_at, parser,
            parser_version, log_sha256, log_bytes, is_cut, new_status, issues, incidents, analyzed_at, announce)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
        ON CONFLICT (kind, id) DO UPDATE SET
            submission_id = coalesce(excluded.submission_id, logs.submission_id), log_url = excluded.log_url,
            outcome = excluded.outcome, reason = excluded.reason, attempts = excluded.attempts,
            next_try_at = excluded.next_try_at, parser = excluded.parser, parser_version = excluded.parser_version,
            log_sha256 = excluded.log_sha256, log_bytes = excluded.log_bytes, is_cut = excluded.is_cut,
            new_status = excluded.new_status, issues = excluded.issues, incidents = excluded.incidents,
            analyzed_at = excluded.analyzed_at, announce = excluded.announce";
    diesel::sql_query(QUERY)
        .bind::<Text, _>(mark.kind.as_str())
        .bind::<Text, _>(&mark.id)
        .bind::<Text, _>(&mark.origin)
        .bind::<Nullable<Text>, _>(&mark.submission_id)
        .bind::<Text, _>(&mark.log_url)
        .bind::<Text, _>(mark.outcome.as_str())
        .bind::<Nullable<Text>, _>(&mark.reason)
        .bind::<Integer, _>(mark.attempts)
        .bind::<Nullable<Timestamptz>, _>(mark.next_try_at)
        .bind::<Nullable<Text>, _>(&mark.parser)
        .bind::<Nullable<Text>, _>(&mark.parser_version)
        .bind::<Nullable<Text>, _>(&mark.log_sha256)
        .bind::<Nullable<BigInt>, _>(mark.log_bytes)
        .bind::<Bool, _>(mark.is_cut)
        .bind::<Nullable<Text>, _>(&mark.new_status)
        .bind::<Integer, _>(mark.issues)
        .bind::<Integer, _>(mark.incidents)
        .bind::<Timestamptz, _>(mark.analyzed_at)
        .bind::<Nullable<Jsonb>, _>(&mark.announce)
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks nodes that have no mark as skipped.
///
/// # Errors
/// See [`Error`].
pub async fn skip(
    connection: &mut AsyncPgConnection,
    nodes: &[&Node],
    submission_id: Option<&str>,
    reason: &str,
) -> Result<(), Error> {
    const QUERY: &str = "
        INSERT INTO kcidb_ng.logs (kind, id, origin, log_url, submission_id, outcome, reason, attempts, is_cut, issues,
            incidents, analyzed_at)
        SELECT kind, id, origin, log_url, $5, 'skipped', $6, 0, false, 0, 0, now()
        FROM unnest($1, $2, $3, $4) AS new (kind, id, origin, log_url) ON CONFLICT (kind, id) DO NOTHING";
    if nodes.is_empty() {
        return Ok(());
    }
    let list = |part: fn(&Node) -> &str| nodes.iter().map(|node| part(node)).collect::<Vec<_>>();
    diesel::sql_query(QUERY)
        .bind::<Array<Text>, _>(list(|node| node.kind.as_str()))
        .bind::<Array<Text>, _>(list(|node| &node.id))
        .bind::<Array<Text>, _>(list(|node| &node.origin))
        .bind::<Array<Text>, _>(list(|node| &node.log_url))
        .bind::<Nullable<Text>, _>(submission_id)
        .bind::<Text, _>(reason)
        .execute(connection)
        .await?;
    Ok(())
}

/// The events of a mark are published.
///
/// # Errors
/// See [`Error`].
pub async fn announced(connection: &mut AsyncPgConnection, mark: &Mark) -> Result<(), Error> {
    const QUERY: &str = "UPDATE kcidb_ng.logs SET announce = NULL WHERE kind = $1 AND id = $2 AND analyzed_at = $3 AND announce IS NOT NULL";
    diesel::sql_query(QUERY)
        .bind::<Text, _>(mark.kind.as_str())
        .bind::<Text, _>(&mark.id)
        .bind::<Timestamptz, _>(mark.analyzed_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Locks these numbers until the end of the transaction; two transactions that lock some of the same cannot deadlock.
///
/// # Errors
/// See [`Error`].
pub async fn lock(connection: &mut AsyncPgConnection, mut numbers: Vec<i64>) -> Result<(), Error> {
    numbers.sort_unstable();
    numbers.dedup();
    diesel::sql_query("SELECT pg_advisory_xact_lock(number) FROM unnest($1) AS numbers (number)")
        .bind::<Array<BigInt>, _>(numbers)
        .execute(connection)
        .await?;
    Ok(())
}

/// An issue that is in the database.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct KnownIssue {
    /// The place in the source that was asked for.
    #[diesel(sql_type = Text)]
    pub signature_loc: String,
    /// Its id.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// Its version.
    #[diesel(sql_type = Integer)]
    pub version: i32,
}

/// How the issue of a place in the source is looked up; public so that its plan can be looked at.
pub const KNOWN_ISSUE: &str = "
    SELECT asked.signature_loc, found.id, found.version
    FROM unnest($2::text[]) AS asked (signature_loc)
    CROSS JOIN LATERAL (
        SELECT id, version FROM issues
        WHERE origin = $1 AND misc -> 'logspec' -> 'error' ->> 'signature_loc' = asked.signature_loc
          AND length(misc -> 'logspec' -> 'error' ->> 'signature_loc') = 40 AND _timestamp >= $3
        ORDER BY _timestamp DESC, id LIMIT 1
    ) AS found";

/// The newest issue of each of these places in the source.
///
/// # Errors
/// See [`Error`].
pub async fn known_issues(
    connection: &mut AsyncPgConnection,
    origin: &str,
    signature_locs: &[&str],
    since: DateTime<Utc>,
) -> Result<Vec<KnownIssue>, Error> {
    Ok(diesel::sql_query(KNOWN_ISSUE)
        .bind::<Text, _>(origin)
        .bind::<Array<Text>, _>(signature_locs)
        .bind::<Timestamptz, _>(since)
        .load(connection)
        .await?)
}

/// An issue's row, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct StoredIssue {
    /// Its id.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// When it was loaded last.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub seen_at: Option<DateTime<Utc>>,
}

/// Those of these issues that are in the database.
///
/// # Errors
/// See [`Error`].
pub async fn stored_issues(connection: &mut AsyncPgConnection, ids: &[&str]) -> Result<Vec<StoredIssue>, Error> {
    const QUERY: &str = "SELECT id, _timestamp AS seen_at FROM issues WHERE id = ANY ($1)";
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(diesel::sql_query(QUERY).bind::<Array<Text>, _>(ids).load(connection).await?)
}

/// Those of these incidents that are in the database.
///
/// # Errors
/// See [`Error`].
pub async fn existing_incidents(connection: &mut AsyncPgConnection, ids: &[&str]) -> Result<Vec<String>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        id: String,
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let query = diesel::sql_query("SELECT id FROM incidents WHERE id = ANY ($1)");
    let rows: Vec<Row> = query.bind::<Array<Text>, _>(ids).load(connection).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The incidents of a node that the analyser made: id, and the issue's.
///
/// # Errors
/// See [`Error`].
pub async fn stored_incidents(connection: &mut AsyncPgConnection, node: &Node) -> Result<Vec<(String, String)>, Error> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        id: String,
        #[diesel(sql_type = Text)]
        issue_id: String,
    }
    let query = format!(
        "SELECT n.id, n.issue_id FROM incidents n JOIN issues i ON i.id = n.issue_id
         WHERE n.{}_id = $1 AND i.misc -> 'logspec' IS NOT NULL ORDER BY n.id",
        node.kind.as_str()
    );
    let rows: Vec<Row> = diesel::sql_query(query).bind::<Text, _>(&node.id).load(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.issue_id)).collect())
}

/// Which nodes are asked for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Builds or tests.
    pub kind: Kind,
    /// Rows that changed after this.
    pub since: DateTime<Utc>,
    /// And not after this.
    pub until: DateTime<Utc>,
    /// Of these origins; of every one when absent.
    pub origins: Option<&'a [String]>,
    /// With these statuses.
    pub statuses: &'a [String],
    /// Also nodes that have a mark.
    pub marked: bool,
}

/// Nodes with a log, in the order of their times, after the given one; at most `limit`.
///
/// # Errors
/// See [`Error`].
pub async fn nodes(
    connection: &mut AsyncPgConnection,
    wanted: &Wanted<'_>,
    after: Option<&Node>,
    limit: i64,
) -> Result<Vec<Node>, Error> {
    let (table, path) = match wanted.kind {
        Kind::Build => ("builds", "NULL::text"),
        Kind::Test => ("tests", "path"),
    };
    let kind = wanted.kind.as_str();
    let unmarked = format!("AND NOT EXISTS (SELECT FROM kcidb_ng.logs m WHERE m.kind = '{kind}' AND m.id = n.id)");
    let query = format!(
        "SELECT '{kind}' AS kind, id, origin, status::text AS status, {path} AS path, log_url, _timestamp AS changed_at
         FROM {table} n
         WHERE _timestamp >= $1 AND _timestamp <= $2 AND log_url IS NOT NULL AND status = ANY ($3)
           AND ($4 IS NULL OR origin = ANY ($4)) AND (_timestamp, id) > ($1, $5) {}
         ORDER BY _timestamp, id LIMIT $6",
        if wanted.marked { "" } else { &unmarked }
    );
    Ok(diesel::sql_query(query)
        .bind::<Timestamptz, _>(after.map_or(wanted.since, |node| node.changed_at))
        .bind::<Timestamptz, _>(wanted.until)
        .bind::<Array<Text>, _>(wanted.statuses)
        .bind::<Nullable<Array<Text>>, _>(wanted.origins)
        .bind::<Text, _>(after.map_or("", |node| node.id.as_str()))
        .bind::<BigInt, _>(limit)
        .load(connection)
        .await?)
}

/// Takes what is due, and adds what a mark does not keep of a node: status and path.
const DUE: &str = "
    WITH due AS (
        SELECT kind, id FROM kcidb_ng.logs WHERE next_try_at <= now() ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE kcidb_ng.logs SET next_try_at = now() + interval '1 hour' FROM due
        WHERE logs.kind = due.kind AND logs.id = due.id
        RETURNING logs.kind, logs.id, logs.origin, logs.log_url, logs.analyzed_at
    )
    SELECT c.kind, c.id, c.origin, coalesce(b.status, t.status)::text AS status, t.path, c.log_url,
           c.analyzed_at AS changed_at
    FROM claimed c
    LEFT JOIN builds b ON c.kind = 'build' AND b.id = c.id
    LEFT JOIN tests t ON c.kind = 'test' AND t.id = c.id";

/// Takes nodes whose next try is due; nobody else gets them within the next hour.
///
/// # Errors
/// See [`Error`].
pub async fn take_due(connection: &mut AsyncPgConnection, limit: i64) -> Result<Vec<Node>, Error> {
    Ok(diesel::sql_query(DUE).bind::<BigInt, _>(limit).load(connection).await?)
}

/// Marks made before that time whose events are not known to be published.
///
/// # Errors
/// See [`Error`].
pub async fn unannounced(
    connection: &mut AsyncPgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Mark>, Error> {
    const QUERY: &str =
        "SELECT * FROM kcidb_ng.logs WHERE announce IS NOT NULL AND analyzed_at < $1 ORDER BY analyzed_at LIMIT $2";
    Ok(diesel::sql_query(QUERY).bind::<Timestamptz, _>(before).bind::<BigInt, _>(limit).load(connection).await?)
}

/// A submission has brought a failed node with a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The submission.
    pub submission_id: String,
    /// `build` or `test`.
    pub kind: &'static str,
    /// The node.
    pub id: String,
}

/// Notes which submission brought which nodes; what is noted already stays.
///
/// # Errors
/// See [`Error`].
pub async fn note(connection: &mut AsyncPgConnection, notes: &[Note]) -> Result<(), Error> {
    const QUERY: &str = "
        INSERT INTO kcidb_ng.submission_logs (submission_id, kind, id)
        SELECT * FROM unnest($1, $2, $3) ON CONFLICT DO NOTHING";
    if notes.is_empty() {
        return Ok(());
    }
    let mut notes: Vec<&Note> = notes.iter().collect();
    notes.sort_unstable();
    let list = |part: fn(&Note) -> &str| notes.iter().map(|note| part(note)).collect::<Vec<_>>();
    diesel::sql_query(QUERY)
        .bind::<Array<Text>, _>(list(|note| &note.submission_id))
        .bind::<Array<Text>, _>(list(|note| note.kind))
        .bind::<Array<Text>, _>(list(|note| &note.id))
        .execute(connection)
        .await?;
    Ok(())
}

/// So many nodes of a submission ended so.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Count {
    /// What became of their logs; none when nothing did yet.
    #[diesel(sql_type = Nullable<Text>)]
    pub outcome: Option<Outcome>,
    /// Why not analysed.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// What became of the logs of a submission's failed nodes.
///
/// # Errors
/// See [`Error`].
pub async fn of_submission(connection: &mut AsyncPgConnection, submission_id: &str) -> Result<Vec<Count>, Error> {
    const QUERY: &str = "
        SELECT l.outcome, l.reason, count(*) AS count
        FROM kcidb_ng.submission_logs s LEFT JOIN kcidb_ng.logs l ON l.kind = s.kind AND l.id = s.id
        WHERE s.submission_id = $1 GROUP BY l.outcome, l.reason ORDER BY l.outcome, l.reason";
    Ok(diesel::sql_query(QUERY).bind::<Text, _>(submission_id).load(connection).await?)
}
