//! The literal schemas of the specification (../shared/spec/io-schemas beside the checkout, or in `KCIDB_SPEC`), run by a
//! JSON Schema validator with formats of its own, and the upgrade on trees of values: verdicts, places of faults and
//! upgraded documents have to be the same for documents made at random, and for bent texts of them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod made;
mod oracle;

use jsonschema::{Draft, Keyword, ValidationError, Validator};
use made::{Maker, disguised, repeated};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use regex::Regex;
use schema::{Document, Options, Version, json_schema};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::PathBuf, sync::LazyLock};

/// How many documents of each version are made for each test: `KCIDB_ROUNDS`, or few.
fn rounds() -> u64 {
    std::env::var("KCIDB_ROUNDS").map_or(300, |rounds| rounds.parse().expect("KCIDB_ROUNDS is a number"))
}

/// RFC 3986, put together from its grammar.
static URI: LazyLock<Regex> = LazyLock::new(|| {
    let chars = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})";
    let pchar = format!("(?:{chars}|[:@])");
    let (h16, octet) = ("[0-9A-Fa-f]{1,4}", "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2})");
    let ls32 = format!(r"(?:{h16}:{h16}|{octet}(?:\.{octet}){{3}})");
    let before = |most: usize| format!("(?:(?:{h16}:){{0,{most}}}{h16})?");
    let v6 = [
        format!("(?:{h16}:){{6}}{ls32}"),
        format!("::(?:{h16}:){{5}}{ls32}"),
        format!("{}::(?:{h16}:){{4}}{ls32}", before(0)),
        format!("{}::(?:{h16}:){{3}}{ls32}", before(1)),
        format!("{}::(?:{h16}:){{2}}{ls32}", before(2)),
        format!("{}::{h16}:{ls32}", before(3)),
        format!("{}::{ls32}", before(4)),
        format!("{}::{h16}", before(5)),
        format!("{}::", before(6)),
    ]
    .join("|");
    let future = r"v[0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+";
    let authority = format!(r"(?:(?:{chars}|:)*@)?(?:\[(?:{v6}|{future})\]|{chars}*)(?::[0-9]*)?");
    let path = format!("(?://{authority}(?:/(?:{pchar}|/)*)?|/?(?:{pchar}(?:{pchar}|/)*)?)");
    let rest = format!("(?:{pchar}|[/?])*");
    Regex::new(&format!(r"^[A-Za-z][A-Za-z0-9+\-.]*:{path}(?:\?{rest})?(?:#{rest})?\n?\z")).unwrap()
});

static DATE_TIME: LazyLock<Regex> = LazyLock::new(|| {
    let (hour, sixty) = ("(?:[01][0-9]|2[0-3])", "[0-5][0-9]");
    Regex::new(&format!(
        r"^([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})[Tt]{hour}:{sixty}:{sixty}(?:\.[0-9]+)?(?:[Zz]|[+-]{hour}:{sixty})\n?\z"
    ))
    .unwrap()
});

fn date_time(text: &str) -> bool {
    DATE_TIME.captures(text).is_some_and(|parts| {
        let number = |part: usize| parts[part].parse().unwrap();
        let year = parts[1].parse().unwrap();
        year > 0 && chrono::NaiveDate::from_ymd_opt(year, number(2), number(3)).is_some()
    })
}

/// A pattern as the reference's language reads it.
struct Pattern(Regex);

impl<'i> Keyword<'i> for Pattern {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) { Ok(()) } else { Err(ValidationError::custom("pattern")) }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        instance.as_str().is_none_or(|text| self.0.is_match(text))
    }
}

/// The validators of all versions; says so when the schemas are not at hand.
fn validators() -> Option<Vec<Validator>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/spec");
    let folder = PathBuf::from(std::env::var("KCIDB_SPEC").unwrap_or_else(|_| default.to_owned())).join("io-schemas");
    if !folder.is_dir() {
        println!("skipped: no schemas of the specification (KCIDB_SPEC)");
        return None;
    }
    let read = |version: Version| {
        let text = fs::read_to_string(folder.join(format!("v{version}.json"))).unwrap();
        let options = jsonschema::options()
            .with_draft(Draft::Draft7)
            .should_validate_formats(true)
            .with_format("uri", |text: &str| URI.is_match(text))
            .with_format("date-time", date_time)
            .with_format("email", |text: &str| text.contains('@'))
            .with_keyword("pattern", |_, pattern, _| {
                let pattern = pattern.as_str().unwrap().replace("\\0", "\\x00").replace('$', r"\n?\z");
                Ok(Box::new(Pattern(Regex::new(&pattern).unwrap())))
            });
        options.build(&serde_json::from_str(&text).unwrap()).unwrap()
    };
    Some(Version::ALL.into_iter().map(read).collect())
}

