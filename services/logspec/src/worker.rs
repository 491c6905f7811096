//! One node: fetch → analyse → commit → publish → done. Every step may be repeated; the mark says what is done.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use db::logs::{self, Mark, Node};
use events::{Data, Delivery, Outcome, Publisher, Reason};
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    analyse::Analysed,
    failure::{Failure, Prospect},
    fetch::shown,
    look::Looker,
    metrics::Metrics,
    selection::{Choice, Selection},
    write::{Patience, Stopped, Verdict, Written, waiting},
};

/// Events that wait for the broker's confirm at once.
const PUBLISHING: usize = 64;
/// How long events may still take after the shutdown signal.
const GRACE: Duration = Duration::from_secs(10);
/// How often a log that is gone is looked for again.
const GONE_RETRIES: i32 = 3;
/// When the sweep takes a node whose message should have come back long before.
const MESSAGE_LOST: Duration = Duration::from_hours(1);
/// The sweep's own pauses between tries: those of the waiting rooms.
const PAUSES: [Duration; 3] = [Duration::from_secs(5), Duration::from_mins(1), Duration::from_mins(15)];

/// Handles nodes.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) pool: db::Pool,
    pub(crate) publisher: Publisher,
    pub(crate) selection: Selection,
    pub(crate) looker: Looker,
    pub(crate) issue_age: Duration,
    pub(crate) gone_pause: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
}

/// Why a node is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// An event told that it failed.
    Event,
    /// An operator wants it done again, since this time.
    Requested(DateTime<Utc>),
    /// The sweep found it without a mark.
    Unmarked,
    /// Its next try is due.
    Due,
}

/// How handling a node ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    /// To be tried again, for a reason that passes.
    Again(Reason, String),
}

impl Worker {
    /// Handles the message of an event.
    pub(crate) async fn handle(self: Arc<Self>, delivery: Delivery) -> Outcome {
        let asked_at = delivery.event.time;
        let (node, submission_id, why) = match delivery.event.data {
            Data::BuildFailed(data) => {
                let v1 = (logs::Kind::Build, data.build_id, data.origin, Some(data.status), None, data.log_url);
                (node(v1, asked_at), Some(data.submission_id), Why::Event)
            }
            Data::TestFailed(data) => {
                let v1 = (logs::Kind::Test, data.test_id, data.origin, Some(data.status), data.path, data.log_url);
                (node(v1, asked_at), Some(data.submission_id), Why::Event)
            }
            Data::LogRequested(data) => {
                let kind = if data.kind == "build" { logs::Kind::Build } else { logs::Kind::Test };
                let v1 = (kind, data.node_id, data.origin, data.status, data.path, Some(data.log_url));
                (node(v1, asked_at), None, Why::Requested(asked_at))
            }
            other => return Outcome::Dead(Reason::UnknownType, format!("{} is not for the log worker", other.name())),
        };
        let Some(node) = node else { return Outcome::Done };
        match self.process(&node, submission_id, why).await {
            Ok(Ended::Done) => Outcome::Done,
            Ok(Ended::Again(reason, detail)) => Outcome::Retry(reason, detail),
            Err(Stopped) => Outcome::Abandon,
        }
    }

    /// Handles a node, unless it is done already.
    pub(crate) async fn process(&self, node: &Node, submission_id: Option<String>, why: Why) -> Result<Ended, Stopped> {
        let started = Instant::now();
        let mark = self.mark(node).await?;
        if let Some(mark) = &mark {
            self.announce(mark).await?;
        }
        let Some(choice) = self.selection.choose(node) else {
            self.pass_over(node, mark, submission_id, why).await?;
            return Ok(Ended::Done);
        };
        if mark.as_ref().is_some_and(|mark| settles(mark, node, &choice, why)) {
            return Ok(Ended::Done);
        }
        let result = self.looker.look(node, &choice).await;
        let mut new = Mark::new(node, submission_id, logs::Outcome::Analyzed);
        new.attempts = attempts(mark.as_ref(), node);
        let follows = mark.map(|mark| mark.analyzed_at);
        let mut ended = match &result {
            Ok(analysed) => {
                tell(&mut new, analysed);
                Ended::Done
            }
            Err(failure) => self.fail(&mut new, failure, why),
        };
        let mut verdict = Verdict {
            node,
            kind: choice.kind,
            mark: new,
            findings: result.as_ref().ok(),
            follows,
            duration: started.elapsed(),
        };
        let written = match self.write(&verdict).await? {
            Ok(written) => written,
            Err(error) => {
                let failure = Failure::new(Reason::DatabaseRefused, error.to_string());
                tracing::error!(node.id, %error, "the database refuses what was found");
                verdict.findings = None;
                ended = self.fail(&mut verdict.mark, &failure, why);
                self.write(&verdict).await?.unwrap_or_default()
            }
        };
        self.count(node, &result, &written);
        if let Some(mark) = &written.mark {
            self.announce(mark).await?;
        }
        Ok(ended)
    }

