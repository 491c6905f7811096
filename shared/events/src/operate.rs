//! What operators do with queues by hand: make them, see how much waits, look at dead letters, send them back, drop them.
//!
//! Whatever the options say, [`declare()`] makes what is missing, and nothing else here does.
//!
//! A dead letter is removed only after the broker has confirmed its copy in the queue it came from, or because somebody
//! wants it dropped; what was only looked at stays.

use lapin::{
    BasicProperties, Channel, Connection,
    message::BasicGetMessage,
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{
    Options, PublishError, connect, publish,
    topology::{QUEUES, Queue},
};

/// The headers that say how often a message was tried; a message that is sent back starts over.
const ATTEMPT_HEADERS: [&str; 4] = ["x-kcidb-attempt", "x-kcidb-reason", "x-kcidb-error", "x-delivery-count"];

/// What goes wrong.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// The broker cannot be reached, or refuses the connection.
    #[error("cannot connect to the broker at {0}: {1}")]
    Connect(String, String),
    /// It refused something.
    #[error("the broker refused: {0}")]
    Broker(#[from] lapin::Error),
    /// A message could not be sent back; it stays with the dead letters.
    #[error("the message stays with the dead letters: {0}")]
    Publish(#[from] PublishError),
}

/// How full a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The queue's name.
    pub name: String,
    /// Messages that wait, those in hand not counted.
    pub messages: u32,
    /// Who consumes it.
    pub consumers: u32,
}

/// Declares every exchange, queue and binding.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub async fn declare(options: &Options) -> Result<(), OperateError> {
    let (connection, _channel) = reach(&Options { broker_declare: true, ..options.clone() }).await?;
    Ok(connection.close(200, "done".into()).await?)
}

/// How full every queue is, with its waiting rooms and its dead letters.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub async fn depths(options: &Options) -> Result<Vec<Depth>, OperateError> {
    let (connection, channel) = open(options).await?;
    let mut depths = Vec::new();
    for queue in QUEUES {
        for name in queue.names() {
            depths.push(state(&channel, &name).await?);
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(depths)
}

async fn state(channel: &Channel, name: &str) -> Result<Depth, OperateError> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let state = channel.queue_declare(name.into(), passive, FieldTable::default()).await?;
    Ok(Depth { name: name.to_owned(), messages: state.message_count(), consumers: state.consumer_count() })
}

async fn open(options: &Options) -> Result<(Connection, Channel), OperateError> {
    reach(&Options { broker_declare: false, ..options.clone() }).await
}

async fn reach(options: &Options) -> Result<(Connection, Channel), OperateError> {
    let connected = connect::connect(options, "kcidb queue").await;
    connected.map_err(|error| OperateError::Connect(options.address(), error.to_string()))
}

/// The dead letters of a queue.
pub struct DeadLetters {
    connection: Connection,
    channel: Channel,
    queue: Queue,
    count: u32,
}

/// A message that was given up.
#[derive(Debug)]
pub struct DeadLetter {
    message: BasicGetMessage,
}

impl DeadLetters {
    /// Opens them; messages taken from now on are hidden from others until [`DeadLetters::close`].
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub async fn open(options: &Options, queue: Queue) -> Result<Self, OperateError> {
        let (connection, channel) = open(options).await?;
        let count = state(&channel, &queue.dead()).await?.messages;
        Ok(Self { connection, channel, queue, count })
    }

    /// How many there were at the opening. Go no further: what is sent back may be dead again in no time.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The next one, oldest first; each comes once.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn next(&self) -> Result<Option<DeadLetter>, OperateError> {
        let message = self.channel.basic_get(self.queue.dead().into(), BasicGetOptions::default()).await?;
        Ok(message.map(|message| DeadLetter { message }))
    }

    /// Sends it back to its queue, with its id and trace, to be tried as if for the first time.
    ///
    /// # Errors
    /// When the broker does not confirm; the letter then stays.
    pub async fn redrive(&self, letter: DeadLetter) -> Result<(), OperateError> {
        let properties = fresh(&letter.message.properties);
        publish::confirmed(&self.channel, "", self.queue.name, &letter.message.data, properties).await?;
        self.remove(letter).await
    }

    /// Removes it for good.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn remove(&self, letter: DeadLetter) -> Result<(), OperateError> {
        letter.message.acker.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    /// Leaves the rest where it is.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn close(self) -> Result<(), OperateError> {
        Ok(self.connection.close(200, "done".into()).await?)
    }
}

impl DeadLetter {
    /// The event's id.
    pub fn id(&self) -> &str {
        self.message.properties.message_id().as_ref().map_or("", ShortString::as_str)
    }

    /// The event's type.
    pub fn event_type(&self) -> &str {
        self.message.properties.kind().as_ref().map_or("", ShortString::as_str)
    }

    /// Why it was given up: our own reason, or the broker's.
    pub fn reason(&self) -> String {
        self.header("x-kcidb-reason").or_else(|| self.header("x-first-death-reason")).unwrap_or_default()
    }

    /// What happened, in a line.
    pub fn error(&self) -> String {
        self.header("x-kcidb-error").unwrap_or_default()
    }

    /// How often it was tried.
    pub fn attempt(&self) -> u32 {
        self.header("x-kcidb-attempt").and_then(|attempt| attempt.parse().ok()).unwrap_or(1)
    }

    /// When it was tried first, as text; empty when it was never tried again.
    pub fn first_seen(&self) -> String {
        self.header("x-kcidb-first-seen").unwrap_or_default()
    }

    /// The message body, as an operator sees it in the broker's pages.
    pub fn body(&self) -> &[u8] {
        &self.message.data
    }

    fn header(&self, name: &str) -> Option<String> {
        match self.message.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            AMQPValue::LongLongInt(value) => Some(value.to_string()),
            AMQPValue::LongInt(value) => Some(value.to_string()),
            _ => None,
        }
    }
}

/// The properties without what tells of earlier tries.
fn fresh(properties: &BasicProperties) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        let old = ATTEMPT_HEADERS.contains(&name.as_str()) || name.as_str().contains("death");
        if !old {
            headers.insert(name.clone(), value.clone());
        }
    }
    properties.clone().with_headers(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_sent_back_starts_over_but_keeps_id_and_trace() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let mut headers = FieldTable::default();
        for name in ["traceparent", "x-kcidb-attempt", "x-kcidb-reason", "x-death", "x-first-death-reason"] {
            headers.insert(name.into(), text("value"));
        }
        let old = BasicProperties::default().with_message_id("id".into()).with_headers(headers);
        let new = fresh(&old);
        assert_eq!(new.message_id(), old.message_id());
        let names: Vec<_> =
            new.headers().iter().flat_map(|headers| headers.inner().keys()).map(ToString::to_string).collect();
        assert_eq!(names, ["traceparent"]);
    }
}
