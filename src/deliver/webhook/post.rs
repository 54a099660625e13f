//! One request over HTTP: checked where it goes, limited in time and size, following nothing.

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

/// How long a receiver that asks for it is left alone at most.
const MAX_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How many addresses of a host are taken.
const MAX_ADDRESSES: usize = 16;

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until a connection stands.
    pub connect: Duration,
    /// Until the answer is read, from the first on.
    pub total: Duration,
    /// How much of an answer's body is read, in bytes.
    pub answer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), total: Duration::from_secs(30), answer: 64 << 10 }
    }
}

/// Who finds the addresses of a host.
pub trait Names: fmt::Debug + Send + Sync {
    /// The addresses of a host at a port.
    fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's own way.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Names for System {
    fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host, port).to_socket_addrs()?.take(MAX_ADDRESSES).collect())
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long the other side wants to be left alone.
    pub after: Option<Duration>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Why there is no answer; never with a word of a secret.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The address cannot be called at all.
    #[error("the url cannot be called: {0}")]
    Url(&'static str),
    /// A header cannot be sent.
    #[error("the secret for the header {0} holds characters that a header cannot")]
    Header(&'static str),
    /// It may not be called.
    #[error("{host}: {why}; `git config --add {SETTING} {host}` in the served repository allows it")]
    Forbidden {
        /// The host.
        host: String,
        /// Why not.
        why: Forbidden,
    },
    /// There was no answer in time, or none at all.
    #[error("{0}")]
    Failed(String),
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Client {
    secure: Agent,
    insecure: Agent,
    limits: Limits,
}

impl Client {
    /// One that calls what is allowed.
    pub fn new(allow: Allow, names: Arc<dyn Names>, limits: Limits) -> Self {
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
            Agent::with_parts(config, connector, Found(Arc::clone(&names)))
        };
        Self { secure: agent(false), insecure: agent(true), limits }
    }

    /// Posts a body; `insecure` asks for no certificate.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
        insecure: bool,
    ) -> Result<Answer, PostError> {
        let uri: Uri = url.parse().map_err(|_| PostError::Url("it cannot be read"))?;
        let host = uri.host().filter(|h| !h.is_empty()).ok_or(PostError::Url("it names no host"))?.to_owned();
        let mut request = Request::post(uri);
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).map_err(|_| PostError::Header(name))?;
            value.set_sensitive(*name == "authorization");
            request = request.header(*name, value);
        }
        let request = request.body(body).map_err(|_| PostError::Url("it cannot be asked for"))?;
        let agent = if insecure { &self.insecure } else { &self.secure };
        let answer = agent.run(request).map_err(|e| failed(e, &host))?;
        let status = answer.status().as_u16();
        let after = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(retry_after);
        let most = u64::try_from(self.limits.answer).unwrap_or(u64::MAX);
        let mut body = Vec::new();
        // An answer that stops half-way has still said its status.
        let _ = answer.into_body().into_reader().take(most).read_to_end(&mut body);
        Ok(Answer { status, after, body })
    }
}

/// Says what went wrong, in words that hold the host and nothing else of the request.
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
        Error::Timeout(what) => format!("no answer in time ({what})"),
        Error::HostNotFound => "there is no such host".to_owned(),
        Error::ConnectionFailed => "no connection".to_owned(),
        Error::Rustls(e) => crate::text::with_causes(e),
        Error::Tls(why) => (*why).to_owned(),
        _ => "the answer is no HTTP".to_owned(),
    };
    PostError::Failed(format!("{host}: {}", crate::text::one_line(&why)))
}

/// How long to wait by a `Retry-After`: seconds, or a date.
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

/// The resolver: it finds addresses and judges nothing.
#[derive(Debug)]
struct Found(Arc<dyn Names>);

impl Resolver for Found {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (host, port) = host_and_port(uri).ok_or(Error::HostNotFound)?;
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => {
                let (send, receive) = mpsc::sync_channel(1);
                let names = Arc::clone(&self.0);
                // The system's resolver cannot be told to stop; a thread that is no longer waited for ends with it.
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

/// The judge right before a connection is made, of the very addresses that it will be made to.
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
