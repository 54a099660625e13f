//! The server: MLflow's and Databricks' registry APIs, on top of the same actions and rules as the command line.
//!
//! A request passes the [`http::guard`] (host check, cross-site check, authentication), then its row of the table in
//! [`api`]. A handler is short: it parses arguments, reads the [catalog](context::catalog) or makes an
//! [`Action`](crate::action::Action), and prints the result. Reads come from memory. Writes go through one thread,
//! which commits all waiting changes together and responds when they are on disk.

pub mod api;
pub mod context;
mod follow;
pub mod http;
mod server_file;
pub mod stop_signals;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::http::HeaderName;
use axum::http::header::AUTHORIZATION;
use tokio::sync::{mpsc, oneshot, watch};

use context::auth::{Auth, Caller, Proxy};
use context::catalog::{Catalog, CatalogError};
use context::file_cache::FileCache;
use context::idle::IdleTimer;
use context::import::{Imports, WorkerContext};
use context::log::Log;
use context::metrics::Metrics;
use context::reader_pool::ReaderPool;
use context::served_location::ServedLocation;
use context::state::{ServerParts, ServerState};
use context::tokens::{TokenError, Tokens};
use context::webhook_client::WebhookClient;
use context::writer::{self, Writer, WriterJob, WriterListeners};
use context::{file_cache, index_refresh};
use http::connections::{ConnectionLimits, Connections};
use http::guard::Guard;
use http::{dispatch, listen};
use server_file::Notice;

use crate::artifact::Guarded;
use crate::artifact::import::Sources;
use crate::artifact::{ArtifactLimits, Store};
use crate::deliver::webhook::{Outgoing, OutgoingError};
use crate::git::{GitError, Ident, Repo};
use crate::registry::{Registry, RegistryError};
use crate::search::TokenKey;
use crate::supervisor::{Failure, Supervisor};
use crate::watch::WatchError;

/// The configuration of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// A folder of the registry.
    pub dir: PathBuf,
    /// The address to listen on. Port 0 takes any free port.
    pub bind: SocketAddr,
    /// Whether a proxy in front of the server provides TLS.
    pub behind_proxy: bool,
    /// The header in which that proxy names the caller, and the proxy's addresses.
    pub proxy: Option<(String, Vec<IpAddr>)>,
    /// The header in which a service with a delegate token names the person that it acts for.
    pub person_header: Option<String>,
    /// Host names that the server accepts, in addition to the loopback addresses.
    pub hosts: Vec<String>,
    /// Whether callers need a token on a loopback address, too.
    pub require_token: bool,
    /// The largest number of requests per second of one caller. `None` means no limit.
    pub max_rate: Option<u32>,
    /// Whether each request is logged.
    pub log_requests: bool,
    /// Whether this process delivers events to webhooks and mail, too.
    pub watch: bool,
    /// The largest size of an uploaded or copied model, in bytes.
    pub max_upload: u64,
    /// The sources that models are copied from, and the tracking server that is queried.
    pub sources: Sources,
    /// The time without a request after which the server stops by itself.
    pub idle_exit: Option<Duration>,
    /// The caller without a token on a loopback address, who also commits, in `greenroom demo`. `None` means
    /// the local git user.
    pub local: Option<Ident>,
}

impl Config {
    /// Returns the default configuration for a folder and an address.
    pub fn new(dir: PathBuf, bind: SocketAddr) -> Self {
        Self {
            dir,
            bind,
            behind_proxy: false,
            proxy: None,
            person_header: None,
            hosts: Vec::new(),
            require_token: false,
            max_rate: None,
            log_requests: false,
            watch: false,
            max_upload: api::artifacts::MAX_UPLOAD,
            sources: Sources::default(),
            idle_exit: None,
            local: None,
        }
    }
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
    /// The registry cannot be loaded into memory.
    #[error(transparent)]
    Load(#[from] CatalogError),
    /// The tokens cannot be read.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The settings of webhooks cannot be read.
    #[error(transparent)]
    Webhooks(#[from] OutgoingError),
    /// The watcher cannot start.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The address is reachable from other machines, and the connection is not encrypted.
    #[error(
        "{bind} can be reached from other machines, and tokens would be sent unencrypted: put a proxy with TLS in \
         front of greenroom and give --behind-proxy, or bind to 127.0.0.1"
    )]
    InTheClear {
        /// The address.
        bind: SocketAddr,
    },
    /// No caller could authenticate.
    #[error(
        "callers need a token, and no token exists: create one with `greenroom token create --person ID`, or give the \
         header in which the proxy names the caller with --proxy-user-header"
    )]
    NoTokens,
    /// A header name is invalid.
    #[error("{0} is not a valid header name")]
    Header(String),
    /// One header would have two meanings.
    #[error("the header {0} already has another meaning; give another header with --person-header")]
    HeaderTwice(String),
    /// The server cannot listen on the address.
    #[error("cannot listen at {bind}")]
    Bind {
        /// The address.
        bind: SocketAddr,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// A thread panicked.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The operating system provides no threads, signals or random bytes.
    #[error("cannot start: {what}")]
    Start {
        /// What failed.
        what: String,
    },
}

