//! The baseline test: its script prints what the kernel complained about (spec 5.3, 8.1).

use crate::budget::Budget;
use crate::engine::{Record, State};
use crate::finding::{Finding, Value};
use crate::scan::{find, line_end};
use crate::states::kselftest::tag;
use crate::text::Text;

/// Set when the test was started.
pub(crate) const START: &str = "test.baseline.start";
const MESSAGE: &str = "kern  :";

pub(crate) const TEST_BASELINE: State = State { name: "test_baseline", run };

fn run<'t>(text: &'t [u8], budget: &mut Budget) -> Record<'t> {
    let signature_fields = &[START];
    let Some(start) = script(text, 0) else {
        return Record {
            fields: vec![(START, Value::Flag(false))],
            signature_fields,
            summary: "Baseline test not detected",
            end: text.len(),
            ..Record::default()
        };
    };
    // The second start of the script is taken for the end of the test.
    let end = script(text, start).unwrap_or(text.len());
    Record {
        fields: vec![(START, Value::Flag(true))],
        signature_fields,
        summary: "Baseline test started",
        findings: messages(&text[..end], start, budget),
        end,
    }
}

/// The end of the first call of the test's script from `from` on.
fn script(text: &[u8], from: usize) -> Option<usize> {
    tag(text, "/opt/kernelci/dmesg", "sh", from)
}

fn messages<'t>(text: &'t [u8], start: usize, budget: &mut Budget) -> Vec<Finding<'t>> {
    let mut findings = Vec::new();
    let mut from = start;
    while let Some(at) = find(text, MESSAGE, from).filter(|_| !budget.is_spent()) {
        budget.finding(0);
        let body = at + MESSAGE.len();
        from = line_end(text, body);
        let mut finding = Finding::new("test.baseline.dmesg", Text::borrowed(&text[body..from])).signed();
        finding.span = at..from;
        findings.push(finding);
    }
    findings
}
