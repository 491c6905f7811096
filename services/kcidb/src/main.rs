//! `kcidb`: every service and every tool of KCIDB-ng in one command.

mod client;
mod db;
mod demo;
mod reanalyze;
mod run;
mod schema;
mod status;
mod submit;
mod token;
mod up;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

/// Takes in the test results of the Linux kernel's CI world.
#[derive(Debug, Parser)]
#[command(name = "kcidb", version, infer_subcommands = true)]
struct Cli {
    #[command(flatten)]
    logs: telemetry::logs::Options,
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
    /// Makes tokens and looks into them.
    #[command(subcommand)]
    Token(token::Args),
    /// Prepares the database and checks it.
    #[command(subcommand)]
    Db(db::Args),
    /// Works on logs.
    #[command(subcommand)]
    Log(LogCommand),
    /// Prints the shell's completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Subcommand)]
enum LogCommand {
    /// Has the logs of failed builds and tests analysed again.
    Reanalyze(Box<reanalyze::Args>),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::logs::init(&cli.logs) {
        eprintln!("kcidb: {error}");
        return ExitCode::from(2);
    }
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("this is the first and only provider");
    match execute(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kcidb: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
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
        Command::Token(args) => token::run(args),
        Command::Db(args) => db::run(args).await,
        Command::Log(LogCommand::Reanalyze(args)) => reanalyze::run(*args).await,
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
