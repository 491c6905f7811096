//! Standard names of trees and labs (spec/database.md 6.2 and 6.3).

use crate::{
    members::{Members, quoted},
    read::Cursor,
};
use serde::Deserialize;
use std::{borrow::Cow, collections::HashMap};

/// Which name the tree of a repository has, by the exact URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeNames(HashMap<String, String>);

/// A file of tree names is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error("the tree names must be YAML of the form `trees: {{NAME: {{url: URL}}}}`: {0}")]
pub struct TreeNamesError(#[from] serde_yaml_ng::Error);

impl TreeNames {
    /// From YAML: `trees: <name>: url: <url>`. Other members are ignored; of two names for one URL the later counts.
    ///
    /// # Errors
    /// The text is not YAML of that form.
    pub fn from_yaml(text: &str) -> Result<Self, TreeNamesError> {
        #[derive(Deserialize)]
        struct File {
            trees: serde_yaml_ng::Mapping,
        }
        #[derive(Deserialize)]
        struct Tree {
            url: String,
        }
        let file: File = serde_yaml_ng::from_str(text)?;
        let mut names = HashMap::new();
        for (name, tree) in file.trees {
            let tree: Tree = serde_yaml_ng::from_value(tree)?;
            names.insert(tree.url, serde_yaml_ng::from_value(name)?);
        }
        Ok(Self(names))
    }

    /// Today's public trees (`trees.yaml`).
    pub fn public() -> Self {
        Self::from_yaml(include_str!("../trees.yaml")).expect("trees.yaml is well-formed")
    }

    /// The name for a URL.
    pub fn get(&self, url: &str) -> Option<&str> {
        self.0.get(url).map(String::as_str)
    }

    /// How many URLs have a name.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no URL has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the name into a checkout that may not be valid yet.
    pub(crate) fn repair(&self, checkout: &mut Members<'_>) {
        let name = checkout.text("git_repository_url").and_then(|url| self.get(&url));
        if let Some(name) = name {
            checkout.set_text("tree_name", name);
        }
    }
}

/// The lab in `misc[field]` is a value of a wrong type: its JSON text.
#[derive(Debug)]
pub(crate) struct NotText(pub(crate) String);

/// What `misc` has to become so that `misc[field]` names the lab; nothing when it is right already.
pub(crate) fn lab(misc: Option<&str>, field: &str, origin: &str) -> Result<Option<String>, NotText> {
    let Some(misc) = misc else { return Ok(Some(format!("{{{}:{}}}", quoted(field), quoted(origin)))) };
    let lab = match member(misc, field) {
        None => None,
        Some(value) => match Cursor::new(value).string() {
            Some(lab) => Some(lab).filter(|lab| !lab.is_empty()),
            None if is_empty(value) => None,
            None => return Err(NotText(value.to_owned())),
        },
    };
    match lab {
        Some(lab) if !is_automatic(&lab) => Ok(None),
        Some(lab) => Ok(Some(with(misc, &[("automatic_lab", &lab), (field, origin)]))),
        None => Ok(Some(with(misc, &[(field, origin)]))),
    }
}

/// The text of a member of an object; the last of that name.
fn member<'a>(object: &'a str, wanted: &str) -> Option<&'a str> {
    let mut found = None;
    Cursor::new(object).object(|cursor, name| {
        let value = cursor.raw();
        if name == wanted {
            found = Some(value);
        }
        Some(())
    });
    found
}

/// Whether a value that is no string counts as absent: null, false, zero, an empty list or object.
fn is_empty(value: &str) -> bool {
    let mut cursor = Cursor::new(value);
    let mut empty = true;
    match cursor.peek() {
        b'n' | b'f' => {}
        b't' => empty = false,
        b'[' => drop(cursor.list(|_| {
            empty = false;
            None
        })),
        b'{' => drop(cursor.object(|_, _| {
            empty = false;
            None
        })),
        _ => empty = value.parse::<f64>().is_ok_and(|number| number == 0.0),
    }
    empty
}

