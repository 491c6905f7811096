//! `kcidb health`: asks a service whether it is well, for container health checks, since images have no shell.

use std::{process::ExitCode, time::Duration};

/// Asks a service whether it is well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 it answers 200, 1 it answers otherwise or not at all.")]
pub(crate) struct Args {
    /// What to ask, such as `http://127.0.0.1:8081/readyz?verbose`.
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8081/readyz?verbose")]
    url: reqwest::Url,
    /// Give up after this.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    timeout: Duration,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = reqwest::Client::builder().no_proxy().timeout(args.timeout).build()?;
    let answer = async {
        let response = client.get(args.url.clone()).send().await?;
        let status = response.status();
        Ok::<_, reqwest::Error>((status, response.text().await?))
    };
    match answer.await {
        Ok((status, text)) => {
            println!("{}", text.trim_end());
            Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}
