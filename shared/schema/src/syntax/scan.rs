//! Finding the next byte of a string that needs a look, eight at a time.

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// Bytes that are `wanted`, marked in their high bit. Bytes above a marked one may be marked wrongly.
#[inline]
const fn equal(block: u64, wanted: u8) -> u64 {
    let differing = block ^ (ONES * wanted as u64);
    differing.wrapping_sub(ONES) & !differing & HIGHS
}

/// How many bytes at the start are printable ASCII other than `"` and `\`.
#[inline]
pub(crate) fn plain(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((block, tail)) = rest.split_first_chunk::<8>() {
        let block = u64::from_le_bytes(*block);
        let below_space = block.wrapping_sub(ONES * 0x20) & !block;
        let marked = ((below_space | block) & HIGHS) | equal(block, b'"') | equal(block, b'\\');
        if marked != 0 {
            return text.len() - rest.len() + marked.trailing_zeros() as usize / 8;
        }
        rest = tail;
    }
    let done = text.len() - rest.len();
    done + rest
        .iter()
        .position(|byte| !matches!(byte, 0x20..0x80) || matches!(byte, b'"' | b'\\'))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn every_byte_at_every_place() {
        for length in 0..20 {
            for place in 0..length {
                for byte in 0..=255_u8 {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    let special = !(0x20..0x80).contains(&byte) || byte == b'"' || byte == b'\\';
                    assert_eq!(plain(&text), if special { place } else { length }, "{byte} at {place} of {length}");
                }
            }
        }
    }
}
