//! `kcidb`: every service and every tool of KCIDB-ng in one command.

mod broker;
mod client;
mod db;
mod demo;
mod health;
mod log;
mod metrics;
mod queue;
mod reanalyze;
mod run;
mod schema;
mod spool;
mod status;
mod submit;
mod token;
mod up;
mod users;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use telemetry::Traces;

/// Takes in the test results of the Linux kernel's CI world.
#[derive(Debug, Parser)]
#[command(name = "kcidb", version, infer_subcommands = true)]
struct Cli {
    #[command(flatten)]
    logs: telemetry::logs::Options,
    #[command(flatten)]
    traces: telemetry::traces::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Starts the whole system here: private PostgreSQL and RabbitMQ, and every service.
    Up(up::UpArgs),
    /// Stops what `up --detach` started.
    Down(up::DownArgs),
    /// Starts the system, submits a sample, shows what became of it, and stops.
    Demo(demo::Args),
    /// Runs one service, or all of them in one process.
    #[command(subcommand)]
    Run(Box<run::Args>),
    /// Sends submissions.
    Submit(submit::Args),
    /// Asks what became of submissions.
    Status(status::Args),
    /// Checks documents against the I/O schema.
    Validate(validate::Args),
    /// Prints the I/O schema.
    Schema(schema::Args),
    /// Finds the errors in the log of a build or a test.
    #[command(subcommand)]
    Log(log::Args),
    /// Makes tokens and looks into them.
    #[command(subcommand)]
    Token(token::Args),
    /// Prepares the database and checks it.
    #[command(subcommand)]
    Db(db::Args),
    /// Prepares the broker, shows its queues, and deals with dead letters.
    #[command(subcommand)]
    Queue(queue::Args),
    /// Looks at the files of the spool, puts them back, removes old ones.
    #[command(subcommand)]
    Spool(spool::Args),
    /// Asks a service whether it is well.
    Health(health::Args),
    /// Prints what the services tell Prometheus: every metric with its type, its labels and their bounds (Markdown).
    Metrics,
    /// Prints the shell's completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let traces = match observe(&cli) {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("kcidb: {error}");
            return ExitCode::from(2);
        }
    };
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("this is the first and only provider");
    let code = match execute(cli.command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kcidb: {}", one_line(&error));
            ExitCode::from(2)
        }
    };
    traces.finish().await;
    code
}

/// An error with its causes, without those that the text before has told already.
fn one_line(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        told if told.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}

fn observe(cli: &Cli) -> anyhow::Result<Traces> {
    let traces = Traces::start(&cli.traces)?;
    telemetry::logs::init(&cli.logs, &traces)?;
    Ok(traces)
}

async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::up(args).await,
        Command::Down(args) => up::down(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Run(args) => run::run(*args).await,
        Command::Submit(args) => submit::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Validate(args) => validate::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Log(args) => log::run(args).await,
        Command::Token(args) => token::run(args),
        Command::Db(args) => db::run(args).await,
        Command::Queue(args) => queue::run(args).await,
        Command::Spool(args) => tokio::task::block_in_place(|| spool::run(args)),
        Command::Health(args) => health::run(args).await,
        Command::Metrics => metrics::run(),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "kcidb", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
