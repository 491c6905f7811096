//! The answer: the old words from the spool, and after them what else is known (spec rest-and-spool 4 and 9 J).

use api::Answer;
use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use db::ledger::{Row, State};
use serde::Serialize;
use serde_json::Value;

/// Keys after the three old ones; absent when not known.
#[derive(Debug, Default, Serialize)]
pub(crate) struct More {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<Value>,
}

/// Nobody knows this id.
pub(crate) fn not_found(id: &str) -> Response {
    let more = More { state: "unknown", ..More::default() };
    Answer { id, status: "notfound", message: "File not found", more }.respond(StatusCode::NOT_FOUND)
}

/// The answer for an id, from where its file is, the reason beside it, and its row of the ledger.
///
/// The spool decides. Only what it does not know at all (a pruned archive, say) is told from the ledger.
pub(crate) fn build(id: &str, place: spool::State, reason: Option<spool::Reason>, row: Option<Row>) -> Response {
    let known = row.as_ref().map(|row| row.state);
    let place = match (place, known) {
        (spool::State::Unknown, Some(State::Ingested)) => spool::State::Archived,
        (spool::State::Unknown, Some(State::Rejected)) => spool::State::Failed,
        (place, _) => place,
    };
    let (status, message, state) = match (place, known) {
        (spool::State::InProgress, _) => ("inprogress", "File still in progress", "receiving"),
        (spool::State::Ready, Some(State::Retrying)) => ("ready", "File waiting for processing", "retrying"),
        (spool::State::Ready, _) => ("ready", "File waiting for processing", "queued"),
        (spool::State::Archived, _) => ("processed", "File archived", "loaded"),
        (spool::State::Failed, _) => ("failed", "File failed to pass validation", "invalid"),
        (spool::State::Unknown, _) => return not_found(id),
    };
    let mut more = More { state, ..More::default() };
    if let Some(row) = row {
        more.attempts = Some(row.attempts).filter(|attempts| *attempts > 0);
        more.received_at = row.received_at;
        more.updated_at = Some(row.updated_at);
        more.origin = row.origin;
        more.size = row.size_bytes;
        more.objects = row.objects;
        // What the ledger last heard may be older than where the file is.
        if (status == "failed") == (row.state == State::Rejected) {
            more.code = row.code;
            more.reason = row.reason;
            more.errors = row.errors;
            more.error_count = u64::try_from(row.error_count).ok().filter(|count| *count > 0);
        }
    }
    if let Some(reason) = reason {
        more.code = Some(reason.code);
        more.reason = Some(reason.reason);
        more.errors = Some(serde_json::json!(reason.errors));
        more.error_count = Some(reason.error_count);
        more.attempts = Some(i32::try_from(reason.attempts).unwrap_or(i32::MAX));
        more.updated_at = Some(reason.at);
    }
    Answer { id, status, message, more }.respond(StatusCode::OK)
}
