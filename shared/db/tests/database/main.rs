//! Tests with a real PostgreSQL, which is started when none is there (`shared/stack`).
#![expect(clippy::unwrap_used, reason = "a test")]

mod errors;
mod ledger;
mod loading;
mod logs;
mod merge;
mod migrations;
mod server;
mod unstorable;
