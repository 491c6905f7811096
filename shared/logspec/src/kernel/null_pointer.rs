//! A null pointer was followed (spec 6.2).

use std::borrow::Cow;

use super::scanner::{Mark, Scanner};
use crate::chars;
use crate::finding::{Finding, Trace, Value};
use crate::scan::{find, line_end};
use crate::text::Text;

const ADDRESS: &str = "at virtual address ";

pub(super) fn parse<'t>(scanner: &mut Scanner<'t, '_>, start: usize, end: usize) -> Option<(Finding<'t>, usize)> {
    let report_end = scanner.find(Mark::EndTraceThree, start, end)?.start;
    scanner.budget.work(2 * (report_end - start));
    let report = &scanner.text[start..report_end];
    let mut from = 0;
    let mut address = None;
    if let Some(at) = find(report, ADDRESS, 0) {
        from = line_end(report, at);
        address = Some(&report[at + ADDRESS.len()..from]);
    }
    let mut hardware = Value::Null;
    if let Some(hit) = scanner.find(Mark::Hardware, start + from, report_end) {
        hardware = Value::from(&scanner.text[hit.body..hit.end]);
        // The reference goes on from the distance between its last place and this one, counted in code points.
        from = chars::offset_of(report, chars::count(&scanner.text[start + from..hit.end]));
    }
    let heading = scanner.find(Mark::CallTrace, start + from, report_end);
    let trace = heading.map_or(&[][..], |hit| &scanner.text[hit.end..report_end]);

    let summary = match address {
        Some(address) => scanner.budget.concat([b"NULL pointer dereference at virtual address ", address]),
        None => Text::from("NULL pointer dereference"),
    };
    let mut finding = Finding::new("linux.kernel.null_pointer_dereference", summary);
    finding.fields = vec![
        ("hardware", hardware),
        ("address", address.map_or(Value::Null, Value::from)),
        ("call_trace", Value::Trace(Trace::new(trace))),
    ];
    finding.signature_fields = Cow::Borrowed(&["error_type", "error_summary", "address", "call_trace"]);
    finding.report = Text::borrowed(report).into();
    Some((finding, report_end - start))
}
