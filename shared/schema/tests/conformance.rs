//! The recorded verdicts and upgraded documents of the reference (conformance/README.md), where they are at hand.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use flate2::read::GzDecoder;
use schema::{Document, Options, Rejection, Version, syntax::Checker};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, fs, io::Read as _, path::PathBuf};

/// The folder with the data; says so when there is none.
fn data() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance");
    let folder = PathBuf::from(std::env::var("KCIDB_CONFORMANCE").unwrap_or_else(|_| default.to_owned()));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no conformance data (KCIDB_CONFORMANCE)");
    None
}

fn lines(path: &str) -> Vec<Value> {
    let Some(folder) = data() else { return Vec::new() };
    let text = fs::read_to_string(folder.join(path)).unwrap();
    text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What became of a document.
struct Outcome {
    valid: bool,
    version: Option<Version>,
    upgraded: Option<Value>,
    rejection: Option<Rejection>,
}

fn judge(text: &[u8]) -> Outcome {
    let options = Options::default();
    let document = match Document::open(text) {
        Ok(document) => document,
        Err(rejection) => return Outcome { valid: false, version: None, upgraded: None, rejection: Some(rejection) },
    };
    let rejection = document.check(&options).err();
    let upgraded = document.upgraded(&options);
    assert_eq!(upgraded.as_ref().err(), rejection.as_ref());
    Outcome {
        valid: rejection.as_ref().is_none_or(|rejection| rejection.code.is_valid()),
        version: document.version(),
        upgraded: upgraded.ok().map(|text| serde_json::from_str(&text).unwrap()),
        rejection,
    }
}

/// The pointer of a fault as the reference gives paths: names and indexes.
fn path(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
}

fn compare(case: &Value, outcome: &Outcome) -> Result<(), String> {
    let same = |what: &str, ours: Value| {
        if case[what] == ours { Ok(()) } else { Err(format!("{what}: {ours} instead of {}", case[what])) }
    };
    same("valid", outcome.valid.into())?;
    same("version", serde_json::to_value(outcome.version).unwrap())?;
    same("accepted", outcome.rejection.is_none().into())?;
    if case.get("upgraded").is_some() {
        same("upgraded", outcome.upgraded.clone().unwrap_or(Value::Null))?;
    }
    Ok(())
}

#[test]
fn cases() {
    let mut wrong = Vec::new();
    for case in lines("io/cases.jsonl") {
        let outcome = judge(case["input"].to_string().as_bytes());
        let name = case["name"].as_str().unwrap();
        if let Err(what) = compare(&case, &outcome) {
            wrong.push(format!("{name}: {what}"));
        }
        let Some(rejection) = &outcome.rejection else { continue };
        assert!(rejection.fault_count > 0 && !rejection.faults.is_empty(), "{name}");
        if outcome.valid {
            assert!(rejection.faults[0].value.is_some(), "{name}: the fault must name the value");
            continue;
        }
        let steps = |path: &Value| -> Vec<String> {
            path.as_array()
                .unwrap()
                .iter()
                .map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned))
                .collect()
        };
        let theirs: Vec<_> = case["errors"].as_array().unwrap().iter().map(|error| steps(&error["path"])).collect();
        for fault in &rejection.faults {
            if !theirs.contains(&path(&fault.pointer)) && case["errors_total"].is_null() {
                wrong.push(format!("{name}: a fault at {:?}, the reference has {theirs:?}", fault.pointer));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
}

#[test]
fn strict_refuses_what_is_not_valid_after_the_upgrade() {
    let strict = Options { strict: true, ..Options::default() };
    for case in lines("io/cases.jsonl").iter().filter(|case| case["accepted"] == true) {
        let text = case["input"].to_string();
        let result = Document::open(text.as_bytes()).unwrap().check(&strict);
        assert_eq!(Value::from(result.is_ok()), case["upgraded_valid"], "{}: {result:?}", case["name"]);
    }
}

#[test]
fn every_accepted_case_gives_objects() {
    for case in lines("io/cases.jsonl").iter().filter(|case| case["accepted"] == true) {
        let text = case["input"].to_string();
        let document = Document::open(text.as_bytes()).unwrap();
        match document.objects(&Options::default()) {
            Ok(objects) => {
                assert_eq!(objects.counts(), document.check(&Options::default()).unwrap(), "{}", case["name"]);
            }
            Err(rejection) => assert_eq!(rejection.code.as_str(), "bad_name", "{}", case["name"]),
        }
    }
}

#[test]
fn raw_texts() {
    let mut wrong = Vec::new();
    for case in lines("io/raw.jsonl") {
        let text = match (&case["raw"], &case["raw_b64"], &case["raw_repeat"]) {
            (Value::String(text), ..) => text.clone().into_bytes(),
            (_, Value::String(text), _) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
            (.., recipe) => {
                let part = |name: &str| recipe[name].as_str().unwrap().to_owned();
                let times = usize::try_from(recipe["times"].as_u64().unwrap()).unwrap();
                [
                    part("prefix"),
                    part("open").repeat(times),
                    part("middle"),
                    part("close").repeat(times),
                    part("suffix"),
                ]
                .concat()
                .into_bytes()
            }
        };
        let mut checker = Checker::new();
        let parsed = text.chunks(7).try_for_each(|piece| checker.feed(piece)).and_then(|()| checker.finish());
        if case["gateway_parses"] != parsed.is_ok() {
            wrong.push(format!("{}: syntax {parsed:?}", case["name"]));
        }
        let outcome = judge(&text);
        assert_eq!(
            outcome.rejection.as_ref().is_some_and(|rejection| rejection.code.as_str() == "not_json"),
            parsed.is_err()
        );
        if let (true, Err(what)) = (parsed.is_ok(), compare(&case, &outcome)) {
            wrong.push(format!("{}: {what}", case["name"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn base16(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn sha256(value: &Value) -> String {
    base16(&Sha256::digest(value.to_string()))
}

#[test]
fn submissions() {
    let Some(folder) = data() else { return };
    let archive = fs::File::open(folder.join("submissions/submissions-dev.tar.gz")).unwrap();
    let mut files = HashMap::new();
    for entry in tar::Archive::new(GzDecoder::new(archive)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let mut text = Vec::new();
        entry.read_to_end(&mut text).unwrap();
        files.insert(name, text);
    }
    let expectations = lines("submissions/expectations.jsonl");
    assert!(!expectations.is_empty());
    for case in expectations {
        let text = &files[case["file"].as_str().unwrap()];
        let outcome = judge(text);
        assert_eq!(Value::from(outcome.valid), case["valid"], "{}", case["file"]);
        assert_eq!(serde_json::to_value(outcome.version).unwrap(), case["version"]);
        assert_eq!(sha256(&serde_json::from_slice(text).unwrap()), case["input_sha256"], "{}", case["file"]);
        assert_eq!(sha256(&outcome.upgraded.unwrap()), case["upgraded_sha256"], "{}", case["file"]);
        let document = Document::open(text).unwrap();
        let counts = serde_json::to_value(document.check(&Options::default()).unwrap()).unwrap();
        for (list, count) in case["counts"].as_object().unwrap() {
            assert_eq!(&counts[list], count, "{} {list}", case["file"]);
        }
        let objects = document.objects(&Options { threads: 2, ..Options::default() }).unwrap();
        assert_eq!(serde_json::to_value(objects.counts()).unwrap(), counts);
    }
}

/// A schema with its references put in place, enumerations sorted, and patterns in one spelling.
fn resolved(schema: &Value, root: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                return resolved(root.pointer(reference.trim_start_matches('#')).unwrap(), root);
            }
            let kept = members.iter().filter(|(name, _)| !matches!(name.as_str(), "$defs" | "$schema" | "title"));
            kept.map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("pattern", Value::String(pattern)) => {
                        pattern.replace("\\0", "\\u0000").replace("\\n?$", "$").into()
                    }
                    ("enum" | "required", Value::Array(values)) => {
                        let mut values: Vec<_> = values.iter().map(ToString::to_string).collect();
                        values.sort();
                        values.into()
                    }
                    _ => resolved(value, root),
                };
                (name.clone(), value)
            })
            .collect()
        }
        Value::Array(values) => values.iter().map(|value| resolved(value, root)).collect(),
        other => other.clone(),
    }
}

#[test]
fn printed_schemas_say_what_the_reference_says() {
    let Some(folder) = data() else { return };
    for version in Version::ALL {
        let path = folder.join(format!("../spec/io-schemas/v{version}.json"));
        let Ok(text) = fs::read_to_string(&path) else {
            println!("skipped: no {}", path.display());
            continue;
        };
        let theirs: Value = serde_json::from_str(&text).unwrap();
        let ours = schema::json_schema(version);
        assert_eq!(resolved(&ours, &ours), resolved(&theirs, &theirs), "{version}");
    }
}
