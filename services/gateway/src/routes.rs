//! The addresses of the gateway (spec rest-and-spool 1 and 5), and what every request passes through.

use std::{path::Path, sync::Arc};

use api::{Answer, Error};
use axum::{
    Router,
    extract::{MatchedPath, Path as UrlPath, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use rand::{Rng, distr::Alphanumeric};
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{Gateway, StatusRoute, submit::submit, validate::validate};

const INDEX: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>KCIDB</title></head><body>\
<h1>Welcome to KCIDB REST API</h1>\
<p>POST a JSON document to <code>/submit</code> with <code>Authorization: Bearer TOKEN</code>; \
GET <code>/status?id=ID</code> says what became of it; <code>/authtest</code> checks a token; \
POST to <code>/api/v1/validate</code> says what is wrong with a document, and stores nothing.</p>\
</body></html>\n";

const PLAIN_TEXT: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// All routes; the status service's are in the same router, or forwarded to.
pub(crate) fn router(gateway: &Arc<Gateway>, status: StatusRoute) -> Router {
    let routes = Router::new()
        .route("/", get(async || Html(INDEX)).post(submit))
        .route("/submit", post(submit))
        // Base addresses with a slash at the end lead here, and to the second.
        .route("/submit/", post(submit))
        .route("//submit", post(submit))
        .route("/api/v1/validate", post(validate))
        .route("/authtest", get(authtest))
        .route("/health", get(async || (PLAIN_TEXT, "OK")))
        .route("/metrics", get(metrics))
        .route("/.well-known/acme-challenge/{token}", get(acme_challenge))
        .with_state(gateway.clone());
    status
        .add_to(routes)
        .fallback(async || Error::NotFound("There is nothing at this address"))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(|_| Error::Internal.into_response()))
        .layer(middleware::from_fn_with_state(gateway.clone(), around))
}

/// The id of a request, for answer and log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's or the proxy's, if it is short and plain; else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get("x-request-id")
            .filter(|id| (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
        Self(given.cloned().unwrap_or_else(|| {
            let id: Vec<u8> = rand::rng().sample_iter(Alphanumeric).take(16).collect();
            HeaderValue::from_bytes(&id).expect("letters and digits")
        }))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Counts and times every request, and gives it an id.
async fn around(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    let metrics = &gateway.metrics;
    let in_flight = metrics.requests.begin(request.method());
    let id = RequestId::of(request.headers());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("other", MatchedPath::as_str);
    request.extensions_mut().insert(id.clone());

    let mut response = next.run(request).await;
    if is_old_user_error(route, &response) {
        metrics.user_error();
    }
    response.headers_mut().insert("x-request-id", id.0);
    in_flight.answered(route, response.status());
    response
}

/// The old daemon counts token refusals on `/status` and `/authtest`, and on `/status` ids that are empty, invalid or
/// unknown, but not one that is missing.
fn is_old_user_error(route: &str, response: &Response) -> bool {
    let code = response.extensions().get::<api::Refusal>().map(|refusal| refusal.0);
    match (route, response.status()) {
        ("/status" | "/authtest", StatusCode::UNAUTHORIZED) | ("/status", StatusCode::NOT_FOUND) => true,
        ("/status", StatusCode::BAD_REQUEST) => code != Some("id_missing"),
        _ => false,
    }
}

#[derive(Serialize)]
struct WhoAmI<'a> {
    origin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'static str>,
}

async fn authtest(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    let claims = match api::authenticate(&headers, gateway.verifier.as_ref()) {
        Ok(claims) => claims,
        Err(error) => return error.into_response(),
    };
    let expires_at = claims.expires_at.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    let more = WhoAmI { origin: &claims.origin, expires_at, secret: claims.secret.map(auth::Secret::as_str) };
    Answer { id: "0", status: "ok", message: "Authentication successful", more }.respond(StatusCode::OK)
}

/// The old daemon's metrics; all others are on the admin port.
async fn metrics(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    let text = gateway.metrics.old_text(gateway.spool.usage().files);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn acme_challenge(
    State(gateway): State<Arc<Gateway>>,
    token: Result<UrlPath<String>, PathRejection>,
) -> Result<Response, Error> {
    let folder = gateway.options.acme_webroot.as_deref().ok_or(Error::NotFound("ACME challenge not configured"))?;
    let UrlPath(token) = token.map_err(|_| Error::BadRequest("Invalid token"))?;
    challenge(folder, &token).await
}

async fn challenge(folder: &Path, token: &str) -> Result<Response, Error> {
    if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Err(Error::BadRequest("Invalid token"));
    }
    match tokio::fs::read_to_string(folder.join(token)).await {
        Ok(text) => Ok((PLAIN_TEXT, text).into_response()),
        Err(error) => {
            tracing::debug!(%error, "no such ACME challenge");
            Err(Error::NotFound("Challenge not found"))
        }
    }
}
