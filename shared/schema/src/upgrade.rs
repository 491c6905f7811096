//! The upgrade of one object, step by step, to 5.3 (spec/io-schema.md section 5).
//!
//! Invariants: the object was valid in the version it comes from; what no step names keeps its exact text. What concerns
//! the whole document is in `run.rs` and `upgraded.rs`.

use crate::{
    classes,
    members::{Members, quoted, settle},
    object::{Incident, Issue},
    read::Cursor,
    version::Version,
};
use std::borrow::Cow;

/// The issue that stands for "this test was waived" of the versions before 5.0.
pub(crate) const WAIVED: &str = "_:waived";
pub(crate) const WAIVED_ORIGIN: &str = "_";
pub(crate) const WAIVED_COMMENT: &str = "Test waived as unreliable";

/// The lists of a document, as named from 4.0 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Checkouts,
    Builds,
    Tests,
    Issues,
    Incidents,
}

impl List {
    /// In the order of the object graph.
    pub(crate) const ALL: [Self; 5] = [Self::Checkouts, Self::Builds, Self::Tests, Self::Issues, Self::Incidents];

    /// The name in a document of that version.
    pub(crate) fn name(self, version: Version) -> &'static str {
        match self {
            Self::Checkouts if version.major < 4 => "revisions",
            Self::Checkouts => "checkouts",
            Self::Builds => "builds",
            Self::Tests => "tests",
            Self::Issues => "issues",
            Self::Incidents => "incidents",
        }
    }
}

/// Why an object cannot be upgraded.
#[derive(Debug)]
pub(crate) struct Impossible {
    /// The field, as it is called when the upgrade gets stuck.
    pub(crate) field: String,
    pub(crate) message: &'static str,
    /// Its value.
    pub(crate) value: String,
}

/// What a field of 5.3 was called in a version.
pub(crate) fn sent_name(field: &str, version: Version) -> &str {
    match (field, version.major) {
        ("id", 1) => "origin_id",
        ("build_id", 1) => "build_origin_id",
        ("checkout_id", 1) => "revision_origin_id",
        ("checkout_id", 2 | 3) => "revision_id",
        ("git_commit_hash", 1 | 2) => "git_repository_commit_hash",
        ("git_commit_name", 1 | 2) => "git_repository_commit_name",
        ("patchset_files", 1..=3) => "patch_mboxes",
        ("comment", 1..=3) => "description",
        _ => field,
    }
}

/// Upgrades an object from a version. True for a test that was waived.
pub(crate) fn upgrade(list: List, from: Version, object: &mut Members<'_>) -> Result<bool, Impossible> {
    if from.major < 2 {
        to_2(list, object);
    }
    if from.major < 3 {
        to_3(list, object)?;
    }
    if from.major < 4 {
        to_4(list, object);
    }
    if from.major < 5 { to_5(list, object) } else { Ok(false) }
}

/// Identities become one field; names of files lose their slashes.
fn to_2(list: List, object: &mut Members<'_>) {
    let mut join = |field, origin, id| {
        let id = format!("{}:{}", object.take_text(origin), object.take_text(id));
        object.set_text(field, &id);
    };
    join("id", "origin", "origin_id");
    match list {
        List::Builds => join("revision_id", "revision_origin", "revision_origin_id"),
        List::Tests => join("build_id", "build_origin", "build_origin_id"),
        _ => {}
    }
    for files in ["patch_mboxes", "input_files", "output_files"] {
        if let Some(value) = object.0.get_mut(files) {
            *value = Cow::Owned(without_slashes(value));
        }
    }
}

fn without_slashes(files: &str) -> String {
    let mut renamed = Vec::new();
    Cursor::new(files).list(|cursor| {
        let mut file = Members::parse(cursor.raw(), |_| true)?;
        let name = file.take_text("name").replace('/', "_");
        file.set_text("name", &name);
        renamed.push(file.to_json());
        Some(())
    });
    format!("[{}]", renamed.join(","))
}

/// The origin comes back; revisions are named by their hash alone.
fn to_3(list: List, object: &mut Members<'_>) -> Result<(), Impossible> {
    let id = object.text("id").unwrap_or_default().into_owned();
    let (origin, rest) = id.split_once(':').unwrap_or((&id, ""));
    if origin.ends_with('\n') || !classes::name1(origin) {
        let message =
            "the origin has to be lower-case letters a-z, digits and underscores, at least one, to be upgraded";
        return Err(Impossible { field: "origin".to_owned(), message, value: quoted(origin) });
    }
    object.set_text("origin", origin);
    match list {
        List::Checkouts => object.set_text("id", rest),
        List::Builds => {
            let revision = object.take_text("revision_id");
            object.set_text("revision_id", revision.split_once(':').map_or("", |(_, rest)| rest));
        }
        _ => {}
    }
    object.rename("git_repository_commit_hash", "git_commit_hash");
    object.rename("git_repository_commit_name", "git_commit_name");
    Ok(())
}

