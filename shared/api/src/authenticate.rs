//! The token of a request.

use auth::{Claims, TokenError, Verifier};
use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::Error;

/// Judges the token of a request; without a verifier authentication is off and everybody passes.
///
/// The first `Authorization` field counts. Any scheme word is taken, as the old daemon does; with `Basic` and credentials
/// as curl makes them of `https://token@host/`, the user name is the token.
///
/// # Errors
/// [`Error::AuthRequired`], [`Error::AuthInvalid`] or [`Error::AuthExpired`], with the old daemon's words.
pub fn authenticate(headers: &HeaderMap, verifier: Option<&Verifier>) -> Result<Claims, Error> {
    let Some(verifier) = verifier else { return Ok(Claims::nobody()) };
    let value = headers.get(header::AUTHORIZATION).ok_or(Error::AuthRequired)?;
    // HeaderValue::to_str would refuse tabs that the old daemon takes; what both refuse is bytes above 127.
    let value = std::str::from_utf8(value.as_bytes()).ok().filter(|value| value.is_ascii());
    let value = value.ok_or_else(|| Error::AuthInvalid("Missing or invalid JWT".into()))?;
    let mut pieces = value.split(' ');
    let scheme = pieces.next().unwrap_or_default();
    let token = pieces.next().ok_or_else(|| Error::AuthInvalid("Missing or invalid JWT (Bearer)".into()))?;
    let user = scheme.eq_ignore_ascii_case("basic").then(|| user_name(token)).flatten();
    verifier.verify(user.as_deref().unwrap_or(token)).map_err(|error| match error {
        TokenError::Expired => Error::AuthExpired,
        TokenError::Invalid(_) => Error::AuthInvalid(error.to_string()),
    })
}

fn user_name(credentials: &str) -> Option<String> {
    let text = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    text.split_once(':').map(|(user, _)| user.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use chrono::{Duration, Utc};

    use super::*;

    fn token() -> String {
        let expires_at = Utc::now() + Duration::hours(1);
        auth::mint("s", &auth::Mint { origin: "lab".into(), origins: vec![], expires_at })
    }

    fn judge(values: &[&str]) -> Result<String, String> {
        let verifier = Verifier::new(&["s".into()], None, &[]);
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        authenticate(&headers, Some(&verifier)).map(|claims| claims.origin).map_err(|error| error.to_string())
    }

    #[test]
    fn the_scheme_word_does_not_matter() {
        for scheme in ["Bearer", "bearer", "BEARER", "Token", "Basic"] {
            assert_eq!(judge(&[&format!("{scheme} {}", token())]), Ok("lab".into()), "{scheme}");
        }
        let basic = STANDARD.encode(format!("{}:", token()));
        assert_eq!(judge(&[&format!("Basic {basic}")]), Ok("lab".into()));
    }

    #[test]
    fn refusals_have_the_words_of_the_old_daemon() {
        let token = token();
        assert_eq!(judge(&[]), Err("JWT is required".into()));
        assert_eq!(judge(&["Bearer ÿ"]), Err("Missing or invalid JWT".into()));
        for value in ["", "Bearer", &token, &format!("Bearer\t{token}")] {
            assert_eq!(judge(&[value]), Err("Missing or invalid JWT (Bearer)".into()), "{value:?}");
        }
        for value in ["Bearer abc", &format!("Bearer  {token}")] {
            assert_eq!(judge(&[value]), Err("InvalidToken".into()), "{value:?}");
        }
    }

    #[test]
    fn the_first_field_and_its_second_piece_count() {
        let good = format!("Bearer {}", token());
        assert_eq!(judge(&[&good, "Bearer x"]), Ok("lab".into()));
        assert_eq!(judge(&["Bearer x", &good]), Err("InvalidToken".into()));
        assert_eq!(judge(&[&format!("{good} more")]), Ok("lab".into()));
    }

    #[test]
    fn without_a_verifier_nobody_is_asked() {
        assert_eq!(authenticate(&HeaderMap::new(), None), Ok(Claims::nobody()));
    }
}
