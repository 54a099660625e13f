//! The single writer thread. It takes the waiting changes and makes each change on top of the previous one. It judges
//! each change as a step of its own, and commits all of them together with one flush. It also follows commits of other
//! programs.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use super::auth::Caller;
use super::catalog::{Catalog, CatalogError};
use super::error::ApiError;
use super::log::Log;
use super::metrics::Metrics;
use super::served_location::ServedLocation;
use crate::action::Action;
use crate::clock;
use crate::event::Event;
use crate::git::{Durability, Ident, PublishError, PublishedCommits};
use crate::registry::{ChangeAuthor, LOCK_WAIT, Registry, RegistryError};
use crate::time::Timestamp;
use crate::tree::Oid;
use crate::watch::JudgedCommits;

/// The largest number of waiting changes.
pub const QUEUE: usize = 1024;

/// The largest number of changes that are committed together.
const BATCH: usize = 128;

/// How often a batch is made again because the branch moved.
const ATTEMPTS: usize = 20;

/// The result of a change, also if nothing had to be changed.
#[derive(Debug, Clone)]
pub struct ChangeResult {
    /// The commit. `None` if nothing changed.
    pub commit: Option<Oid>,
    /// The catalog right after it.
    pub catalog: Arc<Catalog>,
    /// The events of the change.
    pub events: Vec<Event>,
}

/// A job of the writer.
pub enum WriterJob {
    /// Make a change.
    Change {
        /// The caller.
        caller: Arc<Caller>,
        /// The actions, as one step.
        actions: Vec<Action>,
        /// The body of the commit message.
        comment: String,
        /// Receives the result.
        reply: oneshot::Sender<Result<ChangeResult, ApiError>>,
    },
    /// Return the newest catalog.
    Look(oneshot::Sender<Result<Arc<Catalog>, ApiError>>),
}

/// A waiting change.
struct QueuedChange {
    caller: Arc<Caller>,
    actions: Vec<Action>,
    comment: String,
    reply: oneshot::Sender<Result<ChangeResult, ApiError>>,
}

/// The writer.
pub struct Writer {
    registry: Registry,
    /// The server's own identity: the committer of changes for callers. `None` means that the caller commits.
    committer: Option<Ident>,
    catalog: Arc<Catalog>,
    listeners: WriterListeners,
}

/// The receivers of the writer's results.
pub struct WriterListeners {
    /// Publishes the newest catalog.
    pub publish: watch::Sender<Option<Arc<Catalog>>>,
    /// Counts commits.
    pub metrics: Arc<Metrics>,
    /// Tells the watcher in this process which commits need no second judgement.
    pub judged_commits: Arc<JudgedCommits>,
    /// The log.
    pub log: Log,
    /// Publishes the location of the registry.
    pub site: Arc<ServedLocation>,
}

impl Writer {
    /// Loads the registry into memory.
    ///
    /// # Errors
    ///
    /// [`CatalogError`] when the registry cannot be read.
    pub fn load(
        registry: Registry,
        committer: Option<Ident>,
        listeners: WriterListeners,
    ) -> Result<Self, CatalogError> {
        let catalog = Arc::new(Catalog::load(&registry)?);
        listeners.publish.send_replace(Some(Arc::clone(&catalog)));
        Ok(Self { registry, committer, catalog, listeners })
    }