/// Revisions become checkouts.
fn to_4(list: List, object: &mut Members<'_>) {
    let origin = object.text("origin").unwrap_or_default().into_owned();
    match list {
        List::Checkouts => {
            let id = format!("_:{origin}:{}", object.take_text("id"));
            object.set_text("patchset_hash", id.split('+').nth(1).unwrap_or_default());
            object.set_text("id", &id);
            object.rename("patch_mboxes", "patchset_files");
            object.rename("discovery_time", "start_time");
            object.0.remove("publishing_time");
        }
        List::Builds => {
            let id = format!("_:{origin}:{}", object.take_text("revision_id"));
            object.set_text("checkout_id", &id);
        }
        _ => {}
    }
    object.rename("description", "comment");
    if let Some(environment) = object.0.get_mut("environment") {
        let renamed = Members::parse(environment, |_| true).map(|mut environment| {
            environment.rename("description", "comment");
            environment.to_json()
        });
        if let Some(renamed) = renamed {
            *environment = Cow::Owned(renamed);
        }
    }
}

/// No U+0000, verdicts become statuses, waived tests become known issues.
fn to_5(list: List, object: &mut Members<'_>) -> Result<bool, Impossible> {
    let mut waived = false;
    match list {
        List::Checkouts => {
            object.0.remove("contacts");
            if object.text("git_repository_url").is_some_and(|url| !url.starts_with("https://")) {
                let message =
                    "only https:// repositories exist from version 5.0 on; give the https:// URL of the repository";
                return Err(Impossible {
                    field: "git_repository_url".to_owned(),
                    message,
                    value: shown(object, "git_repository_url"),
                });
            }
        }
        List::Builds => {
            if let Some(valid) = object.0.remove("valid") {
                object.set_text("status", if valid == "true" { "PASS" } else { "FAIL" });
            }
        }
        List::Tests => {
            if object.text("path").is_some_and(|path| !classes::path5(&path)) {
                let message =
                    "from version 5.0 on a path is words joined by single dots, none of them empty; correct the path";
                return Err(Impossible { field: "path".to_owned(), message, value: shown(object, "path") });
            }
            waived = object.0.remove("waived").is_some_and(|waived| waived == "true");
        }
        List::Issues => {
            object.0.remove("build_valid");
            object.0.remove("test_status");
        }
        List::Incidents => {}
    }
    match object.0.iter().find(|(name, value)| *name != "misc" && has_nul(value)) {
        Some((field, value)) => {
            let message =
                "a text in this field has a U+0000 character, which nothing can store from version 5.0 on; remove it";
            Err(Impossible { field: field.to_string(), message, value: value.to_string() })
        }
        None => Ok(waived),
    }
}

fn shown(object: &Members<'_>, field: &str) -> String {
    object.0.get(field).map(ToString::to_string).unwrap_or_default()
}

/// Whether a string in the value decodes to something with U+0000, `misc` apart. As deep as the schema, which is little.
/// Of repeated names only the last counts.
fn has_nul(value: &str) -> bool {
    fn walk(cursor: &mut Cursor<'_>) -> bool {
        let mut found = false;
        match cursor.peek() {
            b'"' => return cursor.string().is_some_and(|text| text.contains('\0')),
            b'[' => cursor.list(|cursor| {
                found |= walk(cursor);
                Some(())
            }),
            b'{' => cursor.object(|cursor, name| {
                if name == "misc" {
                    cursor.raw();
                } else {
                    found |= walk(cursor);
                }
                Some(())
            }),
            _ => {
                cursor.raw();
                None
            }
        };
        found
    }
    value.contains("\\u0000") && {
        let mut settled = String::new();
        settle(value, &mut settled);
        walk(&mut Cursor::new(&settled))
    }
}

/// The issue that says that tests were waived.
pub(crate) fn waived_issue(index: usize) -> Issue<'static> {
    Issue {
        id: Cow::Borrowed(WAIVED),
        version: 1,
        origin: Cow::Borrowed(WAIVED_ORIGIN),
        timestamp: None,
        categories: None,
        report_url: None,
        report_subject: None,
        culprit: None,
        comment: Some(Cow::Borrowed(WAIVED_COMMENT)),
        misc: None,
        index,
    }
}

/// The incident for a test that was waived.
pub(crate) fn waived_incident(index: usize, test: &str) -> Incident<'static> {
    Incident {
        id: Cow::Owned(format!("{WAIVED}:1:{test}")),
        origin: Cow::Borrowed(WAIVED_ORIGIN),
        issue_id: Cow::Borrowed(WAIVED),
        issue_version: 1,
        timestamp: None,
        build_id: None,
        test_id: Some(Cow::Owned(test.to_owned())),
        present: Some(true),
        comment: None,
        misc: None,
        index,
    }
}
