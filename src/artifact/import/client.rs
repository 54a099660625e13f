//! An HTTP client for MLflow servers. It connects only to the host that an administrator named, without redirects or
//! proxies, and within limits.

use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use super::super::path::FilePath;
use super::{ImportError, ServerBase};

/// The timeout to resolve a host name, and the timeout to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// The timeout for the start of a response, and the longest pause within one.
const STALL: Duration = Duration::from_secs(30);

/// The timeout for a complete JSON response.
const ANSWER: Duration = Duration::from_secs(60);

/// The largest JSON response that is read, in bytes.
const MAX_JSON: u64 = 16 << 20;

/// The value of an `Authorization` header. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(String);

impl Credentials {
    /// Creates credentials from a token.
    pub fn token(token: &str) -> Self {
        Self(format!("Bearer {token}"))
    }

    /// Creates credentials from a name and a password.
    pub fn password(name: &str, password: &str) -> Self {
        Self(format!("Basic {}", BASE64.encode(format!("{name}:{password}"))))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A resolver that resolves one host at one port, and refuses all others.
#[derive(Debug)]
pub struct HostLookup {
    host: String,
    port: u16,
}

impl HostLookup {
    /// Creates a resolver for this server only.
    pub fn new(server: &ServerBase) -> Self {
        Self { host: server.host().to_owned(), port: server.port() }
    }

    /// Whether this machine may connect to an address of the host. The administrator chose the name, and tracking
    /// servers are in internal networks. But the name must not resolve to this machine's loopback addresses, unless the
    /// name itself is a loopback name. It must not resolve to link-local addresses either, such as a cloud's metadata
    /// service.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let local = self.host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        let never = match address {
            IpAddr::V4(ip) => {
                ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.octets().first() == Some(&0)
            }
            IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified(),
        };
        !never && (local || !address.is_loopback())
    }
}

impl Resolver for HostLookup {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let port = uri.port_u16().or_else(|| match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            Some(_) | None => None,
        });
        if uri.host().map(str::to_ascii_lowercase).as_deref() != Some(&self.host) || port != Some(self.port) {
            return Err(ureq::Error::HostNotFound);
        }
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let mut permitted = self.empty();
        for address in found.iter().filter(|a| self.permits(a.ip())) {
            permitted.push(*address);
        }
        if permitted.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(permitted) }
    }
}

/// An entry of a folder on a server.
pub(super) struct RemoteEntry {
    /// The name: the last part of the path.
    pub(super) name: String,
    /// Whether it is a folder.
    pub(super) is_folder: bool,
    /// The size in bytes; `None` if the server does not give it.
    pub(super) size: Option<u64>,
}

/// A client for one server.
pub(super) struct Client {
    agent: Agent,
    server: ServerBase,
    credentials: Option<Credentials>,
}

