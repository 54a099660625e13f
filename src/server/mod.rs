//! The server: MLflow's and Databricks' registry APIs over the same actions and the same rules as the command line.
//!
//! A request goes through the [`guard`] (host, origin, who calls), then to its row of the table in [`route`]. A handler is
//! thin: it reads arguments, asks the [`catalog`] or makes an [`Action`](crate::action::Action), and prints. Reads are
//! answered from memory; writes go through one thread, which lands those that wait together and answers when they are
//! durable.

pub mod args;
pub mod auth;
pub mod call;
pub mod catalog;
mod desk;
mod dispatch;
pub mod error;
pub mod guard;
mod listen;
pub mod log;
pub mod metrics;
pub mod mlflow;
mod probe;
pub mod repeat;
pub mod route;
pub mod state;
pub mod tokens;
pub mod webhooks;
mod writer;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};

use auth::{Auth, Caller, Proxy};
use catalog::LoadError;
use guard::Guard;
use log::Log;
use metrics::Metrics;
use state::{Parts, State};
use tokens::{TokenError, Tokens};
use webhooks::Hooks;
use writer::Writer;

use crate::deliver::webhook::{Outgoing, OutgoingError};
use crate::git::{GitError, Ident};
use crate::registry::{Registry, RegistryError};
use crate::search::TokenKey;

/// How to serve.
#[derive(Debug, Clone)]
pub struct Config {
    /// A folder of the registry.
    pub dir: PathBuf,
    /// Where to listen; port 0 takes any that is free.
    pub bind: SocketAddr,
    /// A proxy in front takes care of TLS.
    pub behind_proxy: bool,
    /// The header in which that proxy says who calls, and the addresses that it calls from.
    pub proxy: Option<(String, Vec<IpAddr>)>,
    /// Host names that the server answers for, besides those of the loopback addresses.
    pub hosts: Vec<String>,
    /// On a loopback address, too, callers need a token.
    pub require_token: bool,
    /// Whether each request has a line in the log.
    pub log_requests: bool,
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The registry cannot be opened.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The registry cannot be read into memory.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The settings of webhooks cannot be read.
    #[error(transparent)]
    Webhooks(#[from] OutgoingError),
    /// The address can be reached from other machines, and nothing protects what is sent.
    #[error(
        "{bind} can be reached from other machines, where tokens would travel in the clear: put a proxy with TLS in \
         front of greenroom and say --behind-proxy, or bind to 127.0.0.1"
    )]
    InTheClear {
        /// The address.
        bind: SocketAddr,
    },
    /// Nobody could call.
    #[error(
        "callers need a token here, and there is none: make one with `greenroom token create --person ID`, or name the \
         header in which the proxy says who calls with --proxy-user-header"
    )]
    NoTokens,
    /// The name of a header is none.
    #[error("{0} is no name of a header")]
    Header(String),
    /// The address cannot be listened at.
    #[error("cannot listen at {bind}")]
    Bind {
        /// The address.
        bind: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The system gives no threads, signals or random bytes.
    #[error("cannot start: {what}")]
    Start {
        /// What failed.
        what: String,
    },
}

fn start(what: impl std::fmt::Display) -> ServeError {
    ServeError::Start { what: what.to_string() }
}

