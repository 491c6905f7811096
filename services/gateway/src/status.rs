//! `/status` and the rest of `/api/v1/…`: the status service answers, in this process or in another one.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use reqwest::{Client, Url};
use tower::ServiceExt as _;

use crate::Config;

/// Who answers `/status` and `/api/v1/…`.
#[derive(Debug, Clone)]
pub enum StatusRoute {
    /// A router of this process.
    Local(Router),
    /// The service at this address.
    Forward(Url),
    /// Nobody.
    Off,
}

impl From<&Config> for StatusRoute {
    fn from(config: &Config) -> Self {
        config.options.status_url.clone().map_or(Self::Off, Self::Forward)
    }
}

/// How long the status service may take to be reached, and to send some of its answer. It may hold an answer back until
/// something happens.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Headers that belong to a connection, not to the request.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

impl StatusRoute {
    pub(crate) fn add_to(self, router: Router) -> Router {
        let answer = match self {
            Self::Local(status) => any(move |request: Request| status.clone().oneshot(request)),
            Self::Forward(base) => {
                let client = Client::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .read_timeout(READ_TIMEOUT)
                    .build()
                    .expect("a client without special options can be built");
                any(move |request: Request| forward(client.clone(), base.clone(), request))
            }
            Self::Off => any(async || {
                api::Error::NotFound("There is no status service here: the option --status-url is not set")
            }),
        };
        router.route("/status", answer.clone()).route("/status/", answer.clone()).route("/api/v1/{*rest}", answer)
    }
}

async fn forward(client: Client, base: Url, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut url = base;
    url.set_path(parts.uri.path());
    url.set_query(parts.uri.query());
    without_hops(&mut parts.headers);
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let sent = client.request(parts.method, url).headers(parts.headers).body(body).send().await;
    match sent {
        Ok(answer) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            without_hops(response.headers_mut());
            *response.body_mut() = Body::from_stream(answer.bytes_stream());
            response
        }
        Err(error) => {
            tracing::warn!(%error, "the status service does not answer");
            api::Error::Unavailable("The status service does not answer").into_response()
        }
    }
}

fn without_hops(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
