//! Decides which addresses a webhook may call: public addresses over HTTPS, and the targets that the administrator
//! allows.
//!
//! The check is made on the resolved addresses right before the connection. So a host name that resolves to another
//! address the second time does not get around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The config key in the served repository's own git config, once for each target: a host (`hooks.internal`), an
/// address, or a network (`10.1.0.0/16`). A host or an address with a port (`localhost:9000`) allows only that port.
pub const SETTING: &str = "greenroom.webhookAllow";

/// The ports that are allowed without a setting.
const PORTS: [u16; 2] = [443, 8443];

/// Networks of IPv4 that are not public, by their first bits.
const PRIVATE_V4: [([u8; 4], u8); 16] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // shared by carriers
    ([127, 0, 0, 0], 8),      // loopback
    ([169, 254, 0, 0], 16),   // link-local, where clouds keep their metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // relays of 6to4
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
    ([168, 63, 129, 16], 32), // a cloud's own services under a public address
];

/// Networks within 2000::/3 that are not public. Only 2000::/3 is a public part of IPv6. These networks are for
/// documentation, or embed IPv4 addresses (Teredo, 6to4) and would reach the hosts behind those.
const PRIVATE_V6: [([u16; 8], u8); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),     // protocol assignments, Teredo among them
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),     // 6to4
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),     // documentation
];

/// Why a target may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The scheme is not `https`, and the administrator has not allowed the host.
    #[error("only https is allowed, except for hosts that {SETTING} names in the git config of the served repository")]
    Scheme,
    /// The port is not a port of HTTPS.
    #[error("only the ports 443 and 8443 are allowed")]
    Port,
    /// The address is not public.
    #[error("it is not a public address")]
    Address,
    /// The URL has no host.
    #[error("it is not a URL with a host")]
    NoHost,
}

/// A value of the setting that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{SETTING}: {0} is not a host, address or network; write hooks.internal, localhost:9000, 10.1.2.3 or 10.1.0.0/16"
)]
pub struct InvalidAllow(String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TargetPattern {
    Host(String),
    Net { first: u128, bits: u8, is_v4: bool },
}

/// A target that the administrator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowedTarget {
    what: TargetPattern,
    port: Option<u16>,
}

impl FromStr for AllowedTarget {
    type Err = InvalidAllow;

    fn from_str(s: &str) -> Result<Self, InvalidAllow> {
        let bad = || InvalidAllow(crate::text::quoted(s));
        let s = s.trim();
        if let Ok(at) = s.parse::<SocketAddr>() {
            return Ok(Self { what: net(at.ip(), None).ok_or_else(bad)?, port: Some(at.port()) });
        }
        if let Ok(ip) = s.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(Self { what: net(ip, None).ok_or_else(bad)?, port: None });
        }
        if let Some((ip, bits)) = s.split_once('/') {
            let (ip, bits) = (ip.parse().map_err(|_| bad())?, bits.parse().map_err(|_| bad())?);
            return Ok(Self { what: net(ip, Some(bits)).ok_or_else(bad)?, port: None });
        }
        let (host, port) = match s.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| bad())?)),
            None => (s, None),
        };
        let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !is_host || ends_in_number(host) {
            return Err(bad());
        }
        Ok(Self { what: TargetPattern::Host(plain_host(host)), port })
    }
}

fn net(ip: IpAddr, bits: Option<u8>) -> Option<TargetPattern> {
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then(|| TargetPattern::Net { first: number(ip), bits, is_v4: ip.is_ipv4() })
}

impl AllowedTarget {
    fn is_net_of(&self, ip: IpAddr) -> bool {
        let TargetPattern::Net { first, bits, is_v4 } = self.what else { return false };
        // An IPv4 address that is mapped into IPv6 is the same host.
        let ip = ip.to_canonical();
        ip.is_ipv4() == is_v4 && same_net(number(ip), first, bits, if is_v4 { 32 } else { 128 })
    }
}

/// The targets that the administrator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    entries: Vec<AllowedTarget>,
}

