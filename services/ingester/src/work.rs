//! What is in hand: each file once, whoever asked for it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use events::{Data, Delivery, Outcome, Reason};
use spool::FileName;
use tokio::sync::{mpsc, oneshot};

/// One file to load.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) file: FileName,
    /// The origin of the token; `None` when no event announced the file.
    pub(crate) origin: Option<String>,
    /// When the submission was received; `None` when no event announced the file.
    pub(crate) received_at: Option<DateTime<Utc>>,
    pub(crate) attempt: u32,
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
        for reply in self.in_hand.lock().remove(&self.file).unwrap_or_default() {
            let _ = reply.send(self.outcome.clone());
        }
    }
}

#[derive(Debug, Clone, Default)]
struct InHand(Arc<Mutex<HashMap<FileName, Vec<oneshot::Sender<Outcome>>>>>);

impl InHand {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FileName, Vec<oneshot::Sender<Outcome>>>> {
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
        self.in_hand.lock().is_empty()
    }

    /// Puts in a file that no event announced, unless it is in hand; says whether it was put in.
    pub(crate) async fn sweep(&self, file: FileName) -> bool {
        let fresh = match self.in_hand.lock().entry(file.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Vec::new());
                true
            }
            Entry::Occupied(_) => false,
        };
        fresh && self.enqueue(file, None, None, 1).await
    }

    /// Puts in the file of an event and waits for its outcome.
    async fn load(&self, file: FileName, origin: String, received_at: DateTime<Utc>, attempt: u32) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let fresh = match self.in_hand.lock().entry(file.clone()) {
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
        let work = Work { file, origin, received_at, attempt, outcome, in_hand: self.in_hand.clone() };
        self.queue.send(work).await.is_ok()
    }
}

/// Handles one message of the queue.
pub(crate) async fn handle(intake: Intake, delivery: Delivery) -> Outcome {
    let Data::SubmissionReceived(received) = delivery.event.data else {
        let name = delivery.event.data.name();
        return Outcome::Dead(Reason::UnknownType, format!("{name} is not for the ingester"));
    };
    match received.file.parse::<FileName>() {
        Ok(file) => intake.load(file, received.origin, delivery.event.time, delivery.attempt).await,
        Err(error) => Outcome::Dead(Reason::FileNameInvalid, error.to_string()),
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
}
