//! The error of a kernel build (spec section 7): at most one, the one that the first failing make names.
//!
//! Names taken from the log (targets, objects) are compared as they are written; nothing in them is a pattern.

mod compiler;
mod linker;
mod make;
mod modpost;
mod names;
mod other;
mod paths;

use memchr::memmem;

use crate::budget::Budget;
use crate::chars;
use crate::excerpt::Excerpt;
use crate::finding::Finding;
use crate::scan::{find, line_end, line_start};
use crate::text::Text;
use make::Failure;

/// The signature fields of the classes that know no more than what make says.
const MAKE_FIELDS: &[&str] = &["error_type", "error_summary", "script", "target"];

/// The error, and the end of the line with which make gave up.
pub(crate) fn finding<'t>(text: &'t [u8], budget: &mut Budget) -> Option<(Finding<'t>, usize)> {
    let line = make::line(text)?;
    let message = &text[line.message..line.end];
    let (mut finding, start) = match make::failure(text, message) {
        Some(failure) => classified(&text[..line.start], failure, budget),
        None => (unknown(message), line.start),
    };
    budget.finding(finding.fields.len());
    finding.span = start..line.end;
    Some((finding, line.end))
}

/// The error of the class that the failure is of, and where in the log it begins.
fn classified<'t>(before: &'t [u8], failure: Failure<'t>, budget: &mut Budget) -> (Finding<'t>, usize) {
    let stem = paths::stem(failure.target);
    let extension = &failure.target[stem.len()..];
    if extension == b".o" || extension == b".s" || names::is_named(before, paths::base_name(stem), budget) {
        return compiler::finding(before, failure, budget);
    }
    let finding = if find(failure.script, "modpost", 0).is_some() {
        modpost::finding(before, failure, budget)
    } else if failure.target == b"modules" || failure.target == b"Module.symvers" {
        make::finding(before, failure, budget)
    } else {
        other::finding(before, failure, budget)
    };
    let start = match &finding.report {
        Excerpt::Lines(lines) => lines.starts().next(),
        Excerpt::Piece(_) => None,
    };
    (finding.signed(), line_start(before, start.unwrap_or(before.len())))
}

/// A message of make that names no target. Too vague for a signature.
fn unknown(message: &[u8]) -> Finding<'_> {
    let mut finding = Finding::new("kbuild.unknown", Text::borrowed(message));
    finding.report = Text::borrowed(message).into();
    finding
}

/// Stars, blanks and line ends around what make shouts.
fn quiet(text: &[u8]) -> &[u8] {
    chars::trim(text, |c| matches!(c, '*' | '\n' | ' '))
}

/// The place behind the first `ld: ` of each line, with the end of the line.
fn linker_lines(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    const LINKER: &[u8] = b"ld: ";
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + memmem::find(&text[from..], LINKER)? + LINKER.len();
        from = line_end(text, start);
        Some((start, from))
    })
}
