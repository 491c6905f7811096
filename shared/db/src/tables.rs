//! The tables that loading writes: their columns, and the rows that objects become (spec: database.md 5, 7 and 8).
//!
//! A row is an array of values in the order of the table's columns; the key comes first. Merging two rows of one key is the
//! same for all these tables but the two of the newest checkouts: stored value if not NULL, else the new one. Columns that
//! never change are never NULL, so the rule holds for them by itself.

use std::{borrow::Cow, sync::OnceLock};

use schema::{Build, Checkout, Incident, Issue, Json, Test, Texts};

use crate::{
    bulk::{Kind, Value},
    json, timestamp,
};

/// What happens to a column of a row that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    Keep,
    /// It is filled if it is NULL.
    Fill,
    /// It is replaced when the row is newer ([`Table::newest`]).
    Replace,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) change: Change,
    /// The most code points it holds.
    pub(crate) limit: Option<usize>,
}

/// A table with rows of `N` values.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    pub(crate) name: &'static str,
    pub(crate) columns: [Column; N],
    /// Columns of the unique key.
    key: &'static str,
    /// Columns that are not values of the row: name and expression.
    constants: &'static [(&'static str, &'static str)],
    /// The row with the greatest `start_time` wins, the first of several.
    newest: bool,
    statement: OnceLock<(String, String)>,
}

impl<const N: usize> Table<N> {
    /// The statement before and after its parameters, which are one array for each column.
    pub(crate) fn statement(&self) -> (&str, &str) {
        let (head, tail) = self.statement.get_or_init(|| self.build());
        (head, tail)
    }

    fn build(&self) -> (String, String) {
        let list = |words: Vec<String>| words.join(", ");
        let names = || self.columns.iter().map(|column| column.name.to_owned());
        let into = names().chain(self.constants.iter().map(|(name, _)| (*name).to_owned())).collect();
        let select = self
            .columns
            .iter()
            .map(|column| {
                let cast = if column.kind == Kind::Texts { "::text[]" } else { "" };
                format!("new.{}{cast}", column.name)
            })
            .chain(self.constants.iter().map(|(_, value)| (*value).to_owned()))
            .collect();
        let mut changes = Vec::new();
        for Column { name, change, .. } in &self.columns {
            match change {
                Change::Keep => {}
                Change::Fill => changes.push(format!("{name} = coalesce(old.{name}, excluded.{name})")),
                Change::Replace => changes.push(format!("{name} = excluded.{name}")),
            }
        }
        if self.constants == TIMESTAMP {
            changes.push("_timestamp = greatest(old._timestamp, excluded._timestamp)".into());
        }
        let filter = if self.newest { " WHERE old.start_time < excluded.start_time" } else { "" };
        (
            format!("INSERT INTO {} AS old ({}) SELECT {} FROM unnest(", self.name, list(into), list(select)),
            format!(
                ") AS new ({}) ON CONFLICT ({}) DO UPDATE SET {}{filter}",
                list(names().collect()),
                self.key,
                list(changes)
            ),
        )
    }
}

/// The time of the transaction.
const TIMESTAMP: &[(&str, &str)] = &[("_timestamp", "now()")];
/// The counters of a new row; they have no defaults in the database.
const COUNTERS: &[(&str, &str)] = &[
    ("build_pass", "0"),
    ("build_failed", "0"),
    ("build_inc", "0"),
    ("boot_pass", "0"),
    ("boot_failed", "0"),
    ("boot_inc", "0"),
    ("test_pass", "0"),
    ("test_failed", "0"),
    ("test_inc", "0"),
];

/// The most code points of a `log_excerpt`.
const EXCERPT: usize = 16_384;
/// Of an origin and a platform in the derived tables.
const NAME: usize = 100;
/// Of a status and a prefix.
const WORD: usize = 10;

const fn keep(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, change: Change::Keep, limit: None }
}

const fn fill(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, change: Change::Fill, limit: None }
}

const fn replace(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, change: Change::Replace, limit: None }
}

impl Column {
    const fn most(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }
}

const fn table<const N: usize>(
    name: &'static str,
    columns: [Column; N],
    key: &'static str,
    constants: &'static [(&'static str, &'static str)],
    newest: bool,
) -> Table<N> {
    Table { name, columns, key, constants, newest, statement: OnceLock::new() }
}

