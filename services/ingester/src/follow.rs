//! What follows a verdict: events, then the file's move, then the outcome (design.md, invariant 3).

use std::time::{Duration, Instant};

use chrono::Utc;
use events::{Event, Outcome, Reason, v1};
use futures::{StreamExt as _, stream};
use schema::{Counts, Fault, Objects, Rejection};
use spool::FileName;
use telemetry::traces::{Place, log_span};

use crate::{
    load::{Loader, Submission},
    work::Work,
};

/// Events that wait for the broker's confirm at once.
const PUBLISHING: usize = 256;
/// How long events may still take after the shutdown signal; then the submission is left to the next start.
const GRACE: Duration = Duration::from_secs(10);
/// Faults in an event; the reason beside the file has them all.
const EVENT_FAULTS: usize = 20;
/// The statuses of a node that did not succeed.
const FAILED: [&str; 3] = ["FAIL", "ERROR", "MISS"];

/// Why a document is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    code: &'static str,
    sentence: String,
    faults: Vec<Fault>,
    count: usize,
}

impl Refused {
    /// Every code there is.
    pub(crate) const CODES: [&str; 6] = [
        "json_invalid",
        "schema_invalid",
        "upgrade_impossible",
        "lab_name_invalid",
        "value_unstorable",
        "database_refused",
    ];

    pub(crate) fn by_schema(rejection: Rejection) -> Self {
        let code = match rejection.code {
            schema::Refusal::NotJson => "json_invalid",
            schema::Refusal::Invalid => "schema_invalid",
            schema::Refusal::NotUpgradable => "upgrade_impossible",
            schema::Refusal::BadName => "lab_name_invalid",
        };
        Self { code, sentence: rejection.to_string(), count: rejection.fault_count, faults: rejection.faults }
    }

    pub(crate) fn unstorable(faults: Vec<Fault>) -> Self {
        let sentence = faults.first().map(ToString::to_string).unwrap_or_default();
        Self { code: "value_unstorable", sentence, count: faults.len(), faults }
    }

    pub(crate) fn by_database(error: &db::Error) -> Self {
        Self { code: "database_refused", sentence: error.to_string(), faults: Vec::new(), count: 0 }
    }
}

/// A verdict on a submission, with what is announced.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) file: FileName,
    submission_id: String,
    origin: String,
    size_bytes: u32,
    attempt: u32,
    started: Instant,
    received_at: Option<chrono::DateTime<Utc>>,
    /// The trace of the submission, which everything that follows is of.
    place: Place,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Ingested { version: String, counts: Counts, failed: Vec<Event> },
    Rejected(Refused),
}

impl Follow {
    fn new(submission: &Submission, verdict: Verdict) -> Self {
        let Submission { work, text, started } = submission;
        let id = work.file.submission_id().map_or_else(|| work.file.to_string(), |id| id.as_str().to_owned());
        Self {
            file: work.file.clone(),
            submission_id: id,
            origin: work.origin.clone().unwrap_or_default(),
            size_bytes: u32::try_from(text.len()).unwrap_or(u32::MAX),
            attempt: work.attempt,
            started: *started,
            received_at: work.received_at,
            place: work.place.clone(),
            verdict,
        }
    }

