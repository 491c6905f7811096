//! Which nodes' logs are analysed, by which parser, within which limits: the YAML file of the existing worker, and a few
//! keys more (`docs/log-worker.md`).
//!
//! The first entry of a node's type decides. It takes the node when its status fits, and when it has no `include_path` or
//! one of the patterns fits the whole path; a test without a path fits no pattern.

use std::{collections::BTreeMap, path::Path, time::Duration};

use db::logs;
use logspec::{Kind, Parser};
use serde::Deserialize;

use crate::{Error, wildcard};

/// What is analysed when no file says otherwise.
const DEFAULT: &str = include_str!("selection.yaml");
/// Stands for every origin that is not named.
const ANY: &str = "*";
/// The statuses of a node that did not succeed.
const FAILED: [&str; 3] = ["FAIL", "ERROR", "MISS"];
/// Every status there is.
const STATUSES: [&str; 6] = ["FAIL", "ERROR", "MISS", "PASS", "DONE", "SKIP"];

/// Which nodes' logs are analysed.
#[derive(Debug, Clone)]
pub struct Selection {
    origins: BTreeMap<String, Vec<Entry>>,
}

/// How the logs of some nodes of an origin are analysed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    #[serde(rename = "type")]
    kind: Type,
    #[serde(default)]
    include_path: Option<OneOrMany>,
    #[serde(default)]
    parser: Option<String>,
    #[serde(default)]
    status: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) limits: Limits,
}

/// Limits of an entry that differ from the worker's own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Bytes of a log as it is sent.
    pub(crate) bytes: Option<u64>,
    /// Bytes of it that are analysed.
    pub(crate) text_bytes: Option<u64>,
    /// Seconds that fetching it may take.
    pub(crate) seconds: Option<u64>,
}

impl Limits {
    pub(crate) fn time(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Build,
    Test,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// What is done with a node's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// What the node counts as where issues are made.
    pub(crate) kind: Kind,
    /// The parser.
    pub(crate) parser: &'static Parser,
    /// The limits.
    pub(crate) limits: &'a Limits,
}

impl Selection {
    /// Reads a file, or takes what is shipped.
    ///
    /// # Errors
    /// When the file cannot be read, or something in it makes no sense.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else { return Ok(Self::parse(DEFAULT).expect("the shipped one makes sense")) };
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        text.and_then(|text| Self::parse(&text))
            .map_err(|problem| Error::Selection(format!("{}: {problem}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let origins: Option<BTreeMap<String, Option<Vec<Entry>>>> =
            serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        let mut selection = Self { origins: BTreeMap::new() };
        for (origin, entries) in origins.unwrap_or_default() {
            let entries = entries.unwrap_or_default();
            for (place, entry) in entries.iter().enumerate() {
                entry.check().map_err(|problem| format!("{origin}, entry {}: {problem}", place + 1))?;
                if entries[..place].iter().any(|earlier| earlier.kind == entry.kind) {
                    tracing::warn!(origin, entry = place + 1, "only the first entry of a type counts");
                }
            }
            selection.origins.insert(origin, entries);
        }
        Ok(selection)
    }

    /// What is done with the log of a node; nothing when it is not picked.
    pub(crate) fn choose(&self, node: &logs::Node) -> Option<Choice<'_>> {
        let entries = self.origins.get(&node.origin).or_else(|| self.origins.get(ANY))?;
        let kind = match node.kind {
            logs::Kind::Build => Type::Build,
            logs::Kind::Test => Type::Test,
        };
        let entry = entries.iter().find(|entry| entry.kind == kind)?;
        entry.takes(node).then(|| entry.choice(node.path.as_deref().unwrap_or_default()))
    }

    /// The origins that are picked from; `None` for all.
    pub(crate) fn origins(&self) -> Option<Vec<String>> {
        (!self.origins.contains_key(ANY)).then(|| self.origins.keys().cloned().collect())
    }

    /// Every status that some entry takes.
    pub(crate) fn statuses(&self) -> Vec<String> {
        let mut statuses: Vec<String> =
            self.origins.values().flatten().flat_map(Entry::statuses).map(str::to_owned).collect();
        statuses.sort();
        statuses.dedup();
        statuses
    }
}

impl Entry {
    fn check(&self) -> Result<(), String> {
        if let Some(parser) = self.parser.as_deref().filter(|name| *name != "auto" && logspec::parser(name).is_none()) {
            let names: Vec<&str> = logspec::ALL.iter().map(|parser| parser.name).collect();
            return Err(format!("there is no parser {parser:?}; there are auto, {}", names.join(", ")));
        }
        if let Some(status) = self.statuses().find(|status| !STATUSES.contains(status)) {
            return Err(format!("there is no status {status:?}; there are {}", STATUSES.join(", ")));
        }
        if self.kind == Type::Build && self.include_path.is_some() {
            tracing::warn!("include_path means nothing for builds, which have no path");
        }
        Ok(())
    }

    fn statuses(&self) -> impl Iterator<Item = &str> {
        let chosen = self.status.as_ref().map(OneOrMany::as_slice);
        let default = if chosen.is_none() { &FAILED[..] } else { &[] };
        chosen.into_iter().flatten().map(String::as_str).chain(default.iter().copied())
    }

    fn takes(&self, node: &logs::Node) -> bool {
        let status = node.status.as_deref();
        if !self.statuses().any(|taken| Some(taken) == status) {
            return false;
        }
        match (&self.include_path, self.kind) {
            (None, _) | (_, Type::Build) => true,
            (Some(patterns), Type::Test) => node
                .path
                .as_deref()
                .is_some_and(|path| patterns.as_slice().iter().any(|pattern| wildcard::fits(pattern, path))),
        }
    }