pub(crate) static CHECKOUTS: Table<21> = table(
    "checkouts",
    [
        keep("id", Kind::Text),
        // The derived tables hold it too.
        keep("origin", Kind::Text).most(NAME),
        fill("tree_name", Kind::Text),
        fill("git_repository_url", Kind::Text),
        fill("git_commit_hash", Kind::Text),
        fill("git_commit_name", Kind::Text),
        fill("git_commit_tags", Kind::Texts),
        fill("git_commit_message", Kind::Text),
        fill("git_repository_branch", Kind::Text),
        fill("git_repository_branch_tip", Kind::Bool),
        fill("patchset_files", Kind::Json),
        fill("patchset_hash", Kind::Text),
        fill("message_id", Kind::Text),
        fill("comment", Kind::Text),
        fill("start_time", Kind::Time),
        fill("origin_builds_finish_time", Kind::Time),
        fill("origin_tests_finish_time", Kind::Time),
        fill("log_url", Kind::Text),
        fill("log_excerpt", Kind::Text).most(EXCERPT),
        fill("valid", Kind::Bool),
        fill("misc", Kind::Json),
    ],
    "id",
    TIMESTAMP,
    false,
);

pub(crate) fn checkout<'r>(checkout: &'r Checkout<'_>) -> [Value<'r>; 21] {
    [
        Value::Text(&checkout.id),
        Value::Text(&checkout.origin),
        text(checkout.tree_name.as_ref()),
        text(checkout.git_repository_url.as_ref()),
        text(checkout.git_commit_hash.as_ref()),
        text(checkout.git_commit_name.as_ref()),
        texts(checkout.git_commit_tags.as_ref()),
        text(checkout.git_commit_message.as_ref()),
        text(checkout.git_repository_branch.as_ref()),
        boolean(checkout.git_repository_branch_tip),
        value(checkout.patchset_files.as_ref()),
        text(checkout.patchset_hash.as_ref()),
        text(checkout.message_id.as_ref()),
        text(checkout.comment.as_ref()),
        time(checkout.start_time.as_ref()),
        time(checkout.origin_builds_finish_time.as_ref()),
        time(checkout.origin_tests_finish_time.as_ref()),
        text(checkout.log_url.as_ref()),
        text(checkout.log_excerpt.as_ref()),
        boolean(checkout.valid),
        value(checkout.misc.as_ref()),
    ]
}

pub(crate) static BUILDS: Table<17> = table(
    "builds",
    [
        keep("id", Kind::Text),
        keep("checkout_id", Kind::Text),
        keep("origin", Kind::Text).most(NAME),
        fill("comment", Kind::Text),
        fill("start_time", Kind::Time),
        fill("duration", Kind::Float),
        fill("architecture", Kind::Text),
        fill("command", Kind::Text),
        fill("compiler", Kind::Text),
        fill("input_files", Kind::Json),
        fill("output_files", Kind::Json),
        fill("config_name", Kind::Text),
        fill("config_url", Kind::Text),
        fill("log_url", Kind::Text),
        fill("log_excerpt", Kind::Text).most(EXCERPT),
        fill("misc", Kind::Json),
        fill("status", Kind::Text).most(WORD),
    ],
    "id",
    TIMESTAMP,
    false,
);

pub(crate) fn build<'r>(build: &'r Build<'_>) -> [Value<'r>; 17] {
    [
        Value::Text(&build.id),
        Value::Text(&build.checkout_id),
        Value::Text(&build.origin),
        text(build.comment.as_ref()),
        time(build.start_time.as_ref()),
        float(build.duration),
        text(build.architecture.as_ref()),
        text(build.command.as_ref()),
        text(build.compiler.as_ref()),
        value(build.input_files.as_ref()),
        value(build.output_files.as_ref()),
        text(build.config_name.as_ref()),
        text(build.config_url.as_ref()),
        text(build.log_url.as_ref()),
        text(build.log_excerpt.as_ref()),
        value(build.misc.as_ref()),
        text(build.status.as_ref()),
    ]
}

pub(crate) static TESTS: Table<19> = table(
    "tests",
    [
        keep("id", Kind::Text),
        keep("build_id", Kind::Text),
        keep("origin", Kind::Text).most(NAME),
        fill("environment_comment", Kind::Text),
        fill("environment_compatible", Kind::Texts),
        fill("environment_misc", Kind::Json),
        fill("path", Kind::Text),
        fill("comment", Kind::Text),
        fill("log_url", Kind::Text),
        fill("log_excerpt", Kind::Text).most(EXCERPT),
        fill("status", Kind::Text).most(WORD),
        fill("number_value", Kind::Float),
        fill("number_prefix", Kind::Text).most(WORD),
        fill("number_unit", Kind::Text),
        fill("start_time", Kind::Time),
        fill("duration", Kind::Float),
        fill("input_files", Kind::Json),
        fill("output_files", Kind::Json),
        fill("misc", Kind::Json),
    ],
    "id",
    TIMESTAMP,
    false,
);

