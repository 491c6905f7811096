//! `kcidb validate`: what would become of a submission, without sending it.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use schema::{Options, Verdict};
use serde::Serialize;

/// Could not read a file.
const UNREADABLE: u8 = 2;
const INVALID: u8 = 1;

/// Check submissions against the schema: exit code 0 when all are accepted, 1 when one is not, 2 when one cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The files; `-` or none for the standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the document as the newest version (verdicts then go to the standard error)
    #[arg(long)]
    upgrade: bool,
    /// Print one line of JSON for each file
    #[arg(long)]
    json: bool,
    /// Refuse documents whose upgraded form is not valid in the newest version
    #[arg(long)]
    strict: bool,
    /// Report at most so many faults of each file
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    max_faults: usize,
    /// Use so many cores for large files; all when not given
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

/// A line of `--json` about a file that cannot be read.
#[derive(Serialize)]
struct Unread<'a> {
    file: &'a str,
    error: &'a str,
}

/// Checks all files; the worst of them decides the exit code.
pub(crate) fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    if args.files.is_empty() {
        args.files.push(PathBuf::from("-"));
    }
    let options = Options {
        strict: args.strict,
        max_faults: args.max_faults,
        threads: args.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
        ..Options::default()
    };
    let progress = progress(&args);
    let mut worst = 0;
    for file in &args.files {
        progress.set_message(file.display().to_string());
        let code = progress.suspend(|| one(&args, &options, file, &mut io::stdout().lock()));
        worst = worst.max(code.context("cannot write the verdict")?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(ExitCode::from(worst))
}

/// A bar for many files, where somebody can see it.
fn progress(args: &Args) -> ProgressBar {
    if args.files.len() < 2 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}").expect("the template is well-formed");
    ProgressBar::new(args.files.len() as u64).with_style(style)
}

fn one(args: &Args, options: &Options, file: &Path, out: &mut impl Write) -> io::Result<u8> {
    let name = file.to_string_lossy();
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            let error = error.to_string();
            if args.json {
                writeln!(out, "{}", serde_json::to_string(&Unread { file: &name, error: &error })?)?;
            }
            writeln!(io::stderr(), "{name}: cannot be read: {error}")?;
            return Ok(UNREADABLE);
        }
    };
    let verdict = if args.upgrade { Verdict::with_upgraded(&text, options) } else { Verdict::of(&text, options) };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&Line { file: &name, verdict: &verdict })?)?;
    } else if args.upgrade {
        if let Some(upgraded) = &verdict.upgraded {
            writeln!(out, "{upgraded}")?;
        }
        tell(&name, &verdict, &mut io::stderr().lock())?;
    } else {
        tell(&name, &verdict, out)?;
    }
    Ok(if verdict.accepted { 0 } else { INVALID })
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text)?;
        return Ok(text);
    }
    fs::read(file)
}

/// The verdict for people.
fn tell(name: &str, verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    let version =
        verdict.version.map_or_else(|| "of no known version".to_owned(), |version| format!("of version {version}"));
    if let Some(counts) = &verdict.counts {
        return writeln!(
            out,
            "{name}: accepted, {version}: checkouts {}, builds {}, tests {}, issues {}, incidents {}",
            counts.checkouts, counts.builds, counts.tests, counts.issues, counts.incidents
        );
    }
    let what = if verdict.valid { "valid but cannot be upgraded" } else { "not valid" };
    writeln!(out, "{name}: {what}, {version}, faults: {}", verdict.fault_count)?;
    for fault in &verdict.faults {
        writeln!(out, "  [{}] {fault}", fault.code)?;
    }
    let more = verdict.fault_count - verdict.faults.len();
    if more > 0 {
        writeln!(out, "  … and {more} more (--max-faults)")?;
    }
    Ok(())
}
