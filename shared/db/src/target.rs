//! The address of a database, in every form that the existing system and libpq users write, and the way to it.
//!
//! `sslmode` means what it means to libpq: `disable`, `prefer` (the default: TLS if the server offers it), `require` (TLS,
//! the certificate is not verified unless `sslrootcert` is given), `verify-ca` and `verify-full` (verified, with the
//! machine's certificate authorities or those of `sslrootcert`; the host name is verified in both).

use std::{fmt, path::PathBuf, str::FromStr as _, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where the database is.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) config: tokio_postgres::Config,
    verify: bool,
    authorities: Option<PathBuf>,
}

impl Target {
    /// Reads `postgresql://…`, `postgres://…`, `postgresql:key=value …` (also with `!` after the colon) or `key=value …`.
    /// The error holds no password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (text, tls) = if text.starts_with("postgresql://") || text.starts_with("postgres://") {
            split_url(text)
        } else {
            let pairs = text.strip_prefix("postgresql:").or_else(|| text.strip_prefix("postgres:")).unwrap_or(text);
            split_pairs(pairs.strip_prefix('!').unwrap_or(pairs))?
        };
        let mut config = tokio_postgres::Config::from_str(&text).map_err(|error| {
            format!("{}; it looks like postgresql://user:password@host:5432/kcidb", crate::error::chain(&error))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        if config.get_application_name().is_none() {
            config.application_name("kcidb");
        }
        let mode = tls.mode.as_deref().unwrap_or("prefer");
        config.ssl_mode(match mode {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            "require" | "verify-ca" | "verify-full" => SslMode::Require,
            other => {
                return Err(format!("sslmode={other}: use disable, prefer, require, verify-ca or verify-full"));
            }
        });
        // The machine's own authorities, by a name that libpq knows too.
        let authorities = tls.authorities.filter(|path| path != "system").map(PathBuf::from);
        let verify = mode.starts_with("verify") || (mode == "require" && authorities.is_some());
        Ok(Self { config, verify, authorities })
    }

    /// The TLS side of a connection.
    pub(crate) fn tls(&self) -> Result<MakeRustlsConnect, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = if self.verify {
            builder.with_root_certificates(self.authorities()?).with_no_client_auth()
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth()
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn authorities(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.authorities {
            let fault = |error: &dyn fmt::Display| format!("sslrootcert {}: {error}", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(&error))? {
                roots.add(certificate.map_err(|error| fault(&error))?).map_err(|error| fault(&error))?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if roots.is_empty() {
            return Err("there are no certificate authorities to verify the server with: set sslrootcert".into());
        }
        Ok(roots)
    }
}

/// User, host, port and database.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        for (place, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            write!(f, ":{}", ports.get(place).or(ports.first()).unwrap_or(&5432))?;
        }
        write!(f, "/{}", self.config.get_dbname().or(self.config.get_user()).unwrap_or_default())
    }
}

/// What the address says about TLS and the driver's own reader does not know.
#[derive(Default)]
struct Tls {
    mode: Option<String>,
    authorities: Option<String>,
}

impl Tls {
    /// Takes the option if it is one of ours.
    fn take(&mut self, key: &str, value: &str) -> bool {
        match key {
            "sslmode" => self.mode = Some(value.to_owned()),
            "sslrootcert" => self.authorities = Some(value.replace("%2F", "/").replace("%2f", "/")),
            _ => return false,
        }
        true
    }
}

fn split_url(url: &str) -> (String, Tls) {
    let mut tls = Tls::default();
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), tls) };
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(|pair| !pair.split_once('=').is_some_and(|(key, value)| tls.take(key, value)))
        .collect();
    let question = if rest.is_empty() { "" } else { "?" };
    (format!("{base}{question}{}", rest.join("&")), tls)
}

/// Splits libpq's `key = 'value'` pairs; backslash escapes one character, quotes hold white space.
fn split_pairs(text: &str) -> Result<(String, Tls), String> {
    let mut tls = Tls::default();
    let mut rest = String::new();
    let mut left = text.trim_start();
    while !left.is_empty() {
        let (key, after) = left.split_once('=').ok_or("expected key=value pairs separated by spaces")?;
        let after = after.trim_start();
        let mut value = String::new();
        let mut letters = after.char_indices();
        let quoted = after.starts_with('\'');
        if quoted {
            letters.next();
        }
        let mut end = after.len();
        while let Some((place, letter)) = letters.next() {
            match letter {
                '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
                '\'' if quoted => {
                    end = place + 1;
                    break;
                }
                letter if !quoted && letter.is_whitespace() => {
                    end = place;
                    break;
                }
                letter => value.push(letter),
            }
        }
        let key = key.trim();
        if !tls.take(key, &value) {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            rest.extend([key, "='", &value, "' "]);
        }
        left = after[end..].trim_start();
    }
    Ok((rest, tls))
}

/// Accepts any certificate, as libpq does for `prefer` and `require`: the connection is encrypted, the server unverified.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        Target::parse(text).expect("a readable address")
    }

    #[test]
    fn all_forms_mean_the_same() {
        for text in [
            "postgresql://kcidb:a%20b@db:5433/reports",
            "postgres://kcidb:a%20b@db:5433/reports",
            "postgresql:dbname=reports user=kcidb password='a b' host=db port=5433",
            "postgresql:!dbname=reports user=kcidb password='a b' host=db port=5433",
            "host = db  port=5433 user=kcidb password=a\\ b dbname='reports'",
        ] {
            let target = parse(text);
            assert_eq!(target.to_string(), "kcidb@db:5433/reports", "{text}");
            assert_eq!(target.config.get_password(), Some(b"a b".as_slice()), "{text}");
        }
    }

    #[test]
    fn tls_is_never_less_than_asked_for() {
        for (text, mode, verify) in [
            ("postgresql://db/x", SslMode::Prefer, false),
            ("postgresql://db/x?sslmode=disable", SslMode::Disable, false),
            ("postgresql://db/x?sslmode=require&connect_timeout=3", SslMode::Require, false),
            ("postgresql://db/x?sslmode=require&sslrootcert=/ca.pem", SslMode::Require, true),
            ("postgresql:host=db sslmode=verify-full dbname=x", SslMode::Require, true),
            ("postgresql:host=db sslmode='verify-ca' sslrootcert=system dbname=x", SslMode::Require, true),
        ] {
            let target = parse(text);
            assert_eq!(target.config.get_ssl_mode(), mode, "{text}");
            assert_eq!(target.verify, verify, "{text}");
            assert_eq!(target.config.get_dbname(), Some("x"), "{text}");
        }
        assert!(Target::parse("postgresql://db/x?sslmode=perhaps").is_err());
    }

    #[test]
    fn a_wrong_address_says_what_is_wrong() {
        for text in ["reports", "postgresql://db/x?colour=red", "host=db port=many"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_missing_authority_file_is_named() {
        let error = parse("postgresql://db/x?sslmode=verify-full&sslrootcert=/nowhere.pem").tls().err();
        assert!(error.is_some_and(|error| error.contains("/nowhere.pem")));
    }
}
