//! `kcidb token`: makes tokens and looks into them.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// Makes tokens and looks into them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Makes a token for a lab and prints it.
    Mint {
        /// The lab's origin.
        #[arg(value_name = "ORIGIN")]
        origin: String,
        /// Further origins that the token may speak for; `*` is every origin.
        #[arg(long = "also", value_name = "ORIGIN")]
        origins: Vec<String>,
        /// How long the token is good.
        #[arg(long, default_value = "5y", value_parser = humantime::parse_duration, value_name = "DURATION")]
        expires: Duration,
        #[command(flatten)]
        secrets: auth::Options,
    },
    /// Shows what a token says, and whether it would be accepted when a secret is given.
    Inspect {
        /// The token; read from standard input when not given.
        #[arg(value_name = "TOKEN")]
        token: Option<String>,
        #[command(flatten)]
        secrets: auth::Options,
    },
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args {
        Args::Mint { origin, origins, expires, secrets } => {
            let secret = secrets.primary()?;
            if secret.is_empty() {
                bail!("the secret is empty: authentication is off, and no token is needed");
            }
            let expires_at =
                chrono::Utc::now() + chrono::Duration::from_std(expires).context("--expires is too long")?;
            println!("{}", auth::mint(&secret, &auth::Mint { origin, origins, expires_at }));
            Ok(ExitCode::SUCCESS)
        }
        Args::Inspect { token, secrets } => {
            let token = match token {
                Some(token) => token,
                None => std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
            };
            inspect(token.trim(), &secrets)
        }
    }
}

fn inspect(token: &str, secrets: &auth::Options) -> anyhow::Result<ExitCode> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        bail!("this is no token: a token has three parts with dots between them");
    };
    let (header, payload) = (decode(header).context("the first part")?, decode(payload).context("the second part")?);
    println!("header   {header}");
    println!("claims   {payload}");
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are enough, and the cast saturates")]
    let seconds = payload.get("exp").and_then(Value::as_f64).map(|at| at as i64);
    if let Some(expires) = seconds.and_then(|at| chrono::DateTime::from_timestamp(at, 0)) {
        println!("expires  {}", expires.to_rfc3339());
    }
    let verifier = match secrets.verifier() {
        Ok(Some(verifier)) => verifier,
        Ok(None) => {
            println!("verdict  authentication is off: every request passes");
            return Ok(ExitCode::SUCCESS);
        }
        Err(auth::OptionsError::NoSecret) => {
            println!("verdict  unknown: give JWT_SECRET to check the signature");
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(error.into()),
    };
    match verifier.verify(token) {
        Ok(claims) => {
            println!("verdict  good, for {:?}, origin {:?}", claims.origins, claims.origin);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!("verdict  refused: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn decode(part: &str) -> anyhow::Result<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).context("is not base64url")?;
    serde_json::from_slice(&bytes).context("is not JSON")
}
