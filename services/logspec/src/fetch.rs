//! Fetching one log over HTTP, within limits of time and size.
//!
//! Invariants: only http and https; every request, also one that a redirect leads to, goes to an address that the policy
//! admits, and through no proxy; nothing of a URL but its host is ever told to anybody.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use events::Reason;
use reqwest::{Client, Response, StatusCode, Url, header, redirect};
use tokio::{
    fs::File,
    io::AsyncWriteExt as _,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::{
    address::{self, Policy},
    config,
    failure::{Failure, Prospect},
};

/// The limits of one fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    /// Bytes as they are sent.
    pub(crate) bytes: u64,
    /// Bytes that are analysed.
    pub(crate) text_bytes: u64,
    /// Time in all.
    pub(crate) time: Duration,
}

/// What was fetched into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) bytes: u64,
    /// The server says that it has compressed what it sent: that is between it and us, and no part of the log.
    pub(crate) is_encoded: bool,
}

/// Fetches logs.
#[derive(Debug)]
pub(crate) struct Fetcher {
    client: Client,
    policy: Policy,
    silence: Duration,
    redirects: usize,
    per_host: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Servers that could not be connected to a moment ago: thousands of nodes must not wait for a dead one in turn.
    down: Mutex<HashMap<String, (Instant, Failure)>>,
}

/// How long a server that cannot be connected to is left alone: less than the shortest pause before a message is tried
/// again.
const DOWN: Duration = Duration::from_secs(3);

/// What became of one request.
enum Step {
    Response(Response),
    Redirect(Url),
}

