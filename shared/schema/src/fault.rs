//! Why a document is refused: for people and for programs.

use crate::{code, syntax::SyntaxError, version::Version};
use serde::Serialize;
use std::fmt;

/// Longest piece of an offending value that is shown, in code points.
const SHOWN: usize = 120;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the document as it was sent; empty for the document itself. For a missing or an unknown
    /// field it points to the object.
    pub pointer: String,
    /// What kind of fault, for programs: one of [`code`], or of the crate that found it.
    pub code: &'static str,
    /// What is wrong and how to put it right.
    pub message: String,
    /// The offending value as JSON text, cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The `id` of the checkout, build, test, issue or incident, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)?;
        if let Some(value) = &self.value {
            write!(f, "; it is {value}")?;
        }
        if let Some(id) = &self.id {
            write!(f, " (in {id})")?;
        }
        Ok(())
    }
}

/// At which gate a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The text is not one JSON document.
    NotJson,
    /// It does not hold to the schema of its version.
    Invalid,
    /// It does, but cannot be upgraded to the newest version.
    NotUpgradable,
    /// It is fine by the schema, but a lab name in it has the wrong type (database.md 6.3).
    BadName,
}

impl Refusal {
    /// The word that programs see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::Invalid => "invalid",
            Self::NotUpgradable => "not_upgradable",
            Self::BadName => "bad_name",
        }
    }

    /// Whether the document passed the schema of its version all the same.
    pub const fn is_valid(self) -> bool {
        matches!(self, Self::NotUpgradable | Self::BadName)
    }
}

/// A refused document: why, and all that is wrong with it up to a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", faults.first().map(ToString::to_string).unwrap_or_default(), more(*fault_count))]
pub struct Rejection {
    /// At which gate.
    pub code: Refusal,
    /// The version that the document names, when there is such a version.
    pub version: Option<Version>,
    /// The first faults, in the order of the document's lists.
    pub faults: Vec<Fault>,
    /// How many there are in all.
    pub fault_count: usize,
}

fn more(count: usize) -> String {
    if count > 1 { format!(" (and {} more faults)", count - 1) } else { String::new() }
}

impl From<SyntaxError> for Rejection {
    fn from(error: SyntaxError) -> Self {
        let fault = Fault {
            pointer: String::new(),
            code: code::NOT_JSON,
            message: format!("this is not a JSON document: {error}"),
            value: None,
            id: None,
        };
        Self { code: Refusal::NotJson, version: None, faults: vec![fault], fault_count: 1 }
    }
}

/// Collects faults up to a limit and counts all.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    limit: usize,
    pub(crate) list: Vec<Fault>,
    pub(crate) count: usize,
}

impl Faults {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, list: Vec::new(), count: 0 }
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        self.push_with(|| fault);
    }

    /// As [`Faults::push`]; what is beyond the limit is not even made.
    pub(crate) fn push_with(&mut self, fault: impl FnOnce() -> Fault) {
        self.count += 1;
        if self.list.len() < self.limit {
            self.list.push(fault());
        }
    }

    /// Adds those of a later part of the document.
    pub(crate) fn append(&mut self, other: Self) {
        self.count += other.count;
        let room = self.limit.saturating_sub(self.list.len());
        self.list.extend(other.list.into_iter().take(room));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn reject(self, code: Refusal, version: Option<Version>) -> Rejection {
        Rejection { code, version, faults: self.list, fault_count: self.count }
    }
}

/// JSON text cut for showing.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A member name as a step of a JSON pointer.
pub(crate) fn step(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}