    fn choice(&self, path: &str) -> Choice<'_> {
        let kind = match self.kind {
            Type::Build => Kind::Build,
            Type::Test => match self.parser.as_deref() {
                Some(name) if name == "test_kselftest" || (name == "auto" && path.starts_with("kselftest")) => {
                    Kind::Kselftest
                }
                _ => Kind::Boot,
            },
        };
        let parser = match self.parser.as_deref() {
            Some("auto") if self.kind == Type::Test && path.starts_with("baseline") => named("test_baseline"),
            None | Some("auto") => kind.parser(),
            Some(name) => named(name),
        };
        Choice { kind, parser, limits: &self.limits }
    }
}

fn named(parser: &str) -> &'static Parser {
    logspec::parser(parser).expect("the name was checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: logs::Kind, origin: &str, path: Option<&str>) -> logs::Node {
        logs::Node {
            kind,
            id: format!("{origin}:1"),
            origin: origin.into(),
            status: Some("FAIL".into()),
            path: path.map(Into::into),
            log_url: "http://example.org/log".into(),
            changed_at: chrono::Utc::now(),
        }
    }

    /// The names of the parsers that are chosen for these paths of failed tests of an origin `lab`.
    fn parsers(yaml: &str, paths: &[&str]) -> Vec<&'static str> {
        let selection = Selection::parse(yaml).expect("it makes sense");
        let name = |path: &&str| {
            selection.choose(&node(logs::Kind::Test, "lab", Some(path))).map_or("-", |choice| choice.parser.name)
        };
        paths.iter().map(name).collect()
    }

    #[test]
    fn todays_file_picks_what_it_picks_today() {
        let selection = Selection::parse(
            "maestro:\n  - type: build\n  - type: test\n    include_path: [\"boot*\"]\nmicrosoft:\n  - type: build\n",
        )
        .expect("it makes sense");
        let chosen = |kind, origin, path| selection.choose(&node(kind, origin, path)).map(|choice| choice.parser.name);
        assert_eq!(chosen(logs::Kind::Build, "maestro", None), Some("kbuild"));
        assert_eq!(chosen(logs::Kind::Test, "maestro", Some("boot.nfs")), Some("generic_linux_boot"));
        assert_eq!(chosen(logs::Kind::Test, "maestro", Some("kselftest.seccomp")), None);
        assert_eq!(chosen(logs::Kind::Test, "maestro", None), None);
        assert_eq!(chosen(logs::Kind::Build, "microsoft", None), Some("kbuild"));
        assert_eq!(chosen(logs::Kind::Test, "microsoft", Some("boot")), None);
        assert_eq!(chosen(logs::Kind::Build, "other", None), None);
        assert_eq!(selection.origins(), Some(vec!["maestro".into(), "microsoft".into()]));
        assert_eq!(selection.statuses(), ["ERROR", "FAIL", "MISS"]);
    }

    #[test]
    fn only_the_first_entry_of_a_type_counts() {
        let yaml = "lab:\n  - type: test\n    include_path: boot*\n  - type: test\n";
        assert_eq!(parsers(yaml, &["boot", "ltp"]), ["generic_linux_boot", "-"]);
    }

    #[test]
    fn the_parser_can_be_named_or_left_to_the_path() {
        let paths = ["boot", "kselftest.seccomp", "baseline.login", "ltp"];
        let auto = ["generic_linux_boot", "test_kselftest", "test_baseline", "generic_linux_boot"];
        assert_eq!(parsers("lab: [{type: test, parser: auto}]", &paths), auto);
        assert_eq!(parsers("lab: [{type: test, parser: test_baseline}]", &paths[3..]), ["test_baseline"]);
        assert_eq!(parsers("'*': [{type: test}]", &paths[3..]), ["generic_linux_boot"]);
        assert_eq!(parsers("'*': [{type: test}]\nlab:", &paths[3..]), ["-"]);
    }

    #[test]
    fn statuses_and_limits_can_be_chosen() {
        let selection =
            Selection::parse("lab: [{type: build, status: [SKIP], limits: {bytes: 5, seconds: 7}}]").expect("sense");
        let mut build = node(logs::Kind::Build, "lab", None);
        assert!(selection.choose(&build).is_none());
        build.status = Some("SKIP".into());
        let limits = selection.choose(&build).expect("it is picked").limits;
        assert_eq!((limits.bytes, limits.text_bytes, limits.time()), (Some(5), None, Some(Duration::from_secs(7))));
        build.status = None;
        assert!(selection.choose(&build).is_none());
    }

    #[test]
    fn what_makes_no_sense_is_told_in_one_line() {
        for (yaml, part) in [
            ("lab: [{type: boot}]", "boot"),
            ("lab: [{type: test, parser: nope}]", "lab, entry 1: there is no parser \"nope\"; there are auto, kbuild,"),
            ("lab: [{type: test, status: fail}]", "there is no status \"fail\""),
            ("lab: [{type: test, include: x}]", "include"),
            ("- lab", "invalid type"),
            ("lab: [{type: build}, {include_path: x}]", "missing field `type`"),
            ("a: [", ""),
        ] {
            let problem = Selection::parse(yaml).expect_err(yaml);
            assert!(problem.contains(part) && !problem.contains('\n'), "{yaml}: {problem}");
        }
        assert!(Selection::parse("").expect("an empty file picks nothing").origins.is_empty());
        assert!(Selection::load(Some(Path::new("/nowhere"))).is_err());
        assert_eq!(Selection::load(None).expect("the shipped one").origins(), None);
    }
}
