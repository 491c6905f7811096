//! The HTTP client of `submit`, `status` and `demo`: where the gateway is, the token, and patience with what passes.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::{StatusCode, Url, header::RETRY_AFTER};
use serde_json::Value;

/// Where to send to, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Server {
    /// The gateway's address, such as `https://kcidb.example.org`; overrides the address in `KCIDB_REST`.
    #[arg(long, env = "KCIDB_URL", value_name = "URL")]
    url: Option<String>,
    /// The token; overrides the one in `KCIDB_REST`.
    #[arg(long, env = "KCIDB_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Address and token in one, as older tools have it: `[https://]TOKEN@HOST[:PORT]`.
    #[arg(long, env = "KCIDB_REST", hide_env_values = true, value_name = "ADDRESS")]
    rest: Option<String>,
    /// How often a request is repeated when the server says "later" or cannot be reached.
    #[arg(long, default_value_t = 5, value_name = "N")]
    retries: u32,
}

/// A server to talk to.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    retries: u32,
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Answer {
    /// A text member of the answer, empty when absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Server {
    /// The client for these options.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let (rest_url, rest_token) = match self.rest.as_deref().filter(|rest| !rest.is_empty()) {
            Some(rest) => parse_rest(rest)?,
            None => (None, None),
        };
        let base = match (&self.url, rest_url) {
            (Some(url), _) => {
                url.parse().with_context(|| format!("--url {url:?} is not an address such as https://host"))?
            }
            (None, Some(url)) => url,
            (None, None) => {
                bail!("where to? give --url https://HOST (or set KCIDB_URL, or KCIDB_REST=https://TOKEN@HOST)")
            }
        };
        Client::new(base, self.token.clone().or(rest_token), self.retries)
    }
}

/// Address and token of the old one-in-all notation; a path is dropped, the scheme is https unless given.
fn parse_rest(rest: &str) -> anyhow::Result<(Option<Url>, Option<String>)> {
    let with_scheme = if rest.contains("://") { rest.to_owned() } else { format!("https://{rest}") };
    let mut url: Url = with_scheme.parse().context("KCIDB_REST is not of the form https://TOKEN@HOST")?;
    let token = Some(url.username().to_owned()).filter(|token| !token.is_empty());
    url.set_username("").ok();
    url.set_path("/");
    Ok((Some(url), token))
}

impl Client {
    pub(crate) fn new(base: Url, token: Option<String>, retries: u32) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("kcidb/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_mins(2))
            .build()?;
        Ok(Self { http, base, token, retries })
    }

    /// POSTs one document.
    pub(crate) async fn submit(&self, document: Vec<u8>) -> anyhow::Result<Answer> {
        let url = self.base.join("submit")?;
        // A clone of the bytes is a clone of a reference.
        let document = bytes::Bytes::from(document);
        self.send(|| self.http.post(url.clone()).header("content-type", "application/json").body(document.clone()))
            .await
    }

    /// Asks what became of a submission.
    pub(crate) async fn status(&self, id: &str) -> anyhow::Result<Answer> {
        let mut url = self.base.join("status")?;
        url.query_pairs_mut().append_pair("id", id);
        self.send(|| self.http.get(url.clone())).await
    }

    /// Sends, and repeats while the server is away or says that later is better.
    async fn send(&self, request: impl Fn() -> reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let mut pause = Duration::from_millis(500);
        for attempt in 0.. {
            let mut request = request();
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            let last = attempt >= self.retries;
            match request.send().await {
                Ok(response) if !last && is_later(response.status()) => {
                    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                    pause = asked.map_or(pause, Duration::from_secs).min(Duration::from_mins(1));
                    tracing::warn!(status = %response.status(), ?pause, "the server says later");
                }
                Ok(response) => return answer(response).await,
                Err(error) if !last && error.is_connect() => {
                    tracing::warn!(server = %self.base, ?pause, "cannot connect");
                }
                Err(error) => return Err(error).with_context(|| format!("no answer from {}", self.base)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(20));
        }
        unreachable!("the last attempt returns")
    }
}

fn is_later(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502..=504)
}

async fn answer(response: reqwest::Response) -> anyhow::Result<Answer> {
    let status = response.status();
    let text = response.text().await.context("the answer broke off")?;
    let body = serde_json::from_str(&text).unwrap_or_else(|_| serde_json::json!({ "message": text }));
    Ok(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_notation_is_understood() {
        let parsed = |rest| {
            let (url, token) = parse_rest(rest).expect("an address");
            (url.map(String::from).unwrap_or_default(), token.unwrap_or_default())
        };
        assert_eq!(parsed("a.b.c@db.example.org"), ("https://db.example.org/".into(), "a.b.c".into()));
        assert_eq!(parsed("http://tok@host:8080/any/where"), ("http://host:8080/".into(), "tok".into()));
        assert_eq!(parsed("https://host"), ("https://host/".into(), String::new()));
    }
}
