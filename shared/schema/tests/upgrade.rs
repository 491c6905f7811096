//! The upgrade, by one document of each generation, and what only typed objects show.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use schema::{Document, Options, TreeNames};
use serde_json::{Value, json};

fn upgraded(document: &Value) -> Value {
    let text = document.to_string();
    let upgraded = Document::open(text.as_bytes()).unwrap().upgraded(&Options::default());
    serde_json::from_str(&upgraded.unwrap_or_else(|rejection| panic!("{rejection}"))).unwrap()
}

#[test]
fn from_the_first_version() {
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let document = json!({
        "version": "1",
        "revisions": [{
            "origin": "lab", "origin_id": hash, "git_repository_commit_hash": hash, "description": "d", "contacts": ["a"],
            "publishing_time": "2025-07-17T18:05:49Z", "discovery_time": "2025-07-17T18:05:49Z",
            "patch_mboxes": [{"name": "a/b.mbox", "url": "https://example.org/"}],
        }],
        "builds": [{
            "origin": "lab", "origin_id": "1", "revision_origin": "other", "revision_origin_id": hash, "valid": false,
            "misc": {"valid": null},
        }],
        "tests": [{
            "origin": "lab", "origin_id": "2", "build_origin": "lab", "build_origin_id": "1", "waived": true, "path": "a.b",
            "environment": {"description": "board", "misc": {"description": 1.10}}, "duration": 2.0,
        }],
    });
    let wanted = json!({
        "version": {"major": 5, "minor": 3},
        "checkouts": [{
            "id": format!("_:lab:{hash}"), "origin": "lab", "git_commit_hash": hash, "comment": "d", "patchset_hash": "",
            "start_time": "2025-07-17T18:05:49Z", "patchset_files": [{"name": "a_b.mbox", "url": "https://example.org/"}],
        }],
        "builds": [{"id": "lab:1", "origin": "lab", "checkout_id": format!("_:lab:{hash}"), "status": "FAIL", "misc": {"valid": null}}],
        "tests": [{
            "id": "lab:2", "origin": "lab", "build_id": "lab:1", "path": "a.b", "duration": 2.0,
            "environment": {"comment": "board", "misc": {"description": 1.10}},
        }],
        "issues": [{"id": "_:waived", "version": 1, "origin": "_", "comment": "Test waived as unreliable"}],
        "incidents": [{
            "id": "_:waived:1:lab:2", "origin": "_", "issue_id": "_:waived", "issue_version": 1, "test_id": "lab:2", "present": true,
        }],
    });
    assert_eq!(upgraded(&document), wanted);
}

#[test]
fn free_objects_keep_their_text() {
    for version in [r#"{"major":4}"#, r#"{"major":5}"#] {
        let misc = r#"{"big":123456789012345678901234567890123456789, "exact":1.10,"lab":"x","a":{"misc":"\u0000"}}"#;
        let text = format!(
            r#"{{"version":{version},"builds":[{{"id":"o:1","checkout_id":"o:1","origin":"o","misc":{misc}}}]}}"#
        );
        let document = Document::open(text.as_bytes()).unwrap();
        assert!(document.upgraded(&Options::default()).unwrap().contains(misc));
        let objects = document.objects(&Options::default()).unwrap();
        assert_eq!(objects.builds[0].misc.as_ref().unwrap().as_str(), misc);
    }
}

