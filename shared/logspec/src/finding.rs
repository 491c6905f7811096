//! What the analyser finds in a log.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use memchr::{memchr_iter, memmem};
use serde::{Serialize, Serializer};

use crate::chars;
use crate::excerpt::Excerpt;
use crate::log::{Log, Place};
use crate::scan::{line_end, line_start, stamp_before};
use crate::signature::Signature;
use crate::text::Text;

/// The signature fields that every error has.
pub(crate) const BASIC: &[&str] = &["error_type", "error_summary"];

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'t> {
    /// Not in this report.
    Null,
    /// Yes or no (states only).
    Flag(bool),
    /// A piece of the log.
    Text(Text<'t>),
    /// Several pieces.
    List(Vec<Text<'t>>),
    /// The entries of a call trace.
    Trace(Trace<'t>),
}

impl Value<'_> {
    /// Whether it is null, an empty text or an empty list.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Flag(_) => false,
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Trace(trace) => trace.entries().next().is_none(),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Text(text) => text.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
            Self::Trace(trace) => serializer.collect_seq(trace.entries().map(Text::borrowed)),
        }
    }
}

impl<'t> From<&'t [u8]> for Value<'t> {
    fn from(bytes: &'t [u8]) -> Self {
        Self::Text(Text::borrowed(bytes))
    }
}

/// The entries of a call trace, read from the log whenever they are asked for: reports without an end mark share the trace
/// that follows them, and copies of it would make the work grow with the square of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace<'t> {
    region: &'t [u8],
    /// Entries begin with something else than a blank.
    strict: bool,
}

impl<'t> Trace<'t> {
    pub(crate) const fn new(region: &'t [u8]) -> Self {
        Self { region, strict: false }
    }

    pub(crate) const fn strict(region: &'t [u8]) -> Self {
        Self { region, strict: true }
    }

    /// The entries: what follows a time stamp and two spaces, to the end of the line.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &'t [u8]> + use<'t> {
        const HEAD: &[u8] = b"]  ";
        let (mut rest, strict) = (self.region, self.strict);
        std::iter::from_fn(move || {
            loop {
                let close = memmem::find(rest, HEAD)?;
                let body = close + HEAD.len();
                let wanted = || stamp_before(rest, close).is_some();
                let blank = || chars::first(&rest[body..]).is_none_or(|(c, _)| chars::is_space(c));
                if (strict && blank()) || !wanted() {
                    rest = &rest[close + 1..];
                    continue;
                }
                let (line, after) = rest.split_at(line_end(rest, body));
                rest = after;
                return Some(&line[body..]);
            }
        })
    }
}

/// One error, as the analyser reports it.
#[derive(Clone, Debug)]
pub struct Finding<'t> {
    /// The class, such as `kbuild.compiler.error`.
    pub error_type: Text<'t>,
    /// One line that says what is wrong.
    pub error_summary: Text<'t>,
    /// The fields that only some classes have.
    pub fields: Vec<(&'static str, Value<'t>)>,
    /// The part of the log that reports the error.
    pub report: Excerpt<'t>,
    /// The names of what goes into the signature.
    pub signature_fields: Cow<'static, [&'static str]>,
    /// What identifies the error; absent where the error is too vague to be recognised again.
    pub signature: Option<Signature>,
    /// What identifies the place in the source, whatever is said about it (compiler errors only).
    pub signature_loc: Option<Signature>,
    /// Where in the log it is.
    pub place: Place,
    /// Where in the text it is, in bytes.
    pub(crate) span: Range<usize>,
}

impl<'t> Finding<'t> {
    pub(crate) fn new(error_type: impl Into<Text<'t>>, error_summary: Text<'t>) -> Self {
        Self {
            error_type: error_type.into(),
            error_summary,
            fields: Vec::new(),
            report: Excerpt::default(),
            signature_fields: Cow::Borrowed(BASIC),
            signature: None,
            signature_loc: None,
            place: Place::default(),
            span: 0..0,
        }
    }

    /// The same with its signature.
    pub(crate) fn signed(mut self) -> Self {
        self.signature = Some(self.sign(|_| true));
        self
    }

    /// The signature over those signature fields that `counts` and that are not empty.
    pub(crate) fn sign(&self, counts: impl Fn(&str) -> bool) -> Signature {
        let basic = [Value::Text(self.error_type.clone()), Value::Text(self.error_summary.clone())];
        let basic = BASIC.iter().copied().zip(&basic);
        let all = basic.chain(self.fields.iter().map(|(name, value)| (*name, value)));
        let mut members: Vec<_> = all
            .filter(|(name, value)| self.signature_fields.contains(name) && counts(name) && !value.is_empty())
            .collect();
        Signature::of(&mut members)
    }

