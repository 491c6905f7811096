//! Any message body: no panic, and what is read as an event is written and read again as the same event.
#![no_main]
#![expect(dead_code, reason = "only the reading and writing of events is looked at")]

#[allow(unfulfilled_lint_expectations, reason = "the events crate has stricter lints")]
#[path = "../../../shared/events/src/event.rs"]
mod event;
#[path = "../../../shared/events/src/reason.rs"]
mod reason;
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/kcidb.events.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/kcidb.events.v1.serde.rs"));
}

use event::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(event) = Event::from_json(body) else { return };
    assert_eq!(event.routing_key().split('.').count(), 3, "{}", event.routing_key());
    let written = event.to_json().expect("an event has a JSON form");
    let again = Event::from_json(&written).expect("what was written can be read");
    // Of the time, milliseconds are written.
    assert_eq!(Event { time: again.time, ..event }, again);
    assert_eq!(again.to_json().expect("an event has a JSON form"), written);
});
