//! The database: migrations, loading of objects, the ledger.
//!
//! - A document is loaded completely, in the caller's one transaction, with the rows that are derived from it, or not at
//!   all ([`load()`]); loading it again changes nothing but `_timestamp`.
//! - What PostgreSQL cannot store is found before it is asked to ([`unstorable()`]), so that an error of the database is
//!   almost always the database's own, and [`Error`] says which it is.
//! - The tables of the public schema belong to the `KernelCI` dashboard: they have its names and its shape. What is ours
//!   alone is in the schema `kcidb_ng` ([`ledger`], [`logs`], the list of applied migrations).

mod bulk;
mod catalogue;
mod check;
mod compression;
mod error;
mod json;
pub mod ledger;
mod load;
pub mod logs;
mod metrics;
mod migrate;
mod options;
mod pool;
mod roles;
mod tables;
mod target;
mod timestamp;
mod unstorable;

pub use catalogue::read as catalogue;
pub use check::{Finding, check};
pub use error::Error;
pub use load::load;
pub use metrics::Metrics;
pub use migrate::migrate;
pub use options::Options;
pub use pool::{Connection, Pool};
pub use unstorable::unstorable;
