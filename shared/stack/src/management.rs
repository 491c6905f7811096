//! RabbitMQ's management API, as far as needed, and the definitions that a virtual host begins with.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{
    Error,
    servers::{NAME, Servers},
};

/// `deploy/rabbitmq/definitions.json`: the policies of the system's queues, as an operator would import them.
pub fn definitions() -> Value {
    serde_json::from_str(include_str!("../../../deploy/rabbitmq/definitions.json"))
        .expect("the definitions in deploy/ are JSON")
}

/// What a folder's broker loads when it boots: the definitions and our user.
pub(crate) fn boot_definitions(servers: &Servers) -> Value {
    let mut all = definitions();
    all["users"] = json!([{"name": NAME, "password": servers.password, "tags": "administrator"}]);
    all["permissions"] = json!([{"user": NAME, "vhost": NAME, "configure": ".*", "write": ".*", "read": ".*"}]);
    all
}

/// A client of the management API.
pub(crate) struct Management {
    http: Client,
    base: String,
    password: String,
}

impl Management {
    pub(crate) fn new(servers: &Servers) -> Result<Self, Error> {
        let http = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| Error::Management(error.to_string()))?;
        Ok(Self { http, base: format!("{}api/", servers.rabbitmq_ui().url), password: servers.password.clone() })
    }

    /// Loads the boot definitions into a running broker.
    pub(crate) async fn import(&self, servers: &Servers) -> Result<(), Error> {
        self.send(Method::POST, "definitions", boot_definitions(servers)).await.map(drop)
    }

    pub(crate) async fn make_vhost(&self, name: &str) -> Result<(), Error> {
        self.send(Method::PUT, &format!("vhosts/{name}"), json!({})).await?;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.send(Method::PUT, &format!("permissions/{name}/{NAME}"), all).await?;
        let mut policies = definitions()["policies"].take();
        for policy in policies.as_array_mut().into_iter().flatten() {
            policy.as_object_mut().expect("a policy is an object").remove("vhost");
        }
        self.send(Method::POST, &format!("definitions/{name}"), json!({ "policies": policies })).await.map(drop)
    }

    pub(crate) async fn drop_vhost(&self, name: &str) -> Result<(), Error> {
        self.send(Method::DELETE, &format!("vhosts/{name}"), Value::Null).await.map(drop)
    }

    pub(crate) async fn close_connections(&self) -> Result<(), Error> {
        let connections = self.send(Method::GET, "connections?columns=name", Value::Null).await?;
        for name in connections.as_array().into_iter().flatten().filter_map(|connection| connection["name"].as_str()) {
            let name = name.replace(' ', "%20").replace('>', "%3E");
            // One that has ended meanwhile is no fault.
            self.send(Method::DELETE, &format!("connections/{name}"), Value::Null).await.ok();
        }
        Ok(())
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, Error> {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).basic_auth(NAME, Some(&self.password));
        if !body.is_null() {
            request = request.json(&body);
        }
        let fault = |error: reqwest::Error| Error::Management(format!("{path}: {error}"));
        let response = request.send().await.map_err(fault)?;
        let status = response.status();
        let text = response.text().await.map_err(fault)?;
        if !status.is_success() {
            return Err(Error::Management(format!("{path}: {status}: {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
