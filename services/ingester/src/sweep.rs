//! The sweep: waiting files that no event announced, or whose event was lost (design.md, invariant 2).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{config, metrics::Metrics, work::Intake};

/// Sweeps until shutdown.
pub(crate) async fn run(
    spool: spool::Spool,
    intake: Intake,
    options: config::Sweep,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let sweeps = async {
        loop {
            tokio::time::sleep(options.every).await;
            // An idle ingester has nothing better to do than to take any file at once; a busy one leaves young files
            // to their events. Even then a file is let rest, for those who write in place.
            let age = if intake.is_idle() { options.idle_age } else { options.busy_age };
            if let Err(error) = sweep(&spool, &intake, age, &metrics).await {
                tracing::warn!(%error, "the spool cannot be swept now");
            }
        }
    };
    shutdown.run_until_cancelled(sweeps).await;
}

async fn sweep(spool: &spool::Spool, intake: &Intake, age: Duration, metrics: &Metrics) -> Result<(), spool::Error> {
    for file in spool.ready(age).await? {
        let name = file.to_string();
        if intake.sweep(file).await {
            metrics.swept.inc();
            tracing::info!(file = name, "found a waiting file that no event announced");
        }
    }
    Ok(())
}
