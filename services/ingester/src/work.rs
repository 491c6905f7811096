//! What is in hand: each file once, whoever asked for it.
//!
//! A batch that panics is given up, and each of its files is tried again alone. A file that does so again and again is
//! left where it is: its event goes to the dead letters, and the sweep passes over it until the next start.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use events::{Data, Delivery, Event, Outcome, Publisher, Reason, topology::INGESTER_SUBMISSIONS, v1};
use spool::FileName;
use telemetry::traces::Place;
use tokio::sync::{mpsc, oneshot};

/// A file that was in so many batches that panicked is not swept again.
const MAX_PANICS: u32 = 5;

/// One file to load.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) file: FileName,
    /// The origin of the token; `None` when no event announced the file.
    pub(crate) origin: Option<String>,
    /// When the submission was received; `None` when no event announced the file.
    pub(crate) received_at: Option<DateTime<Utc>>,
    pub(crate) attempt: u32,
    /// The trace of the event; no place in one when no event announced the file.
    pub(crate) place: Place,
    outcome: Outcome,
    in_hand: InHand,
}

impl Work {
    /// Ends this work; everybody who waits for the file hears the outcome.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Work {
    /// However work ends, its file is free again; without [`Work::finish`] it ends as a panic does.
    fn drop(&mut self) {
        let mut in_hand = self.in_hand.lock();
        for reply in in_hand.waiting.remove(&self.file).unwrap_or_default() {
            let _ = reply.send(self.outcome.clone());
        }
        if matches!(self.outcome, Outcome::Retry(Reason::WorkerPanicked, _)) {
            *in_hand.panics.entry(self.file.clone()).or_default() += 1;
        } else {
            in_hand.panics.remove(&self.file);
        }
    }
}

#[derive(Debug, Default)]
struct Files {
    /// Who waits for the outcome of a file in hand.
    waiting: HashMap<FileName, Vec<oneshot::Sender<Outcome>>>,
    /// How many batches with this file have panicked since it was last finished.
    panics: HashMap<FileName, u32>,
}

#[derive(Debug, Clone, Default)]
struct InHand(Arc<Mutex<Files>>);

impl InHand {
    fn lock(&self) -> std::sync::MutexGuard<'_, Files> {
        self.0.lock().expect("no panic happens under this lock")
    }
}

/// The entrance: events and the sweep put files in, each file is worked on once at a time.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    queue: mpsc::Sender<Work>,
    in_hand: InHand,
}

impl Intake {
    /// An intake and its queue, which holds at most `capacity` files.
    pub(crate) fn new(capacity: usize) -> (Self, mpsc::Receiver<Work>) {
        let (queue, receiver) = mpsc::channel(capacity.max(1));
        (Self { queue, in_hand: InHand::default() }, receiver)
    }

    /// Whether nothing is being worked on.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_hand.lock().waiting.is_empty()
    }

    /// Puts in a file that no event announced, unless it is in hand or always panics; says whether it was put in.
    pub(crate) async fn sweep(&self, file: FileName) -> bool {
        let panics = {
            let mut in_hand = self.in_hand.lock();
            let panics = in_hand.panics.get(&file).copied().unwrap_or_default();
            if panics >= MAX_PANICS || in_hand.waiting.contains_key(&file) {
                return false;
            }
            in_hand.waiting.insert(file.clone(), Vec::new());
            panics
        };
        self.enqueue(file, None, None, 1 + panics).await
    }

    /// Puts in the file of an event and waits for its outcome.
    async fn load(&self, file: FileName, origin: String, received_at: DateTime<Utc>, attempt: u32) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let fresh = match self.in_hand.lock().waiting.entry(file.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(vec![reply]);
                true
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().push(reply);
                false
            }
        };
        if fresh {
            self.enqueue(file, Some(origin), Some(received_at), attempt).await;
        }
        outcome.await.unwrap_or(Outcome::Abandon)
    }

    async fn enqueue(
        &self,
        file: FileName,
        origin: Option<String>,
        received_at: Option<DateTime<Utc>>,
        attempt: u32,
    ) -> bool {
        // Trying again later, and then alone, tells which file of a batch made the worker panic.
        let outcome = Outcome::Retry(Reason::WorkerPanicked, "the batch was given up".into());
        let place = Place::current();
        let work = Work { file, origin, received_at, attempt, place, outcome, in_hand: self.in_hand.clone() };
        self.queue.send(work).await.is_ok()
    }
}

