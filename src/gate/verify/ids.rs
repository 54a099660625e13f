//! The ids of all steps compared with each other, and with the history before the first of them.

use std::collections::{BTreeMap, BTreeSet};

use super::line::Line;
use super::{AuditError, Finding, Notes};
use crate::gate::GateError;
use crate::git::{GitError, Repo};
use crate::index::{self, IndexError};
use crate::name::Id;
use crate::registry::RegistryError;
use crate::rules::{self, NewId, brought_by};
use crate::tree::Oid;

/// Puts the ids of registries that were moved under the folder where each lies last, so that they are compared with those
/// of its past. Moves are in the order of their steps.
pub(super) fn follow(new: &mut [(usize, String, NewId)], moved: &[(usize, String, String)]) {
    for (number, at, _) in new {
        for (step, from, to) in moved {
            if step > number && from == at {
                at.clone_from(to);
            }
        }
    }
}

/// Tells of ids that were used a second time. `before` is the step before the first that was judged.
pub(super) fn check(
    repo: &Repo,
    line: &Line,
    (branch, before): (&str, Option<Oid>),
    new: &[(usize, String, NewId)],
    notes: &mut Notes,
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
                    "whether ids were used before: the clone is shallow (`git fetch --unshallow`)",
                    1,
                    None,
                );
            }
            Err(e) => return Err(GateError::Ids(e).into()),
        }
    }
    Ok(())
}

fn find(line: &Line, number: usize, id: &NewId, first: Oid, notes: &mut Notes) {
    let Some(step) = line.steps.get(number) else { return };
    let (commit, at) = (Some(step.commit), Some(step.time));
    let fault = rules::reused(id, &brought_by(first));
    notes.find(Finding { commit, at, by: None, subject: String::new(), fault });
}