    /// A submission whose objects are in the database.
    pub(crate) fn ingested(submission: &Submission, version: String, parts: &[Objects<'_>]) -> Self {
        let verdict = Verdict::Ingested { version, counts: Counts::default(), failed: Vec::new() };
        let mut follow = Self::new(submission, verdict);
        for objects in parts {
            follow.add(objects);
        }
        follow
    }

    /// A submission that cannot be loaded.
    pub(crate) fn rejected(submission: &Submission, refused: Refused) -> Self {
        Self::new(submission, Verdict::Rejected(refused))
    }

    /// Counts these objects, and notes the nodes among them that did not succeed.
    pub(crate) fn add(&mut self, objects: &Objects<'_>) {
        let Verdict::Ingested { counts, failed, .. } = &mut self.verdict else { return };
        let more = objects.counts();
        counts.checkouts += more.checkouts;
        counts.builds += more.builds;
        counts.tests += more.tests;
        counts.issues += more.issues;
        counts.incidents += more.incidents;
        if self.origin.is_empty() {
            first_origin(objects).clone_into(&mut self.origin);
        }
        let id = &self.submission_id;
        for build in objects.builds.iter().filter(|build| is_failed(build.status.as_deref())) {
            let data = v1::BuildFailed {
                submission_id: id.clone(),
                origin: build.origin.to_string(),
                build_id: build.id.to_string(),
                checkout_id: build.checkout_id.to_string(),
                status: build.status.as_deref().unwrap_or_default().to_owned(),
                log_url: build.log_url.as_deref().map(str::to_owned),
            };
            failed
                .push(Event::new("ingester", data.origin.clone(), data).with_id(format!("{id}.build.{}", build.index)));
        }
        for test in objects.tests.iter().filter(|test| is_failed(test.status.as_deref())) {
            let data = v1::TestFailed {
                submission_id: id.clone(),
                origin: test.origin.to_string(),
                test_id: test.id.to_string(),
                build_id: test.build_id.to_string(),
                status: test.status.as_deref().unwrap_or_default().to_owned(),
                log_url: test.log_url.as_deref().map(str::to_owned),
                path: test.path.as_deref().map(str::to_owned),
            };
            failed.push(Event::new("ingester", data.origin.clone(), data).with_id(format!("{id}.test.{}", test.index)));
        }
    }

    /// The events, whose ids depend on the submission alone: a repetition is recognisable.
    fn events(&mut self) -> Vec<Event> {
        let (id, file, origin) = (self.submission_id.clone(), self.file.to_string(), self.origin.clone());
        let mut events = match &mut self.verdict {
            Verdict::Ingested { version, counts, failed } => {
                let data = v1::SubmissionIngested {
                    submission_id: id.clone(),
                    file,
                    origin: origin.clone(),
                    schema_version: version.clone(),
                    objects: Some(event_counts(*counts)),
                    duration_ms: u32::try_from(self.started.elapsed().as_millis()).unwrap_or(u32::MAX),
                    attempt: self.attempt,
                    size_bytes: self.size_bytes,
                };
                let mut events = std::mem::take(failed);
                events.push(Event::new("ingester", origin, data).with_id(format!("{id}.ingested")));
                events
            }
            Verdict::Rejected(refused) => {
                let data = v1::SubmissionRejected {
                    submission_id: id.clone(),
                    file,
                    origin: origin.clone(),
                    reason: refused.code.into(),
                    message: refused.sentence.clone(),
                    faults: refused.faults.iter().take(EVENT_FAULTS).map(event_fault).collect(),
                    fault_count: u32::try_from(refused.count).unwrap_or(u32::MAX),
                    attempt: self.attempt,
                    size_bytes: self.size_bytes,
                };
                vec![Event::new("ingester", origin, data).with_id(format!("{id}.rejected"))]
            }
        };
        if self.place.traceparent.is_some() {
            events = events.into_iter().map(|event| event.at(self.place.clone())).collect();
        }
        events
    }
}

impl Loader {
    /// Announces every verdict, moves the files, and ends the works; without a verdict the process is stopping.
    pub(crate) async fn follow(&self, verdicts: Vec<(Option<Follow>, Work)>) {
        let (mut follows, mut works) = (Vec::new(), Vec::new());
        for (follow, work) in verdicts {
            match follow {
                Some(follow) => {
                    follows.push(follow);
                    works.push(work);
                }
                None => work.finish(Outcome::Abandon),
            }
        }
        for follow in &follows {
            log_span(&follow.place).in_scope(|| self.count(follow));
        }
        let events: Vec<Event> = follows.iter_mut().flat_map(Follow::events).collect();
        if !self.publish(events).await {
            for work in works {
                work.finish(Outcome::Abandon);
            }
            return;
        }
        let moved = self.move_files(&follows).await;
        for work in works {
            work.finish(match &moved {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::Retry(Reason::SpoolUnavailable, error.to_string()),
            });
        }
    }

    /// Publishes events, however long it takes; false when the process stops first.
    async fn publish(&self, events: Vec<Event>) -> bool {
        let publisher = &self.publisher;
        let all = stream::iter(&events).for_each_concurrent(PUBLISHING, |event| publisher.publish_eventually(event));
        let grace = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! { () = all => true, () = grace => false }
    }

