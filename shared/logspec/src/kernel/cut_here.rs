//! A block between "cut here" and "end trace": usually a warning (spec 6.7).

use std::borrow::Cow;

use super::bug::sorted_modules;
use super::scanner::{Mark, Scanner};
use crate::finding::{Finding, Trace, Value};
use crate::scan::{Hit, find, line_end, stamp_before, stamped_rest};
use crate::text::Text;

pub(super) fn parse<'t>(scanner: &mut Scanner<'t, '_>, start: usize, end: usize) -> Option<(Finding<'t>, usize)> {
    let text = scanner.text;
    let first_line = line_end(&text[..end], start);
    let body = if first_line < end { first_line + 1 } else { start };
    let report_end = scanner.find(Mark::EndTrace, body, end)?.start;
    scanner.budget.work(2 * (report_end - body));
    let report = &text[..report_end];
    let mut finding = Finding::new("linux.kernel", Text::default());
    finding.report = Text::borrowed(&report[body..]).into();
    let mut location = Value::Null;
    let mut from = body;
    if let Some(headline) = headline(&report[body..]) {
        let kind = String::from_utf8_lossy(headline.kind);
        finding.error_type = Text::from(format!("linux.kernel.{}", kind.to_ascii_lowercase()));
        finding.error_summary = scanner.budget.concat([headline.kind, b" at ", headline.location]);
        location = Value::from(headline.location);
        from += headline.end;
    }
    let modules = stamped_rest(&report[from..], "] Modules linked in: ").map(|hit| hit.moved(from));
    from = modules.map_or(from, |hit: Hit| hit.end);
    let modules = modules.map_or_else(|| Value::List(Vec::new()), |hit| sorted_modules(scanner, hit));
    let hardware = scanner.find(Mark::Hardware, from, report_end);
    from = hardware.map_or(from, |hit| hit.end);
    let heading = scanner.find(Mark::CallTrace, from, report_end);
    let trace = heading.map_or(&[][..], |hit| &text[hit.end..report_end]);

    finding.fields = vec![
        ("hardware", hardware.map_or(Value::Null, |hit| Value::from(&text[hit.body..hit.end]))),
        ("location", location),
        ("call_trace", Value::Trace(Trace::new(trace))),
        ("modules", modules),
    ];
    finding.signature_fields = Cow::Borrowed(&["error_type", "error_summary", "location"]);
    Some((finding, report_end - start))
}

/// `WARNING: CPU: 0 PID: 0 at kernel/x.c:1 f+0x1/0x2`
struct Headline<'t> {
    kind: &'t [u8],
    location: &'t [u8],
    end: usize,
}

/// The first line with a time stamp, then capital letters and a colon, then " at ".
fn headline(text: &[u8]) -> Option<Headline<'_>> {
    let mut from = 0;
    while let Some(close) = find(text, "]", from) {
        if stamp_before(text, close).is_none() {
            from = close + 1;
            continue;
        }
        let end = line_end(text, close);
        if let Some((kind, location)) = kind_and_location(&text[close + 1..end]) {
            return Some(Headline { kind, location, end });
        }
        // What is missing after the first stamp of a line is missing after the others.
        from = end;
    }
    None
}

fn kind_and_location(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = (1..rest.len()).find(|&at| rest[at] == b':' && rest[at - 1].is_ascii_uppercase())?;
    let kind = rest[..colon].iter().rposition(|byte| !byte.is_ascii_uppercase()).map_or(0, |at| at + 1);
    let at = find(rest, " at ", colon + 1)?;
    Some((&rest[kind..colon], &rest[at + 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headlines() {
        let text = b"[1] a at b\nWARNING: x at y\n[2] x: aWARNING: CPU: 0 at c at d\n";
        let found = headline(text).expect("the last line is one");
        assert_eq!(
            (found.kind, found.location, found.end),
            (b"WARNING".as_slice(), b"c at d".as_slice(), text.len() - 1)
        );
        assert!(headline(b"[1] WARNING: at\n").is_none());
    }
}