    /// Marks a node that is not picked, unless that would hide what became of its log before.
    async fn pass_over(
        &self,
        node: &Node,
        mark: Option<Mark>,
        submission_id: Option<String>,
        why: Why,
    ) -> Result<(), Stopped> {
        let Some(mark) = mark else { return self.skip(&[node], submission_id.as_deref()).await };
        if why != Why::Due {
            return Ok(());
        }
        // It was picked when it failed; nobody wants another try any more.
        let follows = Some(mark.analyzed_at);
        let mark = Mark { next_try_at: None, outcome: logs::Outcome::Failed, announce: None, ..mark };
        let verdict =
            Verdict { node, kind: logspec::Kind::Build, mark, findings: None, follows, duration: Duration::ZERO };
        // Without findings there is nothing that the database could refuse.
        self.write(&verdict).await.map(drop)
    }

    async fn mark(&self, node: &Node) -> Result<Option<Mark>, Stopped> {
        let mut patience = Patience::default();
        loop {
            let result = async { logs::get(&mut *self.pool.get().await?, node.kind, &node.id).await };
            match result.await {
                Ok(mark) => return Ok(mark),
                Err(error) => patience.pause(self, &error).await?,
            }
        }
    }

    /// Marks nodes that the configuration does not pick.
    pub(crate) async fn skip(&self, nodes: &[&Node], submission_id: Option<&str>) -> Result<(), Stopped> {
        let mut patience = Patience::default();
        loop {
            let reason = Reason::NotSelected.as_str();
            let result = async { logs::skip(&mut *self.pool.get().await?, nodes, submission_id, reason).await };
            match result.await {
                Ok(()) => break,
                Err(error) => patience.pause(self, &error).await?,
            }
        }
        let skipped = self.metrics.logs.with_label_values(&["skipped", Reason::NotSelected.as_str()]);
        skipped.inc_by(nodes.len() as u64);
        Ok(())
    }

