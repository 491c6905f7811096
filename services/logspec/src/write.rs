//! Issues, incidents and the node's mark, in one transaction; and the events that tell of them, which wait in the mark
//! until they are published.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use db::logs::{self, Mark};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use events::{Event, v1};
use logspec::{Incident, Kind, KnownIssue};
use md5::{Digest as _, Md5};
use schema::{Culprit, Json, Objects};
use telemetry::{names, traces};

use crate::{
    analyse::{Analysed, Findings, Issue, as_node},
    worker::Worker,
};

/// The longest pause between two tries while the database is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Characters of a comment in an event: events stay small.
const EVENT_COMMENT: usize = 1000;

/// The process is stopping while a server is away: the node is left to the next start.
#[derive(Debug)]
pub(crate) struct Stopped;

/// What is to be written about a node.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    pub(crate) node: &'a logs::Node,
    pub(crate) kind: Kind,
    pub(crate) mark: Mark,
    /// Nothing when the log was not analysed.
    pub(crate) findings: Option<&'a Analysed>,
    /// When the mark was made that this follows; a newer one is left alone.
    pub(crate) follows: Option<DateTime<Utc>>,
    pub(crate) duration: Duration,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) mark: Option<Mark>,
    pub(crate) new_issues: usize,
    pub(crate) known_issues: usize,
    pub(crate) new_incidents: usize,
}

/// Waits out the database.
#[derive(Debug)]
pub(crate) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_millis(100))
    }
}

