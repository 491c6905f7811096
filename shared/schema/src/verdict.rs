//! The whole answer about one document, as `kcidb validate --json` prints it and the gateway's validation answers it.

use crate::{
    document::Document,
    fault::{Fault, Rejection},
    object::Counts,
    options::Options,
    upgraded::Upgraded,
    version::Version,
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

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
    /// The document in the newest version, when that was asked for and it is accepted.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_it_is")]
    pub upgraded: Option<String>,
}

impl Verdict {
    /// The verdict on a text.
    pub fn of(text: &[u8], options: &Options) -> Self {
        Document::open(text).map_or_else(Self::from, |document| Self::of_document(&document, options))
    }

    /// The verdict on an opened document.
    pub fn of_document(document: &Document<'_>, options: &Options) -> Self {
        document.check(options).map_or_else(Self::from, |counts| Self::accepted(document, counts))
    }

    /// The verdict on an accepted document.
    pub(crate) fn accepted(document: &Document<'_>, counts: Counts) -> Self {
        Self {
            valid: true,
            accepted: true,
            version: document.version(),
            counts: Some(counts),
            faults: Vec::new(),
            fault_count: 0,
            upgraded: None,
        }
    }

    /// The verdict on a text, with the upgraded document.
    pub fn with_upgraded(text: &[u8], options: &Options) -> Self {
        let document = match Document::open(text) {
            Ok(document) => document,
            Err(rejection) => return rejection.into(),
        };
        let upgraded = |upgraded: Upgraded<'_, '_>| Self { upgraded: Some(upgraded.to_string()), ..upgraded.verdict() };
        document.upgrade(options).map_or_else(Self::from, upgraded)
    }
}

/// JSON text stays as it is.
#[expect(clippy::ref_option, reason = "serde wants it so")]
fn as_it_is<S: Serializer>(json: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let raw: Option<&RawValue> =
        json.as_deref().map(serde_json::from_str).transpose().map_err(serde::ser::Error::custom)?;
    raw.serialize(serializer)
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
            upgraded: None,
        }
    }
}
