//! The string classes and formats of the schema (spec/io-schema.md section 2), each a plain function on the whole string.
//!
//! Invariants: no function backtracks, all are linear in the length. "One final newline" that many classes tolerate is
//! removed in one place, [`line()`]. The patterns are for readers and other validators; only the functions judge.

use crate::code;
use serde_json::{Value, json};

/// A named set of strings.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    /// The nearest JSON Schema can say.
    pattern: Option<&'static str>,
    format: Option<&'static str>,
    /// One of a list of words.
    words: &'static [&'static str],
    /// Longest string in code points.
    pub(crate) longest: Option<usize>,
    pub(crate) holds: fn(&str) -> bool,
    /// The fault's code.
    pub(crate) code: &'static str,
    /// What the submitter should write.
    pub(crate) remedy: &'static str,
}

const PLAIN: Class = Class {
    name: "",
    pattern: None,
    format: None,
    words: &[],
    longest: None,
    holds: |_| true,
    code: code::UNKNOWN_VALUE,
    remedy: "",
};
const ID: &str =
    "write the origin's name (a-z, 0-9, _), a colon and anything that makes it unique, for instance \"mylab:4711\"";
const NAME: &str = "use lower-case letters a-z, digits and underscores only";
const NO_NUL: &str = "remove the U+0000 character";
const FILE: &str = "give a file name that is not empty and has no slash";
const URI: &str = "give a complete URL with its scheme, and percent-encode spaces, brackets and non-ASCII characters";
const COMPATIBLE: &str = "give one compatible string that is not empty and has no space";
const EXCERPT: &str = "keep the most telling 16384 characters and put the whole log behind log_url";
const HASH: &str = "give the full hash in lower-case hexadecimal";

