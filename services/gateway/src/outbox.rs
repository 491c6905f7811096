//! Announcing what was accepted. The answer to a submitter never waits for it.
//!
//! Invariant (design.md, 2): every accepted submission is announced at least once when the broker is back, however long
//! it was away. Events wait in memory while there is room; what does not fit is announced from the spool, where the
//! files of unannounced submissions still wait. A gateway that dies leaves that to the ingester's sweep.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use events::{Event, Publisher, v1::SubmissionReceived};
use futures::{StreamExt as _, stream::FuturesUnordered};
use spool::{Spool, Waiting};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{interval, timeout},
};

use crate::metrics::Metrics;

/// Events that wait in memory.
const CAPACITY: usize = 10_000;

/// Events published and not confirmed yet.
const IN_FLIGHT: usize = 256;

/// How fast files of the spool are announced: the queue may have most of them already.
const RESCAN_PAUSE: Duration = Duration::from_millis(5);

/// How long the last events may take at shutdown.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where accepted submissions are handed over.
#[derive(Debug)]
pub(crate) struct Outbox {
    events: mpsc::Sender<Event>,
    behind: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Outbox {
    /// Never waits: what does not fit is announced from the spool.
    pub(crate) fn announce(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.metrics.publish_deferred.inc();
            if !self.behind.swap(true, Relaxed) {
                tracing::warn!("the broker is behind; further submissions will be announced from the spool");
            }
        }
    }
}

/// Starts announcing; the task ends when the outbox is dropped and empty.
pub(crate) fn start(spool: Spool, publisher: Publisher, metrics: Metrics) -> (Outbox, JoinHandle<()>) {
    start_with(CAPACITY, spool, metrics, move |event| {
        let publisher = publisher.clone();
        async move { publisher.publish_eventually(&event).await }
    })
}

/// `publish` returns when the broker has the event, however long that takes.
fn start_with<P, F>(capacity: usize, spool: Spool, metrics: Metrics, publish: P) -> (Outbox, JoinHandle<()>)
where
    P: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (events, queue) = mpsc::channel(capacity);
    let behind = Arc::new(AtomicBool::new(false));
    let task = tokio::spawn(drain(queue, behind.clone(), spool, publish));
    (Outbox { events, behind, metrics }, task)
}

/// Waits for the last events, but not for ever, and not at all when the broker is away.
pub(crate) async fn finish(announcing: JoinHandle<()>, connected: bool) {
    let abort = announcing.abort_handle();
    let patience = if connected { FAREWELL } else { Duration::ZERO };
    if timeout(patience, announcing).await.is_err() {
        tracing::warn!("the broker is away: the ingester will find the last submissions by itself");
        abort.abort();
    }
}

async fn drain<P, F>(mut queue: mpsc::Receiver<Event>, behind: Arc<AtomicBool>, spool: Spool, publish: P)
where
    P: Fn(Event) -> F,
    F: Future<Output = ()>,
{
    let mut in_flight = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = in_flight.next() => {}
            event = queue.recv(), if in_flight.len() < IN_FLIGHT => match event {
                Some(event) => in_flight.push(publish(event)),
                None => break,
            },
        }
        // Everything that was remembered has been confirmed, so the broker is there; now for what was not.
        if in_flight.is_empty() && queue.is_empty() && behind.swap(false, Relaxed) {
            rescan(&spool, &publish).await;
        }
    }
    while in_flight.next().await.is_some() {}
}

/// Announces every file that waits, oldest first.
async fn rescan<P, F>(spool: &Spool, publish: &P)
where
    P: Fn(Event) -> F,
    F: Future<Output = ()>,
{
    let (mut last, mut announced) = (None, 0_u64);
    let mut pace = interval(RESCAN_PAUSE);
    loop {
        let waiting = match spool.waiting(last.take(), Duration::ZERO).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(%error, "the spool cannot be listed; the ingester will find the files by itself");
                return;
            }
        };
        let Some(newest) = waiting.last().cloned() else { break };
        for file in waiting {
            pace.tick().await;
            if let Some(event) = event_of(spool, file).await {
                publish(event).await;
                announced += 1;
            }
        }
        last = Some(newest);
    }
    tracing::info!(announced, "announced the submissions that wait in the spool");
}

