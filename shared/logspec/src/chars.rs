//! Character classes of the reference, on bytes.
//!
//! Text is UTF-8, except that the byte `0xFF` may stand for U+FFFD (see [`crate::log`]). All classes are those of Unicode
//! 15.1 as the reference has them, not those of the regular expression crate (spec section 15).

use std::sync::LazyLock;

use regex::Regex;

/// Stands for U+FFFD where the log had an invalid sequence.
pub(crate) const REPLACED: u8 = 0xFF;

static DIGIT: LazyLock<Regex> = LazyLock::new(|| class(r"[\p{Nd}&&\p{age=15.1}]"));
static WORD: LazyLock<Regex> = LazyLock::new(|| class(r"[[\p{L}\p{N}_]&&\p{age=15.1}]"));

fn class(set: &str) -> Regex {
    Regex::new(&format!("^{set}$")).expect("a character class written here")
}

/// White space as the reference sees it: Unicode's, and U+001C to U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn is_member(class: &Regex, c: char) -> bool {
    class.is_match(c.encode_utf8(&mut [0; 4]))
}

fn is_digit(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { is_member(&DIGIT, c) }
}

fn is_word(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || c == '_' } else { is_member(&WORD, c) }
}

/// The character that `text` begins with, and its length in bytes.
pub(crate) fn first(text: &[u8]) -> Option<(char, usize)> {
    let lead = *text.first()?;
    let len = match lead {
        0..0x80 => return Some((char::from(lead), 1)),
        REPLACED => return Some((char::REPLACEMENT_CHARACTER, 1)),
        0x80..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    };
    let c = std::str::from_utf8(text.get(..len)?).ok()?.chars().next()?;
    Some((c, len))
}

/// The character that `text` ends with, and its length in bytes.
pub(crate) fn last(text: &[u8]) -> Option<(char, usize)> {
    let lead = text.iter().rposition(|&byte| !is_continuation(byte))?;
    first(&text[lead..])
}

/// Whether this byte continues a character that began before it.
pub(crate) const fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// How many code points there are in `text`.
pub(crate) fn count(text: &[u8]) -> usize {
    // A block's count fits in a byte, which lets the compiler add 16 or 32 of them at once.
    text.chunks(255)
        .map(|block| usize::from(block.iter().map(|&byte| u8::from(!is_continuation(byte))).sum::<u8>()))
        .sum()
}

/// The byte offset of code point number `index`, or the length when there are not so many.
pub(crate) fn offset_of(text: &[u8], index: usize) -> usize {
    text.iter().enumerate().filter(|(_, byte)| !is_continuation(**byte)).nth(index).map_or(text.len(), |(at, _)| at)
}

fn run(text: &[u8], is_in: fn(char) -> bool) -> usize {
    let mut len = 0;
    while let Some((c, width)) = first(&text[len..]).filter(|(c, _)| is_in(*c)) {
        debug_assert_eq!(c.len_utf8().min(width), width);
        len += width;
    }
    len
}

/// The length of the run of decimal digits that `text` begins with.
pub(crate) fn digits(text: &[u8]) -> usize {
    run(text, is_digit)
}

/// The length of the run of word characters that `text` begins with.
pub(crate) fn word(text: &[u8]) -> usize {
    run(text, is_word)
}

/// The length of the run of word characters that `text` ends with.
pub(crate) fn word_before(text: &[u8]) -> usize {
    let mut end = text.len();
    while let Some((_, width)) = last(&text[..end]).filter(|(c, _)| is_word(*c)) {
        end -= width;
    }
    text.len() - end
}

/// The length of the one decimal digit that `text` ends with, or 0.
pub(crate) fn digit_before(text: &[u8]) -> usize {
    last(text).filter(|(c, _)| is_digit(*c)).map_or(0, |(_, width)| width)
}

/// The length of the one decimal digit that `text` begins with, or 0.
pub(crate) fn digit(text: &[u8]) -> usize {
    first(text).filter(|(c, _)| is_digit(*c)).map_or(0, |(_, width)| width)
}

/// `text` without the characters of `strip` at both ends.
pub(crate) fn trim(text: &[u8], strip: impl Fn(char) -> bool) -> &[u8] {
    let mut rest = text;
    while let Some((_, width)) = first(rest).filter(|(c, _)| strip(*c)) {
        rest = &rest[width..];
    }
    while let Some((_, width)) = last(rest).filter(|(c, _)| strip(*c)) {
        rest = &rest[..rest.len() - width];
    }
    rest
}

/// The pieces of `text` between runs of white space.
pub(crate) fn split_space(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while let Some((_, width)) = first(rest).filter(|(c, _)| is_space(*c)) {
            rest = &rest[width..];
        }
        let len = run(rest, |c| !is_space(c));
        let (piece, after) = rest.split_at(len);
        rest = after;
        (len > 0).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_the_reference() {
        assert!(is_space('\u{1c}') && is_space('\u{85}') && is_space('\u{3000}') && !is_space('\u{200b}'));
        assert!(is_digit('٣') && !is_digit('²') && !is_digit('½'));
        assert!(is_word('²') && is_word('¼') && is_word('é') && is_word('_') && is_word('Ⅷ'));
        assert!(!is_word('\u{301}') && !is_word('‿') && !is_word('\u{200d}') && !is_word('Ⓐ'));
        assert!(is_word('日') && !is_word('\u{1C89}'), "a letter that came with Unicode 16 is none yet");
    }

    #[test]
    fn counts_and_offsets_are_in_code_points() {
        let text = "a é 😀".repeat(100);
        assert_eq!(count(text.as_bytes()), text.chars().count());
        let at = offset_of(text.as_bytes(), 204);
        assert_eq!(at, text.char_indices().nth(204).map_or(0, |(at, _)| at));
        assert_eq!(offset_of(b"ab", 7), 2);
        assert_eq!(count(&[b'a', REPLACED, b'b']), 3);
    }

    #[test]
    fn runs_look_both_ways() {
        assert_eq!(word("aé²-".as_bytes()), 5);
        assert_eq!(word_before("-aé²".as_bytes()), 5);
        assert_eq!(digits("1٣x".as_bytes()), 3);
        assert_eq!(trim("\u{1f} a b\u{a0}".as_bytes(), is_space), b"a b");
        let pieces: Vec<_> = split_space("  b\u{1c}a \u{3000}é ".as_bytes()).collect();
        assert_eq!(pieces, [b"b".as_slice(), b"a", "é".as_bytes()]);
    }
}