pub(crate) fn test<'r>(test: &'r Test<'_>) -> [Value<'r>; 19] {
    let environment = test.environment.as_ref();
    let number = test.number.as_ref();
    [
        Value::Text(&test.id),
        Value::Text(&test.build_id),
        Value::Text(&test.origin),
        text(environment.and_then(|environment| environment.comment.as_ref())),
        texts(environment.and_then(|environment| environment.compatible.as_ref())),
        value(environment.and_then(|environment| environment.misc.as_ref())),
        text(test.path.as_ref()),
        text(test.comment.as_ref()),
        text(test.log_url.as_ref()),
        text(test.log_excerpt.as_ref()),
        text(test.status.as_ref()),
        float(number.map(|number| number.value)),
        text(number.and_then(|number| number.prefix.as_ref())),
        text(number.and_then(|number| number.unit.as_ref())),
        time(test.start_time.as_ref()),
        float(test.duration),
        value(test.input_files.as_ref()),
        value(test.output_files.as_ref()),
        value(test.misc.as_ref()),
    ]
}

pub(crate) static ISSUES: Table<11> = table(
    "issues",
    [
        keep("id", Kind::Text),
        keep("version", Kind::Int),
        keep("origin", Kind::Text),
        fill("report_url", Kind::Text),
        fill("report_subject", Kind::Text),
        fill("culprit_code", Kind::Bool),
        fill("culprit_tool", Kind::Bool),
        fill("culprit_harness", Kind::Bool),
        fill("comment", Kind::Text),
        fill("misc", Kind::Json),
        fill("categories", Kind::Texts),
    ],
    "id",
    TIMESTAMP,
    false,
);

pub(crate) fn issue<'r>(issue: &'r Issue<'_>) -> [Value<'r>; 11] {
    let culprit = issue.culprit.unwrap_or_default();
    [
        Value::Text(&issue.id),
        int(issue.version),
        Value::Text(&issue.origin),
        text(issue.report_url.as_ref()),
        text(issue.report_subject.as_ref()),
        boolean(culprit.code),
        boolean(culprit.tool),
        boolean(culprit.harness),
        text(issue.comment.as_ref()),
        value(issue.misc.as_ref()),
        texts(issue.categories.as_ref()),
    ]
}

pub(crate) static INCIDENTS: Table<9> = table(
    "incidents",
    [
        keep("id", Kind::Text),
        keep("origin", Kind::Text),
        keep("issue_id", Kind::Text),
        keep("issue_version", Kind::Int),
        fill("build_id", Kind::Text),
        fill("test_id", Kind::Text),
        fill("present", Kind::Bool),
        fill("comment", Kind::Text),
        fill("misc", Kind::Json),
    ],
    "id",
    TIMESTAMP,
    false,
);

pub(crate) fn incident<'r>(incident: &'r Incident<'_>) -> [Value<'r>; 9] {
    [
        Value::Text(&incident.id),
        Value::Text(&incident.origin),
        Value::Text(&incident.issue_id),
        int(incident.issue_version),
        text(incident.build_id.as_ref()),
        text(incident.test_id.as_ref()),
        boolean(incident.present),
        text(incident.comment.as_ref()),
        value(incident.misc.as_ref()),
    ]
}

pub(crate) static LATEST_CHECKOUT: Table<6> = table(
    "latest_checkout",
    [
        keep("origin", Kind::Text),
        keep("tree_name", Kind::Text),
        keep("git_repository_url", Kind::Text),
        keep("git_repository_branch", Kind::Text),
        replace("checkout_id", Kind::Text),
        replace("start_time", Kind::Time),
    ],
    "origin, tree_name, git_repository_url, git_repository_branch",
    &[],
    true,
);

pub(crate) static TREE_LISTING: Table<9> = table(
    "tree_listing",
    [
        keep("origin", Kind::Text),
        keep("tree_name", Kind::Text),
        keep("git_repository_url", Kind::Text),
        keep("git_repository_branch", Kind::Text),
        keep("git_commit_hash", Kind::Text),
        replace("git_commit_name", Kind::Text),
        replace("git_commit_tags", Kind::Texts),
        replace("checkout_id", Kind::Text),
        replace("start_time", Kind::Time),
    ],
    "origin, tree_name, git_repository_url, git_repository_branch, git_commit_hash",
    COUNTERS,
    true,
);

