//! One trace from the POST to the incident, over four processes and the broker, as a collector receives it.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::Router;
use integration_tests::System;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use serde_json::json;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// A build log with one error.
const BUILD_LOG: &str = "  CC a/b.o\na/b.c:1:2: error: expected ';'\nmake: *** [s:1: a/b.o] Error 1\n";
/// Another loopback address than the one that must not be asked.
const HOST: &str = "127.0.0.2";
/// Where clients of the tests are in their traces.
const CLIENT_SPAN: &str = "b7ad6b7169203331";
const CLIENT_STATE: &str = "lab=run-7";
/// The text between the lines of this kind is the tree.
const FENCE: &str = "```";

/// A collector that keeps what it receives.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().expect("not poisoned").extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts it; where it listens.
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let collector = Self::default();
        let server = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (collector, url)
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().expect("not poisoned").clone()
    }

    fn of_trace(&self, trace: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| hex(&span.trace_id) == trace).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text takes everything");
        text
    })
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let value = span.attributes.iter().find(|attribute| attribute.key == name)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A span as a line: its name, and the event when there is one.
fn line(span: &Span) -> String {
    let event = attribute(span, "messaging.rabbitmq.destination.routing_key").unwrap_or_default();
    format!("{} {event}", span.name).trim_end().to_owned()
}

/// The spans that follow a span, each with what follows it, one a line.
fn tree(spans: &[Span], parent: &str, depth: usize, text: &mut String) {
    let mut children: Vec<&Span> = spans.iter().filter(|span| hex(&span.parent_span_id) == parent).collect();
    children.sort_by_key(|span| line(span));
    for span in children {
        writeln!(text, "{}{}", "  ".repeat(depth), line(span)).expect("text takes everything");
        tree(spans, &hex(&span.span_id), depth + 1, text);
    }
}

fn printed(spans: &[Span]) -> String {
    let mut text = String::new();
    tree(spans, CLIENT_SPAN, 0, &mut text);
    text
}

/// The tree on the page for operators.
fn documented() -> &'static str {
    let page = include_str!("../../docs/tracing.md");
    let start = page.find("POST /submit\n").expect("the tree");
    &page[start..start + page[start..].find(FENCE).expect("the end of the tree")]
}

/// The one span that is this line.
fn the<'a>(spans: &'a [Span], what: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| line(span) == what).collect();
    let [span] = found[..] else { panic!("{} times {what}:\n{}", found.len(), printed(spans)) };
    span
}

fn document(id: &str, log_url: &str) -> String {
    let build = json!({"id": id, "origin": "lab", "checkout_id": "lab:c", "status": "FAIL", "log_url": log_url});
    json!({"version": {"major": 5, "minor": 3}, "builds": [build]}).to_string()
}

/// Submits as a client that has a trace; the id and the trace that the answer tells.
async fn submit(system: &System, trace: &str, body: String) -> (String, String) {
    let request = reqwest::Client::new()
        .post(format!("http://{}/submit", system.gateway_address()))
        .bearer_auth(system.token())
        .header("traceparent", format!("00-{trace}-{CLIENT_SPAN}-00"))
        .header("tracestate", CLIENT_STATE)
        .body(body);
    let response = request.send().await.expect("an answer");
    let told = response.headers()["traceparent"].to_str().expect("text").to_owned();
    assert!(response.headers().contains_key("x-request-id"));
    let answer: serde_json::Value = response.json().await.expect("JSON");
    (answer["id"].as_str().expect("an id").to_owned(), told)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_post_to_the_incident() {
    let (collector, endpoint) = Collector::start().await;
    let listener = tokio::net::TcpListener::bind((HOST, 0)).await.expect("a port");
    let logs = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(async || BUILD_LOG)).await });
    let options = [
        ("KCIDB_LOG_ALLOW", HOST.to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()),
        // Nothing of a trace depends on what is logged.
        ("KCIDB_LOG", "info,events=warn".to_owned()),
    ];
    let system = System::start_configured(&["gateway", "ingester", "status", "logspec"], &options).await;
    let traces = ["0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"];
    let mut ids = Vec::new();
    for (trace, build) in traces.into_iter().zip(["lab:one", "lab:two"]) {
        let (id, told) = submit(&system, trace, document(build, &format!("{logs}/{build}"))).await;
        assert!(told.starts_with(&format!("00-{trace}-")) && told.ends_with("-01"), "{told}");
        system.until("the log is analysed", async || system.status(&id).await["logs"]["analyzed"] == 1).await;
        ids.push((id, told));
    }

    let deadline = Instant::now() + Duration::from_secs(30);
    while printed(&collector.of_trace(traces[0])) != documented() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let logged = ["gateway", "ingester", "logspec"].map(|name| (name, system.log(name)));
    system.stop().await;
    println!("{}", printed(&collector.of_trace(traces[0])));
    assert_eq!(printed(&collector.of_trace(traces[0])), documented(), "docs/tracing.md has another tree");

    for (trace, (id, told)) in traces.into_iter().zip(&ids) {
        check(&collector, trace, id, told);
        for (name, log) in &logged {
            let field = format!("\"trace_id\":\"{trace}\"");
            assert!(log.contains(&field), "{name}: no line with {field}\n{log}");
        }
    }
    let names: BTreeSet<String> = collector.spans().into_iter().map(|span| span.name).collect();
    let ours = ["POST /submit", "load batch", "commit findings", "send kcidb.events", "process "];
    assert!(names.iter().all(|name| ours.iter().any(|ours| name.starts_with(ours))), "{names:?}");
}

/// The links from span to span, and what they say.
fn check(collector: &Collector, trace: &str, id: &str, told: &str) {
    let spans = collector.of_trace(trace);
    let received = "submission.received.lab";
    let chain = [
        ("POST /submit".to_owned(), 2),
        (format!("send kcidb.events {received}"), 4),
        (format!("process ingester.submissions {received}"), 5),
        ("send kcidb.events build.failed.lab".to_owned(), 4),
        ("process logspec.failures build.failed.lab".to_owned(), 5),
        ("commit findings".to_owned(), 1),
    ];
    let mut parent = CLIENT_SPAN.to_owned();
    for (what, kind) in &chain {
        let span = the(&spans, what);
        assert_eq!((hex(&span.parent_span_id), span.kind), (parent, *kind), "{what}");
        assert_eq!(span.trace_state, CLIENT_STATE, "{what}");
        parent = hex(&span.span_id);
        if *what != "commit findings" {
            assert_eq!(attribute(span, "submission.id").as_deref(), Some(id), "{what}");
            assert_eq!(attribute(span, "origin").as_deref(), Some("lab"), "{what}");
        }
        if *kind == 5 {
            assert_eq!(attribute(span, "kcidb.attempt").as_deref(), Some("1"), "{what}");
            assert!(attribute(span, "kcidb.queue_wait_ms").is_some(), "{what}");
        }
    }
    assert_eq!(told.split('-').nth(2), Some(hex(&the(&spans, "POST /submit").span_id).as_str()));
    assert_eq!(attribute(the(&spans, "commit findings"), "kcidb.new_incidents").as_deref(), Some("1"));
    let processed = &the(&spans, &chain[2].0).span_id;
    let all = collector.spans();
    let batch = all.iter().find(|span| span.links.iter().any(|link| link.span_id == *processed));
    let batch = batch.expect("a batch with a link to the submission");
    assert!(batch.name == "load batch" && hex(&batch.trace_id) != trace, "{batch:?}");
}
