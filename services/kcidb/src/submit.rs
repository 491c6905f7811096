//! `kcidb submit`: sends documents, and on request waits for what becomes of them.

use std::{
    io::{IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use futures::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::value::RawValue;

use crate::{
    client::{Answer, Client, Server},
    status,
};

/// Sends submissions.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all accepted (with --wait: and loaded), 1 some were refused, 2 some could not be read or sent."
)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Files to send, one document each; `-` or nothing reads standard input, where documents may follow one another.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Wait until each one is loaded or rejected, and say so.
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "DURATION")]
    timeout: Duration,
    /// How many are sent at once.
    #[arg(long, default_value_t = 4, value_name = "N")]
    parallel: usize,
    /// Print the server's answers as JSON lines instead of ids.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.server.client()?;
    let mut sources: Vec<PathBuf> = args.files.clone();
    if sources.is_empty() {
        sources.push("-".into());
    }
    let mut documents: Vec<(String, anyhow::Result<Vec<u8>>)> = Vec::new();
    let mut files = Vec::new();
    for source in sources {
        if source == Path::new("-") {
            documents.extend(standard_input()?.into_iter().map(|document| ("standard input".into(), Ok(document))));
        } else {
            files.push(source);
        }
    }
    let progress = progress(documents.len() + files.len());
    // Files are read when their turn comes: a thousand large ones must not be in memory at once.
    let files = files.into_iter().map(|path| {
        let name = path.display().to_string();
        (name.clone(), std::fs::read(path).with_context(|| format!("cannot read {name}")))
    });
    let mut worst = 0;
    let mut results = stream::iter(documents.into_iter().chain(files))
        .map(|(name, document)| send(&client, &args, name, document))
        .buffered(args.parallel.max(1));
    while let Some((name, result)) = results.next().await {
        progress.inc(1);
        let code = progress.suspend(|| report(&args, &name, result));
        worst = worst.max(code);
    }
    progress.finish_and_clear();
    Ok(ExitCode::from(worst))
}

async fn send(
    client: &Client,
    args: &Args,
    name: String,
    document: anyhow::Result<Vec<u8>>,
) -> (String, anyhow::Result<Answer>) {
    let result = async {
        let accepted = client.submit(document?).await?;
        if !args.wait || !accepted.status.is_success() {
            return Ok(accepted);
        }
        let id = accepted.text("id").to_owned();
        status::wait(client, &id, args.timeout).await
    };
    (name, result.await)
}

/// Prints one result; 0 accepted, 1 refused, 2 not sent.
fn report(args: &Args, name: &str, result: anyhow::Result<Answer>) -> u8 {
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            return 2;
        }
    };
    let good = answer.status.is_success() && answer.text("status") != "failed";
    if args.json {
        println!("{}", answer.body);
    } else if good && args.wait {
        println!("{} {}", answer.text("id"), answer.text("status"));
    } else if good {
        println!("{}", answer.text("id"));
    }
    if !good {
        eprintln!("{name}: {} {}", answer.status.as_u16(), answer.text("message"));
        status::print_faults(&answer);
    }
    u8::from(!good)
}

fn standard_input() -> anyhow::Result<Vec<Vec<u8>>> {
    if std::io::stdin().is_terminal() {
        eprintln!("reading documents from standard input (Ctrl-D ends)");
    }
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("cannot read standard input")?;
    let documents: Result<Vec<Box<RawValue>>, _> = serde_json::Deserializer::from_slice(&text).into_iter().collect();
    match documents {
        Ok(documents) if !documents.is_empty() => {
            Ok(documents.iter().map(|raw| raw.get().as_bytes().to_vec()).collect())
        }
        // What is not JSON goes as it is: the gateway says precisely what is wrong.
        _ => Ok(vec![text]),
    }
}

fn progress(count: usize) -> ProgressBar {
    if count < 2 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} sent, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count as u64).with_style(style)
}