/// All classes.
pub(crate) const CLASSES: &[Class] = &[
    Class { name: "string", ..PLAIN },
    Class { name: "Name0", pattern: Some("^[a-z0-9_]*$"), holds: name0, code: code::BAD_NAME, remedy: NAME, ..PLAIN },
    Class { name: "Name1", pattern: Some("^[a-z0-9_]+$"), holds: name1, code: code::BAD_NAME, remedy: NAME, ..PLAIN },
    Class { name: "Id-2", pattern: Some("^[a-z0-9_]+:"), holds: id2, code: code::BAD_ID, remedy: ID, ..PLAIN },
    Class { name: "Id-4", pattern: Some("^[a-z0-9_]+:.*$"), holds: id4, code: code::BAD_ID, remedy: ID, ..PLAIN },
    Class {
        name: "Id-5",
        pattern: Some("^[a-z0-9_]+:[^\\u0000]*$"),
        holds: id5,
        code: code::BAD_ID,
        remedy: ID,
        ..PLAIN
    },
    Class { name: "Sha1", pattern: Some("^[0-9a-f]{40}$"), holds: sha1, code: code::BAD_HASH, remedy: HASH, ..PLAIN },
    Class {
        name: "Rev",
        pattern: Some("^[0-9a-f]{40}(\\+[0-9a-f]{64})?$"),
        holds: rev,
        code: code::BAD_HASH,
        remedy: "give the full commit hash, and after a plus sign the patchset hash where there are patches",
        ..PLAIN
    },
    Class {
        name: "PatchHash",
        pattern: Some("^$|^[0-9a-f]{64}$"),
        holds: patch_hash,
        code: code::BAD_HASH,
        remedy: "give the SHA-256 in lower-case hexadecimal, or an empty string when there are no patches",
        ..PLAIN
    },
    Class {
        name: "Repo-3",
        pattern: Some("^(https|git)://.*$"),
        format: Some("uri"),
        holds: repo3,
        code: code::BAD_REPOSITORY,
        remedy: "give the repository's https:// or git:// URL",
        ..PLAIN
    },
    Class {
        name: "Repo-5",
        pattern: Some("^https://[^\\u0000]*$"),
        format: Some("uri"),
        holds: repo5,
        code: code::BAD_REPOSITORY,
        remedy: "give the repository's https:// URL",
        ..PLAIN
    },
    Class {
        name: "NoNul",
        pattern: Some("^[^\\u0000]*$"),
        holds: no_nul,
        code: code::NUL_CHARACTER,
        remedy: NO_NUL,
        ..PLAIN
    },
    Class { name: "File-2", pattern: Some("^[^/]+$"), holds: file2, code: code::BAD_FILE_NAME, remedy: FILE, ..PLAIN },
    Class {
        name: "File-5",
        pattern: Some("^[^/\\u0000]+$"),
        holds: file5,
        code: code::BAD_FILE_NAME,
        remedy: FILE,
        ..PLAIN
    },
    Class {
        name: "Path-1",
        pattern: Some("^[.a-zA-Z0-9_-]*$"),
        holds: path1,
        code: code::BAD_PATH,
        remedy: "use letters, digits, underscores, dashes and dots only",
        ..PLAIN
    },
    Class {
        name: "Path-5",
        pattern: Some("^([a-zA-Z0-9_-]+(\\.[a-zA-Z0-9_-]+)*)?$"),
        holds: path5,
        code: code::BAD_PATH,
        remedy: "use words of letters, digits, underscores and dashes, joined by single dots, for instance \"ltp.syscalls.open01\"",
        ..PLAIN
    },
    Class {
        name: "Compat-4",
        pattern: Some("^[^ ]+(,[^ ]+)*$"),
        holds: compat4,
        code: code::BAD_COMPATIBLE,
        remedy: COMPATIBLE,
        ..PLAIN
    },
    Class {
        name: "Compat-5",
        pattern: Some("^[^ \\u0000]+(,[^ \\u0000]+)*$"),
        holds: compat5,
        code: code::BAD_COMPATIBLE,
        remedy: COMPATIBLE,
        ..PLAIN
    },
    Class {
        name: "Excerpt-4",
        longest: Some(EXCERPT_LENGTH),
        holds: short,
        code: code::TOO_LONG,
        remedy: EXCERPT,
        ..PLAIN
    },
    Class {
        name: "Excerpt-5",
        pattern: Some("^[^\\u0000]*$"),
        longest: Some(EXCERPT_LENGTH),
        holds: excerpt5,
        code: code::TOO_LONG,
        remedy: EXCERPT,
        ..PLAIN
    },
    Class {
        name: "Status-1",
        words: OLD_STATUS,
        holds: |text| OLD_STATUS.contains(&text),
        code: code::UNKNOWN_VALUE,
        ..PLAIN
    },
    Class { name: "Status", words: STATUS, holds: status, code: code::UNKNOWN_VALUE, ..PLAIN },
    Class { name: "Prefix", words: PREFIX, holds: prefix, code: code::UNKNOWN_VALUE, ..PLAIN },
    Class { name: "Uri", format: Some("uri"), holds: uri, code: code::BAD_URL, remedy: URI, ..PLAIN },
    Class {
        name: "DateTime",
        format: Some("date-time"),
        holds: date_time,
        code: code::BAD_TIME,
        remedy: "write date, time and zone as in \"2025-07-17T18:05:49+00:00\" (RFC 3339)",
        ..PLAIN
    },
    Class {
        name: "Email",
        format: Some("email"),
        holds: email,
        code: code::BAD_EMAIL,
        remedy: "give the Message-ID or address with its @",
        ..PLAIN
    },
];

const EXCERPT_LENGTH: usize = 16384;
/// An excerpt longer than this in JSON text is too long: a character takes twelve bytes at most, as a pair of escapes.
pub(crate) const LONG_EXCERPT: usize = EXCERPT_LENGTH * 12 + 2;
const STATUS: &[&str] = &["FAIL", "ERROR", "MISS", "PASS", "DONE", "SKIP"];
const OLD_STATUS: &[&str] = &["FAIL", "ERROR", "PASS", "DONE", "SKIP"];
const PREFIX: &[&str] = &["metric", "binary"];

