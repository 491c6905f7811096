//! The ledger: one row per submission that says what became of it.
//!
//! Entries are what somebody learned at some time; they arrive in any order and more than once, and the row ends the same:
//! - the state only moves forward: received < retrying < dead < rejected < ingested. What was set aside can be taken up
//!   again by an operator and still succeed; what is in the tables stays ingested, whatever is said later;
//! - what belongs to the state (its time, code, reason, errors, counts) comes with the entry of the highest state, and of
//!   two with the same state from the newer one;
//! - facts of the submission (file name, origin, size, …) stay as who knew them first told them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    sql_types::{BigInt, Integer, Jsonb, Nullable, Text, Timestamptz},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use crate::{
    Error,
    bulk::{Bulk, Column, Kind, Value},
};

/// Faults kept of a rejected document.
pub const MAX_ERRORS: usize = 20;

/// Rows of one statement.
const CHUNK: usize = 1000;

/// How far a submission got; the order is that in which a row may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, diesel::deserialize::FromSqlRow)]
pub enum State {
    /// Durable in the spool.
    Received,
    /// Loading failed for a reason that passes, and is tried again.
    Retrying,
    /// Given up after too many tries: an operator must look.
    Dead,
    /// The document cannot be loaded.
    Rejected,
    /// The document is in the tables.
    Ingested,
}

impl State {
    const ALL: [Self; 5] = [Self::Received, Self::Retrying, Self::Dead, Self::Rejected, Self::Ingested];

    /// The word of this state, as in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
            Self::Rejected => "rejected",
            Self::Ingested => "ingested",
        }
    }

    /// Nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        self >= Self::Dead
    }
}

impl FromSql<Text, Pg> for State {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let word: String = FromSql::<Text, Pg>::from_sql(value)?;
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| format!("state {word}").into())
    }
}

/// What somebody learned about a submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The submission's id; the file name for a file that was put into the spool by hand.
    pub id: String,
    /// The state that this entry tells.
    pub state: State,
    /// When the submission got there.
    pub at: DateTime<Utc>,
    /// File name in the spool.
    pub name: Option<String>,
    /// Origin that the submission is of.
    pub origin: Option<String>,
    /// Size of the document in bytes.
    pub size_bytes: Option<i64>,
    /// SHA-256 of the document, lower-case hex.
    pub sha256: Option<String>,
    /// I/O schema version of the document.
    pub version: Option<String>,
    /// When the gateway made it durable.
    pub received_at: Option<DateTime<Utc>>,
    /// How often loading was tried so far; the row keeps the greatest.
    pub attempts: i32,
    /// Why it is in this state: a word of the closed list of reasons.
    pub code: Option<String>,
    /// The same in a sentence.
    pub reason: Option<String>,
    /// Faults of a rejected document, as JSON objects; only the first [`MAX_ERRORS`] are kept.
    pub errors: Vec<serde_json::Value>,
    /// How many faults there are in all.
    pub error_count: i32,
    /// Objects loaded, by list name.
    pub objects: BTreeMap<String, i64>,
}

