//! The whole system under test: the real `kcidb` binary on a private PostgreSQL and RabbitMQ, and what tests need to
//! push it over and look inside.

mod conformance;
mod system;
mod tables;

pub use conformance::{conformance, corpus, unpack_json_lines, without_order_dependent};
pub use stack::free_port;
pub use system::{System, binary, document, until};
pub use tables::{TABLES, rows, rows_without_timestamps};
