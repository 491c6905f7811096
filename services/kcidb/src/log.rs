//! `kcidb log`: what the analyser finds in a log; `parse` and `explain` send and store nothing.
//!
//! `parse` prints what the existing analyser prints for the same log, to the byte; `parse --findings` what the worker makes of
//! it; `explain` is for people.

use std::{
    fs,
    io::{self, BufWriter, IsTerminal as _, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use logspec::{Analysis, Finding, Kind, LineEnds, Log, Node, Parser, Place, Report, unpack};
use serde::Serialize;

use crate::reanalyze;

/// Finds the errors in the log of a build or a test.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Prints the errors in a log as JSON. Exit code 0 whatever is found, 1 when the log cannot be read or analysed.
    Parse(ParseArgs),
    /// Shows the errors in a log, each with its lines, state by state.
    Explain(ExplainArgs),
    /// Has the logs of failed builds and tests analysed again.
    Reanalyze(Box<reanalyze::Args>),
}

/// Which log, and how it is to be read.
#[derive(Debug, clap::Args)]
struct Source {
    /// The log, plain or compressed with gzip or zstd; `-` for the standard input
    // Not named `log`: that is an option of every command.
    #[arg(value_name = "LOG")]
    file: Option<PathBuf>,
    /// The parser, one of `kcidb log parse --list`; guessed when the log leaves no doubt
    #[arg(long, value_name = "PARSER")]
    parser: Option<String>,
    /// Analyse at most so many bytes of the (decompressed) log
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    max_size: usize,
}

/// Options of `parse`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own on the command line")]
pub(crate) struct ParseArgs {
    #[command(flatten)]
    source: Source,
    /// Print everything: also signatures, excerpts of the log, and the fields that are empty
    #[arg(long, conflicts_with_all = ["findings", "places", "list"])]
    full: bool,
    /// Print everything, and where it is: lines and bytes, and the versions of the analyser and the parser
    #[arg(long, conflicts_with_all = ["findings", "list"])]
    places: bool,
    /// Print the issues and incidents that would be made for a node with this log, if no issue were known
    #[arg(long, requires = "kind", requires = "node_id", requires = "origin", conflicts_with = "list")]
    findings: bool,
    /// The kind of node, which decides the parser: build, boot or kselftest
    #[arg(long, requires = "findings", conflicts_with = "parser", value_parser = kind, value_name = "KIND")]
    kind: Option<Kind>,
    /// The id of the node
    #[arg(long, requires = "findings", value_name = "ID")]
    node_id: Option<String>,
    /// The origin of the node
    #[arg(long, requires = "findings", value_name = "ORIGIN")]
    origin: Option<String>,
    /// Replace what is not UTF-8, instead of giving up (`--findings` always does)
    #[arg(long)]
    lossy: bool,
    /// Print the parsers that there are
    #[arg(long, conflicts_with = "file")]
    list: bool,
}

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    source: Source,
    /// Show at most so many lines of each error
    #[arg(long, value_name = "NUMBER", default_value_t = 12)]
    lines: usize,
    /// Show at most so many errors
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    errors: usize,
}

fn kind(name: &str) -> Result<Kind, &'static str> {
    Kind::named(name).ok_or("a node is a build, boot or kselftest")
}

/// Runs one of them.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(match args {
        Args::Parse(args) => print(|out| parse(&args, out)),
        Args::Explain(args) => print(|out| explain(&args, out)),
        Args::Reanalyze(args) => reanalyze::run(*args).await?,
    })
}

