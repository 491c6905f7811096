//! Telemetry: logs, traces, metrics, the admin port, graceful shutdown. Knows no service.
//!
//! A process sets its traces and logs up once ([`Traces::start`], [`logs::init`]); each service of the process has a metrics registry of its own
//! ([`metrics::registry`]), a [`Health`] and an admin port ([`admin::serve`]). One [`CancellationToken`] tells everybody
//! to stop ([`shutdown::on_signal`]).
//!
//! [`CancellationToken`]: tokio_util::sync::CancellationToken

pub mod admin;
mod health;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod shutdown;
pub mod traces;

pub use health::{Check, Health};
pub use traces::Traces;
