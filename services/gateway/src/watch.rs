//! What is done beside the requests: watching the spool's limits, counting its files, sweeping what dead uploads left.

use std::time::{Duration, Instant};

use spool::Spool;
use telemetry::Health;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How often free space and writability are looked at.
const PROBE: Duration = Duration::from_secs(2);

/// How often files are counted, at most: a spool of a million files is listed less often.
const COUNT: Duration = Duration::from_secs(10);

/// How often dead uploads are looked for.
const SWEEP: Duration = Duration::from_mins(5);

/// Starts all three, each until shutdown; the first look is over when this returns, so that limits hold from the start.
pub(crate) async fn start(
    spool: &Spool,
    metrics: &Metrics,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<(), spool::Error> {
    spool.measure_space().await?;
    let limit = spool.min_free_bytes();
    metrics.spool_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    let (probed, values) = (spool.clone(), metrics.clone());
    health.probe("spool", PROBE, shutdown.clone(), move || {
        let (spool, metrics) = (probed.clone(), values.clone());
        async move {
            spool.measure_space().await.map_err(|error| error.to_string())?;
            metrics.spool(&spool.usage());
            spool.check_admits().map_err(|error| error.to_string())?;
            spool.check_writable().await.map_err(|error| error.to_string())
        }
    });
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(count(spool.clone())));
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(sweep(spool.clone())));
    Ok(())
}

async fn count(spool: Spool) {
    loop {
        let started = Instant::now();
        if let Err(error) = spool.count().await {
            tracing::warn!(%error, "the spool's files cannot be counted");
        }
        // Never more than a twentieth of the time.
        tokio::time::sleep(COUNT.max(started.elapsed() * 20)).await;
    }
}

async fn sweep(spool: Spool) {
    loop {
        match spool.sweep_temporary().await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "swept the spool"),
            Err(error) => tracing::warn!(%error, "the spool cannot be swept"),
        }
        tokio::time::sleep(SWEEP).await;
    }
}