fn print(what: impl FnOnce(&mut BufWriter<io::StdoutLock<'static>>) -> anyhow::Result<()>) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = what(&mut out);
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kcidb: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever read the output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = match error.downcast_ref::<serde_json::Error>() {
        Some(error) => error.io_error_kind(),
        None => error.downcast_ref::<io::Error>().map(io::Error::kind),
    };
    kind == Some(io::ErrorKind::BrokenPipe)
}

fn parse(args: &ParseArgs, out: &mut impl Write) -> anyhow::Result<()> {
    if args.list {
        for parser in logspec::ALL {
            writeln!(out, "{:24} {:8} {}", parser.name, parser.version, parser.about)?;
        }
        return Ok(());
    }
    if let (Some(kind), Some(id), Some(origin)) = (args.kind, &args.node_id, &args.origin) {
        return findings(&args.source, &Node { id, origin, kind }, out);
    }
    let parser = args.source.named_parser()?;
    let log = args.source.text(args.lossy)?;
    let parser = parser.map_or_else(|| guessed(&log), Ok)?;
    let analysis = parser.analyse(&log)?;
    if args.places {
        write_json(&analysis.located(), out)?;
    } else {
        analysis.write_json(args.full, &mut *out)?;
        writeln!(out)?;
    }
    warn_if_stopped(&analysis);
    Ok(())
}

/// What the worker would make of the log, when no issue is known.
fn findings(source: &Source, node: &Node<'_>, out: &mut impl Write) -> anyhow::Result<()> {
    let log = source.log()?;
    let analysis = node.kind.parser().analyse(&log)?;
    write_json(&Report::new(&analysis, node, |_| None), out)?;
    warn_if_stopped(&analysis);
    Ok(())
}

fn write_json(value: &impl Serialize, out: &mut impl Write) -> anyhow::Result<()> {
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, formatter))?;
    writeln!(out)?;
    Ok(())
}

fn warn_if_stopped(analysis: &Analysis<'_>) {
    if let Some(gave_up) = &analysis.gave_up {
        eprintln!(
            "kcidb: gave up in state {} after line {}: {}; there may be more errors",
            gave_up.state, gave_up.place.last_line, gave_up.reason
        );
    }
}

impl Source {
    fn named_parser(&self) -> anyhow::Result<Option<&'static Parser>> {
        let named = |name: &String| {
            logspec::parser(name).with_context(|| format!("there is no parser {name}; there are {}", parser_names()))
        };
        self.parser.as_ref().map(named).transpose()
    }

    fn path(&self) -> anyhow::Result<&Path> {
        self.file.as_deref().context("no log is given (`-` for the standard input)")
    }

    /// The text as on the command line of the existing analyser: UTF-8 throughout (unless `lossy`), line ends made the same.
    fn text(&self, lossy: bool) -> anyhow::Result<Log> {
        let bytes = self.unpacked()?.bytes;
        if lossy {
            return Ok(Log::new(bytes, LineEnds::Universal));
        }
        Log::strict(bytes, LineEnds::Universal)
            .with_context(|| format!("{} (--lossy replaces what is not UTF-8)", self.name()))
    }

    /// The text as the worker reads it: what is not UTF-8 replaced, line ends as they are unless it was compressed.
    fn log(&self) -> anyhow::Result<Log> {
        let unpacked = self.unpacked()?;
        if unpacked.bytes.is_empty() {
            bail!("{}: empty log", self.name());
        }
        Ok(Log::new(unpacked.bytes, unpacked.packing.line_ends()))
    }

    fn unpacked(&self) -> anyhow::Result<unpack::Unpacked> {
        let bytes = read(self.path()?).with_context(|| format!("cannot read {}", self.name()))?;
        let unpacked = unpack::unpack(bytes, self.max_size).with_context(|| self.name())?;
        if unpacked.is_cut {
            eprintln!("kcidb: {}: only the first {} bytes are analysed (--max-size)", self.name(), self.max_size);
        }
        Ok(unpacked)
    }

    fn name(&self) -> String {
        self.file.as_deref().unwrap_or(Path::new("")).display().to_string()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    fs::read(path)
}

fn guessed(log: &Log) -> anyhow::Result<&'static Parser> {
    logspec::guess(log).with_context(|| {
        format!("it is not clear what this log is of; choose a parser with --parser: {}", parser_names())
    })
}

fn parser_names() -> String {
    logspec::ALL.iter().map(|parser| parser.name).collect::<Vec<_>>().join(", ")
}

