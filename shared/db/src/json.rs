//! JSON values that travel as their text: single members, and what PostgreSQL's `jsonb` cannot hold.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Digits before the decimal point that `numeric` holds.
const MAX_DIGITS: i64 = 131_072;
/// Digits after it.
const MAX_SCALE: i64 = 16_383;
/// Bytes of one string, one list or one object in `jsonb`.
const MAX_BYTES: usize = 0x0FFF_FFFF;

/// The text of a member of an object, as PostgreSQL's `->>` gives it: a string's content, other values as they are
/// written, `None` for null and for a member that is not there. Of several with the name the last counts.
pub(crate) fn member<'a>(object: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let plain = memchr::memmem::find(object.as_bytes(), name.as_bytes()).is_some();
    if !plain && memchr::memchr(b'\\', object.as_bytes()).is_none() {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_str(object);
    let raw = reader.deserialize_map(Last(name)).ok()??.get();
    match raw.as_bytes().first()? {
        b'"' => match &raw[1..raw.len() - 1] {
            inner if memchr::memchr(b'\\', inner.as_bytes()).is_none() => Some(Cow::Borrowed(inner)),
            _ => serde_json::from_str(raw).ok().map(Cow::Owned),
        },
        b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// Finds the last member with a name.
struct Last<'n>(&'n str);

impl<'de> Visitor<'de> for Last<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Is(self.0))? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a member's name without keeping it.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Why `jsonb` cannot hold a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unstorable {
    /// `\u0000` in a string or a name; the pointer leads to the value from the root of the text.
    Nul(String),
    /// Half of a surrogate pair; the escape as written.
    Surrogate(String),
    /// A number with too many digits; the number, cut short.
    Number(String),
    /// Too many bytes.
    Size(usize),
}

/// What of this well-formed text `jsonb` cannot hold. Costs next to nothing where there is neither `\u` nor a suspicious
/// exponent.
pub(crate) fn unstorable(text: &str) -> Option<Unstorable> {
    if text.len() > MAX_BYTES {
        return Some(Unstorable::Size(text.len()));
    }
    escapes(text).or_else(|| numbers(text))
}

fn escapes(text: &str) -> Option<Unstorable> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        let escape = at + found;
        at = escape + 2;
        if bytes.get(escape + 1) != Some(&b'u') {
            continue;
        }
        at = escape + 6;
        match unit(bytes, escape) {
            Some(0) => return Some(Unstorable::Nul(nul_place(text))),
            Some(0xD800..=0xDBFF) if matches!(unit(bytes, at), Some(0xDC00..=0xDFFF)) => at += 6,
            Some(0xD800..=0xDFFF) => return Some(Unstorable::Surrogate(text[escape..at].to_owned())),
            _ => {}
        }
    }
    None
}

/// The number of a `\uXXXX` that begins here.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
}

/// The pointer to the first value that has, or whose name has, a NUL.
fn nul_place(text: &str) -> String {
    fn search(value: &serde_json::Value, pointer: &mut String) -> bool {
        let length = pointer.len();
        match value {
            serde_json::Value::String(text) => return text.contains('\0'),
            serde_json::Value::Array(list) => {
                for (place, value) in list.iter().enumerate() {
                    pointer.extend(["/", &place.to_string()]);
                    if search(value, pointer) {
                        return true;
                    }
                    pointer.truncate(length);
                }
            }
            serde_json::Value::Object(members) => {
                for (name, value) in members {
                    pointer.extend(["/", &name.replace('~', "~0").replace('/', "~1").replace('\0', "\\u0000")]);
                    if name.contains('\0') || search(value, pointer) {
                        return true;
                    }
                    pointer.truncate(length);
                }
            }
            _ => {}
        }
        false
    }
    let mut pointer = String::new();
    if let Ok(value) = serde_json::from_str(text) {
        search(&value, &mut pointer);
    }
    pointer
}

