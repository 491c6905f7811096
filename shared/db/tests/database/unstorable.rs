//! Each value that is said to be unstorable is refused by the server, and its neighbour, just inside, is stored.

use crate::server::migrated;
use db::Connection;
use diesel_async::AsyncConnection as _;
use schema::{Document, Options};
use serde_json::{Value, json};

fn document(list: &str, object: &str) -> String {
    format!(r#"{{"version":{{"major":5,"minor":3}},"{list}":[{object}]}}"#)
}

/// A test with further members, given as JSON text.
fn test(members: &str) -> String {
    document("tests", &format!(r#"{{"id":"lab:t","build_id":"lab:b","origin":"lab",{members}}}"#))
}

fn checkout(members: &str) -> String {
    document("checkouts", &format!(r#"{{"id":"lab:c","origin":"lab",{members}}}"#))
}

/// Loads whatever is said about it.
async fn force(connection: &mut Connection, text: &str) -> Result<(), db::Error> {
    let objects = Document::open(text.as_bytes()).unwrap().objects(&Options::default()).unwrap();
    connection.transaction(async |connection| db::load(connection, &[objects]).await).await
}

fn faults(text: &str) -> Vec<(String, &'static str)> {
    let objects = Document::open(text.as_bytes()).unwrap().objects(&Options::default()).unwrap();
    db::unstorable(&objects).into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_refuses_what_is_unstorable() {
    let long = "x".repeat(101);
    let cases = [
        (test(r#""misc":{"a":["x","\u0000"]}"#), "/tests/0/misc/a/1", "nul"),
        (test(r#""misc":{"runtime":"r","a\u0000":1}"#), "/tests/0/misc/a\\u0000", "nul"),
        (test(r#""misc":{"a":1e-16384}"#), "/tests/0/misc", "number_too_large"),
        (
            test(&format!(r#""environment":{{"misc":{{"platform":"{long}"}}}}"#)),
            "/tests/0/environment/misc/platform",
            "too_long",
        ),
        (test(r#""start_time":"2024-01-01T00:00:00+16:00""#), "/tests/0/start_time", "time_out_of_range"),
        (checkout(r#""start_time":"2024-01-01T00:00:00-23:59""#), "/checkouts/0/start_time", "time_out_of_range"),
        (
            document(
                "checkouts",
                &json!({"id": format!("{long}:c"), "origin": long, "start_time": "2024-01-01T00:00:00Z"}).to_string(),
            ),
            "/checkouts/0/origin",
            "too_long",
        ),
        (
            document("builds", &json!({"id": format!("{long}:b"), "origin": long, "checkout_id": "lab:c"}).to_string()),
            "/builds/0/origin",
            "too_long",
        ),
        (
            document("issues", r#"{"id":"lab:i","origin":"lab","version":2147483648}"#),
            "/issues/0/version",
            "number_too_large",
        ),
        (
            document("incidents", r#"{"id":"lab:n","origin":"lab","issue_id":"lab:i","issue_version":1e300}"#),
            "/incidents/0/issue_version",
            "number_too_large",
        ),
    ];
    let database = migrated().await;
    let mut connection = db::Pool::new(&database.options).unwrap().get().await.unwrap();
    for (text, pointer, code) in cases {
        assert_eq!(faults(&text), [(pointer.to_owned(), code)], "{text}");
        let error = force(&mut connection, &text).await.unwrap_err();
        assert!(error.is_data(), "{text}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_inside_is_stored() {
    let most = "é".repeat(100);
    let cases = [
        test(r#""misc":{"a":"\\u0000 \ud83d\ude00","n":1e308,"m":1e-16383}"#),
        test(&format!(r#""environment":{{"misc":{{"platform":"{most}"}}}}"#)),
        test(r#""start_time":"9999-12-31T23:59:59.9999999-15:59""#),
        test(r#""start_time":"0001-01-01T00:00:00+15:59""#),
        test(r#""duration":1e308,"number":{"value":-1e-400}"#),
        document(
            "checkouts",
            &json!({"id": "lab:c", "origin": "x".repeat(100), "start_time": "2024-01-01T00:00:00Z"}).to_string(),
        ),
        document(
            "issues",
            &json!({"id": "lab:i", "origin": "x".repeat(101), "version": 2_147_483_647_i64}).to_string(),
        ),
    ];
    let database = migrated().await;
    let mut connection = db::Pool::new(&database.options).unwrap().get().await.unwrap();
    for text in cases {
        assert_eq!(faults(&text), [], "{text}");
        force(&mut connection, &text).await.unwrap();
    }
}

/// Our reading of times is the server's.
#[tokio::test(flavor = "multi_thread")]
async fn times_are_what_the_server_reads() {
    let database = migrated().await;
    let mut connection = db::Pool::new(&database.options).unwrap().get().await.unwrap();
    let times = [
        "2024-02-29T23:59:59.9999995+05:30",
        "1999-12-31t00:00:00.1234565z",
        "0001-01-01T00:00:00+15:59",
        "9999-12-31T23:59:59.999999-15:59",
        "1900-03-01T12:00:00.000000499999999Z",
        "2000-02-29T12:00:00.5000005-00:00",
        "1582-10-10T10:10:10.1Z",
    ];
    for (place, time) in times.iter().enumerate() {
        let object = json!({"id": format!("lab:{place}"), "build_id": "lab:b", "origin": "lab", "start_time": time});
        force(&mut connection, &document("tests", &object.to_string())).await.unwrap();
        let query =
            format!("SELECT start_time = $1::text::timestamptz, start_time::text FROM tests WHERE id = 'lab:{place}'");
        let row = database.client.query_one(&query, &[time]).await.unwrap();
        assert!(row.get::<_, bool>(0), "{time} is {}", row.get::<_, String>(1));
    }
}

/// An index entry is limited after compression, which nobody can foretell: the server says it, and it is the document.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_too_long_for_an_index_is_the_documents_fault() {
    let database = migrated().await;
    let mut connection = db::Pool::new(&database.options).unwrap().get().await.unwrap();
    let mut state = 1_u64;
    let noise: String = (0..6000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
        })
        .collect();
    let object = json!({"id": "lab:b", "origin": "lab", "checkout_id": "lab:c", "compiler": noise});
    let error = force(&mut connection, &document("builds", &object.to_string())).await.unwrap_err();
    assert!(error.is_data() && error.to_string().contains("builds_compiler"), "{error:?}");
    let rows = database.client.query("SELECT FROM builds", &[]).await.unwrap();
    assert!(rows.is_empty());
    // What compresses well is stored.
    let object = json!({"id": "lab:b", "origin": "lab", "checkout_id": "lab:c", "compiler": "x".repeat(6000)});
    force(&mut connection, &document("builds", &object.to_string())).await.unwrap();
}

#[test]
fn every_fault_of_a_document_is_found() {
    let text = json!({
        "version": {"major": 5, "minor": 3},
        "tests": [
            {"id": "lab:1", "build_id": "lab:b", "origin": "lab", "start_time": "2024-01-01T00:00:00+20:00", "misc": {"a": "\0"}},
            {"id": "lab:2", "build_id": "lab:b", "origin": "lab"},
            {"id": "lab:3", "build_id": "lab:b", "origin": "lab", "misc": {"~/": {"b": ["\0"]}}},
        ]
    });
    let Value::Object(_) = &text else { unreachable!("an object") };
    let text = text.to_string();
    assert_eq!(
        faults(&text),
        [
            ("/tests/0/start_time".to_owned(), "time_out_of_range"),
            ("/tests/0/misc/a".to_owned(), "nul"),
            ("/tests/2/misc/~0~1/b/0".to_owned(), "nul")
        ]
    );
    let objects = Document::open(text.as_bytes()).unwrap().objects(&Options::default()).unwrap();
    let fault = &db::unstorable(&objects)[0];
    assert_eq!(fault.id.as_deref(), Some("lab:1"));
    assert!(fault.value.as_deref().unwrap().contains("+20:00") && fault.message.contains("16 hours"), "{fault}");
}
