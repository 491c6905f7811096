//! What the module post-processor rejects (spec 7.6).

use std::ops::Range;

use memchr::memmem;

use super::MAKE_FIELDS;
use super::make::Failure;
use crate::budget::Budget;
use crate::excerpt::{Excerpt, Lines};
use crate::finding::Finding;
use crate::scan::{clock_before, find, line_end};

const TAG: &str = ": modpost: ";

pub(super) fn finding<'t>(before: &'t [u8], failure: Failure<'t>, budget: &mut Budget) -> Finding<'t> {
    let complaints = Lines::new(before, 0, complaint);
    // Messages are joined as they are, empty ones too.
    let messages = complaints.iter().enumerate().flat_map(|(index, line)| {
        let message = find(line, TAG, 0).map_or(line.len(), |at| at + TAG.len());
        [if index == 0 { &b""[..] } else { b" " }, &line[message..]]
    });
    let mut finding = Finding::new("kbuild.modpost", budget.concat(messages));
    finding.report = Excerpt::Lines(complaints);
    finding.fields = failure.fields();
    finding.signature_fields = MAKE_FIELDS.into();
    finding
}

/// `ERROR` or `FATAL`, the tag and the rest of the line, with the clock stamp in front.
fn complaint(text: &[u8], from: usize) -> Option<Range<usize>> {
    memmem::find_iter(&text[from..], TAG).find_map(|at| {
        let head = &text[from..from + at];
        let word = [b"ERROR", b"FATAL"].into_iter().find(|word| head.ends_with(*word))?;
        Some(from + clock_before(head, head.len() - word.len())..line_end(text, from + at))
    })
}
