//! Puts a change on its own branch, for others to review and merge. The registry's branch stays unchanged.

use super::{
    ChangeAuthor, ChangeOptions, DETACHED, LOCK_WAIT, Registry, RegistryError, message, random_bytes, stamped,
};
use crate::action::Action;
use crate::apply::{self, Context};
use crate::diff::{self, Diff};
use crate::entity::PermissionLevel;
use crate::git::{CommitDraft, Durability, Ident, PublishError, stamp};
use crate::name::ModelName;
use crate::rules::{self, Actor, StepContext, UsedIds};
use crate::time::Timestamp;
use crate::tree::{CompareLimits, Oid, Stage as _};

/// A branch that was created, or would be.
#[derive(Debug)]
pub struct Proposal {
    /// The branch name without `refs/heads/`.
    pub branch: String,
    /// The commit that the branch starts from.
    pub base: Oid,
    /// The branch's only commit; `None` for a dry run.
    pub commit: Option<Oid>,
    /// The events of a merge of the branch.
    pub diff: Diff,
    /// The commit's message.
    pub message: String,
}

/// Rules that do not bind the requester, because they apply to the merger.
const FOR_THE_MERGE: [&str; 4] = ["permission", "stage-approvals", "stage-leaving", "alias-approval"];

impl Registry {
    /// Returns the commit that a branch with changes should start from: that of the remote `origin`, else the
    /// registry's head.
    ///
    /// # Errors
    /// [`RegistryError`] if a reference cannot be read.
    pub fn upstream(&self) -> Result<Option<Oid>, RegistryError> {
        let named = self.branch.strip_prefix("refs/heads/").map(|b| format!("refs/remotes/origin/{b}"));
        for name in std::iter::once("refs/remotes/origin/HEAD".to_owned()).chain(named) {
            if let Some(commit) = self.repo.reference(&name)? {
                return Ok(Some(commit));
            }
        }
        self.head()
    }

    /// Puts a requested action on a new branch `name` that starts from `base`. The work tree and all other branches
    /// stay as they are.
    ///
    /// The action is judged before, except for the permission to commit it and the approvals, which apply to the
    /// merger. Everyone who can read the model can request a change.
    ///
    /// # Errors
    /// [`RegistryError::BranchExists`] if the branch exists, here or at `origin`; [`RegistryError::Denied`] if no merge
    /// of it would be accepted; other [`RegistryError`]s if the commit cannot be made.
    pub fn propose(
        &self,
        change_author: &ChangeAuthor,
        (model, action): (&ModelName, &Action),
        (name, base): (&str, Oid),
        now: Timestamp,
        options: &ChangeOptions,
    ) -> Result<Proposal, RegistryError> {
        let proposed = self.try_propose(change_author, (model, action), (name, base), now, options);
        self.repo.discard_staged();
        proposed
    }

    fn try_propose(
        &self,
        change_author: &ChangeAuthor,
        (model, action): (&ModelName, &Action),
        (name, base): (&str, Oid),
        now: Timestamp,
        options: &ChangeOptions,
    ) -> Result<Proposal, RegistryError> {
        let reference = format!("refs/heads/{name}");
        for taken in [&reference, &format!("refs/remotes/origin/{name}")] {
            if self.repo.reference(taken)?.is_some() || *taken == self.branch || name == DETACHED {
                return Err(RegistryError::BranchExists { branch: name.to_owned() });
            }
        }
        let root = self.repo.tree_of(&base)?;
        let before = self.snapshot_in(Some(root))?;
        let mut random = random_bytes;
        let (subject, may_enter) = (&rules::subject::subject, &rules::obstacles::may_enter);
        let is_approved = &rules::approvals::is_complete;
        let mut cx =
            Context { actor: change_author.user.clone(), now, random: &mut random, subject, may_enter, is_approved };
        let patch = apply::apply(&before, action, &mut cx)?;
        let tree = self.repo.stage(Some(root), &patch)?;
        let after = self.snapshot_in(Some(tree))?;
        let diff = diff::diff(&before, &after, CompareLimits::default())?;
        let actor = Actor { signed: true, ..Actor::of(change_author.user.clone()) };
        let mut step = StepContext::new(&before, &after, &diff, &actor, now);
        // All new ids are random and were generated here.
        step.used = Some(UsedIds::new());
        let mut verdict = rules::judge(&step)?;
        drop(step);
        // A person cannot request a change of a model that they cannot read.
        if before.level(&change_author.user, model)? >= Some(PermissionLevel::CanRead) {
            verdict.faults.retain(|f| !FOR_THE_MERGE.contains(&f.problem.rule));
        }
        let message = message(&diff, &options.comment);
        if !verdict.passes() {
            let outcome = super::ChangeOutcome { commit: None, at: now, diff, verdict, message, left_behind: None };
            return Err(RegistryError::Denied { outcome: Box::new(outcome) });
        }
        let mut proposal = Proposal { branch: name.to_owned(), base, commit: None, diff, message };
        if !options.dry_run && !proposal.diff.is_empty() {
            let at = stamp::next(now, Some(self.repo.landing_time(&base)?));
            let change_author = ChangeAuthor {
                committer: Ident { time: at, ..change_author.committer.clone() },
                ..change_author.clone()
            };
            let message = stamped(&proposal.message, &proposal.diff, at);
            proposal.commit = Some(self.put_on_branch(&reference, base, tree, &change_author, &message, options)?);
        }
        Ok(proposal)
    }

    fn put_on_branch(
        &self,
        reference: &str,
        base: Oid,
        tree: Oid,
        change_author: &ChangeAuthor,
        message: &str,
        options: &ChangeOptions,
    ) -> Result<Oid, RegistryError> {
        let draft = CommitDraft {
            tree,
            merged: vec![base],
            author: change_author.author.clone(),
            committer: change_author.committer.clone(),
            message: message.to_owned(),
        };
        let durability = if options.relaxed { Durability::Relaxed } else { Durability::Full };
        let mut lock = self.repo.lock(LOCK_WAIT)?;
        match self.repo.publish(&mut lock, reference, None, &[draft], durability) {
            Ok(published) => Ok(published.commits.last().copied().unwrap_or(base)),
            Err(PublishError::Moved { .. }) => {
                let branch = reference.trim_start_matches("refs/heads/").to_owned();
                Err(RegistryError::BranchExists { branch })
            }
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_who_merges_are_rules_that_exist() {
        for name in FOR_THE_MERGE {
            assert!(rules::RULES.iter().any(|r| r.name == name), "{name}");
        }
    }
}
