//! The origins that a token may speak for, against those of the objects (spec rest-and-spool 9 N).
//!
//! Invariant: nothing is noted, and a document costs nothing more, where nothing can be found: with the policy `off`,
//! without authentication, and with a token for every origin.

use std::fmt::Write as _;

use api::Error;
use auth::{Claims, Origins};
use clap::ValueEnum;
use schema::syntax::ObjectOrigins;

/// How many characters of an origin a message has.
const SHOWN: usize = 64;
/// How many of the origins that a token may speak for a message has.
const LISTED: usize = 16;

/// What becomes of a submission with objects of an origin that its token may not speak for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OriginPolicy {
    /// Nobody looks.
    Off,
    /// It is accepted, counted and logged.
    Warn,
    /// It is refused.
    Enforce,
}

impl OriginPolicy {
    /// The word, as in the option and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
        }
    }

    /// What to note the origins of a document with; `None` when they do not matter.
    pub(crate) fn watch(self, claims: &Claims) -> Option<ObjectOrigins> {
        (self != Self::Off && claims.origins != Origins::Every).then(ObjectOrigins::new)
    }
}

/// The first origin that the token may not speak for, for a message; `None` when there is none.
pub(crate) fn foreign(claims: &Claims, origins: &ObjectOrigins) -> Option<String> {
    let first = origins.seen().iter().find(|origin| !claims.speaks_for(origin));
    // What is not remembered is not judged one by one: a token for that many origins is one for all.
    let others = || format!("one of more than {} origins, or one that is too long", origins.seen().len());
    first.map(|origin| quoted(origin)).or_else(|| origins.more().then(others))
}

/// The refusal of a submission with objects of this origin.
pub(crate) fn refusal(claims: &Claims, foreign: &str) -> Error {
    let mut message = format!("The token does not speak for the origin of an object: {foreign}");
    if let Origins::Only(origins) = &claims.origins {
        let listed: Vec<_> = origins.iter().take(LISTED).map(|origin| quoted(origin)).collect();
        let _ = write!(message, "; it speaks for {}", listed.join(", "));
        if let Some(more) = origins.len().checked_sub(LISTED).filter(|more| *more > 0) {
            let _ = write!(message, " and {more} more");
        }
    }
    Error::OriginMismatch(message)
}

/// The start of an origin, in quotes.
fn quoted(origin: &str) -> String {
    match origin.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &origin[..end]),
        None => format!("{origin:?}"),
    }
}

#[cfg(test)]
mod tests {
    use schema::syntax::Checker;

    use super::*;

    fn claims(origins: &[&str]) -> Claims {
        let known = origins.iter().map(|&origin| origin.to_owned()).collect();
        Claims { origin: "lab".into(), origins: Origins::Only(known), expires_at: None, secret: None }
    }

    fn noted(origins: &[String]) -> ObjectOrigins {
        let objects: Vec<_> = origins.iter().map(|origin| serde_json::json!({"origin": origin})).collect();
        let mut noted = ObjectOrigins::new();
        let text = serde_json::json!({"tests": objects}).to_string();
        Checker::new().feed_noting(text.as_bytes(), &mut noted).expect("JSON");
        noted
    }

    #[test]
    fn the_first_foreign_origin_is_told_and_what_the_token_is_for() {
        let claims = claims(&["lab", "other"]);
        let found = |origins: &[&str]| {
            let origins: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).collect();
            foreign(&claims, &noted(&origins))
        };
        assert_eq!(found(&[]), None);
        assert_eq!(found(&["other", "lab"]), None);
        let first = found(&["lab", "a\"b", "c"]).expect("foreign");
        assert_eq!(
            refusal(&claims, &first),
            Error::OriginMismatch(
                r#"The token does not speak for the origin of an object: "a\"b"; it speaks for "lab", "other""#.into()
            )
        );
    }

    #[test]
    fn messages_are_short_and_what_is_not_remembered_is_foreign() {
        let many: Vec<_> = (0..65).map(|number| format!("lab{number}")).collect();
        let claims = claims(&many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(foreign(&claims, &noted(&many[..64])), None);
        assert_eq!(
            foreign(&claims, &noted(&many)).as_deref(),
            Some("one of more than 64 origins, or one that is too long")
        );
        let long = foreign(&claims, &noted(&["é".repeat(100)])).expect("foreign");
        assert_eq!(long, format!("\"{}\"…", "é".repeat(SHOWN)));
        assert!(foreign(&claims, &noted(&["é".repeat(1000)])).is_some());
        let message = refusal(&claims, &long).to_string();
        assert!(message.ends_with(r#""lab14", "lab15" and 49 more"#), "{message}");
    }

    #[test]
    fn nothing_is_noted_where_nothing_can_be_found() {
        for policy in OriginPolicy::value_variants() {
            assert!(policy.watch(&Claims::nobody()).is_none());
            assert_eq!(policy.watch(&claims(&["lab"])).is_some(), *policy != OriginPolicy::Off);
            assert_eq!(policy.to_possible_value().expect("an option").get_name(), policy.as_str());
        }
    }
}
