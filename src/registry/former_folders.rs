//! The folder of a registry in other snapshots than the newest: before or after the registry was moved.
//!
//! The id identifies a registry. If its folder has no registry, or another one, the id is searched in the whole tree. So
//! only states in which the registry was in another folder cost time.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::{NAMED_FOLDERS, Registry, RegistryError};
use crate::codeowners;
use crate::git::{GitError, Repo};
use crate::name::Id;
use crate::snapshot::{Finder, Snapshot};
use crate::tree::{Oid, Patch, Stage as _, TreeError};

/// How many of the newest commits are searched for the registry's id if its folder is empty in the newest one.
const MAX_BACK: usize = 1_000;

/// Cached data of the registry.
#[derive(Debug, Default)]
pub(super) struct FormerFolders {
    id: OnceCell<Id>,
    /// The ids that it had in its history.
    ids: OnceCell<BTreeSet<Id>>,
    finder: Finder,
}

/// Returns the folders that the settings of a repository name.
pub fn named_folders(repo: &Repo) -> Vec<String> {
    let slash = |at: String| format!("{}/", at.trim_matches('/'));
    repo.own_settings(NAMED_FOLDERS).into_iter().map(slash).collect()
}

impl Registry {
    /// The registry in a root tree of its history: in its folder, or in another folder of that tree. A tree that holds
    /// another registry in its folder, and this one in no folder, is older than this registry.
    pub(super) fn follow_in(&self, root: Option<Oid>) -> Result<Snapshot<'_>, RegistryError> {
        let here = Snapshot::new(&self.repo, root, &self.at)?;
        if root.is_none() {
            return Ok(here);
        }
        let Some(own) = self.own_id()? else { return Ok(here) };
        let found = here.id()?;
        let is_here = match found {
            Some(found) => found == own || self.own_ids()?.contains(found),
            // Settings that cannot be read are those of the registry.
            None => here.is_registry()?,
        };
        if is_here {
            return Ok(here);
        }
        match self.folder_in(root, own)? {
            Some(at) => Ok(Snapshot::new(&self.repo, root, &at)?),
            None if found.is_some() => Ok(Snapshot::new(&self.repo, None, &self.at)?),
            None => Ok(here),
        }
    }

    /// Returns the registry in an edited root tree: the registry in its folder, whatever id its settings have, unless
    /// the folder has no registry.
    pub fn edited_in(&self, root: Oid) -> Result<Snapshot<'_>, RegistryError> {
        let here = Snapshot::new(&self.repo, Some(root), &self.at)?;
        if here.is_registry()? { Ok(here) } else { self.follow_in(Some(root)) }
    }

    /// The folder of the registry with an id in a root tree. In a tree that cannot be searched it is in none.
    fn folder_in(&self, root: Option<Oid>, id: &Id) -> Result<Option<String>, RegistryError> {
        match self.past.finder.folder_of(&self.repo, root, id) {
            Err(TreeError::Vast { .. }) => Ok(None),
            Err(TreeError::Missing(_)) if self.repo.promisor().is_some() => Ok(None),
            found => Ok(found?),
        }
    }

    /// The ids that the registry had in its history: more than one where the settings were changed so by hand.
    fn own_ids(&self) -> Result<&BTreeSet<Id>, RegistryError> {
        if let Some(ids) = self.past.ids.get() {
            return Ok(ids);
        }
        let (mut ids, mut at, mut own) = (BTreeSet::new(), self.at.clone(), None);
        for step in self.head()?.map(|tip| self.repo.first_parents(tip)).transpose()?.into_iter().flatten() {
            let step = match step {
                Ok(step) => step,
                Err(GitError::Shallow) => break,
                Err(e) => return Err(e.into()),
            };
            let state = Snapshot::new(&self.repo, Some(step.tree), &at)?;
            let found = state.id()?.cloned();
            let is_broken = found.is_none() && state.is_registry()?;
            if is_broken || found.is_some() && found == own {
                continue;
            }
            let elsewhere = match &own {
                Some(own) => self.folder_in(Some(step.tree), own)?,
                None => None,
            };
            match (elsewhere, found) {
                (Some(place), _) => at = place,
                (None, Some(id)) => own = Some(id),
                (None, None) if own.is_some() => break,
                (None, None) => {}
            }
            ids.extend(own.clone());
        }
        Ok(self.past.ids.get_or_init(|| ids))
    }

    /// Returns the id of the registry, from the newest commit that has one in its folder.
    fn own_id(&self) -> Result<Option<&Id>, RegistryError> {
        if let Some(id) = self.past.id.get() {
            return Ok(Some(id));
        }
        let Some(tip) = self.head()? else { return Ok(None) };
        Ok(newest_id(&self.repo, &self.at, tip)?.map(|id| self.past.id.get_or_init(|| id)))
    }

    /// Updates the sections of CODEOWNERS after a registry was moved, because they name its files by path.
    pub(super) fn renew_owners(&self, tree: Oid, after: &Snapshot<'_>) -> Result<Oid, RegistryError> {
        let mut patch = Patch::default();
        for (path, text) in codeowners::files_in(&self.repo, Some(tree))? {
            let Some(host) = codeowners::host_of(&text) else { continue };
            let renewed = codeowners::renew(&text, &codeowners::section(host, after)?);
            if renewed != text {
                patch.write(path, renewed);
            }
        }
        if patch.is_empty() { Ok(tree) } else { Ok(self.repo.stage(Some(tree), &patch)?) }
    }
}

/// Returns the id of the registry in folder `at`, from the newest commit up to `tip` that has one there: the registry may
/// have been moved since, or its settings cannot be read. Only the newest commits are searched.
///
/// # Errors
/// If an object cannot be read.
pub fn newest_id(repo: &Repo, at: &str, tip: Oid) -> Result<Option<Id>, GitError> {
    for step in repo.first_parents(tip)?.take(MAX_BACK) {
        let tree = match step {
            Ok(step) => step.tree,
            Err(GitError::Shallow) => return Ok(None),
            Err(e) => return Err(e),
        };
        if let Some(id) = Snapshot::new(repo, Some(tree), at)?.id()? {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

/// Returns the earlier folders of the registry that is in folder `at` at a commit, as far as the history is available.
pub fn past_folders(repo: &Repo, tip: Oid, at: &str) -> Result<BTreeSet<String>, GitError> {
    let (mut out, finder) = (BTreeSet::new(), Finder::default());
    let Some(id) = Snapshot::new(repo, Some(repo.tree_of(&tip)?), at)?.id()?.cloned() else { return Ok(out) };
    let mut at = at.to_owned();
    for step in repo.first_parents(tip)? {
        let commit = match step {
            Ok(step) => step.commit,
            Err(GitError::Shallow) => break,
            Err(e) => return Err(e),
        };
        let root = Some(repo.tree_of(&commit)?);
        let state = Snapshot::new(repo, root, &at)?;
        let is_here = match state.id()? {
            Some(found) => *found == id,
            None => state.is_registry()?,
        };
        if is_here {
            continue;
        }
        let Some(found) = finder.folder_of(repo, root, &id)? else { break };
        at.clone_from(&found);
        out.insert(found);
    }
    Ok(out)
}
