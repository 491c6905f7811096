//! Pieces of a log.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::chars::{self, REPLACED};

/// A piece of a log, borrowed wherever it is one, made only where pieces had to be joined.
///
/// It prints as text and counts as text; the bytes inside are those of the [`Log`](crate::Log), in which `0xFF` may stand for
/// U+FFFD, so that a log is never copied just because it is not UTF-8 throughout.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Text<'t>(Cow<'t, [u8]>);

impl<'t> Text<'t> {
    /// A piece of a log as it is.
    pub(crate) const fn borrowed(bytes: &'t [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    /// The bytes as in the log.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no character.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text; borrowed when it is a piece of the log without a replaced character.
    pub fn as_str(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The longest beginning that has at most `limit` bytes and does not cut a character.
    #[must_use]
    pub fn cut(&self, limit: usize) -> Text<'_> {
        let mut end = limit.min(self.0.len());
        while end < self.0.len() && chars::is_continuation(self.0[end]) {
            end -= 1;
        }
        Text::borrowed(&self.0[..end])
    }

    /// The order by code points.
    pub(crate) fn cmp_chars(&self, other: &Self) -> Ordering {
        let differ = self.0.iter().zip(other.0.iter()).position(|(a, b)| a != b);
        let (left, right) = differ.map_or((&self.0[..], &other.0[..]), |at| (&self.0[at..], &other.0[at..]));
        if left.first() == Some(&REPLACED) || right.first() == Some(&REPLACED) {
            return String::from_utf8_lossy(left).cmp(&String::from_utf8_lossy(right));
        }
        left.cmp(right)
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl From<&'static str> for Text<'_> {
    fn from(text: &'static str) -> Self {
        Self::borrowed(text.as_bytes())
    }
}

impl From<Vec<u8>> for Text<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{FFFD}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_str(), f)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_characters_show_and_sort_as_such() {
        let odd = Text::from(vec![b'a', REPLACED]);
        assert_eq!(odd.to_string(), "a\u{FFFD}");
        assert_eq!(odd.cmp_chars(&Text::from("a😀")), Ordering::Less);
        assert_eq!(odd.cmp_chars(&Text::from("aé")), Ordering::Greater);
        assert_eq!(odd.cmp_chars(&Text::from("a")), Ordering::Greater);
        assert_eq!(Text::from("a").cmp_chars(&Text::from("ab")), Ordering::Less);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let text = Text::from("aé😀");
        assert_eq!(text.cut(2).to_string(), "a");
        assert_eq!(text.cut(3).to_string(), "aé");
        assert_eq!(text.cut(100).to_string(), "aé😀");
    }
}
