//! The names of submissions and of their files.

use std::{fmt, str::FromStr};

use rand::{Rng, distr::Alphanumeric};

/// What a file that waits must end in.
const SUFFIX: &str = ".json";

/// A name that cannot be one of ours. The text is what `/status` answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An id without characters.
    #[error("Empty id")]
    EmptyId,
    /// An id with something else than ASCII letters and digits.
    #[error("Invalid id")]
    InvalidId,
    /// A file name that cannot be in the spool's top folder.
    #[error("{0:?} is not a file of the spool: it must end in .json and have no slash")]
    InvalidFile(String),
}

/// The id of a submission: ASCII letters and digits, 32 random ones when new.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubmissionId(String);

impl SubmissionId {
    /// A new id.
    pub fn random() -> Self {
        Self(rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect())
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file of the submission.
    pub fn file_name(&self) -> FileName {
        FileName(format!("submission-{}{SUFFIX}", self.0))
    }
}

impl FromStr for SubmissionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "" => Err(NameError::EmptyId),
            _ if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => Ok(Self(text.to_owned())),
            _ => Err(NameError::InvalidId),
        }
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a file that waits in the spool's top folder: any that ends in `.json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName(String);

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The submission whose file this is; `None` for files that came another way.
    pub fn submission_id(&self) -> Option<SubmissionId> {
        self.stem().strip_prefix("submission-")?.parse().ok()
    }

    /// The name while the file is being received.
    pub(crate) fn temporary(&self) -> String {
        format!("{}.temp", self.0)
    }

    /// The name of the reason beside a refused file; it does not end in `.json`.
    pub(crate) fn reason(&self) -> String {
        format!("{}.reason", self.stem())
    }

    fn stem(&self) -> &str {
        self.0.strip_suffix(SUFFIX).expect("every file name ends in the suffix")
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.ends_with(SUFFIX) && !text.contains(['/', '\0']) && text.len() <= 255 {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::InvalidFile(text.chars().take(100).collect()))
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_32_letters_and_digits() {
        let id = SubmissionId::random();
        assert_eq!(id.as_str().len(), 32);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert_ne!(id, SubmissionId::random());
    }

    #[test]
    fn an_id_has_ascii_letters_and_digits_only() {
        assert_eq!("".parse::<SubmissionId>(), Err(NameError::EmptyId));
        for text in ["a-b", "a_b", "../x", "a.json", "a b", "é", "a\0"] {
            assert_eq!(text.parse::<SubmissionId>(), Err(NameError::InvalidId), "{text:?}");
        }
    }

    #[test]
    fn a_file_name_stays_in_its_folder() {
        for text in ["submission-a.json", "logspec_0123456789abcdef.json.json", "by hand.json", ".json"] {
            assert!(text.parse::<FileName>().is_ok(), "{text:?}");
        }
        for text in ["", "a.json.temp", "../a.json", "archive/a.json", "a\0.json", "a.JSON", &"a".repeat(255)] {
            assert!(text.parse::<FileName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_submission_is_known_by_its_file() {
        let file = |text: &str| text.parse::<FileName>().expect("a file name");
        let id: SubmissionId = "abc".parse().expect("an id");
        assert_eq!(id.file_name(), file("submission-abc.json"));
        assert_eq!(file("submission-abc.json").submission_id(), Some(id));
        for other in ["submission-.json", "submission-a.json.json", "logspec_a.json", "x.json"] {
            assert_eq!(file(other).submission_id(), None, "{other:?}");
        }
        assert_eq!(file("submission-abc.json").reason(), "submission-abc.reason");
        assert_eq!(file("logspec_a.json.json").reason(), "logspec_a.json.reason");
    }
}
