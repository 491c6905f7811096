//! Events: the contract from `proto/`, the CloudEvents envelope, the broker topology, publishing and consuming.
//!
//! Invariants
//! - [`Publisher::publish`] returns `Ok` only after the broker has confirmed the message: a queue has it on disk.
//! - [`consume()`] acknowledges a message only after its handler said [`Outcome::Done`], or after the broker has confirmed
//!   the copy that waits for a retry or lies with the dead letters. A message is never lost between two queues; it may come twice.
//! - A lost connection is waited out, here, with a jittered back-off; it never reaches a handler.

mod config;
mod connect;
mod consume;
mod event;
mod make;
mod metrics;
mod operate;
mod publish;
mod reason;
pub mod topology;
mod trace;

pub use config::Options;
pub use consume::{Consumer, Delivery, Outcome, consume};
pub use event::{Data, Event, MalformedEvent};
pub use metrics::{ConsumeMetrics, PublishMetrics};
pub use operate::{DeadLetter, DeadLetters, Depth, OperateError, declare, depths};
pub use publish::{PublishError, Publisher};
pub use reason::Reason;

/// The messages of `proto/kcidb/events/v1`.
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated from proto/, where the comments are"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/kcidb.events.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/kcidb.events.v1.serde.rs"));
}
