//! The broker's management API: applies the definitions of `deploy/rabbitmq/definitions.json` and compares with them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use events::topology::{EXCHANGES, QUEUES, Queue};
use percent_encoding::percent_decode_str;
use regex::Regex;
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};

/// What a policy consists of.
const POLICY: [&str; 4] = ["pattern", "apply-to", "priority", "definition"];

/// The priority of each of ours.
const PRIORITY: i64 = 10;

/// Where the broker and its management API are.
#[derive(Debug, clap::Args)]
pub(crate) struct Management {
    #[command(flatten)]
    pub(crate) broker: events::Options,
    /// The management API, such as `http://user:password@rabbitmq:15672`; by default port 15672 of the broker's host. User
    /// and password are those of the broker unless given here.
    #[arg(long, env = "RABBITMQ_MANAGEMENT_URL", hide_env_values = true, value_name = "URL")]
    management_url: Option<Url>,
}

/// A client of the management API, for one virtual host.
pub(crate) struct Broker {
    http: Client,
    base: Url,
    user: String,
    password: String,
    pub(crate) vhost: String,
}

impl Broker {
    pub(crate) fn new(management: &Management) -> anyhow::Result<Self> {
        let amqp: Url = management.broker.amqp_url.parse().context("--amqp-url (AMQP_URL)")?;
        let host = amqp.host_str().context("--amqp-url (AMQP_URL) names no host")?;
        let mut base = match &management.management_url {
            Some(url) => url.clone(),
            None => format!("http://{host}:15672").parse().context("--amqp-url (AMQP_URL)")?,
        };
        let login = if base.username().is_empty() { &amqp } else { &base }.clone();
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (decoded(login.username()), decoded(login.password().unwrap_or_default()));
        base.set_username("").ok();
        base.set_password(None).ok();
        let vhost = match amqp.path().trim_start_matches('/') {
            "" => "/".to_owned(),
            vhost => decoded(vhost),
        };
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok(Self { http, base, user, password, vhost })
    }

    /// What the user of a service is called.
    pub(crate) fn user_of(&self, service: &str) -> String {
        format!("{}-{service}", self.vhost)
    }

    /// Makes the virtual host and the policies; says what was done.
    pub(crate) async fn apply(&self, definitions: &Value) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        if self.get(&["vhosts", &self.vhost]).await?.is_none() {
            self.send(Method::PUT, &["vhosts", &self.vhost], &json!({})).await?;
            let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
            self.send(Method::PUT, &["permissions", &self.vhost, &self.user], &all).await?;
            done.push(format!("made the virtual host {}", self.vhost));
        }
        for policy in policies(definitions) {
            let name = policy["name"].as_str().unwrap_or_default();
            let path = ["policies", &self.vhost, name];
            if self.get(&path).await?.is_some_and(|there| same_policy(&there, policy)) {
                continue;
            }
            let body: serde_json::Map<_, _> =
                POLICY.iter().map(|member| ((*member).to_owned(), policy[member].clone())).collect();
            self.send(Method::PUT, &path, &body.into()).await?;
            done.push(format!("set the policy {name}"));
        }
        done.push(format!("the policies of {} are as they should be", self.vhost));
        Ok(done)
    }

    /// What is missing or different.
    pub(crate) async fn compare(&self, definitions: &Value) -> anyhow::Result<Vec<String>> {
        let mut faults = Vec::new();
        if self.get(&["vhosts", &self.vhost]).await?.is_none() {
            return Ok(vec![format!("there is no virtual host {}", self.vhost)]);
        }
        let there = self.get(&["policies", &self.vhost]).await?.unwrap_or_default();
        let there: Vec<&Value> = there.as_array().into_iter().flatten().collect();
        for policy in policies(definitions) {
            let name = policy["name"].as_str().unwrap_or_default();
            match there.iter().find(|there| there["name"] == name) {
                None => faults.push(format!("the policy {name} is missing")),
                Some(there) if !same_policy(there, policy) => {
                    faults.push(format!("the policy {name} is different: {}", there["definition"]));
                }
                Some(_) => {}
            }
        }
        let ours = |policy: &Value| policies(definitions).any(|ours| ours["name"] == policy["name"]);
        let foreign: Vec<&Value> = there.iter().copied().filter(|policy| !ours(policy)).collect();
        for exchange in EXCHANGES {
            if self.get(&["exchanges", &self.vhost, exchange]).await?.is_none() {
                faults.push(format!("the exchange {exchange} is missing"));
            }
        }
        for queue in QUEUES {
            self.compare_queue(queue, &foreign, &mut faults).await?;
        }
        Ok(faults)
    }

    async fn compare_queue(&self, queue: Queue, foreign: &[&Value], faults: &mut Vec<String>) -> anyhow::Result<()> {
        for name in queue.names() {
            match self.get(&["queues", &self.vhost, &name]).await? {
                None => faults.push(format!("the queue {name} is missing")),
                Some(there) if there["type"] != "quorum" => {
                    let remedy = "move its messages elsewhere, delete it, and run setup";
                    faults.push(format!("the queue {name} is no quorum queue; {remedy}"));
                }
                Some(_) => {}
            }
            for policy in foreign.iter().filter(|policy| takes(policy, &name)) {
                let policy = &policy["name"];
                faults.push(format!("the policy {policy} takes the place of ours for the queue {name}; remove it"));
            }
        }
        for (exchange, name, key) in queue.routes() {
            let bindings = self.get(&["bindings", &self.vhost, "e", exchange, "q", &name]).await?.unwrap_or_default();
            let bound = bindings.as_array().into_iter().flatten().any(|binding| binding["routing_key"] == key);
            if !bound {
                faults.push(format!("the queue {name} is not bound to {key} of {exchange}"));
            }
        }
        Ok(())
    }

    pub(crate) async fn get(&self, path: &[&str]) -> anyhow::Result<Option<Value>> {
        let (status, text) = self.request(self.http.get(self.url(path))).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(serde_json::from_str(&text).context("the management API")?)),
            status => bail!("the management API at {}: {status} {text}", self.base),
        }
    }

    pub(crate) async fn send(&self, method: Method, path: &[&str], body: &Value) -> anyhow::Result<()> {
        let (status, text) = self.request(self.http.request(method, self.url(path)).json(body)).await?;
        if !status.is_success() {
            bail!("the management API at {}: {}: {status} {text}", self.base, path.join("/"));
        }
        Ok(())
    }

    async fn request(&self, request: reqwest::RequestBuilder) -> anyhow::Result<(StatusCode, String)> {
        let response = request.basic_auth(&self.user, Some(&self.password)).send().await;
        let response = response.with_context(|| format!("no answer from the management API at {}", self.base))?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            bail!("the management API at {} refuses user {}", self.base, self.user);
        }
        Ok((status, response.text().await?))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // A virtual host may be called `/`: each part is encoded as a whole.
        url.path_segments_mut().expect("an http address has a path").pop_if_empty().push("api").extend(path);
        url
    }
}

