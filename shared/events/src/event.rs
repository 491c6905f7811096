//! The envelope: CloudEvents 1.0, structured JSON mode (spec ops.md 12), so that a message is readable where it waits.

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{reason::Reason, v1};

/// What every type starts with.
const TYPE_PREFIX: &str = "org.kernelci.kcidb.";

/// The content type of a message.
pub(crate) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// Something that happened, with its envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Unique together with the source; the same on every repetition of the same event.
    pub id: String,
    /// Who says so: `/kcidb/` and the name of a service.
    pub source: String,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// The lab or system that the submission or object is of.
    pub origin: String,
    /// W3C trace context at creation: of the span in which the event was made.
    pub traceparent: Option<String>,
    /// What other systems want to have carried along with it.
    pub tracestate: Option<String>,
    /// What happened.
    pub data: Data,
}

macro_rules! events {
    ($($name:ident = $type:literal / $noun:literal . $id:ident),+ $(,)?) => {
        /// What happened.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(missing_docs, reason = "documented in proto/")]
        pub enum Data { $($name(v1::$name)),+ }

        $(impl From<v1::$name> for Data {
            fn from(data: v1::$name) -> Self { Self::$name(data) }
        })+

        impl Data {
            /// The names of all events.
            pub const NAMES: &[&str] = &[$($type),+];

            /// The event's name, such as `submission.received`: the type without prefix and version.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $type),+ }
            }

            fn subject(&self) -> String {
                match self { $(Self::$name(data) => format!(concat!($noun, "/{}"), data.$id)),+ }
            }

            fn to_raw(&self) -> serde_json::Result<Box<RawValue>> {
                match self { $(Self::$name(data) => serde_json::value::to_raw_value(data)),+ }
            }

            /// `None` when the type is not one of ours.
            fn parse(type_: &str, data: &RawValue) -> Option<serde_json::Result<Self>> {
                match type_.strip_prefix(TYPE_PREFIX)? {
                    $(concat!($type, ".v1") => Some(serde_json::from_str(data.get()).map(Self::$name)),)+
                    _ => None,
                }
            }
        }
    };
}

events! {
    SubmissionReceived = "submission.received" / "submission".submission_id,
    SubmissionIngested = "submission.ingested" / "submission".submission_id,
    SubmissionRejected = "submission.rejected" / "submission".submission_id,
    SubmissionRetrying = "submission.retrying" / "submission".submission_id,
    SubmissionDead = "submission.dead" / "submission".submission_id,
    BuildFailed = "build.failed" / "build".build_id,
    TestFailed = "test.failed" / "test".test_id,
    LogAnalyzed = "log.analyzed" / "node".node_id,
    LogRequested = "log.requested" / "node".node_id,
    IssueOpened = "issue.opened" / "issue".issue_id,
    IncidentOpened = "incident.opened" / "incident".incident_id,
}

impl Data {
    /// The submission that this is about, or that it follows from, if that is known.
    pub(crate) fn submission_id(&self) -> Option<&str> {
        match self {
            Self::SubmissionReceived(data) => Some(&data.submission_id),
            Self::SubmissionIngested(data) => Some(&data.submission_id),
            Self::SubmissionRejected(data) => Some(&data.submission_id),
            Self::SubmissionRetrying(data) => Some(&data.submission_id),
            Self::SubmissionDead(data) => Some(&data.submission_id),
            Self::BuildFailed(data) => Some(&data.submission_id),
            Self::TestFailed(data) => Some(&data.submission_id),
            Self::LogAnalyzed(data) => data.submission_id.as_deref(),
            Self::LogRequested(_) | Self::IssueOpened(_) | Self::IncidentOpened(_) => None,
        }
    }
}

/// A message that is no event of ours.
#[derive(Debug, thiserror::Error)]
pub enum MalformedEvent {
    /// The body is not the JSON of an event.
    #[error("the message is not a CloudEvents 1.0 JSON object of this system: {0}")]
    Body(#[from] serde_json::Error),
    /// Another version of CloudEvents.
    #[error("specversion is {0:?}; only 1.0 is understood")]
    SpecVersion(String),
    /// A type that this program does not know.
    #[error("the event type {0:?} is not known")]
    UnknownType(String),
}

impl MalformedEvent {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::UnknownType(_) => Reason::UnknownType,
            Self::Body(_) | Self::SpecVersion(_) => Reason::MalformedEvent,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    type_: String,
    subject: String,
    time: String,
    datacontenttype: String,
    origin: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    tracestate: Option<String>,
    data: Box<RawValue>,
}

impl Event {
    /// The same event with an id that depends on `key` alone, so that a repetition after a crash is recognisable.
    #[must_use]
    pub fn with_id(mut self, key: String) -> Self {
        self.id = key;
        self
    }

    /// `<noun>.<past verb>.<origin>`; the origin is cut down to what cannot change the number of words.
    pub fn routing_key(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
        let mut origin: String = self.origin.chars().map(plain).take(100).collect();
        if origin.is_empty() {
            origin.push_str("none");
        }
        format!("{}.{origin}", self.data.name())
    }

