//! The one thread that writes. It takes what waits, makes each change on the result of the one before, judges each as a
//! step of its own, and lands them together with one flush. It also follows what others land.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use super::auth::Caller;
use super::catalog::{Catalog, LoadError};
use super::error::ApiError;
use super::log::Log;
use super::metrics::Metrics;
use super::site::Site;
use super::state::Landed;
use crate::action::Action;
use crate::event::Event;
use crate::git::{Durability, Ident, PublishError, Published};
use crate::registry::{Asker, LOCK_WAIT, Registry, RegistryError};
use crate::time::Timestamp;
use crate::tree::Oid;
use crate::watch::Vouched;

/// How many changes may wait.
pub const QUEUE: usize = 1024;

/// How many changes land together.
const BATCH: usize = 128;

/// How often a batch is made anew because the head moved.
const ATTEMPTS: usize = 20;

/// Something for the writer.
pub enum Job {
    /// Make a change.
    Change {
        /// For whom.
        caller: Arc<Caller>,
        /// What, as one step.
        actions: Vec<Action>,
        /// What to say in the commit's body.
        comment: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Landed, ApiError>>,
    },
    /// Give the newest state.
    Look(oneshot::Sender<Result<Arc<Catalog>, ApiError>>),
}

/// A change that waits.
struct Change {
    caller: Arc<Caller>,
    actions: Vec<Action>,
    comment: String,
    reply: oneshot::Sender<Result<Landed, ApiError>>,
}

/// The writer.
pub struct Writer {
    registry: Registry,
    /// The server's own identity: the committer of what it makes for others; none: who calls commits.
    committer: Option<Ident>,
    catalog: Arc<Catalog>,
    voices: Voices,
}

/// Who hears of what the writer does.
pub struct Voices {
    /// Who reads the newest state.
    pub publish: watch::Sender<Option<Arc<Catalog>>>,
    /// Who counts.
    pub metrics: Arc<Metrics>,
    /// The watcher in this process, which need not judge again.
    pub vouched: Arc<Vouched>,
    /// Who reads the log.
    pub log: Log,
    /// Who asks where the registry is.
    pub site: Arc<Site>,
}

/// The system's clock.
pub fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Writer {
    /// Reads the registry into memory.
    pub fn load(registry: Registry, committer: Option<Ident>, voices: Voices) -> Result<Self, LoadError> {
        let catalog = Arc::new(Catalog::load(&registry)?);
        voices.publish.send_replace(Some(Arc::clone(&catalog)));
        Ok(Self { registry, committer, catalog, voices })
    }

    /// Works until nobody can ask any more and all that waited is done.
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let (mut changes, mut looks) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Change { caller, actions, comment, reply } => {
                        changes.push(Change { caller, actions, comment, reply });
                    }
                    Job::Look(reply) => looks.push(reply),
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
        // The next start is quick if the index lacks nothing; if it cannot be stored, it is built then.
        let _ = super::keep::bring_up(&self.registry);
    }

    /// Takes in what others landed.
    fn follow(&mut self) -> Result<(), LoadError> {
        let seen = self.catalog.commit();
        if self.registry.head()? == seen && seen.is_some() {
            return Ok(());
        }
        let place = seen.map(|seen| self.registry.new_place(seen)).transpose()?.flatten();
        if let Some(place) = place {
            self.voices.log.info(json!({ "message": "the registry is at another place now, and is followed there",
                "branch": place.branch, "folder": place.at }));
            let is_elsewhere = place.at != self.registry.at();
            self.registry.follow_to(&place);
            self.voices.site.moved(&self.registry);
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
        self.voices.publish.send_replace(Some(Arc::clone(&self.catalog)));
    }

    /// Makes the changes and answers each.
    fn land(&mut self, changes: Vec<Change>) {
        // What was replaced is let go when all are answered.
        let mut published = None;
        let answers = match self.try_land(&changes, &mut published) {
            Ok(answers) => answers,
            Err(e) => vec![Err(e); changes.len()],
        };
        for (change, answer) in changes.into_iter().zip(answers) {
            // Who asked may be gone; the change stands.
            let _ = change.reply.send(answer);
        }
    }

    /// Makes the changes; the answers are in their order. An error is for all of them: nothing landed.
    fn try_land(
        &mut self,
        changes: &[Change],
        landed: &mut Option<Published>,
    ) -> Result<Vec<Result<Landed, ApiError>>, ApiError> {
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
            let mut answers: Vec<Result<Pending, ApiError>> = Vec::with_capacity(changes.len());
            for change in changes {
                let now = clock();
                let asker = self.asker(&change.caller, now);
                let made = batch.len();
                let answer = batch.add(&asker, &change.actions, now, &change.comment).map_err(ApiError::from);
                let changed = batch.len() > made;
                if changed && let Ok(outcome) = &answer {
                    anew |= !next.advance(&batch.snapshot()?, &outcome.diff, outcome.at)?;
                }
                answers.push(answer.map(|outcome| Pending {
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
            match batch.publish_announced(Durability::Full, &mut |commits| self.voices.vouched.judged(commits)) {
                Ok(published) => {
                    let published = &*landed.insert(published);
                    if let Some(why) = &published.left_behind {
                        self.voices.log.warn("the work tree did not follow", why);
                    }
                    self.voices.metrics.batch(published.commits.len());
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

    fn asker(&self, caller: &Caller, now: Timestamp) -> Asker {
        let author = caller.ident(now);
        let committer = match &self.committer {
            Some(ident) => Ident { time: now, ..ident.clone() },
            None => author.clone(),
        };
        Asker { user: caller.user.clone(), author, committer }
    }
}

/// A change that is made and has not landed.
struct Pending {
    events: Vec<Event>,
    catalog: Catalog,
    changed: bool,
}

/// Gives each change the commit that it made, and its state the commit that this is of.
fn settle(
    answers: Vec<Result<Pending, ApiError>>,
    base: Option<Oid>,
    commits: &[Oid],
) -> Vec<Result<Landed, ApiError>> {
    let (mut commits, mut newest) = (commits.iter().copied(), base);
    let mut settle = |pending: Pending| {
        let commit = if pending.changed { commits.next() } else { None };
        newest = commit.or(newest);
        let catalog = match newest {
            Some(commit) => pending.catalog.at_commit(commit),
            None => pending.catalog,
        };
        Landed { commit, catalog: Arc::new(catalog), events: pending.events }
    };
    answers.into_iter().map(|answer| answer.map(&mut settle)).collect()
}
