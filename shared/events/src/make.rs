//! The making of an event: what it takes from here and now. Apart from its form (`event`), which knows of no process.

use chrono::Utc;
use telemetry::traces::Place;

use crate::event::{Data, Event};

impl Event {
    /// A new event that happens now. `service` is the publishing service's name, such as `gateway`.
    pub fn new(service: &str, origin: impl Into<String>, data: impl Into<Data>) -> Self {
        let Place { traceparent, tracestate } = Place::current();
        Self {
            id: ulid::Ulid::new().to_string(),
            source: format!("/kcidb/{service}"),
            time: Utc::now(),
            origin: origin.into(),
            traceparent,
            tracestate,
            data: data.into(),
        }
    }

    /// The same event, made at another place.
    #[must_use]
    pub fn at(self, Place { traceparent, tracestate }: Place) -> Self {
        Self { traceparent, tracestate, ..self }
    }

    /// The place where it was made.
    pub fn place(&self) -> Place {
        Place { traceparent: self.traceparent.clone(), tracestate: self.tracestate.clone() }
    }
}
