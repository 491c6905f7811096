//! Exchanges and queues (spec ops.md 11). Queues are declared with durability and type only; limits are policies, which
//! live in `deploy/rabbitmq/definitions.json`, so that an operator can change them while the system runs. Who may use them is in
//! `deploy/rabbitmq/users.json`: what a new event, exchange or queue needs has to be there, too.

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// The topic exchange of every event.
pub const EVENTS: &str = "kcidb.events";
/// The direct exchange of dead letters; the routing key is the name of the queue that gave up.
pub const DEAD: &str = "kcidb.dead";
/// The exchange of messages that are to be tried again; the routing key is the name of the waiting room. It is a topic
/// exchange because for these alone the broker can say which user may use which key: the default exchange, which
/// would do as well, is open to all queues or to none.
pub const RETRY: &str = "kcidb.retry";

/// Every exchange of the system.
pub const EXCHANGES: [&str; 3] = [EVENTS, DEAD, RETRY];

/// The queue of one consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// `<consumer>.<what>`.
    pub name: &'static str,
    /// What it is bound to.
    pub bindings: &'static [&'static str],
}

/// Submissions that wait to be loaded.
pub const INGESTER_SUBMISSIONS: Queue = Queue { name: "ingester.submissions", bindings: &["submission.received.#"] };
/// Failed nodes whose logs wait to be analysed.
pub const LOGSPEC_FAILURES: Queue = Queue { name: "logspec.failures", bindings: &["build.failed.#", "test.failed.#"] };
/// Nodes whose logs somebody wants to be analysed again: what is in no hurry.
pub const LOGSPEC_CATCHUP: Queue = Queue { name: "logspec.catchup", bindings: &["log.requested.#"] };
/// Every event, for the ledger.
pub const STATUS_LEDGER: Queue = Queue { name: "status.ledger", bindings: &["#"] };

/// Every queue of the system.
pub const QUEUES: [Queue; 4] = [INGESTER_SUBMISSIONS, LOGSPEC_FAILURES, LOGSPEC_CATCHUP, STATUS_LEDGER];

/// The waiting rooms of a queue, shortest first, with the seconds that their policies make messages wait; the last one is
/// used again and again.
pub const ROOMS: [(&str, u64); 3] = [("5s", 5), ("1m", 60), ("15m", 900)];

impl Queue {
    /// The queue of this name; the name of its dead letters is as good.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".dead").unwrap_or(name);
        QUEUES.into_iter().find(|queue| queue.name == name)
    }

    /// The waiting room for the retry after `attempt` attempts (from 1).
    pub fn room(&self, attempt: u32) -> String {
        format!("{}.retry.{}", self.name, room(attempt).0)
    }

    /// The names of the waiting rooms.
    pub fn rooms(&self) -> impl Iterator<Item = String> {
        (1..).take(ROOMS.len()).map(|attempt| self.room(attempt))
    }

    /// The names of the queue itself, of its waiting rooms, and of its dead letters.
    pub fn names(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.name.to_owned()).chain(self.rooms()).chain([self.dead()])
    }

    /// What is bound to which exchange by which key: the queue itself, its waiting rooms, and its dead letters.
    pub fn routes(&self) -> impl Iterator<Item = (&'static str, String, String)> {
        let events = self.bindings.iter().map(|key| (EVENTS, self.name.to_owned(), (*key).to_owned()));
        let rooms = self.rooms().map(|room| (RETRY, room.clone(), room));
        events.chain(rooms).chain([(DEAD, self.dead(), self.name.to_owned())])
    }

    /// How long a message waits there.
    pub fn pause(&self, attempt: u32) -> Duration {
        Duration::from_secs(room(attempt).1)
    }

    /// Where this queue's dead letters lie.
    pub fn dead(&self) -> String {
        format!("{}.dead", self.name)
    }
}

fn room(attempt: u32) -> (&'static str, u64) {
    ROOMS[(attempt.saturating_sub(1) as usize).min(ROOMS.len() - 1)]
}

/// Declares everything; repeating it changes nothing.
///
/// Publishers do this too, so that an event sent before its consumer ever ran waits in the consumer's queue.
pub(crate) async fn declare(channel: &Channel) -> lapin::Result<()> {
    declare_all(channel, false).await?;
    for (exchange, queue, key) in QUEUES.iter().flat_map(Queue::routes) {
        bind(channel, &queue, exchange, &key).await?;
    }
    Ok(())
}

/// Looks that every exchange and every queue is there, which needs no rights.
///
/// Publishers do this too: what they published before a queue is there would never reach it.
pub(crate) async fn look(channel: &Channel) -> lapin::Result<()> {
    declare_all(channel, true).await
}

async fn declare_all(channel: &Channel, passive: bool) -> lapin::Result<()> {
    for name in EXCHANGES {
        let kind = if name == DEAD { ExchangeKind::Direct } else { ExchangeKind::Topic };
        let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
        channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await?;
    }
    for name in QUEUES.iter().flat_map(Queue::names) {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let options = QueueDeclareOptions { passive, ..QueueDeclareOptions::durable() };
        channel.queue_declare(name.into(), options, arguments).await?;
    }
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    channel
        .queue_bind(queue.into(), exchange.into(), key.into(), QueueBindOptions::default(), FieldTable::default())
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_rooms_grow_and_then_stay() {
        let rooms: Vec<_> = (1..=5).map(|attempt| INGESTER_SUBMISSIONS.room(attempt)).collect();
        let expected = ["5s", "1m", "15m", "15m", "15m"].map(|room| format!("ingester.submissions.retry.{room}"));
        assert_eq!(rooms, expected);
    }

    #[test]
    fn everything_that_belongs_to_a_queue_is_bound() {
        for queue in QUEUES {
            let bound: Vec<_> = queue.routes().map(|(_, bound, _)| bound).collect();
            assert!(queue.names().all(|name| bound.contains(&name)), "{}: {bound:?}", queue.name);
        }
    }
}
