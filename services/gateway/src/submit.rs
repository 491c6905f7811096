//! `POST /submit` (spec rest-and-spool 3).

use std::{sync::Arc, time::Instant};

use api::{Answer, Error};
use auth::Claims;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse as _, Response},
};
use events::{Event, v1::SubmissionReceived};
use schema::syntax::{Checker, ObjectOrigins, Problem, SyntaxError};
use serde::Serialize;
use spool::Stored;
use telemetry::{
    names,
    traces::{Kind, Place, Span},
};
use tracing::Instrument as _;

use crate::{
    Gateway, OriginPolicy,
    body::{self, Coding, Incoming},
    origins,
    routes::RequestId,
};

#[derive(Serialize)]
struct More<'a> {
    size: u64,
    sha256: &'a str,
    received_at: String,
    status_url: &'a str,
}

/// Takes a submission; the answer is sent when it is durable.
pub(crate) async fn submit(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let span = Span::follow(&place(request.headers()), names::SUBMIT, Kind::Server);
    let (place, id) = (span.place(), request.extensions().get::<RequestId>().map(RequestId::as_str));
    let logs = tracing::info_span!("submission", request_id = id, trace_id = place.sampled_trace());
    if span.is_on() {
        span.set(names::HTTP_METHOD, "POST");
        span.set(names::HTTP_ROUTE, "/submit");
        span.set(names::REQUEST_ID, id.unwrap_or_default().to_owned());
    }
    let mut response = span.run(take(gateway, request, &span).instrument(logs)).await;
    span.set(names::HTTP_STATUS, i64::from(response.status().as_u16()));
    if response.status().is_server_error() {
        span.fail(response.status().as_str());
    }
    if let Some(Ok(traceparent)) = place.traceparent.map(HeaderValue::try_from) {
        response.headers_mut().insert("traceparent", traceparent);
    }
    response
}

async fn take(gateway: Arc<Gateway>, request: Request, span: &Span) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let claims = match api::authenticate(headers, gateway.verifier.as_ref()) {
        Ok(claims) => claims,
        Err(error) => {
            gateway.metrics.refused(None, &error);
            body::refuse(headers, body, gateway.options.body_timeout).await;
            return error.into_response();
        }
    };
    match receive(&gateway, &claims, headers, body).await {
        Ok((stored, foreign)) => {
            span.set(names::SUBMISSION_ID, stored.id.to_string());
            span.set(names::ORIGIN, claims.origin.clone());
            if let Some(foreign) = foreign {
                warn_of(&foreign, &claims, &stored);
            }
            announce(&gateway, &claims, &stored, headers, started);
            success(&stored)
        }
        Err(error) => {
            gateway.metrics.refused(Some(&claims.origin), &error);
            let code = error.code();
            tracing::debug!(origin = claims.origin, reason = code, %error, "a submission is refused");
            error.into_response()
        }
    }
}

