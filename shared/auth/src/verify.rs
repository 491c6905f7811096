//! Judging a token.

use std::fmt;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;

/// Which secret a token was signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// The service's own secret, or one of those kept for rotation.
    Primary,
    /// The secret that all services of the project share.
    Unified,
}

impl Secret {
    /// `primary` or `unified`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Unified => "unified",
        }
    }
}

/// The origins that a token may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Every origin.
    Every,
    /// These only.
    Only(Vec<String>),
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who submits; may be empty.
    pub origin: String,
    /// The origins that its objects may have.
    pub origins: Origins,
    /// When the token ends; `None` when authentication is off.
    pub expires_at: Option<DateTime<Utc>>,
    /// The secret that it was signed with; `None` when authentication is off.
    pub secret: Option<Secret>,
}

impl Claims {
    /// Everybody's claims when authentication is off: the origin is the word `none`.
    pub fn nobody() -> Self {
        Self { origin: "none".into(), origins: Origins::Every, expires_at: None, secret: None }
    }

    /// Whether an object of this origin may be submitted.
    pub fn speaks_for(&self, origin: &str) -> bool {
        match &self.origins {
            Origins::Every => true,
            Origins::Only(origins) => origins.iter().any(|known| known == origin),
        }
    }
}

/// Why a token is refused. The text is what the old daemon answers (spec rest-and-spool 2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("ExpiredSignature")]
    Expired,
    /// The signature is of none of the secrets, or the token is malformed.
    #[error("{0}")]
    Invalid(jsonwebtoken::errors::Error),
}

impl TokenError {
    /// Signature first: an error of a secret that did sign the token tells more than one of a secret that did not.
    fn is_about_the_signature(&self) -> bool {
        matches!(self, Self::Invalid(error) if *error.kind() == ErrorKind::InvalidSignature)
    }
}

#[derive(Deserialize)]
struct RawClaims {
    origin: String,
    exp: Option<serde_json::Value>,
    origins: Option<serde_json::Value>,
}

/// Checks tokens.
#[derive(Clone)]
pub struct Verifier {
    secrets: Vec<(Secret, DecodingKey)>,
    validation: Validation,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} secrets)", self.secrets.len())
    }
}

impl Verifier {
    /// A verifier for tokens signed with one of `primary` or with `unified`; secrets are raw UTF-8 bytes.
    ///
    /// With `audiences`, a token that names audiences must name one of these; without, `aud` is ignored.
    pub fn new(primary: &[String], unified: Option<&str>, audiences: &[String]) -> Self {
        let primary = primary.iter().map(|secret| (Secret::Primary, secret.as_str()));
        let unified = unified.into_iter().map(|secret| (Secret::Unified, secret));
        let secrets = primary.chain(unified).map(|(name, secret)| (name, DecodingKey::from_secret(secret.as_bytes())));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_aud = !audiences.is_empty();
        if validation.validate_aud {
            validation.set_audience(audiences);
        }
        Self { secrets: secrets.collect(), validation }
    }

    /// Checks a token with each secret in turn.
    ///
    /// # Errors
    /// When no secret accepts it: the first error that is not about the signature, else `InvalidSignature`.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let mut refusal: Option<TokenError> = None;
        for (secret, key) in &self.secrets {
            match self.verify_with(token, *secret, key) {
                Ok(claims) => return Ok(claims),
                Err(error) if refusal.as_ref().is_none_or(TokenError::is_about_the_signature) => refusal = Some(error),
                Err(_) => {}
            }
        }
        Err(refusal.expect("a verifier has at least one secret"))
    }

    fn verify_with(&self, token: &str, secret: Secret, key: &DecodingKey) -> Result<Claims, TokenError> {
        let claims = jsonwebtoken::decode::<RawClaims>(token, key, &self.validation).map_err(|error| {
            if *error.kind() == ErrorKind::ExpiredSignature { TokenError::Expired } else { TokenError::Invalid(error) }
        })?;
        let RawClaims { origin, exp, origins } = claims.claims;
        let expires_at = exp.and_then(|exp| exp.as_f64()).and_then(seconds);
        Ok(Claims { origins: may_speak_for(&origin, origins), origin, expires_at, secret: Some(secret) })
    }
}

/// The moment that many seconds after the epoch; `None` beyond what a calendar holds.
fn seconds(exp: f64) -> Option<DateTime<Utc>> {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and the calendar ends long before that")]
    DateTime::from_timestamp(exp as i64, 0)
}

