//! Several changes in one publication: each is a step of its own on top of the previous one, and all share one flush.

use super::{ChangeAuthor, ChangeOutcome, DETACHED, Registry, RegistryError, stamped};
use crate::action::Action;
use crate::git::{CommitDraft, Durability, GitError, Ident, PublishError, PublishedCommits, RepoLock, stamp};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::Oid;

/// Changes that are built in memory on top of the head and not visible yet. Dropping the batch discards them.
pub struct Batch<'b> {
    registry: &'b Registry,
    lock: &'b mut RepoLock,
    base: Option<Oid>,
    root: Option<Oid>,
    drafts: Vec<CommitDraft>,
    is_authenticated: bool,
    /// The time of the newest change.
    landed: Option<Timestamp>,
}

impl Registry {
    /// Starts a batch on top of the head, which must be on a branch.
    ///
    /// # Errors
    /// [`GitError::Detached`] if HEAD is on no branch; other [`RegistryError`]s if an object cannot be read.
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
    /// Returns the same batch for authenticated requesters, such as the callers of a server: each change must count as
    /// the action of its requester, whichever account commits it.
    pub fn for_authenticated(self) -> Self {
        let mut batch = self;
        batch.is_authenticated = true;
        batch
    }

    /// Returns the commit that the batch is based on; `None` before the first commit.
    pub fn base(&self) -> Option<Oid> {
        self.base
    }

    /// Returns the number of commits that the batch will make.
    pub fn len(&self) -> usize {
        self.drafts.len()
    }

    /// Whether the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// Returns the registry as it will be after the changes that were added so far.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, RegistryError> {
        self.registry.snapshot_in(self.root)
    }

    /// Adds a change as a step, judged on the result of the previous ones. `comment` goes to the commit's body. Adds
    /// nothing if nothing would change.
    ///
    /// # Errors
    /// [`RegistryError::Refused`] or [`RegistryError::RefusedAt`] if an action cannot be applied,
    /// [`RegistryError::Denied`] if the rules refuse it. The batch stays as it was.
    pub fn add(
        &mut self,
        change_author: &ChangeAuthor,
        actions: &[Action],
        now: Timestamp,
        comment: &str,
    ) -> Result<ChangeOutcome, RegistryError> {
        let at = stamp::next(now, self.landed);
        let (tree, outcome) =
            self.registry.prepare(self.root, (change_author, self.is_authenticated), actions, at, comment)?;
        if !outcome.verdict.passes() {
            return Err(RegistryError::Denied { outcome: Box::new(outcome) });
        }
        if let Some(tree) = tree {
            self.root = Some(tree);
            self.landed = Some(stamp::landed(at, self.landed));
            self.drafts.push(CommitDraft {
                tree,
                merged: Vec::new(),
                author: change_author.author.clone(),
                committer: Ident { time: at, ..change_author.committer.clone() },
                message: stamped(&outcome.message, &outcome.diff, at),
            });
        }
        Ok(outcome)
    }

    /// Commits the changes to the branch, all of them or none. The returned ids are in the order of the additions that
    /// changed something.
    ///
    /// # Errors
    /// [`PublishError::Moved`] if another writer was faster: start again on the new head. Other [`PublishError`]s as
    /// for [`Repo::publish`](crate::git::Repo::publish).
    pub fn publish(self, durability: Durability) -> Result<PublishedCommits, PublishError> {
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
    ) -> Result<PublishedCommits, PublishError> {
        let drafts = std::mem::take(&mut self.drafts);
        let Registry { repo, branch, .. } = self.registry;
        repo.publish_announced(self.lock, branch, self.base, &drafts, durability, announce)
    }
}

impl Drop for Batch<'_> {
    /// Removes unpublished objects from memory.
    fn drop(&mut self) {
        self.registry.repo.discard_staged();
    }
}
