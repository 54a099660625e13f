//! What the server holds while it runs: the registry in memory, the writer, the readers, who may call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::artifacts::Shelf;
use super::auth::{Auth, Caller};
use super::catalog::Catalog;
use super::desk::Desks;
use super::error::{ApiError, Code};
use super::import::Imports;
use super::metrics::Metrics;
use super::places::{Newest, Places};
use super::repeat::Repeats;
use super::share::Shares;
use super::site::Site;
use super::webhooks::Hooks;
use super::writer::Job;
use crate::action::Action;
use crate::event::Event;
use crate::index::Index;
use crate::registry::Registry;
use crate::search::TokenKey;
use crate::tree::Oid;

/// How long the state of a listing is kept for its next page.
const KEEP: Duration = Duration::from_secs(600);

/// How often those who wait look whether others landed something.
const LOOK: Duration = Duration::from_millis(250);

/// How many answers may go on without an end at a time.
const STREAMS: usize = 256;

/// How many such states are kept.
const MAX_KEPT: usize = 64;

/// A change that landed, or that there was no need for.
#[derive(Debug, Clone)]
pub struct Landed {
    /// The commit; none where nothing changed.
    pub commit: Option<Oid>,
    /// The registry right after it.
    pub catalog: Arc<Catalog>,
    /// What happened.
    pub events: Vec<Event>,
}

/// What the server holds.
pub struct State {
    catalog: watch::Receiver<Option<Arc<Catalog>>>,
    site: Arc<Site>,
    jobs: mpsc::Sender<Job>,
    desks: Desks,
    kept: Mutex<VecDeque<(Instant, Arc<Catalog>)>>,
    /// Who may call.
    pub auth: Auth,
    /// Who sends to webhooks.
    pub hooks: Hooks,
    /// The key of page tokens.
    pub token_key: TokenKey,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The answers that nobody was there to hear.
    pub repeats: Arc<Repeats>,
    /// Where open requests and comments are.
    places: Arc<Newest>,
    /// How many answers may go on without an end at a time.
    pub streams: Shares,
    /// Whether the server is about to stop; answers without an end then end.
    pub ending: watch::Sender<bool>,
    /// The files of models, and those that are sent.
    pub shelf: Arc<Shelf>,
    /// What is copied in the background.
    pub imports: Imports,
}

/// What a [`State`] is made of.
pub struct Parts {
    /// The newest state, from the writer; none until it is loaded.
    pub catalog: watch::Receiver<Option<Arc<Catalog>>>,
    /// Where the registry is.
    pub site: Arc<Site>,
    /// To the writer.
    pub jobs: mpsc::Sender<Job>,
    /// Who reads what is not in memory.
    pub desks: Desks,
    /// Who may call.
    pub auth: Auth,
    /// Who sends to webhooks.
    pub hooks: Hooks,
    /// The key of page tokens.
    pub token_key: TokenKey,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The files of models, and those that are sent.
    pub shelf: Arc<Shelf>,
    /// What is copied in the background.
    pub imports: Imports,
}

impl State {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Parts { catalog, site, jobs, desks, auth, hooks, token_key, metrics, shelf, imports } = parts;
        Self {
            catalog,
            site,
            jobs,
            desks,
            kept: Mutex::default(),
            auth,
            hooks,
            token_key,
            metrics,
            repeats: Arc::default(),
            places: Arc::default(),
            streams: Shares::new(STREAMS),
            ending: watch::Sender::new(false),
            shelf,
            imports,
        }
    }

    /// The registry now: never older than what anybody was told before, here or by git.
    pub async fn catalog(&self) -> Result<Arc<Catalog>, ApiError> {
        let known = self.catalog.borrow().clone();
        match known {
            Some(known) if known.commit().is_some() && self.site.look() == known.commit() => Ok(known),
            // Somebody moved the branch, or git keeps it elsewhere: the writer, who follows it, knows.
            Some(_) | None => {
                let (send, receive) = oneshot::channel();
                self.jobs.send(Job::Look(send)).await.map_err(|_| ApiError::stopping())?;
                receive.await.map_err(|_| ApiError::stopping())?
            }
        }
    }

    /// The registry once it is another than that of a commit, or what it is when the time is up or the server stops.
    pub async fn newer(&self, than: Option<Oid>, until: tokio::time::Instant) -> Result<Arc<Catalog>, ApiError> {
        let (mut seen, mut ending) = (self.catalog.clone(), self.ending.subscribe());
        loop {
            let now = self.catalog().await?;
            let is_over = tokio::time::Instant::now() >= until || *ending.borrow();
            if is_over || now.commit() != than {
                return Ok(now);
            }
            // What others land in the repository wakes nobody; it is looked for.
            tokio::select! {
                _ = seen.changed() => {}
                _ = ending.wait_for(|e| *e) => {}
                () = tokio::time::sleep_until(until.min(tokio::time::Instant::now() + LOOK)) => {}
            }
        }
    }

    /// Makes a change and answers when it is durable. It is made even if nobody waits for the answer any more.
    pub async fn write(&self, caller: Arc<Caller>, actions: Vec<Action>, comment: String) -> Result<Landed, ApiError> {
        if caller.delegated && !actions.iter().all(Action::may_be_delegated) {
            return Err(ApiError::denied(
                "A service cannot do this in your name: it needs a token of your own, or the command line.",
            ));
        }
        let (reply, receive) = oneshot::channel();
        self.jobs.try_send(Job::Change { caller, actions, comment, reply }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                ApiError::new(Code::RequestLimitExceeded, "Too many changes wait to be made; try again in a moment.")
            }
            mpsc::error::TrySendError::Closed(_) => ApiError::stopping(),
        })?;
        receive.await.map_err(|_| ApiError::stopping())?
    }

    /// Reads what is not in memory, on a thread that has the repository open. Refused where too many wait.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.desks.run(read).await
    }

    /// The same, however many wait.
    pub async fn read_in_turn<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Registry) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.desks.wait(read).await
    }

    /// What is to be read with the help of where things are, as of the newest commit, and of the index of the same.
    pub fn with_places<T, F>(&self, look: F) -> impl FnOnce(&Registry) -> Result<T, ApiError> + use<T, F>
    where
        F: FnOnce(&Registry, &mut Index<'_>, &Places) -> Result<T, ApiError>,
    {
        let places = Arc::clone(&self.places);
        move |registry| {
            let (mut index, places) = places.open(registry)?;
            look(registry, &mut index, &places)
        }
    }

    /// Takes up the copies that an earlier server did not finish.
    pub async fn resume(&self) {
        // Without a catalog every request is answered with why, and this can wait for the next start.
        if let Ok(catalog) = self.catalog().await {
            self.imports.resume(&catalog);
        }
    }

    /// Keeps the state that a listing began with, for its next pages.
    pub fn keep(&self, catalog: &Arc<Catalog>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(since, c)| since.elapsed() < KEEP && c.commit() != catalog.commit());
        kept.truncate(MAX_KEPT - 1);
        kept.push_front((Instant::now(), Arc::clone(catalog)));
    }

    /// The state of a commit, if it is kept or the newest.
    pub fn kept(&self, commit: &str, newest: &Arc<Catalog>) -> Option<Arc<Catalog>> {
        let is = |c: &Catalog| c.commit().is_some_and(|id| id.to_string() == commit);
        if is(newest) {
            return Some(Arc::clone(newest));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(_, c)| is(c)).map(|(_, c)| Arc::clone(c))
    }
}
