//! Graceful shutdown: the first SIGTERM or SIGINT asks, the second insists.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns the token that is cancelled at the first SIGTERM or SIGINT; a second signal ends the process at once.
///
/// # Errors
/// When signal handlers cannot be installed.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" }
        };
        let signal = next().await;
        tracing::info!(signal, "stopping; a second signal ends the process at once");
        cancelled.cancel();
        let signal = next().await;
        tracing::warn!(signal, "ended before everything was finished");
        std::process::exit(130);
    });
    Ok(token)
}
