//! The secrets of a service.

use std::{fmt, path::PathBuf};

use clap::Args;

use crate::Verifier;

/// The secrets that tokens are checked with.
#[derive(Clone, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Tokens")]
pub struct Options {
    /// The secret that tokens are signed with; empty switches authentication off. The environment variable `JWT_SECRET` is stronger.
    #[arg(short = 'j', long, value_name = "SECRET")]
    pub jwt_secret: Option<String>,
    /// The secret by environment, which wins over the flag as it always did.
    #[arg(long, env = "JWT_SECRET", hide = true, hide_env_values = true)]
    pub jwt_secret_by_env: Option<String>,
    /// A file that holds the secret, for when it shall be in no argument and no environment.
    #[arg(long, env = "JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// Older secrets that are still accepted while tokens are replaced, separated by commas.
    #[arg(long, env = "KCIDB_JWT_OLD_SECRETS", value_name = "SECRETS", value_delimiter = ',', hide_env_values = true)]
    pub jwt_old_secrets: Vec<String>,
    /// A second secret, shared by all services of the project; empty is none. The environment variable `UNIFIED_SECRET` is stronger.
    #[arg(long, value_name = "SECRET")]
    pub unified_secret: Option<String>,
    /// The second secret by environment, which wins over the flag as it always did.
    #[arg(long, env = "UNIFIED_SECRET", hide = true, hide_env_values = true)]
    pub unified_secret_by_env: Option<String>,
    /// A file that holds the second secret.
    #[arg(long, env = "UNIFIED_SECRET_FILE", value_name = "FILE")]
    pub unified_secret_file: Option<PathBuf>,
    /// Audiences of which a token must name one, if it names any; without this, audiences are ignored.
    #[arg(long, env = "KCIDB_JWT_AUDIENCES", value_name = "AUDIENCES", value_delimiter = ',')]
    pub jwt_audiences: Vec<String>,
}

/// Wrong secrets.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// No secret at all.
    #[error(
        "no secret for tokens: set JWT_SECRET (--jwt-secret, or JWT_SECRET_FILE); an empty JWT_SECRET switches authentication off"
    )]
    NoSecret,
    /// A secret's file cannot be read.
    #[error("{option}: cannot read {}: {source}", path.display())]
    File {
        /// The option that names the file.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Both the secret and its file.
    #[error("{0} and {0}_FILE are both given: use one of them")]
    Both(&'static str),
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("jwt_secret_file", &self.jwt_secret_file)
            .field("unified_secret_file", &self.unified_secret_file)
            .field("jwt_audiences", &self.jwt_audiences)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The options of a service with this one secret.
    pub fn of(secret: &str) -> Self {
        Self { jwt_secret: Some(secret.to_owned()), ..Self::default() }
    }

    /// The secret that new tokens are signed with; empty when authentication is off.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read.
    pub fn primary(&self) -> Result<String, OptionsError> {
        one_of(
            "JWT_SECRET",
            self.jwt_secret_by_env.as_ref().or(self.jwt_secret.as_ref()),
            self.jwt_secret_file.as_ref(),
        )?
        .ok_or(OptionsError::NoSecret)
    }

    /// The verifier; `None` when the primary secret is empty: authentication is off.
    ///
    /// # Errors
    /// When there is no primary secret, or a file cannot be read.
    pub fn verifier(&self) -> Result<Option<Verifier>, OptionsError> {
        let primary = self.primary()?;
        if primary.is_empty() {
            return Ok(None);
        }
        let unified = self.unified_secret_by_env.as_ref().or(self.unified_secret.as_ref());
        let unified = one_of("UNIFIED_SECRET", unified, self.unified_secret_file.as_ref())?;
        let old = self.jwt_old_secrets.iter().filter(|secret| !secret.is_empty()).cloned();
        let secrets: Vec<String> = std::iter::once(primary).chain(old).collect();
        Ok(Some(Verifier::new(&secrets, unified.as_deref().filter(|secret| !secret.is_empty()), &self.jwt_audiences)))
    }
}

fn one_of(
    option: &'static str,
    value: Option<&String>,
    file: Option<&PathBuf>,
) -> Result<Option<String>, OptionsError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(OptionsError::Both(option)),
        (value, None) => Ok(value.cloned()),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map(|text| Some(text.trim_end_matches(['\r', '\n']).to_owned()))
            .map_err(|source| OptionsError::File { option, path: path.clone(), source }),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Options {
        // The environment of whoever runs the tests must not matter.
        let command = Command::command().mut_args(|argument| argument.env(None::<&str>));
        let matches = command.try_get_matches_from([&["test"], arguments].concat()).expect("valid arguments");
        Command::from_arg_matches(&matches).expect("valid arguments").options
    }

    #[test]
    fn no_secret_is_an_error_and_an_empty_one_is_a_choice() {
        assert!(matches!(parse(&[]).verifier(), Err(OptionsError::NoSecret)));
        assert!(parse(&["-j", ""]).verifier().expect("a choice").is_none());
        assert!(parse(&["-j", "x"]).verifier().expect("a secret").is_some());
    }

    #[test]
    fn the_environment_is_stronger_than_the_flag() {
        let options = parse(&["-j", "flag", "--jwt-secret-by-env", "env"]);
        assert_eq!(options.primary().expect("a secret"), "env");
        let off = parse(&["-j", "flag", "--jwt-secret-by-env", ""]);
        assert!(off.verifier().expect("a choice").is_none());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = parse(&["--jwt-secret-file", "/nowhere/x"]).primary().expect_err("no such file").to_string();
        assert!(error.contains("JWT_SECRET") && error.contains("/nowhere/x"), "{error}");
    }

    #[test]
    fn no_secret_shows_in_debug() {
        let shown = format!("{:?}", parse(&["-j", "hidden1", "--unified-secret", "hidden2"]));
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
