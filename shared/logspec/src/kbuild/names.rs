//! Where a log mentions a file whose name is known but for its extension.

use std::ops::Range;

use memchr::memmem;

use crate::budget::Budget;
use crate::chars;

/// A file name in the log and what stands behind it.
pub(super) struct Mention {
    /// The name with its extension.
    pub(super) name: Range<usize>,
    /// What follows the colon behind it.
    pub(super) after: usize,
}

/// Every place where `name`, an optional extension and a colon stand. Occurrences may overlap.
pub(super) fn mentions<'a>(
    text: &'a [u8],
    name: &'a [u8],
    budget: &'a mut Budget,
) -> impl Iterator<Item = Mention> + 'a {
    occurrences(text, name, budget).filter_map(move |start| {
        let end = start + name.len();
        let end = end + extension(&text[end..]).unwrap_or(0);
        (text.get(end) == Some(&b':')).then_some(Mention { name: start..end, after: end + 1 })
    })
}

/// Whether there is any mention.
pub(super) fn is_named(text: &[u8], name: &[u8], budget: &mut Budget) -> bool {
    mentions(text, name, budget).next().is_some()
}

/// Where `name` occurs, overlapping or not. Names that overlap themselves over and over make this expensive: it ends with the
/// budget.
pub(super) fn occurrences<'a>(
    text: &'a [u8],
    name: &'a [u8],
    budget: &'a mut Budget,
) -> impl Iterator<Item = usize> + 'a {
    let finder = memmem::Finder::new(name);
    let mut from = 0;
    std::iter::from_fn(move || {
        if budget.is_spent() {
            return None;
        }
        let start = from + finder.find(text.get(from..)?)?;
        budget.work(name.len() + 1);
        from = start + 1;
        Some(start)
    })
}

/// The length of the dot and the word that `text` begins with.
pub(super) fn extension(text: &[u8]) -> Option<usize> {
    let word = chars::word(text.strip_prefix(b".")?);
    (word > 0).then_some(1 + word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, name: &str) -> Vec<Range<usize>> {
        mentions(text.as_bytes(), name.as_bytes(), &mut Budget::new(text.len())).map(|mention| mention.name).collect()
    }

    #[test]
    fn mentions_overlap_and_take_one_extension() {
        assert_eq!(found("aaa:", "aa"), vec![1..3]);
        assert_eq!(found("x.c: x.c.d: x: x.-:", "x"), [0..3, 12..13]);
        assert_eq!(found(":.c:", ""), [0..0, 1..3, 3..3]);
    }

    #[test]
    fn a_name_that_overlaps_itself_ends_with_the_budget() {
        let text = "a".repeat(200_000);
        let mut budget = Budget::new(text.len());
        let name = &text.as_bytes()[..100_000];
        assert!(!is_named(text.as_bytes(), name, &mut budget) && budget.is_spent());
    }
}