    /// Publishes the events that wait in a mark, and notes that they are.
    pub(crate) async fn announce(&self, mark: &Mark) -> Result<(), Stopped> {
        if mark.announce.is_none() {
            return Ok(());
        }
        let events = waiting(mark);
        let publisher = &self.publisher;
        let all = stream::iter(&events).for_each_concurrent(PUBLISHING, |event| publisher.publish_eventually(event));
        let grace = async {
            self.shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! { () = all => {}, () = grace => return Err(Stopped) }
        let mut patience = Patience::default();
        loop {
            let result = async { logs::announced(&mut *self.pool.get().await?, mark).await };
            match result.await {
                Ok(()) => return Ok(()),
                Err(error) => patience.pause(self, &error).await?,
            }
        }
    }

    /// Notes a failure in a mark; says how handling the node ends.
    fn fail(&self, mark: &mut Mark, failure: &Failure, why: Why) -> Ended {
        let attempts = mark.attempts;
        mark.outcome = logs::Outcome::Failed;
        mark.reason = Some(failure.reason.as_str().to_owned());
        match failure.prospect() {
            Prospect::Lasting => Ended::Done,
            Prospect::Gone => {
                mark.next_try_at = (attempts <= GONE_RETRIES).then(|| Utc::now() + self.gone_pause);
                Ended::Done
            }
            Prospect::Passing if u32::try_from(attempts).is_ok_and(|attempts| attempts >= self.max_attempts) => {
                Ended::Done
            }
            Prospect::Passing => {
                mark.outcome = logs::Outcome::Retrying;
                let has_message = matches!(why, Why::Event | Why::Requested(_));
                let place = usize::try_from(attempts - 1).unwrap_or(0).min(PAUSES.len() - 1);
                mark.next_try_at = Some(Utc::now() + if has_message { MESSAGE_LOST } else { PAUSES[place] });
                Ended::Again(failure.reason, failure.detail.clone())
            }
        }
    }

    fn count(&self, node: &Node, result: &Result<Analysed, Failure>, written: &Written) {
        // Without a mark somebody else has done it.
        let Some(mark) = &written.mark else { return };
        let reason = mark.reason.as_deref().unwrap_or_default();
        let url = shown(&node.log_url);
        match result {
            Ok(analysed) => {
                let (issues, incidents) = (mark.issues, mark.incidents);
                tracing::info!(node.id, url, parser = analysed.parser.name, issues, incidents, "analysed a log");
                for (class, count) in &analysed.classes {
                    let class = self.metrics.classes.label(class);
                    self.metrics.findings.with_label_values(&[analysed.parser.name, &class]).inc_by(*count);
                }
            }
            Err(failure) => tracing::info!(
                node.id,
                url,
                reason,
                outcome = mark.outcome.as_str(),
                attempts = mark.attempts,
                "could not analyse a log: {}",
                failure.detail
            ),
        }
        self.metrics.logs.with_label_values(&[mark.outcome.as_str(), reason]).inc();
        self.metrics.issues.with_label_values(&["new"]).inc_by(written.new_issues as u64);
        self.metrics.issues.with_label_values(&["known"]).inc_by(written.known_issues as u64);
        self.metrics.incidents.inc_by(written.new_incidents as u64);
    }
}

type Told = (logs::Kind, String, String, Option<String>, Option<String>, Option<String>);

/// The node of an event; nothing when it has no log.
fn node((kind, id, origin, status, path, log_url): Told, changed_at: DateTime<Utc>) -> Option<Node> {
    let log_url = log_url.filter(|url| !url.is_empty())?;
    Some(Node { kind, id, origin, status, path, log_url, changed_at })
}

fn tell(mark: &mut Mark, analysed: &Analysed) {
    mark.parser = Some(analysed.parser.name.to_owned());
    mark.parser_version = Some(analysed.parser.version.to_owned());
    mark.log_sha256 = Some(analysed.digest.clone());
    mark.log_bytes = i64::try_from(analysed.bytes).ok();
    mark.is_cut = analysed.is_cut;
    mark.new_status = analysed.new_status.map(str::to_owned);
}

/// Which try this is.
fn attempts(mark: Option<&Mark>, node: &Node) -> i32 {
    let earlier = mark.filter(|mark| {
        mark.log_url == node.log_url && matches!(mark.outcome, logs::Outcome::Failed | logs::Outcome::Retrying)
    });
    earlier.map_or(1, |mark| mark.attempts.saturating_add(1))
}

/// Whether what is known of a node is all that is wanted.
fn settles(mark: &Mark, node: &Node, choice: &Choice<'_>, why: Why) -> bool {
    match why {
        Why::Requested(at) => mark.analyzed_at >= at && mark.outcome != logs::Outcome::Retrying,
        Why::Due => mark.outcome == logs::Outcome::Analyzed,
        Why::Event | Why::Unmarked => {
            mark.log_url == node.log_url
                && match mark.outcome {
                    logs::Outcome::Analyzed => is_current(mark, choice),
                    logs::Outcome::Failed => true,
                    logs::Outcome::Retrying | logs::Outcome::Skipped => false,
                }
        }
    }
}

/// Whether a mark is of the parser that would look at the log now, in its present version.
pub(crate) fn is_current(mark: &Mark, choice: &Choice<'_>) -> bool {
    mark.outcome == logs::Outcome::Analyzed
        && mark.parser.as_deref() == Some(choice.parser.name)
        && mark.parser_version.as_deref() == Some(choice.parser.version)
}
