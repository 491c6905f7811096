//! The text of one log, and where its pieces lie in the file.
//!
//! Invariants: the text takes no more memory than the bytes it came from (it is made in place), and it is UTF-8 except that,
//! in a log that was not, the byte `0xFF` stands for U+FFFD: one byte, one code point, the same byte for every such character,
//! so that comparing bytes is comparing text.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};
use serde::Serialize;
use thiserror::Error;

use crate::chars::{self, REPLACED};

/// What becomes of line ends (spec section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnds {
    /// They stay as they are: a plain file in the worker.
    Raw,
    /// `\r\n` and a lone `\r` become `\n`: the command line, and compressed files in the worker.
    Universal,
}

/// A log that had to be UTF-8 is not.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not UTF-8 at byte {offset}; analyse it with invalid sequences replaced instead")]
pub struct NotUtf8 {
    /// The offset of the first byte that does not fit.
    pub offset: usize,
}

/// The text of one log.
#[derive(Debug)]
pub struct Log {
    text: Vec<u8>,
    /// Every code point is one byte.
    narrow: bool,
    dropped: Dropped,
}

impl Log {
    /// The text of these bytes; what is not UTF-8 becomes U+FFFD.
    pub fn new(bytes: Vec<u8>, ends: LineEnds) -> Self {
        let valid = std::str::from_utf8(&bytes).is_ok();
        Self::build(bytes, ends, valid)
    }

    /// The text of these bytes, which must be UTF-8.
    ///
    /// # Errors
    /// They are not.
    pub fn strict(bytes: Vec<u8>, ends: LineEnds) -> Result<Self, NotUtf8> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Self::build(bytes, ends, true)),
            Err(error) => Err(NotUtf8 { offset: error.valid_up_to() }),
        }
    }

    fn build(mut text: Vec<u8>, ends: LineEnds, valid: bool) -> Self {
        let mut dropped = Dropped::new(text.len());
        if !valid || (ends == LineEnds::Universal && memchr(b'\r', &text).is_some()) {
            rewrite(&mut text, ends, valid, &mut dropped);
        }
        let narrow = text.is_ascii();
        Self { text, narrow, dropped }
    }

    /// The text, `0xFF` for U+FFFD.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Bytes of text.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// How many code points come before this offset of the text.
    pub(crate) fn code_points(&self, offset: usize) -> usize {
        if self.narrow { offset } else { chars::count(&self.text[..offset]) }
    }
}

/// Where something lies in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The number of its first line, from 1.
    pub first_line: usize,
    /// The number of its last line.
    pub last_line: usize,
    /// Its bytes in the (decompressed) file. Absent in a log with so many line ends or invalid sequences replaced that to
    /// remember them all would take more than an eighth of its size.
    pub bytes: Option<Range<usize>>,
}

/// Finds places; fast when they are asked for in ascending order.
pub(crate) struct Locator<'t> {
    log: &'t Log,
    at: usize,
    line: usize,
    dropped: DroppedReader<'t>,
}

impl<'t> Locator<'t> {
    pub(crate) const fn new(log: &'t Log) -> Self {
        Self { log, at: 0, line: 1, dropped: DroppedReader::new(&log.dropped) }
    }

    /// The place of this range of the text.
    pub(crate) fn place(&mut self, span: &Range<usize>) -> Place {
        if span.start < self.at {
            *self = Self::new(self.log);
        }
        let (first_line, start) = self.go(span.start);
        // What ends with a line end ends in the line before it.
        let inner = span.end - usize::from(span.end > span.start && self.log.text[span.end - 1] == b'\n');
        let last_line = first_line + memchr_iter(b'\n', &self.log.text[span.start..inner]).count();
        let bytes = start.and_then(|start| Some(start..self.dropped.clone().original(span.end)?));
        Place { first_line, last_line, bytes }
    }

    fn go(&mut self, offset: usize) -> (usize, Option<usize>) {
        self.line += memchr_iter(b'\n', &self.log.text[self.at..offset]).count();
        self.at = offset;
        (self.line, self.dropped.original(offset))
    }
}

/// Rewrites the text in place. Nothing grows: every replacement is one byte.
fn rewrite(text: &mut Vec<u8>, ends: LineEnds, valid: bool, dropped: &mut Dropped) {
    let (mut read, mut write) = (0, 0);
    let mut next = NextSpecial::new(ends, valid);
    while read < text.len() {
        let end = next.from(text, read);
        text.copy_within(read..end, write);
        write += end - read;
        read = end;
        let Some(&byte) = text.get(read) else { break };
        let (new, width) = match byte {
            b'\r' => (b'\n', 1 + usize::from(text.get(read + 1) == Some(&b'\n'))),
            _ => (REPLACED, special_width(&text[read..])),
        };
        text[write] = new;
        dropped.push(write, width - 1);
        write += 1;
        read += width;
    }
    text.truncate(write);
}

/// Where the next character of each kind is that has to be replaced; each is looked for only when the last one is passed.
struct NextSpecial {
    carriage: usize,
    invalid: usize,
    replacement: usize,
}

impl NextSpecial {
    /// Kinds that do not matter are "at the end"; the others are looked for at once.
    fn new(ends: LineEnds, valid: bool) -> Self {
        let unless = |never: bool| if never { usize::MAX } else { 0 };
        Self { carriage: unless(ends == LineEnds::Raw), invalid: unless(valid), replacement: unless(valid) }
    }