impl Patience {
    /// Pauses after an error that is nobody's fault.
    pub(crate) async fn pause(&mut self, worker: &Worker, error: &db::Error) -> Result<(), Stopped> {
        let kind = if error.is_conflict() { "conflict" } else { "outage" };
        worker.metrics.database_retries.with_label_values(&[kind]).inc();
        tracing::warn!(%error, pause = ?self.0, "the database does not work now; the log worker waits");
        let pause = worker.shutdown.run_until_cancelled(tokio::time::sleep(self.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
        pause.ok_or(Stopped)
    }
}

impl Worker {
    /// Writes a verdict, however long the database is away. The inner error is about what was found.
    pub(crate) async fn write(&self, verdict: &Verdict<'_>) -> Result<Result<Written, db::Error>, Stopped> {
        let mut patience = Patience::default();
        loop {
            match self.transaction(verdict).await {
                Ok(written) => return Ok(Ok(written)),
                Err(error) if error.is_data() => return Ok(Err(error)),
                Err(error) => patience.pause(self, &error).await?,
            }
        }
    }

    async fn transaction(&self, verdict: &Verdict<'_>) -> Result<Written, db::Error> {
        let span = traces::Span::start(names::COMMIT_FINDINGS, traces::Kind::Internal);
        let result = span.run(self.commit(verdict)).await;
        match &result {
            Ok(written) => {
                span.set(names::NEW_ISSUES, i64::try_from(written.new_issues).unwrap_or(i64::MAX));
                span.set(names::NEW_INCIDENTS, i64::try_from(written.new_incidents).unwrap_or(i64::MAX));
            }
            Err(error) => span.fail(error.to_string()),
        }
        result
    }

    async fn commit(&self, verdict: &Verdict<'_>) -> Result<Written, db::Error> {
        let mut connection = self.pool.get().await?;
        connection.batch_execute("BEGIN").await?;
        match self.write_in(&mut connection, verdict).await {
            Ok(written) => {
                connection.batch_execute("COMMIT").await?;
                Ok(written)
            }
            Err(error) => {
                // A connection that cannot even roll back is not used again.
                if connection.batch_execute("ROLLBACK").await.is_err() {
                    drop(db::Connection::take(connection));
                }
                Err(error)
            }
        }
    }

    async fn write_in(&self, connection: &mut AsyncPgConnection, verdict: &Verdict<'_>) -> Result<Written, db::Error> {
        let Verdict { node, findings, .. } = *verdict;
        let places = findings.map(|analysed| analysed.findings.places()).unwrap_or_default();
        // Whoever else has this node, or an error at the same place, waits until this is committed: so a node is done
        // once, and two errors at one place that come at once are one issue.
        let mut numbers = vec![number(&[node.kind.as_str(), &node.id])];
        numbers.extend(places.iter().map(|place| number(&["issue", &node.origin, place])));
        logs::lock(connection, numbers).await?;
        let current = logs::get(connection, node.kind, &node.id).await?;
        if current.as_ref().map(|mark| mark.analyzed_at) != verdict.follows {
            return Ok(Written::default());
        }
        let mut written = Written::default();
        let mut mark = verdict.mark.clone();
        let mut announced = Vec::new();
        if let Some(analysed) = findings {
            let since = Utc::now() - self.issue_age;
            let known = self.known(connection, &node.origin, &places, since).await?;
            let opened = open(connection, verdict, &analysed.findings, &known, since).await?;
            written.new_issues = opened.new_issues.len();
            written.known_issues = opened.issues - opened.new_issues.len();
            written.new_incidents = opened.new_incidents.len();
            mark.issues = i32::try_from(opened.issues).unwrap_or(i32::MAX);
            mark.incidents = i32::try_from(opened.incidents).unwrap_or(i32::MAX);
            announced = opened.events(analysed, &node.origin);
        }
        if mark.outcome != logs::Outcome::Retrying {
            announced.push(analyzed(&mark, verdict.duration));
            mark.announce = Some(to_json(&announced));
        }
        logs::put(connection, &mark).await?;
        written.mark = Some(mark);
        Ok(written)
    }

    async fn known(
        &self,
        connection: &mut AsyncPgConnection,
        origin: &str,
        places: &[&str],
        since: DateTime<Utc>,
    ) -> Result<HashMap<String, KnownIssue>, db::Error> {
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        let known = logs::known_issues(connection, origin, places, since).await?;
        let issue =
            |known: logs::KnownIssue| (known.signature_loc, KnownIssue { id: known.id, version: known.version.into() });
        Ok(known.into_iter().map(issue).collect())
    }
}

/// What of the findings is new.
struct Opened<'a> {
    /// All of them.
    issues: usize,
    incidents: usize,
    new_issues: Vec<&'a Issue>,
    new_incidents: Vec<Incident>,
}

/// Writes what is new. Issues that are known are not touched, but those not seen for so long that they do not count as
/// known any more: their time is moved forward.
async fn open<'a>(
    connection: &mut AsyncPgConnection,
    verdict: &Verdict<'_>,
    findings: &'a Findings,
    known: &HashMap<String, KnownIssue>,
    since: DateTime<Utc>,
) -> Result<Opened<'a>, db::Error> {
    let node = as_node(verdict.node, verdict.kind);
    let (issues, mut incidents) = findings.resolve(&node, |place| known.get(place).cloned());
    let mut all: Vec<&str> = incidents.iter().map(|incident| incident.issue_id.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    let (all, count) = (all.len(), incidents.len());
    let ids: Vec<&str> = issues.iter().map(|issue| issue.id.as_str()).collect();
    let stored = logs::stored_issues(connection, &ids).await?;
    let seen_at = |issue: &Issue| stored.iter().find(|stored| stored.id == issue.id).map(|stored| stored.seen_at);
    let ids: Vec<&str> = incidents.iter().map(|incident| incident.id.as_str()).collect();
    let stored_incidents = logs::existing_incidents(connection, &ids).await?;
    incidents.retain(|incident| !stored_incidents.contains(&incident.id));
    let written: Vec<&Issue> =
        issues.into_iter().filter(|issue| seen_at(issue).flatten().is_none_or(|at| at < since)).collect();
    let objects = Objects {
        issues: written.iter().map(|issue| row(issue, node.origin)).collect(),
        incidents: incidents.iter().map(incident_row).collect(),
        ..Objects::default()
    };
    db::load(connection, &[objects]).await?;
    let new_issues = written.into_iter().filter(|issue| seen_at(issue).is_none()).collect();
    Ok(Opened { issues: all, incidents: count, new_issues, new_incidents: incidents })
}