    /// Works until all senders are gone and all waiting jobs are done.
    pub fn run(mut self, mut jobs: mpsc::Receiver<WriterJob>) {
        while let Some(first) = jobs.blocking_recv() {
            let (mut changes, mut looks) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    WriterJob::Change { caller, actions, comment, reply } => {
                        changes.push(QueuedChange { caller, actions, comment, reply });
                    }
                    WriterJob::Look(reply) => looks.push(reply),
                }
                next = if changes.len() < BATCH { jobs.try_recv().ok() } else { None };
            }
            if !changes.is_empty() {
                self.land(changes);
            }
            if !looks.is_empty() {
                let seen = self.follow().map_err(ApiError::from);
                for reply in looks {
                    let _ = reply.send(seen.clone().map(|()| Arc::clone(&self.catalog)));
                }
            }
        }
        // An index that is up to date makes the next start fast. If it cannot be stored, it is built then.
        let _ = super::index_refresh::bring_up(&self.registry);
    }

    /// Applies commits of other programs.
    fn follow(&mut self) -> Result<(), CatalogError> {
        let seen = self.catalog.commit();
        if self.registry.head()? == seen && seen.is_some() {
            return Ok(());
        }
        let place = seen.map(|seen| self.registry.new_place(seen)).transpose()?.flatten();
        if let Some(place) = place {
            self.listeners.log.info(json!({ "message": "the registry has moved, and the server uses its new location",
                "branch": place.branch, "folder": place.at }));
            let is_elsewhere = place.at != self.registry.at();
            self.registry.follow_to(&place);
            self.listeners.site.moved(&self.registry);
            if is_elsewhere {
                let loaded = Catalog::load(&self.registry)?;
                self.show(loaded);
                return Ok(());
            }
        }
        let caught_up = self.catalog.catch_up(&self.registry)?;
        self.show(caught_up);
        Ok(())
    }

    fn show(&mut self, catalog: Catalog) {
        self.catalog = Arc::new(catalog);
        self.listeners.publish.send_replace(Some(Arc::clone(&self.catalog)));
    }

    /// Makes the changes and sends each result.
    fn land(&mut self, changes: Vec<QueuedChange>) {
        // The replaced catalog is dropped after all results are sent.
        let mut published = None;
        let answers = match self.try_land(&changes, &mut published) {
            Ok(answers) => answers,
            Err(e) => vec![Err(e); changes.len()],
        };
        for (change, answer) in changes.into_iter().zip(answers) {
            // The client may have disconnected; the change stands.
            let _ = change.reply.send(answer);
        }
    }

    /// Makes the changes and returns the results in their order. An error applies to all of them: nothing was
    /// committed.
    fn try_land(
        &mut self,
        changes: &[QueuedChange],
        landed: &mut Option<PublishedCommits>,
    ) -> Result<Vec<Result<ChangeResult, ApiError>>, ApiError> {
        let mut lock = self.registry.repo().lock(LOCK_WAIT).map_err(RegistryError::from)?;
        for _ in 0..ATTEMPTS {
            let mut batch = self.registry.batch(&mut lock)?.for_authenticated();
            if batch.base() != self.catalog.commit() {
                drop(batch);
                self.follow()?;
                continue;
            }
            let mut next = Catalog::clone(&self.catalog);
            let mut anew = false;
            let mut answers: Vec<Result<PendingCommit, ApiError>> = Vec::with_capacity(changes.len());
            for change in changes {
                let now = clock::now();
                let change_author = self.change_author(&change.caller, now);
                let made = batch.len();
                let answer = batch.add(&change_author, &change.actions, now, &change.comment).map_err(ApiError::from);
                let changed = batch.len() > made;
                if changed && let Ok(outcome) = &answer {
                    anew |= !next.advance(&batch.snapshot()?, &outcome.diff, outcome.at)?;
                }
                answers.push(answer.map(|outcome| PendingCommit {
                    events: outcome.diff.events,
                    catalog: next.clone(),
                    changed,
                }));
            }
            if batch.is_empty() {
                return Ok(settle(answers, batch.base(), &[]));
            }
            let base = batch.base();
            // Vouched for before the branch moves: the watcher may see that at once, and judging costs what the writer
            // has paid already.
            match batch
                .publish_announced(Durability::Full, &mut |commits| self.listeners.judged_commits.judged(commits))
            {
                Ok(published) => {
                    let published = &*landed.insert(published);
                    if let Some(why) = &published.left_behind {
                        self.listeners.log.warn("the work tree could not be updated", why);
                    }
                    self.listeners.metrics.batch(published.commits.len());
                    let answers = settle(answers, base, &published.commits);
                    if anew {
                        let loaded = Catalog::load(&self.registry)?;
                        self.show(loaded);
                    } else if let Some(tip) = published.commits.last() {
                        self.show(next.at_commit(*tip));
                    }
                    return Ok(answers);
                }
                Err(PublishError::Moved { .. }) => {}
                Err(e) => return Err(RegistryError::from(e).into()),
            }
        }
        Err(RegistryError::Contended.into())
    }

    fn change_author(&self, caller: &Caller, now: Timestamp) -> ChangeAuthor {
        let author = caller.ident(now);
        let committer = match &self.committer {
            Some(ident) => Ident { time: now, ..ident.clone() },
            None => author.clone(),
        };
        ChangeAuthor { user: caller.user.clone(), author, committer }
    }
}

/// A change that is made but not committed yet.
struct PendingCommit {
    events: Vec<Event>,
    catalog: Catalog,
    changed: bool,
}

/// Gives each change its commit, and each catalog the commit that it is of.
fn settle(
    answers: Vec<Result<PendingCommit, ApiError>>,
    base: Option<Oid>,
    commits: &[Oid],
) -> Vec<Result<ChangeResult, ApiError>> {
    let (mut commits, mut newest) = (commits.iter().copied(), base);
    let mut settle = |pending: PendingCommit| {
        let commit = if pending.changed { commits.next() } else { None };
        newest = commit.or(newest);
        let catalog = match newest {
            Some(commit) => pending.catalog.at_commit(commit),
            None => pending.catalog,
        };
        ChangeResult { commit, catalog: Arc::new(catalog), events: pending.events }
    };
    answers.into_iter().map(|answer| answer.map(&mut settle)).collect()
}
