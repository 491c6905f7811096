//! From a fetched file to findings that stand by themselves. Runs on a blocking thread; memory is that of the log as it is
//! sent and as text, both within limits.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::Read as _,
};

use db::logs;
use events::Reason;
use logspec::{Incident, Kind, KnownIssue, Log, Node, Parser, Report, unpack};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{cache::hex, failure::Failure, fetch::Bounds, plain};

/// The most bytes of an excerpt, and of any other text of a log that is stored.
const EXCERPT: usize = 16 << 10;

/// What was found in a log.
#[derive(Debug)]
pub(crate) struct Analysed {
    pub(crate) parser: &'static Parser,
    /// SHA-256 of the text's bytes.
    pub(crate) digest: String,
    pub(crate) bytes: usize,
    pub(crate) is_cut: bool,
    pub(crate) new_status: Option<&'static str>,
    /// Errors by class.
    pub(crate) classes: BTreeMap<String, u64>,
    pub(crate) findings: Findings,
}

/// Issues and incidents as they are when nothing is known.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) issues: Vec<Issue>,
    pub(crate) seen: Vec<Seen>,
}

/// An issue as it is stored.
#[derive(Debug)]
pub(crate) struct Issue {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) error_type: String,
    pub(crate) comment: String,
    /// JSON.
    pub(crate) misc: String,
}

/// An error that makes an incident.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Where in the source; builds only, because only there the place tells.
    pub(crate) signature_loc: Option<String>,
    pub(crate) incident: Incident,
}

impl Findings {
    /// The places in the source, each once.
    pub(crate) fn places(&self) -> Vec<&str> {
        let mut places: Vec<&str> = self.seen.iter().filter_map(|seen| seen.signature_loc.as_deref()).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The issues that are needed beside the known ones, and the incidents, each once.
    pub(crate) fn resolve(
        &self,
        node: &Node<'_>,
        known: impl Fn(&str) -> Option<KnownIssue>,
    ) -> (Vec<&Issue>, Vec<Incident>) {
        let mut needed = HashSet::new();
        let mut ids = HashSet::new();
        let mut incidents = Vec::new();
        for Seen { signature_loc, incident } in &self.seen {
            let incident = if let Some(known) = signature_loc.as_deref().and_then(&known) {
                Incident::of(&known, node)
            } else {
                needed.insert(incident.issue_id.as_str());
                incident.clone()
            };
            if ids.insert(incident.id.clone()) {
                incidents.push(incident);
            }
        }
        (self.issues.iter().filter(|issue| needed.contains(issue.id.as_str())).collect(), incidents)
    }
}

/// Analyses a fetched log.
pub(crate) fn analyse(
    file: File,
    node: &logs::Node,
    (kind, parser): (Kind, &'static Parser),
    bounds: Bounds,
) -> Result<Analysed, Failure> {
    let limit = usize::try_from(bounds.text_bytes).unwrap_or(usize::MAX);
    let (bytes, ends, is_cut) = read(file, &node.log_url, bounds, limit)?;
    plain::check(&bytes)?;
    let (digest, length) = (hex(&Sha256::digest(&bytes)), bytes.len());
    let log = Log::new(bytes, ends);
    let analysis = parser.analyse(&log).map_err(|unfit| Failure::new(Reason::LogUnfit, unfit.to_string()))?;
    let mut classes = BTreeMap::new();
    for finding in &analysis.findings {
        *classes.entry(class(&finding.error_type.to_string())).or_default() += 1;
    }
    let mut places = Vec::new();
    let report = Report::new(&analysis, &as_node(node, kind), |place| {
        places.push(place.to_string());
        None
    });
    let mut places = places.into_iter();
    let new_status = report.new_status;
    // For builds there is one place for each incident, in the same order; for others there is none.
    let seen = report.incidents.into_iter().map(|incident| Seen { signature_loc: places.next(), incident }).collect();
    let issues = report.issues.into_iter().map(issue).collect();
    let findings = Findings { issues, seen };
    Ok(Analysed { parser, digest, bytes: length, is_cut, new_status, classes, findings })
}

/// A node in the analyser's words.
pub(crate) fn as_node(node: &logs::Node, kind: Kind) -> Node<'_> {
    Node { id: &node.id, origin: &node.origin, kind }
}

/// Reads and unpacks; the content decides how. A log that is named `.gz` was unpacked by the existing worker before it
/// looked at it, so its line ends stay as those of a plain file do.
fn read(file: File, url: &str, bounds: Bounds, limit: usize) -> Result<(Vec<u8>, logspec::LineEnds, bool), Failure> {
    let mut bytes = Vec::new();
    // What the server had compressed is stored unpacked, one byte beyond the limit.
    let most = bounds.bytes.max(bounds.text_bytes.saturating_add(1));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| crate::fetch::local(&error))?;
    if bytes.len() as u64 > most {
        return Err(Failure::new(Reason::LogTooLarge, format!("more than {most} bytes")));
    }
    let mut named = url.strip_suffix(".gz").is_some();
    let (mut ends, mut is_cut) = (logspec::LineEnds::Raw, false);
    // Twice, for a compressed file that was compressed once more on its way.
    for _ in 0..2 {
        let unpacked =
            unpack::unpack(bytes, limit).map_err(|error| Failure::new(Reason::LogDamaged, error.to_string()))?;
        bytes = unpacked.bytes;
        is_cut |= unpacked.is_cut;
        if unpacked.packing == unpack::Packing::Plain {
            break;
        }
        if !std::mem::take(&mut named) {
            ends = unpacked.packing.line_ends();
        }
    }
    if bytes.is_empty() {
        return Err(Failure::new(Reason::LogEmpty, "no text"));
    }
    Ok((bytes, ends, is_cut))
}

