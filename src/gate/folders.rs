//! The folders of registries in a repository.

use std::collections::{BTreeMap, BTreeSet};

use crate::git::Repo;
use crate::snapshot::{self, Snapshot};
use crate::tree::{Entry, Kind, Objects as _, Oid, TreeError};

/// Returns the folder before and after a step for each registry of the step. A registry that is no longer in its folder
/// is searched for by its id.
pub(super) fn pairs(
    repo: &Repo,
    (before, there): (Option<Oid>, &[String]),
    (after, come): (Oid, &[String]),
    named: &[String],
) -> Result<Vec<(String, String)>, TreeError> {
    let mut out = Vec::new();
    for at in there {
        let mut to = at.clone();
        if !come.contains(at)
            && let Some(id) = Snapshot::new(repo, before, at)?.id()?
            && let Some(found) = snapshot::folder_of(repo, Some(after), id, named)?
            && !there.contains(&found)
        {
            to = found;
        }
        out.push((at.clone(), to));
    }
    Ok(out)
}

/// Returns the folders (except `places`) in which a step adds files with a registry's file names, each with the first
/// such file. Only entries that differ at the top of the repository, and the named folders, are searched.
pub(super) fn where_files_came(
    repo: &Repo,
    (before, after): (Oid, Oid),
    named: &[String],
    places: &BTreeSet<&String>,
) -> Result<BTreeMap<String, String>, TreeError> {
    let (old, new) = (repo.tree(&before)?, repo.tree(&after)?);
    let mut changed = vec![String::new()];
    let known: BTreeSet<(&str, Oid)> = old.iter().map(|entry| (entry.name.as_str(), entry.id)).collect();
    let is_new = |entry: &&Entry| entry.kind == Kind::Tree && !known.contains(&(entry.name.as_str(), entry.id));
    changed.extend(new.iter().filter(is_new).map(|entry| format!("{}/", entry.name)));
    changed.extend(named.iter().cloned());
    let (old, new) = (Snapshot::new(repo, Some(before), "")?, Snapshot::new(repo, Some(after), "")?);
    let mut out = BTreeMap::new();
    for at in changed.into_iter().filter(|at| !places.contains(at)) {
        let known = old.left_at(&at)?;
        if let Some(path) = new.left_at(&at)?.into_iter().find(|path| !known.contains(path)) {
            out.insert(at, path);
        }
    }
    Ok(out)
}

/// Returns the folders of the registries in which a step is judged, before and after it: those of
/// [`snapshot::folders`], and all other registries that the step changes, at any depth. If the step adds a registry,
/// all existing registries are included, because adding one needs CAN_MANAGE on each of them.
pub(super) fn of_step(
    repo: &Repo,
    (before, after): (Option<Oid>, Oid),
    named: &[String],
) -> Result<(Vec<String>, Vec<String>), TreeError> {
    let (mut there, mut come) = (snapshot::folders(repo, before, named)?, snapshot::folders(repo, Some(after), named)?);
    let (old, new) = snapshot::changed_registries(repo, before, Some(after))?;
    there.extend(old);
    come.extend(new);
    let distinct = |all: Vec<String>| all.into_iter().collect::<BTreeSet<String>>();
    let (mut there, come) = (distinct(there), distinct(come));
    if come.iter().any(|at| !there.contains(at)) {
        there.extend(snapshot::registries(repo, before)?);
    }
    Ok((there.into_iter().collect(), come.into_iter().collect()))
}
