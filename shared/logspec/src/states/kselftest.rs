//! The kernel's own tests: results in the TAP notation (spec 5.4, 8.2).

use memchr::memmem;

use crate::budget::Budget;
use crate::chars;
use crate::engine::{Record, State};
use crate::finding::{Finding, Value};
use crate::scan::{find, line_end};
use crate::text::Text;

/// Set when the script of the tests was called.
pub(crate) const CALLED: &str = "test.kselftest.script_call";
const START: &str = "test.kselftest.start";

pub(crate) const TEST_KSELFTEST: State = State { name: "test_kselftest", run };

fn run<'t>(text: &'t [u8], budget: &mut Budget) -> Record<'t> {
    let signature_fields = &[CALLED, START];
    let flags = |called, start| vec![(CALLED, Value::Flag(called)), (START, Value::Flag(start))];
    let Some(start) = tag(text, "kselftest", "sh", 0) else {
        return Record {
            fields: flags(false, false),
            signature_fields,
            summary: "Kselftest not detected",
            end: text.len(),
            ..Record::default()
        };
    };
    let last = last_result(&text[start..]).map(|end| start + end);
    let end = last.unwrap_or(text.len());
    Record {
        fields: flags(true, last.is_some()),
        signature_fields,
        summary: "Kselftest started",
        findings: failures(&text[..end], start, budget),
        end,
    }
}

/// The end of the first `head`, any character, `tail` from `from` on.
pub(super) fn tag(text: &[u8], head: &str, tail: &str, from: usize) -> Option<usize> {
    memmem::find_iter(&text[from..], head.as_bytes()).find_map(|at| {
        let dot = from + at + head.len();
        let (_, width) = chars::first(&text[dot..]).filter(|(c, _)| *c != '\n')?;
        text[dot + width..].starts_with(tail.as_bytes()).then_some(dot + width + tail.len())
    })
}

/// The end of the result mark whose test number starts at `number`.
fn mark(text: &[u8], number: usize) -> Option<usize> {
    const TAIL: &[u8] = b" selftests:";
    let end = number + chars::digits(&text[number..]);
    (end > number && text[end..].starts_with(TAIL)).then_some(end + TAIL.len())
}

/// The end of the last result mark, of a test that passed or not.
fn last_result(text: &[u8]) -> Option<usize> {
    memmem::rfind_iter(text, b"ok ").find_map(|at| mark(text, at + 3))
}

fn failures<'t>(text: &'t [u8], start: usize, budget: &mut Budget) -> Vec<Finding<'t>> {
    const FAILED: &str = "not ok ";
    let mut findings = Vec::new();
    let (mut from, mut reported) = (start, start);
    while let Some(at) = find(text, FAILED, from).filter(|_| !budget.is_spent()) {
        from = at + FAILED.len();
        let Some(body) = mark(text, from) else { continue };
        budget.finding(0);
        from = line_end(text, body);
        let mut finding = Finding::new("linux.kselftest", Text::borrowed(&text[at..from])).signed();
        finding.report = Text::borrowed(&text[reported..from]).into();
        finding.span = at..from;
        reported = from;
        findings.push(finding);
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_take_any_character_for_the_dot() {
        assert_eq!(tag(b"kselftest\nsh kselftestXsh", "kselftest", "sh", 0), Some(25));
        assert_eq!(tag("kselftest€sh".as_bytes(), "kselftest", "sh", 0), Some(14));
        assert_eq!(tag(b"kselftest.s", "kselftest", "sh", 0), None);
    }

    #[test]
    fn failures_quote_what_led_to_them() {
        let text = b"# a\nnot ok 1 selftests: a: b # exit=1\nok 2 selftests: c\nnot ok x\nnot ok 3 selftests: d\nok 4";
        let end = last_result(text).expect("three results");
        assert_eq!(&text[end - 12..end], b"3 selftests:");
        let found = failures(&text[..end], 0, &mut Budget::new(text.len()));
        let summaries: Vec<_> = found.iter().map(|finding| finding.error_summary.to_string()).collect();
        assert_eq!(summaries, ["not ok 1 selftests: a: b # exit=1", "not ok 3 selftests:"]);
        assert_eq!(found[1].report.to_string(), "\nok 2 selftests: c\nnot ok x\nnot ok 3 selftests:");
    }
}
