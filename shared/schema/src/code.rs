//! What kinds of faults there are, for programs.
//!
//! Codes never change their meaning and are never removed; docs/faults.md explains them all. A crate that finds faults
//! of other kinds has codes of its own.

macro_rules! codes {
    ($($(#[$meaning:meta])* $name:ident = $word:literal;)*) => {
        $($(#[$meaning])* pub const $name: &str = $word;)*

        /// All there are.
        pub const ALL: &[&str] = &[$($name,)*];
    };
}

codes! {
    /// The text is not one JSON document.
    NOT_JSON = "not_json";
    /// A value of another type than the schema wants.
    WRONG_TYPE = "wrong_type";
    /// Null, which is never right.
    NULL_VALUE = "null_value";
    /// A field that every such object must have is not there.
    MISSING_FIELD = "missing_field";
    /// A field that the version does not have.
    UNKNOWN_FIELD = "unknown_field";
    /// None of the words that are allowed.
    UNKNOWN_VALUE = "unknown_value";
    /// `version` names no version.
    UNKNOWN_VERSION = "unknown_version";
    /// A number that is too small.
    OUT_OF_RANGE = "out_of_range";
    /// A text with U+0000.
    NUL_CHARACTER = "nul_character";
    /// An id without an origin.
    BAD_ID = "bad_id";
    /// A name with other characters than it may have.
    BAD_NAME = "bad_name";
    /// Not a hash in full.
    BAD_HASH = "bad_hash";
    /// Not the URL of a repository.
    BAD_REPOSITORY = "bad_repository";
    /// Not the name of a file.
    BAD_FILE_NAME = "bad_file_name";
    /// Not the path of a test.
    BAD_PATH = "bad_path";
    /// Not a compatible string.
    BAD_COMPATIBLE = "bad_compatible";
    /// A text that is too long.
    TOO_LONG = "too_long";
    /// Not a URL.
    BAD_URL = "bad_url";
    /// Not a time.
    BAD_TIME = "bad_time";
    /// Not a mail address.
    BAD_EMAIL = "bad_email";
    /// Valid in its version, but impossible in the newest.
    NOT_UPGRADABLE = "not_upgradable";
    /// The name of a lab is not a string.
    BAD_LAB = "bad_lab";
}
