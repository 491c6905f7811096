//! Whether what was fetched can be a log at all: labs link to web pages, archives and images too.

use events::Reason;

use crate::failure::Failure;

/// How much of it is looked at.
const LOOKED_AT: usize = 64 << 10;

/// How files begin that are surely no logs.
const MAGIC: [(&[u8], &str); 12] = [
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x04\x22\x4d\x18", "an lz4 archive"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"\x1f\x8b", "an archive in an archive in an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive in an archive in an archive"),
];

/// How web pages begin, in lower case, after white space.
const PAGE: [&[u8]; 5] = [b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml"];

/// Refuses what cannot be a log. Stray binary bytes, as serial lines have them, are fine.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Failure> {
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    let refused = |what: &str| Err(Failure::new(Reason::NotPlainText, format!("it is {what}")));
    if let Some((_, what)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        return refused(what);
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    if PAGE.iter().any(|page| text.get(..page.len()).is_some_and(|text| text.eq_ignore_ascii_case(page))) {
        return refused("a web page");
    }
    let strange = start.utf8_chunks().fold(0, |strange, chunk| {
        strange + chunk.valid().bytes().filter(|byte| is_strange(*byte)).count() + chunk.invalid().len()
    });
    // Random bytes are strange by half and more.
    if strange * 10 > start.len() * 3 { refused("binary") } else { Ok(()) }
}

/// Control characters that no terminal is sent.
const fn is_strange(byte: u8) -> bool {
    byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 8 | 11 | 12 | 27) || byte == 0x7F
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn logs_are_plain_text_and_other_things_are_not() {
        for log in [
            &b"make: *** [a] Error 1\n"[..],
            b"\x1b[31mred\x1b[0m \xff\xfe\0\0 garbage from the line, and then text again",
            "übung macht den Meister\n".as_bytes(),
            b"<6>[    0.000000] Booting Linux",
            b"<a> is no page",
            b"",
        ] {
            assert!(check(log).is_ok(), "{log:?}");
        }
        let mut state = 1_u32;
        let random: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(5000)
        .collect();
        for other in [
            &b" \r\n<!DOCTYPE HTML PUBLIC>"[..],
            b"\xef\xbb\xbf<HTML lang=en>",
            b"<?xml version='1.0'?><Error/>",
            b"PK\x03\x04text",
            b"B\0o\0o\0t\0",
            &[0; 100],
            &random,
        ] {
            assert!(check(other).is_err(), "{other:?}");
        }
    }
}