impl Class {
    /// The class of that name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        CLASSES.iter().find(|class| class.name == name)
    }

    /// The classes' JSON Schema.
    pub(crate) fn schema(&self) -> Value {
        let mut schema = json!({"type": "string"});
        if let Some(pattern) = self.pattern {
            schema["pattern"] = pattern.into();
        }
        if let Some(format) = self.format {
            schema["format"] = format.into();
        }
        if !self.words.is_empty() {
            schema["enum"] = self.words.into();
        }
        if let Some(longest) = self.longest {
            schema["maxLength"] = longest.into();
        }
        schema
    }

    /// What to do about a string that is not of the class.
    pub(crate) fn advice(&self) -> String {
        if self.words.is_empty() { self.remedy.to_owned() } else { format!("use one of {}", self.words.join(", ")) }
    }
}

/// The string without the one newline that may end it.
fn line(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

fn is_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')
}

fn is_hash(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn name0(text: &str) -> bool {
    line(text).bytes().all(is_name)
}

pub(crate) fn name1(text: &str) -> bool {
    !line(text).is_empty() && name0(text)
}

/// The part before the first colon, when it is a name, and the part after it.
fn split_id(text: &str) -> Option<&str> {
    let end = text.bytes().position(|byte| !is_name(byte))?;
    (end > 0).then(|| text[end..].strip_prefix(':'))?
}

fn id2(text: &str) -> bool {
    split_id(text).is_some()
}

fn id4(text: &str) -> bool {
    split_id(text).is_some_and(|tail| !line(tail).contains('\n'))
}

pub(crate) fn id5(text: &str) -> bool {
    split_id(text).is_some_and(no_nul)
}

pub(crate) fn sha1(text: &str) -> bool {
    is_hash(line(text), 40)
}

fn rev(text: &str) -> bool {
    match line(text).split_once('+') {
        Some((commit, patches)) => is_hash(commit, 40) && is_hash(patches, 64),
        None => sha1(text),
    }
}

pub(crate) fn patch_hash(text: &str) -> bool {
    line(text).is_empty() || is_hash(line(text), 64)
}

fn repo3(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("git://")) && !line(text).contains('\n') && uri(text)
}

pub(crate) fn repo5(text: &str) -> bool {
    text.starts_with("https://") && uri(text)
}

pub(crate) fn no_nul(text: &str) -> bool {
    memchr::memchr(0, text.as_bytes()).is_none()
}

