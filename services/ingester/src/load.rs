//! One batch: read, check, load in one transaction, announce, move. In this order, always (design.md, invariant 3).

use std::time::{Duration, Instant};

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use events::{Outcome, Publisher, Reason};
use schema::{Document, Objects, Rejection};
use spool::Spool;
use telemetry::{
    names,
    traces::{Kind, Span},
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    follow::{Follow, Refused},
    metrics::Metrics,
    work::Work,
};

/// Documents above this size are loaded alone and piece by piece, so that their objects are never in memory all at once.
const LARGE: usize = 32 << 20;
/// Objects in memory at once while a large document is loaded.
const PIECE: usize = 2000;
/// The longest pause between two tries while the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Loads batches.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) spool: Spool,
    pub(crate) pool: db::Pool,
    pub(crate) publisher: Publisher,
    pub(crate) schema: schema::Options,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
}

/// A file of the batch, in memory.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) work: Work,
    pub(crate) text: Vec<u8>,
    pub(crate) started: Instant,
}

/// The process is stopping while a server is away: what is in hand stays in the spool.
#[derive(Debug)]
pub(crate) struct Stopped;

/// What one transaction loads.
enum Rows<'r, 'a> {
    Documents(&'r [Objects<'a>]),
    Large(&'r Document<'a>),
}

impl Loader {
    /// The size of a file; 0 when it is gone.
    pub(crate) async fn size(&self, work: &Work) -> u64 {
        tokio::fs::metadata(self.spool.path(&work.file)).await.map_or(0, |metadata| metadata.len())
    }

    /// Loads a batch; every work of it ends with an outcome.
    pub(crate) async fn load(&self, works: Vec<Work>) {
        // A batch is of no one trace: it links to those of all its submissions.
        let span = Span::start(names::LOAD_BATCH, Kind::Internal);
        span.set(names::BATCH_COUNT, i64::try_from(works.len()).unwrap_or(i64::MAX));
        for work in &works {
            span.link(&work.place);
        }
        span.run(self.load_all(works)).await;
    }

    async fn load_all(&self, works: Vec<Work>) {
        let mut small = Vec::new();
        for work in works {
            match self.read(work).await {
                Some(submission) if submission.text.len() > LARGE => self.load_large(submission).await,
                Some(submission) => small.push(submission),
                None => {}
            }
        }
        if !small.is_empty() {
            self.load_small(small).await;
        }
    }

    /// Reads a file. One that is gone was done before; an empty one is removed, as it always was (database.md 6.5).
    async fn read(&self, work: Work) -> Option<Submission> {
        let (started, path) = (Instant::now(), self.spool.path(&work.file));
        let problem = match tokio::fs::read(&path).await {
            Ok(text) if text.is_empty() => {
                tracing::warn!(file = %work.file, "an empty file is removed");
                tokio::fs::remove_file(&path).await.err()
            }
            Ok(text) => return Some(Submission { work, text, started }),
            Err(error) => Some(error),
        };
        work.finish(match problem {
            Some(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Outcome::Retry(Reason::SpoolUnavailable, format!("{}: {error}", path.display()))
            }
            _ => Outcome::Done,
        });
        None
    }

    async fn load_small(&self, submissions: Vec<Submission>) {
        let count = u32::try_from(submissions.len()).unwrap_or(u32::MAX);
        self.metrics.batch_submissions.observe(f64::from(count));
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        tokio::task::block_in_place(|| {
            for submission in &submissions {
                match self.check(&submission.text) {
                    Ok((version, objects)) => good.push((submission, version, objects)),
                    Err(refused) => bad.push((submission, refused)),
                }
            }
        });
        let objects: Vec<Objects<'_>> = good.iter_mut().map(|(_, _, objects)| std::mem::take(objects)).collect();
        let together = if objects.is_empty() { Ok(Ok(())) } else { self.commit(&objects).await };
        let mut results: Vec<Result<Follow, Stopped>> = Vec::new();
        for ((submission, version, _), objects) in good.into_iter().zip(&objects) {
            // One bad document never harms another: each is loaded again, alone.
            let result = match &together {
                Ok(Err(_)) => self.commit(std::slice::from_ref(objects)).await,
                Ok(Ok(())) => Ok(Ok(())),
                Err(Stopped) => Err(Stopped),
            };
            results.push(result.map(|loaded| match loaded {
                Ok(()) => Follow::ingested(submission, version, std::slice::from_ref(objects)),
                Err(error) => Follow::rejected(submission, Refused::by_database(&error)),
            }));
        }
        results.extend(bad.into_iter().map(|(submission, refused)| Ok(Follow::rejected(submission, refused))));
        drop(objects);
        let mut follows: std::collections::HashMap<_, _> =
            results.into_iter().filter_map(Result::ok).map(|follow| (follow.file.clone(), follow)).collect();
        let followed =
            submissions.into_iter().map(|submission| (follows.remove(&submission.work.file), submission.work));
        self.follow(followed.collect()).await;
    }

