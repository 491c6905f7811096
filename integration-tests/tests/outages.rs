//! What breaks is waited out: nothing is lost, nothing fails, and no operator does anything (design.md, invariants 2, 3, 5).

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt as _, stream};
use integration_tests::{System, conformance, corpus, document, rows_without_timestamps, without_order_dependent};
use serde_json::Value;

const COUNT: usize = 100;

/// Submits so many small documents, all at once; their ids.
async fn submit_many(system: &System, prefix: &str, count: usize) -> Vec<String> {
    stream::iter(0..count)
        .map(|number| system.submit(document(&format!("{prefix}{number}"), 3)))
        .buffer_unordered(16)
        .collect()
        .await
}

async fn assert_all_processed(system: &System, ids: &[String]) {
    for id in ids {
        let status = system.wait(id).await;
        assert_eq!(status["status"], "processed", "{status}");
    }
    assert_eq!(system.waiting_files(), Vec::<String>::new());
    assert_eq!(system.failed_files(), Vec::<String>::new());
    assert_eq!(system.dead_letters().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_during_an_outage_of_the_broker_are_processed_after_it() {
    let system = System::start().await;
    let mut ids = submit_many(&system, "before", 5).await;
    system.settle_queues().await;
    system.stop_rabbitmq().await;
    ids.extend(submit_many(&system, "during", COUNT).await);
    system.start_rabbitmq().await;
    assert_all_processed(&system, &ids).await;
    assert_eq!(usize::try_from(system.count("tests").await), Ok((COUNT + 5) * 3));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_during_loading_loses_nothing() {
    let system = System::start().await;
    let ids = submit_many(&system, "a", COUNT).await;
    system.kill_postgres().await;
    // Long enough for several tries, and for submissions that arrive meanwhile.
    let mut ids = [ids, submit_many(&system, "b", COUNT).await].concat();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let readiness = system.ready("ingester").await;
    assert!(readiness.contains("database: "), "{readiness}");
    assert!(!readiness.contains("database: ok"), "readiness goes red: {readiness}");
    system.start_postgres().await;
    ids.extend(submit_many(&system, "c", 5).await);
    assert_all_processed(&system, &ids).await;
    assert_eq!(usize::try_from(system.count("tests").await), Ok((2 * COUNT + 5) * 3));
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_tables_end_the_same() {
    let Some(conformance) = conformance() else { return };
    let documents = corpus(&conformance);
    let expected = {
        let system = System::start().await;
        for (_, document) in &documents {
            system.drop_into_spool(document);
        }
        system.wait_until_empty().await;
        let tables = rows_without_timestamps(&system.database().await).await;
        system.stop().await;
        tables
    };
    let mut system = System::start().await;
    for (_, document) in &documents {
        system.drop_into_spool(document);
    }
    for round in 0..4u64 {
        tokio::time::sleep(Duration::from_millis(700 + 400 * round)).await;
        system.kill_services();
        system.start_services().await;
    }
    system.wait_until_empty().await;
    assert_eq!(system.failed_files(), Vec::<String>::new());
    let tables = rows_without_timestamps(&system.database().await).await;
    for ((table, expected), (_, actual)) in expected.iter().zip(&tables) {
        let keys =
            |rows: &[Value]| rows.iter().map(|row| without_order_dependent(row).to_string()).collect::<BTreeSet<_>>();
        let (expected, actual) = (keys(expected), keys(actual));
        let (missing, extra) = (expected.difference(&actual).next(), actual.difference(&expected).next());
        assert!(missing.is_none() && extra.is_none(), "{table}: first missing {missing:?}\n first extra {extra:?}");
    }
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_document_never_harms_another_and_its_reason_is_told() {
    let system = System::start().await;
    let bad = br#"{"version":{"major":5,"minor":3},"tests":[{"id":"lab:bad","origin":"lab","build_id":"lab:b","status":"pass"}]}"#;
    let (good, bad) = tokio::join!(submit_many(&system, "good", 20), system.submit(bad.to_vec()));
    for id in &good {
        assert_eq!(system.wait(id).await["status"], "processed");
    }
    let status = system.wait(&bad).await;
    assert_eq!(status["status"], "failed", "{status}");
    assert_eq!(status["code"], "schema_invalid", "{status}");
    assert_eq!(status["errors"][0]["path"], "/tests/0/status", "{status}");
    assert_eq!(system.failed_files(), vec![format!("submission-{bad}.json"), format!("submission-{bad}.reason")]);
    assert_eq!(system.count("tests").await, 60);
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_events_can_be_read_in_the_queue() {
    let mut system = System::start_with(&["gateway", "status"]).await;
    let id = system.submit(document("readable", 1)).await;
    let message = system.peek("ingester.submissions").await;
    let event: serde_json::Value = serde_json::from_str(&message).expect("the body is JSON");
    assert_eq!(event["type"], "org.kernelci.kcidb.submission.received.v1", "{message}");
    assert_eq!(event["data"]["submission_id"], id.as_str(), "{message}");
    system.add_service("ingester");
    assert_eq!(system.wait(&id).await["status"], "processed");
    system.stop().await;
}
