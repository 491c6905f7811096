//! What an HTTP service counts of its requests (spec ops.md 14).

use std::time::Instant;

use axum::http::{Method, StatusCode};
use prometheus::{HistogramVec, IntCounterVec, IntGauge};
use telemetry::metrics::{Label, Registry, SECONDS, counters, gauge, histograms};

/// The methods that have a label of their own; clients may make up others.
const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
const OTHER: &str = "other";
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What an HTTP service counts of its requests; clones share it.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGauge,
}

impl RequestMetrics {
    /// Declares them in a service's registry.
    pub fn new(registry: &Registry) -> Self {
        let route = Label::limited("route", "an address that the service has, with the names of its parts, or `other`");
        let labels = [
            Label::words("method", METHODS.into_iter().chain([OTHER])),
            route.clone(),
            Label::words("status", CLASSES),
        ];
        let (name, help) = ("kcidb_http_requests_total", "HTTP requests, by method, route and class of status");
        let requests = counters(registry, name, help, &labels);
        let (name, help) = ("kcidb_http_request_duration_seconds", "Time to answer an HTTP request, by route");
        let duration = histograms(registry, name, help, &[route], SECONDS);
        let in_flight = gauge(registry, "kcidb_http_requests_in_flight", "HTTP requests in progress");
        Self { requests, duration, in_flight }
    }

    /// A request has come.
    pub fn begin(&self, method: &Method) -> InFlight<'_> {
        self.in_flight.inc();
        let method = METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER);
        InFlight { metrics: self, method, started: Instant::now() }
    }
}

/// A request in progress, until this is dropped: also when the client goes away in the middle.
#[derive(Debug)]
#[must_use = "the request is in progress as long as this lives"]
pub struct InFlight<'m> {
    metrics: &'m RequestMetrics,
    method: &'static str,
    started: Instant,
}

impl InFlight<'_> {
    /// It is answered. The route is one of a few, never what the client asked for.
    pub fn answered(self, route: &str, status: StatusCode) {
        let class = CLASSES[usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1];
        self.metrics.requests.with_label_values(&[self.method, route, class]).inc();
        self.metrics.duration.with_label_values(&[route]).observe(self.started.elapsed().as_secs_f64());
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_by_labels_that_no_client_makes_up() {
        let metrics = RequestMetrics::new(&Registry::default());
        let odd = metrics.begin(&Method::from_bytes(b"ODD").expect("a method"));
        assert_eq!(metrics.in_flight.get(), 1);
        odd.answered("/status", StatusCode::from_u16(999).expect("a status"));
        drop(metrics.begin(&Method::GET));
        metrics.begin(&Method::GET).answered("/status", StatusCode::NO_CONTENT);
        assert_eq!(metrics.in_flight.get(), 0);
        let count = |method, class| metrics.requests.with_label_values(&[method, "/status", class]).get();
        assert_eq!((count("other", "5xx"), count("GET", "2xx")), (1, 1));
    }
}