/// Whether the lab is a stand-in for the system that ran the job.
fn is_automatic(lab: &str) -> bool {
    let lab = lab.strip_suffix('\n').unwrap_or(lab);
    lab == "shell" || lab.starts_with("k8s") && !lab.contains('\n')
}

/// The object with these members replaced; the others keep their text and order.
fn with(object: &str, members: &[(&str, &str)]) -> String {
    let mut json = String::with_capacity(object.len() + 64);
    let mut add = |name: &str, value: Cow<'_, str>| {
        json.push(if json.is_empty() { '{' } else { ',' });
        json.push_str(&quoted(name));
        json.push(':');
        json.push_str(&value);
    };
    Cursor::new(object).object(|cursor, name| {
        let value = cursor.raw();
        if members.iter().all(|(replaced, _)| name != *replaced) {
            add(&name, Cow::Borrowed(value));
        }
        Some(())
    });
    for (name, value) in members {
        add(name, Cow::Owned(quoted(value)));
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_trees() {
        let trees = TreeNames::public();
        assert!(trees.len() >= 50);
        let url = "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git";
        assert_eq!(trees.get(url), Some("mainline"));
        assert_eq!(trees.get(&format!("{url}/")), None);
    }

    #[test]
    fn files_of_tree_names() {
        let trees =
            TreeNames::from_yaml("trees:\n  a: {url: u, branch: x}\n  1: {url: \"2\"}\n").map(|trees| trees.len());
        assert!(trees.is_err(), "a name must be text");
        let trees = TreeNames::from_yaml("trees:\n  a: {url: u, branch: x}\n  b: {url: u}\n").unwrap();
        assert_eq!(trees.get("u"), Some("b"));
        for text in ["", "trees: []", "trees: {a: b}", "tree: {}", "\t"] {
            assert!(TreeNames::from_yaml(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn labs() {
        for (misc, wanted) in [
            (r#"{"lab":"lava-x","n":1.10}"#, None),
            (r#"{"lab":"shell2"}"#, None),
            (r#"{"lab":"K8S"}"#, None),
            (r#"{"lab":"k8s\nx"}"#, None),
            (r#"{"lab":"shell\n\n"}"#, None),
            (r#"{"lab":5,"l\u0061b":"x"}"#, None),
            ("{}", Some(r#"{"lab":"o"}"#)),
            (r#"{"lab":""}"#, Some(r#"{"lab":"o"}"#)),
            (r#"{"lab":null}"#, Some(r#"{"lab":"o"}"#)),
            (
                r#"{"lab":-0.0, "big" : 123456789012345678901234567890 }"#,
                Some(r#"{"big":123456789012345678901234567890,"lab":"o"}"#),
            ),
            (r#"{"lab":[ ]}"#, Some(r#"{"lab":"o"}"#)),
            (r#"{"lab":{}}"#, Some(r#"{"lab":"o"}"#)),
            (r#"{"lab":"shell"}"#, Some(r#"{"automatic_lab":"shell","lab":"o"}"#)),
            (r#"{"lab":"shell\n"}"#, Some(r#"{"automatic_lab":"shell\n","lab":"o"}"#)),
            (
                r#"{"automatic_lab":7,"a":"\u0000","lab":"k8s-eu"}"#,
                Some(r#"{"a":"\u0000","automatic_lab":"k8s-eu","lab":"o"}"#),
            ),
            (r#"{"lab":"x","lab":"k8s"}"#, Some(r#"{"automatic_lab":"k8s","lab":"o"}"#)),
        ] {
            assert_eq!(lab(Some(misc), "lab", "o").unwrap().as_deref(), wanted, "{misc}");
        }
        assert_eq!(lab(None, "runtime", "o\n").unwrap().as_deref(), Some(r#"{"runtime":"o\n"}"#));
        for misc in [r#"{"lab":5}"#, r#"{"lab":[0]}"#, r#"{"lab":{"a":0}}"#, r#"{"lab":true}"#, r#"{"lab":1e-3}"#] {
            assert!(lab(Some(misc), "lab", "o").is_err(), "{misc}");
        }
    }
}
