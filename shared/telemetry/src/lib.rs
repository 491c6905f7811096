//! Telemetry: logs, metrics, the admin port, graceful shutdown. Knows no service.
//!
//! A process sets its logs up once ([`logs::init`]); each service of the process has a metrics registry of its own
//! ([`metrics::registry`]), a [`Health`] and an admin port ([`admin::serve`]). One [`CancellationToken`] tells everybody
//! to stop ([`shutdown::on_signal`]).
//!
//! [`CancellationToken`]: tokio_util::sync::CancellationToken

pub mod admin;
mod health;
pub mod logs;
pub mod metrics;
pub mod shutdown;

pub use health::{Check, Health};
