//! Consuming: prefetch equals concurrency, the acknowledgement is the last thing, and every message ends in one outcome.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::Utc;
use futures::{FutureExt, StreamExt};
use lapin::{
    BasicProperties, Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use telemetry::{
    Check,
    traces::{Span, log_span},
};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    ConsumeMetrics, Event, Options, PublishError, Reason, connect, publish,
    topology::{DEAD, Queue, RETRY},
    trace,
};

/// A message that came back this often without an outcome ends processes: it is set aside.
const DELIVERY_LIMIT: i64 = 5;
/// How long messages in hand may take after the shutdown signal before they are returned to the queue.
const DRAIN: Duration = Duration::from_secs(40);
const TAG: &str = "kcidb";

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, durably: acknowledge it.
    Done,
    /// Try it again after a pause; with a line on what happened.
    Retry(Reason, String),
    /// It can never be done: set it aside; with a line on what happened.
    Dead(Reason, String),
    /// The process stops before it is done: leave it to be delivered again.
    Abandon,
}

/// A message in hand.
#[derive(Debug)]
pub struct Delivery {
    /// What it says.
    pub event: Event,
    /// Which try this is, from 1.
    pub attempt: u32,
}

/// What a consumer needs besides its handler.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// The broker.
    pub options: Options,
    /// The queue to consume.
    pub queue: Queue,
    /// How many messages are in hand at once.
    pub prefetch: u16,
    /// What is counted.
    pub metrics: ConsumeMetrics,
    /// Readiness: is the broker connected?
    pub check: Check,
}

/// Consumes until shutdown, then finishes what is in hand, and returns.
pub async fn consume<H, F>(consumer: Consumer, shutdown: CancellationToken, handler: H)
where
    H: Fn(Delivery) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let handler = Arc::new(handler);
    let mut backoff = connect::Backoff::default();
    while !shutdown.is_cancelled() {
        let (queue, broker) = (consumer.queue.name, consumer.options.address());
        match connect::connect(&consumer.options, queue).await {
            Ok((connection, channel)) => {
                tracing::info!(queue, broker, "consuming");
                backoff.reset();
                consumer.check.ok();
                let result = consume_channel(&consumer, Arc::new(channel), &shutdown, &handler).await;
                if let Err(error) = result {
                    tracing::warn!(queue, broker, %error, "the consumer's connection is lost; connecting again");
                    consumer.check.bad(format!("broker: {error}"));
                }
                let _ = connection.close(200, "done".into()).await;
            }
            Err(error) => {
                tracing::warn!(queue, broker, %error, "cannot connect for consuming");
                consumer.check.bad(format!("broker: {error}"));
            }
        }
        shutdown.run_until_cancelled(tokio::time::sleep(backoff.pause())).await;
    }
}

async fn consume_channel<H, F>(
    consumer: &Consumer,
    channel: Arc<Channel>,
    shutdown: &CancellationToken,
    handler: &Arc<H>,
) -> lapin::Result<()>
where
    H: Fn(Delivery) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    channel.basic_qos(consumer.prefetch, BasicQosOptions::default()).await?;
    let mut messages = channel
        .basic_consume(consumer.queue.name.into(), TAG.into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    let mut in_hand = JoinSet::new();
    let result = loop {
        tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            message = messages.next() => match message {
                Some(Ok(message)) => {
                    let work = work(consumer.clone(), channel.clone(), message, handler.clone());
                    in_hand.spawn(work);
                }
                Some(Err(error)) => break Err(error),
                None => break Err(lapin::ErrorKind::InvalidChannelState(lapin::ChannelState::Closed, "the consumer was cancelled").into()),
            },
            Some(_) = in_hand.join_next() => {}
        }
    };
    if result.is_ok() {
        let _ = channel.basic_cancel(TAG.into(), BasicCancelOptions::default()).await;
        // What is not finished in time goes back to the queue when the channel closes.
        let drained = tokio::time::timeout(DRAIN, async { while in_hand.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(queue = consumer.queue.name, count = in_hand.len(), "messages in hand go back to the queue");
        }
    }
    // After a lost connection the broker delivers again what is in hand; work on it must not be cut off in the middle.
    in_hand.detach_all();
    result
}

/// Handles one message and settles it; failures to settle leave it to be delivered again.
async fn work<H, F>(consumer: Consumer, channel: Arc<Channel>, message: lapin::message::Delivery, handler: Arc<H>)
where
    H: Fn(Delivery) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let attempt = header(&message.properties, "x-kcidb-attempt").unwrap_or(1).clamp(1, i64::from(u32::MAX));
    let attempt = u32::try_from(attempt).unwrap_or(1);
    let span = trace::processing(consumer.queue.name, &message, attempt);
    let work = work_on(&consumer, &channel, &message, attempt, &*handler, &span);
    span.run(work.instrument(log_span(&span.place()))).await;
}