/// Holds our answer about a text against that of the specification's schema about its value; true when it is accepted.
fn compare(validators: &[Validator], text: &str, value: &Value) -> bool {
    let version = oracle::version(value);
    let place = version.map_or(12, |version| Version::ALL.iter().position(|known| *known == version).unwrap());
    let errors: BTreeSet<_> =
        validators[place].iter_errors(value).map(|error| error.instance_path().to_string()).collect();
    let document = Document::open(text.as_bytes()).unwrap_or_else(|rejection| panic!("{rejection}\n{text}"));
    assert_eq!(document.version(), version, "{text}");
    let options = Options { max_faults: usize::MAX, ..Options::default() };
    let verdict = document.check(&options);
    let valid = verdict.as_ref().err().is_none_or(|rejection| rejection.code.is_valid());
    assert_eq!(valid, errors.is_empty(), "{errors:?} {verdict:?}\n{text}");
    let upgraded = document.upgraded(&options).ok().map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let wanted = version.filter(|_| valid).and_then(|version| oracle::upgrade(value.clone(), version));
    assert_eq!(upgraded, wanted, "{text}");
    assert_eq!(verdict.is_ok(), wanted.is_some(), "{verdict:?}\n{text}");
    if let (Err(rejection), false) = (&verdict, valid) {
        let said: BTreeSet<_> = rejection.faults.iter().map(|fault| fault.pointer.clone()).collect();
        assert!(said.is_subset(&errors), "{said:?} {errors:?}\n{text}");
        let outside = |pointer: &&String| !pointer.starts_with("/version");
        if version.is_some() {
            assert!(errors.iter().filter(outside).all(|error| said.contains(error)), "{said:?} {errors:?}\n{text}");
        }
    }
    verdict.is_ok()
}

/// Pieces of strings at the borders of the classes.
const PIECES: &[&str] = &[
    "a",
    "Z",
    "7",
    "_",
    "-",
    ".",
    "..",
    "/",
    "//",
    ":",
    "::",
    "@",
    "#",
    "?",
    "%41",
    "%4",
    "[",
    "]",
    "\n",
    "\r",
    "\n\n",
    "\0",
    " ",
    "\t",
    "é",
    "😀",
    "+",
    "\u{7f}",
    "\u{2028}",
    "https://",
    "git://",
    "HTTPS://",
    "x:",
    "o:",
    "1",
    "F",
    "v1.",
    "[::1]",
    "[1:2:3:4:5:6:7:8]",
    "[::ffff:1.2.3.4]",
    "[1:2::7:8]",
    "255",
    "256",
    "-01",
    "T",
    "t",
    "Z",
    "z",
    "+00:00",
    "-23:59",
    "+24:00",
    "00:00:60",
    ".5",
    "0001-01-01",
    "0000-01-01",
    "2024-02-29",
    "2023-02-29",
    "2025-07-17T18:05:49",
    "24:00:00",
    "0123456789abcdef0123456789abcdef01234567",
    "0123456789abcdef",
    "PASS",
    "MISS",
    "pass",
    "metric",
    ",",
    "~",
    "!$&'()*+,;=",
    "\\",
    "\"",
    "|",
    "^",
    "`",
    "{",
    "<",
    "٣",
    "ａ",
];

/// A string near another one, or put together from pieces.
fn bent_text(text: &str, random: &mut StdRng) -> String {
    if random.random_range(0..4) == 0 {
        return (0..random.random_range(0..6)).map(|_| *PIECES.choose(random).unwrap()).collect();
    }
    let mut characters: Vec<_> = text.chars().collect();
    for _ in 0..random.random_range(1..3) {
        let at = random.random_range(0..=characters.len());
        let end = (at + random.random_range(0..2)).min(characters.len());
        let piece = if random.random() { *PIECES.choose(random).unwrap() } else { "" };
        characters.splice(at..end, piece.chars());
    }
    characters.into_iter().collect()
}

/// Changes something anywhere in a value.
fn bend(value: &mut Value, maker: &mut Maker) {
    match value {
        Value::Object(members) if !members.is_empty() && maker.random.random_range(0..8) > 0 => {
            let name = members.keys().nth(maker.random.random_range(0..members.len())).unwrap().clone();
            match maker.random.random_range(0..12) {
                0 => drop(members.remove(&name)),
                1 => {
                    let value = members.remove(&name).unwrap();
                    let names = [
                        "id",
                        "origin",
                        "comment",
                        "description",
                        "valid",
                        "status",
                        "waived",
                        "misc",
                        "_timestamp",
                        "version",
                        "input_files",
                        "tests",
                        "revisions",
                        "checkouts",
                        "issues",
                        "url",
                        "name",
                        "minor",
                        "log_url",
                        "x",
                    ];
                    members.insert((*names.choose(&mut maker.random).unwrap()).to_owned(), value);
                }
                _ => bend(members.get_mut(&name).unwrap(), maker),
            }
        }
        Value::Array(values) if !values.is_empty() && maker.random.random_range(0..8) > 0 => {
            let at = maker.random.random_range(0..values.len());
            bend(&mut values[at], maker);
        }
        Value::String(text) if maker.random.random_range(0..8) > 0 => *text = bent_text(text, &mut maker.random),
        Value::Number(_) if maker.random.random() => {
            let numbers = [
                json!(0),
                json!(1),
                json!(5.0),
                json!(3.0),
                json!(-0.5),
                json!(4),
                json!(2),
                json!(u64::MAX),
                json!(1e300),
            ];
            *value = numbers.choose(&mut maker.random).unwrap().clone();
        }
        other => *other = maker.odd(),
    }
}

