//! The kernel panicked (spec 6.5).

use super::scanner::{Mark, Scanner};
use crate::finding::{Finding, Trace, Value};
use crate::scan::{find, lines, stamp, stamped_where};
use crate::text::Text;

#[expect(clippy::unnecessary_wraps, reason = "a row of the table of classes")]
pub(super) fn parse<'t>(scanner: &mut Scanner<'t, '_>, start: usize, end: usize) -> Option<(Finding<'t>, usize)> {
    let mark = scanner.find(Mark::EndPanic, start, end);
    let report_end = mark.map_or_else(|| start + stamped_lines(&scanner.text[start..end]), |hit| hit.start);
    scanner.budget.work(report_end - start);
    let report = &scanner.text[start..report_end];
    let mut summary: &[u8] = b"";
    let mut from = start;
    if let Some(hit) = stamped_where(report, "] Kernel panic ", |rest| find(rest, ": ", 0).map(|_| rest.len())) {
        let body = &report[hit.body..hit.end];
        summary = find(body, ": ", 0).map_or(summary, |colon| &body[colon + 2..]);
        from = start + hit.end;
    }
    let hardware = scanner.find(Mark::Hardware, from, report_end);
    from = hardware.map_or(from, |hit| hit.end);
    let heading = scanner.find(Mark::CallTrace, from, report_end);
    let trace = heading.map_or(&[][..], |hit| &scanner.text[hit.end..report_end]);

    let mut finding = Finding::new("linux.kernel.panic", Text::borrowed(summary));
    finding.fields = vec![
        ("hardware", hardware.map_or(Value::Null, |hit| Value::from(&scanner.text[hit.body..hit.end]))),
        ("call_trace", Value::Trace(Trace::new(trace))),
    ];
    finding.report = Text::borrowed(report).into();
    Some((finding, report_end - start))
}

/// The length of the lines that `text` begins with and that begin with a time stamp, without the last line end.
fn stamped_lines(text: &[u8]) -> usize {
    let stamped = lines(text).take_while(|(_, line)| stamp(line).is_some());
    stamped.last().map_or(0, |(at, line)| at + line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_without_end_is_its_stamped_lines() {
        assert_eq!(stamped_lines(b"[1] a\n[2] b\nU-Boot\n[3] c"), 11);
        assert_eq!(stamped_lines(b"[1] a\n"), 5);
    }
}
