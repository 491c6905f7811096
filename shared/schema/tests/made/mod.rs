//! Documents made at random from a schema, right and slightly wrong, and other ways to write the same document.

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use schema::Version;
use serde_json::{Map, Value, json};

/// Makes values that follow a schema, and now and then some that do not.
pub(crate) struct Maker {
    pub(crate) random: StdRng,
    pub(crate) schema: Value,
    /// One in so many values is wrong; never when 0.
    pub(crate) wrong: u32,
}

impl Maker {
    fn chance(&mut self, one_in: u32) -> bool {
        one_in > 0 && self.random.random_range(0..one_in) == 0
    }

    fn pick(&mut self, texts: &[&str]) -> Value {
        (*texts.choose(&mut self.random).unwrap()).into()
    }

    pub(crate) fn value(&mut self, schema: &Value) -> Value {
        if self.chance(self.wrong) {
            return self.odd();
        }
        if let Some(Value::String(reference)) = schema.get("$ref") {
            let schema = self.schema.pointer(&reference[1..]).unwrap().clone();
            return self.value(&schema);
        }
        match schema["type"].as_str() {
            Some("object") if schema.get("properties").is_some() => self.object(schema),
            Some("object") => {
                [json!({}), json!({"a": [1.5, null, {"misc": "\u{0}"}]}), json!({"lab": "k8s", "runtime": "shell"})]
                    .choose(&mut self.random)
                    .unwrap()
                    .clone()
            }
            Some("array") => (0..self.random.random_range(0..4)).map(|_| self.value(&schema["items"])).collect(),
            Some("boolean") => self.random.random::<bool>().into(),
            Some("number") => {
                [json!(0), json!(-1.5), json!(1e300), json!(u64::MAX)].choose(&mut self.random).unwrap().clone()
            }
            Some("integer") => [json!(0), json!(1.0), json!(u64::MAX)].choose(&mut self.random).unwrap().clone(),
            _ => self.text(schema),
        }
    }

    fn object(&mut self, schema: &Value) -> Value {
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
        let mut object = Map::new();
        for (name, rule) in schema["properties"].as_object().unwrap() {
            if required.contains(&&Value::from(name.as_str())) && !self.chance(self.wrong) || self.random.random() {
                object.insert(name.clone(), self.value(rule));
            }
        }
        if self.chance(self.wrong) {
            let name =
                ["unknown", "_timestamp", "waived", "input_files", "categories"].choose(&mut self.random).unwrap();
            object.insert((*name).to_owned(), self.odd());
        }
        object.into()
    }

    /// A string of the class that the schema describes.
    fn text(&mut self, schema: &Value) -> Value {
        if let Some(Value::Array(words)) = schema.get("enum") {
            return words.choose(&mut self.random).unwrap().clone();
        }
        let sha1 = "0123456789abcdef0123456789abcdef01234567";
        match (schema["pattern"].as_str(), schema["format"].as_str()) {
            (Some(pattern), _) if pattern.contains("{40}") => sha1.into(),
            (Some(pattern), _) if pattern.contains("https") => {
                self.pick(&["https://example.org/linux.git", "https://"])
            }
            (Some(pattern), _) if pattern.contains("+:") => self.pick(&["o:", "lab_1:a:b é", "o:\"\\"]),
            (Some(pattern), _) if pattern.contains("{64}") => "".into(),
            (Some(pattern), _) if pattern.starts_with("^[a-z0-9_]") => self.pick(&["lab", "x86_64", "_"]),
            (Some(pattern), _) if pattern.contains("a-zA-Z") => self.pick(&["", "ltp.open01", "a-b_C"]),
            (Some(pattern), _) if pattern.starts_with("^[^/") => self.pick(&["log.txt", ".."]),
            (Some(pattern), _) if pattern.starts_with("^[^ ") => self.pick(&["arm,board", ","]),
            (_, Some("uri")) => self.pick(&["https://example.org/a?b#c", "x:", "http://[::1]:80/"]),
            (_, Some("date-time")) => self.pick(&["2025-07-17T18:05:49Z", "2024-02-29t00:00:00.123456789+23:59"]),
            (_, Some("email")) => self.pick(&["@", "a@example.org"]),
            _ => self.pick(&["", "plain", "zwölf 😀", "line\nline\t\u{1b}[0m", "\\u0000"]),
        }
    }

    /// Something that is nearly never right.
    pub(crate) fn odd(&mut self) -> Value {
        let odd = [
            json!(null),
            json!(5),
            json!(-1),
            json!(0.5),
            json!(true),
            json!(""),
            json!("\n"),
            json!("a\u{0}"),
            json!([]),
            json!({}),
            json!(["a", null]),
            json!([{"name": "a/b", "url": "x"}]),
            json!({"value": "1"}),
            json!("o:x\n"),
            json!("lab\n"),
            json!("2025-02-30T00:00:00Z"),
            json!("a. b"),
            json!("git://a"),
            json!("x".repeat(16385)),
        ];
        odd.choose(&mut self.random).unwrap().clone()
    }

    pub(crate) fn document(&mut self, version: Version) -> Value {
        let mut document = json!({"version": {"major": version.major, "minor": version.minor}});
        for (list, rule) in self.schema["properties"].as_object().unwrap().clone() {
            if list != "version" && self.random.random() {
                document[list] = self.value(&rule);
            }
        }
        document
    }
}

/// The text with escapes where none are needed, repeated names and white space: the same document to a reader.
pub(crate) fn disguised(text: &str, random: &mut StdRng) -> String {
    let mut disguised = String::new();
    let mut in_string = false;
    let mut escaped = false;
    let mut digits = 0;
    for character in text.chars() {
        match character {
            _ if digits > 0 => {
                digits -= 1;
                disguised.push(character);
            }
            'u' if escaped => {
                digits = 4;
                disguised.push('u');
            }
            '"' if !escaped => {
                in_string = !in_string;
                disguised.push('"');
            }
            'a'..='z' if in_string && !escaped && random.random_range(0..30) == 0 => {
                disguised.extend([format!("\\u{:04X}", u32::from(character))]);
            }
            '{' if !in_string && random.random_range(0..10) == 0 => disguised.push_str("{ \n"),
            ',' if !in_string => disguised.push_str(", "),
            other => disguised.push(other),
        }
        escaped = in_string && character == '\\' && !escaped;
    }
    disguised
}

/// In every object the first name is repeated, which the quick way refuses. The last counts.
pub(crate) fn repeated(document: &Value) -> String {
    let text = document.to_string();
    let mut repeated = String::new();
    for (index, part) in text.split("{\"").enumerate() {
        if index > 0 {
            let name = part.split('"').next().unwrap();
            repeated.extend(["{\"", name, "\":null,\""]);
        }
        repeated.push_str(part);
    }
    assert_eq!(serde_json::from_str::<Value>(&repeated).unwrap(), *document);
    repeated
}
