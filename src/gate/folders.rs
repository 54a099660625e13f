//! Where registries lie in a repository.

use std::collections::{BTreeMap, BTreeSet};

use crate::git::Repo;
use crate::snapshot::{self, Snapshot};
use crate::tree::{Entry, Kind, Objects as _, Oid, TreeError};

/// Where the registries of a step lie before and after it. A registry whose folder holds none any more is looked for by
/// its id.
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

/// The folders, but those of `places`, to whose top files with a registry's names come in a step, each with the first of
/// these files. Only what differs at the top of the repository is looked at.
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

/// The registries that a step is judged in, before and after it: those of [`snapshot::folders`], and any other that it
/// changes, at whatever depth. Where a registry comes, all that are there count: another registry beside them needs
/// CAN_MANAGE of theirs.
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
