//! Health: is the process alive, and may it receive work (spec ops.md 3)?
//!
//! Liveness asks nothing outside; readiness is the last result of every check, and a result that is too old is bad.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// Without a beat for this long the process counts as stuck.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// The health of one service; clones share it.
#[derive(Debug, Clone)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    beat: Instant,
    draining: bool,
    checks: BTreeMap<&'static str, Reading>,
}

#[derive(Debug)]
struct Reading {
    result: Result<(), String>,
    at: Instant,
    max_age: Option<Duration>,
}

impl Reading {
    fn problem(&self) -> Option<String> {
        match (&self.result, self.max_age) {
            (Err(why), _) => Some(why.clone()),
            (Ok(()), Some(max)) if self.at.elapsed() > max => Some(format!("no result for {:?}", self.at.elapsed())),
            (Ok(()), _) => None,
        }
    }
}

/// One named check of a [`Health`]; bad until first said otherwise.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    health: Health,
}

impl Check {
    /// All is well.
    pub fn ok(&self) {
        self.set(Ok(()));
    }

    /// Something is wrong, in words.
    pub fn bad(&self, why: impl Into<String>) {
        self.set(Err(why.into()));
    }

    fn set(&self, result: Result<(), String>) {
        if let Some(reading) = self.health.lock().checks.get_mut(self.name) {
            reading.result = result;
            reading.at = Instant::now();
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// A live service without checks.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { beat: Instant::now(), draining: false, checks: BTreeMap::new() })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no panic happens under this lock")
    }

    /// Adds a check that its owner sets; it stays at the last result.
    pub fn check(&self, name: &'static str) -> Check {
        self.add(name, None)
    }

    /// Adds a check that runs every `period`, with `period` as its time limit, until shutdown.
    pub fn probe<F, Fut>(&self, name: &'static str, period: Duration, shutdown: CancellationToken, probe: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), String>> + Send,
    {
        let check = self.add(name, Some(period * 4));
        tokio::spawn(shutdown.run_until_cancelled_owned(async move {
            loop {
                match tokio::time::timeout(period, probe()).await {
                    Ok(result) => check.set(result),
                    Err(_) => check.bad(format!("no answer within {period:?}")),
                }
                tokio::time::sleep(period).await;
            }
        }));
    }

    fn add(&self, name: &'static str, max_age: Option<Duration>) -> Check {
        let reading = Reading { result: Err("not checked yet".into()), at: Instant::now(), max_age };
        self.lock().checks.insert(name, reading);
        Check { name, health: self.clone() }
    }

    /// The main loop has moved.
    pub fn beat(&self) {
        self.lock().beat = Instant::now();
    }

    /// Beats for a service whose main loop is the runtime itself (the HTTP services).
    pub fn beat_with_runtime(&self, shutdown: CancellationToken) {
        let health = self.clone();
        tokio::spawn(shutdown.run_until_cancelled_owned(async move {
            loop {
                health.beat();
                tokio::time::sleep(STUCK_AFTER / 12).await;
            }
        }));
    }

    /// From now on not ready: the service is shutting down.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Whether the main loop moved within the last minute.
    pub fn is_live(&self) -> bool {
        self.lock().beat.elapsed() < STUCK_AFTER
    }

    /// Whether every check is good, and one line per check.
    pub fn readiness(&self) -> (bool, String) {
        let state = self.lock();
        let mut ready = !state.draining;
        let mut text = String::new();
        if state.draining {
            text.push_str("shutdown: in progress\n");
        }
        for (name, reading) in &state.checks {
            let problem = reading.problem();
            ready &= problem.is_none();
            let _ = writeln!(text, "{name}: {}", problem.as_deref().unwrap_or("ok"));
        }
        (ready, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_bad_until_it_is_said_to_be_good() {
        let health = Health::new();
        let broker = health.check("broker");
        assert_eq!(health.readiness(), (false, "broker: not checked yet\n".into()));
        broker.ok();
        assert_eq!(health.readiness(), (true, "broker: ok\n".into()));
        broker.bad("connection refused");
        assert_eq!(health.readiness(), (false, "broker: connection refused\n".into()));
    }

    #[test]
    fn draining_is_not_ready_but_live() {
        let health = Health::new();
        health.drain();
        assert!(!health.readiness().0);
        assert!(health.is_live());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_bad() {
        let health = Health::new();
        health.probe("disk", Duration::from_secs(1), CancellationToken::new(), std::future::pending);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(health.readiness(), (false, "disk: no answer within 1s\n".into()));
    }
}
