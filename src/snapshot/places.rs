//! The folders of a repository that hold a registry, at any depth: in one tree, and in the difference of two.
//!
//! A registry is a folder with a file `greenroom.toml`. The registry's own folders are not searched for other
//! registries.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Snapshot;
use crate::name::Id;
use crate::tree::{EntryKind, Objects, Oid, TreeEntry, TreeError};

/// The entries of a registry that may not stay in its old folder after a move.
pub(super) const CORE: [&str; 7] =
    ["greenroom.toml", "access.toml", "models", "people", "webhooks", ".greenroom", ".taplo.toml"];

/// Folders that belong to a registry; no other registry is searched in them.
pub(super) const OWN: [&str; 5] = ["models", "people", "webhooks", ".greenroom", ".github"];

/// How many levels deep folders are searched.
const MAX_DEPTH: usize = 128;

/// How many folders are searched. A subtree without a registry is searched once, however often it occurs.
const MAX_FOLDERS: usize = 500_000;

/// Returns all folders of a tree that hold a registry, sorted. A folder is empty for the root, or ends in a slash.
///
/// # Errors
/// [`TreeError::Vast`] for a tree that is too deep or large to be searched; other errors if a tree cannot be read.
pub fn registries(objects: &dyn Objects, root: Option<Oid>) -> Result<Vec<String>, TreeError> {
    let mut search = Search { objects, barren: HashSet::new(), seen: 0 };
    let mut out = BTreeSet::new();
    if let Some(root) = root {
        search.all("", root, 0, &mut out)?;
    }
    Ok(out.into_iter().collect())
}

/// Returns the folders that hold a registry in the first tree, and those in the second. Only folders that differ are
/// searched, so the cost follows the size of the change.
///
/// # Errors
/// [`TreeError::Vast`] for a change that is too deep or large to be searched; other errors if a tree cannot be read.
pub fn changed_registries(
    objects: &dyn Objects,
    before: Option<Oid>,
    after: Option<Oid>,
) -> Result<(BTreeSet<String>, BTreeSet<String>), TreeError> {
    let mut search = Search { objects, barren: HashSet::new(), seen: 0 };
    let mut out = (BTreeSet::new(), BTreeSet::new());
    search.changed("", (before, after), 0, &mut out)?;
    Ok(out)
}

/// A search for registries in many trees of one repository. A subtree without registries is read once.
#[derive(Debug, Default)]
pub struct Finder {
    /// Subtrees without registries.
    barren: RefCell<HashSet<Oid>>,
    /// The folder in which a registry was found last; usually the next tree has it there too.
    last: RefCell<Option<String>>,
}

impl Finder {
    /// Returns a finder that looks in this folder first.
    pub fn beginning(at: &str) -> Self {
        Self { last: RefCell::new(Some(at.to_owned())), ..Self::default() }
    }

    /// Returns the folder of the registry with an id, at any depth. Returns `None` if no folder holds it, or if several
    /// do: none of the copies is then known to be the registry. The folder of the last answer is looked at first, and wins
    /// if it still holds the registry.
    ///
    /// # Errors
    /// [`TreeError::Vast`] for a tree that is too deep or large to be searched.
    pub fn folder_of(&self, objects: &dyn Objects, root: Option<Oid>, id: &Id) -> Result<Option<String>, TreeError> {
        let lies_in = |at: &str| Ok::<_, TreeError>(Snapshot::new(objects, root, at)?.id()? == Some(id));
        let last = self.last.borrow().clone();
        if let Some(at) = last
            && lies_in(&at)?
        {
            return Ok(Some(at));
        }
        let Some(tree) = root else { return Ok(None) };
        let mut search = Search { objects, barren: self.barren.take(), seen: 0 };
        let mut all = BTreeSet::new();
        let searched = search.all("", tree, 0, &mut all);
        self.barren.replace(search.barren);
        searched?;
        let mut found = Vec::new();
        for at in all {
            if lies_in(&at)? {
                found.push(at);
            }
        }
        let one = if found.len() == 1 { found.pop() } else { None };
        if one.is_some() {
            self.last.replace(one.clone());
        }
        Ok(one)
    }
}