impl Allow {
    /// Parses the values of the setting.
    ///
    /// # Errors
    ///
    /// [`InvalidAllow`] when a value is not a host, address or network.
    pub fn new(values: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, InvalidAllow> {
        let entries = values.into_iter().map(|v| v.as_ref().parse()).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Decides whether a host, which resolves to these addresses, may be called.
    ///
    /// # Errors
    ///
    /// [`Forbidden`] with the reason why the host may not be called.
    pub fn judge(&self, scheme: &str, host: &str, port: u16, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        let host = plain_host(host);
        let at_port = || self.entries.iter().filter(|e| e.port.is_none_or(|p| p == port));
        let is_named = at_port().any(|e| e.what == TargetPattern::Host(host.clone()));
        let is_listed = |ip: &IpAddr| at_port().any(|e| e.is_net_of(*ip));
        if addresses.is_empty() || !addresses.iter().all(|ip| is_named || is_listed(ip) || is_public(*ip)) {
            return Err(Forbidden::Address);
        }
        if is_named || addresses.iter().all(is_listed) {
            return Ok(());
        }
        if scheme != "https" {
            return Err(Forbidden::Scheme);
        }
        if PORTS.contains(&port) { Ok(()) } else { Err(Forbidden::Port) }
    }

    /// Decides as much as possible about a URL before its host is resolved: an early error for the person who creates a
    /// webhook.
    ///
    /// # Errors
    ///
    /// [`Forbidden`] with the reason why the URL may not be called.
    pub fn judge_text(&self, url: &str) -> Result<(), Forbidden> {
        let (scheme, host, port) = parts(url).ok_or(Forbidden::NoHost)?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let plain = plain_host(&host);
        let is_own = plain == "localhost" || plain.ends_with(".localhost") || ends_in_number(&plain);
        let address = match literal {
            Some(ip) => ip,
            // All spellings that resolvers take for this machine or for an IP address in decimal or hexadecimal form.
            None if is_own => Ipv4Addr::LOCALHOST.into(),
            // A placeholder for any public address: the host's real addresses are checked when it is called.
            None => Ipv4Addr::new(1, 1, 1, 1).into(),
        };
        self.judge(&scheme, &host, port, &[address])
    }
}

/// Returns the scheme, host and port of a URL.
fn parts(url: &str) -> Option<(String, String, u16)> {
    let uri: ureq::http::Uri = url.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    (!host.is_empty()).then(|| (scheme.to_owned(), host.to_owned(), port))
}

/// Normalises a host for comparison: lower case, without the final dot and without the brackets of IPv6.
fn plain_host(host: &str) -> String {
    host.trim_end_matches('.').trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// Returns whether a host is an IP address in another notation: `2130706433`, `0x7f.1`, `127.1`.
fn ends_in_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit())) || hex.is_some_and(is_hex)
}

