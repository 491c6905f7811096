//! The ledger's consumer: every event of the system becomes what it says about a submission.

use std::time::Duration;

use db::{
    ledger::{Entry, State},
    logs::Note,
};
use events::{Consumer, Data, Delivery, Event, Outcome, consume, v1};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Events in hand at once, and so the most that one statement writes.
pub(crate) const PREFETCH: u16 = 500;
/// How long a write waits for more events.
const GATHER: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

type Recorded = (Said, oneshot::Sender<()>);

/// What an event says.
#[derive(Debug)]
enum Said {
    /// Of its submission.
    Entry(Box<Entry>),
    /// Of a failed node that a submission brought.
    Note(Note),
}

/// Keeps the ledger until shutdown.
pub(crate) async fn keep(consumer: Consumer, pool: db::Pool, shutdown: CancellationToken) {
    let (sender, receiver) = mpsc::channel(usize::from(PREFETCH));
    let writer = tokio::spawn(write(pool, receiver, shutdown.clone()));
    consume(consumer, shutdown, move |delivery| handle(sender.clone(), delivery)).await;
    let _ = writer.await;
    tracing::info!("the ledger has finished");
}

async fn handle(entries: mpsc::Sender<Recorded>, delivery: Delivery) -> Outcome {
    let Some(said) = said(delivery.event) else { return Outcome::Done };
    let (done, recorded) = oneshot::channel();
    if entries.send((said, done)).await.is_err() {
        return Outcome::Abandon;
    }
    match recorded.await {
        Ok(()) => Outcome::Done,
        Err(_) => Outcome::Abandon,
    }
}

async fn write(pool: db::Pool, mut entries: mpsc::Receiver<Recorded>, shutdown: CancellationToken) {
    while let Some(first) = entries.recv().await {
        let (mut batch, mut done) = (vec![first.0], vec![first.1]);
        while let Ok(Some((entry, sender))) = tokio::time::timeout(GATHER, entries.recv()).await {
            batch.push(entry);
            done.push(sender);
            if batch.len() >= usize::from(PREFETCH) {
                break;
            }
        }
        if !record(&pool, &batch, &shutdown).await {
            // Dropped senders say that the events are not recorded.
            return;
        }
        for sender in done {
            let _ = sender.send(());
        }
    }
}

/// Records what events say, however long the database is away; false when the process stops first.
async fn record(pool: &db::Pool, batch: &[Said], shutdown: &CancellationToken) -> bool {
    let (mut entries, mut notes) = (Vec::new(), Vec::new());
    for said in batch {
        match said {
            Said::Entry(entry) => entries.push((**entry).clone()),
            Said::Note(note) => notes.push(note.clone()),
        }
    }
    let mut pause = Duration::from_millis(100);
    loop {
        let result = async {
            let mut connection = pool.get().await?;
            db::ledger::record(&mut connection, &entries).await?;
            db::logs::note(&mut connection, &notes).await
        };
        let Err(error) = result.await else { return true };
        tracing::warn!(%error, ?pause, "the ledger cannot be written now; it waits");
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return false;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What an event says; `None` when that is nothing for the ledger.
fn said(event: Event) -> Option<Said> {
    let note = |submission_id, kind, id, log_url: Option<String>| {
        log_url.filter(|url| !url.is_empty())?;
        Some(Said::Note(Note { submission_id, kind, id }))
    };
    match event.data {
        Data::BuildFailed(data) => note(data.submission_id, "build", data.build_id, data.log_url),
        Data::TestFailed(data) => note(data.submission_id, "test", data.test_id, data.log_url),
        _ => entry(event).map(|entry| Said::Entry(Box::new(entry))),
    }
}

/// What an event says about its submission; `None` for events about other things.
fn entry(event: Event) -> Option<Entry> {
    let at = event.time;
    Some(match event.data {
        Data::SubmissionReceived(v1::SubmissionReceived { submission_id, file, origin, size_bytes, sha256 }) => Entry {
            name: Some(file),
            origin: Some(origin),
            size_bytes: Some(i64::from(size_bytes)),
            sha256: Some(sha256),
            received_at: Some(at),
            ..Entry::new(submission_id, State::Received, at)
        },
        Data::SubmissionIngested(data) => {
            let counts = data.objects.unwrap_or_default();
            let objects = [
                ("checkouts", counts.checkouts),
                ("builds", counts.builds),
                ("tests", counts.tests),
                ("issues", counts.issues),
                ("incidents", counts.incidents),
            ];
            Entry {
                name: Some(data.file),
                origin: Some(data.origin),
                size_bytes: Some(i64::from(data.size_bytes)),
                version: Some(data.schema_version),
                attempts: attempts(data.attempt),
                objects: objects.map(|(name, count)| (name.to_owned(), i64::from(count))).into(),
                ..Entry::new(data.submission_id, State::Ingested, at)
            }
        }
        Data::SubmissionRejected(data) => Entry {
            name: Some(data.file),
            origin: Some(data.origin),
            size_bytes: Some(i64::from(data.size_bytes)),
            attempts: attempts(data.attempt),
            code: Some(data.reason),
            reason: Some(data.message),
            errors: data.faults.into_iter().map(fault).collect(),
            error_count: i32::try_from(data.fault_count).unwrap_or(i32::MAX),
            ..Entry::new(data.submission_id, State::Rejected, at)
        },
        Data::SubmissionRetrying(data) => Entry {
            name: Some(data.file),
            origin: Some(data.origin),
            attempts: attempts(data.attempt),
            code: Some(data.reason),
            ..Entry::new(data.submission_id, State::Retrying, at)
        },
        Data::SubmissionDead(data) => Entry {
            name: Some(data.file),
            origin: Some(data.origin),
            attempts: attempts(data.attempt),
            code: Some(data.reason),
            ..Entry::new(data.submission_id, State::Dead, at)
        },
        Data::BuildFailed(_)
        | Data::TestFailed(_)
        | Data::LogAnalyzed(_)
        | Data::LogRequested(_)
        | Data::IssueOpened(_)
        | Data::IncidentOpened(_) => return None,
    })
}

fn attempts(attempt: u32) -> i32 {
    i32::try_from(attempt).unwrap_or(i32::MAX)
}

/// In the words of the status answer.
fn fault(fault: v1::Fault) -> serde_json::Value {
    serde_json::json!(spool::Fault {
        path: fault.pointer,
        code: fault.code,
        message: fault.message,
        value: fault.value,
        id: fault.object_id,
    })
}