    /// The value of a class's own field.
    pub fn field(&self, name: &str) -> Option<&Value<'t>> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The lines of the log that report it, whole and with their numbers. Lines between them that have nothing to do with it
    /// are left out where the class knows them.
    pub fn lines<'l>(&self, log: &'l Log) -> Vec<(usize, Text<'l>)> {
        let text = log.bytes();
        let whole = |at: usize| Text::borrowed(&text[line_start(text, at)..line_end(text, at)]);
        let mut lines = Vec::new();
        let (mut at, mut number) = (self.span.start, self.place.first_line);
        if let Excerpt::Lines(report) = &self.report {
            for start in report.starts() {
                number += memchr_iter(b'\n', &text[at..start]).count();
                at = start;
                lines.push((number, whole(start)));
            }
            at = self.span.end;
            number = self.place.last_line;
        }
        while number <= self.place.last_line {
            lines.push((number, whole(at)));
            (at, number) = (line_end(text, at) + 1, number + 1);
        }
        lines
    }

    /// All fields by name, as in the analyser's output: `full` with those that begin with `_` and the empty ones.
    pub(crate) fn members(&self, full: bool) -> BTreeMap<&'static str, Member<'_, 't>> {
        let own = self.fields.iter().map(|(name, value)| (*name, Member::Value(value)));
        let mut members: BTreeMap<_, _> = own.collect();
        members.insert("error_type", Member::Text(&self.error_type));
        members.insert("error_summary", Member::Text(&self.error_summary));
        if !full {
            members.retain(|_, member| !member.is_empty_text());
            return members;
        }
        members.insert("_report", Member::Excerpt(&self.report));
        members.insert("_signature", Member::Signature(self.signature));
        members.insert("_signature_fields", Member::Names(&self.signature_fields));
        if self.signature_loc.is_some() {
            members.insert("_add_signature_loc", Member::True);
            members.insert("_signature_loc", Member::Signature(self.signature_loc));
        }
        members
    }
}

/// One member of a finding's JSON object.
pub(crate) enum Member<'f, 't> {
    Text(&'f Text<'t>),
    Excerpt(&'f Excerpt<'t>),
    Value(&'f Value<'t>),
    Signature(Option<Signature>),
    Names(&'f [&'static str]),
    True,
}

impl Member<'_, '_> {
    fn is_empty_text(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Value(Value::Text(text)) => text.is_empty(),
            _ => false,
        }
    }
}

impl Serialize for Member<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Excerpt(excerpt) => excerpt.serialize(serializer),
            Self::Value(value) => value.serialize(serializer),
            Self::Signature(Some(signature)) => signature.serialize(serializer),
            Self::Signature(None) => serializer.serialize_str(""),
            Self::Names(names) => names.serialize(serializer),
            Self::True => serializer.serialize_bool(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_entries() {
        let region = b"[1]  a\n[2]   ? b\nx]  no\n[3]  \n x [4]  c [5]  d\n[6] e";
        let entries: Vec<_> = Trace::new(region).entries().collect();
        assert_eq!(entries, [b"a".as_slice(), b" ? b", b"", b"c [5]  d"]);
        let strict: Vec<_> = Trace::strict(region).entries().collect();
        assert_eq!(strict, [b"a".as_slice(), b"c [5]  d"]);
        assert!(Value::Trace(Trace::new(b"[1] a")).is_empty());
    }

    #[test]
    fn signature_fields_that_are_empty_do_not_count() {
        let mut finding = Finding::new("kbuild.compiler.error", Text::from("label at end of compound statement"));
        let file = "drivers/gpu/drm/nouveau/nvkm/subdev/gsp/r535.";
        finding.fields = vec![
            ("target", Value::Text(Text::from(format!("{file}o")))),
            ("src_file", Value::Text(Text::from(format!("{file}c")))),
            ("line_no", Value::Text(Text::from("1266"))),
            ("position", Value::Text(Text::from("3"))),
            ("location", Value::Null),
            ("script", Value::Text(Text::from("not a signature field"))),
        ];
        finding.signature_fields =
            Cow::Borrowed(&["error_type", "error_summary", "src_file", "target", "line_no", "position", "location"]);
        assert_eq!(finding.sign(|_| true).to_string(), "bdff5ace6a40728f86df44c842c1020c71f9fe89");
        let loc = finding.sign(|name| name != "error_summary" && name != "position");
        assert_eq!(loc.to_string(), "dfe30968806316c5b10a6458d7fb3c48aff50a61");
    }
}
