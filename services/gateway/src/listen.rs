//! The listener: address, TLS, time limits, and the way out.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use axum::Router;
use axum_server::{Handle, accept::NoDelayAcceptor, tls_rustls::RustlsConfig};
use tokio_util::sync::CancellationToken;

use crate::{Error, Options};

/// How long certbot is waited for.
const CERTBOT_PATIENCE: Duration = Duration::from_mins(5);

/// How often the certificate is looked at for a renewal.
const RENEWAL: Duration = Duration::from_mins(1);

/// The most that is buffered of one connection. It bounds the head of a request, too.
const BUFFER: usize = 128 << 10;

/// A bound listener.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<RustlsConfig>,
}

/// Certificate chain and key.
#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Listener {
    pub(crate) async fn open(options: &Options, shutdown: &CancellationToken) -> Result<Self, Error> {
        let files = tls_files(options);
        let tls = match files {
            Some(files) => Some(load(&files, options.certbot_domain.is_some(), shutdown).await?),
            None => None,
        };
        let (option, host, port) = match options.gateway_listen {
            Some(address) => ("--gateway-listen (KCIDB_GATEWAY_LISTEN)", address.ip().to_string(), address.port()),
            None => {
                ("--host, --port (KCIDB_HOST, KCIDB_PORT)", options.host.clone(), port(options.port, tls.is_some()))
            }
        };
        let failed = |source| Error::Bind { option, address: format!("{host}:{port}"), source };
        let found = tokio::net::lookup_host((host.as_str(), port)).await.map_err(failed)?.next();
        let found = found.ok_or_else(|| failed(io::ErrorKind::AddrNotAvailable.into()))?;
        let socket = TcpListener::bind(found).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, tls })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until shutdown, then until the requests in progress are finished or the grace is over.
    pub(crate) async fn serve(self, options: &Options, router: Router, shutdown: CancellationToken) {
        tracing::info!(address = %self.address, tls = self.tls.is_some(), "the gateway takes submissions");
        let handle = Handle::<SocketAddr>::new();
        let (stop, pre_stop, grace) = (handle.clone(), options.pre_stop, options.grace);
        tokio::spawn(async move {
            shutdown.cancelled().await;
            tokio::time::sleep(pre_stop).await;
            stop.graceful_shutdown(Some(grace));
        });
        let server = match axum_server::from_tcp(self.socket) {
            Ok(server) => server,
            Err(error) => return tracing::error!(%error, "the gateway has failed"),
        };
        let mut server = server.handle(handle).first_request_timeout(options.head_timeout);
        let http = server.http_builder();
        // Between requests this is the time without one; the head of a later request has what is left of it.
        http.http1().header_read_timeout(options.idle_timeout).max_buf_size(BUFFER);
        http.http2()
            .keep_alive_interval(options.idle_timeout)
            .keep_alive_timeout(options.head_timeout)
            .initial_stream_window_size(1 << 20)
            .max_concurrent_streams(64);
        let service = router.into_make_service();
        let ended = match self.tls {
            None => server.acceptor(NoDelayAcceptor::new()).serve(service).await,
            Some(tls) => {
                let acceptor = axum_server::tls_rustls::RustlsAcceptor::new(tls)
                    .handshake_timeout(options.head_timeout)
                    .acceptor(NoDelayAcceptor::new());
                server.acceptor(acceptor).serve(service).await
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the gateway has failed");
        }
    }
}

/// The port that the old daemon would take (spec rest-and-spool 6).
fn port(asked: u16, tls: bool) -> u16 {
    let port = match (asked, tls) {
        (0, false) => 80,
        (0, true) => 443,
        (port, _) => port,
    };
    if port < 1024 && !rustix::process::geteuid().is_root() {
        tracing::warn!(port, "a port below 1024 is for root; listening at 8080");
        return 8080;
    }
    port
}

fn tls_files(options: &Options) -> Option<Files> {
    match (&options.certbot_domain, &options.tls_cert, &options.tls_key) {
        (Some(domain), ..) if !domain.is_empty() => {
            let folder = PathBuf::from("/etc/letsencrypt/live").join(domain);
            Some(Files { cert: folder.join("fullchain.pem"), key: folder.join("privkey.pem") })
        }
        (_, Some(cert), Some(key)) => Some(Files { cert: cert.clone(), key: key.clone() }),
        _ => None,
    }
}

async fn load(files: &Files, wait: bool, shutdown: &CancellationToken) -> Result<RustlsConfig, Error> {
    // Whoever was first has chosen the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if wait {
        let appears = async {
            while !files.key.exists() {
                tracing::info!(key = %files.key.display(), "waiting for certbot");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let _ = tokio::time::timeout(CERTBOT_PATIENCE, shutdown.run_until_cancelled(appears)).await;
    }
    let config = RustlsConfig::from_pem_file(&files.cert, &files.key).await.map_err(|source| Error::Tls {
        files: format!("{} and {}", files.cert.display(), files.key.display()),
        source,
    })?;
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(renew(files.clone(), config.clone())));
    Ok(config)
}

/// Takes a renewed certificate without a restart.
async fn renew(files: Files, config: RustlsConfig) {
    let written = async |files: &Files| tokio::fs::metadata(&files.cert).await.and_then(|about| about.modified()).ok();
    let mut known = written(&files).await;
    loop {
        tokio::time::sleep(RENEWAL).await;
        let now = written(&files).await;
        if now == known {
            continue;
        }
        match config.reload_from_pem_file(&files.cert, &files.key).await {
            Ok(()) => {
                known = now;
                tracing::info!(cert = %files.cert.display(), "the certificate was renewed");
            }
            Err(error) => tracing::warn!(%error, "the renewed certificate cannot be used; the old one stays"),
        }
    }
}
