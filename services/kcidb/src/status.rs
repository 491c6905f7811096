//! `kcidb status`: what became of submissions.

use std::{process::ExitCode, time::Duration};

use serde_json::Value;

use crate::client::{Answer, Client, Server};

/// Asks what became of submissions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 all loaded or on their way, 1 some failed or are not known, 2 no answer.")]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The ids that the gateway answered with.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Wait until each one is loaded or rejected.
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "DURATION")]
    timeout: Duration,
    /// Print the server's answers as JSON lines.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.server.client()?;
    let mut worst = 0;
    for id in &args.ids {
        let answer = if args.wait { wait(&client, id, args.timeout).await } else { client.status(id).await };
        worst = worst.max(match answer {
            Ok(answer) => report(&args, &answer),
            Err(error) => {
                eprintln!("{id}: {error:#}");
                2
            }
        });
    }
    Ok(ExitCode::from(worst))
}

fn report(args: &Args, answer: &Answer) -> u8 {
    if args.json {
        println!("{}", answer.body);
    } else {
        let detail = Some(answer.text("reason")).filter(|reason| !reason.is_empty()).unwrap_or(answer.text("message"));
        println!("{} {} ({detail})", answer.text("id"), answer.text("status"));
        print_faults(answer);
    }
    u8::from(!answer.status.is_success() || answer.text("status") == "failed")
}

/// Prints the faults of an answer, one a line.
pub(crate) fn print_faults(answer: &Answer) {
    let text = |fault: &Value, name: &str| fault.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    for fault in answer.body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        eprintln!("  {}: {} [{}]", text(fault, "path"), text(fault, "message"), text(fault, "code"));
    }
}

/// Asks until the submission is loaded or rejected, or the time is over; the last answer.
pub(crate) async fn wait(client: &Client, id: &str, timeout: Duration) -> anyhow::Result<Answer> {
    let deadline = tokio::time::Instant::now() + timeout;
    let mut pause = Duration::from_millis(50);
    loop {
        let answer = client.status(id).await?;
        let waiting = matches!(answer.text("status"), "inprogress" | "ready");
        if !waiting || tokio::time::Instant::now() >= deadline {
            return Ok(answer);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
