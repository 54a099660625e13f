//! The folders of registries in a repository.

use std::collections::{BTreeMap, BTreeSet};

use crate::git::Repo;
use crate::snapshot::{self, Finder, Snapshot};
use crate::tree::{Oid, TreeError};

/// Returns the folder before and after a step for each registry of the step. A registry that is no longer in its folder
/// is searched for by its id.
pub(super) fn pairs(
    repo: &Repo,
    (before, there): (Option<Oid>, &[String]),
    (after, come): (Oid, &[String]),
) -> Result<Vec<(String, String)>, TreeError> {
    let (mut out, finder) = (Vec::new(), Finder::default());
    for at in there {
        let mut to = at.clone();
        if !come.contains(at)
            && let Some(id) = Snapshot::new(repo, before, at)?.id()?
            && let Some(found) = finder.folder_of(repo, Some(after), id)?
            && !there.contains(&found)
        {
            to = found;
        }
        out.push((at.clone(), to));
    }
    Ok(out)
}

/// Returns the registries by which a step is judged. A step that changes some registries of a repository is judged by
/// these: its committer need not be a person of the others. A step that adds a registry, or changes none, is judged by
/// all.
pub(super) fn concerned<'p>(
    repo: &Repo,
    pairs: &'p [(String, String)],
    come: &[String],
    (before, after): (Option<Oid>, Oid),
) -> Result<Vec<&'p (String, String)>, TreeError> {
    let is_added = |at: &String| pairs.iter().all(|(from, to)| from != at && to != at);
    let mut changed = Vec::new();
    for pair in pairs {
        let root = |root, at: &str| Ok::<_, TreeError>(Snapshot::new(repo, root, at)?.root());
        if pair.0 != pair.1 || root(before, &pair.0)? != root(Some(after), &pair.1)? {
            changed.push(pair);
        }
    }
    let is_by_all = changed.is_empty() || come.iter().any(is_added);
    Ok(if is_by_all { pairs.iter().collect() } else { changed })
}

/// Returns the folders, except those of `places`, that get a file with the name of a registry's file at their top in a
/// step, each with the first of these files. Only folders that differ are read.
pub(super) fn where_files_came(
    repo: &Repo,
    (before, after): (Oid, Oid),
    places: &BTreeSet<&String>,
) -> Result<BTreeMap<String, String>, TreeError> {
    let mut out = snapshot::where_files_came(repo, before, after)?;
    out.retain(|at, _| !places.contains(at));
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
