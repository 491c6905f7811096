//! One pass over JSON text, in pieces of any size, that keeps nothing.
//!
//! Invariants: what [`Checker`] takes is one JSON document in UTF-8 without byte order mark, nested no deeper than
//! [`MAX_DEPTH`] containers, whose strings decode to Unicode text (surrogate escapes come in pairs) and whose numbers
//! fit a double. Memory does not depend on the input. Errors carry the words and positions that `serde_json` would
//! print for the same text, because submitters know those.
//!
//! The rest of this crate reads only text that went through here and therefore need not look for syntax errors again.

mod number;
mod origins;
mod scan;

use number::Number;
pub use origins::ObjectOrigins;
use std::fmt;

/// How many containers may be open at once.
pub const MAX_DEPTH: u32 = 127;

/// What is wrong with the text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line} column {column}")]
pub struct SyntaxError {
    /// What was found or missed.
    pub problem: Problem,
    /// Line, counted from 1.
    pub line: u64,
    /// Byte of the line, counted from 1; 0 when the line is still empty.
    pub column: u64,
}

/// The kinds of syntax errors; `Display` gives the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is said in words by `as_str`")]
pub enum Problem {
    EofList,
    EofObject,
    EofString,
    EofValue,
    ExpectedColon,
    ExpectedListCommaOrEnd,
    ExpectedObjectCommaOrEnd,
    ExpectedIdent,
    ExpectedValue,
    InvalidEscape,
    InvalidNumber,
    NumberOutOfRange,
    InvalidUnicode,
    ControlCharacter,
    KeyMustBeAString,
    LoneSurrogate,
    UnexpectedEndOfHexEscape,
    TrailingComma,
    TrailingCharacters,
    RecursionLimit,
}

impl Problem {
    /// The sentence, without the position.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EofList => "EOF while parsing a list",
            Self::EofObject => "EOF while parsing an object",
            Self::EofString => "EOF while parsing a string",
            Self::EofValue => "EOF while parsing a value",
            Self::ExpectedColon => "expected `:`",
            Self::ExpectedListCommaOrEnd => "expected `,` or `]`",
            Self::ExpectedObjectCommaOrEnd => "expected `,` or `}`",
            Self::ExpectedIdent => "expected ident",
            Self::ExpectedValue => "expected value",
            Self::InvalidEscape => "invalid escape",
            Self::InvalidNumber => "invalid number",
            Self::NumberOutOfRange => "number out of range",
            Self::InvalidUnicode => "invalid unicode code point",
            Self::ControlCharacter => "control character (\\u0000-\\u001F) found while parsing a string",
            Self::KeyMustBeAString => "key must be a string",
            Self::LoneSurrogate => "lone leading surrogate in hex escape",
            Self::UnexpectedEndOfHexEscape => "unexpected end of hex escape",
            Self::TrailingComma => "trailing comma",
            Self::TrailingCharacters => "trailing characters",
            Self::RecursionLimit => "recursion limit exceeded",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a [`Watch`] is told of the outermost levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A member name starts (at its quote).
    Key,
    /// A value starts.
    Start,
    /// A value ended; the offset is that of the byte after it.
    End,
}

/// Somebody who looks on while a text is checked.
trait Watch {
    /// How many containers may be open around the names that are reported.
    const NAMES: u32;
    /// How many containers may be open around the values that are reported.
    const VALUES: u32;

    /// Something is at this offset in the piece, with so many containers open around it.
    fn mark(&mut self, mark: Mark, at: usize, depth: u32);
}

/// The names of the root, and values in two containers at most.
struct Outer<F>(F);

impl<F: FnMut(Mark, usize, u32)> Watch for Outer<F> {
    const NAMES: u32 = 1;
    const VALUES: u32 = 2;