fn policies(definitions: &Value) -> impl Iterator<Item = &Value> {
    definitions["policies"].as_array().into_iter().flatten()
}

/// Whether a foreign policy is the one that the broker applies to a queue of ours: it takes the highest priority only.
fn takes(policy: &Value, queue: &str) -> bool {
    let pattern = policy["pattern"].as_str().and_then(|pattern| Regex::new(pattern).ok());
    let matches = policy["apply-to"] != "exchanges" && pattern.is_some_and(|pattern| pattern.is_match(queue));
    matches && policy["priority"].as_i64() >= Some(PRIORITY)
}

fn same_policy(there: &Value, wanted: &Value) -> bool {
    POLICY.iter().all(|member| there[member] == wanted[member])
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        management: Management,
    }

    fn broker(arguments: &[&str]) -> Broker {
        let line = Line::parse_from(["test"].iter().chain(arguments));
        Broker::new(&line.management).expect("addresses")
    }

    #[test]
    fn the_management_api_is_found_from_the_broker() {
        let own = broker(&["--amqp-url", "amqp://me:p%40ss@mq.example.org:5671/kcidb"]);
        assert_eq!(own.url(&["vhosts", &own.vhost]).as_str(), "http://mq.example.org:15672/api/vhosts/kcidb");
        assert_eq!((own.user.as_str(), own.password.as_str()), ("me", "p@ss"));
        let other =
            broker(&["--amqp-url", "amqp://me:x@mq/%2f", "--management-url", "https://admin:y@ui.example.org/mq/"]);
        assert_eq!(other.url(&["vhosts", &other.vhost]).as_str(), "https://ui.example.org/mq/api/vhosts/%2F");
        assert_eq!((other.user.as_str(), other.password.as_str()), ("admin", "y"));
    }

    #[test]
    fn a_foreign_policy_is_in_the_way_when_it_matches_and_is_no_lower() {
        let policy =
            |pattern: &str, priority: i64| json!({"pattern": pattern, "priority": priority, "apply-to": "all"});
        assert!(takes(&policy("^x", PRIORITY), "x.y"));
        assert!(!takes(&policy("^x", PRIORITY - 1), "x.y"));
        assert!(!takes(&policy("^z", PRIORITY), "x.y"));
        let ours = stack::definitions();
        assert!(policies(&ours).all(|policy| policy["priority"] == PRIORITY));
    }
}
