//! The vocabulary of the specification's patterns (section 2), as searches that look at every byte a bounded number of times.

use memchr::{memchr, memmem, memrchr};

use crate::chars;

/// A match of a pattern that ends in "the rest of the line" or in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// Where the match starts.
    pub(crate) start: usize,
    /// Where its fixed text ends and what it captures begins.
    pub(crate) body: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

impl Hit {
    /// The same match in a text that has `by` bytes more in front.
    pub(crate) const fn moved(self, by: usize) -> Self {
        Self { start: self.start + by, body: self.body + by, end: self.end + by }
    }
}

/// The offset of the next LF from `from` on, or the length of the text.
pub(crate) fn line_end(text: &[u8], from: usize) -> usize {
    memchr(b'\n', &text[from..]).map_or(text.len(), |at| from + at)
}

/// Where the line begins that `at` is in.
pub(crate) fn line_start(text: &[u8], at: usize) -> usize {
    memrchr(b'\n', &text[..at]).map_or(0, |lf| lf + 1)
}

/// The first occurrence of `needle` from `from` on.
pub(crate) fn find(text: &[u8], needle: &str, from: usize) -> Option<usize> {
    memmem::find(&text[from..], needle.as_bytes()).map(|at| from + at)
}

/// The lines of `text` with their offsets; what follows the last LF is one too, even when it is empty.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let end = line_end(text, start);
        next = (end < text.len()).then_some(end + 1);
        Some((start, &text[start..end]))
    })
}

/// Where the kernel time stamp starts whose closing bracket is at `close`.
pub(crate) fn stamp_before(text: &[u8], close: usize) -> Option<usize> {
    let mut at = close;
    loop {
        match text[..at].last()? {
            b'[' => return (at < close).then(|| at - 1),
            b' ' | b'.' | b'0'..=b'9' => at -= 1,
            0x80.. => match chars::digit_before(&text[..at]) {
                0 => return None,
                width => at -= width,
            },
            _ => return None,
        }
    }
}

/// The length of the kernel time stamp that `text` begins with.
pub(crate) fn stamp(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'[') {
        return None;
    }
    let close = memchr(b']', text.get(..line_end(text, 0))?)?;
    (stamp_before(text, close) == Some(0)).then_some(close + 1)
}

/// Time stamps followed by `literal`, which begins with the stamp's bracket: (start, end) of each, leftmost first.
pub(crate) fn stamped<'a>(text: &'a [u8], literal: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    debug_assert!(literal.starts_with(']'), "{literal}");
    memmem::find_iter(text, literal.as_bytes())
        .filter_map(move |close| Some((stamp_before(text, close)?, close + literal.len())))
}

/// The first time stamp followed by `literal`, with the rest of the line as its body.
pub(crate) fn stamped_rest(text: &[u8], literal: &str) -> Option<Hit> {
    let (start, body) = stamped(text, literal).next()?;
    Some(Hit { start, body, end: line_end(text, body) })
}

/// As [`stamped_rest`], but the rest of the line has to satisfy `end_of`, which says where the match ends in it. What fails
/// for the first stamp of a line fails for the others, because they see less of it.
pub(crate) fn stamped_where(text: &[u8], literal: &str, end_of: impl Fn(&[u8]) -> Option<usize>) -> Option<Hit> {
    let mut from = 0;
    loop {
        let (start, body) = stamped(&text[from..], literal).next()?;
        let (start, body) = (from + start, from + body);
        let end = line_end(text, body);
        if let Some(len) = end_of(&text[body..end]) {
            return Some(Hit { start, body, end: body + len });
        }
        from = end;
    }
}

/// Where the run of dashes starts that ends at `end`; nothing when there is no dash.
pub(crate) fn dashes_before(text: &[u8], end: usize) -> Option<usize> {
    let start = text[..end].iter().rposition(|&byte| byte != b'-').map_or(0, |at| at + 1);
    (start < end).then_some(start)
}

/// Where "time stamp, space, dashes" starts that ends at `end`.
pub(crate) fn dashed_stamp_before(text: &[u8], end: usize) -> Option<usize> {
    let dashes = dashes_before(text, end)?;
    stamp_before(text, text[..dashes].strip_suffix(b"] ")?.len())
}

