//! The making of an event: what it takes from here and now. Apart from its form (`event`), which knows of no process.

use chrono::Utc;
use telemetry::traces::Place;

use crate::event::{Data, Event};

impl Event {
    /// A new event that happens now. `service` is the publishing service's name, such as `gateway`.
    pub fn new(service: &str, origin: impl Into<String>, data: impl Into<Data>) -> Self {
        Self {
            id: ulid::Ulid::new().to_string(),
            source: format!("/kcidb/{service}"),
            time: Utc::now(),
            origin: origin.into(),
            traceparent: Place::current().traceparent,
            data: data.into(),
        }
    }
}
