use super::*;
use crate::syntax::Checker;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// What is noted in a text that comes in pieces of these sizes.
fn noted(text: &[u8], mut size: impl FnMut() -> usize) -> (Vec<String>, bool) {
    let (mut checker, mut origins, mut rest) = (Checker::new(), ObjectOrigins::new(), text);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(size().clamp(1, rest.len()));
        checker.feed_noting(piece, &mut origins).unwrap();
        rest = more;
    }
    checker.finish().unwrap();
    (origins.seen().to_vec(), origins.more())
}

fn whole(text: &str) -> (Vec<String>, bool) {
    let noted_whole = noted(text.as_bytes(), || usize::MAX);
    for size in 1..12 {
        assert_eq!(noted(text.as_bytes(), || size), noted_whole, "{text} in pieces of {size}");
    }
    noted_whole
}

/// The same from a tree.
fn in_tree(document: &Value) -> (Vec<String>, bool) {
    let (mut seen, mut more) = (Vec::new(), false);
    let members = document.as_object().into_iter().flatten();
    let lists = members.filter(|(name, _)| LISTS.contains(&name.as_str())).filter_map(|(_, list)| list.as_array());
    for origin in lists.flatten().filter_map(|object| object.as_object()?.get("origin")?.as_str()) {
        if seen.iter().any(|known| known == origin) {
            continue;
        }
        if seen.len() < 64 && origin.len() <= 256 {
            seen.push(origin.to_owned());
        } else {
            more = true;
        }
    }
    (seen, more)
}

