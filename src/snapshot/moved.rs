//! The folder of a registry in a tree: which folders hold one, and which folder holds the registry with an id.

use super::Snapshot;
use super::places::CORE;
use super::places::{Finder, OWN};
use crate::name::Id;
use crate::tree::{EntryKind, Objects, Oid, TreeEntry, TreeError};

/// Returns the folders of a tree that hold a registry: the root, folders at the top, and folders of `named`. A folder
/// is empty for the root, or ends in a slash.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn folders(objects: &dyn Objects, root: Option<Oid>, named: &[String]) -> Result<Vec<String>, TreeError> {
    let Some(root) = root else { return Ok(Vec::new()) };
    let holds = |at: &str| -> Result<bool, TreeError> { Snapshot::new(objects, Some(root), at)?.is_registry() };
    let mut out = Vec::new();
    let at_root = holds("")?;
    if at_root {
        out.push(String::new());
    }
    for entry in objects.tree(&root)?.iter().filter(|e| e.kind == EntryKind::Tree) {
        let own = at_root && OWN.contains(&entry.name.as_str());
        if !own && objects.tree(&entry.id)?.iter().any(|e| e.name == "greenroom.toml") {
            out.push(format!("{}/", entry.name));
        }
    }
    for at in named {
        if !out.contains(at) && holds(at)? {
            out.push(at.clone());
        }
    }
    Ok(out)
}

impl<'o> Snapshot<'o> {
    /// Returns whether there is a registry: a file `greenroom.toml`, whether or not it can be read.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn is_registry(&self) -> Result<bool, TreeError> {
        Ok(self.entry("greenroom.toml")?.is_some())
    }

    /// Returns the registry with an id: in folder `at`, or else in another folder of this tree. If no folder has it,
    /// returns what is in folder `at`.
    pub fn follow(
        objects: &'o dyn Objects,
        root: Option<Oid>,
        at: &str,
        (id, finder): (Option<&Id>, &Finder),
    ) -> Result<Self, TreeError> {
        let here = Self::new(objects, root, at)?;
        let Some(id) = id.filter(|_| root.is_some()) else { return Ok(here) };
        // Settings that cannot be read are still those of the registry.
        let is_other = match here.id()? {
            Some(found) => found != id,
            None => !here.is_registry()?,
        };
        match finder.folder_of(objects, root.filter(|_| is_other), id)? {
            Some(at) => Self::new(objects, root, &at),
            None => Ok(here),
        }
    }

    /// Returns the id of the registry; `None` if there is no registry, or its settings cannot be read.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn id(&self) -> Result<Option<&Id>, TreeError> {
        Ok(self.settings()?.map(|s| &s.id))
    }

    /// Returns whether this registry lay in another folder in an earlier snapshot.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn was_elsewhere(&self, before: &Snapshot<'_>) -> Result<bool, TreeError> {
        Ok(before.at != self.at && before.id()?.is_some() && before.id()? == self.id()?)
    }

    /// Returns the entry at a path from the root of the repository.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn entry_of_whole(&self, path: &str) -> Result<Option<TreeEntry>, TreeError> {
        match &self.whole {
            Some(whole) => super::descend(self.objects, whole, path),
            None => Ok(None),
        }
    }

    /// Returns the registry's files and folders that remain in folder `at` of the repository although the registry
    /// moved.
    ///
    /// # Errors
    /// If an object of the tree cannot be read.
    pub fn left_at(&self, at: &str) -> Result<Vec<String>, TreeError> {
        let mut out = Vec::new();
        for name in CORE {
            let path = format!("{at}{name}");
            // The new folder of the registry may lie within the old one, but never within one of the registry's own
            // folders.
            if self.entry_of_whole(&path)?.is_some() {
                out.push(path);
            }
        }
        Ok(out)
    }
}

/// Returns whether an entry at the root of the repository moves with its registry. `.gitattributes` does not, because
/// it may belong to the repository as well.
pub fn moves_from_root(name: &str) -> bool {
    CORE.contains(&name)
}

/// Returns whether a path leads into one of the registry's own folders.
pub fn is_own_folder(path: &str) -> bool {
    path.split('/').next().is_some_and(|first| OWN.contains(&first))
}
