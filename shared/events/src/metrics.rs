//! What publishing and consuming count (spec ops.md 14).

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};
use telemetry::metrics::{Label, Registry, SECONDS, counters, gauges, histograms};

use crate::{Data, Reason, topology};

/// What a publisher counts.
#[derive(Debug, Clone)]
pub struct PublishMetrics {
    /// Publishes by event and outcome: confirmed, returned, refused, lost.
    pub published: IntCounterVec,
    /// Seconds from the publish to the broker's confirm, by event.
    pub duration: HistogramVec,
    /// Events that no queue was bound for, by event.
    pub unroutable: IntCounterVec,
}

impl PublishMetrics {
    /// Declares them in a service's registry.
    pub fn new(registry: &Registry) -> Self {
        let event = Label::words("event", Data::NAMES.iter().copied());
        let outcome = Label::words("outcome", ["confirmed", "returned", "refused", "lost"]);
        Self {
            published: counters(
                registry,
                "kcidb_publish_total",
                "Events published, by event and outcome",
                &[event.clone(), outcome],
            ),
            duration: histograms(
                registry,
                "kcidb_publish_duration_seconds",
                "Time from publishing an event to the broker's confirm",
                std::slice::from_ref(&event),
                SECONDS,
            ),
            unroutable: counters(
                registry,
                "kcidb_publish_unroutable_total",
                "Events that the broker returned because no queue is bound for them",
                &[event],
            ),
        }
    }
}

/// What a consumer counts.
#[derive(Debug, Clone)]
pub struct ConsumeMetrics {
    /// Messages by queue, outcome (done, retry, dead) and reason.
    pub messages: IntCounterVec,
    /// Seconds a message was worked on, by queue.
    pub duration: HistogramVec,
    /// Seconds from the event to the start of work, by queue.
    pub wait: HistogramVec,
    /// Messages being worked on, by queue.
    pub in_flight: IntGaugeVec,
}

impl ConsumeMetrics {
    /// Declares them in a service's registry.
    pub fn new(registry: &Registry) -> Self {
        let queue = Label::words("queue", topology::QUEUES.iter().map(|queue| queue.name));
        let outcome = Label::words("outcome", ["done", "retry", "dead", "abandoned"]);
        let reason = Label::words("reason", Reason::ALL.iter().map(|reason| reason.as_str()).chain(["panic", ""]));
        Self {
            messages: counters(
                registry,
                "kcidb_messages_total",
                "Messages finished, by queue, outcome and reason",
                &[queue.clone(), outcome, reason],
            ),
            duration: histograms(
                registry,
                "kcidb_message_duration_seconds",
                "Time a message was worked on",
                std::slice::from_ref(&queue),
                SECONDS,
            ),
            wait: histograms(
                registry,
                "kcidb_message_wait_seconds",
                "Time from the event to the start of work on it",
                std::slice::from_ref(&queue),
                SECONDS,
            ),
            in_flight: gauges(registry, "kcidb_messages_in_flight", "Messages being worked on", &[queue]),
        }
    }
}
