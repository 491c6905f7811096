//! Signatures (spec section 9): the SHA-1 of a JSON object in one fixed notation. They identify; they do not protect.

use std::fmt;

use serde::{Serialize, Serializer};
use sha1::{Digest as _, Sha1};

use crate::Text;
use crate::chars::REPLACED;
use crate::finding::Value;

/// What identifies an error across logs: 20 bytes, printed as 40 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signature([u8; 20]);

impl Signature {
    /// The signature of an object with these members, in any order; the caller leaves out what does not count.
    pub(crate) fn of(members: &mut [(&'static str, &Value<'_>)]) -> Self {
        members.sort_unstable_by_key(|(name, _)| *name);
        let mut hash = Json::new();
        hash.raw(b"{");
        for (index, (name, value)) in members.iter().enumerate() {
            hash.raw(if index == 0 { b"" } else { b", " });
            hash.string(name.as_bytes());
            hash.raw(b": ");
            hash.value(value);
        }
        hash.raw(b"}");
        hash.finish()
    }

    /// The digest of a JSON array: the id of an incident.
    pub(crate) fn of_incident(node_id: &str, issue_id: &str, issue_version: i64) -> Self {
        let mut hash = Json::new();
        hash.raw(b"[");
        hash.string(node_id.as_bytes());
        hash.raw(b", ");
        hash.string(issue_id.as_bytes());
        hash.raw(format!(", {issue_version}]").as_bytes());
        hash.finish()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 40];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&hex).expect("hex digits are ASCII"))
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Hashes JSON as it is written, several pieces at a time.
struct Json {
    hash: Sha1,
    pieces: [u8; 256],
    len: usize,
}

impl Json {
    fn new() -> Self {
        Self { hash: Sha1::new(), pieces: [0; 256], len: 0 }
    }

    fn raw(&mut self, bytes: &[u8]) {
        if self.len + bytes.len() > self.pieces.len() {
            self.hash.update(&self.pieces[..self.len]);
            self.len = 0;
        }
        match self.pieces.get_mut(self.len..self.len + bytes.len()) {
            Some(free) => {
                free.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.hash.update(bytes),
        }
    }

    fn finish(mut self) -> Signature {
        self.hash.update(&self.pieces[..self.len]);
        Signature(self.hash.finalize().into())
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.raw(b"null"),
            Value::Flag(flag) => self.raw(if *flag { b"true" } else { b"false" }),
            Value::Text(text) => self.string(text.as_bytes()),
            Value::List(list) => self.list(list.iter().map(Text::as_bytes)),
            Value::Trace(trace) => self.list(trace.entries()),
        }
    }

    fn list<'a>(&mut self, entries: impl Iterator<Item = &'a [u8]>) {
        self.raw(b"[");
        for (index, entry) in entries.enumerate() {
            self.raw(if index == 0 { b"" } else { b", " });
            self.string(entry);
        }
        self.raw(b"]");
    }

    fn string(&mut self, text: &[u8]) {
        self.raw(b"\"");
        let mut plain = 0;
        for (at, &byte) in text.iter().enumerate() {
            if byte >= b' ' && byte != b'"' && byte != b'\\' && byte != REPLACED {
                continue;
            }
            self.raw(&text[plain..at]);
            self.escape(byte);
            plain = at + 1;
        }
        self.raw(&text[plain..]);
        self.raw(b"\"");
    }

    fn escape(&mut self, byte: u8) {
        match byte {
            b'"' => self.raw(b"\\\""),
            b'\\' => self.raw(b"\\\\"),
            8 => self.raw(b"\\b"),
            12 => self.raw(b"\\f"),
            b'\n' => self.raw(b"\\n"),
            b'\r' => self.raw(b"\\r"),
            b'\t' => self.raw(b"\\t"),
            REPLACED => self.raw("\u{FFFD}".as_bytes()),
            control => self.raw(format!("\\u{control:04x}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_specification() {
        let (yes, no) = (Value::Flag(true), Value::Flag(false));
        assert_eq!(Signature::of(&mut []).to_string(), "bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f");
        assert_eq!(
            Signature::of(&mut [("bootloader.done", &no)]).to_string(),
            "e602fca280d85d8e603f7c0aff68363bb0cd7993"
        );
        let mut members = [("linux.boot.prompt", &no), ("linux.boot.kernel_started", &yes), ("bootloader.done", &yes)];
        assert_eq!(Signature::of(&mut members).to_string(), "ba9e602132800ee40eaca0982ded5872ff7eb20c");
    }

    #[test]
    fn every_kind_of_character_is_escaped_as_the_reference_does() {
        let text = |text: &'static str| Value::Text(Text::from(text));
        let (address, kind) = (text("0000000000000010"), text("linux.kernel.null_pointer_dereference"));
        let summary = text("NULL pointer dereference at virtual address 0000000000000010");
        let trace = Value::List(vec![Text::from("func_a+0x10/0x20"), Text::from("‘é’ \"q\" \\ \u{1b}\t")]);
        let mut members =
            [("error_type", &kind), ("error_summary", &summary), ("address", &address), ("call_trace", &trace)];
        assert_eq!(Signature::of(&mut members).to_string(), "2d35688cd42f85341e4aa809b9c508234be22b08");
    }

    #[test]
    fn incident_ids() {
        let id = Signature::of_incident("maestro:0123456789abcdef01234567", "maestro:abc", 1);
        assert_eq!(id.to_string(), "366316e360fdab0eec8a8adee15ae27674b6541f");
    }
}
