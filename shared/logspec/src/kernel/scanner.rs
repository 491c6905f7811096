//! Searches in a kernel's log, each over the same bytes once.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::{memmem, memrchr};

use super::{CLASSES, Marker, Start};
use crate::budget::Budget;
use crate::chars;
use crate::scan::{
    Hit, Memo, dashed_stamp_before, find, line_end, line_start, stamp_before, stamped, stamped_dashes, stamped_rest,
    stamped_where,
};

/// What reports consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The end of a block, with exactly three dashes.
    EndTraceThree,
    /// The end of a block.
    EndTrace,
    /// The end of a panic.
    EndPanic,
    /// The end of a block, its dashes anywhere.
    UbsanDashes,
    /// The end of a UBSAN report.
    UbsanRule,
    /// `Hardware name`, the name as body.
    Hardware,
    /// `Modules linked in:`, the rest of the line as body.
    Modules,
    /// `kernel BUG at … !`, the match ending with the last exclamation mark.
    BugAt,
    /// `BUG: `, the message as body.
    Bug,
    /// The heading of a call trace.
    CallTrace,
    /// The end of a line.
    LineEnd,
    /// Colon and space.
    Colon,
    /// A whole line with a colon and then an error code: body behind the colon, end behind the last code.
    CodeLine,
}

const MARKS: usize = Mark::CodeLine as usize + 1;
const CUT_HERE: &str = "[ cut here ]";
const CODE: &str = "error -";
const RULE: [u8; 80] = [b'='; 80];

static STARTS: LazyLock<(AhoCorasick, Vec<Start>)> = LazyLock::new(|| {
    let classes = CLASSES.iter().enumerate();
    let mut starts: Vec<(&str, Start)> = classes
        .flat_map(|(index, class)| class.starts.iter().map(move |start| (*start, Start::Class(index))))
        .collect();
    starts.push((CUT_HERE, Start::CutHere));
    let (literals, starts): (Vec<_>, Vec<_>) = starts.into_iter().unzip();
    let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals);
    (automaton.expect("six short literals"), starts)
});

static CALL_TRACE: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder().ascii_case_insensitive(true).build(["] call trace:"]).expect("one short literal")
});

/// A kernel's log and what is already known of it.
pub(super) struct Scanner<'t, 'b> {
    pub(super) text: &'t [u8],
    pub(super) budget: &'b mut Budget,
    marks: [Memo<Hit>; MARKS],
    fixed_start: Memo<Marker>,
    code_start: Memo<Marker>,
    /// The last error code of the line that ends here.
    last_code: Option<(usize, Option<Hit>)>,
}

impl<'t, 'b> Scanner<'t, 'b> {
    pub(super) fn new(text: &'t [u8], budget: &'b mut Budget) -> Self {
        Self { text, budget, marks: [Memo::NEW; MARKS], fixed_start: Memo::NEW, code_start: Memo::NEW, last_code: None }
    }

    /// The first such mark in `from..to`. A search to the end of the text is remembered; any other has to be over a part that
    /// no later report looks at.
    pub(super) fn find(&mut self, mark: Mark, from: usize, to: usize) -> Option<Hit> {
        let text = self.text;
        if from > to {
            return None;
        }
        if to == text.len() {
            return self.marks[mark as usize].get(
                from,
                |hit| hit.start,
                || mark.search(&text[from..]).map(|hit| hit.moved(from)),
            );
        }
        self.budget.work(to - from);
        mark.search(&text[from..to]).map(|hit| hit.moved(from))
    }

    /// The first start marker from `from` on.
    pub(super) fn marker(&mut self, from: usize) -> Option<Marker> {
        let text = &self.text[from..];
        let start = |marker: &Marker| marker.start;
        let fixed = self.fixed_start.get(from, start, || fixed_marker(text, true).map(|marker| marker.moved(from)));
        let code = self.code_start.get(from, start, || code_marker(text).map(|marker| marker.moved(from)));
        first(fixed, code)
    }

    /// The first start marker in `from..to`, a block of which no other is inside.
    pub(super) fn marker_inside(&mut self, from: usize, to: usize) -> Option<Marker> {
        self.budget.work(2 * (to - from));
        let text = &self.text[from..to];
        first(fixed_marker(text, false), code_marker(text)).map(|marker| marker.moved(from))
    }

    /// The last error code in `from..to`, where `to` is the end of a line or of the part that may be looked at.
    pub(super) fn last_code(&mut self, from: usize, to: usize) -> Option<Hit> {
        let text = self.text;
        let hit = match self.last_code {
            Some((line, hit)) if line == to => hit,
            _ => {
                let hit = last_code(&text[from..to]).map(|hit| hit.moved(from));
                self.last_code = Some((to, hit));
                hit
            }
        };
        hit.filter(|hit| hit.start >= from)
    }
}

impl Marker {
    const fn moved(self, by: usize) -> Self {
        Self { start: self.start + by, end: self.end + by, what: self.what }
    }
}

