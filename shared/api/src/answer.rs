//! The JSON answer.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// `{"id":…,"status":…,"message":…}` and whatever keys `more` has; `()` has none.
#[derive(Debug, Serialize)]
pub struct Answer<'a, T> {
    /// The submission, or `"0"`.
    pub id: &'a str,
    /// One word, such as `ok`, `error` or `processed`.
    pub status: &'a str,
    /// For people.
    pub message: &'a str,
    /// Further keys.
    #[serde(flatten)]
    pub more: T,
}

impl<T: Serialize> Answer<'_, T> {
    /// The answer as a response with this status code.
    pub fn respond(&self, code: StatusCode) -> Response {
        let body = serde_json::to_vec(self).expect("an answer has string keys and plain values");
        (code, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct More {
        size: u64,
    }

    fn text<T: Serialize>(answer: &Answer<'_, T>) -> String {
        serde_json::to_string(answer).expect("JSON")
    }

    #[test]
    fn the_three_keys_come_first_and_alone_unless_there_is_more() {
        let bare = Answer { id: "0", status: "ok", message: "m", more: () };
        assert_eq!(text(&bare), r#"{"id":"0","status":"ok","message":"m"}"#);
        let more = Answer { id: "a", status: "ok", message: "m", more: More { size: 3 } };
        assert_eq!(text(&more), r#"{"id":"a","status":"ok","message":"m","size":3}"#);
    }
}