fn maker(version: Version, seed: u64) -> Maker {
    Maker { random: StdRng::seed_from_u64(seed), schema: json_schema(version), wrong: 0 }
}

#[test]
fn bent_documents() {
    let Some(validators) = validators() else { return };
    let (mut accepted, mut refused) = (0, 0);
    for version in Version::ALL {
        for seed in 0..rounds() {
            let mut maker = maker(version, seed);
            let mut document = maker.document(version);
            for _ in 0..maker.random.random_range(0..3) {
                bend(&mut document, &mut maker);
            }
            *if compare(&validators, &document.to_string(), &document) { &mut accepted } else { &mut refused } += 1;
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused: the test says little");
}

#[test]
fn strings_at_the_borders_of_their_classes() {
    let Some(validators) = validators() else { return };
    let mut valid = 0;
    for version in Version::ALL {
        let mut maker = maker(version, 7);
        let rules = maker.schema.clone();
        for (kind, rule) in rules["$defs"].as_object().unwrap() {
            let lists = rules["properties"].as_object().unwrap().iter();
            let reference = json!(format!("#/$defs/{kind}"));
            let Some((list, _)) = lists.clone().find(|(_, list)| list["items"]["$ref"] == reference) else { continue };
            for (field, rule) in
                rule["properties"].as_object().unwrap().iter().filter(|(_, rule)| rule["type"] == "string")
            {
                for _ in 0..rounds() / 10 {
                    let mut object = maker.value(&json!({"$ref": reference}));
                    let near = maker.value(rule);
                    object[field] = bent_text(near.as_str().unwrap(), &mut maker.random).into();
                    let document =
                        json!({"version": {"major": version.major, "minor": version.minor}, list.as_str(): [object]});
                    valid += u32::from(compare(&validators, &document.to_string(), &document));
                }
            }
        }
    }
    println!("{valid} valid");
    assert!(valid > 2000, "{valid} valid: the test says little");
}

/// What may be put into a text.
const BYTES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\n",
    " ",
    "\n",
    "null",
    "true",
    "0",
    "-",
    "1e5",
    ".",
    "é",
    "\u{feff}",
    "\"misc\":",
    "\"tests\":[]",
    "\"id\":",
    "{}",
    "[[",
    "]]",
    "\t",
    "\u{1}",
    "E+2",
];

#[test]
fn bent_texts() {
    let Some(validators) = validators() else { return };
    let (mut read, mut unread) = (0, 0);
    for version in Version::ALL {
        for seed in 0..rounds() {
            let mut maker = maker(version, seed);
            maker.wrong = 200;
            let document = maker.document(version);
            let random = &mut maker.random;
            let mut text = if random.random() { repeated(&document) } else { disguised(&document.to_string(), random) };
            for _ in 0..random.random_range(0..3) {
                let places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
                let at = *places.choose(random).unwrap_or(&0);
                let length = text[at..].chars().take(random.random_range(0..2)).map(char::len_utf8).sum::<usize>();
                let piece = if random.random_range(0..3) > 0 { *BYTES.choose(random).unwrap() } else { "" };
                text.replace_range(at..at + length, piece);
            }
            match serde_json::from_str::<Value>(&text) {
                // `-0` is a whole number to the reference and to us, a double to `serde_json`.
                Ok(value) if !text.contains("-0") => {
                    compare(&validators, &text, &value);
                    read += 1;
                }
                Ok(_) => drop(Document::open(text.as_bytes()).unwrap()),
                Err(error) => {
                    let rejection = Document::open(text.as_bytes()).unwrap_err();
                    let said = &rejection.faults[0].message;
                    assert!(
                        said.contains(&error.to_string()) || said.contains("out of range"),
                        "{said} {error}\n{text}"
                    );
                    unread += 1;
                }
            }
        }
    }
    println!("{read} JSON, {unread} not");
    assert!(read > 300 && unread > 300, "{read} JSON, {unread} not: the test says little");
}
