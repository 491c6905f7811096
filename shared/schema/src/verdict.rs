//! The whole answer about one document, as `kcidb validate --json` prints it and the gateway's validation answers it.

use crate::{
    document::Document,
    fault::{Fault, Rejection},
    object::Counts,
    options::Options,
    version::Version,
};
use serde::Serialize;

/// What is to be said about a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it holds to the schema of its version.
    pub valid: bool,
    /// Whether it is valid and can be upgraded: what is loaded.
    pub accepted: bool,
    /// The version it names, when there is such a version.
    pub version: Option<Version>,
    /// Objects after the upgrade, when it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// The first faults.
    pub faults: Vec<Fault>,
    /// How many there are in all.
    pub fault_count: usize,
}

impl Verdict {
    /// The verdict on a text.
    pub fn of(text: &[u8], options: &Options) -> Self {
        Document::open(text).map_or_else(Self::from, |document| Self::of_document(&document, options))
    }

    /// The verdict on an opened document.
    pub fn of_document(document: &Document<'_>, options: &Options) -> Self {
        let accepted = |counts| Self {
            valid: true,
            accepted: true,
            version: document.version(),
            counts: Some(counts),
            faults: Vec::new(),
            fault_count: 0,
        };
        document.check(options).map_or_else(Self::from, accepted)
    }
}

impl From<Rejection> for Verdict {
    fn from(rejection: Rejection) -> Self {
        Self {
            valid: rejection.code.is_valid(),
            accepted: false,
            version: rejection.version,
            counts: None,
            faults: rejection.faults,
            fault_count: rejection.fault_count,
        }
    }
}
