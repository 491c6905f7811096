//! `kcidb log reanalyze`: has logs analysed again, because the parser is newer than what is stored, or because the database
//! was filled before this system read logs.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use ::db::logs::{Kind, Node};
use anyhow::bail;
use chrono::{DateTime, Utc};
use events::{PublishMetrics, Publisher};
use logspec_worker::{Catchup, Change, Preview, Request, Selection};
use tokio_util::sync::CancellationToken;

/// Has the logs of failed builds and tests analysed again.
///
/// Puts them on the queue logspec.catchup, which the log worker takes up slowly, beside its other work. Without --all only
/// those that the present version of their parser has not analysed. Issues and incidents are added; none is removed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How far back: a time such as 2026-01-31T00:00:00Z, or an age such as 7d.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: DateTime<Utc>,
    /// Only nodes of this origin.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Only nodes that this parser looks at.
    #[arg(long, value_name = "PARSER", value_parser = parser)]
    parser: Option<String>,
    /// Also nodes that the present version of their parser has analysed.
    #[arg(long)]
    all: bool,
    /// Analyse them here, print what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// The YAML file of the log worker that says which nodes' logs are analysed.
    #[arg(long, env = "KCIDB_LOGSPEC_CONFIG", value_name = "FILE")]
    logspec_config: Option<PathBuf>,
    /// How old a known issue may be.
    #[arg(long, env = "KCIDB_LOGSPEC_ISSUE_AGE", default_value = "25d", value_name = "DURATION", value_parser = humantime::parse_duration)]
    logspec_issue_age: Duration,
    #[command(flatten)]
    database: ::db::Options,
    #[command(flatten)]
    broker: events::Options,
    #[command(flatten)]
    fetch: logspec_worker::Fetch,
}

fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let age = humantime::parse_duration(text).map_err(|_| "it looks like 2026-01-31T00:00:00Z or 7d".to_owned())?;
    Ok(Utc::now() - age)
}

fn parser(name: &str) -> Result<String, String> {
    let names: Vec<&str> = logspec::ALL.iter().map(|parser| parser.name).collect();
    if names.contains(&name) { Ok(name.to_owned()) } else { Err(format!("there are {}", names.join(", "))) }
}

/// What is done with a node.
enum Action {
    Publish(Publisher),
    Show(Preview),
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let selection = Selection::load(args.logspec_config.as_deref())?;
    let catchup = Catchup::new(::db::Pool::new(&args.database)?, selection);
    let request = Request { since: args.since, origin: args.origin, parser: args.parser, all: args.all };
    let stop = CancellationToken::new();
    let action = if args.dry_run {
        Action::Show(Preview::new(&args.fetch, args.logspec_issue_age)?)
    } else {
        let metrics = PublishMetrics::new(&telemetry::metrics::Registry::default());
        Action::Publish(Publisher::start(args.broker.clone(), "kcidb", metrics, stop.clone()))
    };
    let mut count = 0;
    for kind in [Kind::Build, Kind::Test] {
        let mut last = None;
        while let Some((nodes, end)) = catchup.page(kind, &request, last.as_ref()).await? {
            for node in &nodes {
                action.take(&catchup, node).await?;
            }
            count += nodes.len();
            last = Some(end);
        }
    }
    stop.cancel();
    println!("{count} nodes {}", if args.dry_run { "would be analysed again" } else { "wait to be analysed again" });
    Ok(ExitCode::SUCCESS)
}

impl Action {
    async fn take(&self, catchup: &Catchup, node: &Node) -> anyhow::Result<()> {
        match self {
            Self::Publish(publisher) => publish(publisher, node).await,
            Self::Show(preview) => {
                show(node, preview.change(catchup, node).await?);
                Ok(())
            }
        }
    }
}

async fn publish(publisher: &Publisher, node: &Node) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_mins(1);
    let event = Catchup::event(node);
    if tokio::time::timeout(PATIENCE, publisher.publish_eventually(&event)).await.is_err() {
        bail!("the broker does not take requests (AMQP_URL); what was asked for before stays asked for");
    }
    Ok(())
}

fn show(node: &Node, change: Change) {
    let name = format!("{} {}", node.kind.as_str(), node.id);
    match change {
        Change::Failed(reason, detail) => println!("{name}: cannot be analysed: {reason}: {detail}"),
        Change::Incidents { added, missing } if added.is_empty() && missing.is_empty() => println!("{name}: no change"),
        Change::Incidents { added, missing } => {
            println!("{name}:");
            for issue in added {
                println!("  + {issue}");
            }
            for issue in missing {
                println!("  - {issue} (stays in the database)");
            }
        }
    }
}