fn start(what: impl std::fmt::Display) -> ServeError {
    ServeError::Start { what: what.to_string() }
}

/// Serves the registry until the process is told to stop. Returns whether all open requests could finish. `listening`
/// gets the address once connections are accepted.
///
/// # Errors
///
/// [`ServeError`] when the configuration is wrong, the registry cannot be opened, the address cannot be used, or a
/// thread panicked.
pub fn run(config: &Config, listening: impl FnOnce(SocketAddr)) -> Result<bool, ServeError> {
    supervised(config, &Arc::default(), listening)
}

/// Serves the registry with this supervisor. A panic in a supervised thread ends the server.
fn supervised(
    config: &Config,
    supervisor: &Arc<Supervisor>,
    listening: impl FnOnce(SocketAddr),
) -> Result<bool, ServeError> {
    let registry = open(config)?;
    let tokens = Tokens::of(&registry.state_dir());
    let auth = auth(config, &registry, tokens)?;
    let committer = committer(config, &registry);
    let (key, grants) = (random_key()?, random_key()?);
    let file_cache = FileCache::new(&registry.repo().lfs_dir(), config.max_upload, grants);
    let metrics = Arc::new(Metrics::default());
    let log = Log { requests: config.log_requests };

    let (jobs, queue) = mpsc::channel(writer::QUEUE);
    let (publish, catalog) = watch::channel(None);
    let (loaded, is_loaded) = oneshot::channel::<Result<(), ServeError>>();
    let site = Arc::new(ServedLocation::of(&registry));
    let judged_commits = Arc::default();
    let following =
        config.watch.then(|| follow::start(&registry, log, &metrics, &judged_commits, supervisor)).transpose()?;
    let readers = ReaderPool::start(&site, supervisor).map_err(start)?;
    let activity = Arc::new(IdleTimer::default());
    let imports = import_context(config, &registry, (&catalog, &jobs), &activity);
    let kept = Box::pin(index_refresh::keep(catalog.clone(), readers.clone()));
    let parts = ServerParts {
        catalog,
        site: Arc::clone(&site),
        jobs,
        readers,
        auth,
        webhooks: WebhookClient::new(Arc::new(Outgoing::of(&registry)?)),
        token_key: TokenKey::new(key),
        metrics: Arc::clone(&metrics),
        file_cache: Arc::new(file_cache),
        imports: Imports::start(&imports, supervisor).map_err(start)?,
    };
    let state_dir = registry.state_dir();
    drop(registry);
    let listeners = WriterListeners { publish, metrics: Arc::clone(&metrics), judged_commits, log, site };
    let writer = WriterSetup { committer, listeners }.begin(queue, loaded, supervisor)?;
    let mut guard =
        Guard::new(Arc::new(ServerState::new(parts)), hosts(config), config.behind_proxy, log, config.max_rate);
    guard.activity = config.idle_exit.map(|_| Arc::clone(&activity));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(start)?;
    let connections = Arc::new(connections(config, &metrics));
    let (bind, idle_exit) = (config.bind, config.idle_exit);
    let supervisor = Arc::clone(supervisor);
    let serving = BoundServer {
        bind,
        guard,
        connections,
        metrics,
        is_loaded,
        activity,
        idle_exit,
        state_dir,
        log,
        supervisor,
        kept,
    };
    let finished = runtime.block_on(serving.run(listening));
    // The runtime owns all senders of the writer's queue. So the writer ends after its waiting jobs.
    runtime.shutdown_background();
    if finished.as_ref().is_ok_and(|finished| *finished) {
        let _ = writer.join();
        follow::end(following);
    }
    finished
}