fn explain(args: &ExplainArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let parser = args.source.named_parser()?;
    let log = args.source.log()?;
    let parser = parser.map_or_else(|| guessed(&log), Ok)?;
    let analysis = parser.analyse(&log)?;
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let paint = if io::stdout().is_terminal() && !is_plain { Paint::ANSI } else { Paint::NONE };
    Explanation { args, log: &log, analysis: &analysis, paint }.write(out)?;
    warn_if_stopped(&analysis);
    Ok(())
}

/// How things are made to stand out; nothing at all where nobody would see it.
#[derive(Clone, Copy)]
struct Paint {
    state: &'static str,
    error: &'static str,
    dim: &'static str,
    off: &'static str,
}

impl Paint {
    const ANSI: Self = Self { state: "\x1b[1m", error: "\x1b[31m", dim: "\x1b[2m", off: "\x1b[0m" };
    const NONE: Self = Self { state: "", error: "", dim: "", off: "" };
}

/// An analysis for people.
struct Explanation<'a> {
    args: &'a ExplainArgs,
    log: &'a Log,
    analysis: &'a Analysis<'a>,
    paint: Paint,
}

impl Explanation<'_> {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Paint { state, off, .. } = self.paint;
        let parser = self.analysis.parser;
        writeln!(out, "parser {} {}, analyser {}", parser.name, parser.version, logspec::VERSION)?;
        if let Some(signature) = self.analysis.signature {
            writeln!(out, "signature of the outcome {signature}")?;
        }
        for stage in &self.analysis.stages {
            let summary = match (stage.summary, stage.findings.len()) {
                ("", 0) => "nothing found",
                ("", _) => "errors found",
                (summary, _) => summary,
            };
            writeln!(out, "\n{state}{}{off}, {}: {summary}", stage.state, lines(&stage.place(self.log)))?;
            for index in stage.findings.clone().take_while(|index| *index < self.args.errors) {
                self.write_finding(index + 1, &self.analysis.findings[index], out)?;
            }
        }
        let more = self.analysis.findings.len().saturating_sub(self.args.errors);
        if more > 0 {
            writeln!(out, "\n… and {more} more errors (--errors)")?;
        }
        Ok(())
    }

    fn write_finding(&self, number: usize, finding: &Finding<'_>, out: &mut impl Write) -> io::Result<()> {
        let Paint { error, dim, off, .. } = self.paint;
        let summary = shown(&finding.error_summary.as_str());
        writeln!(out, "\n  {number}. {error}{}{off}: {summary}", shown(&finding.error_type.as_str()))?;
        write!(out, "     {dim}{}", lines(&finding.place))?;
        if let Some(bytes) = &finding.place.bytes {
            write!(out, ", bytes {} to {}", bytes.start, bytes.end)?;
        }
        match finding.signature {
            Some(signature) => writeln!(out, ", signature {signature}{off}")?,
            None => writeln!(out, ", no signature{off}")?,
        }
        let lines = finding.lines(self.log);
        // The end says as much as the beginning.
        let left_out = lines.len().saturating_sub(self.args.lines);
        let gap = self.args.lines - self.args.lines / 3;
        for (index, (number, line)) in lines.iter().enumerate() {
            if index == gap && left_out > 0 {
                writeln!(out, "     {dim}{:>7} {left_out} more lines (--lines){off}", "…")?;
            }
            if index < gap || index >= gap + left_out {
                writeln!(out, "     {dim}{number:7}{off} {}", shown(&line.as_str()))?;
            }
        }
        Ok(())
    }
}

fn lines(place: &Place) -> String {
    if place.first_line == place.last_line {
        format!("line {}", place.first_line)
    } else {
        format!("lines {} to {}", place.first_line, place.last_line)
    }
}

/// The text with its control characters made visible: a log must not steer the terminal.
fn shown(text: &str) -> String {
    let picture = |c: char| match u32::from(c) {
        0x09 => c,
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7F => '\u{2421}',
        0x80..0xA0 => char::REPLACEMENT_CHARACTER,
        _ => c,
    };
    text.trim_end_matches('\r').chars().map(picture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_does_not_steer_the_terminal() {
        assert_eq!(shown("a\x1b[31m\tb\x7f\u{9b}é\0\r"), "a\u{241b}[31m\tb\u{2421}\u{fffd}é\u{2400}");
    }
}