fn numbers(text: &str) -> Option<Unstorable> {
    let bytes = text.as_bytes();
    let long = i64::try_from(bytes.len()).unwrap_or(i64::MAX) > MAX_SCALE;
    let suspicious = long
        || memchr::memchr2_iter(b'e', b'E', bytes).any(|at| {
            at > 0 && bytes[at - 1].is_ascii_digit() && {
                let exponent = &bytes[at + 1..];
                let sign = usize::from(matches!(exponent.first(), Some(b'+' | b'-')));
                exponent.len() >= sign + 5 && exponent[sign..sign + 5].iter().all(u8::is_ascii_digit)
            }
        });
    if !suspicious {
        return None;
    }
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
                    .count();
                let number = &text[at..at + length];
                if !fits(number) {
                    return Some(Unstorable::Number(number.chars().take(40).collect()));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// The place after a string that begins here.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// Does `numeric` hold this number?
fn fits(number: &str) -> bool {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('-').trim_start_matches('0');
    let Ok(exponent) = exponent.parse::<i64>() else { return false };
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    // Zero has no digits, whatever its exponent; but its scale counts.
    let zeros = length(fraction) - length(fraction.trim_start_matches('0'));
    let before = if whole.is_empty() { -zeros } else { length(whole) } + exponent;
    let is_zero = whole.is_empty() && zeros == length(fraction);
    exponent.abs() < i64::from(i32::MAX / 2)
        && (is_zero || before <= MAX_DIGITS)
        && length(fraction) - exponent <= MAX_SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_as_the_server_finds_it() {
        for (object, value) in [
            (r#"{"a":{"x":"no"},"x":"yes"}"#, Some("yes")),
            (r#"{"x":1.50}"#, Some("1.50")),
            (r#"{"x":null}"#, None),
            (r#"{"x":"1","x":"2"}"#, Some("2")),
            (r#"{"\u0078":"a\"b"}"#, Some("a\"b")),
            (r#"{"x":["a", 1]}"#, Some(r#"["a", 1]"#)),
            (r#"{"y":"x"}"#, None),
            ("{}", None),
        ] {
            assert_eq!(member(object, "x").as_deref(), value, "{object}");
        }
    }

    #[test]
    fn what_jsonb_cannot_hold() {
        let nul = |place: &str| Some(Unstorable::Nul(place.into()));
        assert_eq!(unstorable(r#"{"a":["x","b\u0000"]}"#), nul("/a/1"));
        assert_eq!(unstorable(r#"{"a":{"b\u0000":1}}"#), nul("/a/b\\u0000"));
        assert_eq!(unstorable(r#"{"a":"\\u0000 \u00e9 \ud83d\ude00"}"#), None);
        for lone in [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00x"}"#, r#"{"a":"\ud800\u0041"}"#, r#"{"\udfff":1}"#] {
            assert!(matches!(unstorable(lone), Some(Unstorable::Surrogate(_))), "{lone}");
        }
    }

    #[test]
    fn numbers_that_fit_and_that_do_not() {
        for fine in ["1e400", "-1.5E+131071", "1e-16383", "123456789012345678901234567890", "0", "-0.0", "1.0e131071"] {
            assert_eq!(unstorable(&format!(r#"{{"a":{fine}}}"#)), None, "{fine}");
        }
        assert_eq!(unstorable(r#"{"hash":"a7e123456789","b":"1e999999"}"#), None);
        for wrong in ["1e131072", "1e-16384", "-1E+999999", "1e99999999999999999999", "0e-16384"] {
            let found = unstorable(&format!(r#"{{"a":[{wrong}]}}"#));
            assert!(matches!(found, Some(Unstorable::Number(_))), "{wrong}: {found:?}");
        }
        assert!(unstorable(&format!("[{}]", "9".repeat(131_073))).is_some());
        assert!(unstorable(&format!("[{}]", "9".repeat(131_072))).is_none());
        assert!(unstorable(&format!("[0.{}]", "9".repeat(16_384))).is_some());
    }
}