    fn from(&mut self, text: &[u8], from: usize) -> usize {
        let rest = &text[from..];
        if self.carriage <= from {
            self.carriage = memchr(b'\r', rest).map_or(usize::MAX, |at| from + at);
        }
        if self.invalid <= from {
            self.invalid = std::str::from_utf8(rest).err().map_or(usize::MAX, |error| from + error.valid_up_to());
        }
        if self.replacement <= from {
            self.replacement = memmem::find(rest, "\u{FFFD}".as_bytes()).map_or(usize::MAX, |at| from + at);
        }
        self.carriage.min(self.invalid).min(self.replacement).min(text.len())
    }
}

/// How many bytes one U+FFFD stands for: its own three, or one maximal part of an invalid sequence.
fn special_width(text: &[u8]) -> usize {
    let head = &text[..text.len().min(4)];
    if head.starts_with("\u{FFFD}".as_bytes()) {
        return 3;
    }
    head.utf8_chunks().next().map_or(1, |chunk| chunk.invalid().len().max(1))
}

/// Which bytes of the text stand for more than one byte of the file: (distance from the last, bytes too many - 1) as
/// variable-length numbers.
#[derive(Debug)]
struct Dropped {
    stream: Vec<u8>,
    last: usize,
    limit: usize,
    complete: bool,
}

impl Dropped {
    const fn new(len: usize) -> Self {
        Self { stream: Vec::new(), last: 0, limit: len / 8 + 64, complete: true }
    }

    fn push(&mut self, at: usize, too_many: usize) {
        if too_many == 0 || !self.complete {
            return;
        }
        let mut number = (at - self.last) << 1 | (too_many - 1);
        while number >= 0x80 {
            self.stream.push(low_bits(number) | 0x80);
            number >>= 7;
        }
        self.stream.push(low_bits(number));
        self.last = at;
        if self.stream.len() >= self.limit {
            self.complete = false;
            self.stream = Vec::new();
        }
    }
}

fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 0x7F).expect("seven bits fit")
}

#[derive(Clone)]
struct DroppedReader<'t> {
    dropped: &'t Dropped,
    read: usize,
    last: usize,
    shift: usize,
}

impl<'t> DroppedReader<'t> {
    const fn new(dropped: &'t Dropped) -> Self {
        Self { dropped, read: 0, last: 0, shift: 0 }
    }

    /// The offset in the file of this offset of the text, which is not less than that of the last call.
    fn original(&mut self, offset: usize) -> Option<usize> {
        while let Some((at, too_many, read)) = self.peek().filter(|(at, ..)| *at < offset) {
            self.last = at;
            self.shift += too_many;
            self.read = read;
        }
        self.dropped.complete.then_some(offset + self.shift)
    }

    fn peek(&self) -> Option<(usize, usize, usize)> {
        let mut number = 0;
        for (index, &byte) in self.dropped.stream[self.read..].iter().enumerate() {
            number |= usize::from(byte & 0x7F) << (7 * index);
            if byte < 0x80 {
                return Some((self.last + (number >> 1), (number & 1) + 1, self.read + index + 1));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn universal(bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.replace("\r\n", "\n").replace('\r', "\n").into_bytes()
    }

    #[test]
    fn text_is_that_of_a_lossy_decoder() {
        let mut seed = 7_u32;
        let alphabet =
            [b'a', b'\n', b'\r', 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xFF, 0xEF, 0xBF, 0xBD];
        for round in 0..3000 {
            let bytes: Vec<u8> = (0..round % 40)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    alphabet[(seed >> 24) as usize % alphabet.len()]
                })
                .collect();
            let raw = Log::new(bytes.clone(), LineEnds::Raw);
            assert_eq!(crate::Text::borrowed(raw.bytes()).to_string(), String::from_utf8_lossy(&bytes), "{bytes:x?}");
            assert_eq!(raw.code_points(raw.len()), String::from_utf8_lossy(&bytes).chars().count());
            let log = Log::new(bytes.clone(), LineEnds::Universal);
            assert_eq!(crate::Text::borrowed(log.bytes()).to_string().into_bytes(), universal(&bytes), "{bytes:x?}");
            check_places(&log, &bytes);
        }
    }

    fn check_places(log: &Log, bytes: &[u8]) {
        let mut locator = Locator::new(log);
        for start in 0..log.len() {
            for end in start..log.len() {
                if chars::is_continuation(log.bytes()[start]) || chars::is_continuation(log.bytes()[end]) {
                    continue;
                }
                let place = locator.place(&(start..end));
                let piece = &bytes[place.bytes.expect("few replacements")];
                let text = crate::Text::borrowed(&log.bytes()[start..end]).to_string();
                assert_eq!(
                    String::from_utf8(universal(piece)).as_deref(),
                    Ok(text.as_str()),
                    "{start}..{end} of {bytes:x?}"
                );
            }
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        let log = Log::new(b"one\ntwo\nthree".to_vec(), LineEnds::Raw);
        let place = Locator::new(&log).place(&(4..8));
        assert_eq!(place, Place { first_line: 2, last_line: 2, bytes: Some(4..8) });
        assert_eq!(Locator::new(&log).place(&(2..9)).last_line, 3);
    }

    #[test]
    fn a_log_of_nothing_but_line_ends_is_not_remembered() {
        let log = Log::new(b"\r\n".repeat(10_000), LineEnds::Universal);
        assert_eq!(log.len(), 10_000);
        assert_eq!(Locator::new(&log).place(&(5..6)), Place { first_line: 6, last_line: 6, bytes: None });
    }

    #[test]
    fn strictness_names_the_byte() {
        assert_eq!(Log::strict(b"ab\xff".to_vec(), LineEnds::Raw).err(), Some(NotUtf8 { offset: 2 }));
    }
}
