//! An object whose values stay JSON text: what the judge looks at and the upgrade edits.
//!
//! Invariants: of repeated names the last counts; values that nobody edits keep their exact text, however large the
//! numbers in them are.

use crate::read::Cursor;
use std::{borrow::Cow, collections::BTreeMap};

/// So many members with unknown names are kept of an object: enough to say that they are unknown.
pub(crate) const UNKNOWN: usize = 100;

/// Members by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members<'a>(pub(crate) BTreeMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Members<'a> {
    /// Of an object's text; nothing for any other value. Of members whose names are not known the first [`UNKNOWN`].
    pub(crate) fn parse(text: &'a str, known: impl Fn(&str) -> bool) -> Option<Self> {
        let (mut members, mut unknown) = (BTreeMap::new(), 0);
        Cursor::new(text).object(|cursor, name| {
            let value = cursor.raw();
            if !known(&name) && !members.contains_key(&name) {
                unknown += 1;
            }
            if unknown <= UNKNOWN || known(&name) {
                members.insert(name, Cow::Borrowed(value));
            }
            Some(())
        })?;
        Some(Self(members))
    }

    /// The string in a field.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        Cursor::new(self.0.get(name)?).string()
    }

    /// Takes a string field out; empty when there is none.
    pub(crate) fn take_text(&mut self, name: &str) -> String {
        let text = self.text(name).map(Cow::into_owned).unwrap_or_default();
        self.0.remove(name);
        text
    }

    /// Puts a string in.
    pub(crate) fn set_text(&mut self, name: &'static str, text: &str) {
        self.0.insert(Cow::Borrowed(name), Cow::Owned(quoted(text)));
    }

    /// Gives a field another name, when it is there.
    pub(crate) fn rename(&mut self, from: &str, to: &'static str) {
        if let Some(value) = self.0.remove(from) {
            self.0.insert(Cow::Borrowed(to), value);
        }
    }

    /// As JSON text.
    pub(crate) fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (name, value) in &self.0 {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&quoted(name));
            json.push(':');
            if name == "misc" {
                json.push_str(value);
            } else {
                settle(value, &mut json);
            }
        }
        json.push('}');
        json
    }
}

/// Appends a value of a field, which is nested no deeper than the contract allows: each name once, free objects as they are.
pub(crate) fn settle(value: &str, json: &mut String) {
    let mut cursor = Cursor::new(value);
    match cursor.peek() {
        b'{' => json.push_str(&Members::parse(value, |_| true).unwrap_or_default().to_json()),
        b'[' => {
            json.push('[');
            let mut separator = "";
            cursor.list(|cursor| {
                json.push_str(separator);
                separator = ",";
                settle(cursor.raw(), json);
                Some(())
            });
            json.push(']');
        }
        _ => json.push_str(value),
    }
}

/// A string as JSON text.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
