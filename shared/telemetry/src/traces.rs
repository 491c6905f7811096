//! Traces: spans that go to an OpenTelemetry collector (OTLP over gRPC).
//!
//! Invariants
//! - Without an endpoint nothing is started, and no span is made.
//! - Only spans made here are sent, and no log lines with them: the level of the logs does not change a trace, and a
//!   trace has nothing in it but the attributes of [`names`](crate::names).
//! - A collector that is away holds nobody up; its spans are dropped.

use std::time::Duration;

use opentelemetry::{
    Context, KeyValue, Value,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{Link, SpanKind, Status, TraceContextExt as _, TraceId, TracerProvider as _},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SamplingResult, SdkTracerProvider, ShouldSample},
};
use tracing::{Instrument as _, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, Registry, filter::Targets};

/// The target of the spans that are sent; the logs leave them out.
pub(crate) const TARGET: &str = "kcidb::trace";
/// How long the last spans may take at the end of the process.
const FAREWELL: Duration = Duration::from_secs(5);

/// The trace options of every command. `OTEL_EXPORTER_OTLP_HEADERS`, which may hold a secret, is read from the
/// environment alone.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Traces")]
pub struct Options {
    /// The collector that traces are sent to (OTLP over gRPC, such as `http://HOST:4317`); none are made without it.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true, value_name = "URL", hide_short_help = true)]
    pub otlp_endpoint: Option<String>,
    /// Which part of the submissions is traced, from 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1.0", value_parser = ratio, global = true, value_name = "RATIO", hide_short_help = true)]
    pub trace_ratio: f64,
    /// The name of this process in traces.
    #[arg(
        long,
        env = "OTEL_SERVICE_NAME",
        default_value = "kcidb",
        global = true,
        value_name = "NAME",
        hide_short_help = true
    )]
    pub trace_service: String,
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ if text.is_empty() => Ok(1.0),
        _ => Err("a number from 0 to 1 is needed".to_owned()),
    }
}

/// A collector that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT) {endpoint:?}: {message}")]
pub struct EndpointError {
    endpoint: String,
    message: String,
}

/// The process's traces; nothing when they are off.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Starts sending when there is an endpoint. It needs the tokio runtime, and connects when the first span is there.
    ///
    /// # Errors
    /// When the endpoint cannot be one: TLS is left to a collector nearby.
    pub fn start(options: &Options) -> Result<Self, EndpointError> {
        let Some(endpoint) = options.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(Self(None));
        };
        let wrong = |message: String| EndpointError { endpoint: endpoint.to_owned(), message };
        if !endpoint.starts_with("http://") {
            return Err(wrong("http:// is needed; a collector beside this process can send on with TLS".to_owned()));
        }
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        let name = if options.trace_service.is_empty() { "kcidb" } else { &options.trace_service };
        let resource = Resource::builder()
            .with_service_name(name.to_owned())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(OwnRatio(options.trace_ratio))
            .with_resource(resource)
            .build();
        Ok(Self(Some(provider)))
    }

    pub(crate) fn layer(&self) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
        let tracer = self.0.as_ref()?.tracer("kcidb");
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        Some(layer.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO)).boxed())
    }

    /// Sends the last spans: call at the end of the process.
    pub async fn finish(self) {
        let Some(provider) = self.0 else { return };
        match tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FAREWELL)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be sent"),
            Err(error) => tracing::warn!(%error, "the last spans could not be sent"),
        }
    }
}

/// What is traced is decided here where a request comes in, whatever the client has decided; whoever follows does as it
/// was decided.
#[derive(Debug, Clone)]
struct OwnRatio(f64);

impl ShouldSample for OwnRatio {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let own = Sampler::TraceIdRatioBased(self.0);
        let sampler = if *kind == SpanKind::Server { own } else { Sampler::ParentBased(Box::new(own)) };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

/// A place in a trace as it travels: the headers of W3C Trace Context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Trace, span and whether the trace is sampled.
    pub traceparent: Option<String>,
    /// What other systems want to have carried along.
    pub tracestate: Option<String>,
}

impl Place {
    /// Where the current span is; nothing without one.
    pub fn current() -> Self {
        Self::of(&Context::current())
    }

    fn of(context: &Context) -> Self {
        let mut place = Self::default();
        if context.span().span_context().is_valid() {
            TraceContextPropagator::new().inject_context(context, &mut place);
            place.tracestate = place.tracestate.filter(|state| !state.is_empty());
        }
        place
    }

    fn context(&self) -> Context {
        TraceContextPropagator::new().extract_with_context(&Context::new(), self)
    }

    /// The trace's id; nothing when there is no trace or it is not sampled.
    pub fn sampled_trace(&self) -> Option<String> {
        let context = self.context();
        let span = context.span().span_context().clone();
        span.is_sampled().then(|| span.trace_id().to_string())
    }

    /// Whether both are in the same trace.
    pub fn is_in_trace_of(&self, other: &Self) -> bool {
        let (this, that) = (self.context(), other.context());
        let this = this.span().span_context().trace_id();
        this != TraceId::INVALID && this == that.span().span_context().trace_id()
    }
}