fn file2(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

pub(crate) fn file5(text: &str) -> bool {
    file2(text) && no_nul(text)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn path1(text: &str) -> bool {
    line(text).bytes().all(|byte| is_word(byte) || byte == b'.')
}

pub(crate) fn path5(text: &str) -> bool {
    let text = line(text);
    let mut word = false;
    for byte in text.bytes() {
        if !(is_word(byte) || byte == b'.' && word) {
            return false;
        }
        word = byte != b'.';
    }
    word || text.is_empty()
}

fn compat4(text: &str) -> bool {
    !text.is_empty() && !text.contains(' ')
}

pub(crate) fn compat5(text: &str) -> bool {
    compat4(text) && no_nul(text)
}

fn short(text: &str) -> bool {
    text.len() <= EXCERPT_LENGTH || text.chars().count() <= EXCERPT_LENGTH
}

pub(crate) fn excerpt5(text: &str) -> bool {
    short(text) && no_nul(text)
}

pub(crate) fn status(text: &str) -> bool {
    STATUS.contains(&text)
}

pub(crate) fn prefix(text: &str) -> bool {
    PREFIX.contains(&text)
}

pub(crate) fn email(text: &str) -> bool {
    text.contains('@')
}

/// RFC 3339 without leap seconds (section 2, `DateTime`).
pub(crate) fn date_time(text: &str) -> bool {
    date_time_parts(line(text).as_bytes()).is_some()
}

fn date_time_parts(text: &[u8]) -> Option<()> {
    let (head, tail) = text.split_at_checked(19)?;
    let two = |at: usize| digits(&head[at..at + 2]);
    let (year, month, day) = (digits(&head[..4])?, two(5)?, two(8)?);
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let separated = separators.iter().all(|&(at, byte)| head[at] == byte) && matches!(head[10], b'T' | b't');
    let in_time = two(11)? <= 23 && two(14)? <= 59 && two(17)? <= 59;
    let in_month = year >= 1 && day >= 1 && day <= days(year, month)?;
    let zone = match tail.split_first()? {
        (b'.', fraction) => {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (length > 0).then(|| &fraction[length..])?
        }
        _ => tail,
    };
    let offset = match zone {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', hour @ .., b':', minute_high, minute_low] if hour.len() == 2 => {
            digits(hour)? <= 23 && digits(&[*minute_high, *minute_low])? <= 59
        }
        _ => false,
    };
    (separated && in_time && in_month && offset).then_some(())
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn days(year: u32, month: u32) -> Option<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// RFC 3986 `URI`, syntax only (section 2, `Uri`).
pub(crate) fn uri(text: &str) -> bool {
    let text = line(text).as_bytes();
    let Some(colon) = text.iter().position(|&byte| byte == b':') else { return false };
    let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
    let scheme_holds = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let (rest, fragment) = split(rest, b'#');
    let (rest, query) = split(rest, b'?');
    let (authority, path) = match rest.strip_prefix(b"//") {
        Some(rest) => rest.split_at(rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len())),
        None => (&[][..], rest),
    };
    scheme_holds && chars(fragment, b":@/?") && chars(query, b":@/?") && chars(path, b":@/") && is_authority(authority)
}

/// What stands before the first `mark` and after it.
fn split(text: &[u8], mark: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(mark, text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

/// Whether a URI part has only the characters allowed everywhere, percent escapes, and those of `more`.
fn chars(text: &[u8], more: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match tail {
            [high, low, tail @ ..] if byte == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => tail,
            _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || more.contains(&byte) => tail,
            _ => return false,
        };
    }
    true
}

fn is_authority(text: &[u8]) -> bool {
    let (user, host_port) = match memchr::memrchr(b'@', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (&[][..], text),
    };
    let (host_holds, port) = if let Some(rest) = host_port.strip_prefix(b"[") {
        let (literal, port) = split(rest, b']');
        (literal.len() < rest.len() && is_literal(literal), port)
    } else {
        let (host, port) = host_port.split_at(memchr::memchr(b':', host_port).unwrap_or(host_port.len()));
        (chars(host, b""), port)
    };
    let port_holds = port.is_empty() || port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit);
    chars(user, b":") && host_holds && port_holds
}

/// What may stand in brackets as a host.
fn is_literal(text: &[u8]) -> bool {
    match text.strip_prefix(b"v") {
        Some(rest) => {
            let (version, address) = split(rest, b'.');
            let hexadecimal = !version.is_empty() && version.iter().all(u8::is_ascii_hexdigit);
            hexadecimal && !address.is_empty() && !address.contains(&b'%') && chars(address, b":")
        }
        None => is_ipv6(text),
    }
}

fn is_ipv6(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    match text.split_once("::") {
        Some((_, right)) if right.contains("::") => false,
        Some((left, right)) => {
            let groups = (groups(left, false), groups(right, true));
            matches!(groups, (Some(left), Some(right)) if left + right <= 7)
        }
        None => groups(text, true) == Some(8),
    }
}

/// How many 16-bit groups these are; an IPv4 address at the end, where allowed, counts as two.
fn groups(text: &str, last: bool) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    let parts: Vec<_> = text.split(':').collect();
    let mut count = 0;
    for (index, part) in parts.iter().enumerate() {
        count += match part {
            _ if last && index + 1 == parts.len() && part.contains('.') => is_ipv4(part).then_some(2)?,
            _ => ((1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(1)?,
        };
    }
    Some(count)
}

fn is_ipv4(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    parts.len() == 4
        && parts
            .iter()
            .all(|part| (1..=3).contains(&part.len()) && digits(part.as_bytes()).is_some_and(|value| value <= 255))
}

#[cfg(test)]
mod tests;
