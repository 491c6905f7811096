//! The origins of a document's objects, noted while its syntax is checked.
//!
//! Invariants: counted are the strings that are a member `origin` of an object that is an element of one of the lists in
//! [`LISTS`], which is a member of the root, and nothing else; where a name comes more than once, each of its values.
//! Where the text is cut makes no difference. Memory is bounded by [`MOST`] and [`LONGEST`]; an origin that was seen
//! before costs a comparison of its bytes.

use super::{Mark, Watch};
use crate::read::Cursor;
use std::borrow::Cow;

/// The lists of objects in all versions; `revisions` is what `checkouts` was called once.
const LISTS: [&str; 6] = ["checkouts", "builds", "tests", "issues", "incidents", "revisions"];

/// How many origins are remembered.
const MOST: usize = 64;
/// How many bytes an origin may have to be remembered.
const LONGEST: usize = 256;
/// Bytes of a string's text that are looked at: a character takes six at most for each of its bytes, then two quotes.
const LONGEST_TEXT: usize = 6 * LONGEST + 2;

/// The distinct origins of the objects in a document.
#[derive(Debug, Default)]
pub struct ObjectOrigins {
    seen: Vec<String>,
    more: bool,
    /// In one of the lists, and there is something left to note.
    in_list: bool,
    /// The value that comes next is an origin.
    expected: bool,
    taken: Taken,
    /// The text of the string being taken, as far as it was in earlier pieces; cut where it cannot matter any more.
    text: Vec<u8>,
    /// The text of the last origin, quotes included.
    last: Vec<u8>,
}

/// Which string is being taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Taken {
    #[default]
    Nothing,
    /// The name of a member of the root, or of an object.
    Name,
    Origin,
}

impl ObjectOrigins {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The origins, in the order of their first objects; at most 64, each of at most 256 bytes.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Whether there are others: beyond the first 64, or longer than 256 bytes.
    pub fn more(&self) -> bool {
        self.more
    }

    pub(super) fn begin<'a>(&'a mut self, piece: &'a [u8]) -> Noting<'a> {
        Noting { origins: self, piece, from: 0 }
    }

    /// Nothing can be added any more.
    fn is_full(&self) -> bool {
        self.more && self.seen.len() == MOST
    }

    /// Notes the origin with this text.
    fn note(&mut self, text: &[u8]) {
        let origin = decoded(text).filter(|origin| origin.len() <= LONGEST);
        match origin {
            Some(origin) if self.seen.iter().any(|known| *known == origin) => self.remember(text),
            Some(origin) if self.seen.len() < MOST => {
                self.seen.push(origin.into_owned());
                self.remember(text);
            }
            _ => self.more = true,
        }
        self.in_list = !self.is_full();
    }

    fn remember(&mut self, text: &[u8]) {
        self.last.clear();
        self.last.extend_from_slice(text);
    }
}

/// The origins, and the piece that is being read.
pub(super) struct Noting<'a> {
    origins: &'a mut ObjectOrigins,
    piece: &'a [u8],
    /// Where the string being taken starts or goes on in the piece.
    from: usize,
}

impl Noting<'_> {
    /// Keeps what the next piece will continue.
    pub(super) fn end(self) {
        if self.origins.taken != Taken::Nothing {
            keep(&mut self.origins.text, &self.piece[self.from..]);
        }
    }

    fn take(&mut self, taken: Taken, at: usize) {
        self.origins.taken = taken;
        self.origins.text.clear();
        self.from = at;
    }

    /// Ends taking: whether the name that ends before this offset is one of `names`.
    fn is_name(&mut self, names: &[&str], at: usize) -> bool {
        self.origins.taken = Taken::Nothing;
        keep(&mut self.origins.text, &self.piece[self.from..at]);
        // White space and the colon may follow.
        let end = closing_quote(&self.origins.text);
        let name = end.and_then(|end| decoded(&self.origins.text[..=end]));
        name.is_some_and(|name| names.contains(&name.as_ref()))
    }

    /// The name of an object's member starts. Nearly all names show at a glance whether they are `origin`.
    #[inline]
    fn name(&mut self, at: usize) {
        match self.piece.get(at + 1..at + 8) {
            Some(b"origin\"") => self.origins.expected = true,
            Some([b'o' | b'\\', ..]) | None => self.take(Taken::Name, at),
            Some(_) => {}
        }
    }

    /// The value of an object's member starts.
    #[inline]
    fn value(&mut self, at: usize) {
        let expected = std::mem::take(&mut self.origins.expected);
        if expected || self.origins.taken == Taken::Name && self.is_name(&["origin"], at) {
            self.origin(at);
        }
    }

    fn origin(&mut self, at: usize) {
        let text = &self.piece[at..];
        let again = !self.origins.last.is_empty() && text.starts_with(&self.origins.last);
        if text[0] == b'"' && !again {
            self.take(Taken::Origin, at);
        }
    }

    /// An origin ended before this offset.
    fn origin_ends(&mut self, at: usize) {
        self.origins.taken = Taken::Nothing;
        if self.origins.text.is_empty() {
            self.origins.note(&self.piece[self.from..at]);
            return;
        }
        let mut text = std::mem::take(&mut self.origins.text);
        keep(&mut text, &self.piece[self.from..at]);
        self.origins.note(&text);
        self.origins.text = text;
    }
}

impl Watch for Noting<'_> {
    const NAMES: u32 = 3;
    const VALUES: u32 = 3;

    #[inline]
    fn mark(&mut self, mark: Mark, at: usize, depth: u32) {
        match (mark, depth) {
            // Only lists have `in_list`: what has a name in three containers is a member of an element.
            (Mark::Key, 3) if self.origins.in_list => self.name(at),
            (Mark::Start, 3) if self.origins.in_list => self.value(at),
            (Mark::End, 3) if self.origins.taken == Taken::Origin => self.origin_ends(at),
            (Mark::Key, 1) => self.take(Taken::Name, at),
            (Mark::Start, 1) => {
                let named = self.origins.taken == Taken::Name && self.is_name(&LISTS, at);
                self.origins.in_list = named && self.piece[at] == b'[' && !self.origins.is_full();
            }
            _ => {}
        }
    }
}

/// Appends as much as can matter.
fn keep(text: &mut Vec<u8>, bytes: &[u8]) {
    let room = LONGEST_TEXT.saturating_sub(text.len());
    text.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Where the string ends that starts at 0.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    let quote = text.iter().skip(1).position(|&byte| {
        let closing = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closing
    });
    quote.map(|before| before + 1)
}

/// The string with this text; none for one that was cut.
fn decoded(text: &[u8]) -> Option<Cow<'_, str>> {
    if text.len() > LONGEST_TEXT || closing_quote(text)? + 1 != text.len() {
        return None;
    }
    Cursor::new(std::str::from_utf8(text).ok()?).string()
}

#[cfg(test)]
mod tests;