    async fn move_files(&self, follows: &[Follow]) -> Result<(), spool::Error> {
        let mut archive = Vec::new();
        for follow in follows {
            match &follow.verdict {
                Verdict::Ingested { .. } => archive.push(follow.file.clone()),
                Verdict::Rejected(refused) => {
                    gone_is_fine(self.spool.fail(&follow.file, &reason(follow, refused)).await)?;
                }
            }
        }
        gone_is_fine(self.spool.archive_all(&archive).await)
    }

    fn count(&self, follow: &Follow) {
        let id = follow.submission_id.as_str();
        let (origin, size) = (follow.origin.as_str(), follow.size_bytes);
        let duration_ms = u64::try_from(follow.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let label = self.metrics.origins.label(origin);
        let label = label.as_str();
        match &follow.verdict {
            Verdict::Ingested { counts, .. } => {
                tracing::info!(
                    submission.id = id,
                    origin,
                    size_bytes = size,
                    duration_ms,
                    objects = counts.total(),
                    "ingested"
                );
                self.metrics.submissions.with_label_values(&[label, "ingested", ""]).inc();
                self.metrics.ingestions.inc();
                let count = |kind, count: usize| {
                    self.metrics.objects.with_label_values(&[kind, label]).inc_by(count as u64);
                };
                count("checkout", counts.checkouts);
                count("build", counts.builds);
                count("test", counts.tests);
                count("issue", counts.issues);
                count("incident", counts.incidents);
                if let Some(received_at) = follow.received_at {
                    let waited = (Utc::now() - received_at).to_std().unwrap_or_default();
                    self.metrics.end_to_end.with_label_values(&[label]).observe(waited.as_secs_f64());
                }
            }
            Verdict::Rejected(refused) => {
                tracing::warn!(
                    submission.id = id,
                    origin,
                    size_bytes = size,
                    reason = refused.code,
                    "rejected: {}",
                    refused.sentence
                );
                self.metrics.submissions.with_label_values(&[label, "rejected", refused.code]).inc();
                for fault in &refused.faults {
                    self.metrics.faults.with_label_values(&[label, fault.code]).inc();
                }
            }
        }
    }
}

/// Another ingester was faster.
fn gone_is_fine(result: Result<(), spool::Error>) -> Result<(), spool::Error> {
    match result {
        Err(spool::Error::Gone(_)) => Ok(()),
        other => other,
    }
}

fn reason(follow: &Follow, refused: &Refused) -> spool::Reason {
    let fault = |fault: &Fault| spool::Fault {
        path: fault.pointer.clone(),
        code: fault.code.to_owned(),
        message: fault.message.clone(),
        value: fault.value.clone(),
        id: fault.id.clone(),
    };
    spool::Reason {
        code: refused.code.to_owned(),
        reason: refused.sentence.clone(),
        errors: refused.faults.iter().map(fault).collect(),
        error_count: refused.count as u64,
        attempts: follow.attempt,
        at: Utc::now(),
    }
}

fn is_failed(status: Option<&str>) -> bool {
    status.is_some_and(|status| FAILED.contains(&status))
}

fn first_origin<'a>(objects: &'a Objects<'_>) -> &'a str {
    let origins = [
        objects.checkouts.first().map(|object| &object.origin),
        objects.builds.first().map(|object| &object.origin),
        objects.tests.first().map(|object| &object.origin),
        objects.issues.first().map(|object| &object.origin),
        objects.incidents.first().map(|object| &object.origin),
    ];
    origins.into_iter().flatten().next().map_or("", |origin| origin.as_ref())
}

fn event_counts(counts: Counts) -> v1::Counts {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    v1::Counts {
        checkouts: count(counts.checkouts),
        builds: count(counts.builds),
        tests: count(counts.tests),
        issues: count(counts.issues),
        incidents: count(counts.incidents),
    }
}

fn event_fault(fault: &Fault) -> v1::Fault {
    v1::Fault {
        pointer: fault.pointer.clone(),
        code: fault.code.to_owned(),
        message: fault.message.clone(),
        value: fault.value.clone(),
        object_id: fault.id.clone(),
    }
}
