//! One connection to the broker, and the pause before the next try.

use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties, options::ConfirmSelectOptions, uri::AMQPUri};

use crate::{Options, topology};

/// A try to connect ends after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const HEARTBEAT_SECONDS: u16 = 30;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{0}")]
    Broker(#[from] lapin::Error),
    #[error("the broker address is malformed: {0}")]
    Address(String),
    #[error("something is missing, which `kcidb queue setup` makes: {0}")]
    Incomplete(lapin::Error),
    #[error("no answer within {CONNECT_TIMEOUT:?}")]
    Timeout,
}

/// Connects, declares the topology or looks that it is there, and returns the connection with a channel in confirm mode.
pub(crate) async fn connect(options: &Options, name: &str) -> Result<(Connection, Channel), ConnectError> {
    let mut uri: AMQPUri = options.amqp_url.parse().map_err(ConnectError::Address)?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    let attempt = async {
        let properties = ConnectionProperties::default().with_connection_name(format!("kcidb {name}").into());
        let connection = Connection::connect_uri(uri, properties).await?;
        let channel = connection.create_channel().await?;
        if options.broker_declare {
            topology::declare(&channel).await?;
        } else {
            topology::look(&channel).await.map_err(ConnectError::Incomplete)?;
        }
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, attempt).await.map_err(|_| ConnectError::Timeout)?
}

/// Growing pauses between tries: 0.1 s to 5 s, each shortened at random by up to a half, so that services do not come back in step.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let full = 100 * 2u64.pow(self.0.min(6));
        self.0 += 1;
        Duration::from_millis(full.min(5000)).mul_f64(rand::random_range(0.5..1.0))
    }

    /// It worked: start over.
    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_start_over() {
        let mut backoff = Backoff::default();
        assert!(backoff.pause() <= Duration::from_millis(100));
        for _ in 0..100 {
            assert!(backoff.pause() <= Duration::from_secs(5));
        }
        assert!(backoff.pause() >= Duration::from_millis(2500));
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }
}
