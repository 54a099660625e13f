//! Finding a registry again whose branch was renamed, or whose folder was moved, while somebody follows it.
//!
//! Whoever follows a registry for long holds a branch and a folder. A branch that is gone is followed to the branch that
//! HEAD is on, if the history of that one goes on from what was seen; a folder that is gone is looked for by the id of
//! the registry. Anything else is an error with its reason, and never an empty registry.

use super::{DETACHED, Registry, RegistryError, branch};
use crate::snapshot::{self, Snapshot};
use crate::tree::Oid;

/// How many steps of another branch are searched for what was seen.
const MAX_STEPS: usize = 100_000;

/// Where a registry is in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The branch, in full.
    pub branch: String,
    /// The folder: empty, or ending in a slash.
    pub at: String,
}

impl Registry {
    /// The branch and the folder that are followed.
    pub fn place(&self) -> Place {
        Place { branch: self.branch.clone(), at: self.at.clone() }
    }

    /// The same repository, followed at another place.
    pub fn at_place(self, place: &Place) -> Self {
        Self { branch: place.branch.clone(), at: place.at.clone(), past: super::past::Past::default(), ..self }
    }

    /// Follows the registry to another place.
    pub fn follow_to(&mut self, place: &Place) {
        self.branch.clone_from(&place.branch);
        self.at.clone_from(&place.at);
        self.past = super::past::Past::default();
    }

    /// The place where the registry is now of which a commit was seen last; none if it is where it was.
    ///
    /// # Errors
    /// [`RegistryError::BranchGone`] and [`RegistryError::RegistryGone`] where it cannot be found.
    pub fn new_place(&self, seen: Oid) -> Result<Option<Place>, RegistryError> {
        let (branch, tip) = match self.head()? {
            Some(tip) => (self.branch.clone(), tip),
            None => self.renamed(seen)?,
        };
        let at = self.folder_now(&branch, tip, seen)?;
        let place = Place { branch, at };
        Ok(Some(place).filter(|place| *place != self.place()))
    }

    /// The branch that HEAD is on, if it goes on from what was seen.
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

    /// The folder of the registry in the newest commit.
    fn folder_now(&self, branch: &str, tip: Oid, seen: Oid) -> Result<String, RegistryError> {
        let root = self.repo.tree_of(&tip)?;
        let has = |root: Oid, at: &str| -> Result<bool, RegistryError> {
            Ok(Snapshot::new(&self.repo, Some(root), at)?.entry("greenroom.toml")?.is_some())
        };
        let id = |root: Oid, at: &str| -> Result<Option<crate::name::Id>, RegistryError> {
            Ok(Snapshot::new(&self.repo, Some(root), at)?.id()?.cloned())
        };
        let before = self.repo.tree_of(&seen)?;
        let is_there = has(root, &self.at)?;
        // Where nothing was seen of a registry, there is none to be missed; another one may lie there now.
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
            // Two copies: neither is known to be the registry.
            if let [one] = found.as_slice() {
                return Ok(one.clone());
            }
        }
        if is_there {
            return Ok(self.at.clone());
        }
        Err(RegistryError::RegistryGone { branch: branch.to_owned(), at: self.at.clone() })
    }

    /// The folders in a commit that hold a registry, at any depth.
    pub fn folders(&self, commit: Oid) -> Result<Vec<String>, RegistryError> {
        Ok(snapshot::registries(&self.repo, Some(self.repo.tree_of(&commit)?))?)
    }
}
