//! The steps before and after the route of every request: request id, host check, cross-site check, authentication;
//! response headers, log, metrics.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::connections::{ActiveRequest, ConnectionHandle};
use super::rate::Rate;
use crate::clock;
use crate::name::UserName;
use crate::server::context::auth::Caller;
use crate::server::context::catalog::Catalog;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::idle::{IdleTimer, until_sent};
use crate::server::context::log::Log;
use crate::server::context::state::ServerState;
use crate::tree::Oid;

/// A response larger than this counts as a request in progress until it is sent completely, in bytes.
const SMALL: u64 = 64 * 1024;

/// The peer address of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The authenticated caller, and the catalog in which they were found.
#[derive(Clone)]
pub struct CachedCaller {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The catalog at that time.
    pub catalog: Arc<Catalog>,
}

/// The commit that a request made, for the log.
#[derive(Debug, Clone, Copy)]
pub struct ResponseCommit(pub Oid);

/// The path of the route, for the metrics.
#[derive(Debug, Clone)]
pub struct MatchedRoute(pub Arc<str>);

/// The checks for all requests.
pub struct Guard {
    /// The state of the server.
    pub state: Arc<ServerState>,
    /// The paths that need no credentials.
    pub open: HashSet<String>,
    /// The open paths that are served regardless of the server's load.
    pub fixed: HashSet<String>,
    /// The paths of signed URLs.
    pub signed: HashSet<String>,
    /// The hosts that the server accepts. `None` accepts all.
    pub hosts: Option<HashSet<String>>,
    /// Counts requests, if an idle server ends.
    pub activity: Option<Arc<IdleTimer>>,
    /// Whether clients reach the server through TLS.
    pub https: bool,
    /// The log.
    pub log: Log,
    rate: Rate,
    ids: Ids,
}

/// Makes ids of requests that are unique across runs.
struct Ids {
    salt: String,
    next: AtomicU64,
}

impl Guard {
    /// Makes a guard that accepts `hosts` (`None`: all), and limits each caller to `max_rate` requests per second
    /// (`None`: no limit).
    pub fn new(
        state: Arc<ServerState>,
        hosts: Option<HashSet<String>>,
        https: bool,
        log: Log,
        max_rate: Option<u32>,
    ) -> Self {
        let salt = crate::registry::random_bytes().iter().take(4).map(|b| format!("{b:02x}")).collect();
        let ids = Ids { salt, next: AtomicU64::new(1) };
        let rate = Rate::new(max_rate);
        let (open, fixed, signed) = (HashSet::new(), HashSet::new(), HashSet::new());
        Self { state, open, fixed, signed, activity: None, hosts, https, log, rate, ids }
    }

    /// Refuses requests for another host, and changes that a browser sends for another site.
    fn check_origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = host_of(headers)?;
        if let Some(hosts) = &self.hosts
            && !host.as_deref().is_some_and(|h| hosts.contains(without_port(h)))
        {
            return Err(ApiError::denied(
                "This server does not accept requests for that host; allow the host with `greenroom serve --host`.",
            ));
        }
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let foreign = || Err(ApiError::denied("A page of another site may not change this registry."));
        if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
            return foreign();
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if own.is_some() && own == host.as_deref() { Ok(()) } else { foreign() }
    }

    /// Returns the base URL under which the client reached the server.
    pub fn base(&self, headers: &HeaderMap) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or("localhost");
        format!("{scheme}://{host}")
    }

    /// Counts a request as in progress.
    fn begin(&self, request: &Parts, caller: Option<&UserName>) -> Result<Option<ActiveRequest>, ApiError> {
        if self.fixed.contains(request.uri.path()) {
            return Ok(None);
        }
        request.extensions.get::<ConnectionHandle>().map(|seat| seat.begin(caller)).transpose()
    }

    /// Authenticates the caller. `None` for paths that need no credentials.
    async fn enter(&self, request: &Parts, peer: Option<Peer>) -> Result<Option<CachedCaller>, ApiError> {
        self.check_origin(&request.method, &request.headers)?;
        if self.open.contains(request.uri.path()) {
            return Ok(None);
        }
        let peer = peer.ok_or_else(|| ApiError::new(Code::BadRequest, "The address of the client is unknown."))?;
        let catalog = self.state.catalog().await?;
        if request.method == Method::GET && self.signed.contains(request.uri.path()) {
            let grant = self.state.file_cache.grants.read(request.uri.query(), clock::now())?;
            let caller = self.state.auth.reader(&grant.user, &catalog)?;
            return Ok(Some(CachedCaller { caller, catalog }));
        }
        let caller = self.state.auth.caller(&request.headers, peer.0.ip(), &catalog, clock::now())?;
        self.rate.count(&caller.user, Instant::now())?;
        Ok(Some(CachedCaller { caller, catalog }))
    }
}

