//! Sends one HTTP request: the target is checked, time and size are limited, and redirects are not followed.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{HeaderValue, Request, Uri, header};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector, Transport,
};
use ureq::{Agent, Error};

use super::address::{Allow, Forbidden, SETTING};
use crate::time::Timestamp;

/// The longest wait that a receiver can ask for.
const MAX_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The largest number of addresses of a host that are used.
const MAX_ADDRESSES: usize = 16;

/// The limits of a request.
#[derive(Debug, Clone, Copy)]
pub struct PostLimits {
    /// The time until a connection is established.
    pub connect: Duration,
    /// The time from the start of the request until the response is read.
    pub total: Duration,
    /// The largest part of a response's body that is read, in bytes.
    pub answer: usize,
}

impl Default for PostLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), total: Duration::from_secs(30), answer: 64 << 10 }
    }
}

/// A resolver of host names.
pub trait AddressLookup: fmt::Debug + Send + Sync {
    /// Returns the addresses of a host at a port.
    ///
    /// # Errors
    ///
    /// When the host cannot be resolved.
    fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl AddressLookup for System {
    fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs()?.take(MAX_ADDRESSES).collect())
    }
}

/// The response of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostResponse {
    /// The HTTP status.
    pub status: u16,
    /// How long the receiver asks to wait (`Retry-After`).
    pub after: Option<Duration>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Why there is no response, without any part of a secret.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The URL cannot be called.
    #[error("the url cannot be called: {0}")]
    Url(&'static str),
    /// The value of a header cannot be sent.
    #[error("the secret for the header {0} contains characters that are not allowed in a header")]
    Header(&'static str),
    /// The target is not allowed.
    #[error("{host}: {why}; to allow it, run `git config --add {SETTING} {host}` in the served repository")]
    Forbidden {
        /// The host of the target.
        host: String,
        /// The reason.
        why: Forbidden,
    },
    /// The request failed, or there was no response in time.
    #[error("{0}")]
    Failed(String),
}

/// The HTTP client of webhooks.
#[derive(Debug, Clone)]
pub struct Client {
    secure: Agent,
    insecure: Agent,
    limits: PostLimits,
}

impl Client {
    /// Makes a client that calls only allowed targets.
    pub fn new(allow: Allow, names: Arc<dyn AddressLookup>, limits: PostLimits) -> Self {
        let agent = |is_insecure| {
            let tls = TlsConfig::builder()
                .provider(TlsProvider::Rustls)
                .root_certs(RootCerts::PlatformVerifier)
                .disable_verification(is_insecure)
                .build();
            let config = Agent::config_builder()
                .tls_config(tls)
                .proxy(None)
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_resolve(Some(limits.connect))
                .timeout_connect(Some(limits.connect))
                .timeout_global(Some(limits.total))
                .max_idle_connections(64)
                .max_idle_connections_per_host(8)
                .user_agent(concat!("greenroom/", env!("CARGO_PKG_VERSION")))
                .build();
            let connector =
                ().chain(Gate(allow.clone())).chain(TcpConnector::default()).chain(RustlsConnector::default());
            Agent::with_parts(config, connector, GuardedResolver(Arc::clone(&names)))
        };
        Self { secure: agent(false), insecure: agent(true), limits }
    }

    /// Posts a body. `insecure` turns the check of the server's certificate off.
    ///
    /// # Errors
    ///
    /// [`PostError`] when the URL or a header is invalid, the target is not allowed, or no response arrives in time.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
        insecure: bool,
    ) -> Result<PostResponse, PostError> {
        let uri: Uri = url.parse().map_err(|_| PostError::Url("it cannot be read"))?;
        let host = uri.host().filter(|h| !h.is_empty()).ok_or(PostError::Url("it has no host"))?.to_owned();
        let mut request = Request::post(uri);
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| PostError::Header(name))?;
            value.set_sensitive(*name == "authorization");
            request = request.header(*name, value);
        }
        let request = request.body(body).map_err(|_| PostError::Url("it is not a valid request target"))?;
        let agent = if insecure { &self.insecure } else { &self.secure };
        let answer = agent.run(request).map_err(|e| failed(e, &host))?;
        let status = answer.status().as_u16();
        let after = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(retry_after);
        let most = u64::try_from(self.limits.answer).unwrap_or(u64::MAX);
        let mut body = Vec::new();
        // A response that stops in the middle of its body still has a status.
        let _ = answer.into_body().into_reader().take(most).read_to_end(&mut body);
        Ok(PostResponse { status, after, body })
    }
}

