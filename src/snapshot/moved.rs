//! The folder of a registry in a tree: which folders hold one, and where the registry of an id lies.

use super::Snapshot;
use super::places::{Finder, OWN};
use crate::name::Id;
use crate::tree::{Entry, Kind, Objects, Oid, TreeError};

/// The entries of a registry that may not stay behind where it is moved from.
pub(super) const CORE: [&str; 7] =
    ["greenroom.toml", "access.toml", "models", "people", "webhooks", ".greenroom", ".taplo.toml"];

/// The folders of a tree that hold a registry: its root, the folders at its top, and those of `named`. Each is empty for
/// the root, or ends in a slash.
pub fn folders(objects: &dyn Objects, root: Option<Oid>, named: &[String]) -> Result<Vec<String>, TreeError> {
    let Some(root) = root else { return Ok(Vec::new()) };
    let holds = |at: &str| -> Result<bool, TreeError> {
        Ok(Snapshot::new(objects, Some(root), at)?.entry("greenroom.toml")?.is_some())
    };
    let mut out = Vec::new();
    let at_root = holds("")?;
    if at_root {
        out.push(String::new());
    }
    for entry in objects.tree(&root)?.iter().filter(|e| e.kind == Kind::Tree) {
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
    /// The registry with an id, in folder `at` if it lies there, or else in the folder where it lies in this tree; where it
    /// lies in none, what is in folder `at`.
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
            None => here.entry("greenroom.toml")?.is_none(),
        };
        match finder.folder_of(objects, root.filter(|_| is_other), id)? {
            Some(at) => Self::new(objects, root, &at),
            None => Ok(here),
        }
    }

    /// The id of the registry; none where there is none, or its settings cannot be read.
    pub fn id(&self) -> Result<Option<&Id>, TreeError> {
        Ok(self.settings()?.map(|s| &s.id))
    }

    /// Whether this registry lay in another folder in an earlier state.
    pub fn was_elsewhere(&self, before: &Snapshot<'_>) -> Result<bool, TreeError> {
        Ok(before.at != self.at && before.id()?.is_some() && before.id()? == self.id()?)
    }

    /// What lies at a path from the root of the repository.
    pub fn entry_of_whole(&self, path: &str) -> Result<Option<Entry>, TreeError> {
        match &self.whole {
            Some(whole) => super::descend(self.objects, whole, path),
            None => Ok(None),
        }
    }

    /// The files and folders of a registry that lie in folder `at` of the repository, though the registry lies elsewhere.
    pub fn left_at(&self, at: &str) -> Result<Vec<String>, TreeError> {
        let mut out = Vec::new();
        for name in CORE {
            let path = format!("{at}{name}");
            // Where the registry moved to may lie in the folder that it left, but never in one of its own folders.
            if self.entry_of_whole(&path)?.is_some() {
                out.push(path);
            }
        }
        Ok(out)
    }
}

/// Whether an entry at the root of the repository is a registry's own, so that it moves with it. `.gitattributes`
/// is not among them: it may be the repository's as well.
pub fn moves_from_root(name: &str) -> bool {
    CORE.contains(&name)
}

/// Whether a path leads into a folder of a registry's own.
pub fn is_own_folder(path: &str) -> bool {
    path.split('/').next().is_some_and(|first| OWN.contains(&first))
}
