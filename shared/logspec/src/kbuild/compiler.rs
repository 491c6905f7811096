//! A file that did not compile (spec 7.4).

use memchr::memmem;

use super::linker;
use super::make::Failure;
use super::names::{Mention, mentions};
use super::paths;
use crate::budget::Budget;
use crate::chars;
use crate::finding::{BASIC, Finding, Value};
use crate::scan::{clock, find, line_end, line_start};
use crate::text::Text;

/// What the compiler or the linker says. Empty where they do not say it.
#[derive(Default)]
pub(super) struct Message<'t> {
    /// `error`, `warning`, or what else the message calls itself.
    pub(super) kind: Option<&'t [u8]>,
    pub(super) summary: Text<'t>,
    pub(super) src_file: Text<'t>,
    pub(super) location: &'t [u8],
    pub(super) line_no: &'t [u8],
    pub(super) position: &'t [u8],
}

/// The error, and where in the log it begins.
pub(super) fn finding<'t>(before: &'t [u8], failure: Failure<'t>, budget: &mut Budget) -> (Finding<'t>, usize) {
    let stem = paths::stem(failure.target);
    let (start, message) = match one_line(before, stem) {
        Some(found) => found,
        None => block(before, failure.target, stem, budget),
    };
    let error_type = match message.kind {
        Some(kind) => budget.concat([b"kbuild.compiler.", kind]),
        None => Text::from("kbuild.compiler"),
    };
    let mut finding = Finding::new(error_type, message.summary);
    finding.report = Text::borrowed(&before[start..]).into();
    finding.fields = failure.fields();
    finding.fields.push(("src_file", Value::Text(message.src_file)));
    let mut signature_fields = [BASIC, &["src_file", "target"]].concat();
    for (name, value) in [("location", message.location), ("line_no", message.line_no), ("position", message.position)]
    {
        finding.fields.push((name, Value::from(value)));
        if !value.is_empty() {
            signature_fields.push(name);
        }
    }
    finding.signature_fields = signature_fields.into();
    finding.signature_loc = Some(finding.sign(|name| name != "error_summary" && name != "position"));
    let start = if start < before.len() { start } else { line_start(before, start) };
    (finding.signed(), start)
}

/// The first line of the form `…stem….c:12:3: kind: summary`, whatever the kind is.
fn one_line<'t>(before: &'t [u8], stem: &[u8]) -> Option<(usize, Message<'t>)> {
    let finder = memmem::Finder::new(stem);
    let mut from = 0;
    while let Some(at) = finder.find(&before[from..]) {
        let start = from + at;
        let end = line_end(before, start);
        if end == before.len() {
            return None;
        }
        if let Some(message) = diagnostic(&before[start..end], stem.len()) {
            return Some((line_start(before, start), message));
        }
        from = end + 1;
    }
    None
}

/// `file:line:column: kind: summary`, where the colon after the file comes after `skip` bytes.
fn diagnostic(line: &[u8], skip: usize) -> Option<Message<'_>> {
    let number = |at: usize| (chars::digits(&line[at..]), at);
    let colons = memchr::memchr_iter(b':', &line[skip..]).map(|at| skip + at);
    let (colon, line_no, position, end) = colons.into_iter().find_map(|colon| {
        let (len, start) = number(colon + 1);
        let line_no = start..start + len;
        let (columns, start) = number(line_no.end + usize::from(line.get(line_no.end) == Some(&b':')));
        let position = start..start + columns;
        let fits = len > 0 && columns > 0 && start == line_no.end + 1 && line[position.end..].starts_with(b": ");
        let end = position.end + 2;
        fits.then_some((colon, line_no, position, end))
    })?;
    let kind = find(line, ": ", end)?;
    Some(Message {
        kind: Some(&line[end..kind]),
        summary: Text::borrowed(&line[kind + 2..]),
        src_file: Text::borrowed(&line[..colon]),
        line_no: &line[line_no],
        position: &line[position],
        location: b"",
    })
}

/// What is said from the last line on that has the stem in it. Nothing is, when that is the first line of the log.
fn block<'t>(before: &'t [u8], target: &[u8], stem: &[u8], budget: &mut Budget) -> (usize, Message<'t>) {
    let start = memmem::rfind(before, stem).map_or(0, |at| line_start(before, at));
    if start == 0 {
        return (before.len(), Message::default());
    }
    let report = &before[start..];
    let message = match find(report, "ld: ", 0) {
        Some(_) => linker::message(report, target, budget),
        None => compiler_message(report, target, stem, budget),
    };
    (start, message)
}

/// A message over several lines: what is wrong in one, where in another.
fn compiler_message<'t>(report: &'t [u8], target: &[u8], stem: &[u8], budget: &mut Budget) -> Message<'t> {
    let mut message = Message::default();
    if let Some((kind, summary)) = complaint(report) {
        message.kind = Some(kind);
        message.summary = Text::borrowed(summary);
    }
    let numbered = |mention: &Mention| chars::digit(&report[mention.after..]) > 0;
    if let Some(mention) = mentions(report, stem, budget).find(numbered) {
        message.src_file = Text::borrowed(&report[mention.name]);
        message.location = &report[mention.after..mention.after + chars::digits(&report[mention.after..])];
    } else if let Some(mention) = mentions(report, paths::base_name(stem), budget).find(numbered) {
        message.src_file = paths::join(paths::directory(target), &report[mention.name]).into();
        message.location = &report[mention.after..mention.after + chars::digits(&report[mention.after..])];
    }
    message
}

/// The first whole line with `error: ` or `warning: `: which of them, and the line without its clock stamp and outer blanks.
fn complaint(report: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = report;
    loop {
        let end = line_end(rest, 0);
        if end == rest.len() {
            return None;
        }
        let line = &rest[clock(rest).min(end)..end];
        let kinds = ["error", "warning"].into_iter().zip([find(line, "error: ", 0), find(line, "warning: ", 0)]);
        let first = kinds.filter_map(|(kind, at)| Some((at?, kind))).min();
        if let Some((at, kind)) = first {
            return Some((&line[at..at + kind.len()], chars::trim(line, chars::is_space)));
        }
        rest = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics() {
        let line = b"a/b.c:1:22: fatal error: x: y";
        let message = diagnostic(line, 3).expect("it is one");
        assert_eq!(message.kind, Some(b"fatal error".as_slice()));
        assert_eq!(message.summary.to_string(), "x: y");
        assert_eq!((message.line_no, message.position), (b"1".as_slice(), b"22".as_slice()));
        let shifted = diagnostic(b"a.c:1:2:3: k: s", 1).expect("it is one");
        assert_eq!((shifted.src_file.to_string().as_str(), shifted.line_no), ("a.c:1", b"2".as_slice()));
        for bad in ["a.c:1: k: s", "a.c:1:2: k", "a.c:1:2:k: s", "a.c::2: k: s"] {
            assert!(diagnostic(bad.as_bytes(), 1).is_none(), "{bad}");
        }
    }

    #[test]
    fn complaints_are_whole_lines() {
        let report = b"x\n12:00:01 cc1: warning: a error: b \nerror: c";
        assert_eq!(complaint(report), Some((b"warning".as_slice(), b"cc1: warning: a error: b".as_slice())));
        assert_eq!(complaint(b"error: c"), None);
    }
}
