//! Users of the broker with no more rights than one service needs, by `deploy/rabbitmq/users.json`.
//!
//! Only users whose passwords are given are touched or looked at; without any, everything runs as the one user of
//! `AMQP_URL`. A user is called after the virtual host and its service, `kcidb-gateway`, so that installations on one broker
//! do not share users.

use std::{collections::BTreeMap, sync::LazyLock};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::broker::Broker;

/// The passwords of the users.
#[derive(Clone, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Users with the rights of one service")]
pub(crate) struct Passwords {
    /// Password of the gateway's user. Letters, digits and -._~ only, here and below: it becomes part of a URL.
    #[arg(long = "password-gateway", env = "KCIDB_BROKER_PASSWORD_GATEWAY", hide_env_values = true, value_name = "PASSWORD", value_parser = plain)]
    gateway: Option<String>,
    /// Password of the ingester's user.
    #[arg(long = "password-ingester", env = "KCIDB_BROKER_PASSWORD_INGESTER", hide_env_values = true, value_name = "PASSWORD", value_parser = plain)]
    ingester: Option<String>,
    /// Password of the log worker's user.
    #[arg(long = "password-logspec", env = "KCIDB_BROKER_PASSWORD_LOGSPEC", hide_env_values = true, value_name = "PASSWORD", value_parser = plain)]
    logspec: Option<String>,
    /// Password of the status service's user.
    #[arg(long = "password-status", env = "KCIDB_BROKER_PASSWORD_STATUS", hide_env_values = true, value_name = "PASSWORD", value_parser = plain)]
    status: Option<String>,
    /// Password of the user `operator`: list, peek, redrive and drop.
    #[arg(long = "password-operator", env = "KCIDB_BROKER_PASSWORD_OPERATOR", hide_env_values = true, value_name = "PASSWORD", value_parser = plain)]
    operator: Option<String>,
    /// Password of the user `keda`, which sees how long queues are.
    #[arg(long = "password-keda", env = "KCIDB_BROKER_PASSWORD_KEDA", hide_env_values = true, value_name = "PASSWORD", value_parser = plain)]
    keda: Option<String>,
}

fn plain(password: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if password.chars().all(is_plain) {
        return Ok(password.to_owned());
    }
    Err("it may have letters, digits and -._~ only, because it becomes part of a URL".into())
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.given().map(|(service, _)| service)).finish()
    }
}

impl Passwords {
    /// Service and password of those that are given; an empty one is none.
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("gateway", &self.gateway),
            ("ingester", &self.ingester),
            ("logspec", &self.logspec),
            ("status", &self.status),
            ("operator", &self.operator),
            ("keda", &self.keda),
        ];
        all.into_iter()
            .filter_map(|(service, password)| Some((service, password.as_deref()?)).filter(|given| !given.1.is_empty()))
    }
}

/// What a user may do: patterns for names of exchanges and queues.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rights {
    /// What it may do with the management API.
    tags: String,
    configure: String,
    write: String,
    read: String,
    /// Topic exchange → the routing keys that it may write with.
    keys: BTreeMap<String, String>,
}

static RIGHTS: LazyLock<BTreeMap<String, Rights>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../deploy/rabbitmq/users.json"))
        .expect("the users in deploy/ are as above")
});

impl Rights {
    fn permissions(&self) -> Value {
        json!({"configure": self.configure, "write": self.write, "read": self.read})
    }
}

/// Makes the users, or gives them their passwords and rights; says what was done.
pub(crate) async fn apply(broker: &Broker, passwords: &Passwords) -> anyhow::Result<Vec<String>> {
    let mut done = Vec::new();
    for (service, password) in passwords.given() {
        let (name, rights) = (broker.user_of(service), &RIGHTS[service]);
        let user = json!({"password": password, "tags": rights.tags});
        broker.send(Method::PUT, &["users", &name], &user).await?;
        // Keys come first: until there are some, every key would do.
        for (exchange, key) in &rights.keys {
            let body = json!({"exchange": exchange, "write": key, "read": "^$"});
            broker.send(Method::PUT, &["topic-permissions", &broker.vhost, &name], &body).await?;
        }
        broker.send(Method::PUT, &["permissions", &broker.vhost, &name], &rights.permissions()).await?;
        done.push(format!("the user {name} has its password and its rights"));
    }
    Ok(done)
}

