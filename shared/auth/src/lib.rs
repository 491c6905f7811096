//! Tokens: who may submit, and for which origins (spec rest-and-spool 2).
//!
//! Invariants
//! - Only HS256 is accepted, whatever a token's header says.
//! - A token that the old daemon accepts is accepted, one that it refuses is refused, but for `aud`, which is ignored
//!   unless a list of audiences is configured (spec rest-and-spool 9, M).
//! - No secret and no token is ever part of an error or of a `Debug` text.
//!
//! # Origins
//! The claim `origin` names who submits: it is logged, counted and put into events. A token may speak for that origin
//! alone, unless it has a claim `origins`, a list of further origins, in which `"*"` stands for every one. The old daemon
//! ignores `origins`, and a token without it means what it always meant.

mod config;
mod mint;
mod verify;

pub use config::{Options, OptionsError};
pub use mint::{Mint, mint};
pub use verify::{Claims, Origins, Secret, TokenError, Verifier};
