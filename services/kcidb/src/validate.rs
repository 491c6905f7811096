//! `kcidb validate`: what would become of a submission, without sending it.

use std::{
    fs,
    io::{self, IsTerminal as _, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use schema::{Document, Options, Upgraded, Verdict};
use serde::Serialize;

/// Could not read a file.
const UNREADABLE: u8 = 2;
const INVALID: u8 = 1;
/// How often the sign of progress moves.
const TICK: Duration = Duration::from_millis(200);

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
        let code = one(&args, &options, file, &progress);
        worst = worst.max(code.context("cannot write the verdict")?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(ExitCode::from(worst))
}

/// A bar for many files, a turning sign with the time for a single one; where somebody can see it.
fn progress(args: &Args) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = if args.files.len() < 2 { "{spinner} {elapsed} {msg}" } else { "{wide_bar} {pos}/{len} {msg}" };
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    let progress = ProgressBar::new(args.files.len() as u64).with_style(style);
    progress.enable_steady_tick(TICK);
    progress
}

/// Checks a file and says what is to be said; the sign of progress gives way to that alone.
fn one(args: &Args, options: &Options, file: &Path, progress: &ProgressBar) -> io::Result<u8> {
    let name = file.to_string_lossy();
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => return progress.suspend(|| unread(args, &name, &error)),
    };
    if args.upgrade {
        return upgrade(args, options, &name, &text, progress);
    }
    let verdict = Verdict::of(&text, options);
    let mut out = io::stdout().lock();
    progress.suspend(|| {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&Line { file: &name, verdict: &verdict })?)
        } else {
            tell(&name, &verdict, &mut out)
        }
    })?;
    Ok(code(&verdict))
}

fn unread(args: &Args, name: &str, error: &io::Error) -> io::Result<u8> {
    let error = error.to_string();
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&Unread { file: name, error: &error })?)?;
    }
    writeln!(io::stderr(), "{name}: cannot be read: {error}")?;
    Ok(UNREADABLE)
}

/// As [`one`], and writes the document in the newest version, piece by piece: it may be large.
fn upgrade(args: &Args, options: &Options, name: &str, text: &[u8], progress: &ProgressBar) -> io::Result<u8> {
    let document = Document::open(text);
    let upgraded = document.as_ref().map_err(Clone::clone).and_then(|document| document.upgrade(options));
    let verdict = upgraded.as_ref().map_or_else(|rejection| rejection.clone().into(), Upgraded::verdict);
    progress.suspend(|| tell_upgraded(args, name, &verdict, upgraded.as_ref().ok()))?;
    Ok(code(&verdict))
}

fn tell_upgraded(args: &Args, name: &str, verdict: &Verdict, upgraded: Option<&Upgraded<'_, '_>>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        let line = serde_json::to_string(&Line { file: name, verdict })?;
        match (upgraded, line.strip_suffix('}')) {
            (Some(upgraded), Some(line)) => {
                write!(out, "{line},\"upgraded\":")?;
                upgraded.write(&mut out)?;
                writeln!(out, "}}")?;
            }
            _ => writeln!(out, "{line}")?,
        }
    } else {
        if let Some(upgraded) = upgraded {
            upgraded.write(&mut out)?;
            writeln!(out)?;
        }
        tell(name, verdict, &mut io::stderr().lock())?;
    }
    out.flush()
}

fn code(verdict: &Verdict) -> u8 {
    if verdict.accepted { 0 } else { INVALID }
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