/// Returns the committer of the server's commits: the local user, or a name of its own where git has none.
fn committer(config: &Config, registry: &Registry) -> Ident {
    let committer = identity(config, registry).map(|(_, committer)| committer);
    committer.unwrap_or_else(|_| Ident::new("greenroom", "greenroom@localhost", crate::clock::now()))
}

/// Returns a key of random bytes from the operating system.
fn random_key() -> Result<[u8; 32], ServeError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(start)?;
    Ok(key)
}

/// Returns what the workers need that copy models into the registry.
fn import_context(
    config: &Config,
    registry: &Registry,
    (catalog, jobs): (&watch::Receiver<Option<Arc<Catalog>>>, &mpsc::Sender<WriterJob>),
    activity: &Arc<IdleTimer>,
) -> WorkerContext {
    WorkerContext {
        sources: Arc::new(config.sources.clone().guarding(Guarded::new(registry.own_folders()))),
        limits: ArtifactLimits { total: config.max_upload, ..ArtifactLimits::default() },
        store: Store::at(registry.repo().lfs_dir()),
        catalog: catalog.clone(),
        jobs: jobs.downgrade(),
        activity: Arc::clone(activity),
        log: Log { requests: config.log_requests },
    }
}

/// Returns the table of connections, in which connections of the proxies have no share of their own.
fn connections(config: &Config, metrics: &Arc<Metrics>) -> Connections {
    let proxies = config.proxy.as_ref().map(|(_, from)| from.clone()).unwrap_or_default();
    Connections::new(ConnectionLimits::of_system(), proxies, Arc::clone(metrics))
}

/// The parts that the writer's thread starts with.
struct WriterSetup {
    committer: Ident,
    listeners: WriterListeners,
}

impl WriterSetup {
    /// Starts the writer's thread, which loads the registry into memory, reports that, and writes.
    fn begin(
        self,
        queue: mpsc::Receiver<WriterJob>,
        loaded: oneshot::Sender<Result<(), ServeError>>,
        supervisor: &Arc<Supervisor>,
    ) -> Result<JoinHandle<Option<()>>, ServeError> {
        let Self { committer, listeners } = self;
        let work = move || {
            let opened = listeners.site.open().map_err(ServeError::from);
            match opened.and_then(|r| Ok(Writer::load(r, Some(committer), listeners)?)) {
                Ok(writer) => {
                    let _ = loaded.send(Ok(()));
                    writer.run(queue);
                }
                Err(e) => drop(loaded.send(Err(e))),
            }
        };
        supervisor.spawn("writer", work).map_err(start)
    }
}

/// Opens the registry. The demo stays in its own folder, whatever GIT_DIR says.
fn open(config: &Config) -> Result<Registry, RegistryError> {
    match config.local {
        Some(_) => Registry::with(Repo::open(&config.dir)?, ""),
        None => Registry::discover(&config.dir),
    }
}

/// Returns the author and the committer of changes for the local user.
fn identity(config: &Config, registry: &Registry) -> Result<(Ident, Ident), GitError> {
    match &config.local {
        Some(ident) => Ok((ident.clone(), ident.clone())),
        None => registry.repo().identity(),
    }
}

/// Returns how callers authenticate, after a check that this is safe on the address.
fn auth(config: &Config, registry: &Registry, tokens: Tokens) -> Result<Auth, ServeError> {
    let is_loopback = config.bind.ip().is_loopback();
    if !is_loopback && !config.behind_proxy {
        return Err(ServeError::InTheClear { bind: config.bind });
    }
    let header = |name: &String| -> Result<HeaderName, ServeError> {
        name.parse().map_err(|_| ServeError::Header(crate::text::quoted(name)))
    };
    let proxy = match &config.proxy {
        Some((name, from)) => Some(Proxy { header: header(name)?, from: from.clone() }),
        None => None,
    };
    let person_header = config.person_header.as_ref().map(header).transpose()?;
    let is_taken = |name: &HeaderName| *name == AUTHORIZATION || proxy.as_ref().is_some_and(|p| p.header == *name);
    if let Some(name) = person_header.as_ref().filter(|name| is_taken(name)) {
        return Err(ServeError::HeaderTwice(name.to_string()));
    }
    if is_loopback && !config.behind_proxy && !config.require_token {
        let (author, _) = identity(config, registry)?;
        let user = registry.person_of(&registry.snapshot()?, &author)?;
        let local = Caller { user, name: author.name, email: author.email, read_only: false, delegated: false };
        return Ok(Auth::new(tokens, Some(local), proxy).with_person_header(person_header));
    }
    if proxy.is_none() && tokens.list()?.is_empty() {
        return Err(ServeError::NoTokens);
    }
    Ok(Auth::new(tokens, None, proxy).with_person_header(person_header))
}

