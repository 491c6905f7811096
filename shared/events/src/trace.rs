//! The trace goes along with a message: the header has the place of the last hop, the event that of its creation (spec
//! ops.md 13).

use std::time::Duration;

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};
use telemetry::{
    names,
    traces::{Kind, Place, Span},
};

use crate::{Event, topology};

const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// The span of publishing an event: part of what happens now, unless the event is of another trace.
pub(crate) fn sending(event: &Event) -> Span {
    let (made, current) = (event.place(), Place::current());
    let parent = if made.traceparent.is_none() || current.is_in_trace_of(&made) { current } else { made };
    let span = Span::follow(&parent, &format!("{} {}", names::SEND, topology::EVENTS), Kind::Producer);
    if span.is_on() {
        span.set(names::SYSTEM, names::RABBITMQ);
        span.set(names::OPERATION, names::SEND);
        span.set(names::DESTINATION, topology::EVENTS);
        span.set(names::ROUTING_KEY, event.routing_key());
        about(&span, event);
    }
    span
}

/// The headers of a message that is sent in this span; those of the event when traces are off.
pub(crate) fn headers(span: &Span, event: &Event) -> FieldTable {
    let place = if span.is_on() { span.place() } else { event.place() };
    let mut table = FieldTable::default();
    for (name, value) in HEADERS.into_iter().zip([place.traceparent, place.tracestate]) {
        if let Some(value) = value {
            table.insert(name.into(), AMQPValue::LongString(value.into()));
        }
    }
    table
}

/// The span of one try to work on a message.
pub(crate) fn processing(queue: &str, message: &lapin::message::Delivery, attempt: u32) -> Span {
    let span = Span::follow(&place(&message.properties), &format!("{} {queue}", names::PROCESS), Kind::Consumer);
    if span.is_on() {
        span.set(names::SYSTEM, names::RABBITMQ);
        span.set(names::OPERATION, names::PROCESS);
        span.set(names::DESTINATION, queue.to_owned());
        span.set(names::ROUTING_KEY, message.routing_key.as_str().to_owned());
        span.set(names::BODY_SIZE, i64::try_from(message.data.len()).unwrap_or(i64::MAX));
        span.set(names::ATTEMPT, i64::from(attempt));
    }
    span
}

/// What a span is about, and how long that waited.
pub(crate) fn received(span: &Span, event: &Event, waited: Duration) {
    if span.is_on() {
        span.set(names::QUEUE_WAIT, i64::try_from(waited.as_millis()).unwrap_or(i64::MAX));
        about(span, event);
    }
}

/// How work ended, in the words of the metrics; without a reason nothing went wrong.
pub(crate) fn ended(span: &Span, outcome: &'static str, reason: &'static str) {
    span.set(names::OUTCOME, outcome);
    if !reason.is_empty() {
        span.fail(reason);
    }
}

fn about(span: &Span, event: &Event) {
    span.set(names::MESSAGE_ID, event.id.clone());
    span.set(names::ORIGIN, event.origin.clone());
    if let Some(id) = event.data.submission_id() {
        span.set(names::SUBMISSION_ID, id.to_owned());
    }
}

fn place(properties: &BasicProperties) -> Place {
    let [traceparent, tracestate] = HEADERS.map(|name| match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(str::to_owned),
        _ => None,
    });
    Place { traceparent, tracestate }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::SubmissionReceived;

    #[test]
    fn without_traces_the_context_of_the_client_goes_along() {
        let given = Place {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            tracestate: Some("lab=1".to_owned()),
        };
        let event = Event::new("gateway", "lab", SubmissionReceived::default()).at(given.clone());
        let headers = headers(&sending(&event), &event);
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(place(&properties), given);
        assert_eq!(place(&BasicProperties::default()), Place::default());
    }
}
