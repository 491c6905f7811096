//! What an operator does by hand, with the tool, on the running system.

use integration_tests::{System, document};

/// Runs the tool; what it prints must say so.
fn expect(system: &System, arguments: &[&str], succeeds: bool, says: &str) {
    let (success, text) = system.try_kcidb(arguments);
    assert_eq!(success, succeeds, "{arguments:?}: {text}");
    assert!(text.contains(says), "{arguments:?} should say {says:?}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_sent_back_and_dropped() {
    let system = System::start().await;
    expect(&system, &["queue", "setup"], true, "the policies of kcidb are as they should be");
    expect(&system, &["queue", "check"], true, "all is well");

    system.send_to_queue("ingester.submissions", "this is no event").await;
    system.wait_for_dead_letters(1).await;
    expect(&system, &["queue", "list"], true, "ingester.submissions.dead");
    expect(&system, &["queue", "peek", "ingester.submissions"], true, "by-hand    malformed_event after 1 tries");
    expect(&system, &["queue", "peek", "ingester.submissions", "--json"], true, "this is no event");
    expect(&system, &["queue", "peek", "ingester.submissions", "--reason", "delivery_limit"], true, "0 dead letters");
    assert_eq!(system.dead_letters().await, 1, "looking changes nothing");

    // It comes back: it is no event now either. The id is kept.
    expect(&system, &["queue", "redrive", "ingester.submissions", "--dry-run"], true, "1 dead letters would go back");
    expect(&system, &["queue", "redrive", "ingester.submissions"], true, "1 dead letters went back");
    system.wait_for_dead_letters(1).await;
    expect(&system, &["queue", "peek", "ingester.submissions", "--id", "by-hand"], true, "1 dead letters");

    expect(&system, &["queue", "drop", "ingester.submissions"], false, "--yes");
    assert_eq!(system.dead_letters().await, 1, "without a yes nothing is dropped");
    expect(&system, &["queue", "drop", "ingester.submissions", "--yes"], true, "1 dead letters removed");
    system.wait_for_dead_letters(0).await;
    expect(&system, &["queue", "peek", "no.such.queue"], false, "the queues are ingester.submissions");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_somebody_changed_is_noticed_and_mended() {
    let system = System::start_with(&["gateway"]).await;
    system.delete_policy("kcidb-work-ingester").await;
    expect(&system, &["queue", "check"], false, "the policy kcidb-work-ingester is missing");
    expect(&system, &["queue", "setup"], true, "set the policy kcidb-work-ingester");
    expect(&system, &["queue", "check"], true, "all is well");
    system.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_listed_put_back_and_replayed() {
    let system = System::start().await;
    let bad = system.submit(br#"{"version":{"major":5,"minor":3},"tests":[{}]}"#.to_vec()).await;
    let good = system.submit(document("replayed", 2)).await;
    assert_eq!(system.wait(&bad).await["status"], "failed");
    assert_eq!(system.wait(&good).await["status"], "processed");
    expect(&system, &["spool", "list", "--place", "failed"], true, "schema_invalid: ");
    expect(&system, &["spool", "requeue", &bad, "--dry-run"], true, &format!("would put back submission-{bad}.json"));
    expect(&system, &["spool", "requeue", &bad], true, "1 of 1 files put back");
    assert_eq!(system.wait(&bad).await["status"], "failed", "it is as wrong as before");
    expect(&system, &["spool", "requeue", "unknown"], false, "is not in the spool");

    system.database().await.batch_execute("TRUNCATE tests").await.expect("emptied");
    expect(&system, &["spool", "replay", "--since", "2020-01-01"], true, "1 of 1 files put back");
    assert_eq!(system.wait(&good).await["status"], "processed");
    assert_eq!(system.count("tests").await, 2, "the archive rebuilds the database");

    expect(&system, &["spool", "prune", "--archive", "1h", "--failed", "0s", "--dry-run"], true, "failed: 1 files");
    expect(&system, &["spool", "prune", "--archive", "1h", "--failed", "0s"], true, "archive: 0 files");
    assert_eq!(system.failed_files(), Vec::<String>::new());
    system.stop().await;
}