/// The first "time stamp, space, dashes, `literal`".
pub(crate) fn stamped_dashes(text: &[u8], literal: &str) -> Option<Hit> {
    memmem::find_iter(text, literal.as_bytes()).find_map(|at| {
        let end = at + literal.len();
        Some(Hit { start: dashed_stamp_before(text, at)?, body: end, end })
    })
}

/// The length of the build clock stamp (`12:34:56`, then blanks) that `text` begins with, or 0.
pub(crate) fn clock(text: &[u8]) -> usize {
    let mut len = 0;
    for index in 0..6 {
        if index == 2 || index == 4 {
            if text.get(len) != Some(&b':') {
                return 0;
            }
            len += 1;
        }
        match chars::digit(&text[len..]) {
            0 => return 0,
            width => len += width,
        }
    }
    len + text[len..].iter().take_while(|&&byte| byte == b' ').count()
}

/// Where the build clock stamp starts that ends at `end`; `end` when there is none.
pub(crate) fn clock_before(text: &[u8], end: usize) -> usize {
    let mut at = text[..end].iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    for index in 0..6 {
        if index == 2 || index == 4 {
            if text[..at].last() != Some(&b':') {
                return end;
            }
            at -= 1;
        }
        match chars::digit_before(&text[..at]) {
            0 => return end,
            width => at -= width,
        }
    }
    at
}

/// The last answer of a search from an ascending place, so that what lies far ahead is looked for once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memo<T> {
    asked: usize,
    known: bool,
    answer: Option<T>,
}

impl<T: Copy> Memo<T> {
    /// Nothing is known yet.
    pub(crate) const NEW: Self = Self { asked: 0, known: false, answer: None };

    /// The first match from `from` on; `start` says where a match starts. Whether something matches must not depend on `from`.
    pub(crate) fn get(&mut self, from: usize, start: fn(&T) -> usize, search: impl FnOnce() -> Option<T>) -> Option<T> {
        let holds = self.known && self.asked <= from && self.answer.as_ref().is_none_or(|hit| from <= start(hit));
        if !holds {
            *self = Self { asked: from, known: true, answer: search() };
        }
        self.answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        for good in ["[    1.234567]", "[1]", "[ ]", "[...]", "[١٢]"] {
            assert_eq!(stamp(good.as_bytes()), Some(good.len()), "{good}");
        }
        for bad in ["[]", "[\t1]", "[1", "1]", "[a]", "[1\n]", "x[1]", ""] {
            assert_eq!(stamp(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(stamp_before(b"[1[2]", 4), Some(2));
    }

    #[test]
    fn stamped_text_is_found_leftmost() {
        let text = b"x] BUG [] BUG [1] BUG a\n[2] BUG b";
        assert_eq!(stamped_rest(text, "] BUG "), Some(Hit { start: 14, body: 22, end: 23 }));
        let bang = |rest: &[u8]| memrchr(b'b', rest).map(|at| at + 1);
        assert_eq!(stamped_where(text, "] BUG ", bang), Some(Hit { start: 24, body: 32, end: 33 }));
        assert_eq!(stamped_dashes(b"[1]--[ end trace [1] --[ end trace", "[ end trace").map(|hit| hit.start), Some(17));
    }

    #[test]
    fn clocks() {
        assert_eq!(clock(b"12:34:56  x"), 10);
        assert_eq!(clock("١٢:34:56".as_bytes()), 10);
        for bad in ["12:34:5", "1:34:56", "12-34:56", "12:3456", ""] {
            assert_eq!(clock(bad.as_bytes()), 0, "{bad}");
        }
        assert_eq!(clock_before(b"012:34:56  x", 11), 1);
        assert_eq!(clock_before(b"12:34-56  x", 10), 10);
    }

    #[test]
    fn a_memo_searches_again_only_when_it_must() {
        let mut memo = Memo::NEW;
        let mut searches = 0;
        for from in [0, 3, 5, 6, 9] {
            let answer = memo.get(
                from,
                |hit: &usize| *hit,
                || {
                    searches += 1;
                    (from <= 5).then_some(5)
                },
            );
            assert_eq!(answer, (from <= 5).then_some(5));
        }
        assert_eq!(searches, 2);
    }
}
