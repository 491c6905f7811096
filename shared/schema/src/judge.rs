//! The judge: decides over everything that is not plainly right, and says what is wrong in words.
//!
//! Invariants: verdicts come from the contract's JSON Schema alone. Free objects are never looked into and unknown fields
//! never read, so that the memory for one object is bounded by its own fields.

use crate::{
    classes::{Class, LONG_EXCERPT},
    code,
    contract::Contract,
    fault::{Fault, Faults, cut, step},
    members::{Members, UNKNOWN},
    read::Cursor,
    version::Version,
};
use jsonschema::{
    JsonType, ValidationError,
    error::{TypeKind, ValidationErrorKind},
    paths::LocationSegment,
};
use serde_json::{Map, Value, json};
use std::io;

/// Nothing in an object is nested deeper than this, free objects apart.
const LEVELS: u32 = 3;
/// A value in a field that is longer than this, in bytes, needs care with memory: a list is judged in pieces of so many
/// elements, an object by itself.
const LONG: usize = 64 << 10;
const PIECE: usize = 500;
/// Longest value shown, in bytes.
const SHOWN: usize = 500;
/// How many names of unknown fields are given.
const NAMED: usize = 5;

/// Judges an object of a list by the contract of a version; `pointer` is where it stands.
pub(crate) fn object(contract: &Contract, kind: &str, members: &Members<'_>, pointer: &str, faults: &mut Faults) {
    let id = members.text("id").map(|id| cut(&id));
    Judge { contract, id, faults }.object(kind, members, pointer);
}

/// The judge of one object of a list, and of the objects in it.
struct Judge<'j> {
    contract: &'j Contract,
    /// Of the object of the list.
    id: Option<String>,
    faults: &'j mut Faults,
}

impl Judge<'_> {
    fn object(&mut self, kind: &str, members: &Members<'_>, pointer: &str) {
        let contract = self.contract;
        let fields = members.0.iter().map(|(name, text)| (name.to_string(), sketch(contract, kind, name, text)));
        let object = Value::Object(fields.collect());
        for error in contract.validator(kind).iter_errors(&object) {
            let path = error.instance_path().iter().collect::<Vec<_>>();
            let field = match path.first() {
                Some(LocationSegment::Property(name)) => members.0.get(name.as_ref()).map(|text| (name, text)),
                _ => None,
            };
            if field.is_some_and(|(name, text)| long_part(contract, kind, name, text).is_some()) {
                continue;
            }
            self.push(|| {
                let mut fault = describe(contract, kind, &error, pointer, 0);
                if fault.value.is_some() && path.len() == 1 {
                    fault.value = field.map(|(_, text)| cut(text));
                }
                fault
            });
        }
        for (name, text) in members.0.iter().filter(|(name, text)| is_long(text) && looks_into(contract, kind, name)) {
            match text.as_bytes()[0] {
                b'"' => self.long_text(kind, name, text, pointer),
                b'[' => self.long_list(kind, name, text, pointer),
                _ => {
                    if let Some(part) = long_part(contract, kind, name, text) {
                        self.part(part, text, &below(pointer, name));
                    }
                }
            }
        }
    }

    /// Judges an object inside of the object.
    fn part(&mut self, part: &str, text: &str, pointer: &str) {
        let members = Members::parse(text, |name| self.contract.has(part, name)).expect("it starts as an object");
        self.object(part, &members, pointer);
    }

    fn long_text(&mut self, kind: &str, field: &str, text: &str, pointer: &str) {
        if let Some(message) = too_long(self.contract, kind, field, text) {
            let (pointer, value) = (below(pointer, field), Some(cut(text)));
            self.push(|| Fault { pointer, code: code::TOO_LONG, message, value, id: None });
        }
    }

    /// Judges a long list in a field piece by piece, so that its values are never all in memory.
    fn long_list(&mut self, kind: &str, field: &str, text: &str, pointer: &str) {
        let part = self.contract.element(kind, field);
        let (mut elements, mut first) = (Vec::new(), 0);
        Cursor::new(text).list(|cursor| {
            let text = cursor.raw();
            match (text.as_bytes()[0], part) {
                (b'{', Some(part)) if is_long(text) => {
                    first += self.piece(kind, field, &mut elements, first, pointer);
                    self.part(part, text, &below(&below(pointer, field), &first.to_string()));
                    first += 1;
                }
                (b'{' | b'[', _) if is_long(text) => elements.push(outline(text)),
                _ => elements.push(value(&mut Cursor::new(text), 2)),
            }
            if elements.len() == PIECE {
                first += self.piece(kind, field, &mut elements, first, pointer);
            }
            Some(())
        });
        self.piece(kind, field, &mut elements, first, pointer);
    }

    /// Judges elements of a list, the first of which has this index, and forgets them; returns how many there were.
    fn piece(&mut self, kind: &str, field: &str, elements: &mut Vec<Value>, first: usize, pointer: &str) -> usize {
        let count = elements.len();
        let (object, contract) = (json!({field: std::mem::take(elements)}), self.contract);
        for error in contract.validator(kind).iter_errors(&object) {
            // All but the elements has been judged already.
            if error.instance_path().iter().nth(1).is_some() {
                self.push(|| describe(contract, kind, &error, pointer, first));
            }
        }
        count
    }

    fn push(&mut self, fault: impl FnOnce() -> Fault) {
        let id = &self.id;
        self.faults.push_with(|| Fault { id: id.clone(), ..fault() });
    }
}

