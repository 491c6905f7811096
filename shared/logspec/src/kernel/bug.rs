//! `BUG` (spec 6.3).

use super::scanner::{Mark, Scanner};
use crate::chars;
use crate::finding::{Finding, Trace, Value};
use crate::scan::{Hit, find};
use crate::text::Text;

/// Messages that are the same bug whatever else they say.
const KNOWN: [&str; 3] = ["spinlock bad magic", "scheduling while atomic", "workqueue lockup"];

pub(super) fn parse<'t>(scanner: &mut Scanner<'t, '_>, start: usize, end: usize) -> Option<(Finding<'t>, usize)> {
    let text = scanner.text;
    let mark = scanner.find(Mark::EndTraceThree, start, end);
    let report_end = mark.map_or(end, |hit| hit.start);
    let mut finding = Finding::new("linux.kernel.bug", Text::default());
    if mark.is_some() {
        finding.report = Text::borrowed(&text[start..report_end]).into();
    }
    let mut from = summary(scanner, start, report_end, &mut finding).unwrap_or(start);

    let hardware = scanner.find(Mark::Hardware, from, report_end);
    from = hardware.map_or(from, |hit| hit.end);
    finding.fields.push(("hardware", hardware.map_or(Value::Null, |hit| Value::from(&text[hit.body..hit.end]))));

    let modules = scanner.find(Mark::Modules, from, report_end);
    if let Some(hit) = modules {
        from = hit.end;
        finding.fields.push(("modules", sorted_modules(scanner, hit)));
    }

    // A trace is looked for before the modules first, which is the usual order.
    let modules_at = modules.map_or(start, |hit| hit.start);
    let before = scanner.find(Mark::CallTrace, start, report_end).filter(|hit| hit.end <= modules_at);
    let before = before.map(|hit| &text[hit.end..modules_at]);
    let trace = before.or_else(|| Some(&text[scanner.find(Mark::CallTrace, from, report_end)?.end..report_end]));
    let trace = trace.unwrap_or_default();
    scanner.budget.work(trace.len());
    finding.fields.push(("call_trace", Value::Trace(Trace::strict(trace))));

    let len = if mark.is_some() { report_end - start } else { from - start };
    (len > 0).then_some((finding, len))
}

/// Sets the summary and the location, and gives the end of what says so.
fn summary<'t>(scanner: &mut Scanner<'t, '_>, start: usize, end: usize, finding: &mut Finding<'t>) -> Option<usize> {
    let text = scanner.text;
    if let Some(hit) = scanner.find(Mark::BugAt, start, end) {
        let location = &text[hit.body..hit.end - 1];
        finding.error_summary = scanner.budget.concat([b"kernel BUG at ", location]);
        finding.fields.push(("location", Value::from(location)));
        return Some(hit.end);
    }
    let hit = scanner.find(Mark::Bug, start, end)?;
    let message = &text[hit.body..hit.end];
    finding.error_summary = Text::borrowed(message);
    if let Some(at) = find(message, " at ", 0) {
        finding.fields.push(("location", Value::from(&message[at + 4..])));
    } else if let Some(known) = KNOWN.into_iter().find(|known| find(message, known, 0).is_some()) {
        finding.error_summary = Text::from(known);
    }
    Some(hit.end)
}

/// The names after `Modules linked in:`, in order of code points.
pub(super) fn sorted_modules<'t>(scanner: &mut Scanner<'t, '_>, hit: Hit) -> Value<'t> {
    let mut names = Vec::new();
    for name in chars::split_space(&scanner.text[hit.body..hit.end]) {
        scanner.budget.entry();
        if scanner.budget.is_spent() {
            break;
        }
        names.push(Text::borrowed(name));
    }
    names.sort_unstable_by(Text::cmp_chars);
    Value::List(names)
}