impl Fetcher {
    pub(crate) fn new(options: &config::Fetch) -> reqwest::Result<Self> {
        let policy = Policy::new(&options.allow);
        let client = Client::builder()
            .user_agent(concat!("kcidb-logspec/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(options.connect_timeout)
            .dns_resolver(Arc::new(policy.clone()))
            .build()?;
        Ok(Self {
            client,
            policy,
            silence: options.silence_timeout,
            redirects: options.redirects,
            per_host: options.per_host.max(1),
            hosts: Mutex::default(),
            down: Mutex::default(),
        })
    }

    /// Fetches a log into a file, which is made.
    pub(crate) async fn fetch(&self, url: &str, bounds: Bounds, to: &Path) -> Result<Fetched, Failure> {
        let mut url = Url::parse(url).map_err(|error| Failure::new(Reason::UrlInvalid, error.to_string()))?;
        let mut left = bounds.time;
        for _ in 0..=self.redirects {
            self.check(&url)?;
            let _permit = self.permit(&url).await;
            if let Some(failure) = self.is_down(&url) {
                return Err(failure);
            }
            let started = Instant::now();
            // The time that others keep a host busy is not counted.
            let hop = async {
                match self.request(&url).await? {
                    Step::Response(response) => self.save(response, bounds.bytes, to).await.map(Ok),
                    Step::Redirect(next) => Ok(Err(next)),
                }
            };
            match timeout(left, hop).await {
                Ok(Ok(Ok(fetched))) => return Ok(fetched),
                Ok(Ok(Err(next))) => url = next,
                Ok(Err(failure)) => return Err(failure),
                Err(_) => return Err(Failure::new(Reason::Timeout, format!("not complete within {:?}", bounds.time))),
            }
            left = left.saturating_sub(started.elapsed());
        }
        Err(Failure::new(Reason::RedirectsExceeded, format!("more than {} redirects", self.redirects)))
    }

    fn check(&self, url: &Url) -> Result<(), Failure> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::new(Reason::UrlInvalid, format!("{} is not http or https", url.scheme())));
        }
        if !self.policy.admits(url) {
            return Err(Failure::new(Reason::AddressRefused, address::Refused.to_string()));
        }
        Ok(())
    }

    /// Waits until few enough fetches from this host are under way.
    async fn permit(&self, url: &Url) -> OwnedSemaphorePermit {
        let host = url.host_str().unwrap_or_default().to_owned();
        let semaphore = {
            let mut hosts = self.hosts.lock().expect("no panic happens under this lock");
            // Hosts that nobody asks any more are forgotten.
            hosts.retain(|name, semaphore| *name == host || Arc::strong_count(semaphore) > 1);
            hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(self.per_host))).clone()
        };
        semaphore.acquire_owned().await.expect("nobody closes it")
    }

    fn is_down(&self, url: &Url) -> Option<Failure> {
        let down = self.down.lock().expect("no panic happens under this lock");
        down.get(&server(url)).filter(|(until, _)| *until > Instant::now()).map(|(_, failure)| failure.clone())
    }

    /// What an error of a request means; when there was no connection, the server is left alone for a while.
    fn failed(&self, url: &Url, error: reqwest::Error) -> Failure {
        let is_connect = error.is_connect();
        let failure = failure(error);
        if is_connect && failure.prospect() == Prospect::Passing {
            let now = Instant::now();
            let mut down = self.down.lock().expect("no panic happens under this lock");
            down.retain(|_, (until, _)| *until > now);
            down.insert(server(url), (now + DOWN, failure.clone()));
        }
        failure
    }

    async fn request(&self, url: &Url) -> Result<Step, Failure> {
        let response = timeout(self.silence, self.client.get(url.clone()).send())
            .await
            .map_err(|_| Failure::new(Reason::Timeout, format!("no answer within {:?}", self.silence)))?
            .map_err(|error| self.failed(url, error))?;
        let status = response.status();
        let told = || format!("the server answered {status}");
        match status {
            StatusCode::OK => Ok(Step::Response(response)),
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => match target(url, &response) {
                Some(next) => Ok(Step::Redirect(next)),
                None => Err(Failure::new(Reason::HttpRefused, format!("{} without a usable location", told()))),
            },
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(Failure::new(Reason::Gone, told())),
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::new(Reason::ServerBusy, told())),
            StatusCode::REQUEST_TIMEOUT => Err(Failure::new(Reason::Timeout, told())),
            status if status.is_server_error() => Err(Failure::new(Reason::ServerError, told())),
            _ => Err(Failure::new(Reason::HttpRefused, told())),
        }
    }

    async fn save(&self, mut response: Response, limit: u64, to: &Path) -> Result<Fetched, Failure> {
        let too_large = || Failure::new(Reason::LogTooLarge, format!("more than {limit} bytes"));
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let encoding = response.headers().get(header::CONTENT_ENCODING).map(header::HeaderValue::as_bytes);
        let is_encoded = encoding.is_some_and(|encoding| !encoding.is_empty() && encoding != b"identity");
        let mut file = File::create(to).await.map_err(|error| local(&error))?;
        let mut bytes = 0;
        loop {
            let chunk = timeout(self.silence, response.chunk())
                .await
                .map_err(|_| Failure::new(Reason::Timeout, format!("nothing came for {:?}", self.silence)))?
                .map_err(failure)?;
            let Some(chunk) = chunk else { break };
            bytes += chunk.len() as u64;
            if bytes > limit {
                return Err(too_large());
            }
            file.write_all(&chunk).await.map_err(|error| local(&error))?;
        }
        file.flush().await.map_err(|error| local(&error))?;
        Ok(Fetched { bytes, is_encoded })
    }
}

/// Host and port.
fn server(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

fn target(url: &Url, response: &Response) -> Option<Url> {
    url.join(response.headers().get(header::LOCATION)?.to_str().ok()?).ok()
}

/// The folder of logs cannot be used.
pub(crate) fn local(error: &std::io::Error) -> Failure {
    Failure::new(Reason::CacheUnavailable, error.to_string())
}

/// What an error of the client means.
fn failure(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let reason = if address::caused_by::<address::Refused>(&error) {
        Reason::AddressRefused
    } else if address::caused_by::<address::Unresolved>(&error) {
        Reason::NameUnresolved
    } else if error.is_timeout() {
        Reason::Timeout
    } else if error.is_builder() {
        Reason::UrlInvalid
    } else {
        Reason::Unreachable
    };
    let mut detail = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        detail = format!("{detail}: {cause}");
        next = cause.source();
    }
    Failure::new(reason, detail)
}

/// What may be told of a URL: scheme, host and path. Names, passwords and queries stay out of logs.
pub(crate) fn shown(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => {
            format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
        }
        _ => "(no http URL)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn secrets_in_urls_are_not_shown() {
        assert_eq!(shown("https://user:pass@example.org:8443/a/b.log?sig=secret#x"), "https://example.org/a/b.log");
        assert_eq!(shown("user:pass@nowhere"), "(no http URL)");
        assert_eq!(shown("no url at all"), "(no http URL)");
    }
}
