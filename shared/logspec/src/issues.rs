//! From findings to issues and incidents (spec section 12): pure functions; whether an issue is known is asked of the caller.

use std::collections::{BTreeMap, HashMap};

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::VERSION;
use crate::analysis::Analysis;
use crate::engine::Parser;
use crate::finding::{Finding, Member, Value};
use crate::parsers;
use crate::signature::Signature;
use crate::text::Text;

/// Errors that say too little to be an issue.
const NO_ISSUE: &str = "linux.kernel.error_return_code";

/// What a node is, as far as log analysis is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A build of the kernel.
    Build,
    /// A test that boots.
    Boot,
    /// A boot with the kernel's own tests after it.
    Kselftest,
}

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Build, Self::Boot, Self::Kselftest].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Boot => "boot",
            Self::Kselftest => "kselftest",
        }
    }

    /// The parser for its logs.
    pub fn parser(self) -> &'static Parser {
        let name = match self {
            Self::Build => "kbuild",
            Self::Boot => "generic_linux_boot",
            Self::Kselftest => "test_kselftest",
        };
        parsers::parser(name).expect("a parser of ours")
    }
}

/// The build or test whose log was analysed.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its origin; issues and incidents are of the same.
    pub origin: &'a str,
    /// What it is.
    pub kind: Kind,
}

/// An issue that is already in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownIssue {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: i64,
}

/// What comes of an analysis. Serialises as the reference's worker has it.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// What the status of a boot should have been.
    pub new_status: Option<&'static str>,
    /// One issue for each different error.
    pub issues: Vec<Issue<'a>>,
    /// One incident for each error, equal ones included.
    pub incidents: Vec<Incident>,
}

impl<'a> Report<'a> {
    /// The issues and incidents of a node. `known` gives the issue that is in the database for a place in the source
    /// (`signature_loc`); it is asked for builds only.
    pub fn new(
        analysis: &'a Analysis<'_>,
        node: &Node<'_>,
        mut known: impl FnMut(&Signature) -> Option<KnownIssue>,
    ) -> Self {
        let (boot, new_status) = boot_outcome(analysis);
        let mut report = Self { new_status, issues: Vec::new(), incidents: Vec::new() };
        let mut position = HashMap::new();
        let errors = analysis.findings.iter().map(Error::Finding);
        for error in boot.into_iter().chain(errors) {
            let Some((signature, signature_loc)) = error.identity() else { continue };
            let known = if node.kind == Kind::Build { known(&signature_loc) } else { None };
            let issue = Issue::new(error, analysis, node, signature, known);
            report.incidents.push(Incident::new(&issue, node));
            let next = report.issues.len();
            match *position.entry(issue.id.clone()).or_insert(next) {
                at if at < next => report.issues[at] = issue,
                _ => report.issues.push(issue),
            }
        }
        report
    }

    /// Keeps one of several equal incidents: a statement that writes many rows must not write one twice.
    pub fn drop_repeated_incidents(&mut self) {
        let mut seen = std::collections::HashSet::new();
        self.incidents.retain(|incident| seen.insert(incident.id.clone()));
    }
}

/// What a boot amounts to, and its record where that is worth one.
fn boot_outcome<'a>(analysis: &'a Analysis<'_>) -> (Option<Error<'a>>, Option<&'static str>) {
    let (Some(signature), "generic_linux_boot") = (analysis.signature, analysis.parser.name) else {
        return (None, None);
    };
    let fields = &analysis.signature_fields[..];
    let record = |summary| Some(Error::Boot { summary, signature, fields });
    if analysis.is_set("linux.boot.prompt") {
        return (record("WARNING: Unclean boot. Reached prompt but marked as failed."), Some("PASS"));
    }
    if !analysis.is_set("bootloader.done") || !analysis.is_set("linux.boot.kernel_started") {
        return (record("Bootloader did not finish or kernel did not start."), Some("MISS"));
    }
    (None, None)
}

/// What an issue is made of.
#[derive(Clone, Copy, Debug)]
enum Error<'a> {
    Finding(&'a Finding<'a>),
    Boot { summary: &'static str, signature: Signature, fields: &'a [&'static str] },
}

impl Error<'_> {
    /// Its signature and that of its place; nothing when no issue is to come of it.
    fn identity(&self) -> Option<(Signature, Signature)> {
        match self {
            Self::Boot { signature, .. } => Some((*signature, *signature)),
            Self::Finding(finding) if finding.error_type.as_bytes() == NO_ISSUE.as_bytes() => None,
            Self::Finding(finding) => {
                let signature = finding.signature?;
                Some((signature, finding.signature_loc.unwrap_or(signature)))
            }
        }
    }

    fn comment(&self, parser: &str) -> String {
        match self {
            Self::Boot { summary, .. } => format!(" {summary} [logspec:{parser},linux.kernel.boot]"),
            Self::Finding(finding) => {
                let mut comment = String::new();
                if !finding.error_summary.is_empty() {
                    comment = format!(" {}", finding.error_summary);
                }
                let text = |name| match finding.field(name) {
                    Some(Value::Text(text)) if !text.is_empty() => Some(text),
                    _ => None,
                };
                match (text("target"), text("src_file").or_else(|| text("script"))) {
                    (Some(target), Some(file)) => comment = format!("{comment} in {target} ({file})"),
                    (Some(target), None) => comment = format!("{comment} in {target}"),
                    (None, _) => {}
                }
                format!("{comment} [logspec:{parser},{}]", finding.error_type)
            }
        }
    }
}