/// The event of a file whose own event is lost; `None` when the file waits no longer. Its origin is not known any more.
async fn event_of(spool: &Spool, waiting: Waiting) -> Option<Event> {
    let sha256 = match spool.digest(&waiting.file).await {
        Ok(digest) => digest?,
        Err(error) => {
            tracing::warn!(%error, "a waiting file cannot be announced");
            return None;
        }
    };
    let submission_id = waiting.file.submission_id().map_or_else(|| waiting.file.to_string(), |id| id.to_string());
    let received = SubmissionReceived {
        submission_id,
        file: waiting.file.to_string(),
        origin: String::new(),
        size_bytes: u32::try_from(waiting.size_bytes).unwrap_or(u32::MAX),
        sha256,
    };
    Some(Event::new("gateway", "", received))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Mutex};

    use bytes::Bytes;
    use events::Data;
    use tokio::sync::watch;

    use super::*;

    /// A broker that is there when the switch is on.
    #[derive(Clone)]
    struct Broker {
        up: watch::Receiver<bool>,
        files: Arc<Mutex<Vec<String>>>,
    }

    impl Broker {
        fn take(self) -> impl Fn(Event) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync {
            move |event| {
                let mut broker = self.clone();
                Box::pin(async move {
                    let _ = broker.up.wait_for(|up| *up).await;
                    let Data::SubmissionReceived(received) = event.data else { panic!("{event:?}") };
                    broker.files.lock().expect("not poisoned").push(received.file);
                })
            }
        }

        fn files(&self) -> BTreeSet<String> {
            self.files.lock().expect("not poisoned").iter().cloned().collect()
        }
    }

    async fn accept(spool: &Spool, outbox: &Outbox) -> String {
        let mut incoming = spool.receive().expect("within the limits");
        incoming.write(Bytes::from_static(b"{}")).await.expect("written");
        let stored = incoming.commit().await.expect("stored");
        let file = stored.id.file_name().to_string();
        let received = SubmissionReceived {
            submission_id: stored.id.to_string(),
            file: file.clone(),
            origin: "lab".into(),
            size_bytes: 2,
            sha256: stored.sha256,
        };
        outbox.announce(Event::new("gateway", "lab", received));
        file
    }

    /// Invariant 2: more submissions than fit into memory while the broker is away are all announced when it is back.
    #[tokio::test]
    async fn everything_accepted_while_the_broker_was_away_is_announced() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = spool::Options { spool_min_free: 0, ..spool::Options::at(folder.path()) };
        let spool = Spool::open(&options).expect("a spool");
        let (switch, up) = watch::channel(false);
        let broker = Broker { up, files: Arc::default() };
        let metrics = Metrics::new(&telemetry::metrics::Registry::default());
        let (outbox, announcing) = start_with(3, spool.clone(), metrics.clone(), broker.clone().take());

        let mut accepted = BTreeSet::new();
        for _ in 0..IN_FLIGHT + 20 {
            accepted.insert(accept(&spool, &outbox).await);
        }
        assert!(metrics.publish_deferred.get() > 0, "some did not fit");
        assert_eq!(broker.files(), BTreeSet::new());
        switch.send_replace(true);
        tokio::time::timeout(Duration::from_secs(20), async {
            while broker.files() != accepted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("all are announced");

        let late = accept(&spool, &outbox).await;
        drop(outbox);
        finish(announcing, true).await;
        assert!(broker.files().contains(&late), "the last one is announced before the end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_stays_away_does_not_hold_up_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(&spool::Options::at(folder.path())).expect("a spool");
        let (_switch, up) = watch::channel(false);
        let broker = Broker { up, files: Arc::default() };
        let metrics = Metrics::new(&telemetry::metrics::Registry::default());
        let (outbox, announcing) = start_with(3, spool, metrics, broker.take());
        outbox.announce(Event::new("gateway", "lab", SubmissionReceived::default()));
        drop(outbox);
        finish(announcing, true).await;
    }
}