async fn work_on<H, F>(
    consumer: &Consumer,
    channel: &Channel,
    message: &lapin::message::Delivery,
    attempt: u32,
    handler: &H,
    span: &Span,
) where
    H: Fn(Delivery) -> F,
    F: Future<Output = Outcome>,
{
    let queue = consumer.queue.name;
    let (started, in_flight) = (Instant::now(), consumer.metrics.in_flight.with_label_values(&[queue]));
    in_flight.inc();
    let outcome = judge(consumer, message, attempt, handler, span).await;
    let (word, reason) = match &outcome {
        Some(Outcome::Done) => ("done", ""),
        Some(Outcome::Retry(reason, _)) => ("retry", reason.as_str()),
        Some(Outcome::Dead(reason, _)) => ("dead", reason.as_str()),
        Some(Outcome::Abandon) => ("abandoned", ""),
        None => ("retry", "panic"),
    };
    trace::ended(span, word, reason);
    consumer.metrics.messages.with_label_values(&[queue, word, reason]).inc();
    consumer.metrics.duration.with_label_values(&[queue]).observe(started.elapsed().as_secs_f64());
    if let Err(error) = settle(consumer, channel, message, attempt, outcome).await {
        tracing::warn!(queue, %error, "a message could not be settled; the broker delivers it again");
    }
    in_flight.dec();
}

/// `None`: the handler panicked.
async fn judge<H, F>(
    consumer: &Consumer,
    message: &lapin::message::Delivery,
    attempt: u32,
    handler: &H,
    span: &Span,
) -> Option<Outcome>
where
    H: Fn(Delivery) -> F,
    F: Future<Output = Outcome>,
{
    if header(&message.properties, "x-delivery-count").unwrap_or(0) >= DELIVERY_LIMIT {
        return Some(Outcome::Dead(
            Reason::DeliveryLimit,
            format!("delivered more than {DELIVERY_LIMIT} times without an outcome"),
        ));
    }
    let event = match Event::from_json(&message.data) {
        Ok(event) => event,
        Err(error) => return Some(Outcome::Dead(error.reason(), error.to_string())),
    };
    let waited = (Utc::now() - event.time).to_std().unwrap_or_default();
    consumer.metrics.wait.with_label_values(&[consumer.queue.name]).observe(waited.as_secs_f64());
    trace::received(span, &event, waited);
    AssertUnwindSafe(handler(Delivery { event, attempt })).catch_unwind().await.ok()
}

async fn settle(
    consumer: &Consumer,
    channel: &Channel,
    message: &lapin::message::Delivery,
    attempt: u32,
    outcome: Option<Outcome>,
) -> Result<(), PublishError> {
    let queue = consumer.queue.name;
    match outcome {
        Some(Outcome::Done) => {}
        Some(Outcome::Abandon) => return Ok(()),
        Some(Outcome::Retry(reason, error)) if attempt < consumer.options.max_attempts => {
            let room = consumer.queue.room(attempt);
            tracing::warn!(queue, attempt, %reason, error, room, "a message is tried again later");
            let properties = annotated(&message.properties, attempt + 1, reason, &error);
            publish::confirmed(channel, RETRY, &room, &message.data, properties).await?;
        }
        Some(Outcome::Retry(reason, error) | Outcome::Dead(reason, error)) => {
            tracing::error!(queue, attempt, %reason, error, "a message is set aside with the dead letters");
            let properties = annotated(&message.properties, attempt, reason, &error);
            publish::confirmed(channel, DEAD, queue, &message.data, properties).await?;
        }
        None => {
            tracing::error!(queue, "a handler panicked; the message is delivered again");
            // The pause keeps a message that always panics from turning into a busy loop.
            tokio::time::sleep(Duration::from_secs(1)).await;
            message.acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await?;
            return Ok(());
        }
    }
    message.acker.ack(BasicAckOptions::default()).await?;
    Ok(())
}

fn header(properties: &BasicProperties, name: &str) -> Option<i64> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongLongInt(value) => Some(*value),
        AMQPValue::LongInt(value) => Some(i64::from(*value)),
        AMQPValue::LongUInt(value) => Some(i64::from(*value)),
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.parse().ok(),
        _ => None,
    }
}

/// The message's own properties, with what happened added for the next reader.
fn annotated(properties: &BasicProperties, attempt: u32, reason: Reason, error: &str) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    let mut set = |name: &'static str, value: String| {
        headers.insert(ShortString::from(name), AMQPValue::LongString(value.into()));
    };
    set("x-kcidb-attempt", attempt.to_string());
    set("x-kcidb-reason", reason.to_string());
    set("x-kcidb-error", error.chars().take(500).collect::<String>().replace('\n', " "));
    if !properties.headers().as_ref().is_some_and(|headers| headers.inner().contains_key("x-kcidb-first-seen")) {
        set("x-kcidb-first-seen", Utc::now().to_rfc3339());
    }
    properties.clone().with_headers(headers).with_delivery_mode(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_keeps_identity_and_says_why() {
        let first = BasicProperties::default().with_message_id("id-1".into());
        let second = annotated(&first, 2, Reason::SpoolUnavailable, "disk\ngone");
        assert_eq!(second.message_id().as_ref().map(ShortString::as_str), Some("id-1"));
        assert_eq!(header(&second, "x-kcidb-attempt"), Some(2));
        let seen = second.headers().as_ref().and_then(|headers| headers.inner().get("x-kcidb-first-seen").cloned());
        let third = annotated(&second, 3, Reason::SpoolUnavailable, "disk gone");
        let kept = third.headers().as_ref().and_then(|headers| headers.inner().get("x-kcidb-first-seen").cloned());
        assert_eq!(kept, seen, "the time of the first try stays");
    }
}
