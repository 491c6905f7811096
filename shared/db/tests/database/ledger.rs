//! The ledger's rows do not depend on the order in which entries arrive.

use crate::server::migrated;
use chrono::{DateTime, TimeDelta, Utc};
use db::ledger::{self, Entry, MAX_ERRORS, State};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::json;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::seconds(second)
}

fn rejected(id: &str, second: i64, code: &str) -> Entry {
    Entry {
        code: Some(code.into()),
        reason: Some(format!("because of {code}")),
        errors: (0..25).map(|number| json!({"pointer": format!("/tests/{number}")})).collect(),
        error_count: 25,
        attempts: 1,
        ..Entry::new(id, State::Rejected, at(second))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submissions_life() {
    let database = migrated().await;
    let mut connection = db::Pool::new(&database.options).unwrap().get().await.unwrap();
    assert_eq!(ledger::get(&mut connection, "a").await.unwrap(), None);
    let received = Entry {
        name: Some("submission-a.json".into()),
        origin: Some("lab".into()),
        size_bytes: Some(5_000_000_000),
        sha256: Some("00ff".into()),
        received_at: Some(at(0)),
        ..Entry::new("a", State::Received, at(0))
    };
    ledger::record(&mut connection, &[rejected("a", 5, "schema_invalid")]).await.unwrap();
    ledger::record(&mut connection, &[received]).await.unwrap();
    let row = ledger::get(&mut connection, "a").await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.state_at, row.updated_at, row.received_at),
        (State::Rejected, at(5), at(5), Some(at(0)))
    );
    assert_eq!((row.name.as_deref(), row.size_bytes), (Some("submission-a.json"), Some(5_000_000_000)));
    assert_eq!(row.errors.unwrap().as_array().unwrap().len(), MAX_ERRORS);
    assert_eq!((row.error_count, row.code.as_deref()), (25, Some("schema_invalid")));

    // An operator mends the schema and takes it up again: success ends it, and clears the reason.
    let ingested = Entry {
        version: Some("5.3".into()),
        objects: [("tests".to_owned(), 3)].into(),
        attempts: 2,
        ..Entry::new("a", State::Ingested, at(9))
    };
    ledger::record(&mut connection, &[ingested, rejected("a", 20, "late")]).await.unwrap();
    let row = ledger::get(&mut connection, "a").await.unwrap().unwrap();
    assert_eq!((row.state, row.state_at, row.updated_at, row.attempts), (State::Ingested, at(9), at(20), 2));
    assert_eq!((row.code, row.reason, row.errors, row.error_count), (None, None, None, 0));
    assert_eq!((row.objects, row.version.as_deref()), (Some(json!({"tests": 3})), Some("5.3")));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_and_any_grouping_ends_the_same() {
    let database = migrated().await;
    let mut connection = db::Pool::new(&database.options).unwrap().get().await.unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let states = [State::Received, State::Retrying, State::Dead, State::Rejected, State::Ingested];
    for round in 0..20 {
        // Facts of a submission are the same whoever tells them; times differ.
        let entries: Vec<Entry> = (0..12)
            .map(|second| Entry {
                name: random.random_bool(0.5).then(|| "file".into()),
                received_at: random.random_bool(0.3).then(|| at(-1)),
                code: random.random_bool(0.5).then(|| format!("code{second}")),
                attempts: random.random_range(0..5),
                ..Entry::new(format!("r{round}"), states[random.random_range(0..5)], at(second))
            })
            .collect();
        let mut rows = Vec::new();
        for _ in 0..4 {
            let mut shuffled = entries.clone();
            shuffled.shuffle(&mut random);
            database.client.batch_execute("TRUNCATE kcidb_ng.submissions").await.unwrap();
            for group in shuffled.chunks(random.random_range(1..12)) {
                ledger::record(&mut connection, group).await.unwrap();
            }
            rows.push(ledger::get(&mut connection, &format!("r{round}")).await.unwrap().unwrap());
        }
        assert!(rows.iter().all(|row| *row == rows[0]), "{rows:#?}\n{entries:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() {
    let database = migrated().await;
    let mut connection = db::Pool::new(&database.options).unwrap().get().await.unwrap();
    let entries: Vec<Entry> =
        (0..2500).map(|number| Entry::new(format!("s{number}"), State::Received, at(number))).collect();
    ledger::record(&mut connection, &entries).await.unwrap();
    ledger::record(&mut connection, &[]).await.unwrap();
    let count: i64 = database.client.query_one("SELECT count(*) FROM kcidb_ng.submissions", &[]).await.unwrap().get(0);
    assert_eq!(count, 2500);
}
