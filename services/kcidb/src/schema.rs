//! `kcidb schema`: what each version of the I/O schema accepts, as JSON Schema.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use schema::{UnknownVersion, Version, json_schema};

/// Print the JSON Schema of a version.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// The version, for instance 4.2; the newest when not given
    #[arg(long, value_name = "VERSION", value_parser = parse)]
    version: Option<Version>,
}

fn parse(text: &str) -> Result<Version, UnknownVersion> {
    text.parse()
}

/// Prints it.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let schema = json_schema(args.version.unwrap_or(Version::NEWEST));
    writeln!(io::stdout(), "{schema:#}")?;
    Ok(ExitCode::SUCCESS)
}
