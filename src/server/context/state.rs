//! The state of the running server: the catalog, the writer, the reader pool, authentication.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::auth::{Auth, Caller};
use super::caller_slots::CallerSlots;
use super::catalog::Catalog;
use super::error::{ApiError, Code};
use super::file_cache::FileCache;
use super::id_lookup::{IdLookup, NewestLookup};
use super::idempotency::Repeats;
use super::import::Imports;
use super::metrics::Metrics;
use super::reader_pool::ReaderPool;
use super::served_location::ServedLocation;
use super::webhook_client::WebhookClient;
use super::writer::{ChangeResult, WriterJob};
use crate::action::Action;
use crate::index::Index;
use crate::registry::Registry;
use crate::search::TokenKey;
use crate::tree::Oid;

/// How long the catalog of a list is kept for its next page.
const KEEP: Duration = Duration::from_secs(600);

/// The interval at which waiting requests check for commits of other programs.
const LOOK: Duration = Duration::from_millis(250);

/// The largest number of streams and waiting requests at the same time.
const STREAMS: usize = 256;

/// The largest number of kept catalogs.
const MAX_KEPT: usize = 64;

/// The state of the server.
pub struct ServerState {
    catalog: watch::Receiver<Option<Arc<Catalog>>>,
    site: Arc<ServedLocation>,
    jobs: mpsc::Sender<WriterJob>,
    readers: ReaderPool,
    kept: Mutex<VecDeque<(Instant, Arc<Catalog>)>>,
    /// Authenticates callers.
    pub auth: Auth,
    /// Sends test deliveries to webhooks.
    pub webhooks: WebhookClient,
    /// The key of page tokens.
    pub token_key: TokenKey,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The responses that could not be delivered.
    pub repeats: Arc<Repeats>,
    /// The locations of open requests and comments.
    places: Arc<NewestLookup>,
    /// The slots for streams and waiting requests.
    pub streams: CallerSlots,
    /// Whether the server is stopping; streams end then.
    pub ending: watch::Sender<bool>,
    /// Model files and uploads.
    pub file_cache: Arc<FileCache>,
    /// The copies in the background.
    pub imports: Imports,
}

/// The parts of a [`ServerState`].
pub struct ServerParts {
    /// The newest catalog, from the writer. `None` until it is loaded.
    pub catalog: watch::Receiver<Option<Arc<Catalog>>>,
    /// The location of the registry.
    pub site: Arc<ServedLocation>,
    /// The writer's queue.
    pub jobs: mpsc::Sender<WriterJob>,
    /// The reader pool.
    pub readers: ReaderPool,
    /// Authenticates callers.
    pub auth: Auth,
    /// Sends test deliveries to webhooks.
    pub webhooks: WebhookClient,
    /// The key of page tokens.
    pub token_key: TokenKey,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Model files and uploads.
    pub file_cache: Arc<FileCache>,
    /// The copies in the background.
    pub imports: Imports,
}

impl ServerState {
    /// Builds the state from its parts.
    pub fn new(parts: ServerParts) -> Self {
        let ServerParts { catalog, site, jobs, readers, auth, webhooks, token_key, metrics, file_cache, imports } =
            parts;
        Self {
            catalog,
            site,
            jobs,
            readers,
            kept: Mutex::default(),
            auth,
            webhooks,
            token_key,
            metrics,
            repeats: Arc::default(),
            places: Arc::default(),
            streams: CallerSlots::new(STREAMS),
            ending: watch::Sender::new(false),
            file_cache,
            imports,
        }
    }

    /// Returns the current catalog. It is never older than any state that a client has seen, here or through git.
    ///
    /// # Errors
    ///
    /// `TEMPORARILY_UNAVAILABLE` when the server is stopping, and an internal error when the registry cannot be read.
    pub async fn catalog(&self) -> Result<Arc<Catalog>, ApiError> {
        let known = self.catalog.borrow().clone();
        match known {
            Some(known) if known.commit().is_some() && self.site.look() == known.commit() => Ok(known),
            // Another program moved the branch, or git stores it elsewhere. The writer follows the branch, so it knows.
            Some(_) | None => {
                let (send, receive) = oneshot::channel();
                self.jobs.send(WriterJob::Look(send)).await.map_err(|_| ApiError::stopping())?;
                receive.await.map_err(|_| ApiError::stopping())?
            }
        }
    }

