//! Undefined behaviour caught by UBSAN (spec 6.4).

use std::borrow::Cow;

use super::scanner::{Mark, Scanner};
use crate::finding::{Finding, Value};
use crate::scan::{find, lines, stamp, stamped_where};
use crate::text::Text;

pub(super) fn parse<'t>(scanner: &mut Scanner<'t, '_>, start: usize, end: usize) -> Option<(Finding<'t>, usize)> {
    let dashes = scanner.find(Mark::UbsanDashes, start, end);
    let rule = scanner.find(Mark::UbsanRule, start, end);
    let report_end = dashes.into_iter().chain(rule).map(|hit| hit.start).min()?;
    scanner.budget.work(2 * (report_end - start));
    let report = &scanner.text[start..report_end];
    let mut summary: &[u8] = b"";
    let mut location = Value::Null;
    let mut from = 0;
    // The body is "what in where"; where it is said comes after the first " in ".
    if let Some(hit) = stamped_where(report, "] UBSAN: ", |rest| find(rest, " in ", 0).map(|_| rest.len())) {
        let body = &report[hit.body..hit.end];
        let at = find(body, " in ", 0).unwrap_or(body.len());
        summary = &body[..at];
        location = Value::from(&body[(at + 4).min(body.len())..]);
        from = hit.end;
    }
    from = (from + 1).min(report.len());
    let mut finding = Finding::new("linux.kernel.ubsan", Text::borrowed(summary));
    if let Some((details, end)) = details(&report[from..]) {
        finding.error_summary = scanner.budget.concat([summary, b": ", details]);
        from += end;
    }
    let hardware = scanner.find(Mark::Hardware, start + from, report_end);
    let hardware = hardware.map_or(Value::Null, |hit| Value::from(&scanner.text[hit.body..hit.end]));
    finding.fields = vec![("location", location), ("hardware", hardware)];
    finding.signature_fields = Cow::Borrowed(&["error_type", "error_summary", "location"]);
    finding.report = Text::borrowed(report).into();
    Some((finding, report_end - start))
}

/// What the first whole line without a colon says after its time stamp, and where that line ends.
fn details(text: &[u8]) -> Option<(&[u8], usize)> {
    lines(text).filter(|(at, line)| at + line.len() < text.len()).find_map(|(at, line)| {
        let details = line[stamp(line)?..].strip_prefix(b" ")?;
        (!details.contains(&b':')).then_some((details, at + line.len() + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_a_whole_stamped_line_without_colon() {
        assert_eq!(details(b"x y\n[1] a: b\n[1]c\n[2] d e\nf"), Some((b"d e".as_slice(), 26)));
        assert_eq!(details(b"[2] d e"), None);
    }
}
