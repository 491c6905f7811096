//! Values that the schema lets pass and PostgreSQL does not (spec: database.md 7): found here, before the database is
//! asked, with the place, so that one bad value is told precisely and never stops others.

use std::borrow::Cow;

use schema::{Fault, Objects};

use crate::{
    bulk::Value,
    json::{self, Unstorable},
    tables::{self, Table},
};

/// Every value of a document that cannot be stored; empty for nearly all documents.
pub fn unstorable(objects: &Objects<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for checkout in &objects.checkouts {
        judge(&mut faults, &tables::CHECKOUTS, checkout.index, &tables::checkout(checkout));
    }
    for build in &objects.builds {
        judge(&mut faults, &tables::BUILDS, build.index, &tables::build(build));
    }
    for test in &objects.tests {
        judge(&mut faults, &tables::TESTS, test.index, &tables::test(test));
        judge_platform(&mut faults, test);
    }
    for issue in &objects.issues {
        judge(&mut faults, &tables::ISSUES, issue.index, &tables::issue(issue));
    }
    for incident in &objects.incidents {
        judge(&mut faults, &tables::INCIDENTS, incident.index, &tables::incident(incident));
    }
    faults
}

/// Judges a row, whose columns tell the fields; the id comes first.
fn judge<const N: usize>(faults: &mut Vec<Fault>, table: &Table<N>, index: usize, row: &[Value<'_>; N]) {
    for (column, value) in table.columns.iter().zip(row) {
        let found = match *value {
            Value::Text(text) => text_fault(text, column.limit).map(|fault| (String::new(), fault)),
            Value::Texts(texts) => texts
                .iter()
                .enumerate()
                .find_map(|(place, text)| text_fault(&text, None).map(|fault| (format!("/{place}"), fault))),
            Value::Json(text) => json::unstorable(text).map(json_fault),
            Value::Misfit(text) => Some((String::new(), misfit(column.name, text))),
            _ => None,
        };
        if let Some((inner, (code, message, value))) = found {
            let pointer = format!("/{}/{index}/{}{inner}", table.name, field(table.name, column.name));
            let id = if let Value::Text(id) = row[0] { Some(cut(id)) } else { None };
            faults.push(Fault { pointer, code, message, value, id });
        }
    }
}

/// Code, message, and the offending value.
type Found = (&'static str, String, Option<String>);

fn text_fault(text: &str, limit: Option<usize>) -> Option<Found> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Some(nul());
    }
    let limit = limit?;
    // As many bytes hold no more code points.
    if text.len() <= limit {
        return None;
    }
    let length = text.chars().count();
    (length > limit).then(|| {
        let message = format!("the text has {length} characters, the database holds {limit} here: shorten it");
        ("too_long", message, Some(quoted(text)))
    })
}

fn nul() -> Found {
    ("nul", "the text holds the character U+0000 (\\u0000), which the database cannot store: leave it out".into(), None)
}

fn json_fault(found: Unstorable) -> (String, Found) {
    match found {
        Unstorable::Nul(inner) => (inner, nul()),
        Unstorable::Surrogate(escape) => {
            let message =
                "the escape is one half of a surrogate pair and no character: write both halves, or leave it out";
            (String::new(), ("lone_surrogate", message.into(), Some(escape)))
        }
        Unstorable::Number(number) => {
            let message = "the number has more digits than the database holds (131072 before the decimal point, 16383 \
                           after it): send it as text, or rounded";
            (String::new(), ("number_too_large", message.into(), Some(number)))
        }
        Unstorable::Size(bytes) => {
            let message = format!("the value has {bytes} bytes, the database holds 268435455: send a link instead");
            (String::new(), ("too_long", message, None))
        }
    }
}

/// A value that the type of its column cannot hold.
fn misfit(column: &str, text: &str) -> Found {
    if column.ends_with("_time") {
        let message = "the time is none that the database takes: use a date that exists, with a zone of less than 16 hours, \
                       such as 2024-02-29T12:00:00+00:00";
        ("time_out_of_range", message.into(), Some(quoted(text)))
    } else {
        let message = "the number is larger than the database holds here: use one up to 2147483647";
        ("number_too_large", message.into(), None)
    }
}

/// The platform goes into a shorter column of its own.
fn judge_platform(faults: &mut Vec<Fault>, test: &schema::Test<'_>) {
    let Some(platform) = tables::platform(test) else { return };
    if let Some((code, message, value)) =
        text_fault(&platform, Some(tables::PLATFORM)).filter(|(code, ..)| *code != "nul")
    {
        let pointer = format!("/tests/{}/environment/misc/platform", test.index);
        faults.push(Fault { pointer, code, message, value, id: Some(cut(&test.id)) });
    }
}

/// The field of the document that a column holds.
fn field(table: &str, column: &'static str) -> Cow<'static, str> {
    for (owner, prefix) in [("tests", "environment"), ("tests", "number"), ("issues", "culprit")] {
        if let Some(rest) = column.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'))
            && owner == table
        {
            return format!("{prefix}/{rest}").into();
        }
    }
    column.into()
}

/// A text as JSON, cut short.
fn quoted(text: &str) -> String {
    serde_json::Value::from(cut(text)).to_string()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
