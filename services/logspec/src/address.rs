//! Which addresses logs may come from: URLs are chosen by strangers, and must not lead into our own network.
//!
//! Invariant: the check is on the address that the connection goes to. A name is resolved once, here, and the connection
//! gets only what passed; an address that is written in a URL is checked before the request.

use std::{
    error::Error as StdError,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// A network, an address or a host name that logs may come from although it is private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Addresses that begin so.
    Network(IpAddr, u8),
    /// A host by this name, wherever it is.
    Host(String),
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        match (address.parse::<IpAddr>(), length) {
            (Ok(address), None) => Ok(Self::Network(address, bits(address))),
            (Ok(address), Some(length)) => match length.parse() {
                Ok(length) if length <= bits(address) => Ok(Self::Network(address, length)),
                _ => Err(format!("a network looks like 10.1.0.0/16, not {text:?}")),
            },
            (Err(_), None) if !text.is_empty() && !text.contains([':', ' ']) => Ok(Self::Host(host_name(text))),
            _ => Err(format!("{text:?} is neither a network (10.1.0.0/16) nor an address nor a host name")),
        }
    }
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// As names are compared: in lower case, without the root's dot.
fn host_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// What may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Policy(Arc<[Allowed]>);

impl Policy {
    pub(crate) fn new(allowed: &[Allowed]) -> Self {
        Self(allowed.into())
    }

    /// Whether the host of a URL may be asked, as far as the URL alone tells.
    pub(crate) fn admits(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.map_or(true, |address| self.admits_address(address))
    }

    fn admits_address(&self, address: IpAddr) -> bool {
        is_public(address)
            || self.0.iter().any(
                |allowed| matches!(allowed, Allowed::Network(network, length) if is_in(address, *network, *length)),
            )
    }

    fn admits_name(&self, name: &str) -> bool {
        let name = host_name(name);
        self.0.iter().any(|allowed| matches!(allowed, Allowed::Host(host) if *host == name))
    }
}

impl Resolve for Policy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found: Vec<SocketAddr> = match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(found) => found.collect(),
                Err(error) => return Err(Unresolved(error.to_string()).into()),
            };
            let is_known = !found.is_empty();
            let any = policy.admits_name(&name);
            let fit: Vec<SocketAddr> =
                found.into_iter().filter(|address| any || policy.admits_address(address.ip())).collect();
            match (fit.is_empty(), is_known) {
                (false, _) => Ok(Box::new(fit.into_iter()) as Addrs),
                (true, true) => Err(Refused.into()),
                (true, false) => Err(Unresolved("no addresses".into()).into()),
            }
        })
    }
}

/// Every address of a name is one that is not for us.
#[derive(Debug, thiserror::Error)]
#[error("the address is private or reserved")]
pub(crate) struct Refused;

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved: {0}")]
pub(crate) struct Unresolved(String);

/// Whether an error, or what caused it, is of this type.
pub(crate) fn caused_by<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn is_in(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let prefix = |bits: u128, width: u8| bits.checked_shr(u32::from(width - length)).unwrap_or(0);
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            prefix(u32::from(address).into(), 32) == prefix(u32::from(network).into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => prefix(address.into(), 128) == prefix(network.into(), 128),
        _ => false,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !RESERVED_V4.iter().any(|(network, length)| is_in(address.into(), IpAddr::V4(*network), *length))
        }
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Networks of IPv4 that are not part of the public internet.
const RESERVED_V4: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by the customers of a provider.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local: where clouds tell machines their secrets.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // The former relay of 6to4.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Benchmarks.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // A cloud's own services, in the middle of the public range.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// IPv6 addresses are public inside `2000::/3` only, and there not where they are reserved or carry IPv4 in them.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let is_in = |network: [u16; 2], length: u8| {
        let [a, b] = network;
        is_in(address.into(), Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0).into(), length)
    };
    is_in([0x2000, 0], 3)
        // Protocol assignments, among them Teredo and benchmarks; documentation; 6to4.
        && !is_in([0x2001, 0], 23)
        && !is_in([0x2001, 0x0db8], 32)
        && !is_in([0x2002, 0], 16)
        && !is_in([0x3fff, 0], 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_refused() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "169.253.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_read_as_the_connection_reads_it() {
        let policy = Policy::new(&[]);
        let admits = |url: &str| policy.admits(&url.parse().expect("a URL"));
        for url in [
            "http://127.1/x",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://[::1]:80/",
            "http://0177.0.0.1",
            "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/latest/meta-data",
        ] {
            assert!(!admits(url), "{url}");
        }
        assert!(admits("http://8.8.8.8/"));
        assert!(admits("http://localhost/"), "names are judged when they are resolved");
    }

    #[test]
    fn what_is_allowed_is_allowed() {
        let allowed: Vec<Allowed> = ["10.1.0.0/16", "127.0.0.1", "fd00::/8", "Logs.Lab.Example."]
            .iter()
            .map(|text| text.parse().expect("it makes sense"))
            .collect();
        let policy = Policy::new(&allowed);
        for (address, admitted) in [
            ("10.1.2.3", true),
            ("10.2.0.0", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(policy.admits_address(address.parse().expect("an address")), admitted, "{address}");
        }
        assert!(policy.admits_name("logs.lab.example") && !policy.admits_name("lab.example"));
        for text in ["", "10.0.0.0/33", "10.0.0/8", "a b", "10.0.0.0/"] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
        assert_eq!("0.0.0.0/0".parse(), Ok(Allowed::Network(Ipv4Addr::UNSPECIFIED.into(), 0)));
        assert!(Policy::new(&["0.0.0.0/0".parse().expect("a network")]).admits_address(Ipv4Addr::LOCALHOST.into()));
    }

    fn is_loopback(address: &SocketAddr) -> bool {
        address.ip().is_loopback()
    }

    #[tokio::test]
    async fn names_of_private_addresses_are_refused_and_unknown_ones_unresolved() {
        let resolve = async |policy: Policy, name: &str| {
            policy.resolve(name.parse().expect("a name")).await.map(Iterator::collect::<Vec<_>>)
        };
        let error = resolve(Policy::new(&[]), "localhost").await.expect_err("it is private");
        assert!(caused_by::<Refused>(&*error), "{error}");
        let allowed = Policy::new(&["localhost".parse().expect("a name")]);
        assert!(resolve(allowed, "localhost").await.expect("it is allowed").iter().all(is_loopback));
        let error = resolve(Policy::new(&[]), "nowhere.invalid").await.expect_err("there is none");
        assert!(caused_by::<Unresolved>(&*error), "{error}");
    }
}