/// A claim `origins` of another shape than ours is somebody else's claim, and widens nothing.
fn may_speak_for(origin: &str, origins: Option<serde_json::Value>) -> Origins {
    let mut known = vec![origin.to_owned()];
    let more = origins.and_then(|origins| serde_json::from_value::<Vec<String>>(origins).ok()).unwrap_or_default();
    if more.iter().any(|origin| origin == "*") {
        return Origins::Every;
    }
    known.extend(more);
    Origins::Only(known)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "s3cret";

    fn sign(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
    }

    fn token(claims: &Value) -> String {
        sign(claims, SECRET, Algorithm::HS256)
    }

    fn in_seconds(seconds: i64) -> i64 {
        Utc::now().timestamp() + seconds
    }

    fn verifier() -> Verifier {
        Verifier::new(&[SECRET.into()], Some("unified"), &[])
    }

    fn refusal(token: &str) -> String {
        verifier().verify(token).expect_err("it should be refused").to_string()
    }

    #[test]
    fn a_good_token_says_origin_end_and_secret() {
        let exp = in_seconds(600);
        let claims = verifier().verify(&token(&json!({"origin": "lab", "exp": exp}))).expect("good");
        assert_eq!(claims.origin, "lab");
        assert_eq!(claims.expires_at, DateTime::from_timestamp(exp, 0));
        assert_eq!(claims.secret, Some(Secret::Primary));
        let unified = sign(&json!({"origin": "lab", "exp": exp}), "unified", Algorithm::HS256);
        assert_eq!(verifier().verify(&unified).expect("good").secret, Some(Secret::Unified));
    }

    #[test]
    fn what_the_old_daemon_ignores_is_ignored() {
        let exp = in_seconds(600);
        for more in [
            json!({"nbf": exp, "iat": "x", "gendate": "2025-01-01", "jti": "1", "iss": "x", "sub": "u"}),
            json!({"aud": ["fastapi-users:auth"]}),
            json!({"aud": "x"}),
            json!({"aud": []}),
            json!({"aud": 7}),
            json!({"exp": 4_000_000_000.5}),
            json!({"exp": in_seconds(-30)}),
            json!({"origin": ""}),
            json!({"origins": "x"}),
        ] {
            let mut claims = json!({"origin": "lab", "exp": exp});
            claims.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            assert!(verifier().verify(&token(&claims)).is_ok(), "{claims}");
        }
    }

    #[test]
    fn refusals_have_the_words_of_the_old_daemon() {
        let good = json!({"origin": "lab", "exp": in_seconds(600)});
        for malformed in ["", "abc", "a.b"] {
            assert_eq!(refusal(malformed), "InvalidToken", "{malformed:?}");
        }
        assert_eq!(refusal(&sign(&good, "other", Algorithm::HS256)), "InvalidSignature");
        assert_eq!(refusal(&sign(&good, SECRET, Algorithm::HS512)), "InvalidAlgorithm");
        assert_eq!(refusal(&token(&json!({"origin": "lab", "exp": in_seconds(-600)}))), "ExpiredSignature");
        for exp in [json!(null), json!("9999999999"), json!(true), json!(-1), json!(1e30)] {
            let message = refusal(&token(&json!({"origin": "lab", "exp": exp})));
            assert_eq!(message, "Missing required claim: exp", "{exp}");
        }
        assert_eq!(refusal(&token(&json!({"origin": "lab"}))), "Missing required claim: exp");
        for origin in [json!({"exp": in_seconds(600)}), json!({"exp": in_seconds(600), "origin": 5})] {
            assert!(refusal(&token(&origin)).starts_with("JSON error:"), "{origin}");
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let none = format!("{}.{}.", part(&json!({"alg": "none"})), part(&good));
        assert!(refusal(&none).starts_with("JSON error:"));
        assert!(refusal(&format!("*.{}.x", part(&good))).starts_with("Base64 error:"));
    }

    #[test]
    fn the_more_telling_error_wins_when_both_secrets_fail() {
        let expired = sign(&json!({"origin": "lab", "exp": in_seconds(-600)}), "unified", Algorithm::HS256);
        assert_eq!(verifier().verify(&expired), Err(TokenError::Expired));
    }

    #[test]
    fn audiences_count_only_when_configured() {
        let verifier = Verifier::new(&[SECRET.into()], None, &["kcidb".into()]);
        let with = |aud: Value| token(&json!({"origin": "lab", "exp": in_seconds(600), "aud": aud}));
        assert!(verifier.verify(&with(json!(["x", "kcidb"]))).is_ok());
        assert_eq!(verifier.verify(&with(json!("x"))).expect_err("refused").to_string(), "InvalidAudience");
    }

    #[test]
    fn several_primary_secrets_serve_a_rotation() {
        let verifier = Verifier::new(&["new".into(), "old".into()], None, &[]);
        let good = json!({"origin": "lab", "exp": in_seconds(600)});
        for secret in ["new", "old"] {
            let claims = verifier.verify(&sign(&good, secret, Algorithm::HS256)).expect("good");
            assert_eq!(claims.secret, Some(Secret::Primary));
        }
    }

    #[test]
    fn a_token_speaks_for_its_origin_and_for_those_it_lists() {
        let claims = |origins: Value| {
            let token = token(&json!({"origin": "lab", "exp": in_seconds(600), "origins": origins}));
            verifier().verify(&token).expect("good")
        };
        let listed = claims(json!(["x"]));
        assert!(listed.speaks_for("lab") && listed.speaks_for("x") && !listed.speaks_for("y"));
        assert!(claims(json!(["*"])).speaks_for("y"));
        for foreign in [json!("*"), json!({"*": 1}), json!([1]), json!(null)] {
            assert_eq!(claims(foreign).origins, Origins::Only(vec!["lab".into()]));
        }
        assert!(Claims::nobody().speaks_for("y"));
    }
}
