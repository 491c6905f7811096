//! What the caller decides.

use crate::names::TreeNames;

/// How documents are judged and converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Names that trees get before validation; empty to leave them alone.
    pub tree_names: TreeNames,
    /// Refuse documents whose upgraded form is not valid in the newest version (possible from 1.1 and 2.0 only).
    pub strict: bool,
    /// How many faults are reported at most; all are counted.
    pub max_faults: usize,
    /// How many threads may work on one large document.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { tree_names: TreeNames::default(), strict: false, max_faults: 100, threads: 1 }
    }
}
