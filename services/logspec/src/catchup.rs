//! Catching up: nodes whose logs are to be analysed again, because the parser is newer, or because the database was filled
//! before this system read logs. They are put on a queue of their own, or looked at here to see what would change.

use chrono::{DateTime, Utc};
use db::logs::{self, Kind, Node, Wanted};
use events::{Event, v1};
use logspec::KnownIssue;

use crate::{Error, Fetch, Selection, analyse::as_node, look::Looker, metrics::Metrics, worker};

/// Rows of one page.
const PAGE: i64 = 500;

/// Which nodes are to be looked at again.
#[derive(Debug, Clone)]
pub struct Request {
    /// Rows that changed after this.
    pub since: DateTime<Utc>,
    /// Of this origin alone.
    pub origin: Option<String>,
    /// Those that this parser looks at.
    pub parser: Option<String>,
    /// Also those that the present version of their parser has looked at.
    pub all: bool,
}

/// What looking at a log again would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It cannot be analysed, for this reason.
    Failed(&'static str, String),
    /// Incidents by their issues: those that would be added, and those that are stored and would not be found any more
    /// (they stay).
    Incidents {
        /// Would be added.
        added: Vec<String>,
        /// Would not be found any more.
        missing: Vec<String>,
    },
}

/// Finds nodes and looks at them.
#[derive(Debug)]
pub struct Catchup {
    pool: db::Pool,
    selection: Selection,
}

impl Catchup {
    /// Nodes of this database that this configuration picks.
    pub fn new(pool: db::Pool, selection: Selection) -> Self {
        Self { pool, selection }
    }

    /// The next nodes of a request after the given one: those of the page that match, and the last one looked at; nothing
    /// at the end.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn page(
        &self,
        kind: Kind,
        request: &Request,
        after: Option<&Node>,
    ) -> Result<Option<(Vec<Node>, Node)>, db::Error> {
        let origins = request.origin.clone().map_or_else(|| self.selection.origins(), |origin| Some(vec![origin]));
        let statuses = self.selection.statuses();
        let wanted = Wanted {
            kind,
            since: request.since,
            until: Utc::now(),
            origins: origins.as_deref(),
            statuses: &statuses,
            marked: true,
        };
        let mut connection = self.pool.get().await?;
        let nodes = logs::nodes(&mut connection, &wanted, after, PAGE).await?;
        let Some(last) = nodes.last().cloned() else { return Ok(None) };
        let mut matching = Vec::new();
        for node in nodes {
            let Some(choice) = self.selection.choose(&node) else { continue };
            if request.parser.as_deref().is_some_and(|parser| parser != choice.parser.name) {
                continue;
            }
            let mark = logs::get(&mut connection, node.kind, &node.id).await?;
            if request.all || !mark.is_some_and(|mark| worker::is_current(&mark, &choice)) {
                matching.push(node);
            }
        }
        Ok(Some((matching, last)))
    }

    /// The event that asks for a node to be looked at again.
    pub fn event(node: &Node) -> Event {
        let data = v1::LogRequested {
            origin: node.origin.clone(),
            kind: node.kind.as_str().to_owned(),
            node_id: node.id.clone(),
            log_url: node.log_url.clone(),
            status: node.status.clone(),
            path: node.path.clone(),
        };
        Event::new("kcidb", node.origin.clone(), data)
    }
}

/// Looks at logs without writing anything to the database.
#[derive(Debug)]
pub struct Preview {
    looker: Looker,
    issue_age: std::time::Duration,
}

impl Preview {
    /// Fetches logs with these options; issues older than `issue_age` do not count as known.
    ///
    /// # Errors
    /// When the folder of logs cannot be used.
    pub fn new(options: &Fetch, issue_age: std::time::Duration) -> Result<Self, Error> {
        let metrics = Metrics::new(&telemetry::metrics::registry("kcidb"));
        Ok(Self { looker: Looker::new(options, 1, metrics)?, issue_age })
    }

    /// What looking at the log of a node again would change.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn change(&self, catchup: &Catchup, node: &Node) -> Result<Change, db::Error> {
        let Some(choice) = catchup.selection.choose(node) else {
            return Ok(Change::Failed(events::Reason::NotSelected.as_str(), String::new()));
        };
        let findings = match self.looker.look(node, &choice).await {
            Ok(analysed) => analysed.findings,
            Err(failure) => return Ok(Change::Failed(failure.reason.as_str(), failure.detail)),
        };
        let mut connection = catchup.pool.get().await?;
        let since = Utc::now() - self.issue_age;
        let known = logs::known_issues(&mut connection, &node.origin, &findings.places(), since).await?;
        let (_, incidents) = findings.resolve(&as_node(node, choice.kind), |place| {
            let known = known.iter().find(|known| known.signature_loc == place)?;
            Some(KnownIssue { id: known.id.clone(), version: known.version.into() })
        });
        let stored = logs::stored_incidents(&mut connection, node).await?;
        let added = incidents
            .iter()
            .filter(|incident| stored.iter().all(|(id, _)| *id != incident.id))
            .map(|incident| incident.issue_id.clone())
            .collect();
        let missing = stored
            .into_iter()
            .filter(|(id, _)| incidents.iter().all(|incident| incident.id != *id))
            .map(|(_, issue)| issue)
            .collect();
        Ok(Change::Incidents { added, missing })
    }
}
