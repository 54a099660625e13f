//! Finds a registry again after its branch was renamed or its folder was moved while a process follows it.
//!
//! A long-running process holds a branch and a folder. If the branch is gone, the process continues with HEAD's branch,
//! if that branch's history contains the last seen commit. If the folder is gone, the registry is searched for by its
//! id. Anything else is an error with a reason, and never an empty registry.

use super::{DETACHED, Registry, RegistryError, branch};
use crate::snapshot::{self, Snapshot};
use crate::tree::Oid;

/// The largest number of steps of another branch that are searched for the last seen commit.
const MAX_STEPS: usize = 100_000;

/// The location of a registry in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLocation {
    /// The full name of the branch.
    pub branch: String,
    /// The folder: empty, or ending in a slash.
    pub at: String,
}

impl Registry {
    /// Returns the current branch and folder.
    pub fn place(&self) -> RegistryLocation {
        RegistryLocation { branch: self.branch.clone(), at: self.at.clone() }
    }

    /// Returns the same repository with another branch and folder.
    pub fn at_place(self, place: &RegistryLocation) -> Self {
        Self {
            branch: place.branch.clone(),
            at: place.at.clone(),
            past: super::former_folders::FormerFolders::default(),
            ..self
        }
    }

    /// Switches to another branch and folder.
    pub fn follow_to(&mut self, place: &RegistryLocation) {
        self.branch.clone_from(&place.branch);
        self.at.clone_from(&place.at);
        self.past = super::former_folders::FormerFolders::default();
    }

    /// Returns the registry's new location, given the last seen commit; `None` if the location did not change.
    ///
    /// # Errors
    /// [`RegistryError::BranchGone`] or [`RegistryError::RegistryGone`] if it cannot be found; other [`RegistryError`]s
    /// if an object cannot be read.
    pub fn new_place(&self, seen: Oid) -> Result<Option<RegistryLocation>, RegistryError> {
        let (branch, tip) = match self.head()? {
            Some(tip) => (self.branch.clone(), tip),
            None => self.renamed(seen)?,
        };
        let at = self.folder_now(&branch, tip, seen)?;
        let place = RegistryLocation { branch, at };
        Ok(Some(place).filter(|place| *place != self.place()))
    }

    /// Returns HEAD's branch, if its history contains the last seen commit.
    fn renamed(&self, seen: Oid) -> Result<(String, Oid), RegistryError> {
        let head = branch(&self.repo)?;
        let gone = || RegistryError::BranchGone { branch: self.branch.clone(), head: head.clone() };
        if head == self.branch || head == DETACHED {
            return Err(gone());
        }
        let tip = self.repo.reference(&head)?.ok_or_else(gone)?;
        for step in self.repo.first_parents(tip)?.take(MAX_STEPS) {
            if step?.commit == seen {
                return Ok((head, tip));
            }
        }
        Err(gone())
    }

    /// Returns the folder of the registry in the newest commit.
    fn folder_now(&self, branch: &str, tip: Oid, seen: Oid) -> Result<String, RegistryError> {
        let root = self.repo.tree_of(&tip)?;
        let has = |root: Oid, at: &str| -> Result<bool, RegistryError> {
            Ok(Snapshot::new(&self.repo, Some(root), at)?.is_registry()?)
        };
        let id = |root: Oid, at: &str| -> Result<Option<crate::name::Id>, RegistryError> {
            Ok(Snapshot::new(&self.repo, Some(root), at)?.id()?.cloned())
        };
        let before = self.repo.tree_of(&seen)?;
        let is_there = has(root, &self.at)?;
        // If there was no registry before, it cannot be lost; another one may be there now.
        if !has(before, &self.at)? || is_there && id(root, &self.at)? == id(before, &self.at)? {
            return Ok(self.at.clone());
        }
        if let Some(own) = id(before, &self.at)? {
            let mut found = Vec::new();
            for at in self.folders(tip)? {
                if id(root, &at)?.as_ref() == Some(&own) {
                    found.push(at);
                }
            }
            // If there are two copies, neither is known to be the registry.
            if let [one] = found.as_slice() {
                return Ok(one.clone());
            }
        }
        if is_there {
            return Ok(self.at.clone());
        }
        Err(RegistryError::RegistryGone { branch: branch.to_owned(), at: self.at.clone() })
    }

    /// Returns the folders in a commit that contain a registry, at any depth.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn folders(&self, commit: Oid) -> Result<Vec<String>, RegistryError> {
        Ok(snapshot::registries(&self.repo, Some(self.repo.tree_of(&commit)?))?)
    }
}
