//! The part of a log that reports an error.

use std::fmt;
use std::ops::Range;

use serde::{Serialize, Serializer};

use crate::text::Text;

/// The part of a log that reports an error; never a copy, since it may be nearly all of a log.
#[derive(Clone, Debug)]
pub enum Excerpt<'t> {
    /// A piece of the log.
    Piece(Text<'t>),
    /// Some lines of it, each with a line end.
    Lines(Lines<'t>),
}

/// Lines of a part of the log, or what is left of them.
#[derive(Clone)]
pub struct Lines<'t> {
    region: &'t [u8],
    /// Where the region begins in the text.
    start: usize,
    next: fn(&[u8], usize) -> Option<Range<usize>>,
}

impl<'t> Lines<'t> {
    /// Of `text` from `start` on. `next` gives the first of them from an offset on, which is 0 or the end of the last one.
    pub(crate) fn new(text: &'t [u8], start: usize, next: fn(&[u8], usize) -> Option<Range<usize>>) -> Self {
        Self { region: &text[start..], start, next }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'t [u8]> + use<'t> {
        let region = self.region;
        self.ranges().map(|range| &region[range])
    }

    /// Where they begin in the text.
    pub(crate) fn starts(&self) -> impl Iterator<Item = usize> + use<'t> {
        let start = self.start;
        self.ranges().map(move |range| start + range.start)
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<'t> {
        let Self { region, next, .. } = *self;
        let mut from = 0;
        std::iter::from_fn(move || {
            let range = next(region, from).filter(|_| from < region.len())?;
            from = range.end;
            Some(range)
        })
    }
}

impl fmt::Debug for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Text::borrowed)).finish()
    }
}

impl Excerpt<'_> {
    /// Its longest beginning that has at most `limit` bytes and does not cut a character.
    #[must_use]
    pub fn cut(&self, limit: usize) -> Text<'_> {
        match self {
            Self::Piece(text) => text.cut(limit),
            Self::Lines(lines) => {
                let mut excerpt = Vec::new();
                for line in lines.iter() {
                    excerpt.extend_from_slice(line);
                    excerpt.push(b'\n');
                    if excerpt.len() > limit {
                        let len = Text::borrowed(&excerpt).cut(limit).as_bytes().len();
                        excerpt.truncate(len);
                        break;
                    }
                }
                excerpt.into()
            }
        }
    }
}

impl Default for Excerpt<'_> {
    fn default() -> Self {
        Self::Piece(Text::default())
    }
}

impl<'t> From<Text<'t>> for Excerpt<'t> {
    fn from(text: Text<'t>) -> Self {
        Self::Piece(text)
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Piece(text) => text.fmt(f),
            Self::Lines(lines) => lines.iter().try_for_each(|line| writeln!(f, "{}", Text::borrowed(line))),
        }
    }
}

impl Serialize for Excerpt<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Piece(text) => text.serialize(serializer),
            Self::Lines(_) => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starred(text: &[u8], from: usize) -> Option<Range<usize>> {
        let at = crate::scan::find(text, "*", from)?;
        Some(at..crate::scan::line_end(text, at))
    }

    #[test]
    fn lines_print_and_cut() {
        let excerpt = Excerpt::Lines(Lines::new("* a*é\nb\n*c".as_bytes(), 2, starred));
        assert_eq!(excerpt.to_string(), "*é\n*c\n");
        assert_eq!(excerpt.cut(2).to_string(), "*");
        assert_eq!(excerpt.cut(5).to_string(), "*é\n*");
        let Excerpt::Lines(lines) = &excerpt else { unreachable!("made so above") };
        assert_eq!(lines.starts().collect::<Vec<_>>(), [3, 9]);
        assert_eq!(excerpt.cut(usize::MAX).to_string(), excerpt.to_string());
    }
}