/// Handles one message of the queue; a submission that has to wait, or is given up, is announced as that.
pub(crate) async fn handle(intake: Intake, publisher: Publisher, max_attempts: u32, delivery: Delivery) -> Outcome {
    let Data::SubmissionReceived(received) = delivery.event.data else {
        let name = delivery.event.data.name();
        return Outcome::Dead(Reason::UnknownType, format!("{name} is not for the ingester"));
    };
    let outcome = match received.file.parse::<FileName>() {
        Ok(file) => intake.load(file, received.origin.clone(), delivery.event.time, delivery.attempt).await,
        Err(error) => Outcome::Dead(Reason::FileNameInvalid, error.to_string()),
    };
    if let Some(event) = delay(received, delivery.attempt, max_attempts, &outcome)
        && let Err(error) = publisher.publish(&event).await
    {
        // The ledger then says what it said before; the message itself is retried all the same.
        tracing::warn!(%error, "a delay could not be announced");
    }
    outcome
}

/// What to tell of an outcome that is not the end of a submission.
fn delay(received: v1::SubmissionReceived, attempt: u32, max_attempts: u32, outcome: &Outcome) -> Option<Event> {
    let v1::SubmissionReceived { submission_id, file, origin, .. } = received;
    let id = |word: &str| format!("{submission_id}.{word}.{attempt}");
    match outcome {
        Outcome::Retry(reason, _) if attempt < max_attempts => {
            let (id, reason) = (id("retrying"), reason.to_string());
            let next_try = (Utc::now() + INGESTER_SUBMISSIONS.pause(attempt)).to_rfc3339();
            let data =
                v1::SubmissionRetrying { submission_id, file, origin: origin.clone(), reason, attempt, next_try };
            Some(Event::new("ingester", origin, data).with_id(id))
        }
        Outcome::Retry(reason, _) | Outcome::Dead(reason, _) => {
            let (id, reason) = (id("dead"), reason.to_string());
            let data = v1::SubmissionDead { submission_id, file, origin: origin.clone(), reason, attempt };
            Some(Event::new("ingester", origin, data).with_id(id))
        }
        Outcome::Done | Outcome::Abandon => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> FileName {
        name.parse().expect("a valid name")
    }

    #[tokio::test]
    async fn a_file_is_in_hand_once_and_everybody_hears_the_outcome() {
        let (intake, mut queue) = Intake::new(8);
        assert!(intake.sweep(file("a.json")).await);
        assert!(!intake.sweep(file("a.json")).await, "it is in hand");
        let event = {
            let intake = intake.clone();
            tokio::spawn(async move { intake.load(file("a.json"), "lab".into(), Utc::now(), 1).await })
        };
        tokio::task::yield_now().await;
        let work = queue.recv().await.expect("the file");
        work.finish(Outcome::Done);
        assert_eq!(event.await.expect("an outcome"), Outcome::Done);
        assert!(intake.is_idle());
        assert!(queue.try_recv().is_err(), "it was put in once");
    }

    #[tokio::test]
    async fn work_that_is_dropped_frees_its_file_and_is_tried_again() {
        let (intake, mut queue) = Intake::new(8);
        let event = {
            let intake = intake.clone();
            tokio::spawn(async move { intake.load(file("a.json"), "lab".into(), Utc::now(), 1).await })
        };
        drop(queue.recv().await.expect("the file"));
        assert!(matches!(event.await.expect("an outcome"), Outcome::Retry(Reason::WorkerPanicked, _)));
        assert!(intake.is_idle());
    }

    #[tokio::test]
    async fn a_file_that_always_panics_is_tried_alone_and_then_left_alone() {
        let (intake, mut queue) = Intake::new(8);
        for panics in 0..MAX_PANICS {
            assert!(intake.sweep(file("a.json")).await);
            let work = queue.recv().await.expect("the file");
            assert_eq!(work.attempt, 1 + panics, "from the second try on it is loaded alone");
            drop(work);
        }
        assert!(!intake.sweep(file("a.json")).await);
        assert!(intake.sweep(file("b.json")).await, "others are not affected");
    }

    #[test]
    fn a_submission_that_waits_or_is_given_up_is_announced() {
        let received = || v1::SubmissionReceived { submission_id: "s".into(), ..Default::default() };
        let retry = Outcome::Retry(Reason::SpoolUnavailable, String::new());
        let name = |event: Option<Event>| event.map(|event| (event.data.name(), event.id));
        assert_eq!(name(delay(received(), 1, 2, &retry)), Some(("submission.retrying", "s.retrying.1".into())));
        assert_eq!(name(delay(received(), 2, 2, &retry)), Some(("submission.dead", "s.dead.2".into())));
        assert_eq!(name(delay(received(), 1, 2, &Outcome::Done)), None);
    }
}
