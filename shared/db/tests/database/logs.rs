//! Marks of nodes, known issues, and what is left to do.

use std::collections::BTreeSet;

use crate::server::{Database, migrated};
use chrono::{DateTime, TimeDelta, Utc};
use db::logs::{self, Kind, Mark, Node, Note, Outcome, Wanted};

fn node(kind: Kind, id: &str) -> Node {
    Node {
        kind,
        id: id.into(),
        origin: "lab".into(),
        status: Some("FAIL".into()),
        path: None,
        log_url: format!("http://logs/{id}"),
        changed_at: DateTime::UNIX_EPOCH,
    }
}

async fn connection(database: &Database) -> db::Connection {
    db::Pool::new(&database.options).unwrap().get().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_read_as_it_was_written_and_the_last_one_stays() {
    let database = migrated().await;
    let mut connection = connection(&database).await;
    let node = node(Kind::Build, "lab:b");
    assert_eq!(logs::get(&mut connection, Kind::Build, "lab:b").await.unwrap(), None);
    let mut mark = Mark::new(&node, Some("s1".into()), Outcome::Retrying);
    mark.reason = Some("timeout".into());
    mark.analyzed_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    logs::put(&mut connection, &mark).await.unwrap();
    assert_eq!(logs::get(&mut connection, Kind::Build, "lab:b").await.unwrap(), Some(mark.clone()));
    assert_eq!(logs::get(&mut connection, Kind::Test, "lab:b").await.unwrap(), None);
    // The sweep knows no submission; the one that told of the node stays.
    let mut last = Mark { submission_id: None, outcome: Outcome::Analyzed, reason: None, ..mark };
    last.announce = Some(serde_json::json!([{"type": "x"}]));
    logs::put(&mut connection, &last).await.unwrap();
    logs::skip(&mut connection, &[&node], None, "not_selected").await.unwrap();
    let stored = logs::get(&mut connection, Kind::Build, "lab:b").await.unwrap().unwrap();
    assert_eq!((stored.outcome, stored.submission_id.as_deref()), (Outcome::Analyzed, Some("s1")));

    let soon = Utc::now() + TimeDelta::minutes(1);
    assert_eq!(logs::unannounced(&mut connection, soon, 9).await.unwrap(), std::slice::from_ref(&stored));
    logs::announced(&mut connection, &stored).await.unwrap();
    assert_eq!(logs::unannounced(&mut connection, soon, 9).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_issue_of_a_place_is_known() {
    let database = migrated().await;
    let mut connection = connection(&database).await;
    let place = "a".repeat(40);
    let insert = format!(
        "INSERT INTO issues (id, version, origin, _timestamp, misc)
         SELECT id, 2, origin, now() - age::interval, jsonb_build_object('logspec', jsonb_build_object('error',
             jsonb_build_object('signature_loc', place)))
         FROM (VALUES ('lab:old', 'lab', '26 days', '{place}'), ('lab:b', 'lab', '2 days', '{place}'),
             ('lab:c', 'lab', '3 days', '{place}'), ('lab:a', 'lab', '2 days', '{place}'),
             ('other:d', 'other', '1 day', '{place}'), ('lab:e', 'lab', '1 day', 'short')) AS rows (id, origin, age, place)"
    );
    database.client.batch_execute(&insert).await.unwrap();
    let since = Utc::now() - TimeDelta::days(25);
    let mut known = async |origin: &str, places: &[&str]| {
        let known = logs::known_issues(&mut connection, origin, places, since).await.unwrap();
        known.into_iter().map(|known| (known.id, known.version)).collect::<Vec<_>>()
    };
    let other = "b".repeat(40);
    assert_eq!(known("lab", &[&other, &place]).await, [("lab:a".to_owned(), 2)]);
    assert_eq!(known("other", &[&place]).await, [("other:d".to_owned(), 2)]);
    assert_eq!(known("third", &[&place]).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_place_in_a_submission_is_too_long_for_the_index() {
    let database = migrated().await;
    let long = "0123456789abcdef".repeat(1000);
    let insert = "INSERT INTO issues (id, version, origin, misc)
                  VALUES ('lab:a', 1, 'lab', jsonb_build_object('logspec', jsonb_build_object('error', jsonb_build_object('signature_loc', $1::text || md5(random()::text)))))";
    database.client.execute(insert, &[&long]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_of_a_submission_are_counted() {
    let database = migrated().await;
    let mut connection = connection(&database).await;
    let note = |submission: &str, id: &str| Note { submission_id: submission.into(), kind: "test", id: id.into() };
    // The same node twice, and in two submissions.
    let notes =
        [note("s1", "lab:1"), note("s1", "lab:1"), note("s1", "lab:2"), note("s2", "lab:1"), note("s1", "lab:3")];
    logs::note(&mut connection, &notes).await.unwrap();
    logs::note(&mut connection, &notes).await.unwrap();
    logs::note(&mut connection, &[]).await.unwrap();
    logs::put(&mut connection, &Mark::new(&node(Kind::Test, "lab:1"), None, Outcome::Analyzed)).await.unwrap();
    let failed = Mark::new(&node(Kind::Test, "lab:2"), None, Outcome::Failed);
    logs::put(&mut connection, &Mark { reason: Some("gone".into()), ..failed }).await.unwrap();
    let mut of = async |id| {
        let counts = logs::of_submission(&mut connection, id).await.unwrap();
        counts.into_iter().map(|count| (count.outcome, count.reason, count.count)).collect::<Vec<_>>()
    };
    let gone = (Some(Outcome::Failed), Some("gone".to_owned()), 1);
    assert_eq!(of("s1").await, [(Some(Outcome::Analyzed), None, 1), gone, (None, None, 1)]);
    assert_eq!(of("s2").await, [(Some(Outcome::Analyzed), None, 1)]);
    assert_eq!(of("s3").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_page_by_page_without_those_that_have_a_mark() {
    let database = migrated().await;
    let mut connection = connection(&database).await;
    // Many of one time: pages must not lose any of them.
    let insert = "
        INSERT INTO tests (id, build_id, origin, status, path, log_url, _timestamp)
        SELECT 'lab:' || n, 'lab:b', CASE n % 10 WHEN 0 THEN 'other' ELSE 'lab' END,
            CASE n % 7 WHEN 0 THEN 'PASS' ELSE 'FAIL' END, 'boot', CASE n % 11 WHEN 0 THEN NULL ELSE 'http://logs/' || n END,
            now() - (n / 30) * interval '1 minute'
        FROM generate_series(1, 300) n";
    database.client.batch_execute(insert).await.unwrap();
    let wanted_ids: BTreeSet<String> =
        (1..=300).filter(|n| n % 10 != 0 && n % 7 != 0 && n % 11 != 0).map(|n| format!("lab:{n}")).collect();
    let (origins, statuses) = (["lab".to_owned()], ["FAIL".to_owned()]);
    let wanted = Wanted {
        kind: Kind::Test,
        since: Utc::now() - TimeDelta::hours(1),
        until: Utc::now(),
        origins: Some(&origins),
        statuses: &statuses,
        marked: false,
    };
    let mut found: Vec<Node> = Vec::new();
    loop {
        let page = logs::nodes(&mut connection, &wanted, found.last(), 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    let ids: BTreeSet<String> = found.iter().map(|node| node.id.clone()).collect();
    assert_eq!((ids.len(), &ids), (found.len(), &wanted_ids));
    assert_eq!((found[0].status.as_deref(), found[0].path.as_deref()), (Some("FAIL"), Some("boot")));

    logs::skip(&mut connection, &found.iter().skip(1).collect::<Vec<_>>(), Some("s"), "not_selected").await.unwrap();
    assert_eq!(logs::nodes(&mut connection, &wanted, None, 9).await.unwrap().len(), 1);
    let all = Wanted { marked: true, origins: None, ..wanted };
    assert!(logs::nodes(&mut connection, &all, None, 900).await.unwrap().len() > ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_taken_once() {
    let database = migrated().await;
    let mut connection = connection(&database).await;
    let insert = "INSERT INTO builds (id, checkout_id, origin, status) VALUES ('lab:1', 'lab:c', 'lab', 'ERROR')";
    database.client.batch_execute(insert).await.unwrap();
    for (id, minutes) in [("lab:1", Some(-1)), ("lab:2", Some(5)), ("lab:3", None)] {
        let mut mark = Mark::new(&node(Kind::Build, id), None, Outcome::Failed);
        mark.next_try_at = minutes.map(|minutes| Utc::now() + TimeDelta::minutes(minutes));
        logs::put(&mut connection, &mark).await.unwrap();
    }
    let due = logs::take_due(&mut connection, 9).await.unwrap();
    let told: Vec<_> =
        due.iter().map(|node| (node.id.as_str(), node.status.as_deref(), node.log_url.as_str())).collect();
    assert_eq!(told, [("lab:1", Some("ERROR"), "http://logs/lab:1")]);
    assert_eq!(logs::take_due(&mut connection, 9).await.unwrap(), []);
}