/// What is missing or different. Passwords are not compared.
pub(crate) async fn compare(broker: &Broker, passwords: &Passwords) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (service, _) in passwords.given() {
        let (name, rights) = (broker.user_of(service), &RIGHTS[service]);
        let Some(user) = broker.get(&["users", &name]).await? else {
            faults.push(format!("the user {name} is missing"));
            continue;
        };
        if tags(&user) != rights.tags {
            faults.push(format!("the user {name} has the tags {}", user["tags"]));
        }
        let there = broker.get(&["permissions", &broker.vhost, &name]).await?.unwrap_or_default();
        let wanted = rights.permissions();
        for right in ["configure", "write", "read"].into_iter().filter(|right| there[right] != wanted[right]) {
            faults.push(format!("the user {name} may {right} {}, not {}", there[right], wanted[right]));
        }
        let there = broker.get(&["topic-permissions", &broker.vhost, &name]).await?.unwrap_or_default();
        for (exchange, key) in &rights.keys {
            let there = there.as_array().into_iter().flatten().find(|there| there["exchange"] == *exchange);
            if there.is_none_or(|there| there["write"] != *key) {
                faults.push(format!("the user {name} is not held to the keys {key} of {exchange}"));
            }
        }
    }
    Ok(faults)
}

/// Tags are a list, or text with commas, by the broker's version.
fn tags(user: &Value) -> String {
    match &user["tags"] {
        Value::Array(tags) => tags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        tags => tags.as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use events::topology::{DEAD, EVENTS, EXCHANGES, QUEUES, RETRY};
    use regex::Regex;

    use super::*;

    fn matching<'a>(pattern: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let pattern = Regex::new(pattern).expect("a pattern");
        names.into_iter().filter(|name| pattern.is_match(name)).collect()
    }

    #[test]
    fn nobody_has_more_rights_than_needed() {
        let queues: Vec<String> = QUEUES.iter().flat_map(events::topology::Queue::names).collect();
        let dead: Vec<String> = QUEUES.iter().map(events::topology::Queue::dead).collect();
        for (service, rights) in &*RIGHTS {
            let own = |name: &str| name.split_once('.').is_some_and(|(consumer, _)| consumer == service);
            let consumed: Vec<&str> = match service.as_str() {
                "operator" => dead.iter().map(String::as_str).collect(),
                _ => QUEUES.map(|queue| queue.name).into_iter().filter(|name| own(name)).collect(),
            };
            let all = queues.iter().map(String::as_str);
            let exchanges = || EXCHANGES.into_iter().chain(["amq.default", "amq.topic"]);
            assert_eq!(matching(&rights.read, all.clone().chain(exchanges())), consumed, "{service} reads");
            let written: &[&str] = match service.as_str() {
                "gateway" => &[EVENTS],
                "ingester" | "logspec" => &[EVENTS, DEAD, RETRY],
                "status" => &[DEAD, RETRY],
                "operator" => &["amq.default"],
                _ => &[],
            };
            assert_eq!(matching(&rights.write, exchanges().chain(all.clone())), written, "{service} writes");
            assert_eq!(matching(&rights.configure, all.chain(exchanges())), [""; 0], "{service} configures");

            // Without an entry any key would do.
            let topics: Vec<&str> = written.iter().copied().filter(|name| [EVENTS, RETRY].contains(name)).collect();
            assert_eq!(rights.keys.keys().collect::<Vec<_>>(), topics, "{service} is held to keys");
            if let Some(pattern) = rights.keys.get(RETRY) {
                let rooms: Vec<&str> =
                    queues.iter().map(String::as_str).filter(|name| name.contains(".retry.")).collect();
                let own: Vec<&str> = rooms.iter().copied().filter(|name| own(name)).collect();
                assert_eq!(matching(pattern, rooms), own, "{service} retries");
            }
        }
    }

    #[test]
    fn passwords_are_plain_and_never_shown() {
        assert_eq!(plain("aZ0-._~"), Ok("aZ0-._~".into()));
        assert!(["a@b", "a%40b", "a:b", "a/b", "ä"].into_iter().all(|password| plain(password).is_err()));
        let passwords =
            Passwords { gateway: Some("hunter2".into()), keda: Some(String::new()), ..Passwords::default() };
        assert_eq!(format!("{passwords:?}"), r#"["gateway"]"#);
    }

    #[test]
    fn tags_are_read_in_both_forms() {
        assert_eq!(tags(&json!({"tags": ["management", "x"]})), "management,x");
        assert_eq!(tags(&json!({"tags": "management,x"})), "management,x");
        assert_eq!(tags(&json!({"tags": []})), "");
    }
}