impl Entry {
    /// An entry that tells a state and nothing else.
    pub fn new(id: impl Into<String>, state: State, at: DateTime<Utc>) -> Self {
        Self {
            id: id.into(),
            state,
            at,
            name: None,
            origin: None,
            size_bytes: None,
            sha256: None,
            version: None,
            received_at: None,
            attempts: 0,
            code: None,
            reason: None,
            errors: Vec::new(),
            error_count: 0,
            objects: BTreeMap::new(),
        }
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Row {
    /// The submission's id, or the file name for a file that was put into the spool by hand.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// How far it got.
    #[diesel(sql_type = Text)]
    pub state: State,
    /// When it got there.
    #[diesel(sql_type = Timestamptz)]
    pub state_at: DateTime<Utc>,
    /// The time of the newest entry, whatever its state.
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// When the gateway made it durable.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub received_at: Option<DateTime<Utc>>,
    /// File name in the spool.
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    /// Origin that the submission is of.
    #[diesel(sql_type = Nullable<Text>)]
    pub origin: Option<String>,
    /// Size of the document in bytes.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub size_bytes: Option<i64>,
    /// SHA-256 of the document, lower-case hex.
    #[diesel(sql_type = Nullable<Text>)]
    pub sha256: Option<String>,
    /// I/O schema version of the document.
    #[diesel(sql_type = Nullable<Text>)]
    pub version: Option<String>,
    /// How often loading was tried.
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    /// Why it is in this state: a word of the closed list of reasons.
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
    /// The same in a sentence.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// The first faults of a rejected document: a list of JSON objects.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub errors: Option<serde_json::Value>,
    /// How many faults there are in all.
    #[diesel(sql_type = Integer)]
    pub error_count: i32,
    /// Objects loaded: list name → count.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub objects: Option<serde_json::Value>,
}

/// What a column does when the row is there.
#[derive(Clone, Copy)]
enum Rule {
    Key,
    /// Comes with the entry whose state and time win.
    WithState,
    /// Stays as first told.
    Fact,
    Greatest,
    Least,
}

/// Name, type and rule of each column.
const COLUMNS: [(&str, Kind, Rule); 16] = [
    ("id", Kind::Text, Rule::Key),
    ("state", Kind::Text, Rule::WithState),
    ("state_at", Kind::Time, Rule::WithState),
    ("updated_at", Kind::Time, Rule::Greatest),
    ("received_at", Kind::Time, Rule::Least),
    ("name", Kind::Text, Rule::Fact),
    ("origin", Kind::Text, Rule::Fact),
    ("size_bytes", Kind::BigInt, Rule::Fact),
    ("sha256", Kind::Text, Rule::Fact),
    ("version", Kind::Text, Rule::Fact),
    ("attempts", Kind::Int, Rule::Greatest),
    ("code", Kind::Text, Rule::WithState),
    ("reason", Kind::Text, Rule::WithState),
    ("errors", Kind::Json, Rule::WithState),
    ("error_count", Kind::Int, Rule::WithState),
    ("objects", Kind::Json, Rule::WithState),
];

/// Head and tail of the statement around its parameters.
static STATEMENT: LazyLock<(String, String)> = LazyLock::new(|| {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, ..)| *name).collect();
    let names = names.join(", ");
    let order: Vec<String> = State::ALL.iter().map(|state| format!("'{}'", state.as_str())).collect();
    let rank = |row: &str| format!("array_position(ARRAY[{}], {row}.state), {row}.state_at", order.join(", "));
    let wins = format!("({}) >= ({})", rank("excluded"), rank("old"));
    let changes: Vec<String> = COLUMNS
        .iter()
        .filter_map(|(name, _, rule)| {
            Some(match rule {
                Rule::Key => return None,
                Rule::WithState => format!("{name} = CASE WHEN {wins} THEN excluded.{name} ELSE old.{name} END"),
                Rule::Fact => format!("{name} = coalesce(old.{name}, excluded.{name})"),
                Rule::Greatest => format!("{name} = greatest(old.{name}, excluded.{name})"),
                Rule::Least => format!("{name} = least(old.{name}, excluded.{name})"),
            })
        })
        .collect();
    (
        format!("INSERT INTO kcidb_ng.submissions AS old ({names}) SELECT {names} FROM unnest("),
        format!(") AS new ({names}) ON CONFLICT (id) DO UPDATE SET {}", changes.join(", ")),
    )
});

/// Writes entries, however many, in any order, new or known.
///
/// # Errors
/// See [`Error`]; nothing in an entry can make it [`Error::Data`] but a NUL in a text.
pub async fn record(connection: &mut AsyncPgConnection, entries: &[Entry]) -> Result<(), Error> {
    for round in rounds(entries) {
        for rows in round.chunks(CHUNK) {
            let columns = columns(rows);
            let (head, tail) = &*STATEMENT;
            Bulk { head, columns: &columns, tail }.execute(connection).await?;
        }
    }
    Ok(())
}

/// A statement may touch a row only once: the first entries of each submission, then the second ones, and so on; each
/// round in the order of ids, so that two writers lock rows in the same order.
fn rounds(entries: &[Entry]) -> Vec<Vec<&Entry>> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut rounds: Vec<Vec<&Entry>> = Vec::new();
    for entry in entries {
        let round = seen.entry(&entry.id).or_default();
        if rounds.len() == *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push(entry);
        *round += 1;
    }
    for round in &mut rounds {
        round.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    }
    rounds
}

fn columns(rows: &[&Entry]) -> Vec<Column> {
    let mut columns: Vec<Column> = COLUMNS.iter().map(|(_, kind, _)| Column::new(*kind)).collect();
    for row in rows {
        let errors = (!row.errors.is_empty())
            .then(|| serde_json::Value::from(row.errors[..row.errors.len().min(MAX_ERRORS)].to_vec()).to_string());
        let objects = (!row.objects.is_empty()).then(|| serde_json::json!(row.objects).to_string());
        let values = [
            Value::Text(&row.id),
            Value::Text(row.state.as_str()),
            time(row.at),
            time(row.at),
            row.received_at.map_or(Value::Null, time),
            text(row.name.as_deref()),
            text(row.origin.as_deref()),
            row.size_bytes.map_or(Value::Null, Value::BigInt),
            text(row.sha256.as_deref()),
            text(row.version.as_deref()),
            Value::Int(row.attempts),
            text(row.code.as_deref()),
            text(row.reason.as_deref()),
            errors.as_deref().map_or(Value::Null, Value::Json),
            Value::Int(row.error_count),
            objects.as_deref().map_or(Value::Null, Value::Json),
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
    }
    columns
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Text)
}

fn time(at: DateTime<Utc>) -> Value<'static> {
    /// Microseconds from 1970 to 2000, where PostgreSQL starts to count.
    const EPOCH: i64 = 946_684_800_000_000;
    Value::Time(at.timestamp_micros() - EPOCH)
}

/// The row of a submission; `None` when the ledger does not know it.
///
/// # Errors
/// See [`Error`].
pub async fn get(connection: &mut AsyncPgConnection, id: &str) -> Result<Option<Row>, Error> {
    let rows: Vec<Row> = diesel::sql_query("SELECT * FROM kcidb_ng.submissions WHERE id = $1")
        .bind::<Text, _>(id)
        .load(connection)
        .await?;
    Ok(rows.into_iter().next())
}
