//! A message that ends in an error code (spec 6.6).

use super::scanner::{Mark, Scanner};
use crate::finding::Finding;
use crate::text::Text;

/// The message is what follows the first colon of the line. A line without one takes its message from a later line.
pub(super) fn parse<'t>(scanner: &mut Scanner<'t, '_>, start: usize, end: usize) -> Option<(Finding<'t>, usize)> {
    let line_end = scanner.find(Mark::LineEnd, start, end).map_or(end, |hit| hit.start);
    let colon = scanner.find(Mark::Colon, start, end).filter(|hit| hit.end <= line_end);
    let here = colon.and_then(|colon| {
        let code = scanner.last_code(start, line_end).filter(|code| colon.end <= code.start)?;
        Some((colon.end, code.end))
    });
    let (from, to) = match here {
        Some(found) => found,
        None => scanner.find(Mark::CodeLine, line_end + 1, end).map(|hit| (hit.body, hit.end))?,
    };
    let mut finding = Finding::new("linux.kernel.error_return_code", Text::borrowed(&scanner.text[from..to]));
    finding.report = Text::borrowed(&scanner.text[start..to]).into();
    Some((finding, to - start))
}