/// What is wrong, as a row for the database. Serialises as the reference's worker has it.
#[derive(Debug)]
pub struct Issue<'a> {
    /// Origin and signature, or the id of the known issue.
    pub id: String,
    /// 1, or the version of the known issue.
    pub version: i64,
    /// Whether the database has it already: then it should not be written again.
    pub is_known: bool,
    /// Of the node.
    pub origin: String,
    /// One line for people.
    pub comment: String,
    /// Of the node.
    pub kind: Kind,
    parser: &'static str,
    error: Error<'a>,
    excerpt_limit: usize,
}

impl<'a> Issue<'a> {
    fn new(
        error: Error<'a>,
        analysis: &Analysis<'_>,
        node: &Node<'_>,
        signature: Signature,
        known: Option<KnownIssue>,
    ) -> Self {
        let is_known = known.is_some();
        let known = known.unwrap_or_else(|| KnownIssue { id: format!("{}:{signature}", node.origin), version: 1 });
        Self {
            id: known.id,
            version: known.version,
            is_known,
            origin: node.origin.to_owned(),
            comment: error.comment(analysis.parser.name),
            kind: node.kind,
            parser: analysis.parser.name,
            error,
            excerpt_limit: usize::MAX,
        }
    }

    /// The error's class.
    pub fn error_type(&self) -> String {
        match self.error {
            Error::Finding(finding) => finding.error_type.to_string(),
            Error::Boot { .. } => "linux.kernel.boot".to_owned(),
        }
    }

    /// The issue as it can be stored: at most so many bytes of excerpt, and U+FFFD for U+0000, which PostgreSQL cannot hold.
    pub fn stored(mut self, excerpt_limit: usize) -> serde_json::Value {
        self.excerpt_limit = excerpt_limit;
        let mut value = serde_json::to_value(self).expect("an issue has nothing that JSON lacks");
        replace_nul(&mut value);
        value
    }
}

fn replace_nul(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{FFFD}"),
        serde_json::Value::Array(list) => list.iter_mut().for_each(replace_nul),
        serde_json::Value::Object(map) => map.values_mut().for_each(replace_nul),
        _ => {}
    }
}

impl Serialize for Issue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Culprit {
            code: bool,
            harness: bool,
            tool: bool,
        }
        let mut map = serializer.serialize_map(None)?;
        match self.kind {
            Kind::Build => map.serialize_entry("build_valid", &false)?,
            Kind::Boot | Kind::Kselftest => map.serialize_entry("test_status", "FAIL")?,
        }
        map.serialize_entry("comment", &self.comment)?;
        map.serialize_entry("culprit", &Culprit { code: true, harness: false, tool: false })?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry(
            "misc",
            &Misc { logspec: Logspec { error: Record(self), parser: self.parser, version: VERSION } },
        )?;
        map.serialize_entry("origin", &self.origin)?;
        map.serialize_entry("version", &self.version)?;
        map.end()
    }
}

#[derive(Serialize)]
struct Misc<'i, 'a> {
    logspec: Logspec<'i, 'a>,
}

#[derive(Serialize)]
struct Logspec<'i, 'a> {
    error: Record<'i, 'a>,
    parser: &'static str,
    version: &'static str,
}

/// The error as the issue keeps it: what is not empty, the excerpt, and all that its signature is made of.
struct Record<'i, 'a>(&'i Issue<'a>);

impl Serialize for Record<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(issue) = self;
        match issue.error {
            Error::Boot { summary, fields, .. } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("error_summary", summary)?;
                map.serialize_entry("error_type", "linux.kernel.boot")?;
                map.serialize_entry("log_excerpt", "")?;
                map.serialize_entry("signature_fields", fields)?;
                map.end()
            }
            Error::Finding(finding) => {
                let mut map = serializer.serialize_map(None)?;
                let own = finding.members(false);
                for (name, member) in
                    own.iter().filter(|(_, member)| !matches!(member, Member::Value(value) if value.is_empty()))
                {
                    map.serialize_entry(name, member)?;
                }
                map.serialize_entry("log_excerpt", &finding.report.cut(issue.excerpt_limit))?;
                map.serialize_entry("signature_fields", &signature_fields(finding))?;
                map.serialize_entry("signature_loc", &finding.signature_loc.or(finding.signature))?;
                map.end()
            }
        }
    }
}

fn signature_fields<'f>(finding: &'f Finding<'_>) -> BTreeMap<&'static str, Option<SignatureField<'f>>> {
    let value = |name: &str| match name {
        "error_type" => Some(SignatureField::Text(&finding.error_type)),
        "error_summary" => Some(SignatureField::Text(&finding.error_summary)),
        name => finding.field(name).map(SignatureField::Value),
    };
    finding.signature_fields.iter().map(|name| (*name, value(name))).collect()
}

