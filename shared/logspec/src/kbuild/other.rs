//! Any other target: what was said after it was named (spec 7.7).

use std::ops::Range;

use memchr::memmem;

use super::make::Failure;
use super::{MAKE_FIELDS, quiet};
use crate::budget::Budget;
use crate::chars;
use crate::excerpt::{Excerpt, Lines};
use crate::finding::Finding;
use crate::scan::{clock, find, line_end};

pub(super) fn finding<'t>(before: &'t [u8], failure: Failure<'t>, budget: &mut Budget) -> Finding<'t> {
    let target = failure.target;
    let named = memmem::find(before, target).filter(|_| !target.is_empty());
    let said = Lines::new(before, named.map_or(before.len(), |at| at + target.len()), unindented);
    let mut finding = Finding::new("kbuild.other", budget.join(said.iter().filter_map(complaint)));
    finding.report = Excerpt::Lines(said);
    finding.fields = failure.fields();
    finding.signature_fields = MAKE_FIELDS.into();
    finding
}

/// The next line that does not begin with a blank. `from` is 0 or the end of a line.
fn unindented(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut start = if from == 0 { 0 } else { from + 1 };
    while start <= text.len() {
        let end = line_end(text, start);
        if chars::first(&text[start..end]).is_some_and(|(c, _)| !chars::is_space(c)) {
            return Some(start..end);
        }
        start = end + 1;
    }
    None
}

/// What a line adds to the summary.
fn complaint(line: &[u8]) -> Option<&[u8]> {
    if line.starts_with(b"***") {
        return Some(quiet(line));
    }
    let plain = &line[clock(line)..];
    find(plain, "error:", 0).map(|_| plain)
}
