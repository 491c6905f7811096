//! An object whose values stay JSON text: what the judge looks at and the upgrade edits.
//!
//! Invariants: of repeated names the last counts; values that nobody edits keep their exact text, however large the
//! numbers in them are.

use crate::read::Cursor;
use std::{borrow::Cow, collections::BTreeMap};

/// Members by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members<'a>(pub(crate) BTreeMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Members<'a> {
    /// Of an object's text; nothing for any other value.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut members = BTreeMap::new();
        Cursor::new(text).object(|cursor, name| {
            members.insert(name, Cow::Borrowed(cursor.raw()));
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
            json.push_str(&if name == "misc" { Cow::Borrowed(value.as_ref()) } else { settled(value) });
        }
        json.push('}');
        json
    }
}

/// A value of a field, which is nested no deeper than the contract allows: each name once, free objects as they are.
fn settled(value: &str) -> Cow<'_, str> {
    let mut cursor = Cursor::new(value);
    match cursor.peek() {
        b'{' => Members::parse(value).map_or(Cow::Borrowed(value), |members| Cow::Owned(members.to_json())),
        b'[' => {
            let mut elements = Vec::new();
            cursor.list(|cursor| {
                elements.push(settled(cursor.raw()));
                Some(())
            });
            Cow::Owned(format!("[{}]", elements.join(",")))
        }
        _ => Cow::Borrowed(value),
    }
}

/// A string as JSON text.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