/// Describes an error in words that hold the host and nothing else of the request.
fn failed(e: Error, host: &str) -> PostError {
    let e = match e {
        Error::Other(e) => match e.downcast::<Forbidden>() {
            Ok(why) => return PostError::Forbidden { host: host.to_owned(), why: *why },
            Err(_) => return PostError::Failed(format!("{host}: the request failed")),
        },
        e => e,
    };
    let why = match &e {
        Error::Io(e) => crate::text::with_causes(e),
        Error::Timeout(what) => format!("no response in time ({what})"),
        Error::HostNotFound => "there is no such host".to_owned(),
        Error::ConnectionFailed => "no connection".to_owned(),
        Error::Rustls(e) => crate::text::with_causes(e),
        Error::Tls(why) => (*why).to_owned(),
        _ => "the response is not HTTP".to_owned(),
    };
    PostError::Failed(format!("{host}: {}", crate::text::one_line(&why)))
}

/// Returns how long to wait by a `Retry-After` header: seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    let after = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
            let then = u64::try_from(Timestamp::from_http_date(text.trim())?.as_millis()).ok()?;
            Duration::from_millis(then).saturating_sub(now)
        }
    };
    Some(after.min(MAX_AFTER))
}

/// The resolver of the client. It finds addresses and checks nothing.
#[derive(Debug)]
struct GuardedResolver(Arc<dyn AddressLookup>);

impl Resolver for GuardedResolver {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (host, port) = host_and_port(uri).ok_or(Error::HostNotFound)?;
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => {
                let (send, receive) = mpsc::sync_channel(1);
                let names = Arc::clone(&self.0);
                // The system's resolver cannot be cancelled. A thread that is no longer waited for ends when the
                // resolver returns.
                let asked = thread::Builder::new().name("resolver".to_owned());
                asked.spawn(move || drop(send.send(names.lookup(&host, port)))).map_err(Error::Io)?;
                let answer = receive.recv_timeout(*timeout.after).map_err(|_| Error::Timeout(timeout.reason))?;
                answer.map_err(|_| Error::HostNotFound)?
            }
        };
        let mut out = self.empty();
        found.into_iter().take(MAX_ADDRESSES).for_each(|at| out.push(at));
        if out.is_empty() { Err(Error::HostNotFound) } else { Ok(out) }
    }
}

fn host_and_port(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Some((host, port))
}

/// The check right before a connection is made, on the addresses of that connection.
#[derive(Debug)]
struct Gate(Allow);

impl<In: Transport> Connector<In> for Gate {
    type Out = In;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<In>, Error> {
        let addresses: Vec<IpAddr> = details.addrs.iter().map(SocketAddr::ip).collect();
        let (host, port) = host_and_port(details.uri).ok_or(Error::HostNotFound)?;
        let judged = self.0.judge(details.uri.scheme_str().unwrap_or_default(), &host, port, &addresses);
        judged.map_err(|why| Error::Other(Box::new(why)))?;
        Ok(chained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_how_long_it_wants_to_be_left_alone() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(" 99999999 "), Some(MAX_AFTER));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("Fri, 01 Jan 2286 00:00:00 GMT"), Some(MAX_AFTER));
        assert_eq!((retry_after("soon"), retry_after("-1"), retry_after("")), (None, None, None));
    }
}