/// Whether the contract says anything of what is in a field.
fn looks_into(contract: &Contract, kind: &str, field: &str) -> bool {
    field != "misc" && contract.has(kind, field)
}

/// A field as the validator needs it: of what is judged apart, and of what nobody looks into, only the outline.
fn sketch(contract: &Contract, kind: &str, field: &str, text: &str) -> Value {
    match text.as_bytes()[0] {
        _ if !contract.has(kind, field) => Value::Null,
        _ if !looks_into(contract, kind, field) => outline(text),
        b'[' | b'{' if is_long(text) => outline(text),
        b'"' if is_long(text) => long_text(contract, kind, field, text),
        _ => value(&mut Cursor::new(text), 1),
    }
}

/// The kind of the object in a field that is judged by itself: a long one, where one may be.
fn long_part<'c>(contract: &'c Contract, kind: &str, field: &str, text: &str) -> Option<&'c str> {
    contract.part(kind, field).filter(|_| is_long(text) && text.starts_with('{'))
}

fn is_long(text: &str) -> bool {
    text.len() > LONG
}

/// The place of a member or element.
fn below(pointer: &str, name: &str) -> String {
    let mut pointer = pointer.to_owned();
    step(&mut pointer, name);
    pointer
}

/// A long text as the validator needs it: where any text is right, and where [`too_long`] judges, it need not be decoded.
fn long_text(contract: &Contract, kind: &str, field: &str, text: &str) -> Value {
    match contract.class(kind, field) {
        Some(class) if class.name == "string" || class.longest.is_some() && text.len() > LONG_EXCERPT => outline(text),
        Some(class) if class.name == "NoNul" && !text.contains("\\u0000") => outline(text),
        _ => value(&mut Cursor::new(text), 1),
    }
}

/// What is to be said about a text that is plainly too long.
fn too_long(contract: &Contract, kind: &str, field: &str, text: &str) -> Option<String> {
    let class = contract.class(kind, field).filter(|_| text.len() > LONG_EXCERPT)?;
    Some(length_message(class, Cursor::new(text).characters()?, class.longest?))
}

fn length_message(class: &Class, length: usize, longest: usize) -> String {
    format!("the text has {length} characters and may have {longest}; {}", class.advice())
}

