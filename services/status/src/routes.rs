//! `GET /status?id=…` (spec rest-and-spool 4).

use std::{sync::Arc, time::Duration};

use api::Error;
use auth::Verifier;
use axum::{
    Router,
    extract::{RawQuery, Request, State as Extract},
    http::{HeaderMap, StatusCode, header::ALLOW},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get},
};
use spool::{Spool, SubmissionId};

use crate::{
    answer::{self, Ledger},
    metrics::Metrics,
};

/// The ledger only adds to an answer; it may not make anybody wait for long.
const LEDGER_TIMEOUT: Duration = Duration::from_millis(500);

/// What a question needs.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) spool: Spool,
    pub(crate) pool: db::Pool,
    /// `None`: authentication is off.
    pub(crate) verifier: Option<Arc<Verifier>>,
    pub(crate) metrics: Metrics,
}

/// The routes of the status service.
pub(crate) fn router(state: State) -> Router {
    let status: MethodRouter<State> = get(status).fallback(async || ([(ALLOW, "GET,HEAD")], Error::MethodNotAllowed));
    Router::new()
        .route("/status", status.clone())
        .route("/status/", status)
        .fallback(async || Error::NotFound("There is nothing at this address"))
        .layer(middleware::from_fn_with_state(state.metrics.clone(), count))
        .with_state(state)
}

async fn count(Extract(metrics): Extract<Metrics>, request: Request, next: Next) -> Response {
    let in_flight = metrics.requests.begin(request.method());
    let response = next.run(request).await;
    let route = if response.status() == StatusCode::NOT_FOUND && response.extensions().get::<api::Refusal>().is_some() {
        "other"
    } else {
        "/status"
    };
    in_flight.answered(route, response.status());
    response
}

/// The token is judged first, then whether there is an id, then its form.
async fn status(Extract(state): Extract<State>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    match judge(&state, &headers, query.as_deref().unwrap_or_default()) {
        Ok((asked, id)) => answer(&state, &asked, id).await,
        Err(error) => error.into_response(),
    }
}

/// The id as asked, and the id that it can be; one too long for any file is simply not found.
fn judge(state: &State, headers: &HeaderMap, query: &str) -> Result<(String, Option<SubmissionId>), Error> {
    api::authenticate(headers, state.verifier.as_deref())?;
    let mut ids = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "id").map(|(_, id)| id);
    let id = ids.next().ok_or(Error::IdMissing("The parameter id is missing: ask for /status?id=…"))?;
    if ids.next().is_some() {
        return Err(Error::IdMissing("The parameter id is given twice: ask for one submission"));
    }
    if id.is_empty() {
        return Err(Error::IdInvalid("Empty id"));
    }
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::IdInvalid("Invalid id"));
    }
    let known = id.parse().ok();
    Ok((id.into_owned(), known))
}

async fn answer(state: &State, asked: &str, id: Option<SubmissionId>) -> Response {
    let Some(id) = id else { return answer::not_found(asked) };
    let (place, ledger) = tokio::join!(state.spool.state(&id), entry(state, &id));
    let place = match place {
        Ok(place) => place,
        Err(error) => {
            tracing::error!(submission.id = %id, %error, "the spool cannot be read");
            return Error::Internal.into_response();
        }
    };
    let reason = match place {
        spool::State::Failed => state.spool.reason(&id).await.ok().flatten(),
        _ => None,
    };
    answer::build(asked, place, reason, ledger)
}

/// What the ledger knows, if it says so in time.
async fn entry(state: &State, id: &SubmissionId) -> Ledger {
    let look_up = async {
        let mut connection = state.pool.get().await?;
        let row = db::ledger::get(&mut connection, id.as_str()).await?;
        let logs = db::logs::of_submission(&mut connection, id.as_str()).await?;
        Ok::<_, db::Error>(Ledger { row, logs })
    };
    let reason = match tokio::time::timeout(LEDGER_TIMEOUT, look_up).await {
        Ok(Ok(ledger)) => return ledger,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the ledger does not answer");
            "error"
        }
        Err(_) => "timeout",
    };
    state.metrics.without_ledger.with_label_values(&[reason]).inc();
    Ledger::default()
}
