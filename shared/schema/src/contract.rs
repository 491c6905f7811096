//! The contract of each version: which fields each kind of object has, and the JSON Schema made from that.
//!
//! `versions.yaml` says what each version changes; everything here follows from it.

use crate::{classes::Class, version::Version};
use jsonschema::{Draft, Keyword, ValidationError, Validator};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    sync::{LazyLock, OnceLock},
};

/// Fields and their rules, by kind of object.
type Kinds = BTreeMap<String, BTreeMap<String, String>>;

/// One version.
pub(crate) struct Contract {
    pub(crate) version: Version,
    kinds: Kinds,
    validators: OnceLock<BTreeMap<String, Validator>>,
}

static CONTRACTS: LazyLock<Vec<Contract>> = LazyLock::new(|| {
    let steps: Vec<Step> =
        serde_yaml_ng::from_str(include_str!("../versions.yaml")).expect("versions.yaml is well-formed");
    let mut kinds = Kinds::new();
    let contract = |step: Step| {
        for (kind, changes) in step.changes {
            let fields = kinds.entry(kind).or_default();
            fields.extend(changes);
            fields.retain(|_, rule| rule != "gone");
        }
        let version = step.version.parse().expect("versions.yaml names known versions");
        Contract { version, kinds: kinds.clone(), validators: OnceLock::new() }
    };
    steps.into_iter().map(contract).collect()
});

/// What a version changes.
#[derive(Deserialize)]
struct Step {
    version: String,
    #[serde(flatten)]
    changes: Kinds,
}

/// The JSON Schema (draft-07) of a version. String classes that JSON Schema cannot express exactly (a final newline that is
/// tolerated, strict times, lenient addresses) are given as the nearest pattern or format.
pub fn json_schema(version: Version) -> Value {
    let contract = Contract::of(version);
    let mut schema = contract.document(Class::schema);
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = format!("KCIDB I/O {version}").into();
    schema
}

impl Contract {
    pub(crate) fn of(version: Version) -> &'static Self {
        &CONTRACTS[version.index()]
    }

    /// The kind of object in a list of the document.
    pub(crate) fn kind_in(&self, list: &str) -> Option<&str> {
        self.kinds["document"].get(list)?.strip_prefix('[')?.strip_suffix(']')
    }

    /// Whether that kind of object has that field.
    pub(crate) fn has(&self, kind: &str, field: &str) -> bool {
        self.kinds.get(kind).is_some_and(|fields| fields.contains_key(field))
    }

    /// The kind of object in a field.
    pub(crate) fn part(&self, kind: &str, field: &str) -> Option<&str> {
        self.rule_of(kind, field).filter(|rule| self.kinds.contains_key(*rule))
    }

    /// The kind of object in the list in a field.
    pub(crate) fn element(&self, kind: &str, field: &str) -> Option<&str> {
        let rule = self.rule_of(kind, field)?.strip_prefix('[')?.strip_suffix(']')?;
        self.kinds.contains_key(rule).then_some(rule)
    }

    /// The string class of a field, when it has one.
    pub(crate) fn class(&self, kind: &str, field: &str) -> Option<&'static Class> {
        Class::find(self.rule_of(kind, field)?)
    }

    /// The rule of a field, whether it is required or not.
    fn rule_of(&self, kind: &str, field: &str) -> Option<&str> {
        Some(self.kinds.get(kind)?.get(field)?.trim_end_matches('!'))
    }

    /// The first version in which that kind of object has that field.
    pub(crate) fn first_with(kind: &str, field: &str) -> Option<Version> {
        CONTRACTS.iter().find(|contract| contract.has(kind, field)).map(|contract| contract.version)
    }

    /// The validator of a kind of object (`document`: the root, with lists taken as empty).
    pub(crate) fn validator(&self, kind: &str) -> &Validator {
        let make = || {
            let document = self.document(|class| json!({"type": "string", "class": class.name}));
            let definitions = document["$defs"].as_object().expect("a document has kinds");
            let compile = |schema: &Value| {
                let mut schema = schema.clone();
                schema["$defs"] = document["$defs"].clone();
                let options = jsonschema::options().with_draft(Draft::Draft7).with_keyword("class", |_, class, _| {
                    let class =
                        class.as_str().and_then(Class::find).expect("the contract names only classes that exist");
                    Ok(Box::new(OfClass(class)))
                });
                options.build(&schema).expect("the contract is a valid JSON Schema")
            };
            let kinds = definitions.iter().map(|(kind, schema)| (kind.clone(), compile(schema)));
            kinds.chain([("document".to_owned(), compile(&document))]).collect()
        };
        &self.validators.get_or_init(make)[kind]
    }

    /// The schema of a document; `of_class` says how a string class is written.
    fn document(&self, of_class: impl Fn(&Class) -> Value) -> Value {
        let kinds = self.kinds.iter().filter(|(kind, _)| *kind != "document");
        let definitions: Map<_, _> =
            kinds.map(|(kind, fields)| (kind.clone(), self.object(fields, &of_class))).collect();
        let mut document = self.object(&self.kinds["document"], &of_class);
        document["$defs"] = definitions.into();
        document
    }

    fn object(&self, fields: &BTreeMap<String, String>, of_class: &impl Fn(&Class) -> Value) -> Value {
        let required: Vec<_> =
            fields.iter().filter(|(_, rule)| rule.ends_with('!')).map(|(field, _)| field.as_str()).collect();
        let properties: Map<_, _> = fields
            .iter()
            .map(|(field, rule)| (field.clone(), self.rule(rule.trim_end_matches('!'), of_class)))
            .collect();
        let mut object = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !required.is_empty() {
            object["required"] = required.into();
        }
        object
    }

    fn rule(&self, rule: &str, of_class: &impl Fn(&Class) -> Value) -> Value {
        if let Some(items) = rule.strip_prefix('[').and_then(|rule| rule.strip_suffix(']')) {
            return json!({"type": "array", "items": self.rule(items, of_class)});
        }
        match rule {
            "boolean" | "number" => json!({"type": rule}),
            "count" => json!({"type": "integer", "minimum": 0}),
            "free" => json!({"type": "object"}),
            "version" => self.version_rule(),
            _ if self.kinds.contains_key(rule) => json!({"$ref": format!("#/$defs/{rule}")}),
            _ => of_class(Class::find(rule).expect("versions.yaml uses only rules that exist")),
        }
    }

    fn version_rule(&self) -> Value {
        let Version { major, minor } = self.version;
        let pair = json!({
            "type": "object",
            "properties": {
                "major": {"type": "integer", "const": major},
                "minor": {"type": "integer", "minimum": 0, "maximum": minor},
            },
            "additionalProperties": false,
            "required": ["major"],
        });
        match major {
            1 => json!({"oneOf": [{"type": "string", "pattern": "^1(\\.0)?\\n?$"}, pair]}),
            _ => pair,
        }
    }
}

/// The keyword that stands for a string class.
struct OfClass(&'static Class);

impl<'i> Keyword<'i> for OfClass {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) { Ok(()) } else { Err(ValidationError::custom(self.0.name)) }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        instance.as_str().is_none_or(self.0.holds)
    }
}

#[cfg(test)]
mod tests;