    /// Splits, validates, upgrades and converts one document, and finds what PostgreSQL could not store.
    fn check<'a>(&self, text: &'a [u8]) -> Result<(String, Objects<'a>), Refused> {
        let document = Document::open(text)?;
        let objects = document.objects(&self.schema)?;
        let faults = db::unstorable(&objects);
        if !faults.is_empty() {
            return Err(Refused::unstorable(faults));
        }
        Ok((version(&document), objects))
    }

    async fn load_large(&self, submission: Submission) {
        let result = match tokio::task::block_in_place(|| self.check_large(&submission)) {
            Ok((document, follow)) => {
                let loaded = self.persist(&Rows::Large(&document)).await;
                loaded.map(|loaded| match loaded {
                    Ok(()) => follow,
                    Err(error) => Follow::rejected(&submission, Refused::by_database(&error)),
                })
            }
            Err(refused) => Ok(Follow::rejected(&submission, refused)),
        };
        self.follow(vec![(result.ok(), submission.work)]).await;
    }

    /// Checks a large document piece by piece and keeps of it only what is announced.
    fn check_large<'a>(&self, submission: &'a Submission) -> Result<(Document<'a>, Follow), Refused> {
        let document = Document::open(&submission.text)?;
        let mut faults = Vec::new();
        let mut follow = Follow::ingested(submission, version(&document), &[]);
        document.chunks(&self.schema, PIECE, |objects| {
            if faults.len() < self.schema.max_faults {
                faults.append(&mut db::unstorable(&objects));
            }
            follow.add(&objects);
        })?;
        if faults.is_empty() { Ok((document, follow)) } else { Err(Refused::unstorable(faults)) }
    }

    /// Loads a checked document piece by piece, inside the caller's transaction.
    fn load_pieces(&self, connection: &mut AsyncPgConnection, document: &Document<'_>) -> Result<(), db::Error> {
        let runtime = Handle::current();
        tokio::task::block_in_place(|| {
            let mut result = Ok(());
            let checked = document.chunks(&self.schema, PIECE, |objects| {
                if result.is_ok() {
                    result = runtime.block_on(db::load(connection, std::slice::from_ref(&objects)));
                }
            });
            debug_assert!(checked.is_ok(), "the document was checked before");
            result
        })
    }

    /// Loads documents in one transaction. The inner error is about the documents; everything else is waited out.
    async fn commit(&self, documents: &[Objects<'_>]) -> Result<Result<(), db::Error>, Stopped> {
        self.persist(&Rows::Documents(documents)).await
    }
}

impl Loader {
    /// Runs a transaction until it is committed, or until the documents themselves are refused.
    async fn persist(&self, rows: &Rows<'_, '_>) -> Result<Result<(), db::Error>, Stopped> {
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.transaction(rows).await {
                Ok(()) => return Ok(Ok(())),
                Err(error) if error.is_data() => return Ok(Err(error)),
                Err(error) => error,
            };
            let kind = if error.is_conflict() { "conflict" } else { "outage" };
            self.metrics.database_retries.with_label_values(&[kind]).inc();
            tracing::warn!(%error, ?pause, "the database cannot load now; loading waits");
            if self.shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Err(Stopped);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn transaction(&self, rows: &Rows<'_, '_>) -> Result<(), db::Error> {
        let mut connection = self.pool.get().await?;
        connection.batch_execute("BEGIN").await?;
        let loaded = match rows {
            Rows::Documents(documents) => db::load(&mut connection, documents).await,
            Rows::Large(document) => self.load_pieces(&mut connection, document),
        };
        match loaded {
            Ok(()) => Ok(connection.batch_execute("COMMIT").await?),
            Err(error) => {
                // A connection that cannot even roll back is not used again.
                if connection.batch_execute("ROLLBACK").await.is_err() {
                    drop(db::Connection::take(connection));
                }
                Err(error)
            }
        }
    }
}

fn version(document: &Document<'_>) -> String {
    document.version().map_or_else(String::new, |version| version.to_string())
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self::by_schema(rejection)
    }
}
