//! Error reports of the kernel (spec section 6): which class a report is of, and what follows it.
//!
//! A class is a row of [`CLASSES`] and a file. A class that has no end mark looks to the end of the log; [`Scanner`] remembers
//! such far searches, so that a thousand of them cost one.

mod bug;
mod cut_here;
mod null_pointer;
mod panic;
mod return_code;
mod scanner;
mod ubsan;

use crate::budget::Budget;
use crate::finding::Finding;
use scanner::{Mark, Scanner};

/// A class of reports: what they start with after a time stamp, and how one is read.
struct Class {
    /// Any of these. Without the bracket and the space between: what all of them have is what the automaton would look for,
    /// and every line of a log has it.
    starts: &'static [&'static str],
    /// Reads the report that starts at `start`, in the text up to `end`; gives its length too.
    parse: for<'t> fn(&mut Scanner<'t, '_>, start: usize, end: usize) -> Option<(Finding<'t>, usize)>,
}

/// The classes whose start is a time stamp with fixed text behind. At one place only one of them can start.
const CLASSES: [Class; 4] = [
    Class { starts: &["Unable to handle kernel NULL pointer dereference"], parse: null_pointer::parse },
    Class { starts: &["BUG", "kernel BUG"], parse: bug::parse },
    Class { starts: &["UBSAN:"], parse: ubsan::parse },
    Class { starts: &["Kernel panic"], parse: panic::parse },
];

/// What a start marker announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    /// A row of [`CLASSES`].
    Class(usize),
    /// A message with an error code; such a match begins with the first time stamp of the line.
    ReturnCode,
    /// A block between "cut here" and "end trace".
    CutHere,
}

/// A start marker in the text.
#[derive(Clone, Copy, Debug)]
struct Marker {
    start: usize,
    end: usize,
    what: Start,
}

/// All errors in a kernel's log, in order.
pub(crate) fn findings<'t>(text: &'t [u8], budget: &mut Budget) -> Vec<Finding<'t>> {
    let mut scanner = Scanner::new(text, budget);
    let mut findings = Vec::new();
    let mut from = 0;
    while let Some(marker) = scanner.marker(from) {
        let (finding, end) = report(&mut scanner, marker);
        // What the budget did not suffice for may lack something.
        if scanner.budget.is_spent() {
            break;
        }
        if let Some(finding) = finding {
            scanner.budget.finding(finding.fields.len());
            findings.push(finding);
        }
        debug_assert!(end > from, "a report takes text");
        from = end.max(from + 1).min(text.len());
    }
    findings
}

/// The error that starts here, if it is one, and where to go on.
fn report<'t>(scanner: &mut Scanner<'t, '_>, marker: Marker) -> (Option<Finding<'t>>, usize) {
    let end = scanner.text.len();
    if marker.what == Start::CutHere {
        return cut_here(scanner, marker);
    }
    match parse(scanner, marker, end) {
        Some((finding, len)) => (Some(finding), marker.start + len),
        None => (None, marker.end),
    }
}

/// A block is what the first marker inside it says; only when there is none, it is read as a block.
fn cut_here<'t>(scanner: &mut Scanner<'t, '_>, marker: Marker) -> (Option<Finding<'t>>, usize) {
    let end = scanner.text.len();
    if let Some(mark) = scanner.find(Mark::EndTrace, marker.end, end)
        && let Some(inner) = scanner.marker_inside(marker.end, mark.end)
    {
        let finding = parse(scanner, inner, mark.end).map(|(mut finding, _)| {
            finding.span = marker.start..mark.end;
            finding
        });
        return (finding, mark.end);
    }
    match parse(scanner, marker, end) {
        Some((finding, len)) => (Some(finding), marker.start + len),
        None => (None, marker.end),
    }
}

fn parse<'t>(scanner: &mut Scanner<'t, '_>, marker: Marker, end: usize) -> Option<(Finding<'t>, usize)> {
    let parse = match marker.what {
        Start::Class(index) => CLASSES[index].parse,
        Start::ReturnCode => return_code::parse,
        Start::CutHere => cut_here::parse,
    };
    let (finding, len) = parse(scanner, marker.start, end)?;
    let mut finding = finding.signed();
    finding.span = marker.start..marker.start + len;
    Some((finding, len))
}
