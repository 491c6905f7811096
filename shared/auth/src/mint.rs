//! Issuing tokens.

use chrono::{DateTime, Utc};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

/// What a new token shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mint {
    /// Who submits.
    pub origin: String,
    /// Further origins that its objects may have; `*` is every one.
    pub origins: Vec<String>,
    /// When the token ends.
    pub expires_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct RawClaims<'a> {
    origin: &'a str,
    exp: i64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    origins: &'a [String],
}

/// Signs a token that this system and the old daemon accept: HS256, claims `origin`, `exp` and, if any, `origins`.
pub fn mint(secret: &str, token: &Mint) -> String {
    let claims = RawClaims { origin: &token.origin, exp: token.expires_at.timestamp(), origins: &token.origins };
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("any secret can sign such claims with HS256")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verifier;

    #[test]
    fn what_is_minted_is_accepted() {
        let mut wanted = Mint {
            origin: "maestro".into(),
            origins: vec![],
            expires_at: DateTime::from_timestamp(4_000_000_000, 0).expect("a valid time"),
        };
        let verifier = Verifier::new(&["a".into()], None, &[]);
        let claims = verifier.verify(&mint("a", &wanted)).expect("good");
        assert_eq!((claims.origin.as_str(), claims.expires_at), ("maestro", Some(wanted.expires_at)));
        assert!(!claims.speaks_for("other"));
        wanted.origins.push("*".into());
        assert!(verifier.verify(&mint("a", &wanted)).expect("good").speaks_for("other"));
    }
}
