//! A change put on a branch of its own, for others to review and merge: nothing lands by it.

use super::{Asker, DETACHED, LOCK_WAIT, Options, Registry, RegistryError, message, random_bytes, stamped};
use crate::action::Action;
use crate::apply::{self, Context};
use crate::diff::{self, Diff};
use crate::entity::Level;
use crate::git::{Draft, Durability, Ident, PublishError, stamp};
use crate::name::ModelName;
use crate::rules::{self, Actor, Step, UsedIds};
use crate::time::Timestamp;
use crate::tree::{Limits, Oid, Stage as _};

/// A branch that was made, or would be.
#[derive(Debug)]
pub struct Proposal {
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The commit that it grows from.
    pub base: Oid,
    /// Its one commit; none for a dry run.
    pub commit: Option<Oid>,
    /// What merging it would make happen.
    pub diff: Diff,
    /// The commit's message.
    pub message: String,
}

/// Rules that do not bind who asks: they are for who merges.
const FOR_THE_MERGE: [&str; 4] = ["permission", "stage-approvals", "stage-leaving", "alias-approval"];

impl Registry {
    /// The commit that a branch of changes should grow from: what the remote `origin` holds, else the registry's head.
    pub fn upstream(&self) -> Result<Option<Oid>, RegistryError> {
        let named = self.branch.strip_prefix("refs/heads/").map(|b| format!("refs/remotes/origin/{b}"));
        for name in std::iter::once("refs/remotes/origin/HEAD".to_owned()).chain(named) {
            if let Some(commit) = self.repo.reference(&name)? {
                return Ok(Some(commit));
            }
        }
        self.head()
    }

    /// Puts an action that someone asks for on a new branch `name` that grows from `base`; the work tree and every
    /// other branch stay as they are.
    ///
    /// It is judged beforehand, but for the permission to land it and the approvals, which are asked of who merges:
    /// who may see the model may ask.
    ///
    /// # Errors
    /// [`RegistryError::BranchExists`] where there is such a branch, here or at `origin`, and
    /// [`RegistryError::Denied`] where no merge of it could land.
    pub fn propose(
        &self,
        asker: &Asker,
        (model, action): (&ModelName, &Action),
        (name, base): (&str, Oid),
        now: Timestamp,
        options: &Options,
    ) -> Result<Proposal, RegistryError> {
        let proposed = self.try_propose(asker, (model, action), (name, base), now, options);
        self.repo.discard_staged();
        proposed
    }

    fn try_propose(
        &self,
        asker: &Asker,
        (model, action): (&ModelName, &Action),
        (name, base): (&str, Oid),
        now: Timestamp,
        options: &Options,
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
        let (subject, may_enter) = (&rules::subject::subject, &rules::outlook::may_enter);
        let mut cx = Context { actor: asker.user.clone(), now, random: &mut random, subject, may_enter };
        let patch = apply::apply(&before, action, &mut cx)?;
        let tree = self.repo.stage(Some(root), &patch)?;
        let after = self.snapshot_in(Some(tree))?;
        let diff = diff::diff(&before, &after, Limits::default())?;
        let actor = Actor { signed: true, ..Actor::of(asker.user.clone()) };
        let mut step = Step::new(&before, &after, &diff, &actor, now);
        // All ids that come were made here of chance.
        step.used = Some(UsedIds::new());
        let mut verdict = rules::judge(&step)?;
        drop(step);
        // Nobody asks for what he may not even see.
        if before.level(&asker.user, model)? >= Some(Level::CanRead) {
            verdict.faults.retain(|f| !FOR_THE_MERGE.contains(&f.problem.rule));
        }
        let message = message(&diff, &options.comment);
        if !verdict.passes() {
            let outcome = super::Outcome { commit: None, at: now, diff, verdict, message, left_behind: None };
            return Err(RegistryError::Denied { outcome: Box::new(outcome) });
        }
        let mut proposal = Proposal { branch: name.to_owned(), base, commit: None, diff, message };
        if !options.dry_run && !proposal.diff.is_empty() {
            let at = stamp::next(now, Some(self.repo.landing_time(&base)?));
            let asker = Asker { committer: Ident { time: at, ..asker.committer.clone() }, ..asker.clone() };
            let message = stamped(&proposal.message, &proposal.diff, at);
            proposal.commit = Some(self.put_on_branch(&reference, base, tree, &asker, &message, options)?);
        }
        Ok(proposal)
    }

    fn put_on_branch(
        &self,
        reference: &str,
        base: Oid,
        tree: Oid,
        asker: &Asker,
        message: &str,
        options: &Options,
    ) -> Result<Oid, RegistryError> {
        let draft = Draft {
            tree,
            merged: vec![base],
            author: asker.author.clone(),
            committer: asker.committer.clone(),
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
