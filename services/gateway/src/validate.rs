//! `POST /api/v1/validate`: what would become of a submission; nothing is stored. The answer is a line of
//! `kcidb validate --json`.

use std::sync::Arc;

use api::Error;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use schema::{Options, Verdict, syntax::Checker};

use crate::{
    Gateway,
    body::{self, Coding, Incoming},
    submit::syntax,
};

/// Judges a document; valid or not, the answer is 200.
pub(crate) async fn validate(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    if let Err(error) = api::authenticate(&parts.headers, gateway.verifier.as_ref()) {
        body::refuse(&parts.headers, body, gateway.options.body_timeout).await;
        return Err(error);
    }
    if gateway.shutdown.is_cancelled() {
        return Err(Error::ShuttingDown);
    }
    let permit = gateway.validations.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Error::Overloaded("Too many validations at once"))?;
    let text = read(&gateway, &parts.headers, body).await?;
    let upgrade = wants_upgraded(parts.uri.query().unwrap_or_default());
    let judged = tokio::task::spawn_blocking(move || {
        // The work goes on when the client goes away: so does its share.
        let _permit = permit;
        answer(text, upgrade)
    });
    let json = judged.await.map_err(|error| {
        tracing::error!(%error, "a validation broke off");
        Error::Internal
    })?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

/// The whole body, if it is one JSON document.
async fn read(gateway: &Gateway, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Error> {
    let limit = gateway.options.max_validation;
    let coding = Coding::of(headers)?;
    body::check_declared(headers, limit)?;
    let mut body = Incoming::new(body, coding, gateway.options.body_timeout, limit);
    let text = collect(&mut body).await;
    if text.is_err() {
        body.drain().await;
    }
    text
}

async fn collect(body: &mut Incoming) -> Result<Vec<u8>, Error> {
    let (mut checker, mut text) = (Checker::new(), Vec::new());
    while let Some(piece) = body.next().await? {
        checker.feed(&piece).map_err(|error| syntax(&error))?;
        text.extend_from_slice(&piece);
    }
    checker.finish().map_err(|error| syntax(&error))?;
    Ok(text)
}

fn answer(text: Vec<u8>, upgrade: bool) -> Vec<u8> {
    let options = Options::default();
    let verdict = if upgrade { Verdict::with_upgraded(&text, &options) } else { Verdict::of(&text, &options) };
    drop(text);
    serde_json::to_vec(&verdict).expect("a verdict has string keys and plain values")
}

/// `?upgrade`, also with a value that does not say no.
fn wants_upgraded(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "upgrade" && !matches!(value.as_ref(), "0" | "false" | "no"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upgraded_document_comes_when_asked_for() {
        for (query, wanted) in
            [("upgrade", true), ("a=b&upgrade=1", true), ("upgrade=", true), ("upgrade=false", false), ("", false)]
        {
            assert_eq!(wants_upgraded(query), wanted, "{query}");
        }
    }
}
