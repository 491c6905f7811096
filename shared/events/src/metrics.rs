//! What publishing and consuming count (spec ops.md 14).

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Registry};
use telemetry::metrics::{SECONDS, counters, gauges, histograms};

/// What a publisher counts.
#[derive(Debug, Clone)]
pub struct PublishMetrics {
    /// Publishes by event and outcome: confirmed, returned, refused, lost.
    pub published: IntCounterVec,
    /// Seconds from the publish to the broker's confirm, by event.
    pub duration: HistogramVec,
}

impl PublishMetrics {
    /// Declares them in a service's registry.
    pub fn new(registry: &Registry) -> Self {
        Self {
            published: counters(
                registry,
                "kcidb_publish_total",
                "Events published, by event and outcome",
                &["event", "outcome"],
            ),
            duration: histograms(
                registry,
                "kcidb_publish_duration_seconds",
                "Time from publishing an event to the broker's confirm",
                &["event"],
                SECONDS,
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
        let queue = &["queue"];
        Self {
            messages: counters(
                registry,
                "kcidb_messages_total",
                "Messages finished, by queue, outcome and reason",
                &["queue", "outcome", "reason"],
            ),
            duration: histograms(
                registry,
                "kcidb_message_duration_seconds",
                "Time a message was worked on",
                queue,
                SECONDS,
            ),
            wait: histograms(
                registry,
                "kcidb_message_wait_seconds",
                "Time from the event to the start of work on it",
                queue,
                SECONDS,
            ),
            in_flight: gauges(registry, "kcidb_messages_in_flight", "Messages being worked on", queue),
        }
    }
}
