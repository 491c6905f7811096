//! Real submissions over HTTP end in exactly the rows that the existing system makes of them.

use std::{collections::BTreeSet, path::Path};

use futures::{StreamExt as _, stream};
use integration_tests::{
    System, TABLES, conformance, corpus, rows, rows_without_timestamps, unpack_json_lines, without_order_dependent,
};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_corpus_ends_in_the_expected_rows_and_repeating_it_changes_nothing() {
    let Some(conformance) = conformance() else { return };
    let documents = corpus(&conformance);
    let system = System::start().await;

    submit_all(&system, &documents).await;
    assert_eq!(system.waiting_files(), Vec::<String>::new(), "the spool's top folder is empty");
    assert_eq!(system.dead_letters().await, 0);
    compare(&system, &conformance).await;

    let before = rows_without_timestamps(&system.database().await).await;
    submit_all(&system, &documents).await;
    let after = rows_without_timestamps(&system.database().await).await;
    assert!(before == after, "a second run changes nothing but _timestamp");
    system.stop().await;
}

/// Submits with 8 in parallel and waits until every one is processed.
async fn submit_all(system: &System, documents: &[(String, Vec<u8>)]) {
    let ids: Vec<String> = stream::iter(documents)
        .map(|(_, document)| system.submit(document.clone()))
        .buffer_unordered(8)
        .collect()
        .await;
    for id in &ids {
        let status = system.wait(id).await;
        assert_eq!(status["status"], "processed", "{status}");
    }
}

async fn compare(system: &System, conformance: &Path) {
    let database = system.database().await;
    let mut failures = Vec::new();
    for (table, without) in TABLES {
        let key = |row: &Value| without_order_dependent(row).to_string();
        let expected: BTreeSet<String> =
            unpack_json_lines(&conformance.join(format!("db/{table}.jsonl.gz"))).iter().map(key).collect();
        let actual: BTreeSet<String> = rows(&database, table, without).await.iter().map(key).collect();
        let (missing, extra) = (expected.difference(&actual).next(), actual.difference(&expected).next());
        if missing.is_some() || extra.is_some() {
            failures.push(format!("{table}: first missing {missing:?}\n first extra {extra:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
