//! The answer: the old words from the spool, and after them what else is known (spec rest-and-spool 4 and 9 J).

use std::collections::BTreeMap;

use api::Answer;
use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use db::{
    ledger::{Row, State},
    logs::{Count, Outcome},
};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<Logs>,
}

/// What became of the logs of a submission's failed nodes.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Logs {
    /// Not looked at yet, or to be tried again.
    pending: i64,
    analyzed: i64,
    failed: i64,
    /// Not picked by the configuration.
    skipped: i64,
    /// Why logs were not analysed, or not yet.
    reasons: BTreeMap<String, i64>,
}

impl Logs {
    /// Nothing when the submission has no failed node with a log.
    fn of(counts: Vec<Count>) -> Option<Self> {
        let mut logs = Self::default();
        for Count { outcome, reason, count } in counts {
            *match outcome {
                None | Some(Outcome::Retrying) => &mut logs.pending,
                Some(Outcome::Analyzed) => &mut logs.analyzed,
                Some(Outcome::Failed) => &mut logs.failed,
                Some(Outcome::Skipped) => &mut logs.skipped,
            } += count;
            if let Some(reason) = reason {
                *logs.reasons.entry(reason).or_default() += count;
            }
        }
        (logs != Self::default()).then_some(logs)
    }
}

/// What the database knows of a submission.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) row: Option<Row>,
    pub(crate) logs: Vec<Count>,
}

/// Nobody knows this id.
pub(crate) fn not_found(id: &str) -> Response {
    let more = More { state: "unknown", ..More::default() };
    Answer { id, status: "notfound", message: "File not found", more }.respond(StatusCode::NOT_FOUND)
}

/// The answer for an id, from where its file is, the reason beside it, and its row of the ledger.
///
/// The spool decides. Only what it does not know at all (a pruned archive, say) is told from the ledger.
pub(crate) fn build(id: &str, place: spool::State, reason: Option<spool::Reason>, ledger: Ledger) -> Response {
    let Ledger { row, logs } = ledger;
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
    let mut more = More { state, logs: Logs::of(logs), ..More::default() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_counted_by_what_became_of_them() {
        let count = |outcome, reason: &str, count| Count {
            outcome,
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            count,
        };
        let logs = Logs::of(vec![
            count(None, "", 2),
            count(Some(Outcome::Analyzed), "", 3),
            count(Some(Outcome::Failed), "gone", 1),
            count(Some(Outcome::Failed), "log_empty", 1),
            count(Some(Outcome::Retrying), "timeout", 4),
        ]);
        assert_eq!(
            serde_json::to_value(logs).expect("JSON"),
            serde_json::json!({"pending": 6, "analyzed": 3, "failed": 2, "skipped": 0,
                "reasons": {"gone": 1, "log_empty": 1, "timeout": 4}})
        );
        assert_eq!(Logs::of(Vec::new()), None);
    }
}
