//! Compares the ids of all steps with each other, and with the history before the first of them.

use std::collections::{BTreeMap, BTreeSet};

use super::line::BranchHistory;
use super::{AuditError, AuditFinding, AuditNotes};
use crate::authority::former_person;
use crate::format::path;
use crate::gate::error::GateError;
use crate::git::{GitError, Repo};
use crate::index::{self, IndexError};
use crate::name::{Id, UserName};
use crate::registry::RegistryError;
use crate::rules::{self, NewId, brought_by};
use crate::snapshot::Snapshot;
use crate::tree::Oid;

/// Assigns the ids of moved registries to each registry's last folder, so that they are compared with its past. Moves
/// are in the order of their steps.
pub(super) fn follow(new: &mut [(usize, String, NewId)], moved: &[(usize, String, String)]) {
    for (number, at, _) in new {
        for (step, from, to) in moved {
            if step > number && from == at {
                at.clone_from(to);
            }
        }
    }
}

/// Reports ids that were used twice. `before` is the step before the first judged one.
pub(super) fn check(
    repo: &Repo,
    line: &BranchHistory,
    (branch, before): (&str, Option<Oid>),
    new: &[(usize, String, NewId)],
    notes: &mut AuditNotes,
) -> Result<(), AuditError> {
    let mut folders: BTreeMap<&str, Vec<(usize, &NewId)>> = BTreeMap::new();
    for (number, at, new) in new {
        folders.entry(at).or_default().push((*number, new));
    }
    for (at, new) in folders {
        for (number, id, first) in rules::repeated(new.iter().copied()) {
            if let Some(first) = line.steps.get(first) {
                find(line, number, id, first.commit, notes);
            }
        }
        let Some(before) = before else { continue };
        let ids: BTreeSet<Id> = new.iter().map(|(_, new)| new.id.clone()).collect();
        match index::used(repo, at, branch, before, &ids) {
            Ok(used) => {
                for (number, id) in new {
                    if let Some(commit) = used.get(&id.id) {
                        find(line, number, id, *commit, notes);
                    }
                }
            }
            Err(IndexError::Registry(RegistryError::Git(GitError::Shallow))) => {
                notes.unchecked(
                    "whether ids were used before, because the clone is shallow (`git fetch --unshallow`)",
                    1,
                    None,
                );
            }
            Err(e) => return Err(GateError::Ids(e).into()),
        }
    }
    Ok(())
}

/// Reports people who were added under the id of another person who had been removed.
pub(super) fn check_people(
    repo: &Repo,
    line: &BranchHistory,
    (branch, before): (&str, Option<Oid>),
    added: &[(usize, String, UserName)],
    notes: &mut AuditNotes,
) -> Result<(), AuditError> {
    let mut known: BTreeSet<(&str, Id)> = BTreeSet::new();
    for at in added.iter().map(|(_, at, _)| at.as_str()).collect::<BTreeSet<_>>() {
        let marks = added.iter().filter(|(_, of, _)| of == at).map(|(_, _, user)| user.arrival_mark()).collect();
        let Some(before) = before else { continue };
        match index::used(repo, at, branch, before, &marks) {
            Ok(used) => known.extend(used.into_keys().map(|mark| (at, mark))),
            // The check of ids already reports that older history is not available.
            Err(IndexError::Registry(RegistryError::Git(GitError::Shallow))) => {}
            Err(e) => return Err(GateError::Ids(e).into()),
        }
    }
    for (number, at, user) in added {
        let Some(step) = line.steps.get(*number) else { continue };
        let Some(parent) = step.parent.filter(|_| !known.insert((at, user.arrival_mark()))) else { continue };
        let former = match former_person(repo, at, parent, user) {
            Err(GitError::Shallow) => continue,
            found => found.map_err(GateError::from)?,
        };
        let state = Snapshot::new(repo, Some(step.tree), at).map_err(GateError::from)?;
        let file = state.person(user).map_err(GateError::from)?;
        let Some(person) = file.and_then(|file| file.value) else { continue };
        if !former.is_some_and(|former| rules::is_same_person(&former, &person)) {
            let fault = rules::taken_over(user, state.full_path(&path::person(user)));
            let (commit, at) = (Some(step.commit), Some(step.time));
            notes.find(AuditFinding { commit, at, by: None, subject: String::new(), fault });
        }
    }
    Ok(())
}

fn find(line: &BranchHistory, number: usize, id: &NewId, first: Oid, notes: &mut AuditNotes) {
    let Some(step) = line.steps.get(number) else { return };
    let (commit, at) = (Some(step.commit), Some(step.time));
    let fault = rules::reused(id, &brought_by(first));
    notes.find(AuditFinding { commit, at, by: None, subject: String::new(), fault });
}