pub(crate) static PENDING_TEST: Table<11> = table(
    "pending_test",
    [
        keep("test_id", Kind::Text),
        keep("origin", Kind::Text),
        fill("platform", Kind::Text),
        fill("compatible", Kind::Texts),
        keep("build_id", Kind::Text),
        fill("status", Kind::Text),
        keep("is_boot", Kind::Bool),
        fill("full_status", Kind::Text),
        fill("lab", Kind::Text),
        fill("path", Kind::Text),
        fill("start_time", Kind::Time),
    ],
    "test_id",
    &[],
    false,
);

/// The parts of a pending test that are taken out of `misc`, so that a row can borrow them.
pub(crate) struct Taken<'r> {
    platform: Option<Cow<'r, str>>,
    lab: Option<Cow<'r, str>>,
}

pub(crate) fn taken<'r>(test: &'r Test<'_>) -> Taken<'r> {
    Taken { platform: platform(test), lab: test.misc.as_ref().and_then(|misc| json::member(misc.as_str(), "runtime")) }
}

/// The platform that a test ran on, as text.
pub(crate) fn platform<'r>(test: &'r Test<'_>) -> Option<Cow<'r, str>> {
    let misc = test.environment.as_ref()?.misc.as_ref()?;
    json::member(misc.as_str(), "platform")
}

/// The most code points of a platform.
pub(crate) const PLATFORM: usize = NAME;

pub(crate) fn pending_test<'r>(test: &'r Test<'_>, taken: &'r Taken<'r>) -> [Value<'r>; 11] {
    let path = test.path.as_deref();
    [
        Value::Text(&test.id),
        Value::Text(&test.origin),
        text(taken.platform.as_ref()),
        texts(test.environment.as_ref().and_then(|environment| environment.compatible.as_ref())),
        Value::Text(&test.build_id),
        simple(test.status.as_deref()),
        Value::Bool(path.is_some_and(|path| path == "boot" || path.starts_with("boot."))),
        text(test.status.as_ref()),
        text(taken.lab.as_ref()),
        text(test.path.as_ref()),
        time(test.start_time.as_ref()),
    ]
}

pub(crate) static PENDING_BUILDS: Table<4> = table(
    "pending_builds",
    [
        keep("build_id", Kind::Text),
        keep("origin", Kind::Text),
        keep("checkout_id", Kind::Text),
        fill("status", Kind::Text),
    ],
    "build_id",
    &[],
    false,
);

pub(crate) fn pending_build<'r>(build: &'r Build<'_>) -> [Value<'r>; 4] {
    [
        Value::Text(&build.id),
        Value::Text(&build.origin),
        Value::Text(&build.checkout_id),
        simple(build.status.as_deref()),
    ]
}

/// A status as the aggregation counts it: passed, failed, inconclusive.
fn simple(status: Option<&str>) -> Value<'static> {
    match status {
        None => Value::Null,
        Some("PASS") => Value::Text("P"),
        Some("FAIL") => Value::Text("F"),
        Some(_) => Value::Text("I"),
    }
}

pub(crate) fn text<'r>(text: Option<&'r Cow<'_, str>>) -> Value<'r> {
    text.map_or(Value::Null, |text| Value::Text(text))
}

pub(crate) fn texts<'r>(texts: Option<&'r Texts<'_>>) -> Value<'r> {
    texts.map_or(Value::Null, Value::Texts)
}

pub(crate) fn time<'r>(text: Option<&'r Cow<'_, str>>) -> Value<'r> {
    text.map_or(Value::Null, |text| timestamp::parse(text).map_or(Value::Misfit(text), Value::Time))
}

fn value<'r>(json: Option<&'r Json<'_>>) -> Value<'r> {
    json.map_or(Value::Null, |json| Value::Json(json.as_str()))
}

fn float(number: Option<f64>) -> Value<'static> {
    number.map_or(Value::Null, Value::Float)
}

fn boolean(value: Option<bool>) -> Value<'static> {
    value.map_or(Value::Null, Value::Bool)
}

fn int(number: i64) -> Value<'static> {
    i32::try_from(number).map_or(Value::Misfit("too large"), Value::Int)
}
