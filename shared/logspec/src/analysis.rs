//! The result of running a parser on a log, and its output forms (spec section 10).

use std::collections::BTreeMap;
use std::ops::Range;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::ser::PrettyFormatter;

use crate::engine::Parser;
use crate::finding::{Finding, Value};
use crate::log::{Locator, Log, Place};
use crate::signature::Signature;
use crate::text::Text;

/// What a parser found in a log. Borrows from the log.
#[derive(Debug)]
pub struct Analysis<'t> {
    /// The parser.
    pub parser: &'static Parser,
    /// Every error, in the order of the log.
    pub findings: Vec<Finding<'t>>,
    /// What identifies the outcome as a whole; absent when the parser has no states to speak of (kbuild).
    pub signature: Option<Signature>,
    /// The names of what goes into that signature, a name for each time a state names it.
    pub signature_fields: Vec<&'static str>,
    /// What became of each state, in words.
    pub states_summary: Vec<&'static str>,
    /// The states that were run.
    pub stages: Vec<Stage>,
    /// Where the work was stopped because the log is too expensive; findings up to there are complete.
    pub gave_up: Option<GaveUp>,
    pub(crate) fields: BTreeMap<&'static str, Value<'t>>,
    pub(crate) match_end: usize,
}

/// One state's share of the log.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The name of the state.
    pub state: &'static str,
    /// What became of it, in words; may be empty.
    pub summary: &'static str,
    /// Its findings among those of the analysis.
    pub findings: Range<usize>,
    pub(crate) span: Range<usize>,
}

/// The analysis was stopped.
#[derive(Clone, Debug, Serialize)]
pub struct GaveUp {
    /// In which state.
    pub state: &'static str,
    /// Why, in words.
    pub reason: &'static str,
    /// After what.
    pub place: Place,
    #[serde(skip)]
    pub(crate) span: Range<usize>,
}

impl Stage {
    /// Its part of the log.
    pub fn place(&self, log: &Log) -> Place {
        Locator::new(log).place(&self.span)
    }
}

impl Analysis<'_> {
    pub(crate) fn new(parser: &'static Parser) -> Self {
        Self {
            parser,
            findings: Vec::new(),
            signature: None,
            signature_fields: Vec::new(),
            states_summary: Vec::new(),
            stages: Vec::new(),
            gave_up: None,
            fields: BTreeMap::new(),
            match_end: 0,
        }
    }

    /// Ends the findings with one that says that there may be more. It has no signature, so no issue comes of it.
    pub(crate) fn give_up(&mut self, state: &'static str, reason: &'static str) {
        let span = self.findings.last().map_or(0..0, |last| last.span.clone());
        let place = Place::default();
        self.gave_up = Some(GaveUp { state, reason, place, span: span.clone() });
        let mut finding =
            Finding::new("logspec.gave_up", Text::from(format!("gave up at byte {} of the text: {reason}", span.end)));
        finding.span = span.end..span.end;
        self.findings.push(finding);
        if let Some(stage) = self.stages.last_mut() {
            stage.findings.end += 1;
        }
    }

    /// Whether a state set this flag, such as `linux.boot.prompt`.
    pub fn is_set(&self, flag: &str) -> bool {
        self.fields.get(flag) == Some(&Value::Flag(true))
    }

    /// The reference's JSON text, without a final line end: pretty, keys sorted. `full` has what begins with `_` too.
    pub fn to_json(&self, full: bool) -> String {
        let mut json = Vec::new();
        self.write_json(full, &mut json).expect("a vector takes everything");
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// Writes [`Analysis::to_json`] without holding it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_json(&self, full: bool, writer: impl std::io::Write) -> serde_json::Result<()> {
        let mut serializer = serde_json::Serializer::with_formatter(writer, PrettyFormatter::with_indent(b"    "));
        Form { analysis: self, full }.serialize(&mut serializer)
    }

    /// The same as a value to be serialised in any notation.
    pub fn form(&self, full: bool) -> impl Serialize {
        Form { analysis: self, full }
    }

    /// Our own form: the errors with their places, the states, and the versions of everything that had a say.
    pub fn located(&self) -> impl Serialize {
        Located(self)
    }
}

struct Form<'a, 't> {
    analysis: &'a Analysis<'t>,
    full: bool,
}

impl Serialize for Form<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { analysis, full } = *self;
        let mut map = serializer.serialize_map(None)?;
        if full {
            map.serialize_entry("_match_end", &analysis.match_end)?;
            map.serialize_entry("_signature", &analysis.signature)?;
            map.serialize_entry("_signature_fields", &analysis.signature_fields)?;
            map.serialize_entry("_states_summary", &analysis.states_summary)?;
        }
        // Everything else begins with a small letter; `errors` has its place among the flags.
        let (before, after): (Vec<_>, Vec<_>) = analysis.fields.iter().partition(|(name, _)| **name < "errors");
        for (name, value) in before {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("errors", &Errors { findings: &analysis.findings, full })?;
        for (name, value) in after {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

struct Errors<'a, 't> {
    findings: &'a [Finding<'t>],
    full: bool,
}

impl Serialize for Errors<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.findings.iter().map(|finding| finding.members(self.full)))
    }
}

struct Located<'a, 't>(&'a Analysis<'t>);

impl Serialize for Located<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Found<'a, E: Serialize> {
            place: &'a Place,
            error: E,
        }
        let Self(analysis) = self;
        let findings: Vec<_> = analysis
            .findings
            .iter()
            .map(|finding| Found { place: &finding.place, error: finding.members(true) })
            .collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("analyser_version", crate::VERSION)?;
        map.serialize_entry("parser", analysis.parser.name)?;
        map.serialize_entry("parser_version", analysis.parser.version)?;
        map.serialize_entry("signature", &analysis.signature)?;
        map.serialize_entry("flags", &analysis.fields)?;
        map.serialize_entry("states", &analysis.states_summary)?;
        map.serialize_entry("gave_up", &analysis.gave_up)?;
        map.serialize_entry("findings", &findings)?;
        map.end()
    }
}