#[test]
fn members_of_elements_of_lists_of_the_root_count_and_nothing_else() {
    for (text, wanted) in [
        (r#"{"checkouts":[{"id":"a:1","origin":"a"},{"origin" : "b"}]}"#, &["a", "b"][..]),
        (
            r#"{"builds":[{"origin":"a"}],"tests":[{"origin":"b"}],"issues":[{"origin":"c"}],"incidents":[{"origin":"d"}]}"#,
            &["a", "b", "c", "d"],
        ),
        (r#"{"revisions":[{"origin":"old"}],"version":{"major":1,"minor":0}}"#, &["old"]),
        (
            r#"{"tests":[{"origin":"a"},{"origin":"b"},{"origin":"a"},{"origin":"b"},{"origin":"ab"}]}"#,
            &["a", "b", "ab"],
        ),
        (r#"{"tests":[{"origin":""},{"origin":"a\""}, {"origin":"a"}]}"#, &["", "a\"", "a"]),
        (
            r#"{"tests":[{"or\u0069gin":"l\u0061b"},{"origin":"lab"},{"\u006F\u0072\u0069\u0067\u0069\u006e":"\ud83d\ude00"}]}"#,
            &["lab", "😀"],
        ),
        (r#"{"t\u0065sts":[{"origin":"é"}]}"#, &["é"]),
        (
            r#"{"tests":[{"origin":"first","origin":"second"}],"tests":[{"origin":"third"}]}"#,
            &["first", "second", "third"],
        ),
        // Nowhere else.
        (r#"{"origin":"a","tests":{"origin":"b","x":{"origin":"c"}},"others":[{"origin":"d"}]}"#, &[]),
        (r#"{"tests":[{"misc":{"origin":"a"},"x":[{"origin":"b"}]},[{"origin":"c"}],"origin","x"]}"#, &[]),
        (r#"{"x":{"tests":[{"origin":"a"}]},"y":[{"tests":[{"origin":"b"}]}]}"#, &[]),
        (r#"[{"tests":[{"origin":"a"}]}]"#, &[]),
        (r#"[["tests",[{"origin":"a"}]],[{"origin":"b"}]]"#, &[]),
        (r#"{"tests":[{"origin":1},{"origin":null},{"origin":["a"]},{"origin":{"origin":"b"}}]}"#, &[]),
        (r#"{"tests":[{"origins":"a","origi":"b","Origin":"c","origin\u0000":"d","o":"origin","x":"y"}]}"#, &[]),
        (r#"{"tests":[[1,"origin","a"]],"tests ":[{"origin":"a"}]}"#, &[]),
        (r#"{"tests":[{"x":"\"origin\":\"a\""}],"y":"\"tests\":[{\"origin\":\"b\"}]"}"#, &[]),
        ("\"tests\"", &[]),
    ] {
        let (seen, more) = whole(text);
        assert_eq!((seen.iter().map(String::as_str).collect::<Vec<_>>(), more), (wanted.to_vec(), false), "{text}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let list = |origins: &[String]| {
        let objects: Vec<_> = origins.iter().map(|origin| format!(r#"{{"origin":"{origin}"}}"#)).collect();
        format!(r#"{{"tests":[{0}],"builds":[{0}]}}"#, objects.join(","))
    };
    let names: Vec<_> = (0..65).map(|number| format!("lab{number}")).collect();
    assert_eq!(whole(&list(&names[..64])), (names[..64].to_vec(), false));
    assert_eq!(whole(&list(&names)), (names[..64].to_vec(), true));
    // As long as can be, and one longer, in bytes of the origin, not of its text.
    let (longest, longer) = ("\\u00e9".repeat(128), "é".repeat(129));
    assert_eq!(whole(&list(&[longest])), (vec!["é".repeat(128)], false));
    assert_eq!(whole(&list(&[longer, "a".into()])), (vec!["a".to_owned()], true));
    let endless = "x".repeat(1 << 20);
    let text =
        list(&[format!("\\\\{endless}"), endless.clone()]).replace("\"tests\"", &format!("\"{endless}\":0,\"tests\""));
    let (mut checker, mut origins) = (Checker::new(), ObjectOrigins::new());
    for piece in text.as_bytes().chunks(1000) {
        checker.feed_noting(piece, &mut origins).unwrap();
        assert!(origins.text.capacity() < 4096 && origins.last.capacity() < 4096, "the memory is bounded");
    }
    assert_eq!((origins.seen().len(), origins.more()), (0, true));
}

/// Documents that look much like ours, and cuts at random.
#[test]
fn as_in_a_tree_however_cut() {
    let mut rng = StdRng::seed_from_u64(20);
    let (mut some, mut much) = (0, 0);
    for round in 0..4000 {
        let document = random(&mut rng, 0);
        let mut text = String::new();
        write_value(&mut rng, &document, &mut text);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document, "the test's own writer");
        let wanted = in_tree(&document);
        some += usize::from(!wanted.0.is_empty());
        much += usize::from(wanted.1);
        let most = *[1, 3, 8, 40, 1000, 1 << 20].choose(&mut rng).unwrap();
        let found = noted(text.as_bytes(), || rng.random_range(1..=most));
        assert_eq!(found, wanted, "round {round}, pieces of at most {most}: {text}");
    }
    assert!(some > 1000 && much > 50, "the documents are no use: {some} with origins, {much} with more");
}

/// A value to stand in so many containers; what stands where is mostly what should.
fn random(rng: &mut StdRng, depth: u32) -> Value {
    let usual = rng.random_bool(0.8);
    match (depth, rng.random_range(0..8)) {
        (0 | 2, _) if usual => object(rng, depth),
        (1, _) if usual => list(rng, depth),
        (3, _) if usual => Value::String(origin(rng)),
        (0..5, 0) => object(rng, depth),
        (0..5, 1) => list(rng, depth),
        (_, 2) => Value::Null,
        (_, 3) => rng.random::<i32>().into(),
        (_, 4) => rng.random_bool(0.5).into(),
        _ => Value::String(origin(rng)),
    }
}

fn object(rng: &mut StdRng, depth: u32) -> Value {
    const NAMES: [&str; 5] = ["origin", "origins", "id", "o", ""];
    let count = rng.random_range(0..5);
    let name = |rng: &mut StdRng| {
        let names: &[&str] = if rng.random_bool(0.8) == (depth == 0) { &LISTS } else { &NAMES };
        (*names.choose(rng).unwrap()).to_owned()
    };
    (0..count).map(|_| (name(rng), random(rng, depth + 1))).collect::<Map<_, _>>().into()
}

fn list(rng: &mut StdRng, depth: u32) -> Value {
    let count = if depth == 1 && rng.random_bool(0.05) { 300 } else { rng.random_range(0..5) };
    (0..count).map(|_| random(rng, depth + 1)).collect::<Vec<_>>().into()
}

fn origin(rng: &mut StdRng) -> String {
    match rng.random_range(0..100) {
        0 => "x\u{7f}é".repeat(rng.random_range(60..70)),
        1..5 => (*["", "\"", "\\", "\\\"", "é", "😀\n", "origin", "\u{0}"].choose(rng).unwrap()).to_owned(),
        5..60 => (*["lab", "maestro", "la", "laboratory"].choose(rng).unwrap()).to_owned(),
        _ => format!("lab{}", rng.random_range(0..200)),
    }
}

/// Writes JSON with needless escapes and white space here and there.
fn write_value(rng: &mut StdRng, value: &Value, text: &mut String) {
    space(rng, text);
    match value {
        Value::Object(members) => {
            text.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                space(rng, text);
                write_string(rng, name, text);
                space(rng, text);
                text.push(':');
                write_value(rng, value, text);
            }
            text.push('}');
        }
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_value(rng, element, text);
            }
            text.push(']');
        }
        Value::String(string) => write_string(rng, string, text),
        other => text.push_str(&other.to_string()),
    }
    space(rng, text);
}

fn space(rng: &mut StdRng, text: &mut String) {
    text.push_str([" ", "\n", "\t \r\n"].choose(rng).filter(|_| rng.random_bool(0.1)).unwrap_or(&""));
}

fn write_string(rng: &mut StdRng, string: &str, text: &mut String) {
    let share = if rng.random_bool(0.1) { 0.5 } else { 0.0 };
    text.push('"');
    for character in string.chars() {
        if rng.random_bool(share) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(text, "\\u{unit:04x}").unwrap();
            }
        } else {
            let quoted = Value::from(character.to_string()).to_string();
            text.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    text.push('"');
}
