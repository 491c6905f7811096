//! Log analysis: text in, errors, signatures, issues and incidents out.
//!
//! ```text
//! bytes ─unpack─▶ Log ─Parser::analyse─▶ Analysis ─Report::new─▶ issues and incidents
//! ```
//! Results are byte for byte those of the existing analyser, because the ids of issues are hashes of them; what differs on
//! purpose is listed in `docs/log-analysis.md`. Invariants: every search is linear in the log, whatever is in it; findings
//! borrow from the log; a log that is made to be expensive ends in a finding that says so.
//!
//! A parser is a file under `parsers/`, a row of states from `states/`; errors are found by `kernel/` and `kbuild/`, one file
//! per class. Adding one means adding a file and naming it in its `mod.rs`.

mod analysis;
mod budget;
mod chars;
mod engine;
mod excerpt;
mod finding;
mod guess;
mod issues;
mod kbuild;
mod kernel;
pub mod log;
mod parsers;
mod scan;
mod signature;
mod states;
mod text;
pub mod unpack;

pub use analysis::{Analysis, GaveUp, Stage};
pub use engine::{Parser, Unfit};
pub use excerpt::{Excerpt, Lines};
pub use finding::{Finding, Trace, Value};
pub use guess::guess;
pub use issues::{Incident, Issue, Kind, KnownIssue, Node, Report};
pub use log::{LineEnds, Log, NotUtf8, Place};
pub use parsers::{ALL, parser};
pub use signature::Signature;
pub use text::Text;

/// The version of the analyser whose results these are; it is part of every issue.
pub const VERSION: &str = "1.0.0";