/// Returns whether an address is reachable from the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !PRIVATE_V4
            .iter()
            .any(|(net, bits)| same_net(number(ip.into()), number(Ipv4Addr::from(*net).into()), *bits, 32)),
        IpAddr::V6(ip) => {
            let within =
                |net: [u16; 8], bits| same_net(number(ip.into()), number(Ipv6Addr::from(net).into()), bits, 128);
            within([0x2000, 0, 0, 0, 0, 0, 0, 0], 3) && !PRIVATE_V6.iter().any(|(net, bits)| within(*net, *bits))
        }
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// Returns whether two addresses of `all` bits share the first `bits`.
fn same_net(a: u128, b: u128, bits: u8, all: u8) -> bool {
    let rest = u32::from(all.saturating_sub(bits));
    (a ^ b).checked_shr(rest).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    /// One or two addresses of each class: the first and last of its range, if it has edges.
    const NOT_PUBLIC: [&str; 53] = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378::1",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
        "5f00::1",
    ];

    const PUBLIC: [&str; 14] = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
    ];

    #[test]
    fn each_class_of_address_that_is_not_public_is_refused() {
        let allow = Allow::default();
        for text in NOT_PUBLIC {
            assert!(!is_public(ip(text)), "{text}");
            assert_eq!(allow.judge("https", "a.example", 443, &[ip(text)]), Err(Forbidden::Address), "{text}");
        }
        for text in PUBLIC {
            assert!(is_public(ip(text)), "{text}");
            assert_eq!(allow.judge("https", "a.example", 443, &[ip(text)]), Ok(()), "{text}");
        }
    }

    #[test]
    fn one_address_that_is_not_public_is_one_too_many() {
        let allow = Allow::default();
        let both = [ip("1.1.1.1"), ip("127.0.0.1")];
        assert_eq!(allow.judge("https", "a.example", 443, &both), Err(Forbidden::Address));
        assert_eq!(allow.judge("https", "a.example", 443, &[]), Err(Forbidden::Address));
    }

    #[test]
    fn only_https_and_its_ports_are_called_unasked() {
        let allow = Allow::default();
        let public = [ip("1.1.1.1")];
        assert_eq!(allow.judge("http", "a.example", 443, &public), Err(Forbidden::Scheme));
        assert_eq!(allow.judge("https", "a.example", 22, &public), Err(Forbidden::Port));
        assert_eq!(allow.judge("https", "a.example", 8443, &public), Ok(()));
    }

    #[test]
    fn the_administrator_allows_hosts_addresses_and_networks() {
        let allow = Allow::new(["hooks.internal", "localhost:9000", "10.1.0.0/16", "::1", "[fd00::7]:80"]).unwrap();
        let judge = |host: &str, port, address: &str| allow.judge("http", host, port, &[ip(address)]);
        assert_eq!(judge("Hooks.Internal.", 8080, "192.168.0.9"), Ok(()));
        assert_eq!(judge("localhost", 9000, "127.0.0.1"), Ok(()));
        assert_eq!(judge("localhost", 9001, "127.0.0.1"), Err(Forbidden::Address));
        assert_eq!(judge("10.1.255.1", 80, "10.1.255.1"), Ok(()));
        assert_eq!(judge("a.example", 80, "::ffff:10.1.0.1"), Ok(()));
        assert_eq!(judge("10.2.0.1", 80, "10.2.0.1"), Err(Forbidden::Address));
        assert_eq!(judge("[::1]", 80, "::1"), Ok(()));
        assert_eq!(judge("[fd00::7]", 80, "fd00::7"), Ok(()));
        assert_eq!(judge("[fd00::7]", 81, "fd00::7"), Err(Forbidden::Address));
        assert_eq!(judge("a.example", 80, "1.1.1.1"), Err(Forbidden::Scheme), "what is public is allowed over https");
        let mixed = [ip("10.1.0.1"), ip("1.1.1.1")];
        assert_eq!(allow.judge("http", "a.example", 80, &mixed), Err(Forbidden::Scheme), "all of them must be listed");
        for bad in ["", "a b", "http://x", "10.0.0.0/33", "::/129", "x:99999", "127.1", "0x7f000001", "*"] {
            assert!(Allow::new([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_url_says_is_judged_before_it_is_called() {
        let allow = Allow::default();
        for (url, said) in [
            ("https://hooks.example.org/a", Ok(())),
            ("https://hooks.example.org:8443/a", Ok(())),
            ("http://hooks.example.org/a", Err(Forbidden::Scheme)),
            ("https://hooks.example.org:22/a", Err(Forbidden::Port)),
            ("https://127.0.0.1/", Err(Forbidden::Address)),
            ("https://[::1]/", Err(Forbidden::Address)),
            ("https://[::ffff:169.254.169.254]/", Err(Forbidden::Address)),
            ("https://localhost/", Err(Forbidden::Address)),
            ("https://LOCALHOST./", Err(Forbidden::Address)),
            ("https://a.localhost/", Err(Forbidden::Address)),
            ("https://2130706433/", Err(Forbidden::Address)),
            ("https://0x7f.1/", Err(Forbidden::Address)),
            ("https://127.1/", Err(Forbidden::Address)),
            ("https://0177.0.0.1/", Err(Forbidden::Address)),
            ("https://169.254.169.254/latest/meta-data", Err(Forbidden::Address)),
            ("mailto:a@example.org", Err(Forbidden::NoHost)),
            ("not a url", Err(Forbidden::NoHost)),
        ] {
            assert_eq!(allow.judge_text(url), said, "{url}");
        }
        let local = Allow::new(["127.0.0.0/8"]).unwrap();
        assert_eq!(local.judge_text("http://127.0.0.1:8080/x"), Ok(()));
        assert_eq!(local.judge_text("http://localhost:8080/x"), Ok(()), "it can only be that");
    }
}