/// Judges the root: its members with lists taken as empty.
pub(crate) fn root(contract: &Contract, root: &Value, faults: &mut Faults) {
    let mut of_version = false;
    for error in contract.validator("document").iter_errors(root) {
        let in_version =
            matches!(error.instance_path().iter().next(), Some(LocationSegment::Property(name)) if name == "version");
        if in_version && of_version {
            continue;
        }
        of_version |= in_version;
        let mut fault = describe(contract, "document", &error, "", 0);
        if in_version {
            fault.code = code::UNKNOWN_VERSION;
            fault.message = unknown_version(&root["version"]);
            fault.value = Some(cut(&shown(&root["version"])));
        }
        faults.push(fault);
    }
}

fn unknown_version(value: &Value) -> String {
    let remedy = r#"send {"major": 5, "minor": 3}, or one of 1.1, 2.0, 3.0, 4.0 to 4.5, 5.0 to 5.3 in this form"#;
    match value {
        Value::Object(members) if Version::of(value).is_some() && members.len() > 2 => {
            "`version` may have only `major` and `minor`".to_owned()
        }
        _ => format!("`version` names no known version of the schema; {remedy}"),
    }
}

/// What kind of value a text is, without its contents.
pub(crate) fn outline(text: &str) -> Value {
    match Cursor::new(text).peek() {
        b'{' => Value::Object(Map::new()),
        b'[' => Value::Array(Vec::new()),
        b'"' => Value::String(String::new()),
        b't' | b'f' => Value::Bool(true),
        b'n' => Value::Null,
        _ => Value::from(0),
    }
}

/// The value as far as the contract looks into it.
fn value(cursor: &mut Cursor<'_>, level: u32) -> Value {
    match cursor.peek() {
        b'{' | b'[' if level > LEVELS => outline(cursor.raw()),
        b'{' => {
            let mut object = Map::new();
            cursor.object(|cursor, name| {
                let value = if name == "misc" { outline(cursor.raw()) } else { value(cursor, level + 1) };
                object.insert(name.into_owned(), value);
                Some(())
            });
            Value::Object(object)
        }
        b'[' => {
            let mut list = Vec::new();
            cursor.list(|cursor| {
                list.push(value(cursor, level + 1));
                Some(())
            });
            Value::Array(list)
        }
        b'"' => Value::String(cursor.string().unwrap_or_default().into_owned()),
        _ => serde_json::from_str(cursor.raw()).unwrap_or_default(),
    }
}

/// A value without containers inside; of a text too long to be right only the start.
pub(crate) fn plain(text: &str) -> Value {
    if text.len() > SHOWN && text.starts_with('"') {
        return Value::from(cut(&text[1..]));
    }
    match text {
        // A whole number, though `serde_json` reads a double.
        "-0" => Value::from(0),
        _ => value(&mut Cursor::new(text), LEVELS + 1),
    }
}

/// A value that is no object where one should be.
pub(crate) fn not_an_object(text: &str, pointer: String) -> Fault {
    let value = outline(text);
    let (code, message) = wrong_type(&value, "an object");
    Fault { pointer, code, message, value: Some(cut(text)), id: None }
}

/// An error of the validator in words. Indexes into a list in a field count from `first`.
fn describe(contract: &Contract, kind: &str, error: &ValidationError<'_>, pointer: &str, first: usize) -> Fault {
    let mut pointer = pointer.to_owned();
    let mut inner = kind;
    for segment in error.instance_path() {
        match segment {
            LocationSegment::Property(name) => {
                inner = part(&name).unwrap_or(inner);
                step(&mut pointer, &name);
            }
            LocationSegment::Index(index) => step(&mut pointer, &(first + index).to_string()),
        }
    }
    let instance = error.instance();
    let (code, message, show) = match error.kind() {
        ValidationErrorKind::Type { kind } => {
            let (code, message) = wrong_type(instance, type_name(kind));
            (code, message, true)
        }
        ValidationErrorKind::Required { property } => {
            let field = property.as_str().unwrap_or_default();
            (code::MISSING_FIELD, format!("the field `{field}` is missing, and {} must have it", article(inner)), false)
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            (code::UNKNOWN_FIELD, unknown(contract, inner, unexpected), false)
        }
        ValidationErrorKind::Custom { message, .. } => {
            let (code, message) = not_of_class(message, instance.as_str().unwrap_or_default());
            (code, message, true)
        }
        ValidationErrorKind::Minimum { .. } => (code::OUT_OF_RANGE, "the number must not be negative".to_owned(), true),
        other => (code::UNKNOWN_VALUE, format!("the value breaks the rule `{}`", other.keyword()), true),
    };
    Fault { pointer, code, message, value: show.then(|| cut(&shown(instance))), id: None }
}