/// Reads, checks and stores the body. Beside what was stored stands the first origin in it that the token may not speak
/// for, where that is no reason to refuse it.
async fn receive(
    gateway: &Gateway,
    claims: &Claims,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<(Stored, Option<String>), Error> {
    let options = &gateway.options;
    if gateway.shutdown.is_cancelled() {
        return Err(Error::ShuttingDown);
    }
    let coding = Coding::of(headers)?;
    body::check_declared(headers, options.max_submission)?;
    let _permit = gateway.uploads.try_acquire().map_err(|_| Error::Overloaded("Too many submissions at once"))?;
    let mut incoming = gateway.spool.receive().map_err(storage)?;
    let mut body = Incoming::new(body, coding, options.body_timeout, options.max_submission);
    let mut origins = options.origin_policy.watch(claims);
    let copied = copy(&mut body, &mut incoming, origins.as_mut()).await;
    match copied.and_then(|()| judge(gateway, claims, origins.as_ref())) {
        Ok(foreign) => Ok((incoming.commit().await.map_err(storage)?, foreign)),
        Err(error) => {
            drop(incoming);
            body.drain().await;
            Err(error)
        }
    }
}

/// Copies the body to the spool, checking on the way that it is one JSON document.
async fn copy(
    body: &mut Incoming,
    incoming: &mut spool::Incoming,
    mut origins: Option<&mut ObjectOrigins>,
) -> Result<(), Error> {
    let mut checker = Checker::new();
    while let Some(piece) = body.next().await? {
        let fed = match origins.as_deref_mut() {
            Some(origins) => checker.feed_noting(&piece, origins),
            None => checker.feed(&piece),
        };
        fed.map_err(|error| syntax(&error))?;
        incoming.write(piece).await.map_err(storage)?;
    }
    checker.finish().map_err(|error| syntax(&error))
}

/// Counts a submission with objects of an origin that the token may not speak for, and refuses it if that is the policy.
fn judge(gateway: &Gateway, claims: &Claims, origins: Option<&ObjectOrigins>) -> Result<Option<String>, Error> {
    let Some(foreign) = origins.and_then(|origins| origins::foreign(claims, origins)) else { return Ok(None) };
    let policy = gateway.options.origin_policy;
    gateway.metrics.origin_mismatch(policy);
    if policy == OriginPolicy::Enforce { Err(origins::refusal(claims, &foreign)) } else { Ok(Some(foreign)) }
}

fn warn_of(foreign: &str, claims: &Claims, stored: &Stored) {
    tracing::warn!(
        submission.id = %stored.id,
        origin = claims.origin,
        foreign,
        "a submission has objects of an origin that its token does not speak for"
    );
}

/// What a client is told of a body that is not one JSON document.
pub(crate) fn syntax(error: &SyntaxError) -> Error {
    match error.problem {
        Problem::InvalidUnicode => Error::Utf8Invalid(format!(
            "Request body didn't contain valid UTF-8 at line {} column {}",
            error.line, error.column
        )),
        _ => Error::JsonInvalid(error.to_string()),
    }
}

/// What a client is told of the spool's troubles; the whole is in the log.
fn storage(error: spool::Error) -> Error {
    match error {
        spool::Error::Busy(why) => {
            tracing::warn!(why, "a submission is sent away: too much at once");
            Error::Overloaded("Too many submissions at once")
        }
        error if error.is_full() => {
            tracing::error!(%error, "a submission is sent away: the spool is full");
            Error::StorageFull
        }
        error => {
            tracing::error!(%error, "a submission cannot be stored");
            Error::Internal
        }
    }
}

fn announce(gateway: &Gateway, claims: &Claims, stored: &Stored, headers: &HeaderMap, started: Instant) {
    gateway.metrics.accepted(&claims.origin, stored.size_bytes);
    let mut event = Event::new(
        "gateway",
        claims.origin.as_str(),
        SubmissionReceived {
            submission_id: stored.id.to_string(),
            file: stored.id.file_name().to_string(),
            origin: claims.origin.clone(),
            size_bytes: u32::try_from(stored.size_bytes).unwrap_or(u32::MAX),
            sha256: stored.sha256.clone(),
        },
    );
    if event.traceparent.is_none() {
        event = event.at(place(headers));
    }
    gateway.outbox.announce(event);
    tracing::info!(
        submission.id = %stored.id,
        origin = claims.origin,
        size_bytes = stored.size_bytes,
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "received a submission"
    );
}

fn success(stored: &Stored) -> Response {
    let id = stored.id.as_str();
    let status_url = format!("/status?id={id}");
    let mut response = Answer {
        id,
        status: "ok",
        message: &format!("Received submission {id} with size {} bytes", stored.size_bytes),
        more: More {
            size: stored.size_bytes,
            sha256: &stored.sha256,
            received_at: stored.received_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            status_url: &status_url,
        },
    }
    .respond(StatusCode::OK);
    let location = HeaderValue::from_str(&status_url).expect("letters, digits and a few signs");
    response.headers_mut().insert(LOCATION, location);
    response
}

/// The W3C trace context, if the client sent a well-formed one.
fn place(headers: &HeaderMap) -> Place {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let well_formed = |value: &&str| {
        let hexadecimal = value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        hexadecimal && value.split('-').map(str::len).eq([2, 32, 16, 2])
    };
    let Some(traceparent) = text("traceparent").filter(well_formed) else { return Place::default() };
    Place { traceparent: Some(traceparent.to_owned()), tracestate: text("tracestate").map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_trace_context_is_dropped() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", HeaderValue::from_static(value));
            place(&headers).traceparent
        };
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(with(good).as_deref(), Some(good));
        for bad in ["", "00-1-2-01", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"] {
            assert_eq!(with(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_full_disk_is_not_a_fault_of_the_service() {
        let full =
            spool::Error::Io { action: "write", path: "/x".into(), source: std::io::ErrorKind::StorageFull.into() };
        assert_eq!(storage(full), Error::StorageFull);
        assert_eq!(storage(spool::Error::Full("files")), Error::StorageFull);
    }
}