/// Returns the accepted hosts. On a loopback address these are the names of the machine itself, so that no web page can
/// reach the registry under a name of its own. Behind a proxy these are the configured names, or all if there are none.
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

/// A server that is ready to listen.
struct BoundServer {
    bind: SocketAddr,
    guard: Guard,
    connections: Arc<Connections>,
    metrics: Arc<Metrics>,
    is_loaded: oneshot::Receiver<Result<(), ServeError>>,
    activity: Arc<IdleTimer>,
    idle_exit: Option<Duration>,
    state_dir: PathBuf,
    log: Log,
    supervisor: Arc<Supervisor>,
    kept: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl BoundServer {
    /// Listens until the process is told to stop, or is idle for too long. Returns false if open requests took too long
    /// or a second signal came.
    async fn run(self, listening: impl FnOnce(SocketAddr)) -> Result<bool, ServeError> {
        let Self {
            bind,
            guard,
            connections,
            metrics,
            is_loaded,
            activity,
            idle_exit,
            state_dir,
            log,
            supervisor,
            kept,
        } = self;
        let cannot = |source| ServeError::Bind { bind, source };
        let listener = tokio::net::TcpListener::bind(bind).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let mut signals = Signals::new().map_err(start)?;
        let (stop, stopping) = watch::channel(false);
        let state = Arc::clone(&guard.state);
        let router = dispatch::router(guard, api::table());
        let (fail, mut failing) = watch::channel(false);
        supervisor.on_failure(move || {
            let _ = fail.send(true);
        });
        let mut serving =
            watched(&supervisor, "requests", listen::serve(listener, router, connections, metrics, stopping));
        // Other programs of this machine may use the server. A server behind a proxy is not for them.
        let notice = if address.ip().is_loopback() { put_up(&state_dir, address, log) } else { None };
        listening(address);
        watched(&supervisor, "tidy", file_cache::keep_tidy(Arc::clone(&state.file_cache)));
        watched(&supervisor, "index", kept);
        {
            let told = async {
                tokio::select! {
                    () = signals.next() => {}
                    () = activity.over(idle_exit) => {}
                    _ = failing.wait_for(|failed| *failed) => {}
                }
            };
            tokio::pin!(told);
            tokio::select! {
                loaded = is_loaded => match loaded {
                    Ok(Err(e)) => return Err(e),
                    Ok(Ok(())) | Err(_) => {
                        state.resume().await;
                        told.await;
                    }
                },
                () = told.as_mut() => {}
            }
        }
        // A program that needs a server from now on starts another one.
        drop(notice);
        let _ = stop.send(true);
        state.ending.send_replace(true);
        drop(state);
        if let Some(failure) = supervisor.failure() {
            // Waiting requests cannot be answered: the rest of the server waits for the failed thread.
            return Err(failure.into());
        }
        Ok(tokio::select! {
            ended = &mut serving => ended.is_ok(),
            () = tokio::time::sleep(listen::DRAIN) => false,
            () = signals.next() => false,
        })
    }
}

/// Runs a task whose panic ends the server.
fn watched(
    supervisor: &Arc<Supervisor>,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let supervisor = Arc::clone(supervisor);
    tokio::spawn(async move {
        let ended = tokio::spawn(task).await;
        if let Err(panic) = ended.or_else(|e| e.try_into_panic().map_or(Ok(()), Err)) {
            supervisor.failed(name, &*panic);
        }
    })
}

/// Writes the server file into the repository. If that fails, the server runs without it.
fn put_up(state_dir: &std::path::Path, address: SocketAddr, log: Log) -> Option<Notice> {
    Notice::put_up(state_dir, &format!("http://{address}")).unwrap_or_else(|e| {
        log.warn("other programs cannot find this server, because its server file could not be written", &e);
        None
    })
}

/// The signals that stop the process.
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
