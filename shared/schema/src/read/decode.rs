//! The inside of strings that are known to be right: finding the end, and undoing escapes.

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// How many bytes stand before the next quote or backslash.
#[inline]
pub(super) fn run(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((block, tail)) = rest.split_first_chunk::<8>() {
        let block = u64::from_le_bytes(*block);
        let (quote, backslash) = (block ^ (ONES * u64::from(b'"')), block ^ (ONES * u64::from(b'\\')));
        let marked = (quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash) & HIGHS;
        if marked != 0 {
            return text.len() - rest.len() + marked.trailing_zeros() as usize / 8;
        }
        rest = tail;
    }
    let done = text.len() - rest.len();
    done + rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}

/// Where the string that `at` is in ends: the byte after its closing quote.
pub(super) fn end(text: &[u8], mut at: usize) -> usize {
    loop {
        at += run(&text[at..]);
        match text.get(at) {
            Some(b'\\') => at += 2,
            _ => return at + 1,
        }
    }
}

/// How many characters the string has that starts at `at` (after its quote).
pub(super) fn length(text: &str, mut at: usize) -> usize {
    let (bytes, mut length) = (text.as_bytes(), 0);
    loop {
        let plain = run(&bytes[at..]);
        length += text[at..at + plain].chars().count();
        at += plain;
        if bytes.get(at) != Some(&b'\\') {
            return length;
        }
        at += if bytes.get(at + 1) == Some(&b'u') { 2 + unicode(text, at + 2).1 } else { 2 };
        length += 1;
    }
}

/// Appends the string that starts at `at` (after its quote) and gives the place after its closing quote.
pub(super) fn string(text: &str, mut at: usize, into: &mut String) -> usize {
    let bytes = text.as_bytes();
    loop {
        let plain = run(&bytes[at..]);
        into.push_str(&text[at..at + plain]);
        at += plain;
        if bytes.get(at) != Some(&b'\\') {
            return at + 1;
        }
        let escape = bytes.get(at + 1).copied().unwrap_or(b'"');
        at += 2;
        into.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (character, length) = unicode(text, at);
                at += length;
                character
            }
            other => char::from(other),
        });
    }
}

/// The character of a `\u` escape whose digits start at `at`, and how many bytes it takes (a pair takes ten).
fn unicode(text: &str, at: usize) -> (char, usize) {
    let unit = |at: usize| text.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let high = unit(at);
    if !(0xD800..0xE000).contains(&high) {
        return (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 4);
    }
    let code = 0x1_0000 + ((high & 0x3FF) << 10 | unit(at + 6) & 0x3FF);
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10)
}
