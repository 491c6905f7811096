//! The contract once more, on trees of values: slow, and as literally as the specification puts it. Shares no code with
//! what it is compared with.

use schema::Version;
use serde_json::{Map, Value, json};

/// The version that a document names.
pub(crate) fn version(document: &Value) -> Option<Version> {
    let number = |value: &Value| match value {
        Value::Bool(value) => Some(u64::from(*value)),
        value => value.as_u64(),
    };
    let (major, minor) = match &document["version"] {
        Value::Object(version) => (number(version.get("major")?)?, version.get("minor").map_or(Some(0), number)?),
        Value::String(version) => {
            let version = version.strip_suffix('\n').unwrap_or(version);
            let parts: Vec<_> = version.split('.').collect();
            if !parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())) {
                return None;
            }
            match parts.as_slice() {
                [major] => (major.parse().ok()?, 1),
                [major, minor] => (major.parse().ok()?, minor.parse().ok()?),
                _ => return None,
            }
        }
        _ => return None,
    };
    // Of strings only 1.1 can be meant: the others are not recognised.
    let found =
        Version::ALL.into_iter().find(|known| (u64::from(known.major), u64::from(known.minor)) == (major, minor));
    found.filter(|version| document["version"].is_object() || *version == Version::ALL[0])
}

/// Brings a valid document to the newest version, step by step; nothing when that is refused.
pub(crate) fn upgrade(mut document: Value, from: Version) -> Option<Value> {
    if from.major < 2 {
        to_2(&mut document);
    }
    if from.major < 3 {
        to_3(&mut document)?;
    }
    if from.major < 4 {
        to_4(&mut document);
    }
    if from.major < 5 {
        to_5(&mut document)?;
    }
    document["version"] = json!({"major": 5, "minor": 3});
    Some(document)
}

fn list<'v>(document: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    document.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn text(object: &Map<String, Value>, name: &str) -> String {
    object[name].as_str().unwrap().to_owned()
}

fn rename(object: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = object.remove(from) {
        object.insert(to.to_owned(), value);
    }
}

fn to_2(document: &mut Value) {
    for (name, field, origin, id) in [
        ("revisions", "id", "origin", "origin_id"),
        ("builds", "id", "origin", "origin_id"),
        ("builds", "revision_id", "revision_origin", "revision_origin_id"),
        ("tests", "id", "origin", "origin_id"),
        ("tests", "build_id", "build_origin", "build_origin_id"),
    ] {
        for object in list(document, name) {
            let joined = format!("{}:{}", text(object, origin), text(object, id));
            object.remove(origin);
            object.remove(id);
            object.insert(field.to_owned(), joined.into());
        }
    }
    for (name, files) in [
        ("revisions", "patch_mboxes"),
        ("builds", "input_files"),
        ("builds", "output_files"),
        ("tests", "output_files"),
    ] {
        for object in list(document, name) {
            for file in object.get_mut(files).and_then(Value::as_array_mut).into_iter().flatten() {
                file["name"] = file["name"].as_str().unwrap().replace('/', "_").into();
            }
        }
    }
}

fn to_3(document: &mut Value) -> Option<()> {
    for name in ["revisions", "builds", "tests"] {
        for object in list(document, name) {
            let id = text(object, "id");
            let origin = id.split(':').next().unwrap();
            let is_name = origin.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if origin.is_empty() || !is_name {
                return None;
            }
            object.insert("origin".to_owned(), origin.into());
        }
    }
    for (name, field) in [("revisions", "id"), ("builds", "revision_id")] {
        for object in list(document, name) {
            let id = text(object, field);
            object.insert(field.to_owned(), id[id.find(':').unwrap() + 1..].into());
        }
    }
    for object in list(document, "revisions") {
        rename(object, "git_repository_commit_hash", "git_commit_hash");
        rename(object, "git_repository_commit_name", "git_commit_name");
    }
    Some(())
}

fn to_4(document: &mut Value) {
    for object in list(document, "revisions") {
        let id = format!("_:{}:{}", text(object, "origin"), text(object, "id"));
        object.insert("patchset_hash".to_owned(), id.split('+').nth(1).unwrap_or("").into());
        object.insert("id".to_owned(), id.into());
        rename(object, "patch_mboxes", "patchset_files");
        rename(object, "discovery_time", "start_time");
        rename(object, "description", "comment");
        object.remove("publishing_time");
    }
    rename(document.as_object_mut().unwrap(), "revisions", "checkouts");
    for object in list(document, "builds") {
        let id = format!("_:{}:{}", text(object, "origin"), text(object, "revision_id"));
        object.insert("checkout_id".to_owned(), id.into());
        object.remove("revision_id");
        rename(object, "description", "comment");
    }
    for object in list(document, "tests") {
        rename(object, "description", "comment");
        if let Some(environment) = object.get_mut("environment") {
            rename(environment.as_object_mut().unwrap(), "description", "comment");
        }
    }
}

fn to_5(document: &mut Value) -> Option<()> {
    for object in list(document, "checkouts") {
        object.remove("contacts");
        if object.get("git_repository_url").is_some_and(|url| !url.as_str().unwrap().starts_with("https://")) {
            return None;
        }
    }
    for object in list(document, "builds") {
        if let Some(valid) = object.remove("valid") {
            object.insert("status".to_owned(), if valid == true { "PASS" } else { "FAIL" }.into());
        }
    }
    let mut waived = Vec::new();
    for object in list(document, "tests") {
        if object.get("path").is_some_and(|path| !is_path(path.as_str().unwrap())) {
            return None;
        }
        if object.remove("waived") == Some(true.into()) {
            waived.push(text(object, "id"));
        }
    }
    if !waived.is_empty() {
        let mut append = |name: &str, object: Value| {
            let list = document.as_object_mut().unwrap().entry(name).or_insert_with(|| json!([]));
            list.as_array_mut().unwrap().push(object);
        };
        append(
            "issues",
            json!({"id": "_:waived", "version": 1, "origin": "_", "comment": "Test waived as unreliable"}),
        );
        for test in waived {
            append(
                "incidents",
                json!({
                    "id": format!("_:waived:1:{test}"), "origin": "_", "issue_id": "_:waived", "issue_version": 1,
                    "test_id": test, "present": true,
                }),
            );
        }
    }
    for object in list(document, "issues") {
        object.remove("build_valid");
        object.remove("test_status");
    }
    (!has_nul(document)).then_some(())
}

fn is_path(path: &str) -> bool {
    let path = path.strip_suffix('\n').unwrap_or(path);
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    path.is_empty() || path.split('.').all(is_word)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name != "misc" && has_nul(value)),
        _ => false,
    }
}
