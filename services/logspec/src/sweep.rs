//! The sweep: failed nodes that no event told of, logs that are due for another try, and events that a killed process did
//! not publish. Several workers may sweep at once.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use db::logs::{self, Kind, Node, Wanted};
use futures::{StreamExt as _, stream};

use crate::{
    config,
    worker::{Why, Worker},
    write::Stopped,
};

/// Rows of one page.
const PAGE: i64 = 500;
/// Nodes in hand at once: few, for events come first.
const AT_ONCE: usize = 2;
/// A mark whose events are not published after this long belongs to a process that is gone.
const UNPUBLISHED: Duration = Duration::from_mins(2);

/// Why a sweep ended early.
enum Interrupted {
    Database(db::Error),
    Stopped,
}

impl From<db::Error> for Interrupted {
    fn from(error: db::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Stopped> for Interrupted {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Sweeps until shutdown.
pub(crate) async fn run(worker: Arc<Worker>, options: config::Sweep) {
    loop {
        if worker.shutdown.run_until_cancelled(tokio::time::sleep(options.every)).await.is_none() {
            return;
        }
        match sweep(&worker, &options).await {
            Ok(()) => {}
            Err(Interrupted::Database(error)) => tracing::warn!(%error, "the database cannot be swept now"),
            Err(Interrupted::Stopped) => return,
        }
    }
}

async fn sweep(worker: &Worker, options: &config::Sweep) -> Result<(), Interrupted> {
    for mark in logs::unannounced(&mut *worker.pool.get().await?, Utc::now() - UNPUBLISHED, PAGE).await? {
        worker.announce(&mark).await?;
    }
    loop {
        let due = logs::take_due(&mut *worker.pool.get().await?, PAGE / 10).await?;
        if due.is_empty() {
            break;
        }
        process(worker, due, Why::Due).await?;
    }
    let (since, until) = span(options);
    for kind in [Kind::Build, Kind::Test] {
        let mut last = None;
        loop {
            let page = unmarked(worker, kind, (since, until), last.as_ref()).await?;
            let Some(end) = page.last().cloned() else { break };
            last = Some(end);
            let (chosen, skipped): (Vec<Node>, Vec<Node>) =
                page.into_iter().partition(|node| worker.selection.choose(node).is_some());
            worker.metrics.swept.inc_by(chosen.len() as u64);
            worker.skip(&skipped.iter().collect::<Vec<_>>(), None).await?;
            process(worker, chosen, Why::Unmarked).await?;
        }
    }
    Ok(())
}

/// From when to when the sweep looks: old enough that events have had their time.
fn span(options: &config::Sweep) -> (DateTime<Utc>, DateTime<Utc>) {
    let now = Utc::now();
    (now - options.back, now - options.age)
}

async fn unmarked(
    worker: &Worker,
    kind: Kind,
    (since, until): (DateTime<Utc>, DateTime<Utc>),
    last: Option<&Node>,
) -> Result<Vec<Node>, db::Error> {
    let (origins, statuses) = (worker.selection.origins(), worker.selection.statuses());
    let wanted = Wanted { kind, since, until, origins: origins.as_deref(), statuses: &statuses, marked: false };
    logs::nodes(&mut *worker.pool.get().await?, &wanted, last, PAGE).await
}

async fn process(worker: &Worker, nodes: Vec<Node>, why: Why) -> Result<(), Stopped> {
    let mut results = stream::iter(nodes)
        .map(|node| async move {
            if worker.shutdown.is_cancelled() {
                return Err(Stopped);
            }
            worker.process(&node, None, why).await.map(drop)
        })
        .buffer_unordered(AT_ONCE);
    while let Some(result) = results.next().await {
        result?;
    }
    Ok(())
}

/// Prints the nodes that would be handled now, and changes nothing.
pub(crate) async fn print(worker: &Worker, options: &config::Sweep) -> Result<(), db::Error> {
    let mut count = 0;
    for kind in [Kind::Build, Kind::Test] {
        let (since, until) = span(options);
        let mut last = None;
        loop {
            let page = unmarked(worker, kind, (since, until), last.as_ref()).await?;
            let Some(end) = page.last().cloned() else { break };
            last = Some(end);
            for node in &page {
                if let Some(choice) = worker.selection.choose(node) {
                    println!("{} {} {}", kind.as_str(), node.id, choice.parser.name);
                    count += 1;
                }
            }
        }
    }
    println!("{count} nodes would be handled; nothing is, because of KCIDB_DRY_RUN");
    Ok(())
}
