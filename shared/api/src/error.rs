//! Everything that a request can go wrong with, and what the client is told.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::Answer;

/// An error of a request. The text is the answer's `message`; inner details (paths, SQL) belong into the log, not here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no token.
    #[error("JWT is required")]
    AuthRequired,
    /// The token is no good, in the words of spec rest-and-spool 2.
    #[error("{0}")]
    AuthInvalid(String),
    /// The token was good once.
    #[error("ExpiredSignature")]
    AuthExpired,
    /// The token does not speak for the origin of an object.
    #[error("{0}")]
    OriginMismatch(String),
    /// The body is not one JSON document; the message ends with `at line N column N`.
    #[error("{0}")]
    JsonInvalid(String),
    /// The body is not UTF-8.
    #[error("{0}")]
    Utf8Invalid(String),
    /// The body ended early, or cannot be unpacked.
    #[error("{0}")]
    BodyInvalid(String),
    /// The body did not come for too long.
    #[error("No byte of the request body came for {} seconds", .0.as_secs())]
    BodyTimeout(Duration),
    /// The body has more bytes than the limit.
    #[error("length limit exceeded: at most {0} bytes are taken here")]
    TooLarge(u64),
    /// A content coding that is not understood.
    #[error("Content-Encoding {0:?} is not supported; use gzip, zstd or none")]
    EncodingUnsupported(String),
    /// The parameter `id` is missing, or given twice.
    #[error("{0}")]
    IdMissing(&'static str),
    /// The parameter `id` cannot be that of a submission.
    #[error("{0}")]
    IdInvalid(&'static str),
    /// A request that cannot be understood for another reason.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The address or thing does not exist.
    #[error("{0}")]
    NotFound(&'static str),
    /// The address exists, for other methods; the router adds `Allow`.
    #[error("Method not allowed")]
    MethodNotAllowed,
    /// Too much is going on at the moment.
    #[error("{0}; try again later")]
    Overloaded(&'static str),
    /// A service behind this one does not answer.
    #[error("{0}; try again later")]
    Unavailable(&'static str),
    /// The service is stopping.
    #[error("The service is restarting; try again in a moment")]
    ShuttingDown,
    /// There is no room for more submissions.
    #[error("The submission storage is full; try again later")]
    StorageFull,
    /// A fault of the service; the cause is in its log.
    #[error("Internal server error")]
    Internal,
}

/// Left in the extensions of an error's response, for metrics and logs: the error's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(pub &'static str);

#[derive(Serialize)]
struct More {
    code: &'static str,
    retryable: bool,
}

impl Error {
    /// The stable word for programs; also the label in metrics.
    pub fn code(&self) -> &'static str {
        self.describe().0
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.describe().1
    }

    fn describe(&self) -> (&'static str, StatusCode) {
        match self {
            Self::AuthRequired => ("auth_required", StatusCode::UNAUTHORIZED),
            Self::AuthInvalid(_) => ("auth_invalid", StatusCode::UNAUTHORIZED),
            Self::AuthExpired => ("auth_expired", StatusCode::UNAUTHORIZED),
            Self::OriginMismatch(_) => ("origin_mismatch", StatusCode::FORBIDDEN),
            Self::JsonInvalid(_) => ("json_invalid", StatusCode::BAD_REQUEST),
            Self::Utf8Invalid(_) => ("utf8_invalid", StatusCode::BAD_REQUEST),
            Self::BodyInvalid(_) => ("body_invalid", StatusCode::BAD_REQUEST),
            Self::BodyTimeout(_) => ("body_timeout", StatusCode::REQUEST_TIMEOUT),
            Self::TooLarge(_) => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::EncodingUnsupported(_) => ("encoding_unsupported", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::IdMissing(_) => ("id_missing", StatusCode::BAD_REQUEST),
            Self::IdInvalid(_) => ("id_invalid", StatusCode::BAD_REQUEST),
            Self::BadRequest(_) => ("bad_request", StatusCode::BAD_REQUEST),
            Self::NotFound(_) => ("not_found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::Overloaded(_) => ("overloaded", StatusCode::SERVICE_UNAVAILABLE),
            Self::Unavailable(_) => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::ShuttingDown => ("shutting_down", StatusCode::SERVICE_UNAVAILABLE),
            Self::StorageFull => ("storage_full", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// How long a client should wait before it tries the same again; `None` when that cannot help.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = match self {
            Self::ShuttingDown => 2,
            Self::Overloaded(_) | Self::Unavailable(_) | Self::BodyTimeout(_) => 5,
            Self::Internal => 10,
            Self::StorageFull => 60,
            _ => return None,
        };
        Some(Duration::from_secs(seconds))
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (code, status) = self.describe();
        let retry_after = self.retry_after();
        let retryable = retry_after.is_some();
        let message = self.to_string();
        let mut response =
            Answer { id: "0", status: "error", message: &message, more: More { code, retryable } }.respond(status);
        response.extensions_mut().insert(Refusal(code));
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
            }
            _ => {}
        }
        if let Some(wait) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(response: Response) -> String {
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn an_error_is_one_flat_object_with_a_code() {
        let response = Error::AuthExpired.into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(response.extensions().get(), Some(&Refusal("auth_expired")));
        assert_eq!(
            body(response).await,
            r#"{"id":"0","status":"error","message":"ExpiredSignature","code":"auth_expired","retryable":false}"#
        );
    }

    #[tokio::test]
    async fn later_says_when() {
        let response = Error::StorageFull.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "60");
        assert!(body(response).await.ends_with(r#""code":"storage_full","retryable":true}"#));
    }

    #[test]
    fn an_unknown_coding_is_told_the_known_ones() {
        let response = Error::EncodingUnsupported("br".into()).into_response();
        assert_eq!(response.headers()[header::ACCEPT_ENCODING], "gzip, zstd");
    }
}