    /// The CloudEvents type, such as `org.kernelci.kcidb.submission.received.v1`.
    pub fn type_name(&self) -> String {
        format!("{TYPE_PREFIX}{}.v1", self.data.name())
    }

    /// The message body.
    ///
    /// # Errors
    /// Never in practice: every event has a JSON form.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Envelope {
            specversion: "1.0".into(),
            id: self.id.clone(),
            source: self.source.clone(),
            type_: self.type_name(),
            subject: self.data.subject(),
            time: self.time.to_rfc3339_opts(SecondsFormat::Millis, true),
            datacontenttype: "application/json".into(),
            origin: self.origin.clone(),
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
            data: self.data.to_raw()?,
        })
    }

    /// Reads a message body; members that are not known are ignored.
    ///
    /// # Errors
    /// When the body is no event, or of a type that is not known.
    pub fn from_json(body: &[u8]) -> Result<Self, MalformedEvent> {
        let envelope: Envelope = serde_json::from_slice(body)?;
        if envelope.specversion != "1.0" {
            return Err(MalformedEvent::SpecVersion(envelope.specversion));
        }
        let data =
            Data::parse(&envelope.type_, &envelope.data).ok_or(MalformedEvent::UnknownType(envelope.type_))??;
        let time = time(&envelope.time)?;
        Ok(Self {
            id: envelope.id,
            source: envelope.source,
            time,
            origin: envelope.origin,
            traceparent: envelope.traceparent,
            tracestate: envelope.tracestate,
            data,
        })
    }
}

/// A time by RFC 3339 that can be written again in UTC: its offset may carry it beyond the years that RFC 3339 has.
fn time(text: &str) -> Result<DateTime<Utc>, MalformedEvent> {
    let wrong = |what: String| MalformedEvent::Body(serde::de::Error::custom(format!("time {text:?}: {what}")));
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| wrong(error.to_string()))?.to_utc();
    if (0..=9999).contains(&time.year()) {
        Ok(time)
    } else {
        Err(wrong("not in the years 0 to 9999 of UTC".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Event {
        Event::new(
            "gateway",
            "lab.one",
            v1::SubmissionReceived {
                submission_id: "a1".into(),
                file: "submission-a1.json".into(),
                origin: "lab.one".into(),
                size_bytes: 48_213,
                sha256: "00".into(),
            },
        )
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut event = received();
        event.time = DateTime::from_timestamp_millis(1_700_000_000_123).expect("a valid time");
        let read = Event::from_json(&event.to_json().expect("JSON")).expect("an event");
        assert_eq!(read, event);
    }

    #[test]
    fn the_body_is_what_an_operator_expects_to_read() {
        let body: serde_json::Value = serde_json::from_slice(&received().to_json().expect("JSON")).expect("JSON");
        assert_eq!(body["type"], "org.kernelci.kcidb.submission.received.v1");
        assert_eq!(body["subject"], "submission/a1");
        assert_eq!(body["data"]["size_bytes"], 48_213);
        assert_eq!(body["data"]["file"], "submission-a1.json");
    }

    #[test]
    fn an_origin_with_dots_is_one_word_of_the_routing_key() {
        assert_eq!(received().routing_key(), "submission.received.lab_one");
        assert_eq!(Event { origin: String::new(), ..received() }.routing_key(), "submission.received.none");
    }

    #[test]
    fn every_example_of_the_contract_is_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/examples");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).expect("proto/examples") {
            let path = entry.expect("a file").path();
            let event = Event::from_json(&std::fs::read(&path).expect("readable"));
            let event = event.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(event.data.name()));
            names.push(event.data.name());
        }
        assert_eq!(names.len(), 11, "one example per event: {names:?}");
    }

    #[test]
    fn a_time_that_could_not_be_written_again_is_not_read() {
        let mut event = received();
        event.time = DateTime::from_timestamp(0, 0).expect("a valid time");
        let json = String::from_utf8(event.to_json().expect("JSON")).expect("text");
        for (time, read) in [
            ("9999-12-31T23:59:59-00:00", true),
            ("9999-12-31T23:59:59-01:00", false),
            ("0000-01-01T00:00:00+01:00", false),
        ] {
            let event = Event::from_json(json.replace("1970-01-01T00:00:00.000Z", time).as_bytes());
            assert_eq!(event.is_ok(), read, "{time}");
        }
    }

    #[test]
    fn what_is_not_ours_has_a_reason() {
        let reason = |body: &str| Event::from_json(body.as_bytes()).expect_err("no event").reason();
        assert_eq!(reason("{"), Reason::MalformedEvent);
        let other = String::from_utf8(received().to_json().expect("JSON")).expect("text");
        assert_eq!(reason(&other.replace("received.v1", "received.v2")), Reason::UnknownType);
        assert_eq!(reason(&other.replace(r#""specversion":"1.0""#, r#""specversion":"0.3""#)), Reason::MalformedEvent);
    }
}