impl Extractor for Place {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent.as_deref(),
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        ["traceparent", "tracestate"].into_iter().filter(|key| self.get(key).is_some()).collect()
    }
}

impl Injector for Place {
    fn set(&mut self, key: &str, value: String) {
        match key {
            "traceparent" => self.traceparent = Some(value),
            "tracestate" => self.tracestate = Some(value),
            _ => {}
        }
    }
}

/// What a span is to its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers a request.
    Server,
    /// Puts a message on a queue.
    Producer,
    /// Works on a message.
    Consumer,
    /// Part of another.
    Internal,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Internal => "internal",
        }
    }
}

/// A span of a trace; it does nothing when traces are off. It lasts until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Span(tracing::Span);

impl Span {
    /// A part of the current span; the first of a trace without one.
    pub fn start(name: &str, kind: Kind) -> Self {
        Self(tracing::info_span!(target: TARGET, "span", otel.name = name, otel.kind = kind.as_str()))
    }

    /// A span that follows another one, maybe of another process; the first of a trace when `parent` is no place in one.
    pub fn follow(parent: &Place, name: &str, kind: Kind) -> Self {
        let span = Self::start(name, kind);
        if span.is_on() {
            let set = span.0.set_parent(parent.context());
            debug_assert!(set.is_ok(), "the span has just been made, for the collector: {set:?}");
        }
        span
    }

    /// Whether anybody hears what is said of it.
    pub fn is_on(&self) -> bool {
        !self.0.is_disabled()
    }

    /// Sets an attribute.
    pub fn set(&self, name: &'static str, value: impl Into<Value>) {
        if self.is_on() {
            self.0.set_attribute(name, value);
        }
    }

    /// Notes another trace that this span is about.
    pub fn link(&self, place: &Place) {
        if self.is_on() {
            self.0.add_link(place.context().span().span_context().clone());
        }
    }

    /// Marks it as failed.
    pub fn fail(&self, why: impl Into<String>) {
        if self.is_on() {
            self.0.set_status(Status::error(why.into()));
        }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        if self.is_on() { Place::of(&self.0.context()) } else { Place::default() }
    }

    /// Runs something as a part of this span.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        work.instrument(self.0.clone()).await
    }
}

/// Gives the log lines of what runs in it the field `trace_id`; nothing when the place is in no sampled trace.
pub fn log_span(place: &Place) -> tracing::Span {
    match place.sampled_trace() {
        Some(trace_id) => tracing::error_span!("trace", trace_id),
        None => tracing::Span::none(),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn place(traceparent: &str) -> Place {
        Place { traceparent: Some(traceparent.to_owned()), tracestate: None }
    }

    fn decision(ratio: f64, parent: &str, kind: &SpanKind) -> SamplingDecision {
        let parent = place(parent).context();
        let trace = parent.span().span_context().trace_id();
        OwnRatio(ratio).should_sample(Some(&parent), trace, "", kind, &[], &[]).decision
    }

    #[test]
    fn a_place_is_written_as_it_was_read() {
        let read = Place { tracestate: Some("a=1".to_owned()), ..place(SAMPLED) };
        assert_eq!(Place::of(&read.context()), read);
        assert_eq!(read.sampled_trace().as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(place(NOT_SAMPLED).sampled_trace(), None);
        assert!(read.is_in_trace_of(&place(NOT_SAMPLED)) && !read.is_in_trace_of(&Place::default()));
        for bad in ["", "00-trace", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            assert_eq!(Place::of(&place(bad).context()), Place::default(), "{bad}");
            assert!(!place(bad).is_in_trace_of(&place(bad)), "{bad}");
        }
    }

    #[test]
    fn a_client_does_not_decide_what_is_traced_and_a_service_does_not_decide_again() {
        use SamplingDecision::{Drop, RecordAndSample};
        assert_eq!(decision(0.0, SAMPLED, &SpanKind::Server), Drop);
        assert_eq!(decision(1.0, NOT_SAMPLED, &SpanKind::Server), RecordAndSample);
        assert_eq!(decision(0.0, SAMPLED, &SpanKind::Consumer), RecordAndSample);
        assert_eq!(decision(1.0, NOT_SAMPLED, &SpanKind::Producer), Drop);
    }

    #[test]
    fn without_an_endpoint_nothing_is_started() {
        for endpoint in [None, Some(String::new())] {
            let options = Options { otlp_endpoint: endpoint, trace_ratio: 1.0, trace_service: "kcidb".into() };
            assert!(Traces::start(&options).expect("it is off").layer().is_none());
        }
        let span = Span::start("nothing", Kind::Internal);
        assert!(!span.is_on());
        assert_eq!(span.place(), Place::default());
    }

    #[test]
    fn an_endpoint_with_tls_is_refused_in_words() {
        let endpoint = Some("https://collector:4317".to_owned());
        let options = Options { otlp_endpoint: endpoint, trace_ratio: 1.0, trace_service: "kcidb".into() };
        let error = Traces::start(&options).expect_err("TLS is not here").to_string();
        assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && error.contains("http://"), "{error}");
        assert!(ratio("1.5").is_err() && ratio("x").is_err());
        assert_eq!((ratio(""), ratio("0.25")), (Ok(1.0), Ok(0.25)));
    }
}
