//! Publishing with confirms: many publishes are in flight at once on one channel, each answered by the broker's confirm.

use std::{sync::Arc, time::Duration};

use lapin::{BasicProperties, Channel, Confirmation, options::BasicPublishOptions, types::ShortString};
use telemetry::{names, traces::Span};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Event, Options, PublishMetrics, connect, event::CONTENT_TYPE, topology, trace};

/// No confirm after this long counts as a failure; the message may arrive all the same, and may then come twice.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an event is not known to be with the broker. Publishing it again is always right.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no connection at the moment.
    #[error("the broker is not connected")]
    NotConnected,
    /// The connection broke before the confirm.
    #[error("the broker went away before confirming: {0}")]
    Lost(#[from] lapin::Error),
    /// The broker has not confirmed in time (it blocks publishers on a disk or memory alarm).
    #[error("the broker has not confirmed within {CONFIRM_TIMEOUT:?}")]
    Timeout,
    /// The broker refused the message: a queue is full.
    #[error("the broker refused the message: a queue is full")]
    Refused,
    /// No queue is bound to the routing key.
    #[error("no queue takes {0:?}: the topology is incomplete")]
    Unroutable(String),
}

impl PublishError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::NotConnected | Self::Lost(_) | Self::Timeout => "lost",
            Self::Refused => "refused",
            Self::Unroutable(_) => "returned",
        }
    }
}

/// Publishes events; clones share one connection, which reconnects by itself.
#[derive(Debug, Clone)]
pub struct Publisher {
    channel: watch::Receiver<Option<Arc<Channel>>>,
    metrics: PublishMetrics,
    app_id: ShortString,
}

impl Publisher {
    /// Starts connecting in the background and returns at once. The connection is closed at shutdown: cancel it after
    /// the last publish.
    pub fn start(
        options: Options,
        service: &'static str,
        metrics: PublishMetrics,
        shutdown: CancellationToken,
    ) -> Self {
        let (sender, channel) = watch::channel(None);
        tokio::spawn(keep_connected(options, service, sender, shutdown));
        Self { channel, metrics, app_id: format!("kcidb-{service}/{}", env!("CARGO_PKG_VERSION")).into() }
    }

    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        self.channel.borrow().is_some()
    }

    /// Returns when there is a connection.
    pub async fn connected(&self) {
        // An error means that the connection's task has ended: the process is shutting down, nothing will come.
        if self.channel.clone().wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Publishes an event and waits for the broker's confirm.
    ///
    /// # Errors
    /// When the confirm did not come; nothing is known then, and publishing again is right.
    pub async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let started = Instant::now();
        let span = trace::sending(event);
        let result = span.run(self.try_publish(event, &span)).await;
        let outcome = result.as_ref().map_or_else(PublishError::outcome, |()| "confirmed");
        if result.is_err() {
            span.fail(outcome);
        }
        let name = event.data.name();
        if matches!(result, Err(PublishError::Unroutable(_))) {
            self.metrics.unroutable.with_label_values(&[name]).inc();
        }
        self.metrics.published.with_label_values(&[name, outcome]).inc();
        self.metrics.duration.with_label_values(&[name]).observe(started.elapsed().as_secs_f64());
        result
    }

    async fn try_publish(&self, event: &Event, span: &Span) -> Result<(), PublishError> {
        let channel = self.channel.borrow().clone().ok_or(PublishError::NotConnected)?;
        let body = event.to_json().expect("every event has a JSON form");
        span.set(names::BODY_SIZE, i64::try_from(body.len()).unwrap_or(i64::MAX));
        let properties = BasicProperties::default()
            .with_message_id(event.id.as_str().into())
            .with_type(event.type_name().into())
            .with_app_id(self.app_id.clone())
            .with_timestamp(u64::try_from(event.time.timestamp()).unwrap_or_default())
            .with_content_type(CONTENT_TYPE.into())
            .with_delivery_mode(2)
            .with_headers(trace::headers(span, event));
        confirmed(&channel, topology::EVENTS, &event.routing_key(), &body, properties).await
    }

    /// Publishes an event however long it takes; an outage of the broker is waited out.
    pub async fn publish_eventually(&self, event: &Event) {
        loop {
            self.connected().await;
            match self.publish(event).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(event.type = event.data.name(), %error, "an event waits to be published"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Publishes one message and waits for the confirm.
pub(crate) async fn confirmed(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<(), PublishError> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let publish = async { channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?.await };
    match tokio::time::timeout(CONFIRM_TIMEOUT, publish).await.map_err(|_| PublishError::Timeout)?? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(PublishError::Unroutable(key.into())),
        Confirmation::Nack(_) | Confirmation::NotRequested => Err(PublishError::Refused),
    }
}

async fn keep_connected(
    options: Options,
    service: &'static str,
    sender: watch::Sender<Option<Arc<Channel>>>,
    shutdown: CancellationToken,
) {
    let mut backoff = connect::Backoff::default();
    let mut connection = None;
    let work = async {
        loop {
            match connect::connect(&options, &format!("{service} publisher")).await {
                Ok((new, channel)) => {
                    tracing::info!(broker = options.address(), "connected for publishing");
                    backoff.reset();
                    connection = Some(new);
                    let channel = Arc::new(channel);
                    sender.send_replace(Some(channel.clone()));
                    while channel.status().connected() {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    sender.send_replace(None);
                    tracing::warn!(
                        broker = options.address(),
                        "the connection for publishing is lost; connecting again"
                    );
                }
                Err(error) => tracing::warn!(broker = options.address(), %error, "cannot connect for publishing"),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    };
    shutdown.run_until_cancelled(work).await;
    sender.send_replace(None);
    if let Some(connection) = connection {
        let _ = connection.close(200, "shutting down".into()).await;
    }
}
