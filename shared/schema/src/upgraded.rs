//! An accepted document, written in the newest version.
//!
//! Invariant: memory does not depend on the document; pieces of its lists are upgraded once more while it is written.

use crate::{
    document::Document,
    lane::{Lane, Want},
    members::quoted,
    object::Counts,
    options::Options,
    run::run_batch,
    upgrade::{List, WAIVED, WAIVED_COMMENT, WAIVED_ORIGIN},
    verdict::Verdict,
    version::Version,
};
use std::{
    fmt,
    io::{self, Write},
};

/// What [`Document::upgrade`] gives.
#[derive(Debug)]
pub struct Upgraded<'d, 'a> {
    pub(crate) document: &'d Document<'a>,
    pub(crate) options: Options,
    pub(crate) counts: Counts,
    /// Ids of the tests that were waived.
    pub(crate) waived: Vec<String>,
}

impl Upgraded<'_, '_> {
    /// How many objects there are.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The verdict on the document: it is accepted.
    pub fn verdict(&self) -> Verdict {
        Verdict::accepted(self.document, self.counts)
    }

    /// Writes it as JSON text, without white space at its end.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Version { major, minor } = Version::NEWEST;
        write!(out, r#"{{"version":{{"major":{major},"minor":{minor}}}"#)?;
        let version = self.document.judged_as();
        for list in List::ALL {
            let member = self.document.member(list.name(version));
            let added = self.added(list);
            if member.is_none() && added.is_empty() {
                continue;
            }
            write!(out, r#","{}":"#, list.name(Version::NEWEST))?;
            match member {
                Some(member) if version.major == Version::NEWEST.major => {
                    out.write_all(self.document.raw(member).as_bytes())?;
                }
                _ => self.write_list(list, added, out)?,
            }
        }
        out.write_all(b"}")
    }

    /// Writes a list of an older version.
    fn write_list(&self, list: List, added: Vec<String>, out: &mut impl Write) -> io::Result<()> {
        let lane = Lane { version: self.document.judged_as(), options: &self.options, want: Want::Text };
        let segments: Vec<_> = self.document.segments().into_iter().filter(|segment| segment.list == list).collect();
        let batches = segments.chunks(self.document.threads(&self.options));
        let sent = batches.flat_map(|batch| run_batch(lane, batch)).map(|part| part.text);
        let mut separator = "[";
        for text in sent.chain(added) {
            write!(out, "{separator}{text}")?;
            separator = ",";
        }
        write!(out, "{}]", if separator == "[" { "[" } else { "" })
    }

    /// What stands for waived tests in a list (section 5, 4.x → 5.0).
    fn added(&self, list: List) -> Vec<String> {
        match list {
            List::Issues if !self.waived.is_empty() => vec![format!(
                r#"{{"id":"{WAIVED}","version":1,"origin":"{WAIVED_ORIGIN}","comment":"{WAIVED_COMMENT}"}}"#
            )],
            List::Incidents => self.waived.iter().map(|test| incident(test)).collect(),
            _ => Vec::new(),
        }
    }
}

fn incident(test: &str) -> String {
    let (id, test) = (quoted(&format!("{WAIVED}:1:{test}")), quoted(test));
    format!(
        r#"{{"id":{id},"origin":"{WAIVED_ORIGIN}","issue_id":"{WAIVED}","issue_version":1,"test_id":{test},"present":true}}"#
    )
}

/// The JSON text.
impl fmt::Display for Upgraded<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = Vec::new();
        self.write(&mut json).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&json).map_err(|_| fmt::Error)?)
    }
}
