//! Each service with a user of its own at the broker: everything works, and nothing else does.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::get};
use events::topology::{DEAD, EVENTS, EXCHANGES, QUEUES, Queue, RETRY};
use integration_tests::System;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{
        BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueBindOptions,
        QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
    },
    types::FieldTable,
};
use reqwest::Method;
use serde_json::{Value, json};

const SERVICES: [&str; 4] = ["gateway", "ingester", "logspec", "status"];
const BUILD_LOG: &str = "  CC a/b.o\na/b.c:1:2: error: expected ';'\nmake: *** [s:1: a/b.o] Error 1\n";
/// A loopback address that the log worker is allowed to ask.
const HOST: &str = "127.0.0.2";

/// Serves a log that is there from the second request on; its URL.
async fn flaky_log() -> String {
    let requests = Arc::new(AtomicUsize::new(0));
    let answer = async move || match requests.fetch_add(1, Ordering::Relaxed) {
        0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => BUILD_LOG.into_response(),
    };
    let listener = tokio::net::TcpListener::bind((HOST, 0)).await.expect("a port");
    let url = format!("http://{}/log", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/log", get(answer))).await });
    url
}

/// Asks the management API; its status.
async fn management(system: &System, user: Option<&str>, method: Method, path: &str, body: Value) -> u16 {
    let admin = system.rabbitmq_ui();
    let (name, password) = match user {
        Some(service) => (format!("kcidb-{service}"), format!("{service}-password")),
        None => (admin.user, admin.password),
    };
    let request = reqwest::Client::new().request(method, format!("{}api/{path}", admin.url));
    let response = request.basic_auth(name, Some(password)).json(&body).send().await.expect("an answer");
    response.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_goes_all_the_way_when_each_service_has_its_own_user() {
    let options = [("KCIDB_LOG_ALLOW", HOST.to_owned())];
    let system = System::start_with_own_users(&SERVICES, &options).await;
    let build =
        json!({"id": "lab:b", "origin": "lab", "checkout_id": "lab:c", "status": "FAIL", "log_url": flaky_log().await});
    let document = json!({"version": {"major": 5, "minor": 3}, "builds": [build]});
    let id = system.submit(document.to_string().into_bytes()).await;
    assert_eq!(system.wait(&id).await["status"], "processed");

    // The log server fails at first: the message goes through a waiting room of the log worker's queue.
    system.until("there is an incident", async || system.count("incidents").await == 1).await;
    system.until("the status knows", async || system.status(&id).await["logs"]["analyzed"] == 1).await;
    let metrics = system.metrics("logspec").await;
    let retried = r#"kcidb_messages_total{outcome="retry",queue="logspec.failures",reason="server_error"} 1"#;
    assert!(metrics.contains(retried), "{metrics}");
    let (database, query) =
        (system.database().await, "SELECT 1 FROM kcidb_ng.submissions WHERE id = $1 AND state = 'ingested'");
    let told = async || database.query_opt(query, &[&id]).await.expect("an answer").is_some();
    system.until("the ledger knows", told).await;

    system.send_to_queue("ingester.submissions", "this is no event").await;
    system.wait_for_dead_letters(1).await;
    let operator = system.amqp_url_of("operator");
    let queue = |command: &str, more: &[&str], url: &str| {
        system.try_kcidb(&[&["queue", command, "--amqp-url", url], more].concat())
    };
    let (success, text) = queue("list", &[], &operator);
    assert!(success && text.contains("ingester.submissions.dead"), "{text}");
    let (success, text) = queue("redrive", &["ingester.submissions"], &operator);
    assert!(success && text.contains("1 dead letters went back"), "{text}");
    system.wait_for_dead_letters(1).await;
    let (success, text) = queue("peek", &["ingester.submissions"], &system.amqp_url_of("gateway"));
    assert!(!success && text.contains("ACCESS_REFUSED"), "{text}");
    let (success, text) = queue("drop", &["ingester.submissions", "--yes"], &operator);
    assert!(success && text.contains("1 dead letters removed"), "{text}");
    system.stop().await;
}

struct User {
    service: &'static str,
    connection: Connection,
}

impl User {
    async fn log_in(system: &System, service: &'static str) -> Self {
        let url = system.amqp_url_of(service);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("it logs in");
        Self { service, connection }
    }

    /// A refusal closes the channel, so each thing has one of its own.
    async fn channel(&self) -> Channel {
        self.connection.create_channel().await.expect("a channel")
    }

    async fn publish(&self, exchange: &str, key: &str) -> lapin::Result<Confirmation> {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default();
        channel.basic_publish(exchange.into(), key.into(), options, b"x", properties).await?.await
    }

    async fn may_publish(&self, exchange: &str, key: &str) {
        let confirmation = self.publish(exchange, key).await;
        assert!(matches!(confirmation, Ok(Confirmation::Ack(None))), "{} to {key}: {confirmation:?}", self.service);
    }

    async fn may_not_publish(&self, exchange: &str, key: &str) {
        self.refused(&format!("publish {key} to {exchange}"), self.publish(exchange, key).await);
    }

    fn refused<T: std::fmt::Debug>(&self, what: &str, result: lapin::Result<T>) {
        let error = result.expect_err(&format!("{} may {what}", self.service)).to_string();
        assert!(error.contains("ACCESS_REFUSED"), "{}: {what}: {error}", self.service);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_has_more_rights_than_its_service_needs() {
    // Without consumers, what is published here stays where it is.
    let system = System::start_with_own_users(&["gateway"], &[]).await;
    let may = [
        ("gateway", EVENTS, "submission.received.lab"),
        ("ingester", EVENTS, "submission.ingested.lab"),
        ("ingester", EVENTS, "test.failed.lab"),
        ("ingester", RETRY, "ingester.submissions.retry.15m"),
        ("ingester", DEAD, "ingester.submissions"),
        ("logspec", EVENTS, "incident.opened.lab"),
        ("logspec", EVENTS, "log.requested.lab"),
        ("logspec", RETRY, "logspec.failures.retry.15m"),
        ("logspec", RETRY, "logspec.catchup.retry.15m"),
        ("logspec", DEAD, "logspec.catchup"),
        ("status", RETRY, "status.ledger.retry.15m"),
        ("status", DEAD, "status.ledger"),
        ("operator", "", "ingester.submissions"),
    ];
    let may_not = [
        ("gateway", EVENTS, "submission.ingested.lab"),
        ("gateway", RETRY, "ingester.submissions.retry.5s"),
        ("gateway", DEAD, "ingester.submissions"),
        ("ingester", EVENTS, "submission.received.lab"),
        ("ingester", RETRY, "logspec.failures.retry.5s"),
        ("logspec", EVENTS, "submission.received.lab"),
        ("logspec", EVENTS, "build.failed.lab"),
        ("logspec", RETRY, "ingester.submissions.retry.5s"),
        ("status", EVENTS, "submission.received.lab"),
        ("status", EVENTS, "log.analyzed.lab"),
        ("status", RETRY, "ingester.submissions.retry.5s"),
        ("operator", EVENTS, "submission.received.lab"),
        ("keda", EVENTS, "submission.received.lab"),
        ("keda", "", "ingester.submissions"),
    ];
    for service in ["gateway", "ingester", "logspec", "status", "operator", "keda"] {
        let user = User::log_in(&system, service).await;
        for (_, exchange, key) in may.into_iter().filter(|row| row.0 == service) {
            user.may_publish(exchange, key).await;
        }
        for (_, exchange, key) in may_not.into_iter().filter(|row| row.0 == service) {
            user.may_not_publish(exchange, key).await;
        }
        if SERVICES.contains(&service) {
            user.may_not_publish("", "ingester.submissions").await;
        }
        queues_of_others_are_closed(&user).await;
    }

    // KEDA sees how long queues are, and nothing else; services see nothing.
    let get = async |user, path| management(&system, Some(user), Method::GET, path, Value::Null).await;
    assert_eq!(get("keda", "queues/kcidb/ingester.submissions").await, 200);
    assert_eq!(get("keda", "users").await, 401);
    assert_eq!(get("gateway", "queues/kcidb/ingester.submissions").await, 401);

    // Rights that somebody changed are noticed and mended.
    system.kcidb(&["queue", "check"]);
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    let changed = management(&system, None, Method::PUT, "permissions/kcidb/kcidb-gateway", all).await;
    assert!((200..300).contains(&changed), "{changed}");
    let any = json!({"exchange": RETRY, "write": ".*", "read": ".*"});
    management(&system, None, Method::PUT, "topic-permissions/kcidb/kcidb-status", any).await;
    management(&system, None, Method::DELETE, "users/kcidb-keda", Value::Null).await;
    let (success, text) = system.try_kcidb(&["queue", "check"]);
    let faults = ["kcidb-gateway may write", "kcidb-status is not held to", "kcidb-keda is missing"];
    assert!(!success && faults.iter().all(|fault| text.contains(fault)), "{text}");
    system.kcidb(&["queue", "setup"]);
    system.kcidb(&["queue", "check"]);
    system.stop().await;
}

/// A user takes from its own queues alone, and makes, binds and deletes nothing at all.
async fn queues_of_others_are_closed(user: &User) {
    let own = |name: &str| match user.service {
        "operator" => name.ends_with("dead"),
        service => QUEUES.iter().any(|queue| queue.name == name && name.starts_with(service)),
    };
    for name in QUEUES.iter().flat_map(Queue::names) {
        let got = user.channel().await.basic_get(name.as_str().into(), BasicGetOptions::default()).await;
        if own(&name) {
            assert!(got.is_ok(), "{} reads {name}: {got:?}", user.service);
        } else {
            user.refused(&format!("read {name}"), got);
            let purged = user.channel().await.queue_purge(name.as_str().into(), QueuePurgeOptions::default()).await;
            user.refused(&format!("purge {name}"), purged);
        }
        let deleted = user.channel().await.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await;
        user.refused(&format!("delete {name}"), deleted);
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let bound =
            user.channel().await.queue_bind(name.as_str().into(), EVENTS.into(), "#".into(), options, none).await;
        user.refused(&format!("bind {name}"), bound);
    }
    for exchange in EXCHANGES {
        let deleted = user.channel().await.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await;
        user.refused(&format!("delete {exchange}"), deleted);
    }
    let (options, none) = (QueueDeclareOptions::durable(), FieldTable::default());
    user.refused("make a queue", user.channel().await.queue_declare("new".into(), options, none).await);
}
