//! Batches: whatever waits when a worker is free, up to a count and a size. A quiet system loads one submission at a
//! time, at once; a busy one fills its batches by itself.

use std::{sync::Arc, time::Duration};

use telemetry::Health;
use tokio::{
    sync::{Mutex, mpsc},
    task::{JoinHandle, JoinSet},
};

use crate::{config, load::Loader, work::Work};

/// How often a worker without work says that it is alive.
const BEAT: Duration = Duration::from_secs(5);

/// Starts the workers; the handle ends when the queue has ended and the last batch is done.
pub(crate) fn start(
    options: &config::Batch,
    queue: mpsc::Receiver<Work>,
    loader: &Arc<Loader>,
    health: &Health,
) -> JoinHandle<()> {
    let queue = Arc::new(Mutex::new(queue));
    let mut workers = JoinSet::new();
    for _ in 0..options.workers.max(1) {
        workers.spawn(worker(options.clone(), queue.clone(), loader.clone(), health.clone()));
    }
    tokio::spawn(async move { while workers.join_next().await.is_some() {} })
}

async fn worker(options: config::Batch, queue: Arc<Mutex<mpsc::Receiver<Work>>>, loader: Arc<Loader>, health: Health) {
    loop {
        let Some(batch) = next(&options, &queue, &loader, &health).await else { return };
        let task = tokio::spawn({
            let loader = loader.clone();
            async move { loader.load(batch).await }
        });
        // Waiting out an outage is life too.
        let mut task = task;
        let result = loop {
            match tokio::time::timeout(BEAT, &mut task).await {
                Ok(result) => break result,
                Err(_) => health.beat(),
            }
        };
        if let Err(error) = result {
            tracing::error!(%error, "loading a batch panicked; its submissions are tried again");
        }
    }
}

/// The next batch; `None` at the end of the queue.
async fn next(
    options: &config::Batch,
    queue: &Mutex<mpsc::Receiver<Work>>,
    loader: &Loader,
    health: &Health,
) -> Option<Vec<Work>> {
    let mut queue = queue.lock().await;
    let first = loop {
        health.beat();
        if let Ok(first) = tokio::time::timeout(BEAT, queue.recv()).await {
            break first?;
        }
    };
    // Retried work is loaded alone, so that what made it fail cannot harm others again.
    let alone = first.attempt > 1;
    let mut bytes = loader.size(&first).await;
    let mut batch = vec![first];
    while !alone && batch.len() < options.count && bytes < options.bytes {
        match tokio::time::timeout(options.wait, queue.recv()).await {
            Ok(Some(work)) => {
                bytes += loader.size(&work).await;
                batch.push(work);
            }
            Ok(None) | Err(_) => break,
        }
    }
    Some(batch)
}
