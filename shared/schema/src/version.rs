//! Versions of the schema, and how a document says which one it is (spec/io-schema.md section 1).

use serde::{Serialize, Serializer, ser::SerializeTuple as _};
use serde_json::Value;
use std::{fmt, str::FromStr};

/// A version that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The part before the dot.
    pub major: u8,
    /// The part after the dot.
    pub minor: u8,
}

impl Version {
    /// All, oldest first.
    pub const ALL: [Self; 13] = {
        const fn version(major: u8, minor: u8) -> Version {
            Version { major, minor }
        }
        [
            version(1, 1),
            version(2, 0),
            version(3, 0),
            version(4, 0),
            version(4, 1),
            version(4, 2),
            version(4, 3),
            version(4, 4),
            version(4, 5),
            version(5, 0),
            version(5, 1),
            version(5, 2),
            version(5, 3),
        ]
    };

    /// The newest: what everything is upgraded to.
    pub const NEWEST: Self = Self::ALL[12];

    /// Place in [`Version::ALL`].
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|version| *version == self).expect("only versions of the list are ever made")
    }

    /// The version that the value of a document's `version` names. Booleans read as numbers, and validation refuses them.
    /// A string can only name 1.1, the one version that allowed strings; there a missing minor is 1, in objects 0.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        let number = |value: &Value| value.as_u64().or_else(|| value.as_bool().map(u64::from));
        let (major, minor) = match value {
            Value::Object(members) => (number(members.get("major")?)?, members.get("minor").map_or(Some(0), number)?),
            Value::String(text) => {
                let text = text.strip_suffix('\n').unwrap_or(text);
                let (major, minor) = text.split_once('.').unwrap_or((text, "1"));
                let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
                if !digits(major) || !digits(minor) {
                    return None;
                }
                let oldest = (major.parse::<u64>(), minor.parse::<u64>()) == (Ok(1), Ok(1));
                return oldest.then_some(Self::ALL[0]);
            }
            _ => return None,
        };
        Self::ALL.into_iter().find(|version| (u64::from(version.major), u64::from(version.minor)) == (major, minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// As a pair: `[5,3]`.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&self.major)?;
        pair.serialize_element(&self.minor)?;
        pair.end()
    }
}

/// There is no such version.
#[derive(Debug, thiserror::Error)]
#[error("there is no version {0}; use one of 1.1, 2.0, 3.0, 4.0 to 4.5, 5.0 to 5.3")]
pub struct UnknownVersion(String);

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|version| version.to_string() == text).ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_in_the_specification() {
        for (value, version) in [
            (json!({"major": 5, "minor": 3}), "5.3"),
            (json!({"major": 5}), "5.0"),
            (json!({"major": 4}), "4.0"),
            (json!({"major": 1, "minor": 1}), "1.1"),
            (json!("1"), "1.1"),
            (json!("1\n"), "1.1"),
            (json!("1.1"), "1.1"),
            (json!({"major": 1}), ""),
            (json!("1.0"), ""),
            (json!("2"), ""),
            (json!("5.3"), ""),
            (json!("4"), ""),
            (json!("1."), ""),
            (json!({"major": 5.0, "minor": 3}), ""),
            (json!({"major": 5, "minor": 3.0}), ""),
            (json!({"major": 5, "minor": "3"}), ""),
            (json!({"major": true, "minor": true}), "1.1"),
            (json!({"major": -1}), ""),
            (json!({"minor": 3}), ""),
            (json!(5), ""),
            (json!(null), ""),
        ] {
            assert_eq!(Version::of(&value), version.parse().ok(), "{value}");
        }
    }
}