    #[inline]
    fn mark(&mut self, mark: Mark, at: usize, depth: u32) {
        self.0(mark, at, depth);
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A value has to come: at the start, or after a colon.
    Value,
    /// After `[`.
    FirstElement,
    /// After a comma in a list.
    NextElement,
    /// After `{`.
    FirstKey,
    /// After a comma in an object.
    NextKey,
    Colon,
    /// After a value: comma or end of the container, or the end of the document.
    After,
    Text(Text),
    Number,
    /// The bytes of `true`, `false` or `null` still to come.
    Ident(&'static [u8]),
}

/// Where in a string.
#[derive(Debug, Clone, Copy)]
enum Text {
    Plain,
    /// After a backslash.
    Escape,
    /// Inside `\uXXXX`: digits seen and their value, none after a wrong one (judged when all four are there).
    Hex {
        seen: u8,
        value: Option<u16>,
    },
    /// After the escape of a high surrogate: `\`, then `u`, then four digits must come.
    PairBackslash,
    PairU,
    PairHex {
        seen: u8,
        value: Option<u16>,
    },
    /// Inside a character of several bytes: how many are missing, and the range of the next one.
    Utf8 {
        missing: u8,
        low: u8,
        high: u8,
    },
}

/// Takes a JSON document in pieces and says whether it is one.
///
/// After an error the checker must not be fed any more.
#[derive(Debug)]
pub struct Checker {
    state: State,
    /// Bit 0 is the innermost open container; set for an object.
    containers: u128,
    depth: u32,
    /// Whether the string being read is a member name.
    key: bool,
    number: Number,
    /// Bytes before the piece being read.
    offset: u64,
    line: u64,
    line_start: u64,
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self {
            state: State::Value,
            containers: 0,
            depth: 0,
            key: false,
            number: Number::default(),
            offset: 0,
            line: 1,
            line_start: 0,
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// The text so far cannot be the start of a JSON document.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), SyntaxError> {
        self.scan(piece, |_, _, _| ())
    }

    /// Says that there is nothing more to come.
    ///
    /// # Errors
    /// The text stopped before the end of the document.
    pub fn finish(mut self) -> Result<(), SyntaxError> {
        let problem = match self.state {
            State::Value | State::NextElement | State::NextKey | State::Ident(_) => Problem::EofValue,
            State::FirstElement => Problem::EofList,
            State::FirstKey | State::Colon => Problem::EofObject,
            State::Text(_) => Problem::EofString,
            State::Number if !self.number.may_end() => Problem::EofValue,
            State::Number if self.number.overflows() => Problem::NumberOutOfRange,
            State::Number | State::After => match self.innermost() {
                None => return Ok(()),
                Some(true) => Problem::EofObject,
                Some(false) => Problem::EofList,
            },
        };
        Err(self.fail(problem, &[], 0))
    }

    /// As [`Checker::feed`], and notes the origins of the objects in the piece.
    ///
    /// # Errors
    /// As [`Checker::feed`].
    pub fn feed_noting(&mut self, piece: &[u8], origins: &mut ObjectOrigins) -> Result<(), SyntaxError> {
        let mut noting = origins.begin(piece);
        self.watched(piece, &mut noting)?;
        noting.end();
        Ok(())
    }

    /// As [`Checker::feed`], and calls `mark(what, offset in the piece, containers open around it)` for what stands in
    /// at most two containers (names: in the root object only).
    pub(crate) fn scan(&mut self, piece: &[u8], mark: impl FnMut(Mark, usize, u32)) -> Result<(), SyntaxError> {
        self.watched(piece, &mut Outer(mark))
    }

    fn watched<W: Watch>(&mut self, piece: &[u8], watch: &mut W) -> Result<(), SyntaxError> {
        let mut at = 0;
        while at < piece.len() {
            at = match self.state {
                State::Text(_) => self.text(piece, at, watch)?,
                State::Number => self.number(piece, at, watch)?,
                State::Ident(rest) => self.ident(piece, at, rest, watch)?,
                _ => match self.structure(piece, at, watch)? {
                    Some(next) => next,
                    None => break,
                },
            };
        }
        self.offset += piece.len() as u64;
        Ok(())
    }

    /// Skips white space and takes one byte that is not inside a string, number or word.
    #[inline]
    fn structure<W: Watch>(
        &mut self,
        piece: &[u8],
        mut at: usize,
        watch: &mut W,
    ) -> Result<Option<usize>, SyntaxError> {
        let byte = loop {
            match piece.get(at) {
                None => return Ok(None),
                Some(b'\n') => {
                    self.line += 1;
                    self.line_start = self.offset + at as u64 + 1;
                }
                Some(b' ' | b'\t' | b'\r') => {}
                Some(&byte) => break byte,
            }
            at += 1;
        };
        match self.state {
            State::FirstElement if byte == b']' => self.close(at, watch),
            State::NextElement if byte == b']' => return Err(self.fail(Problem::TrailingComma, piece, at + 1)),
            State::Value | State::FirstElement | State::NextElement => self.value(byte, piece, at, watch)?,
            State::FirstKey | State::NextKey if byte == b'"' => {
                if self.depth <= W::NAMES {
                    watch.mark(Mark::Key, at, self.depth);
                }
                self.key = true;
                self.state = State::Text(Text::Plain);
            }
            State::FirstKey if byte == b'}' => self.close(at, watch),
            State::NextKey if byte == b'}' => return Err(self.fail(Problem::TrailingComma, piece, at + 1)),
            State::FirstKey | State::NextKey => return Err(self.fail(Problem::KeyMustBeAString, piece, at + 1)),
            State::Colon if byte == b':' => self.state = State::Value,
            State::Colon => return Err(self.fail(Problem::ExpectedColon, piece, at + 1)),
            State::After | State::Text(_) | State::Number | State::Ident(_) => self.after(byte, piece, at, watch)?,
        }
        Ok(Some(at + 1))
    }

    /// Takes the first byte of a value.
    #[inline]
    fn value<W: Watch>(&mut self, byte: u8, piece: &[u8], at: usize, watch: &mut W) -> Result<(), SyntaxError> {
        if self.depth <= W::VALUES {
            watch.mark(Mark::Start, at, self.depth);
        }
        self.state = match byte {
            b'"' => {
                self.key = false;
                State::Text(Text::Plain)
            }
            b'{' | b'[' => {
                if self.depth == MAX_DEPTH {
                    return Err(self.fail(Problem::RecursionLimit, piece, at + 1));
                }
                self.depth += 1;
                self.containers = self.containers << 1 | u128::from(byte == b'{');
                if byte == b'{' { State::FirstKey } else { State::FirstElement }
            }
            b't' => State::Ident(b"rue"),
            b'f' => State::Ident(b"alse"),
            b'n' => State::Ident(b"ull"),
            b'-' | b'0'..=b'9' => {
                self.number.start(byte);
                State::Number
            }
            _ => return Err(self.fail(Problem::ExpectedValue, piece, at + 1)),
        };
        Ok(())
    }

    /// Takes the byte after a value.
    #[inline]
    fn after<W: Watch>(&mut self, byte: u8, piece: &[u8], at: usize, watch: &mut W) -> Result<(), SyntaxError> {
        match (self.innermost(), byte) {
            (Some(true), b',') => self.state = State::NextKey,
            (Some(false), b',') => self.state = State::NextElement,
            (Some(true), b'}') | (Some(false), b']') => self.close(at, watch),
            (Some(true), _) => return Err(self.fail(Problem::ExpectedObjectCommaOrEnd, piece, at + 1)),
            (Some(false), _) => return Err(self.fail(Problem::ExpectedListCommaOrEnd, piece, at + 1)),
            (None, _) => return Err(self.fail(Problem::TrailingCharacters, piece, at + 1)),
        }
        Ok(())
    }

    /// Whether the innermost open container is an object; nothing at the outermost level.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.containers & 1 == 1)
    }

    fn close<W: Watch>(&mut self, at: usize, watch: &mut W) {
        self.depth -= 1;
        self.containers >>= 1;
        self.end(at + 1, watch);
    }

    #[inline]
    fn end<W: Watch>(&mut self, at: usize, watch: &mut W) {
        if self.depth <= W::VALUES {
            watch.mark(Mark::End, at, self.depth);
        }
        self.state = State::After;
    }

    fn ident<W: Watch>(
        &mut self,
        piece: &[u8],
        at: usize,
        rest: &'static [u8],
        watch: &mut W,
    ) -> Result<usize, SyntaxError> {
        match rest.split_first() {
            Some((&wanted, rest)) if piece[at] == wanted => {
                self.state = State::Ident(rest);
                if rest.is_empty() {
                    self.end(at + 1, watch);
                }
                Ok(at + 1)
            }
            _ => Err(self.fail(Problem::ExpectedIdent, piece, at + 1)),
        }
    }

    fn number<W: Watch>(&mut self, piece: &[u8], mut at: usize, watch: &mut W) -> Result<usize, SyntaxError> {
        while let Some(&byte) = piece.get(at) {
            match self.number.take(byte) {
                Some(true) => at += 1,
                Some(false) if self.number.overflows() => return Err(self.fail(Problem::NumberOutOfRange, piece, at)),
                Some(false) => {
                    self.end(at, watch);
                    return Ok(at);
                }
                None => return Err(self.fail(Problem::InvalidNumber, piece, at + 1)),
            }
        }
        Ok(at)
    }

    /// Reads on in a string until it ends or the piece does.
    fn text<W: Watch>(&mut self, piece: &[u8], mut at: usize, watch: &mut W) -> Result<usize, SyntaxError> {
        let State::Text(mut text) = self.state else { return Ok(at) };
        loop {
            if matches!(text, Text::Plain) {
                at += scan::plain(&piece[at..]);
            }
            let Some(&byte) = piece.get(at) else {
                self.state = State::Text(text);
                return Ok(at);
            };
            if byte == b'"' && matches!(text, Text::Plain) {
                if self.key {
                    self.state = State::Colon;
                } else {
                    self.end(at + 1, watch);
                }
                return Ok(at + 1);
            }
            text = match text.step(byte) {
                Ok(next) => next,
                Err(problem) => return Err(self.fail(problem, piece, at + 1)),
            };
            at += 1;
            if byte == b'\n' {
                // Among the digits of an escape; the error comes after the fourth.
                self.line += 1;
                self.line_start = self.offset + at as u64;
            }
        }
    }

    /// An error found after the first `end` bytes of the piece.
    fn fail(&mut self, problem: Problem, piece: &[u8], end: usize) -> SyntaxError {
        let end_offset = self.offset + end as u64;
        if end > 0 && piece[end - 1] == b'\n' {
            return SyntaxError { problem, line: self.line + 1, column: 0 };
        }
        SyntaxError { problem, line: self.line, column: end_offset - self.line_start }
    }
}

impl Text {
    /// Takes one byte that is not the closing quote.
    #[inline]
    fn step(self, byte: u8) -> Result<Self, Problem> {
        Ok(match self {
            Self::Plain => match byte {
                b'\\' => Self::Escape,
                0..0x20 => return Err(Problem::ControlCharacter),
                0x20..0x80 => Self::Plain,
                0xC2..=0xDF => Self::Utf8 { missing: 1, low: 0x80, high: 0xBF },
                0xE0 => Self::Utf8 { missing: 2, low: 0xA0, high: 0xBF },
                0xED => Self::Utf8 { missing: 2, low: 0x80, high: 0x9F },
                0xE1..=0xEF => Self::Utf8 { missing: 2, low: 0x80, high: 0xBF },
                0xF0 => Self::Utf8 { missing: 3, low: 0x90, high: 0xBF },
                0xF1..=0xF3 => Self::Utf8 { missing: 3, low: 0x80, high: 0xBF },
                0xF4 => Self::Utf8 { missing: 3, low: 0x80, high: 0x8F },
                _ => return Err(Problem::InvalidUnicode),
            },
            Self::Utf8 { missing, low, high } => match (low..=high).contains(&byte) {
                true if missing == 1 => Self::Plain,
                true => Self::Utf8 { missing: missing - 1, low: 0x80, high: 0xBF },
                false => return Err(Problem::InvalidUnicode),
            },
            Self::Escape => match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Self::Plain,
                b'u' => Self::Hex { seen: 0, value: Some(0) },
                _ => return Err(Problem::InvalidEscape),
            },
            Self::Hex { seen, value } => match hex(value, byte) {
                value if seen < 3 => Self::Hex { seen: seen + 1, value },
                None => return Err(Problem::InvalidEscape),
                Some(0xD800..=0xDBFF) => Self::PairBackslash,
                Some(0xDC00..=0xDFFF) => return Err(Problem::LoneSurrogate),
                Some(_) => Self::Plain,
            },
            Self::PairBackslash if byte == b'\\' => Self::PairU,
            Self::PairU if byte == b'u' => Self::PairHex { seen: 0, value: Some(0) },
            Self::PairBackslash | Self::PairU => return Err(Problem::UnexpectedEndOfHexEscape),
            Self::PairHex { seen, value } => match hex(value, byte) {
                value if seen < 3 => Self::PairHex { seen: seen + 1, value },
                None => return Err(Problem::InvalidEscape),
                Some(0xDC00..=0xDFFF) => Self::Plain,
                Some(_) => return Err(Problem::LoneSurrogate),
            },
        })
    }
}

/// Adds a digit to a `\uXXXX` escape.
fn hex(value: Option<u16>, byte: u8) -> Option<u16> {
    let digit = u16::try_from(char::from(byte).to_digit(16)?).ok()?;
    Some(value? << 4 | digit)
}

#[cfg(test)]
mod tests;