impl Mark {
    /// The first such mark in a text. Whether something is a mark does not depend on where the text begins.
    fn search(self, text: &[u8]) -> Option<Hit> {
        let point = |at, len| Hit { start: at, body: at + len, end: at + len };
        match self {
            Self::EndTraceThree => {
                stamped(text, "] ---[ end trace").next().map(|(start, end)| Hit { start, body: end, end })
            }
            Self::EndPanic => {
                stamped(text, "] ---[ end Kernel panic").next().map(|(start, end)| Hit { start, body: end, end })
            }
            Self::EndTrace => stamped_dashes(text, "[ end trace"),
            Self::UbsanDashes => {
                let dash = find(text, "-[ end trace", 0)?;
                let start = crate::scan::dashes_before(text, dash).unwrap_or(dash);
                Some(Hit { start, body: dash, end: dash })
            }
            Self::UbsanRule => memmem::find(text, &RULE).map(|at| point(at, RULE.len())),
            Self::Hardware => stamped_rest(text, "] Hardware name: "),
            Self::Modules => stamped_rest(text, "] Modules linked in:"),
            Self::BugAt => stamped_where(text, "] kernel BUG at ", |rest| memrchr(b'!', rest).map(|bang| bang + 1)),
            Self::Bug => stamped_rest(text, "] BUG: "),
            Self::CallTrace => CALL_TRACE.find_iter(text).find_map(|found| {
                let start = stamp_before(text, found.start())?;
                Some(Hit { start, body: found.end(), end: found.end() })
            }),
            Self::LineEnd => memchr::memchr(b'\n', text).map(|at| point(at, 1)),
            Self::Colon => find(text, ": ", 0).map(|at| point(at, 2)),
            Self::CodeLine => code_line(text),
        }
    }
}

/// The leftmost of two markers; where both start together, the class that comes first.
fn first(one: Option<Marker>, other: Option<Marker>) -> Option<Marker> {
    one.into_iter().chain(other).min_by_key(|marker| (marker.start, marker.what))
}

/// The first marker with fixed text. Literals come in the order of their markers, because nothing but stamps and dashes lies
/// between the start of a marker and its literal.
fn fixed_marker(text: &[u8], cut_here: bool) -> Option<Marker> {
    let (automaton, starts) = &*STARTS;
    automaton.find_iter(text).find_map(|found| {
        let what = starts[found.pattern().as_usize()];
        let (start, end) = match what {
            Start::CutHere if !cut_here => return None,
            Start::CutHere => (dashed_stamp_before(text, found.start())?, line_end(text, found.end())),
            _ => (stamp_before(text, text[..found.start()].strip_suffix(b"] ")?.len())?, found.end()),
        };
        Some(Marker { start, end, what })
    })
}

/// The end of the error code at `at`, where [`CODE`] is known to be.
fn code_end(text: &[u8], at: usize) -> Option<usize> {
    let number = at + CODE.len();
    let digits = chars::digits(&text[number..]);
    (digits > 0).then_some(number + digits)
}

/// The first time stamp and space that an error code follows on the same line, with the first such code.
fn code_marker(text: &[u8]) -> Option<Marker> {
    let mut seen = 0;
    for at in memmem::find_iter(text, CODE) {
        let Some(end) = code_end(text, at) else { continue };
        let from = seen.max(seen + line_start(&text[seen..at], at - seen));
        if let Some((start, _)) = stamped(&text[from..at], "] ").next() {
            return Some(Marker { start: from + start, end, what: Start::ReturnCode });
        }
        seen = at;
    }
    None
}

/// The last error code in a text.
fn last_code(text: &[u8]) -> Option<Hit> {
    memmem::rfind_iter(text, CODE).find_map(|at| Some(Hit { start: at, body: at, end: code_end(text, at)? }))
}

/// The first line with a colon and an error code behind it. The text begins with a line.
fn code_line(text: &[u8]) -> Option<Hit> {
    let mut from = 0;
    while let Some(at) = find(text, CODE, from) {
        let start = from + line_start(&text[from..], at - from);
        let end = line_end(text, at);
        let line = &text[start..end];
        let body = find(line, ": ", 0).map(|colon| colon + 2);
        if let (Some(body), Some(code)) = (body, last_code(line))
            && body <= code.start
        {
            return Some(Hit { start, body: start + body, end: start + code.end });
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(text: &str) -> Option<(usize, Start, usize)> {
        let mut budget = Budget::new(text.len());
        Scanner::new(text.as_bytes(), &mut budget).marker(0).map(|marker| (marker.start, marker.what, marker.end))
    }

    #[test]
    fn the_leftmost_start_wins_and_then_the_first_class() {
        assert_eq!(starts("[1] Kernel panic - error -22"), Some((0, Start::Class(3), 16)));
        assert_eq!(starts("[1] x [2] Kernel panic error -22 error -3"), Some((0, Start::ReturnCode, 32)));
        assert_eq!(starts("error -1 [1] --[ cut here ]-- error -2\n"), Some((9, Start::ReturnCode, 38)));
        assert_eq!(starts("[1] --[ cut here ]-- error -\n"), Some((0, Start::CutHere, 28)));
        assert_eq!(starts("] BUG [x] BUG\n[1] \nerror -1 [2] kernel BUG"), Some((28, Start::Class(1), 42)));
        assert_eq!(starts("[1] error -x"), None);
    }

    #[test]
    fn code_lines() {
        let text = b"error -1 a: b\nc: d error -x\ne: f: error -22 error -3 g\n";
        assert_eq!(code_line(text).map(|hit| &text[hit.body..hit.end]), Some(b"f: error -22 error -3".as_slice()));
    }
}