impl Opened<'_> {
    fn events(&self, analysed: &Analysed, origin: &str) -> Vec<Event> {
        let version = |version: i64| u32::try_from(version).unwrap_or(u32::MAX);
        let issue = |issue: &&Issue| {
            let data = v1::IssueOpened {
                origin: origin.to_owned(),
                issue_id: issue.id.clone(),
                issue_version: version(issue.version),
                error_type: issue.error_type.chars().take(EVENT_COMMENT).collect::<String>().replace('\0', "\u{FFFD}"),
                parser: analysed.parser.name.to_owned(),
                comment: issue.comment.chars().take(EVENT_COMMENT).collect(),
            };
            Event::new("logspec", origin, data)
        };
        let incident = |incident: &Incident| {
            let data = v1::IncidentOpened {
                origin: origin.to_owned(),
                incident_id: incident.id.clone(),
                issue_id: incident.issue_id.clone(),
                issue_version: version(incident.issue_version),
                build_id: incident.build_id.clone(),
                test_id: incident.test_id.clone(),
            };
            Event::new("logspec", origin, data)
        };
        self.new_issues.iter().map(issue).chain(self.new_incidents.iter().map(incident)).collect()
    }
}

/// What is told of a mark.
fn analyzed(mark: &Mark, duration: Duration) -> Event {
    let number = |number: i32| u32::try_from(number).unwrap_or_default();
    let data = v1::LogAnalyzed {
        submission_id: mark.submission_id.clone(),
        origin: mark.origin.clone(),
        kind: mark.kind.as_str().to_owned(),
        node_id: mark.id.clone(),
        outcome: mark.outcome.as_str().to_owned(),
        reason: mark.reason.clone(),
        parser: mark.parser.clone(),
        parser_version: mark.parser_version.clone(),
        log_bytes: mark.log_bytes.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or_default(),
        is_cut: mark.is_cut,
        issues: number(mark.issues),
        incidents: number(mark.incidents),
        new_status: mark.new_status.clone(),
        duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
        attempt: number(mark.attempts),
    };
    Event::new("logspec", mark.origin.clone(), data)
}

fn to_json(events: &[Event]) -> serde_json::Value {
    let value = |event: &Event| {
        let json = event.to_json().expect("every event has a JSON form");
        serde_json::from_slice::<serde_json::Value>(&json).expect("it is JSON")
    };
    events.iter().map(value).collect()
}

/// The events that wait in a mark.
pub(crate) fn waiting(mark: &Mark) -> Vec<Event> {
    let list = mark.announce.as_ref().and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|event| Event::from_json(event.to_string().as_bytes()).ok()).collect()
}

fn row<'a>(issue: &'a Issue, origin: &'a str) -> schema::Issue<'a> {
    schema::Issue {
        id: Cow::Borrowed(&issue.id),
        version: issue.version,
        origin: Cow::Borrowed(origin),
        timestamp: None,
        categories: None,
        report_url: None,
        report_subject: None,
        culprit: Some(Culprit { code: Some(true), tool: Some(false), harness: Some(false) }),
        comment: Some(Cow::Borrowed(&issue.comment)),
        misc: Some(Json(Cow::Borrowed(&issue.misc))),
        index: 0,
    }
}

fn incident_row(incident: &Incident) -> schema::Incident<'_> {
    schema::Incident {
        id: Cow::Borrowed(&incident.id),
        origin: Cow::Borrowed(&incident.origin),
        issue_id: Cow::Borrowed(&incident.issue_id),
        issue_version: incident.issue_version,
        timestamp: None,
        build_id: incident.build_id.as_deref().map(Cow::Borrowed),
        test_id: incident.test_id.as_deref().map(Cow::Borrowed),
        present: Some(incident.present),
        comment: Some(Cow::Borrowed(incident.comment)),
        misc: None,
        index: 0,
    }
}

/// A number for these words that every process computes alike.
fn number(words: &[&str]) -> i64 {
    let mut hash = Md5::new();
    for word in words {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has sixteen bytes"))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn words_do_not_run_together() {
        assert_ne!(number(&["build", "ab"]), number(&["builda", "b"]));
        assert_eq!(number(&["build", "ab"]), number(&["build", "ab"]));
    }
}