#[derive(Serialize)]
#[serde(untagged)]
enum SignatureField<'f> {
    Text(&'f Text<'f>),
    Value(&'f Value<'f>),
}

/// An issue occurred in a node. Serialises as the reference's worker has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// Made of the node and the issue, so that the same log gives the same incidents.
    pub id: String,
    /// Of the node.
    pub origin: String,
    /// The issue.
    pub issue_id: String,
    /// The issue's version.
    pub issue_version: i64,
    /// The node, when it is a build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// The node, when it is a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_id: Option<String>,
    /// Always true.
    pub present: bool,
    /// Says that no person made it.
    pub comment: &'static str,
}

impl Incident {
    fn new(issue: &Issue<'_>, node: &Node<'_>) -> Self {
        Self::of(&KnownIssue { id: issue.id.clone(), version: issue.version }, node)
    }

    /// This issue in this node.
    pub fn of(issue: &KnownIssue, node: &Node<'_>) -> Self {
        let digest = Signature::of_incident(node.id, &issue.id, issue.version);
        let is_build = node.kind == Kind::Build;
        Self {
            id: format!("{}:{digest}", node.origin),
            origin: node.origin.to_owned(),
            issue_id: issue.id.clone(),
            issue_version: issue.version,
            build_id: is_build.then(|| node.id.to_owned()),
            test_id: (!is_build).then(|| node.id.to_owned()),
            present: true,
            comment: "test incident, automatically generated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LineEnds, Log};

    const NODE: Node<'_> = Node { id: "lab:1", origin: "lab", kind: Kind::Build };
    const FAILED: &[u8] = b"  CC a/b.o\na/b.c:1:2: error: no \0 here\nmake: *** [s:1: a/b.o] Error 1\n";

    fn with_report<R>(log: &[u8], kind: Kind, check: impl FnOnce(Report<'_>) -> R) -> R {
        let log = Log::new(log.to_vec(), LineEnds::Raw);
        let analysis = kind.parser().analyse(&log).expect("it fits");
        check(Report::new(&analysis, &Node { kind, ..NODE }, |_| None))
    }

    #[test]
    fn a_compiler_error_is_an_issue_and_an_incident() {
        with_report(FAILED, Kind::Build, |report| {
            let [issue] = &report.issues[..] else { panic!("one issue, not {report:?}") };
            assert_eq!(issue.comment, " no \0 here in a/b.o (a/b.c) [logspec:kbuild,kbuild.compiler.error]");
            assert_eq!(report.incidents[0].issue_id, issue.id);
            assert_eq!(report.incidents[0].build_id.as_deref(), Some("lab:1"));
        });
    }

    #[test]
    fn what_is_stored_is_short_and_without_nul() {
        with_report(FAILED, Kind::Build, |mut report| {
            let stored = report.issues.remove(0).stored(9);
            assert_eq!(stored["misc"]["logspec"]["error"]["log_excerpt"], "a/b.c:1:2");
            assert_eq!(stored["misc"]["logspec"]["error"]["error_summary"], "no \u{FFFD} here");
            assert!(!stored.to_string().contains("\\u0000"));
        });
    }

    #[test]
    fn a_known_issue_keeps_its_id() {
        let log = Log::new(FAILED.to_vec(), LineEnds::Raw);
        let analysis = Kind::Build.parser().analyse(&log).expect("it fits");
        let report = Report::new(&analysis, &NODE, |_| Some(KnownIssue { id: "lab:old".to_owned(), version: 3 }));
        assert!(report.issues[0].is_known);
        assert_eq!((report.incidents[0].issue_id.as_str(), report.incidents[0].issue_version), ("lab:old", 3));
    }

    #[test]
    fn boots_without_error_are_judged_by_how_far_they_came() {
        let boots = [
            ("Starting kernel ...\n/ #", Some("PASS")),
            ("U-Boot\n", Some("MISS")),
            ("Starting kernel ...\nx\n[1] a\n[2] b\n", Some("MISS")),
        ];
        for (log, status) in boots {
            with_report(log.as_bytes(), Kind::Boot, |report| {
                assert_eq!((report.new_status, report.issues.len()), (status, 1), "{log}");
            });
        }
        with_report(b"Starting kernel ...\n[1] a\n", Kind::Boot, |report| {
            assert_eq!((report.new_status, report.issues.len()), (None, 0));
        });
    }

    #[test]
    fn equal_errors_are_one_issue() {
        let line = "not ok 1 selftests: a: b\n".repeat(3);
        let log = format!("Starting kernel ...\n/ # kselftest.sh\n{line}ok 2 selftests: c\n");
        with_report(log.as_bytes(), Kind::Kselftest, |mut report| {
            assert_eq!((report.issues.len(), report.incidents.len()), (1, 3));
            report.drop_repeated_incidents();
            assert_eq!(report.incidents.len(), 1);
        });
    }
}
