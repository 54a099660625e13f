//! Several changes that land together: each a step of its own, on the result of the one before, all with one flush.

use super::{Asker, DETACHED, Outcome, Registry, RegistryError, stamped};
use crate::action::Action;
use crate::git::{Draft, Durability, GitError, Ident, PublishError, Published, RepoLock, stamp};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::Oid;

/// Changes that are built in memory on top of the head, and not yet to be seen by anybody. Dropped, they are forgotten.
pub struct Batch<'b> {
    registry: &'b Registry,
    lock: &'b mut RepoLock,
    base: Option<Oid>,
    root: Option<Oid>,
    drafts: Vec<Draft>,
    is_authenticated: bool,
    /// When the newest of it landed.
    landed: Option<Timestamp>,
}

impl Registry {
    /// Begins a batch on top of the head, which must be on a branch.
    pub fn batch<'b>(&'b self, lock: &'b mut RepoLock) -> Result<Batch<'b>, RegistryError> {
        if self.branch == DETACHED {
            return Err(GitError::Detached.into());
        }
        let base = self.head()?;
        let root = base.map(|c| self.repo.tree_of(&c)).transpose()?;
        let landed = base.map(|c| self.repo.landing_time(&c)).transpose()?;
        Ok(Batch { registry: self, lock, base, root, drafts: Vec::new(), is_authenticated: false, landed })
    }
}

impl Batch<'_> {
    /// The same for askers who are known by more than the names on the commit, as the callers of a server are: each
    /// change has to count as the act of its asker and of nobody else, whoever commits it.
    pub fn for_authenticated(self) -> Self {
        let mut batch = self;
        batch.is_authenticated = true;
        batch
    }

    /// The commit that the batch is built on; none before the first.
    pub fn base(&self) -> Option<Oid> {
        self.base
    }

    /// How many commits the batch will make.
    pub fn len(&self) -> usize {
        self.drafts.len()
    }

    /// Whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// The registry as it will be after what was added so far.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, RegistryError> {
        self.registry.snapshot_in(self.root)
    }

    /// Adds a change as a step of its own, judged on the result of those before; `comment` goes to the commit's body.
    /// Nothing is added where nothing would change.
    ///
    /// # Errors
    /// A change that cannot be applied or that the rules refuse leaves the batch as it was.
    pub fn add(
        &mut self,
        asker: &Asker,
        actions: &[Action],
        now: Timestamp,
        comment: &str,
    ) -> Result<Outcome, RegistryError> {
        let at = stamp::next(now, self.landed);
        let (tree, outcome) = self.registry.prepare(self.root, (asker, self.is_authenticated), actions, at, comment)?;
        if !outcome.verdict.passes() {
            return Err(RegistryError::Denied { outcome: Box::new(outcome) });
        }
        if let Some(tree) = tree {
            self.root = Some(tree);
            self.landed = Some(stamp::landed(at, self.landed));
            self.drafts.push(Draft {
                tree,
                merged: Vec::new(),
                author: asker.author.clone(),
                committer: Ident { time: at, ..asker.committer.clone() },
                message: stamped(&outcome.message, &outcome.diff, at),
            });
        }
        Ok(outcome)
    }

    /// Makes the changes commits of the branch, all of them or none; their ids are in the order of the additions that
    /// changed something.
    ///
    /// # Errors
    /// [`PublishError::Moved`] if somebody else was faster: begin again on the new head.
    pub fn publish(self, durability: Durability) -> Result<Published, PublishError> {
        self.publish_announced(durability, &mut |_| {})
    }

    /// The same as [`Batch::publish`], and calls `announce` with the ids of the commits before the branch names them.
    ///
    /// # Errors
    /// Those of [`Batch::publish`]; the announced commits may then not be on the branch.
    pub fn publish_announced(
        mut self,
        durability: Durability,
        announce: &mut dyn FnMut(&[Oid]),
    ) -> Result<Published, PublishError> {
        let drafts = std::mem::take(&mut self.drafts);
        let Registry { repo, branch, .. } = self.registry;
        repo.publish_announced(self.lock, branch, self.base, &drafts, durability, announce)
    }
}

impl Drop for Batch<'_> {
    /// What is not published must not stay in memory.
    fn drop(&mut self) {
        self.registry.repo.discard_staged();
    }
}
