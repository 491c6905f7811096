//! What goes wrong is told by what to do about it, and the pool mends itself.

use std::time::Duration;

use crate::server::{connect, migrated};
use db::{Error, Options, Pool};
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use schema::{Document, Objects};

const BUILDS: &str =
    r#"{"version":{"major":5,"minor":3},"builds":[{"id":"lab:b","checkout_id":"lab:c","origin":"lab"}]}"#;

fn objects() -> Objects<'static> {
    Document::open(BUILDS.as_bytes()).unwrap().objects(&schema::Options::default()).unwrap()
}

async fn load(pool: &Pool) -> Result<(), Error> {
    let mut connection = pool.get().await?;
    connection.transaction(async |connection| db::load(connection, &[objects()]).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_an_outage() {
    let mut options = Options::of("postgresql://kcidb:hidden@127.0.0.1:1/kcidb");
    options.database_connect_timeout = Duration::from_secs(1);
    let error = load(&Pool::new(&options).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Outage { .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1") && !format!("{error:?}").contains("hidden"), "{error:?}");
    let migration = db::migrate(&options).await.unwrap_err();
    assert!(matches!(migration, Error::Outage { .. }), "{migration:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_an_outage_and_is_replaced() {
    let database = migrated().await;
    let mut options = database.options.clone();
    options.database_connections = 1;
    let pool = Pool::new(&options).unwrap();
    load(&pool).await.unwrap();
    let mut connection = pool.get().await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let client = &database.client;
    let result: Result<(), Error> = connection
        .transaction(async |connection| {
            client.batch_execute(others).await.unwrap();
            db::load(connection, &[objects()]).await
        })
        .await;
    assert!(matches!(result, Err(Error::Outage { .. })), "{result:?}");
    drop(connection);
    load(&pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_closes_while_connections_are_idle() {
    let database = migrated().await;
    let pool = Pool::new(&database.options).unwrap();
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    drop(held);
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.client.batch_execute(others).await.unwrap();
    // The news comes with the first uses, and on a busy machine late; after that the pool has fresh connections.
    for _ in 0..50 {
        if load(&pool).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the pool keeps giving dead connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_too_long_for_a_lock_is_a_conflict() {
    let database = migrated().await;
    let mut options = database.options.clone();
    options.database_lock_timeout = Duration::from_millis(100);
    let pool = Pool::new(&options).unwrap();
    load(&pool).await.unwrap();
    database.client.batch_execute("BEGIN; SELECT FROM builds FOR UPDATE").await.unwrap();
    let error = load(&pool).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    database.client.batch_execute("ROLLBACK").await.unwrap();
    load(&pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_a_conflict() {
    let database = migrated().await;
    let pool = Pool::new(&database.options).unwrap();
    load(&pool).await.unwrap();
    let other = connect(database.url()).await;
    // The other takes tables in the wrong order and waits longer before it looks for deadlocks: ours is the one that fails.
    other.batch_execute("SET deadlock_timeout = '1min'; BEGIN; SELECT FROM builds FOR UPDATE").await.unwrap();
    let mut connection = pool.get().await.unwrap();
    let waiting = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.batch_execute("SELECT pg_advisory_xact_lock(5)").await
    };
    let ours = connection.transaction::<(), Error, _>(async |connection| {
        connection.batch_execute("SELECT pg_advisory_xact_lock(5)").await?;
        db::load(connection, &[objects()]).await
    });
    let (ours, theirs) = tokio::join!(ours, waiting);
    assert!(ours.as_ref().is_err_and(Error::is_conflict), "{ours:?}");
    theirs.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_or_right_is_not_the_documents_fault() {
    let database = migrated().await;
    let pool = Pool::new(&database.options).unwrap();
    database.client.batch_execute("ALTER TABLE builds RENAME TO elsewhere").await.unwrap();
    let error = load(&pool).await.unwrap_err();
    assert!(matches!(error, Error::Setup { .. }), "{error:?}");
    assert!(error.to_string().contains("builds"), "{error}");
    database
        .client
        .batch_execute("ALTER TABLE elsewhere RENAME TO builds; ALTER TABLE issues DROP CONSTRAINT issues_pkey")
        .await
        .unwrap();
    load(&pool).await.unwrap();
}

/// Its own server, because it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_is_waited_out() {
    let folder = tempfile::tempdir().unwrap();
    let servers =
        stack::Stack::start(stack::Options { rabbitmq: false, ..stack::Options::at(folder.path()) }).await.unwrap();
    let options = Options::of(&servers.database_url());
    db::migrate(&options).await.unwrap();
    let pool = Pool::new(&options).unwrap();
    load(&pool).await.unwrap();
    for killed in [false, true] {
        if killed {
            servers.kill_postgres().await;
        } else {
            servers.stop_postgres().await;
        }
        for _ in 0..3 {
            let error = load(&pool).await.unwrap_err();
            assert!(matches!(error, Error::Outage { .. }), "{error:?}");
        }
        servers.start_postgres().await.unwrap();
        // Whoever waits has it again, with no other action.
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        while let Err(error) = load(&pool).await {
            assert!(matches!(error, Error::Outage { .. }), "{error:?}");
            assert!(tokio::time::Instant::now() < patience, "{error:?}");
        }
        pool.check_ready().await.unwrap();
    }
    servers.stop().await;
}
