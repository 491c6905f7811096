//! Reading JSON text that went through the syntax check.
//!
//! Invariant: every function may rely on the text being right, and gives nothing when the text holds something else than
//! was asked for. Nothing here recurses.

mod decode;

use std::borrow::Cow;

/// Strings longer than this, in bytes, are worth care with memory.
const LONG: usize = 1 << 20;

/// A place in JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    pub(crate) at: usize,
    /// Where strings with escapes are put together.
    scratch: String,
    /// Whether strings have to be of their class.
    pub(crate) check: bool,
    /// Whether strings are kept, or only checked.
    pub(crate) keep: bool,
}

impl<'a> Cursor<'a> {
    /// At the start of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, scratch: String::new(), check: true, keep: true }
    }

    /// At the start of the value after white space: its first byte.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Steps over a byte, when it is the next one.
    #[inline]
    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek() == byte).then(|| self.at += 1)
    }

    /// Calls `each` at the value of every member, with the decoded name.
    #[inline]
    pub(crate) fn object(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Option<()>) -> Option<()> {
        self.eat(b'{')?;
        if self.peek() == b'}' {
            return self.eat(b'}');
        }
        loop {
            let name = self.string()?;
            self.eat(b':')?;
            each(self, name)?;
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
        }
    }

    /// Calls `each` at every element.
    #[inline]
    pub(crate) fn list(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(b'[')?;
        if self.peek() == b']' {
            return self.eat(b']');
        }
        loop {
            each(self)?;
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
    }

    /// Steps over the comma after an element.
    #[inline]
    pub(crate) fn next_element(&mut self) {
        let _ = self.eat(b',');
    }

    /// A string without U+0000, of any length; only when strings are kept it is decoded.
    #[inline]
    pub(crate) fn text_without_nul(&mut self) -> Option<Cow<'a, str>> {
        if !self.keep && self.peek() == b'"' {
            let (bytes, inside) = (self.text.as_bytes(), self.at + 1);
            let end = decode::end(bytes, inside);
            // A raw U+0000 is no JSON. After an escaped backslash this is not its escape, and then decoding tells.
            if memchr::memmem::find(&bytes[inside..end], b"\\u0000").is_none() {
                self.at = end;
                return Some(Cow::Borrowed(&self.text[inside..end - 1]));
            }
        }
        self.string().filter(|text| !self.check || !text.contains('\0'))
    }

    /// A string of at most so many bytes before decoding.
    pub(crate) fn short_string(&mut self, most: usize) -> Option<Cow<'a, str>> {
        let start = self.at;
        if self.peek() == b'"' && decode::end(self.text.as_bytes(), self.at + 1) - self.at > most {
            self.at = start;
            return None;
        }
        self.string()
    }

    /// A string, decoded; borrowed when it has no escapes.
    #[inline]
    pub(crate) fn string(&mut self) -> Option<Cow<'a, str>> {
        self.eat(b'"')?;
        let start = self.at;
        self.at += decode::run(&self.text.as_bytes()[start..]);
        if self.text.as_bytes().get(self.at) == Some(&b'"') {
            self.at += 1;
            return Some(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        self.scratch.clear();
        self.at = decode::string(self.text, start, &mut self.scratch);
        // A long string is not copied once more.
        let long = self.scratch.len() > LONG;
        Some(Cow::Owned(if long { std::mem::take(&mut self.scratch) } else { self.scratch.as_str().to_owned() }))
    }

    /// How many characters a string has.
    pub(crate) fn characters(&mut self) -> Option<usize> {
        (self.peek() == b'"').then(|| decode::length(self.text, self.at + 1))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Option<bool> {
        let (value, length) = match self.peek() {
            b't' => (true, 4),
            b'f' => (false, 5),
            _ => return None,
        };
        self.at += length;
        Some(value)
    }

    /// The text of a number.
    pub(crate) fn number(&mut self) -> Option<&'a str> {
        matches!(self.peek(), b'-' | b'0'..=b'9').then(|| {
            let start = self.at;
            let rest = &self.text.as_bytes()[start..];
            let end = rest.iter().position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
            self.at += end.unwrap_or(rest.len());
            &self.text[start..self.at]
        })
    }

    /// The text from a place on.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Any value: its text.
    pub(crate) fn raw(&mut self) -> &'a str {
        self.peek();
        let start = self.at;
        self.skip();
        &self.text[start..self.at]
    }

    /// Steps over a value.
    fn skip(&mut self) {
        let bytes = self.text.as_bytes();
        let mut open = 0_usize;
        loop {
            match self.peek() {
                b'"' => self.at = decode::end(bytes, self.at + 1),
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open -= 1;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => {
                    let rest = &bytes[self.at..];
                    let end =
                        rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r'));
                    self.at += end.unwrap_or(rest.len());
                }
            }
            if open == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind() {
        let mut cursor = Cursor::new(r#" { "a" : [ 1.5e3 , true,false ] , "\u0062\n":{"x":"]}"} ,"c":-7}"#);
        let mut seen = Vec::new();
        cursor
            .object(|cursor, name| {
                match name.as_ref() {
                    "a" => cursor.list(|cursor| {
                        let text = cursor
                            .number()
                            .map(str::to_owned)
                            .or_else(|| cursor.boolean().map(|value| value.to_string()))?;
                        seen.push(text);
                        Some(())
                    })?,
                    _ => seen.push(format!("{name}={}", cursor.raw())),
                }
                Some(())
            })
            .unwrap();
        assert_eq!(seen, ["1.5e3", "true", "false", "b\n={\"x\":\"]}\"}", "c=-7"]);
    }

    #[test]
    fn strings_as_serde_json_reads_them() {
        let texts = [
            r#""""#,
            r#""abc""#,
            r#""a\"b\\c\/d\b\f\n\r\té""#,
            r#""\u00e9\ud83d\ude00\u0000x""#,
            r#""12345678\n12345678""#,
        ];
        for text in texts {
            let wanted: String = serde_json::from_str(text).unwrap();
            let mut cursor = Cursor::new(text);
            assert_eq!(cursor.string().unwrap(), wanted);
            assert_eq!(cursor.at, text.len());
            assert_eq!(Cursor::new(text).raw(), text);
        }
        assert_eq!(Cursor::new("5").string(), None);
    }
}
