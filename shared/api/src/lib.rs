//! What the HTTP services share: the JSON answer, the errors with their codes, the token of a request
//! (spec rest-and-spool 1, 2, 9 B and C), and what is counted of requests.
//!
//! Invariants
//! - Every answer's object starts with the three keys `id`, `status`, `message`, all strings; further keys only follow.
//! - Every error, whatever its cause, has the same shape, a stable `code` word, and says whether trying again can help.

mod answer;
mod authenticate;
mod error;
mod metrics;

pub use answer::Answer;
pub use authenticate::authenticate;
pub use error::{Error, Refusal};
pub use metrics::{InFlight, RequestMetrics};
