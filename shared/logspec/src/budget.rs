//! How much a log may cost. Every search is linear; this is the stop for what they find together, so that a log made to be
//! expensive ends in an answer and not in a stuck worker.

use crate::text::Text;

/// Bytes that findings and what they hold may take, besides what they borrow from the log.
const MEMORY: usize = 32 << 20;
/// Bytes that may be looked at per byte of the log, besides the first reading.
const WORK_PER_BYTE: usize = 16;
/// Work that the smallest log may take.
const WORK: usize = 4 << 20;
/// What a finding takes.
const FINDING: usize = 320;
/// What each field of its class adds to that, with what is made of it in an issue.
const FIELD: usize = 160;
/// What an entry of a list takes.
const ENTRY: usize = 32;

/// What is left to spend on a log.
#[derive(Debug)]
pub(crate) struct Budget {
    work: usize,
    memory: usize,
}

impl Budget {
    /// For a log of so many bytes.
    pub(crate) const fn new(len: usize) -> Self {
        Self { work: len.saturating_mul(WORK_PER_BYTE).saturating_add(WORK), memory: MEMORY }
    }

    /// Pays for looking at bytes.
    pub(crate) const fn work(&mut self, bytes: usize) {
        self.work = self.work.saturating_sub(bytes);
    }

    /// Pays for one more finding with so many fields of its class.
    pub(crate) const fn finding(&mut self, fields: usize) {
        self.memory = self.memory.saturating_sub(FINDING + FIELD * fields);
    }

    /// Pays for one more entry of a list.
    pub(crate) const fn entry(&mut self) {
        self.memory = self.memory.saturating_sub(ENTRY);
    }

    /// The pieces in a row; what cannot be paid is left out.
    pub(crate) fn concat<'p>(&mut self, pieces: impl IntoIterator<Item = &'p [u8]>) -> Text<'static> {
        let mut all = Vec::new();
        for piece in pieces {
            let piece = Text::borrowed(piece);
            let affordable = piece.cut(self.memory);
            all.extend_from_slice(affordable.as_bytes());
            self.memory -= affordable.as_bytes().len();
            if affordable.as_bytes().len() < piece.as_bytes().len() {
                self.memory = 0;
                break;
            }
        }
        all.into()
    }

    /// The pieces that are not empty, with a blank between them.
    pub(crate) fn join<'p>(&mut self, pieces: impl Iterator<Item = &'p [u8]>) -> Text<'static> {
        let pieces = pieces.filter(|piece| !piece.is_empty());
        let spaced = pieces.enumerate().flat_map(|(index, piece)| [if index == 0 { &b""[..] } else { b" " }, piece]);
        self.concat(spaced)
    }

    /// Whether nothing is left.
    pub(crate) const fn is_spent(&self) -> bool {
        self.work == 0 || self.memory == 0
    }

    /// What was too much, when nothing is left.
    pub(crate) const fn reason(&self) -> &'static str {
        if self.memory == 0 { "too many errors to keep" } else { "too much work" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_paid_is_left_out() {
        let mut budget = Budget { work: 1, memory: 5 };
        assert_eq!(budget.join([b"a".as_slice(), b"", b"b"].into_iter()), Text::from("a b"));
        assert!(!budget.is_spent());
        assert_eq!(budget.concat(["xé".as_bytes(), b"y"]), Text::from("x"));
        assert!(budget.is_spent());
    }
}