/// The kind of the object in a field.
fn part(field: &str) -> Option<&'static str> {
    Some(match field {
        "environment" => "environment",
        "number" => "quantity",
        "culprit" => "culprit",
        "patch_mboxes" | "patchset_files" | "input_files" | "output_files" => "resource",
        _ => return None,
    })
}

fn article(kind: &str) -> String {
    match kind {
        "environment" | "issue" | "incident" => format!("an {kind}"),
        "quantity" => "a number".to_owned(),
        "resource" => "a file".to_owned(),
        _ => format!("a {kind}"),
    }
}

fn type_name(kind: &TypeKind) -> &'static str {
    match kind {
        TypeKind::Single(JsonType::String) => "a string",
        TypeKind::Single(JsonType::Boolean) => "true or false",
        TypeKind::Single(JsonType::Integer) => "a whole number",
        TypeKind::Single(JsonType::Number) => "a number",
        TypeKind::Single(JsonType::Array) => "a list",
        _ => "an object",
    }
}

fn wrong_type(value: &Value, wanted: &str) -> (&'static str, String) {
    let found = match value {
        Value::Null => {
            return (code::NULL_VALUE, "the value is null; leave the field out instead of sending null".to_owned());
        }
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    (code::WRONG_TYPE, format!("the value must be {wanted}, not {found}"))
}

fn unknown(contract: &Contract, kind: &str, names: &[String]) -> String {
    let listed: Vec<_> = names.iter().take(NAMED).map(|name| format!("`{}`", cut(name))).collect();
    let rest = match names.len() {
        0..=NAMED => String::new(),
        UNKNOWN.. => " and many more".to_owned(),
        count => format!(" and {} more", count - NAMED),
    };
    let (fields, are) = if names.len() == 1 { ("field", "is") } else { ("fields", "are") };
    let newer =
        names.first().and_then(|name| Contract::first_with(kind, name)).filter(|version| *version > contract.version);
    let remedy = match newer {
        Some(version) => {
            format!("`{}` exists from version {version} on, so let the document say that version", names[0])
        }
        None if contract.has(kind, "misc") => "remove it, correct its spelling, or move it into `misc`".to_owned(),
        None => "remove it or correct its spelling".to_owned(),
    };
    let (kind, version) = (article(kind), contract.version);
    format!("the {fields} {}{rest} {are} unknown in {kind} of version {version}; {remedy}", listed.join(", "))
}

fn not_of_class(class: &str, text: &str) -> (&'static str, String) {
    let class = Class::find(class).expect("the contract names only classes that exist");
    if text.contains('\0') && !(class.holds)(text) && (class.holds)(&text.replace('\0', "0")) {
        return (code::NUL_CHARACTER, "the text has a U+0000 character, which nothing can store; remove it".to_owned());
    }
    if let Some(longest) = class.longest {
        return (class.code, length_message(class, text.chars().count(), longest));
    }
    (class.code, format!("the text is not accepted here; {}", class.advice()))
}

/// The start of a value as JSON.
pub(crate) fn shown(value: &Value) -> String {
    /// Takes so much and no more.
    struct Start(Vec<u8>);
    impl io::Write for Start {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() >= SHOWN {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.0.extend_from_slice(&bytes[..bytes.len().min(SHOWN - self.0.len())]);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut start = Start(Vec::new());
    // An error means that there is more than is wanted.
    drop(serde_json::to_writer(&mut start, value));
    String::from_utf8_lossy(&start.0).into_owned()
}
