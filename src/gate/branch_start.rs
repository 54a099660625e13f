//! The start of a new protected branch: it must be a step of an existing protected branch, so that its content was
//! judged.
//!
//! An older step has permissions and rules that were changed since. Only a manager of the registry as it is today may
//! start a branch there. From then on each branch is judged by its own snapshots.

use std::collections::{BTreeSet, HashSet};

use super::Gate;
use super::error::GateError;
use super::push::PushedSteps;
use super::refs::Update;
use crate::authority::{People, Pusher};
use crate::entity::PermissionLevel;
use crate::format::Problem;
use crate::git::{GitError, Repo, Walk};
use crate::rules::{Fault, RuleClass};
use crate::snapshot::{self, Snapshot};
use crate::tree::Oid;

/// The first-parent histories of several commits, read lazily.
pub(super) struct HistoryReader<'r> {
    repo: &'r Repo,
    /// The tips whose histories were not started yet; the next one is last.
    tips: Vec<Oid>,
    walk: Option<Walk<'r>>,
    seen: HashSet<Oid>,
}

impl<'r> HistoryReader<'r> {
    /// Creates the histories that end in these commits; earlier tips are read first.
    pub(super) fn of(repo: &'r Repo, tips: &[Oid]) -> Self {
        Self { repo, tips: tips.iter().rev().copied().collect(), walk: None, seen: HashSet::new() }
    }

    /// Whether a commit is a step of one of the histories. Each step is read once, however often this is called.
    pub(super) fn hold(&mut self, commit: &Oid) -> Result<bool, GitError> {
        loop {
            if self.seen.contains(commit) {
                return Ok(true);
            }
            match self.walk.as_mut().and_then(Iterator::next).transpose()? {
                Some(step) if self.seen.insert(step.commit) => {}
                // The rest of this history was already read with another one.
                Some(_) | None => match self.tips.pop() {
                    Some(tip) => self.walk = Some(self.repo.first_parents(tip)?),
                    None => return Ok(false),
                },
            }
        }
    }
}

/// The steps of a new protected branch.
pub(super) enum BranchStart {
    /// The steps, oldest first.
    Steps(PushedSteps),
    /// There are more steps than one push may contain.
    TooMany,
    /// The branch may not start at this commit.
    Refused(Fault),
}

impl Gate {
    /// Returns the tips of the existing protected branches, HEAD's branch first.
    pub(super) fn tips(&self) -> Result<Vec<Oid>, GateError> {
        let mut out = Vec::new();
        for name in self.protected.iter().filter(|name| !name.contains('*')) {
            out.extend(self.repo.reference(name)?);
        }
        if self.protected.iter().any(|name| name.contains('*')) {
            for name in self.repo.reference_names()?.iter().filter(|name| self.protects(name)) {
                out.extend(self.repo.reference(name)?);
            }
        }
        let mut seen = BTreeSet::new();
        out.retain(|tip| seen.insert(*tip));
        Ok(out)
    }

    /// Returns the steps of a new protected branch, from where it leaves the first-parent history of another one.
    /// `tips` are the tips of the others. If there are none, this is the first protected branch, and it starts at its
    /// root commit.
    pub(super) fn begin(
        &self,
        update: &Update,
        new: Oid,
        tips: &[Oid],
        pusher: Option<&Pusher>,
    ) -> Result<BranchStart, GateError> {
        let max = self.limits.commits;
        // A commit that is not reachable from the others is not a step of theirs.
        let fresh: Option<HashSet<Oid>> = match tips {
            [] => None,
            tips => match self.repo.new_commits(new, tips, max)? {
                Some(fresh) => Some(fresh.into_iter().collect()),
                None => return Ok(BranchStart::TooMany),
            },
        };
        let mut lines = HistoryReader::of(&self.repo, tips);
        let mut steps = Vec::new();
        for step in self.repo.first_parents(new)? {
            let step = step?;
            let known = fresh.as_ref().is_some_and(|fresh| !fresh.contains(&step.commit));
            if known && lines.hold(&step.commit)? {
                steps.reverse();
                return Ok(match self.why_not_from(update, step.commit, tips, pusher)? {
                    Some(fault) => BranchStart::Refused(fault),
                    None => BranchStart::Steps(steps),
                });
            }
            steps.push((step.commit, step.parent));
            if steps.len() > max {
                return Ok(BranchStart::TooMany);
            }
        }
        if tips.is_empty() {
            steps.reverse();
            return Ok(BranchStart::Steps(steps));
        }
        let message = "the new protected branch does not begin at a step of a protected branch".to_owned();
        let protected = self.protected.first().map_or("main", String::as_str);
        let (from, name) = (short(protected), short(&update.name));
        let help = format!(
            "create the branch from such a step (`git switch -c {name} origin/{from}`), and commit on top of it"
        );
        Ok(BranchStart::Refused(fault(update, RuleClass::History, message, &help)))
    }

    /// Returns why a branch may not start at a step; `None` if the step is a tip, or if the pusher manages the registry
    /// as of its newest snapshot.
    fn why_not_from(
        &self,
        update: &Update,
        step: Oid,
        tips: &[Oid],
        pusher: Option<&Pusher>,
    ) -> Result<Option<Fault>, GateError> {
        if tips.contains(&step) {
            return Ok(None);
        }
        let Some(why) =
            self.lacks(pusher, PermissionLevel::CanManage, "start a protected branch there", tips.first())?
        else {
            return Ok(None);
        };
        let message = format!(
            "the new protected branch begins at {}, an older step with older permissions and rules, and {why}",
            step.short()
        );
        let help =
            "begin at the newest step of a protected branch, or let a person with CAN_MANAGE on the registry push it";
        Ok(Some(fault(update, RuleClass::Permission, message, help)))
    }

    /// Returns why the pusher may not perform an action that needs a registry-wide level. HEAD's branch decides, or
    /// `other` if HEAD's branch does not exist. Returns `None` if the action is allowed or there is no registry.
    pub(super) fn lacks(
        &self,
        pusher: Option<&Pusher>,
        level: PermissionLevel,
        act: &str,
        other: Option<&Oid>,
    ) -> Result<Option<String>, GateError> {
        let Some(pusher) = pusher else { return Ok(Some("the git host does not name the pusher".to_owned())) };
        let head = self.protected.first().map(|head| self.repo.reference(head)).transpose()?.flatten();
        let Some(tip) = head.as_ref().or(other) else { return Ok(None) };
        let root = self.repo.tree_of(tip)?;
        for at in snapshot::registries(&self.repo, Some(root))? {
            let state = Snapshot::new(&self.repo, Some(root), &at)?;
            let Some(user) = People::of(&state)?.by_pusher(pusher)? else {
                return Ok(Some("the pusher is not a person of this registry".to_owned()));
            };
            if state.registry_level(&user)? < Some(level) {
                return Ok(Some(format!("{user} may not {act}: it needs {level} on the registry")));
            }
        }
        Ok(None)
    }
}

/// Returns the name of a branch as people write it.
fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}

fn fault(update: &Update, class: RuleClass, message: String, help: &str) -> Fault {
    Fault { problem: Problem::of_file(update.name.clone(), "ref-begin", message).help(help), class }
}
