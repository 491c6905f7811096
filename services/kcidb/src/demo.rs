//! `kcidb demo`: one submission's way through the whole system, to look at.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;
use tokio_util::sync::CancellationToken;

use crate::{
    client::Client,
    status,
    up::{System, UpArgs},
};

/// A checkout with a good and a failed build, and two tests.
const SAMPLE: &str = include_str!("sample.json");

/// What to show of the rows.
const QUERIES: [(&str, &str); 3] = [
    (
        "checkouts",
        "SELECT concat_ws('  ', id, tree_name, git_commit_name) FROM checkouts WHERE origin = 'example' ORDER BY id",
    ),
    (
        "builds",
        "SELECT concat_ws('  ', id, architecture, compiler, status) FROM builds WHERE origin = 'example' ORDER BY id",
    ),
    (
        "tests",
        "SELECT concat_ws('  ', id, path, status, misc->>'runtime') FROM tests WHERE origin = 'example' ORDER BY id",
    ),
];

/// Starts the system, submits a sample, shows what became of it, and stops.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder for servers and spool.
    #[arg(long, default_value = "var", value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        up: UpArgs,
    }
    stack::install()?;
    let mut up = Line::try_parse_from(["kcidb"])?.up;
    up.dir = args.dir;
    let system = System::start(&up, CancellationToken::new()).await?;
    let shown = show(&system).await;
    system.stop().await;
    shown
}

async fn show(system: &System) -> anyhow::Result<ExitCode> {
    let client = Client::new(system.info.submit_url.parse()?, Some(system.info.token.clone()), 5)?;
    println!("\nPOST /submit, with a checkout, a good and a failed build, and two tests");
    let accepted = client.submit(SAMPLE.into()).await?;
    println!("{:#}", accepted.body);
    println!("\nGET /status");
    let answer = status::wait(&client, accepted.text("id"), Duration::from_mins(1)).await?;
    println!("{:#}", answer.body);
    let (database, connection) = tokio_postgres::connect(&system.info.database_url, tokio_postgres::NoTls)
        .await
        .context("cannot look into the database")?;
    tokio::spawn(connection);
    for (table, query) in QUERIES {
        println!("\nrows of {table}");
        for row in database.query(query, &[]).await? {
            println!("  {}", row.get::<_, &str>(0));
        }
    }
    println!("\n{} is {}", accepted.text("id"), answer.text("status"));
    Ok(if answer.text("status") == "processed" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
