//! The ids that were used before a step: in the history before the push, from the index, and in the earlier steps of
//! the push.

use std::collections::{BTreeMap, BTreeSet};

use super::error::GateError;
use super::pushed_files::CheckedObjects;
use crate::authority::former_people;
use crate::diff::Diff;
use crate::entity::Settings;
use crate::git::Repo;
use crate::index;
use crate::name::{Id, UserName};
use crate::rules::{FormerPeople, NewId, UsedIds, added_people, brought_by, holder_marks, secret_marks};
use crate::snapshot::Snapshot;
use crate::tree::Oid;

/// The ids that were used in a sequence of steps, as far as it was judged.
#[derive(Debug)]
pub struct IdLine {
    history: History,
    brought: BTreeMap<(String, Id), Oid>,
    /// For each folder to which a step moved a registry: its folder before the first step.
    origins: BTreeMap<String, String>,
    /// The stored objects that were checked for these steps.
    pub(super) seen: CheckedObjects,
}

/// The component that compares ids with the history.
#[derive(Debug)]
enum History {
    /// The index of a branch as of the commit before the first step; `None` if the first step starts the history.
    Branch(String, Option<Oid>),
    /// The caller, which compares the ids of all steps with each other.
    Elsewhere,
}

impl IdLine {
    /// Starts a sequence of steps that continues a branch from the commit `base`.
    pub fn after(branch: &str, base: Option<Oid>) -> Self {
        Self {
            history: History::Branch(branch.to_owned(), base),
            brought: BTreeMap::new(),
            origins: BTreeMap::new(),
            seen: CheckedObjects::default(),
        }
    }

    /// Starts a sequence of steps whose ids the caller compares with [`crate::rules::repeated`].
    pub fn elsewhere() -> Self {
        Self {
            history: History::Elsewhere,
            brought: BTreeMap::new(),
            origins: BTreeMap::new(),
            seen: CheckedObjects::default(),
        }
    }

    /// Returns which of the ids that a step adds to the registry in folder `at` were used before the step.
    pub(super) fn used(&self, repo: &Repo, at: &str, new: &[NewId]) -> Result<UsedIds, GateError> {
        let (branch, base) = match &self.history {
            History::Elsewhere => return Ok(UsedIds::new()),
            History::Branch(branch, base) => (branch, base),
        };
        let at = self.origin(at);
        let ids: BTreeSet<Id> = new.iter().map(|new| new.id.clone()).collect();
        let mut found = match base {
            Some(base) => index::used(repo, at, branch, *base, &ids)?,
            None => BTreeMap::new(),
        };
        for id in &ids {
            if let Some(commit) = self.brought.get(&(at.to_owned(), id.clone())) {
                found.entry(id.clone()).or_insert(*commit);
            }
        }
        Ok(found.into_iter().map(|(id, commit)| (id, brought_by(commit))).collect())
    }

    /// Records that a step moved a registry.
    pub(super) fn moved(&mut self, from: &str, to: &str) {
        let origin = self.origins.remove(from).unwrap_or_else(|| from.to_owned());
        self.origins.insert(to.to_owned(), origin);
    }

    /// Returns the folder of a registry before the first step.
    fn origin<'s>(&'s self, at: &'s str) -> &'s str {
        self.origins.get(at).map_or(at, String::as_str)
    }

    /// Returns the settings, before the first step, of the registry that lies in folder `at` before a step; `None` if they
    /// are the same before that step, or unknown.
    pub(super) fn onto(&self, repo: &Repo, before: &Snapshot<'_>) -> Result<Option<Settings>, GateError> {
        let History::Branch(_, Some(base)) = &self.history else { return Ok(None) };
        let first = Snapshot::new(repo, Some(repo.tree_of(base)?), self.origin(before.at()))?;
        let file = |state: &Snapshot<'_>| Ok::<_, GateError>(state.entry("greenroom.toml")?.map(|entry| entry.id));
        if file(&first)? == file(before)? || first.id()? != before.id()? {
            return Ok(None);
        }
        Ok(first.settings()?.cloned())
    }

    /// Returns what a step gives to people and was another's before it. `parent` is the commit before the step, `before`
    /// its state, `onto` the settings before the first step.
    pub(super) fn former(
        &self,
        repo: &Repo,
        parent: Option<Oid>,
        (before, onto): (&Snapshot<'_>, Option<&Settings>),
        diff: &Diff,
    ) -> Result<FormerPeople, GateError> {
        let (History::Branch(branch, base), Some(parent)) = (&self.history, parent) else {
            return Ok(FormerPeople::default());
        };
        let origin = self.origin(before.at());
        let used = |ids: &BTreeSet<Id>| -> Result<BTreeSet<Id>, GateError> {
            let known = match base {
                Some(base) => index::used(repo, origin, branch, *base, ids)?,
                None => BTreeMap::new(),
            };
            let is_brought = |id: &Id| self.brought.contains_key(&(origin.to_owned(), id.clone()));
            Ok(ids.iter().filter(|id| known.contains_key(*id) || is_brought(id)).cloned().collect())
        };
        former_people(repo, (before.at(), parent), (before, onto), diff, used)
    }

    /// Notes whom a step added, and what it gave to people.
    pub(super) fn note_people(&mut self, at: &str, diff: &Diff, commit: Oid) {
        let at = self.origin(at).to_owned();
        let marks = added_people(diff).map(UserName::arrival_mark).chain(diff.events.iter().flat_map(holder_marks));
        let marks = marks.chain(diff.events.iter().flat_map(secret_marks));
        for mark in marks {
            self.brought.entry((at.clone(), mark)).or_insert(commit);
        }
    }

    /// Records the ids that a step added.
    pub(super) fn note(&mut self, at: &str, new: &[NewId], commit: Oid) {
        let at = self.origin(at).to_owned();
        for NewId { id, .. } in new {
            self.brought.entry((at.clone(), id.clone())).or_insert(commit);
        }
    }
}