/// Returns the folders, at any depth, that get a file with the name of a registry's file at their top between two trees.
/// Each folder comes with the first of these files. The search reads only folders that differ, and no registry's own
/// folders.
///
/// # Errors
/// [`TreeError::Vast`] for a change that is too deep or large to be searched.
pub fn where_files_came(objects: &dyn Objects, before: Oid, after: Oid) -> Result<BTreeMap<String, String>, TreeError> {
    let mut search = Search { objects, barren: HashSet::new(), seen: 0 };
    let mut out = BTreeMap::new();
    search.came("", (Some(before), after), 0, &mut out)?;
    Ok(out)
}

struct Search<'o> {
    objects: &'o dyn Objects,
    /// Subtrees without a registry.
    barren: HashSet<Oid>,
    seen: usize,
}

impl Search<'_> {
    /// Returns whether a tree holds a registry, and its subfolders in which registries may lie.
    fn look(&mut self, tree: Oid, depth: usize) -> Result<(bool, Vec<TreeEntry>), TreeError> {
        self.seen += 1;
        if self.seen > MAX_FOLDERS || depth > MAX_DEPTH {
            return Err(TreeError::Vast { id: tree, folders: MAX_FOLDERS, depth: MAX_DEPTH });
        }
        let entries = self.objects.tree(&tree)?;
        let holds = entries.iter().any(|e| e.name == "greenroom.toml" && e.kind != EntryKind::Tree);
        let searched = |e: &&TreeEntry| e.kind == EntryKind::Tree && !(holds && OWN.contains(&e.name.as_str()));
        Ok((holds, entries.iter().filter(searched).cloned().collect()))
    }

    /// Adds all registries of a tree, and returns whether there are any.
    fn all(&mut self, at: &str, tree: Oid, depth: usize, out: &mut BTreeSet<String>) -> Result<bool, TreeError> {
        if self.barren.contains(&tree) {
            return Ok(false);
        }
        let (holds, folders) = self.look(tree, depth)?;
        if holds {
            out.insert(at.to_owned());
        }
        let mut any = holds;
        for folder in folders {
            any |= self.all(&format!("{at}{}/", folder.name), folder.id, depth + 1, out)?;
        }
        if !any {
            self.barren.insert(tree);
        }
        Ok(any)
    }

    fn came(
        &mut self,
        at: &str,
        (before, after): (Option<Oid>, Oid),
        depth: usize,
        out: &mut BTreeMap<String, String>,
    ) -> Result<(), TreeError> {
        let old = before.map(|before| self.objects.tree(&before)).transpose()?;
        let known = |name: &str| old.as_ref().and_then(|old| old.iter().find(|e| e.name == name));
        let (_, folders) = self.look(after, depth)?;
        let entries = self.objects.tree(&after)?;
        let came = CORE.iter().find(|name| known(name).is_none() && entries.iter().any(|e| e.name == **name));
        if let Some(name) = came {
            out.insert(at.to_owned(), format!("{at}{name}"));
        }
        for folder in folders {
            let before = known(&folder.name).filter(|e| e.kind == EntryKind::Tree).map(|e| e.id);
            if before != Some(folder.id) {
                self.came(&format!("{at}{}/", folder.name), (before, folder.id), depth + 1, out)?;
            }
        }
        Ok(())
    }

    fn changed(
        &mut self,
        at: &str,
        trees: (Option<Oid>, Option<Oid>),
        depth: usize,
        out: &mut (BTreeSet<String>, BTreeSet<String>),
    ) -> Result<(), TreeError> {
        let (before, after) = match trees {
            (before, after) if before == after => return Ok(()),
            (None, None) => return Ok(()),
            (Some(before), None) => return self.all(at, before, depth, &mut out.0).map(drop),
            (None, Some(after)) => return self.all(at, after, depth, &mut out.1).map(drop),
            (Some(before), Some(after)) => (before, after),
        };
        let (held, old) = self.look(before, depth)?;
        let (holds, new) = self.look(after, depth)?;
        if held {
            out.0.insert(at.to_owned());
        }
        if holds {
            out.1.insert(at.to_owned());
        }
        let mut pairs: BTreeMap<String, (Option<Oid>, Option<Oid>)> = BTreeMap::new();
        for entry in old {
            pairs.entry(entry.name).or_default().0 = Some(entry.id);
        }
        for entry in new {
            pairs.entry(entry.name).or_default().1 = Some(entry.id);
        }
        for (name, pair) in pairs {
            self.changed(&format!("{at}{name}/"), pair, depth + 1, out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::rc::Rc;

    use super::*;

    /// Trees in memory, with ids by number.
    #[derive(Default)]
    struct Trees(HashMap<Oid, Rc<[TreeEntry]>>);

    impl Trees {
        fn add(&mut self, entries: &[(&str, EntryKind, Oid)]) -> Oid {
            let id = id(self.0.len() + 1);
            let entry = |(name, kind, id): &(&str, EntryKind, Oid)| TreeEntry {
                name: (*name).to_owned(),
                kind: *kind,
                id: *id,
            };
            self.0.insert(id, entries.iter().map(entry).collect());
            id
        }
    }

    impl Objects for Trees {
        fn tree(&self, id: &Oid) -> Result<Rc<[TreeEntry]>, TreeError> {
            self.0.get(id).cloned().ok_or(TreeError::Missing(*id))
        }

        fn blob(&self, id: &Oid, _: u64) -> Result<Vec<u8>, TreeError> {
            Err(TreeError::Missing(*id))
        }
    }

    fn id(n: usize) -> Oid {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Oid::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn registries_are_found_at_any_depth_but_not_in_folders_of_a_registry() {
        let mut trees = Trees::default();
        let file = ("greenroom.toml", EntryKind::File, id(9_000));
        let leaf = trees.add(&[file]);
        let registry = trees.add(&[file, ("docs", EntryKind::Tree, leaf), ("models", EntryKind::Tree, leaf)]);
        let mut tree = registry;
        for _ in 0..20 {
            tree = trees.add(&[("a", EntryKind::Tree, tree), ("b", EntryKind::Tree, id(9_999))]);
            trees.0.entry(id(9_999)).or_insert_with(|| Rc::from([]));
        }
        let deep = "a/".repeat(20);
        assert_eq!(registries(&trees, Some(tree)).unwrap(), [deep.clone(), format!("{deep}docs/")]);
    }

    #[test]
    fn only_what_differs_is_searched() {
        let mut trees = Trees::default();
        let (one, two) =
            (("greenroom.toml", EntryKind::File, id(9_000)), ("greenroom.toml", EntryKind::File, id(9_001)));
        let (same, old, new) = (trees.add(&[one]), trees.add(&[one]), trees.add(&[two]));
        let (old, new) = (trees.add(&[("x", EntryKind::Tree, old)]), trees.add(&[("x", EntryKind::Tree, new)]));
        // The store does not even hold the tree that both sides share.
        let unread = ("unread", EntryKind::Tree, id(9_998));
        let before = trees.add(&[("gone", EntryKind::Tree, same), ("ml", EntryKind::Tree, old), unread]);
        let after = trees.add(&[("came", EntryKind::Tree, same), ("ml", EntryKind::Tree, new), unread]);
        let (there, come) = changed_registries(&trees, Some(before), Some(after)).unwrap();
        assert_eq!(there.into_iter().collect::<Vec<_>>(), ["gone/", "ml/x/"]);
        assert_eq!(come.into_iter().collect::<Vec<_>>(), ["came/", "ml/x/"]);
    }

    #[test]
    fn a_tree_of_shared_subtrees_is_searched_once_and_one_that_is_too_deep_is_refused() {
        let mut trees = Trees::default();
        let mut tree = trees.add(&[]);
        for _ in 0..100 {
            tree =
                trees.add(&[("a", EntryKind::Tree, tree), ("b", EntryKind::Tree, tree), ("c", EntryKind::Tree, tree)]);
        }
        assert!(registries(&trees, Some(tree)).unwrap().is_empty());
        for _ in 0..100 {
            tree = trees.add(&[("a", EntryKind::Tree, tree)]);
        }
        assert!(matches!(registries(&trees, Some(tree)), Err(TreeError::Vast { .. })));
        assert!(matches!(changed_registries(&trees, None, Some(tree)), Err(TreeError::Vast { .. })));
    }
}