/// Passes a request on to its route, or refuses it, and logs it afterwards.
pub async fn pass(
    axum::extract::State(guard): axum::extract::State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let busy = guard.activity.as_ref().map(IdleTimer::begin);
    let asked = RequestLog {
        id: format!("{}-{}", guard.ids.salt, guard.ids.next.fetch_add(1, Ordering::Relaxed)),
        method: name_of(request.method()),
        path: request.uri().path().to_owned(),
        peer: request.extensions().get::<Peer>().copied(),
    };
    let (mut parts, body) = request.into_parts();
    // After a body without a declared length, the connection is closed: its bytes cannot be taken for another request.
    let is_last = parts.headers.contains_key(header::TRANSFER_ENCODING);
    let entered = guard.enter(&parts, asked.peer).await;
    let user = entered.as_ref().ok().and_then(|known| Some(known.as_ref()?.caller.user.clone()));
    let begun_serving = entered.and_then(|known| Ok((guard.begin(&parts, user.as_ref())?, known)));
    let mut response = match begun_serving {
        Ok((serving, known)) => {
            if let Some(known) = known {
                parts.extensions.insert(known);
            }
            let response = next.run(Request::from_parts(parts, body)).await;
            match serving {
                Some(serving) if !is_small(&response) => until_sent(response, serving),
                Some(_) | None => response,
            }
        }
        Err(e) => e.into_response(),
    };
    dress(response.headers_mut(), &asked.id);
    if is_last {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    log_request(&guard, &asked, user, &response, begun.elapsed());
    match busy {
        Some(busy) => until_sent(response, busy),
        None => response,
    }
}

/// Returns whether the server is done with a response as soon as it starts to send it.
fn is_small(response: &Response) -> bool {
    response.body().size_hint().exact().is_some_and(|size| size <= SMALL)
}

/// The parts of a request that the log needs.
struct RequestLog {
    id: String,
    method: &'static str,
    path: String,
    peer: Option<Peer>,
}

/// Counts a response, and writes it to the log.
fn log_request(guard: &Guard, asked: &RequestLog, user: Option<UserName>, response: &Response, took: Duration) {
    let status = response.status().as_u16();
    let route = response.extensions().get::<MatchedRoute>().map_or("none", |m| &m.0);
    guard.state.metrics.served(route, asked.method, status, took);
    // An operation that is not offered is not a failure.
    let failed = response.status().is_server_error() && response.status() != StatusCode::NOT_IMPLEMENTED;
    if !failed && !guard.log.requests {
        return;
    }
    let error = response.extensions().get::<ApiError>();
    let line = json!({
        "request": asked.id,
        "method": asked.method,
        "path": asked.path,
        "status": status,
        "ms": took.as_secs_f64() * 1000.0,
        "user": user,
        "peer": asked.peer.map(|p| p.0.ip().to_string()),
        "commit": response.extensions().get::<ResponseCommit>().map(|m| m.0),
        "code": error.map(|e| e.code.as_str()),
        "error": error.and_then(|e| e.internal.as_deref()),
    });
    if failed {
        guard.log.error(line);
    } else {
        guard.log.info(line);
    }
}

/// Adds the headers of every response.
fn dress(headers: &mut HeaderMap, id: &str) {
    let policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let always: [(HeaderName, &'static str); 7] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::VARY, "Authorization"),
    ];
    for (name, value) in always {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}

/// Returns a method as one of a few known words.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

/// Returns the one host that a request names, in lower case.
fn host_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut all = headers.get_all(header::HOST).iter();
    let first = all.next().map(|h| h.to_str().map(str::to_ascii_lowercase));
    match (first, all.next()) {
        (Some(Ok(host)), None) => Ok(Some(host)),
        (None, None) => Ok(None),
        (Some(_), _) | (None, Some(_)) => {
            Err(ApiError::new(Code::BadRequest, "The request does not name exactly one valid host."))
        }
    }
}

/// Returns a host without its port: `localhost`, `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        Some(_) | None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_without_its_port() {
        for (host, name) in [
            ("localhost:5050", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:5050", "[::1]"),
            ("[::1]", "[::1]"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("evil.example:80@localhost", "evil.example:80@localhost"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