impl Client {
    pub(super) fn new(server: &ServerBase, credentials: Option<Credentials>) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(STALL))
            .timeout_per_read(Some(STALL))
            .timeout_per_write(Some(STALL))
            .max_response_header_size(64 * 1024)
            .user_agent(concat!("greenroom/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .tls_config(tls)
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), HostLookup::new(server));
        Self { agent, server: server.clone(), credentials }
    }

    fn unreachable(&self, why: &dyn fmt::Display) -> ImportError {
        ImportError::Unreachable {
            server: self.server.to_string(),
            why: crate::text::one_line(&why.to_string()).into(),
        }
    }

    /// Sends a GET request. `path` is appended to the server's URL; it starts with a slash or is empty. `what` names
    /// the resource in messages.
    fn get(&self, path: &str, what: &str, within: Option<Duration>) -> Result<ureq::http::Response<Body>, ImportError> {
        let mut request = self.agent.get(format!("{}{path}", self.server)).config().timeout_global(within).build();
        if let Some(Credentials(value)) = &self.credentials {
            request = request.header("Authorization", value);
        }
        let response = request.call().map_err(|e| self.unreachable(&e))?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(ImportError::Status { server: self.server.to_string(), status, what: what.to_owned() }),
        }
    }

    /// Requests a JSON document.
    pub(super) fn json(&self, path: &str, what: &str) -> Result<Value, ImportError> {
        let response = self.get(path, what, Some(ANSWER))?;
        let mut bytes = Vec::new();
        let read = response.into_body().into_reader().take(MAX_JSON + 1).read_to_end(&mut bytes);
        read.map_err(|e| self.unreachable(&e))?;
        let bad = |why: String| ImportError::Answer { server: self.server.to_string(), what: what.to_owned(), why };
        if bytes.len() as u64 > MAX_JSON {
            return Err(bad(format!("it has more than {MAX_JSON} bytes")));
        }
        serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))
    }

    /// Lists a folder. The server must be an artifact proxy.
    pub(super) fn list(&self, folder: Option<&FilePath>) -> Result<Vec<RemoteEntry>, ImportError> {
        let shown = folder.map_or("the list of files".to_owned(), |f| format!("the files of {f}"));
        let answer = self.json(&format!("?path={}", folder.map_or_else(String::new, encoded)), &shown)?;
        let bad = || ImportError::Answer {
            server: self.server.to_string(),
            what: shown.clone(),
            why: "it is not a list of files".to_owned(),
        };
        let files = match answer.get("files") {
            None => return Ok(Vec::new()),
            Some(files) => files.as_array().ok_or_else(bad)?,
        };
        let entry = |file: &Value| {
            let name = file.get("path")?.as_str()?.to_owned();
            let size = match file.get("file_size") {
                None | Some(Value::Null) => None,
                // protobuf writes 64-bit numbers as strings.
                Some(Value::String(text)) => Some(text.parse().ok()?),
                Some(other) => Some(other.as_u64()?),
            };
            let is_folder = file.get("is_dir").and_then(Value::as_bool).unwrap_or(false);
            Some(RemoteEntry { name, is_folder, size })
        };
        files.iter().map(|file| entry(file).ok_or_else(bad)).collect()
    }

    /// Opens a file. The server must be an artifact proxy.
    pub(super) fn open(&self, file: &FilePath) -> Result<Box<dyn Read>, ImportError> {
        // A large model may take any time in total, but each read has a timeout.
        let response = self.get(&format!("/{}", encoded(file)), file.as_str(), None)?;
        Ok(Box::new(response.into_body().into_reader()))
    }
}

/// Percent-encodes a path for a URL.
fn encoded(path: &FilePath) -> String {
    let mut out = String::with_capacity(path.as_str().len());
    for byte in path.as_str().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(server: &str, address: &str) -> bool {
        let named = HostLookup::new(&ServerBase::parse(server).expect("a server"));
        named.permits(address.parse().expect("an address"))
    }

    #[test]
    fn a_name_leads_to_no_service_of_this_machine_or_its_link() {
        let tracking = "http://tracking.example";
        for good in ["10.1.2.3", "192.168.1.1", "93.184.216.34", "fd00::1", "2606:2800::1", "::ffff:10.1.2.3"] {
            assert!(permits(tracking, good), "{good}");
        }
        let bad = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ];
        for bad in bad {
            assert!(!permits(tracking, bad), "{bad}");
        }
        assert!(permits("http://localhost:5000", "127.0.0.1") && permits("http://localhost:5000", "::1"));
        assert!(permits("http://127.0.0.1:5000", "127.0.0.1") && permits("http://[::1]:5000", "::1"));
        assert!(!permits("http://169.254.169.254", "169.254.169.254"), "not even by its number");
    }

    #[test]
    fn no_other_host_is_looked_for() {
        let agent = Client::new(&ServerBase::parse("http://localhost:1").expect("a server"), None).agent;
        for other in ["http://example.org/", "http://localhost:2/", "https://localhost/"] {
            assert!(matches!(agent.get(other).call(), Err(ureq::Error::HostNotFound)), "{other}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let shown = format!("{:?} {:?}", Credentials::token("canary"), Credentials::password("alice", "canary"));
        assert!(!shown.contains("canary") && !shown.contains("YWxpY2U6Y2FuYXJ5"), "{shown}");
        assert_eq!(Credentials::password("alice", "canary").0, "Basic YWxpY2U6Y2FuYXJ5");
    }

    #[test]
    fn paths_are_escaped_in_addresses() {
        let path = FilePath::new("code/a b+c&d=é#.txt").expect("a path");
        assert_eq!(encoded(&path), "code/a%20b%2Bc%26d%3D%C3%A9%23.txt");
    }
}
