//! The gateway as its clients see it: bounded memory, honest answers, and the conformance suite against the real system.

use std::{process::Command, time::Duration};

use bytes::Bytes;
use futures::stream;
use integration_tests::{System, conformance};
use tokio::io::AsyncWriteExt as _;

/// A valid document of about so many bytes, made piece by piece.
fn large_document(bytes: usize) -> impl stream::Stream<Item = Result<Bytes, std::io::Error>> {
    let test = format!(r#"{{"id":"lab:t","origin":"lab","build_id":"lab:b","comment":"{}"}}"#, "x".repeat(60_000));
    let piece = Bytes::from(format!("{test},"));
    let pieces = bytes / piece.len();
    let head = Bytes::from_static(br#"{"version":{"major":5,"minor":3},"tests":["#);
    let tail = Bytes::from(format!("{test}]}}"));
    let parts = std::iter::once(head).chain(std::iter::repeat_n(piece, pieces)).chain(std::iter::once(tail));
    stream::iter(parts.map(Ok))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_accepted_in_little_memory() {
    let system = System::start_with(&["gateway"]).await;
    let response = system.post(reqwest::Body::wrap_stream(large_document(400 << 20))).await;
    assert_eq!(response["status"], "ok", "{response}");
    let peak = system.peak_rss("gateway");
    println!("peak RSS of the gateway after a body of 400 MB: {} MiB", peak >> 20);
    assert!(peak < 64 << 20, "{} MiB", peak >> 20);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_leaves_nothing_to_load() {
    let system = System::start_with(&["gateway"]).await;
    let mut connection = tokio::net::TcpStream::connect(system.gateway_address()).await.expect("a connection");
    let head = format!(
        "POST /submit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 5000000\r\n\r\n",
        system.token()
    );
    connection.write_all(head.as_bytes()).await.expect("sent");
    connection.write_all(&vec![b' '; 1_000_000]).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(connection);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(system.waiting_files(), Vec::<String>::new());
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_passes_against_the_real_system() {
    let Some(conformance) = conformance() else { return };
    let system = System::start_with(&["gateway", "status"]).await;
    let base = format!("http://{}", system.gateway_address());
    let output = Command::new("python3")
        .arg(conformance.join("rest/run.py"))
        .args(["--base-url", &base, "--secret", system.secret(), "--clean", "--spool"])
        .arg(system.spool())
        .output()
        .expect("python3");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{}", text.lines().last().unwrap_or_default());
    assert!(output.status.success(), "{text}");
    system.stop().await;
}
