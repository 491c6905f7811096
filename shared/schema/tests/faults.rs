//! Every fault a lab can meet: code, place, sentence; and docs/faults.md knows them all.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use schema::{Document, Fault, Options, Refusal, Rejection, code};
use std::{collections::BTreeSet, fs};

/// Code, where, and the members of a 5.3 test that has the fault (`;` stands for a whole document instead).
const FAULTS: &[(&str, &str, &str)] = &[
    ("not_json", "", r#";{"version":{"major":5,"minor":3},}"#),
    ("wrong_type", "", ";[]"),
    ("wrong_type", "/tests", r#";{"version":{"major":5,"minor":3},"tests":{}}"#),
    (
        "wrong_type",
        "/tests/1",
        r#";{"version":{"major":5,"minor":3},"tests":[{"id":"o:1","build_id":"o:1","origin":"o"},7]}"#,
    ),
    ("wrong_type", "/tests/0/duration", r#""duration":"5""#),
    ("wrong_type", "/tests/0/misc", r#""misc":[]"#),
    ("wrong_type", "/tests/0/environment/misc", r#""environment":{"misc":1}"#),
    ("null_value", "/tests/0/comment", r#""comment":null"#),
    ("missing_field", "", ";{}"),
    ("missing_field", "/tests/0/number", r#""number":{}"#),
    ("unknown_field", "/tests/0", r#""statuss":"PASS""#),
    ("unknown_field", "", r#";{"version":{"major":5,"minor":3},"_x":1}"#),
    ("unknown_value", "/tests/0/status", r#""status":"pass""#),
    ("unknown_version", "/version/major", r#";{"version":{"major":6,"minor":0}}"#),
    ("unknown_version", "/version", r#";{"version":"5.3"}"#),
    (
        "out_of_range",
        "/issues/0/version",
        r#";{"version":{"major":5,"minor":3},"issues":[{"id":"o:1","origin":"o","version":-1}]}"#,
    ),
    ("nul_character", "/tests/0/comment", r#""comment":"a\u0000""#),
    ("nul_character", "/tests/0/log_excerpt", r#""log_excerpt":"a\u0000""#),
    ("bad_id", "/tests/0/id", r#""id":"1""#),
    ("bad_name", "/tests/0/origin", r#""origin":"My Lab""#),
    (
        "bad_hash",
        "/checkouts/0/git_commit_hash",
        r#";{"version":{"major":5,"minor":3},"checkouts":[{"id":"o:1","origin":"o","git_commit_hash":"v6.1"}]}"#,
    ),
    (
        "bad_repository",
        "/checkouts/0/git_repository_url",
        r#";{"version":{"major":5,"minor":3},"checkouts":[{"id":"o:1","origin":"o","git_repository_url":"git://a"}]}"#,
    ),
    (
        "bad_email",
        "/checkouts/0/message_id",
        r#";{"version":{"major":5,"minor":3},"checkouts":[{"id":"o:1","origin":"o","message_id":"x"}]}"#,
    ),
    ("bad_file_name", "/tests/0/output_files/0/name", r#""output_files":[{"name":"a/b","url":"x:"}]"#),
    ("bad_path", "/tests/0/path", r#""path":"ltp..open01""#),
    ("bad_compatible", "/tests/0/environment/compatible/1", r#""environment":{"compatible":["a","b c"]}"#),
    ("too_long", "/tests/0/log_excerpt", ""),
    ("bad_url", "/tests/0/log_url", r#""log_url":"https://example.org/a b""#),
    ("bad_time", "/tests/0/start_time", r#""start_time":"2025-07-17 18:05:49""#),
    ("not_upgradable", "/version", r#";{"version":{"major":5.0,"minor":3}}"#),
    (
        "not_upgradable",
        "/tests/0/path",
        r#";{"version":{"major":4},"tests":[{"id":"o:1","build_id":"o:1","origin":"o","path":"a."}]}"#,
    ),
    (
        "not_upgradable",
        "/builds/0/comment",
        r#";{"version":{"major":4},"builds":[{"id":"o:1","checkout_id":"o:1","origin":"o","comment":"\u0000"}]}"#,
    ),
    ("bad_lab", "/tests/0/misc/runtime", r#""misc":{"runtime":5}"#),
];

fn document(members: &str) -> String {
    if let Some(document) = members.strip_prefix(';') {
        return document.to_owned();
    }
    let long = format!(r#""log_excerpt":"{}""#, "x".repeat(16385));
    let members = if members.is_empty() { &long } else { members };
    // Repeated names: the last counts.
    format!(r#"{{"version":{{"major":5,"minor":3}},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o",{members}}}]}}"#)
}

fn rejection(text: &str) -> Rejection {
    Document::open(text.as_bytes()).and_then(|document| document.objects(&Options::default())).unwrap_err()
}

fn faults(text: &str) -> Vec<Fault> {
    rejection(text).faults
}

#[test]
fn each_has_its_code_and_place() {
    for (code, pointer, members) in FAULTS {
        let faults = faults(&document(members));
        let fault =
            faults.iter().find(|fault| fault.pointer == *pointer).unwrap_or_else(|| panic!("{members}: {faults:?}"));
        assert_eq!(fault.code, *code, "{members}: {fault}");
        assert!(fault.value.as_ref().is_none_or(|value| value.len() < 200), "{members}: {fault}");
        assert!(fault.message.len() > 20, "{members}: {fault}");
        if pointer.starts_with("/tests/0") && *code != "bad_id" {
            assert_eq!(fault.id.as_deref(), Some("o:1"), "{members}: {fault}");
        }
    }
}

#[test]
fn the_page_for_labs_lists_every_code_and_no_other() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/faults.md")).unwrap();
    let list = page.split("\n## ").find(|part| part.starts_with("Codes")).unwrap();
    let listed: BTreeSet<_> =
        list.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0)).collect();
    let codes: BTreeSet<_> = code::ALL.iter().copied().collect();
    assert_eq!(listed, codes);
    let met: BTreeSet<_> = FAULTS.iter().map(|(code, ..)| *code).collect();
    assert_eq!(met, codes, "a code without an example here");
}

/// The examples of docs/faults.md are what is really said: after each document in it come its faults.
#[test]
fn the_page_for_labs_tells_the_truth() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/faults.md")).unwrap();
    let blocks: Vec<_> = page.split("```").skip(1).step_by(2).collect();
    let documents =
        blocks.windows(2).filter(|pair| pair[0].starts_with("json\n{\"version\"") || pair[0].starts_with("json\n{\n"));
    let mut examples = 0;
    for pair in documents {
        let text = pair[0].trim_start_matches("json\n");
        let said: Vec<_> = faults(text).iter().map(|fault| format!("  [{}] {fault}", fault.code)).collect();
        let shown: Vec<_> =
            pair[1].trim_start_matches("text\n").trim_end().lines().filter(|line| line.starts_with("  [")).collect();
        assert_eq!(shown, said);
        examples += 1;
    }
    assert!(examples >= 5, "{examples} examples");
}

/// Lists in a field that are long are judged in pieces; that must not be seen.
#[test]
fn faults_in_long_lists_have_the_right_index() {
    let files = |bad: usize| {
        let file =
            |index| if index == bad { r#"{"name":"a"}"# } else { r#"{"name":"a","url":"https://example.org/"}"# };
        (0..5000).map(file).collect::<Vec<_>>().join(",")
    };
    for bad in [0, 499, 500, 4321, 4999] {
        let text = document(&format!(r#""output_files":[{}],"status":7"#, files(bad)));
        let found: Vec<_> = faults(&text).into_iter().map(|fault| (fault.code, fault.pointer)).collect();
        let place = format!("/tests/0/output_files/{bad}");
        assert_eq!(found, [("wrong_type", "/tests/0/status".to_owned()), ("missing_field", place)]);
    }
}

/// So are objects in a field, by themselves.
#[test]
fn faults_in_long_objects_have_the_right_place() {
    let names = |bad: usize| {
        (0..20_000).map(|index| if index == bad { "\"a b\"" } else { "\"a\"" }).collect::<Vec<_>>().join(",")
    };
    for bad in [0, 499, 500, 19_999] {
        let text =
            document(&format!(r#""status":7,"environment":{{"misc":[],"compatible":[{}],"more":1}}"#, names(bad)));
        let mut found: Vec<_> =
            faults(&text).into_iter().map(|fault| (fault.code, fault.pointer, fault.id.unwrap_or_default())).collect();
        found.sort();
        let id = found[0].2.clone();
        let wanted = [
            ("bad_compatible", format!("/tests/0/environment/compatible/{bad}")),
            ("unknown_field", "/tests/0/environment".to_owned()),
            ("wrong_type", "/tests/0/environment/misc".to_owned()),
            ("wrong_type", "/tests/0/status".to_owned()),
        ];
        assert!(!id.is_empty());
        assert_eq!(found, wanted.map(|(code, pointer)| (code, pointer, id.clone())));
    }
}

/// What is wrong about a long list itself is said once.
#[test]
fn a_long_list_in_the_wrong_place_is_one_fault() {
    let text = document(&format!(r#""comment":[{}]"#, vec!["1"; 50_000].join(",")));
    let found: Vec<_> = faults(&text).into_iter().map(|fault| (fault.code, fault.pointer)).collect();
    assert_eq!(found, [("wrong_type", "/tests/0/comment".to_owned())]);
}

#[test]
fn remedies() {
    for (document, wanted) in [
        (
            r#"{"version":{"major":5},"tests":[{"id":"o:1","build_id":"o:1","origin":"o","input_files":[]}]}"#,
            "from version 5.3 on",
        ),
        (
            r#"{"version":{"major":5,"minor":3},"tests":[{"id":"o:1","build_id":"o:1","origin":"o","comment":null}]}"#,
            "leave the field out",
        ),
        (
            r#"{"version":{"major":5,"minor":3},"tests":[{"id":"o:1","build_id":"o:1","origin":"o","waived":true}]}"#,
            "move it into `misc`",
        ),
        (r#"{"version":{"major":5,"minor":3},"tests":[{"id":"o:1","build_id":"o:1"}]}"#, "`origin` is missing"),
        (
            r#"{"version":{"major":5,"minor":3},"tests":[{"id":"o:1","build_id":"o:1","origin":"o","status":"pass"}]}"#,
            "FAIL, ERROR, MISS, PASS, DONE, SKIP",
        ),
    ] {
        let faults = faults(document);
        assert!(faults[0].message.contains(wanted), "{}", faults[0]);
    }
}

#[test]
fn refusals_say_at_which_gate() {
    for (text, refusal) in [
        ("", Refusal::NotJson),
        ("[]", Refusal::Invalid),
        (r#"{"version":{"major":5.0}}"#, Refusal::NotUpgradable),
        (
            r#"{"version":{"major":5},"builds":[{"id":"o:1","checkout_id":"o:1","origin":"o","misc":{"lab":[1]}}]}"#,
            Refusal::BadName,
        ),
    ] {
        assert_eq!(rejection(text).code, refusal, "{text}");
    }
}
