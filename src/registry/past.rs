//! The folder of a registry in other snapshots than the newest: before or after the registry was moved.
//!
//! A registry is identified by its id. If its folder has no registry, the folders that a gate searches for registries
//! are searched for the id. So the cost arises only for snapshots in which the registry was elsewhere.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::{NAMED_FOLDERS, Registry, RegistryError};
use crate::codeowners;
use crate::git::{GitError, Repo};
use crate::name::Id;
use crate::snapshot::{self, Snapshot};
use crate::tree::{Oid, Patch, Stage as _};

/// How many of the newest commits are searched for the registry's id if its folder is empty in the newest one.
const MAX_BACK: usize = 1_000;

/// Cached data of the registry.
#[derive(Debug, Default)]
pub(super) struct Past {
    id: OnceCell<Id>,
    named: OnceCell<Vec<String>>,
}

/// Returns the folders that the settings of a repository name.
pub fn named_folders(repo: &Repo) -> Vec<String> {
    let slash = |at: String| format!("{}/", at.trim_matches('/'));
    repo.own_settings(NAMED_FOLDERS).into_iter().map(slash).collect()
}

impl Registry {
    /// Returns the registry in a root tree: in its folder, or wherever it is in that tree.
    pub(super) fn follow_in(&self, root: Option<Oid>) -> Result<Snapshot<'_>, RegistryError> {
        let here = Snapshot::new(&self.repo, root, &self.at)?;
        if root.is_none() || here.entry("greenroom.toml")?.is_some() {
            return Ok(here);
        }
        let Some(id) = self.own_id()? else { return Ok(here) };
        match snapshot::folder_of(&self.repo, root, id, self.named())? {
            Some(at) => Ok(Snapshot::new(&self.repo, root, &at)?),
            None => Ok(here),
        }
    }

    /// Returns the folders in which this repository's gate searches for registries, besides the root and the top
    /// folders.
    pub fn named(&self) -> &[String] {
        self.past.named.get_or_init(|| named_folders(&self.repo))
    }

    /// Returns the id of the registry, from the newest commit that has one in its folder.
    fn own_id(&self) -> Result<Option<&Id>, RegistryError> {
        if let Some(id) = self.past.id.get() {
            return Ok(Some(id));
        }
        let Some(tip) = self.head()? else { return Ok(None) };
        for step in self.repo.first_parents(tip)?.take(MAX_BACK) {
            let commit = match step {
                Ok(step) => step.commit,
                Err(GitError::Shallow) => return Ok(None),
                Err(e) => return Err(e.into()),
            };
            let state = Snapshot::new(&self.repo, Some(self.repo.tree_of(&commit)?), &self.at)?;
            if let Some(id) = state.id()?.cloned() {
                return Ok(Some(self.past.id.get_or_init(|| id)));
            }
        }
        Ok(None)
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

/// Returns the earlier folders of the registry that is in folder `at` at a commit, as far as the history is available.
///
/// # Errors
/// [`GitError`] if an object cannot be read.
pub fn past_folders(repo: &Repo, tip: Oid, at: &str, named: &[String]) -> Result<BTreeSet<String>, GitError> {
    let mut out = BTreeSet::new();
    let Some(id) = Snapshot::new(repo, Some(repo.tree_of(&tip)?), at)?.id()?.cloned() else { return Ok(out) };
    let mut at = at.to_owned();
    for step in repo.first_parents(tip)? {
        let commit = match step {
            Ok(step) => step.commit,
            Err(GitError::Shallow) => break,
            Err(e) => return Err(e),
        };
        let root = Some(repo.tree_of(&commit)?);
        if Snapshot::new(repo, root, &at)?.entry("greenroom.toml")?.is_some() {
            continue;
        }
        let Some(found) = snapshot::folder_of(repo, root, &id, named)? else { break };
        at.clone_from(&found);
        out.insert(found);
    }
    Ok(out)
}
