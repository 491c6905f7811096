//! Documents made at random from the schema itself, right and slightly wrong: the quick way never takes what the judge
//! refuses, and what is valid stays valid when upgraded, as far as spec/io-schema.md section 5 promises.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use schema::{Counts, Document, Options, Refusal, TreeNames, Verdict, Version, json_schema};
use serde_json::{Map, Value, json};

/// Documents of each version.
const ROUNDS: u64 = 200;

/// Makes values that follow a schema, and now and then some that do not.
struct Maker {
    random: StdRng,
    schema: Value,
    /// One in so many values is wrong; never when 0.
    wrong: u32,
}

impl Maker {
    fn chance(&mut self, one_in: u32) -> bool {
        one_in > 0 && self.random.random_range(0..one_in) == 0
    }

    fn pick(&mut self, texts: &[&str]) -> Value {
        (*texts.choose(&mut self.random).unwrap()).into()
    }

    fn value(&mut self, schema: &Value) -> Value {
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
    fn odd(&mut self) -> Value {
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

    fn document(&mut self, version: Version) -> Value {
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
fn disguised(text: &str, random: &mut StdRng) -> String {
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

/// The verdict, without the text of values, which a disguise changes.
fn verdict(text: &str) -> Verdict {
    let mut verdict = Verdict::of(text.as_bytes(), &Options::default());
    verdict.faults.iter_mut().for_each(|fault| fault.value = None);
    verdict
}

/// In every object the first name is repeated, which the quick way refuses. The last counts.
fn repeated(document: &Value) -> String {
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

/// How many objects there are, or at which gate the document is refused.
fn counts(text: &str) -> Result<Counts, Refusal> {
    let objects = Document::open(text.as_bytes()).unwrap().objects(&Options::default());
    objects.map(|objects| objects.counts()).map_err(|rejection| rejection.code)
}

#[test]
fn what_follows_the_schema_is_accepted_and_stays_valid() {
    let mut accepted = 0;
    for version in Version::ALL {
        for seed in 0..ROUNDS {
            let mut maker = Maker { random: StdRng::seed_from_u64(seed), schema: json_schema(version), wrong: 0 };
            let document = maker.document(version);
            let text = document.to_string();
            let opened = Document::open(text.as_bytes()).unwrap();
            let counts = match opened.check(&Options::default()) {
                Ok(counts) => counts,
                // A repository, a path or a text that version 5.0 does not allow.
                Err(rejection) if version.major < 5 && rejection.code == Refusal::NotUpgradable => continue,
                Err(rejection) => panic!("{version} {seed}: {rejection}\n{text}"),
            };
            accepted += 1;
            let upgraded = opened.upgraded(&Options::default()).unwrap();
            let again = Document::open(upgraded.as_bytes()).unwrap();
            assert_eq!(again.version(), Some(Version::NEWEST));
            if version.major >= 3 {
                assert_eq!(again.check(&Options::default()), Ok(counts), "{version} {seed}");
            }
            if version == Version::NEWEST {
                assert_eq!(serde_json::from_str::<Value>(&upgraded).unwrap(), document);
            }
            assert_eq!(again.upgraded(&Options::default()).is_ok(), again.check(&Options::default()).is_ok());
            let objects = opened.objects(&Options { tree_names: TreeNames::public(), ..Options::default() });
            assert_eq!(objects.unwrap().counts(), counts);
        }
    }
    assert!(accepted > 1000, "{accepted} accepted: the test says little");
}

#[test]
fn the_quick_way_agrees_with_the_judge() {
    let (mut accepted, mut refused) = (0, 0);
    for version in Version::ALL {
        for seed in 0..ROUNDS {
            let mut maker = Maker { random: StdRng::seed_from_u64(seed), schema: json_schema(version), wrong: 60 };
            let document = maker.document(version);
            let quick = verdict(&document.to_string());
            let repeated = repeated(&document);
            assert_eq!(quick, verdict(&repeated), "{version} {seed}\n{document}");
            assert_eq!(counts(&document.to_string()), counts(&repeated), "{version} {seed}\n{repeated}");
            let text = disguised(&document.to_string(), &mut maker.random);
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
            assert_eq!(
                Verdict::of(text.as_bytes(), &Options::default()).accepted,
                quick.accepted,
                "{version} {seed}\n{text}"
            );
            *if quick.accepted { &mut accepted } else { &mut refused } += 1;
        }
    }
    assert!(accepted > 300 && refused > 300, "{accepted} accepted, {refused} refused: the test says little");
}

#[test]
fn threads_change_nothing() {
    let mut maker = Maker { random: StdRng::seed_from_u64(7), schema: json_schema(Version::NEWEST), wrong: 2000 };
    let rule = maker.schema["properties"]["tests"].clone();
    let tests: Vec<_> = (0..40_000).flat_map(|_| maker.value(&rule).as_array().cloned().unwrap_or_default()).collect();
    let text = json!({"version": {"major": 5, "minor": 3}, "tests": tests}).to_string();
    let document = Document::open(text.as_bytes()).unwrap();
    let options = |threads| Options { threads, max_faults: 10, ..Options::default() };
    let rejection = document.check(&options(1)).unwrap_err();
    assert_eq!(rejection.code, Refusal::Invalid);
    assert!(rejection.faults.len() == 10 && rejection.fault_count > 10);
    assert_eq!(document.check(&options(3)).unwrap_err(), rejection);
}

#[test]
fn parts_are_what_the_whole_is() {
    let mut maker = Maker { random: StdRng::seed_from_u64(8), schema: json_schema(Version::NEWEST), wrong: 0 };
    let rule = maker.schema["properties"]["builds"].clone();
    let builds: Vec<_> = (0..5000).flat_map(|_| maker.value(&rule).as_array().cloned().unwrap()).collect();
    let text = json!({"builds": builds, "tests": [], "version": {"major": 5, "minor": 3}}).to_string();
    let document = Document::open(text.as_bytes()).unwrap();
    let whole = document.objects(&Options::default()).unwrap();
    let mut parts = schema::Objects::default();
    let counts = document.chunks(&Options { threads: 2, ..Options::default() }, 700, |part| {
        assert!((1..=700).contains(&part.counts().total()));
        parts.append(part);
    });
    assert_eq!(counts, Ok(whole.counts()));
    assert_eq!(parts, whole);
    assert!(whole.builds.iter().enumerate().all(|(index, build)| build.index == index));
}
