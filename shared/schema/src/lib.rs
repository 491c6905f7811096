//! KCIDB I/O schema: validation with reasons, upgrade to the newest version, typed objects.
//!
//! [`Document::open`] checks the syntax and finds the lists; [`Document::check`] gives the verdict, [`Document::objects`]
//! and [`Document::chunks`] the objects of version 5.3, [`Document::upgraded`] the document in that version. What each
//! version accepts is in `versions.yaml` and `classes.rs`; the contract in words is spec/io-schema.md.
//!
//! An object takes one of two ways: the quick one (`object.rs`) reads what is plainly right straight from the text; all
//! else goes to the judge (`judge.rs`), who alone produces verdicts and faults.

mod classes;
pub mod code;
mod contract;
mod document;
mod fault;
mod judge;
mod lane;
mod members;
mod names;
mod object;
mod options;
mod read;
mod run;
pub mod syntax;
mod upgrade;
mod upgraded;
mod verdict;
mod version;

pub use contract::json_schema;
pub use document::Document;
pub use fault::{Fault, Refusal, Rejection};
pub use names::{TreeNames, TreeNamesError};
pub use object::{Build, Checkout, Counts, Culprit, Environment, Incident, Issue, Json, Number, Objects, Test, Texts};
pub use options::Options;
pub use upgraded::Upgraded;
pub use verdict::Verdict;
pub use version::{UnknownVersion, Version};