    /// Waits for a catalog of another commit than `than`. Returns the current one when the time is up or the server
    /// stops.
    ///
    /// # Errors
    ///
    /// As [`Self::catalog`].
    pub async fn newer(&self, than: Option<Oid>, until: tokio::time::Instant) -> Result<Arc<Catalog>, ApiError> {
        let (mut seen, mut ending) = (self.catalog.clone(), self.ending.subscribe());
        loop {
            let now = self.catalog().await?;
            let is_over = tokio::time::Instant::now() >= until || *ending.borrow();
            if is_over || now.commit() != than {
                return Ok(now);
            }
            // Commits of other programs trigger no signal, so the branch is checked.
            tokio::select! {
                _ = seen.changed() => {}
                _ = ending.wait_for(|e| *e) => {}
                () = tokio::time::sleep_until(until.min(tokio::time::Instant::now() + LOOK)) => {}
            }
        }
    }

    /// Makes a change and returns when it is on disk. The change is made even if the client disconnects.
    ///
    /// # Errors
    ///
    /// - `PERMISSION_DENIED` when a service may not do this in a person's name.
    /// - `REQUEST_LIMIT_EXCEEDED` when too many changes wait.
    /// - `TEMPORARILY_UNAVAILABLE` when the server is stopping.
    /// - The reason when the change is refused.
    pub async fn write(
        &self,
        caller: Arc<Caller>,
        actions: Vec<Action>,
        comment: String,
    ) -> Result<ChangeResult, ApiError> {
        if caller.delegated && !actions.iter().all(Action::may_be_delegated) {
            return Err(ApiError::denied(
                "A service cannot do this in your name: use a token of your own, or the command line.",
            ));
        }
        let (reply, receive) = oneshot::channel();
        self.jobs.try_send(WriterJob::Change { caller, actions, comment, reply }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                ApiError::new(Code::RequestLimitExceeded, "Too many changes are waiting; try again in a moment.")
            }
            mpsc::error::TrySendError::Closed(_) => ApiError::stopping(),
        })?;
        receive.await.map_err(|_| ApiError::stopping())?
    }

    /// Reads data that is not in memory, on a thread that has the repository open.
    ///
    /// # Errors
    ///
    /// `REQUEST_LIMIT_EXCEEDED` when too many reads wait, and the error of `read`.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.readers.run(read).await
    }

    /// Reads as [`Self::read`], but waits for a reader, however many wait.
    ///
    /// # Errors
    ///
    /// The error of `read`.
    pub async fn read_in_turn<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.readers.wait(read).await
    }

    /// Returns a read that uses the locations and the index, both of the newest commit.
    pub fn with_places<T, F>(&self, look: F) -> impl FnOnce(&Registry) -> Result<T, ApiError> + use<T, F>
    where
        F: FnOnce(&Registry, &mut Index<'_>, &IdLookup) -> Result<T, ApiError>,
    {
        let places = Arc::clone(&self.places);
        move |registry| {
            let (mut index, places) = places.open(registry)?;
            look(registry, &mut index, &places)
        }
    }

    /// Queues the copies that an earlier server did not finish.
    pub async fn resume(&self) {
        // Without a catalog, every request gets the error, and the copies can wait for the next start.
        if let Ok(catalog) = self.catalog().await {
            self.imports.resume(&catalog);
        }
    }

    /// Keeps the catalog of a list for its next pages.
    pub fn keep(&self, catalog: &Arc<Catalog>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(since, c)| since.elapsed() < KEEP && c.commit() != catalog.commit());
        kept.truncate(MAX_KEPT - 1);
        kept.push_front((Instant::now(), Arc::clone(catalog)));
    }

    /// Returns the catalog of a commit, if it is kept or the newest.
    pub fn kept(&self, commit: &str, newest: &Arc<Catalog>) -> Option<Arc<Catalog>> {
        let is = |c: &Catalog| c.commit().is_some_and(|id| id.to_string() == commit);
        if is(newest) {
            return Some(Arc::clone(newest));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(_, c)| is(c)).map(|(_, c)| Arc::clone(c))
    }
}