/// Serves the registry until the process is told to stop, and gives whether all open requests could finish. `listening`
/// hears the address once connections are accepted.
pub fn run(config: &Config, listening: impl FnOnce(SocketAddr)) -> Result<bool, ServeError> {
    let registry = Registry::discover(&config.dir)?;
    let tokens = Tokens::of(&registry.state_dir());
    let auth = auth(config, &registry, tokens)?;
    let committer = registry.repo().identity().map(|(_, committer)| committer);
    let committer = committer.unwrap_or_else(|_| Ident::new("greenroom", "greenroom@localhost", writer::clock()));
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(start)?;
    let metrics = Arc::new(Metrics::default());
    let log = Log { requests: config.log_requests };

    let (jobs, queue) = mpsc::channel(writer::QUEUE);
    let (publish, catalog) = watch::channel(None);
    let (loaded, is_loaded) = oneshot::channel::<Result<(), ServeError>>();
    let (git_dir, at) = (registry.repo().git_dir().to_owned(), registry.at().to_owned());
    let desks = desk::Desks::start(&git_dir, &at).map_err(start)?;
    let parts = Parts {
        catalog,
        tip: registry.repo().tip(registry.branch()),
        jobs,
        desks,
        auth,
        hooks: Hooks::new(Arc::new(Outgoing::of(&registry)?)),
        token_key: TokenKey::new(key),
        metrics: Arc::clone(&metrics),
    };
    drop(registry);
    let counted = Arc::clone(&metrics);
    let writer = thread::Builder::new().name("writer".to_owned()).spawn(move || {
        let opened = writer::open(&git_dir, &at).map_err(ServeError::from);
        let writer = opened.and_then(|r| Ok(Writer::load(r, Some(committer), publish, counted, log)?));
        match writer {
            Ok(writer) => {
                let _ = loaded.send(Ok(()));
                writer.run(queue);
            }
            Err(e) => drop(loaded.send(Err(e))),
        }
    });
    let writer = writer.map_err(start)?;
    let guard = Guard::new(Arc::new(State::new(parts)), hosts(config), config.behind_proxy, log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(start)?;
    let finished = runtime.block_on(serve(config.bind, guard, metrics, is_loaded, listening));
    // With the runtime go all who could still ask, and the writer ends when what waits is done.
    runtime.shutdown_background();
    if finished.as_ref().is_ok_and(|finished| *finished) {
        let _ = writer.join();
    }
    finished
}

/// How callers are known, and whether the address is one that may be served so.
fn auth(config: &Config, registry: &Registry, tokens: Tokens) -> Result<Auth, ServeError> {
    let is_loopback = config.bind.ip().is_loopback();
    if !is_loopback && !config.behind_proxy {
        return Err(ServeError::InTheClear { bind: config.bind });
    }
    let proxy = match &config.proxy {
        Some((name, from)) => {
            let header = name.parse().map_err(|_| ServeError::Header(crate::text::quoted(name)))?;
            Some(Proxy { header, from: from.clone() })
        }
        None => None,
    };
    if is_loopback && !config.behind_proxy && !config.require_token {
        let (author, _) = registry.repo().identity()?;
        let user = registry.person_of(&registry.snapshot()?, &author)?;
        let local = Caller { user, name: author.name, email: author.email, read_only: false };
        return Ok(Auth::new(tokens, Some(local), proxy));
    }
    if proxy.is_none() && tokens.list()?.is_empty() {
        return Err(ServeError::NoTokens);
    }
    Ok(Auth::new(tokens, None, proxy))
}

/// The hosts that are answered for: on a loopback address those of the machine itself, so that no page can reach the
/// registry under a name of its own; behind a proxy those that were named, if any were.
fn hosts(config: &Config) -> Option<HashSet<String>> {
    let named = config.hosts.iter().map(|h| h.to_ascii_lowercase());
    if !config.bind.ip().is_loopback() && config.hosts.is_empty() {
        return None;
    }
    let loopback = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
    let own = match config.bind.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Some(loopback.into_iter().chain([own]).chain(named).collect())
}

/// Listens until the process is told to stop; false if open requests took too long or it was told twice.
async fn serve(
    bind: SocketAddr,
    guard: Guard,
    metrics: Arc<Metrics>,
    is_loaded: oneshot::Receiver<Result<(), ServeError>>,
    listening: impl FnOnce(SocketAddr),
) -> Result<bool, ServeError> {
    let cannot = |source| ServeError::Bind { bind, source };
    let listener = tokio::net::TcpListener::bind(bind).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let mut signals = Signals::new().map_err(start)?;
    let (stop, stopping) = watch::channel(false);
    let router = dispatch::router(guard, route::table());
    let mut serving = tokio::spawn(listen::serve(listener, router, metrics, stopping));
    listening(address);
    tokio::select! {
        loaded = is_loaded => match loaded {
            Ok(Err(e)) => return Err(e),
            Ok(Ok(())) | Err(_) => signals.next().await,
        },
        () = signals.next() => {}
    }
    let _ = stop.send(true);
    Ok(tokio::select! {
        ended = &mut serving => ended.is_ok(),
        () = tokio::time::sleep(listen::DRAIN) => false,
        () = signals.next() => false,
    })
}

/// The signals that say stop.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