/// The class of an error, as a metric's label: plain and short, though words of the log may be in it.
fn class(error_type: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_');
    if error_type.len() <= 64 && error_type.bytes().all(is_plain) { error_type.to_owned() } else { "other".into() }
}

fn issue(issue: logspec::Issue<'_>) -> Issue {
    let (id, version, error_type) = (issue.id.clone(), issue.version, issue.error_type());
    let mut stored = issue.stored(EXCERPT);
    tidy(&mut stored);
    let comment = stored["comment"].as_str().unwrap_or_default().to_owned();
    Issue { id, version, error_type, comment, misc: stored["misc"].to_string() }
}

/// Leaves out null members, and cuts what nobody would read; identity does not depend on either.
fn tidy(value: &mut Value) {
    match value {
        Value::String(text) => text.truncate(text.floor_char_boundary(EXCERPT)),
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(tidy);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    const BUILD: &[u8] = b"  CC a/b.o\r\na/b.c:1:2: error: no \0 here\r\nmake: *** [s:1: a/b.o] Error 1\r\n";
    const BOUNDS: Bounds = Bounds { bytes: 1000, text_bytes: 1000, time: std::time::Duration::ZERO };

    fn run(content: &[u8], url: &str, bounds: Bounds) -> Result<Analysed, Failure> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).and_then(|()| file.rewind()).expect("written");
        let node = logs::Node {
            kind: logs::Kind::Build,
            id: "lab:1".into(),
            origin: "lab".into(),
            status: None,
            path: None,
            log_url: url.into(),
            changed_at: chrono::Utc::now(),
        };
        analyse(file, &node, (Kind::Build, Kind::Build.parser()), bounds)
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).expect("a vector takes everything");
        encoder.finish().expect("a vector takes everything")
    }

    fn summary(result: Result<Analysed, Failure>) -> String {
        let analysed = result.expect("it is a log");
        let misc: Value = serde_json::from_str(&analysed.findings.issues[0].misc).expect("JSON");
        misc["logspec"]["error"]["error_summary"].as_str().expect("a summary").to_owned()
    }

    #[test]
    fn content_decides_about_compression_and_the_name_about_line_ends() {
        assert_eq!(summary(run(BUILD, "http://a/log", BOUNDS)), "no \u{FFFD} here\r");
        assert_eq!(summary(run(&gzip(BUILD), "http://a/log", BOUNDS)), "no \u{FFFD} here");
        assert_eq!(summary(run(&gzip(BUILD), "http://a/log.gz", BOUNDS)), "no \u{FFFD} here\r");
        assert_eq!(summary(run(BUILD, "http://a/log.gz", BOUNDS)), "no \u{FFFD} here\r");
        assert_eq!(summary(run(&gzip(&gzip(BUILD)), "http://a/log.gz", BOUNDS)), "no \u{FFFD} here");
    }

    #[test]
    fn what_is_beyond_the_limit_is_left_out_and_said() {
        let small = Bounds { text_bytes: 44, ..BOUNDS };
        let analysed = run(&gzip(BUILD), "http://a/log", small).expect("it is a log");
        assert_eq!((analysed.bytes, analysed.is_cut, analysed.findings.seen.len()), (44, true, 0));
        assert!(!run(BUILD, "http://a/log", BOUNDS).expect("it is a log").is_cut);
    }

    #[test]
    fn what_is_no_log_has_a_reason() {
        let reason = |content: &[u8], bounds| run(content, "http://a/log", bounds).expect_err("no log").reason;
        assert_eq!(reason(b"", BOUNDS), Reason::LogEmpty);
        assert_eq!(reason(&gzip(b""), BOUNDS), Reason::LogEmpty);
        assert_eq!(reason(&gzip(BUILD)[..30], BOUNDS), Reason::LogDamaged);
        assert_eq!(reason(b"<!DOCTYPE html><p>not here", BOUNDS), Reason::NotPlainText);
        assert_eq!(reason(BUILD, Bounds { bytes: 9, text_bytes: 9, ..BOUNDS }), Reason::LogTooLarge);
    }

    #[test]
    fn a_known_issue_takes_the_place_of_the_new_one() {
        let findings = run(BUILD, "http://a/log", BOUNDS).expect("it is a log").findings;
        let node = Node { id: "lab:1", origin: "lab", kind: Kind::Build };
        let (issues, incidents) = findings.resolve(&node, |_| None);
        assert_eq!((issues.len(), incidents.len()), (1, 1));
        assert_eq!(incidents[0].issue_id, issues[0].id);
        let place = findings.places()[0].to_owned();
        let known = |asked: &str| (asked == place).then(|| KnownIssue { id: "lab:old".into(), version: 3 });
        let (issues, incidents) = findings.resolve(&node, known);
        assert_eq!((issues.len(), incidents[0].issue_id.as_str(), incidents[0].issue_version), (0, "lab:old", 3));
    }
}
