//! What it costs to load submissions: the real gateway, broker, ingester and PostgreSQL.
//!
//! `cargo bench -p kcidb-integration-tests` prints it. The submissions of the conformance data are sent while no ingester
//! runs; then one starts and works through them. Without that data, submissions are made up.

use std::time::Instant;

use futures::{StreamExt as _, stream};
use integration_tests::{System, conformance, corpus, document};

const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let documents = documents();
    let bytes: usize = documents.iter().map(Vec::len).sum();
    println!(
        "loading of {} submissions, {:.1} MB, one ingester, PostgreSQL without fsync",
        documents.len(),
        mega(bytes)
    );
    println!(
        "{:>5} {:>8} {:>8} {:>7} {:>17} {:>18} {:>15}",
        "round", "seconds", "files/s", "MB/s", "ingester ms/file", "PostgreSQL ms/file", "ingester RSS MB"
    );
    for round in 1..=ROUNDS {
        measure(round, &documents, bytes).await;
    }
}

async fn measure(round: usize, documents: &[Vec<u8>], bytes: usize) {
    let mut system = System::start_with(&["gateway"]).await;
    stream::iter(documents)
        .for_each_concurrent(8, |document| async {
            system.submit(document.clone()).await;
        })
        .await;
    let (server, started) = (system.postgres_cpu().await, Instant::now());
    system.add_service("ingester");
    system.wait_until_empty().await;
    let (seconds, server) = (started.elapsed().as_secs_f64(), system.postgres_cpu().await - server);
    assert_eq!(system.failed_files(), Vec::<String>::new());
    let files = f64::from(u32::try_from(documents.len()).expect("a small number"));
    println!(
        "{round:>5} {seconds:>8.2} {:>8.0} {:>7.1} {:>17.2} {:>18.2} {:>15.0}",
        files / seconds,
        mega(bytes) / seconds,
        system.cpu("ingester") * 1e3 / files,
        server * 1e3 / files,
        mega(usize::try_from(system.peak_rss("ingester")).expect("it fits in memory")),
    );
    system.stop().await;
}

fn documents() -> Vec<Vec<u8>> {
    match conformance() {
        Some(folder) => corpus(&folder).into_iter().map(|(_, document)| document).collect(),
        None => (0..300).map(|number| document(&format!("made{number}"), 500)).collect(),
    }
}

fn mega(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes / 1000).expect("less than 4 TB")) / 1e3
}