#[test]
fn only_the_last_of_repeated_texts_may_stop_the_upgrade() {
    for (texts, accepted) in [
        (r#""comment":"\u0000","comment":"x""#, true),
        (r#""comment":"x","comment":"\u0000""#, false),
        (r#""comment":"x","mi\u0073c":{"a":"\u0000"}"#, true),
    ] {
        let text = format!(
            r#"{{"version":{{"major":4}},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o","environment":{{{texts}}}}}]}}"#
        );
        let result = Document::open(text.as_bytes()).unwrap().upgraded(&Options::default());
        assert_eq!(result.is_ok(), accepted, "{texts} {result:?}");
    }
}

#[test]
fn waived_tests_give_typed_issues_after_those_sent() {
    let document = json!({
        "version": {"major": 4, "minor": 5},
        "issues": [{"id": "o:i", "version": 3, "origin": "o", "test_status": "FAIL"}],
        "tests": [
            {"id": "o:1", "build_id": "o:b", "origin": "o", "waived": true},
            {"id": "o:2", "build_id": "o:b", "origin": "o", "waived": false},
        ],
    });
    let text = document.to_string();
    let objects = Document::open(text.as_bytes()).unwrap().objects(&Options::default()).unwrap();
    assert_eq!(
        objects.issues.iter().map(|issue| (issue.id.as_ref(), issue.index)).collect::<Vec<_>>(),
        [("o:i", 0), ("_:waived", 1)]
    );
    assert_eq!(objects.incidents.len(), 1);
    assert_eq!(objects.incidents[0].test_id.as_deref(), Some("o:1"));
    assert_eq!(objects.tests[1].misc.as_ref().unwrap().as_str(), r#"{"runtime":"o"}"#);
}

#[test]
fn trees_are_named_before_anything_is_judged() {
    let tree_names = TreeNames::from_yaml("trees: {mainline: {url: 'https://example.org/linux.git'}}").unwrap();
    let options = Options { tree_names, ..Options::default() };
    for (version, tree, accepted) in [
        (json!({"major": 5, "minor": 3}), json!("other"), true),
        (json!({"major": 5, "minor": 3}), json!(5), true),
        (json!({"major": 4}), json!(null), true),
        (json!({"major": 4}), json!("a\u{0}"), true),
    ] {
        let known = json!({"id": "o:1", "origin": "o", "git_repository_url": "https://example.org/linux.git", "tree_name": tree});
        let text = json!({"version": version, "checkouts": [known]}).to_string();
        let objects = Document::open(text.as_bytes()).unwrap().objects(&options);
        assert_eq!(objects.is_ok(), accepted);
        assert_eq!(objects.unwrap().checkouts[0].tree_name.as_deref(), Some("mainline"));
        let unknown = text.replace("linux.git", "linux.git/");
        let unnamed = Document::open(unknown.as_bytes()).unwrap().objects(&options);
        assert_eq!(unnamed.is_ok(), tree == json!("other"), "{unknown}");
    }
}

#[test]
fn numbers_of_any_size() {
    for (number, version) in
        [("7", 7), ("7.0", 7), ("1E+2", 100), ("18446744073709551616", i64::MAX), ("1e300", i64::MAX)]
    {
        let text = format!(
            r#"{{"version":{{"major":5,"minor":3}},"issues":[{{"id":"o:1","origin":"o","version":{number}}}],
            "tests":[{{"id":"o:1","build_id":"o:1","origin":"o","duration":{number}}}]}}"#
        );
        let objects = Document::open(text.as_bytes()).unwrap().objects(&Options::default()).unwrap();
        assert_eq!(objects.issues[0].version, version);
        assert_eq!(objects.tests[0].duration, number.parse().ok());
    }
}

#[test]
fn of_repeated_names_the_last_counts_at_every_level() {
    for minor in [0, 3] {
        let text = format!(
            r#"{{"version":{{"major":5,"minor":{minor}}},"tests":[{{"id":"o:1","build_id":"o:1","origin":"o",
            "environment":{{"comment":null,"comment":"last","misc":{{"a":1,"a":1e2}}}},
            "output_files":[{{"name":7,"name":"a","url":"x:","url":"y:"}}],"number":{{"value":"1","value":2}}}}]}}"#
        );
        let document = Document::open(text.as_bytes()).unwrap();
        let objects = document.objects(&Options::default()).unwrap();
        let found = &objects.tests[0];
        let environment = found.environment.as_ref().unwrap();
        assert_eq!(environment.comment.as_deref(), Some("last"));
        assert_eq!(environment.misc.as_ref().unwrap().as_str(), r#"{"a":1,"a":1e2}"#);
        assert_eq!(found.output_files.as_ref().unwrap().as_str(), r#"[{"name":"a","url":"y:"}]"#);
        assert_eq!(found.number.as_ref().unwrap().value.to_string(), "2");
    }
}
