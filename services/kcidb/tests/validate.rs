//! `kcidb validate` and `kcidb schema` as a lab's script meets them: exit codes, lines of JSON, the upgraded document.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

const GOOD: &str = r#"{"version":{"major":5,"minor":3},"checkouts":[{"id":"o:1","origin":"o"}]}"#;
const OLD: &str =
    r#"{"version":{"major":4,"minor":0},"builds":[{"id":"o:1","checkout_id":"o:1","origin":"o","valid":false}]}"#;
const BAD: &str =
    r#"{"version":{"major":5,"minor":3},"tests":[{"id":"o:1","build_id":"o:1","origin":"o","comment":null}]}"#;
/// Valid, but impossible in the newest version.
const STUCK: &str =
    r#"{"version":{"major":4,"minor":0},"tests":[{"id":"o:1","build_id":"o:1","origin":"o","path":"a."}]}"#;

/// Runs the program in a folder with a file for each kind of document.
fn kcidb(args: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("good", GOOD), ("old", OLD), ("bad", BAD), ("stuck", STUCK), ("empty", "")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_kcidb"))
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_worst_file_decides_the_exit_code() {
    for (files, code) in [
        (&["good"][..], 0),
        (&["good", "old"], 0),
        (&["good", "bad"], 1),
        (&["stuck"], 1),
        (&["empty"], 1),
        (&["missing", "bad", "good"], 2),
        (&["."], 2),
    ] {
        for more in [&[][..], &["--json"], &["--upgrade"], &["--json", "--upgrade"]] {
            let output = kcidb(&[&["validate"], more, files].concat(), "");
            assert_eq!(output.status.code(), Some(code), "{files:?} {more:?} {output:?}");
        }
    }
}

#[test]
fn the_standard_input_is_a_file_too() {
    for args in [&["validate"][..], &["validate", "-"]] {
        assert_eq!(kcidb(args, GOOD).status.code(), Some(0));
        assert_eq!(kcidb(args, BAD).status.code(), Some(1));
    }
    let output = kcidb(&["validate", "--json", "good", "-"], BAD);
    let files: Vec<_> = lines(&output).into_iter().map(|line| (line["file"].clone(), line["valid"].clone())).collect();
    assert_eq!(files, [(json!("good"), json!(true)), (json!("-"), json!(false))]);
}

#[test]
fn one_line_of_json_for_each_file() {
    let output = kcidb(&["validate", "--json", "good", "bad", "missing", "stuck", "empty"], "");
    let lines = lines(&output);
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0]["version"], json!([5, 3]));
    assert_eq!((&lines[0]["accepted"], &lines[0]["faults"]), (&json!(true), &json!([])));
    assert!(lines[0].get("upgraded").is_none());
    let fault = &lines[1]["faults"][0];
    assert_eq!((&fault["pointer"], &fault["code"]), (&json!("/tests/0/comment"), &json!("null_value")));
    assert!(fault["message"].as_str().unwrap().contains("leave the field out"), "{fault}");
    assert_eq!((&lines[1]["valid"], &lines[1]["accepted"]), (&json!(false), &json!(false)));
    assert!(lines[2]["error"].is_string(), "{}", lines[2]);
    assert_eq!((&lines[3]["valid"], &lines[3]["accepted"]), (&json!(true), &json!(false)));
    assert_eq!((&lines[4]["version"], &lines[4]["faults"][0]["code"]), (&Value::Null, &json!("not_json")));
}

#[test]
fn the_upgraded_document_is_printed() {
    let upgraded = json!({
        "version": {"major": 5, "minor": 3},
        "builds": [{"id": "o:1", "checkout_id": "o:1", "origin": "o", "status": "FAIL"}],
    });
    let alone = kcidb(&["validate", "--upgrade", "old", "bad"], "");
    assert_eq!(lines(&alone), std::slice::from_ref(&upgraded));
    let told = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(told.contains("old: accepted") && told.contains("bad: not valid"), "{told}");
    let both = lines(&kcidb(&["validate", "--upgrade", "--json", "old", "bad"], ""));
    assert_eq!(both[0]["upgraded"], upgraded);
    assert_eq!(both[0]["counts"]["builds"], 1);
    assert!(both[1].get("upgraded").is_none());
}

#[test]
fn the_schema_of_every_version() {
    for version in ["1.1", "2.0", "3.0", "4.0", "4.1", "4.2", "4.3", "4.4", "4.5", "5.0", "5.1", "5.2", "5.3"] {
        let output = kcidb(&["schema", "--version", version], "");
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(schema["title"], format!("KCIDB I/O {version}"));
    }
    let newest: Value = serde_json::from_slice(&kcidb(&["schema"], "").stdout).unwrap();
    assert_eq!(newest["title"], "KCIDB I/O 5.3");
    assert_eq!(kcidb(&["schema", "--version", "5.4"], "").status.code(), Some(2));
}
