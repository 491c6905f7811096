//! The address of a database, in every form that the existing system and libpq users write, and the way to it.
//!
//! `sslmode` means what it means to libpq: `disable`, `prefer` (the default: TLS if the server offers it), `require` (TLS,
//! the certificate is not verified unless `sslrootcert` is given), `verify-ca` and `verify-full` (verified, with the
//! machine's certificate authorities or those of `sslrootcert`; the host name is verified in both).

use std::{fmt, path::PathBuf, str::FromStr as _, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What is written as a percent code in a part of a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where the database is.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) config: tokio_postgres::Config,
    verify: bool,
    authorities: Option<PathBuf>,
    given: Tls,
}

impl Target {
    /// Reads `postgresql://…`, `postgres://…`, `postgresql:key=value …` (also with `!` after the colon) or `key=value …`,
    /// and each of them in quotes: they stay when a file of variables is not read by a shell.
    /// The error holds no password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = unquoted(text.trim());
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
        let authorities = tls.authorities.as_deref().filter(|path| *path != "system").map(PathBuf::from);
        let verify = mode.starts_with("verify") || (mode == "require" && authorities.is_some());
        Ok(Self { config, verify, authorities, given: tls })
    }

    /// The same as a URL that libpq's programs read. It holds the password.
    pub(crate) fn url(&self) -> String {
        let config = &self.config;
        let password = config.get_password().map(String::from_utf8_lossy);
        let (user, password) = match (config.get_user(), &password) {
            (Some(user), Some(password)) => (format!("{}:{}@", code(user), code(password)), None),
            (Some(user), None) => (format!("{}@", code(user)), None),
            (None, password) => (String::new(), password.as_deref()),
        };
        let place = |(host, port): (&Host, u16)| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{}:{port}", code(name)),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{port}", code(&path.to_string_lossy())),
        };
        let places: Vec<String> = self.places().into_iter().map(place).collect();
        let database = config.get_dbname().map(code).unwrap_or_default();
        format!("postgresql://{user}{}/{database}{}", places.join(","), self.parameters(password))
    }

    /// What has no place before the question mark of the URL.
    fn parameters(&self, password: Option<&str>) -> String {
        let list = |values: Vec<String>| Some(values.join(",")).filter(|values| !values.is_empty());
        let addresses = list(self.config.get_hostaddrs().iter().map(ToString::to_string).collect());
        let ports = list(self.config.get_ports().iter().map(ToString::to_string).collect());
        let parameters = [
            ("password", password),
            ("hostaddr", addresses.as_deref()),
            ("port", ports.as_deref().filter(|_| self.config.get_hosts().is_empty())),
            ("options", self.config.get_options()),
            ("sslmode", self.given.mode.as_deref()),
            ("sslrootcert", self.given.authorities.as_deref()),
        ];
        let parameters = parameters.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", code(value?))));
        let parameters: Vec<String> = parameters.collect();
        if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) }
    }

    /// Hosts and their ports.
    fn places(&self) -> Vec<(&Host, u16)> {
        let ports = self.config.get_ports();
        let port = |place: usize| *ports.get(place).or(ports.first()).unwrap_or(&5432);
        self.config.get_hosts().iter().enumerate().map(|(place, host)| (host, port(place))).collect()
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
        for (place, (host, port)) in self.places().into_iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.config.get_dbname().or(self.config.get_user()).unwrap_or_default())
    }
}

/// A part of a URL.
fn code(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// What the address says about TLS and the driver's own reader does not know.
#[derive(Clone, Default)]
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

/// Without a pair of quotes around the whole.
fn unquoted(text: &str) -> &str {
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
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
            "\"postgresql:dbname=reports user=kcidb password='a b' host=db port=5433\"",
            "'host=db port=5433 user=kcidb password=a\\ b dbname=reports'",
        ] {
            let target = parse(text);
            assert_eq!(target.to_string(), "kcidb@db:5433/reports", "{text}");
            assert_eq!(target.config.get_password(), Some(b"a b".as_slice()), "{text}");
            assert_eq!(target.url(), "postgresql://kcidb:a%20b@db:5433/reports", "{text}");
        }
    }

    #[test]
    fn the_url_of_every_form_means_the_same() {
        for (text, url) in [
            ("postgresql:dbname=x", "postgresql://localhost:5432/x"),
            ("host=::1 user=a:b dbname=x/y", "postgresql://a%3Ab@[::1]:5432/x%2Fy"),
            ("host=/run/pg dbname=x password='p@ß?'", "postgresql://%2Frun%2Fpg:5432/x?password=p%40%C3%9F%3F"),
            ("hostaddr=10.0.0.1 port=1 dbname=x", "postgresql:///x?hostaddr=10.0.0.1&port=1"),
            ("host=a,b port=1,2 dbname=x sslmode=require", "postgresql://a:1,b:2/x?sslmode=require"),
            (
                "host=a hostaddr=10.0.0.1 dbname=x options='-c search_path=y' sslmode=verify-ca sslrootcert=/c.pem",
                "postgresql://a:5432/x?hostaddr=10.0.0.1&options=-c%20search_path%3Dy&sslmode=verify-ca&sslrootcert=%2Fc.pem",
            ),
        ] {
            let target = parse(text);
            assert_eq!(target.url(), url, "{text}");
            let again = parse(url);
            assert_eq!(again.url(), url, "what is printed can be read");
            assert_eq!(
                (again.config.get_password(), again.config.get_options(), again.verify, &again.authorities),
                (target.config.get_password(), target.config.get_options(), target.verify, &target.authorities)
            );
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
