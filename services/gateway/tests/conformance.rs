//! The black-box cases of the REST contract, against a gateway of its own (needs python3 and the conformance data).

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use gateway::{Config, Running, StatusRoute};
use tokio_util::sync::CancellationToken;

mod start;

/// The folder of the cases; `None`, visibly, when they cannot be run here.
fn cases() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance");
    let folder = std::env::var_os("KCIDB_CONFORMANCE").map_or_else(|| default.into(), PathBuf::from).join("rest");
    if !folder.is_dir() {
        println!("skipped: no conformance data (KCIDB_CONFORMANCE)");
        return None;
    }
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return None;
    }
    Some(folder)
}

async fn run(cases: &Path, running: &Running, arguments: &[&str]) {
    let mut command = Command::new("python3");
    command.arg(cases.join("run.py")).args(["--base-url", &format!("http://{}", running.address)]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("python3 runs");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{}", text.lines().last().unwrap_or_default());
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// All that the gateway answers itself; the cases about `/status` are the status service's.
const OWN: &str = "^(?!status-|open-status|new-missing-id|new-pending)";

/// Quirks of the old daemon that are kept; the others are answered better, on purpose.
const QUIRKS: &str = "^quirk-(any-scheme|basic-scheme|two-spaces|tab|trailing-words|first-header|empty-origin|scalar|depth|number-range\
|lone-surrogate|case|encoded-path|foreign-origin|options)";

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_old_daemon_notice_no_difference() {
    let Some(cases) = cases() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let shutdown = CancellationToken::new();
    let mut config: Config = start::config(folder.path(), "s3cret");
    config.auth.unified_secret = Some("other".into());
    let running = gateway::start(config, StatusRoute::Off, shutdown.clone()).await.expect("started");
    let spool = folder.path().to_str().expect("a plain path");
    let secrets = ["--secret", "s3cret", "--unified-secret", "other", "--spool", spool, "--clean"];
    run(&cases, &running, &[&secrets[..], &["--classes", "compat,new", "--only", OWN]].concat()).await;
    run(&cases, &running, &[&secrets[..], &["--classes", "quirk", "--only", QUIRKS]].concat()).await;
    shutdown.cancel();
    running.finished.await.expect("finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_everybody_may_submit() {
    let Some(cases) = cases() else { return };
    let (folder, acme) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let shutdown = CancellationToken::new();
    let mut config = start::config(folder.path(), "");
    config.options.acme_webroot = Some(acme.path().into());
    let running = gateway::start(config, StatusRoute::Off, shutdown.clone()).await.expect("started");
    let [spool, acme] = [&folder, &acme].map(|folder| folder.path().to_str().expect("a plain path"));
    let arguments = ["--no-auth", "--acme-dir", acme, "--spool", spool, "--clean", "--classes", "compat,new"];
    run(&cases, &running, &[&arguments[..], &["--only", OWN]].concat()).await;
    shutdown.cancel();
    running.finished.await.expect("finished");
}
