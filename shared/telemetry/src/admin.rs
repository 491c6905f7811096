//! The admin port of a service: `/metrics`, `/livez`, `/readyz` (spec ops.md 3). It serves nothing else, and nothing of
//! it is ever on a traffic port but the gateway's old `/metrics`.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus::TextEncoder;
use tokio_util::sync::CancellationToken;

use crate::{Health, metrics::Registry};

/// Binds the admin port and serves it until shutdown is complete; returns the address it is bound to.
///
/// The server outlives the shutdown signal (readiness has to say 503 while requests are finished) and ends with the runtime.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    service: &'static str,
    registry: Registry,
    health: Health,
    shutdown: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let draining = health.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        draining.drain();
    });
    let router = Router::new()
        .route("/livez", get(async |State(health): State<Health>| live(&health)))
        .route("/readyz", get(async |State(health): State<Health>, RawQuery(query)| ready(&health, query.as_deref())))
        .with_state(health)
        .route("/metrics", get(async move || metrics(&registry)));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(service, %error, "the admin port has failed");
        }
    });
    Ok(bound)
}

fn live(health: &Health) -> (StatusCode, &'static str) {
    if health.is_live() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the main loop has not moved for a minute\n")
    }
}

fn ready(health: &Health, query: Option<&str>) -> (StatusCode, String) {
    let (ready, checks) = health.readiness();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose =
        query.is_some_and(|query| query.split('&').any(|key| key == "verbose" || key.starts_with("verbose=")));
    match (verbose, ready) {
        (true, _) => (status, checks),
        (false, true) => (status, "ok\n".into()),
        (false, false) => (status, "not ready; see /readyz?verbose\n".into()),
    }
}

/// The registry as Prometheus text.
pub fn metrics(registry: &Registry) -> impl IntoResponse + use<> {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            error.to_string(),
        ),
    }
}
