//! Trees of files by object id: the one view that the pure core has of a git repository, a folder on disk, or memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

/// An object id: 20 bytes (SHA-1) or 32 (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid {
    bytes: [u8; 32],
    len: u8,
}

impl Oid {
    /// Returns the id of 20 or 32 bytes; `None` for any other length.
    pub fn from_bytes(b: &[u8]) -> Option<Self> {
        let len = u8::try_from(b.len()).ok().filter(|l| matches!(l, 20 | 32))?;
        let mut bytes = [0; 32];
        bytes.get_mut(..b.len())?.copy_from_slice(b);
        Some(Self { bytes, len })
    }

    /// Returns the id of 40 or 64 hexadecimal digits; `None` for any other text.
    pub fn from_hex(s: &str) -> Option<Self> {
        if !s.len().is_multiple_of(2) || !s.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let pairs = s.as_bytes().chunks(2);
        let bytes: Option<Vec<u8>> = pairs.map(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok()).collect();
        Self::from_bytes(&bytes?)
    }

    /// Returns the 20 or 32 bytes of the id.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Returns the first twelve hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

impl schemars::JsonSchema for Oid {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Oid".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The id of an object in git.",
            "type": "string",
            "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"
        })
    }
}

impl serde::Serialize for Oid {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// The kind of a tree entry, by git's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder (040000).
    Tree,
    /// A file (100644).
    File,
    /// An executable file (100755).
    Executable,
    /// A symbolic link (120000).
    Symlink,
    /// A commit of another repository (160000).
    Submodule,
}

impl EntryKind {
    /// Returns whether the entry is a file whose bytes the registry reads.
    pub const fn is_file(self) -> bool {
        match self {
            Self::File | Self::Executable => true,
            Self::Tree | Self::Symlink | Self::Submodule => false,
        }
    }

    /// Returns the name of the kind, for messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tree => "folder",
            Self::File => "file",
            Self::Executable => "executable file",
            Self::Symlink => "symbolic link",
            Self::Submodule => "submodule",
        }
    }
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// The name within the folder. A name that is not UTF-8 has replacement characters, so it matches no known name.
    pub name: String,
    /// The kind, by git's mode.
    pub kind: EntryKind,
    /// The id of the object.
    pub id: Oid,
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The repository does not hold the object.
    #[error("object {0} is missing from the repository; fetch it, or run `git fsck`")]
    Missing(Oid),
    /// The object has the wrong kind or content.
    #[error("object {id} is damaged: {why}")]
    Damaged {
        /// The id of the object.
        id: Oid,
        /// What is wrong with the object.
        why: String,
    },
    /// The file is larger than the caller's limit.
    #[error("object {id} has {size} bytes; at most {max} are read")]
    TooLarge {
        /// The id of the object.
        id: Oid,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// There are too many folders to search, or they are nested too deep.
    #[error("the folders from {id} on cannot be searched: more than {folders} of them, or nested deeper than {depth}")]
    Vast {
        /// The folder at which the search ended.
        id: Oid,
        /// The limit: how many folders are searched.
        folders: usize,
        /// The limit: how many levels deep folders are searched.
        depth: usize,
    },
    /// Reading failed in the operating system or in git.
    #[error("object {id} could not be read")]
    Io {
        /// The id of the object.
        id: Oid,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A store of trees and files by object id.
pub trait Objects {
    /// Returns the entries of a tree in git's order.
    ///
    /// # Errors
    /// [`TreeError::Missing`] if the store does not hold the tree, [`TreeError::Damaged`] if the object is not a valid
    /// tree, [`TreeError::Io`] if reading fails.
    fn tree(&self, id: &Oid) -> Result<Rc<[TreeEntry]>, TreeError>;

    /// Returns the bytes of a file of at most `max` bytes.
    ///
    /// The size is checked before the bytes are read, so a huge file costs nothing.
    ///
    /// # Errors
    /// [`TreeError::TooLarge`] if the file has more than `max` bytes, and the errors of [`Self::tree`].
    fn blob(&self, id: &Oid, max: u64) -> Result<Vec<u8>, TreeError>;
}

/// Changes to files. Paths are relative to the root of the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// The change of each path.
    pub files: BTreeMap<String, TreeChange>,
}

/// The change of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeChange {
    /// Write a file with these bytes.
    Write(Vec<u8>),
    /// Put an object that the store already holds. Moves and copies a file or folder without reading it.
    Link(EntryKind, Oid),
    /// Remove the file, or the folder with all its content.
    Remove,
}

impl Patch {
    /// Adds a file to write.
    pub fn write(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), TreeChange::Write(bytes.into()));
    }

    /// Adds an object of the store to put at a path.
    pub fn link(&mut self, path: impl Into<String>, kind: EntryKind, id: Oid) {
        self.files.insert(path.into(), TreeChange::Link(kind, id));
    }

    /// Adds a file or folder to remove.
    pub fn remove(&mut self, path: impl Into<String>) {
        self.files.insert(path.into(), TreeChange::Remove);
    }

    /// Returns whether the patch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// Why a patch could not be staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The patch writes a path that is not safe on every system.
    #[error("{path} cannot be written: {why}")]
    Path {
        /// The path, quoted.
        path: String,
        /// What is wrong with the path.
        why: String,
    },
    /// An object could not be read.
    #[error(transparent)]
    Object(#[from] TreeError),
}

/// A store that can also build the tree that a patch leads to.
pub trait Stage: Objects {
    /// Returns the id of the tree `root` with the patch applied. The new objects are not visible to others yet.
    ///
    /// Removals happen before writes. So a file can replace a folder, and one patch can move a folder and change its
    /// content.
    ///
    /// # Errors
    /// [`StageError::Path`] for a path that is not safe on every system, [`StageError::Object`] if an object cannot be
    /// read.
    fn stage(&self, root: Option<Oid>, patch: &Patch) -> Result<Oid, StageError>;
}

/// A file that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The path, relative to the two compared trees.
    pub path: String,
    /// The entry before; `None` if the file was added.
    pub before: Option<TreeEntry>,
    /// The entry after; `None` if the file was removed.
    pub after: Option<TreeEntry>,
}

/// Limits of a comparison of two trees.
#[derive(Debug, Clone, Copy)]
pub struct CompareLimits {
    /// How many tree entries are compared at most.
    pub entries: usize,
    /// How many levels deep folders are compared at most.
    pub depth: usize,
}

impl Default for CompareLimits {
    fn default() -> Self {
        Self { entries: 20_000_000, depth: 64 }
    }
}

/// A store and a tree in it; `None` for the empty tree.
pub type TreeSide<'o> = (&'o dyn Objects, Option<Oid>);

/// Lists the files that differ between two trees, sorted by path. Folders with the same id are skipped unread, so the
/// cost follows the size of the change.
///
/// # Errors
/// [`TreeError::Damaged`] beyond the limits, because a verdict must never rest on half a comparison; the errors of
/// [`Objects::tree`] if a tree cannot be read.
pub fn changes(before: TreeSide<'_>, after: TreeSide<'_>, limits: CompareLimits) -> Result<Vec<FileChange>, TreeError> {
    let mut walk = Walk { before: before.0, after: after.0, limits, seen: 0, out: Vec::new() };
    walk.compare("", before.1, after.1, 0)?;
    walk.out.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.out)
}

struct Walk<'o> {
    before: &'o dyn Objects,
    after: &'o dyn Objects,
    limits: CompareLimits,
    seen: usize,
    out: Vec<FileChange>,
}

impl Walk<'_> {
    fn compare(&mut self, at: &str, before: Option<Oid>, after: Option<Oid>, depth: usize) -> Result<(), TreeError> {
        if before == after {
            return Ok(());
        }
        let nothing: Rc<[TreeEntry]> = Rc::new([]);
        let old = before.map_or_else(|| Ok(nothing.clone()), |id| self.before.tree(&id))?;
        let new = after.map_or_else(|| Ok(nothing.clone()), |id| self.after.tree(&id))?;
        self.seen = self.seen.saturating_add(old.len()).saturating_add(new.len());
        if self.seen > self.limits.entries || depth > self.limits.depth {
            let id = after.or(before).unwrap_or(Oid { bytes: [0; 32], len: 20 });
            let CompareLimits { entries, depth } = self.limits;
            let why = format!("it leads to more than {entries} entries, or folders deeper than {depth}");
            return Err(TreeError::Damaged { id, why });
        }
        // Most often two versions of a folder differ in few entries: skip the equal ones at the start and at the end.
        let same = |pair: &(&TreeEntry, &TreeEntry)| pair.0 == pair.1;
        let begin = old.iter().zip(new.iter()).take_while(same).count();
        let (old, new) = (old.get(begin..).unwrap_or_default(), new.get(begin..).unwrap_or_default());
        let end = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
        let mut pairs: BTreeMap<&str, (Option<&TreeEntry>, Option<&TreeEntry>)> = BTreeMap::new();
        for e in old.iter().take(old.len() - end) {
            pairs.entry(&e.name).or_default().0 = Some(e);
        }
        for e in new.iter().take(new.len() - end) {
            pairs.entry(&e.name).or_default().1 = Some(e);
        }
        for (name, (old, new)) in pairs {
            if old.map(|e| (e.kind, e.id)) == new.map(|e| (e.kind, e.id)) {
                continue;
            }
            let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
            let tree = |e: Option<&TreeEntry>| e.filter(|e| e.kind == EntryKind::Tree).map(|e| e.id);
            let file = |e: Option<&TreeEntry>| e.filter(|e| e.kind != EntryKind::Tree).cloned();
            if tree(old).is_some() || tree(new).is_some() {
                self.compare(&path, tree(old), tree(new), depth + 1)?;
            }
            let (before, after) = (file(old), file(new));
            if before.is_some() || after.is_some() {
                self.out.push(FileChange { path, before, after });
            }
        }
        Ok(())
    }
}

/// Trees in memory, with ids of their own (SHA-256 of the content). Used by tests, and for a folder on disk.
#[derive(Debug, Default)]
pub struct Memory {
    trees: RefCell<HashMap<Oid, Rc<[TreeEntry]>>>,
    blobs: RefCell<HashMap<Oid, Rc<[u8]>>>,
}

impl Memory {
    /// Stores bytes and returns their id.
    pub fn put_blob(&self, bytes: &[u8]) -> Oid {
        let id = address(b"blob\0", bytes);
        self.blobs.borrow_mut().entry(id).or_insert_with(|| Rc::from(bytes));
        id
    }

    /// Stores a tree and returns its id. Sorts the entries in git's order.
    pub fn put_tree(&self, mut entries: Vec<TreeEntry>) -> Oid {
        entries.sort_by(|a, b| git_order(a).cmp(git_order(b)));
        let mut bytes = Vec::new();
        for e in &entries {
            bytes.extend_from_slice(e.kind.as_str().as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(e.name.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(e.id.as_bytes());
        }
        let id = address(b"tree\0", &bytes);
        self.trees.borrow_mut().entry(id).or_insert_with(|| entries.into());
        id
    }

    /// Stores files by path and returns the id of the root tree.
    pub fn put_files<'p>(&self, files: impl IntoIterator<Item = (&'p str, &'p [u8])>) -> Oid {
        let mut patch = Patch::default();
        for (path, bytes) in files {
            patch.write(path, bytes);
        }
        self.apply(None, &sorted(&patch)).unwrap_or_else(|| self.put_tree(Vec::new()))
    }

    /// Applies changes, given as path parts, to a tree. Returns `None` if the tree becomes empty.
    fn apply(&self, root: Option<Oid>, changes: &[(Vec<&str>, &TreeChange)]) -> Option<Oid> {
        let mut entries: BTreeMap<String, (EntryKind, Oid)> = BTreeMap::new();
        if let Some(tree) = root.and_then(|r| self.trees.borrow().get(&r).cloned()) {
            entries.extend(tree.iter().map(|e| (e.name.clone(), (e.kind, e.id))));
        }
        let mut at = 0;
        while let Some((path, _)) = changes.get(at) {
            let Some(&name) = path.first() else {
                at += 1;
                continue;
            };
            let same = changes.iter().skip(at).take_while(|(p, _)| p.first() == Some(&name)).count();
            let mut inner = Vec::new();
            for (path, change) in changes.iter().skip(at).take(same) {
                let rest: Vec<&str> = path.iter().skip(1).copied().collect();
                if !rest.is_empty() {
                    inner.push((rest, *change));
                    continue;
                }
                match change {
                    TreeChange::Write(bytes) => {
                        entries.insert(name.to_owned(), (EntryKind::File, self.put_blob(bytes)))
                    }
                    TreeChange::Link(kind, id) => entries.insert(name.to_owned(), (*kind, *id)),
                    TreeChange::Remove => entries.remove(name),
                };
            }
            if !inner.is_empty() {
                let below = entries.get(name).filter(|(k, _)| *k == EntryKind::Tree).map(|(_, id)| *id);
                match self.apply(below, &inner) {
                    Some(id) => entries.insert(name.to_owned(), (EntryKind::Tree, id)),
                    None => entries.remove(name),
                };
            }
            at += same;
        }
        let entries: Vec<TreeEntry> =
            entries.into_iter().map(|(name, (kind, id))| TreeEntry { name, kind, id }).collect();
        if entries.is_empty() { None } else { Some(self.put_tree(entries)) }
    }
}

/// Returns the changes of a patch by path parts, sorted so that the changes of one folder are together.
fn sorted(patch: &Patch) -> Vec<(Vec<&str>, &TreeChange)> {
    let mut changes: Vec<(Vec<&str>, &TreeChange)> =
        patch.files.iter().map(|(p, c)| (p.split('/').filter(|s| !s.is_empty()).collect(), c)).collect();
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes
}

/// Returns the sort key of an entry: git sorts a folder as if its name ended in a slash.
fn git_order(e: &TreeEntry) -> impl Iterator<Item = u8> + '_ {
    let slash = (e.kind == EntryKind::Tree).then_some(b'/');
    e.name.bytes().chain(slash)
}

fn address(kind: &[u8], bytes: &[u8]) -> Oid {
    let hash = Sha256::new().chain_update(kind).chain_update(bytes).finalize();
    let mut oid = Oid { bytes: [0; 32], len: 32 };
    oid.bytes.copy_from_slice(&hash);
    oid
}

impl Objects for Memory {
    fn tree(&self, id: &Oid) -> Result<Rc<[TreeEntry]>, TreeError> {
        self.trees.borrow().get(id).cloned().ok_or(TreeError::Missing(*id))
    }

    fn blob(&self, id: &Oid, max: u64) -> Result<Vec<u8>, TreeError> {
        let blobs = self.blobs.borrow();
        let bytes = blobs.get(id).ok_or(TreeError::Missing(*id))?;
        let size = bytes.len() as u64;
        if size > max { Err(TreeError::TooLarge { id: *id, size, max }) } else { Ok(bytes.to_vec()) }
    }
}

impl Stage for Memory {
    fn stage(&self, root: Option<Oid>, patch: &Patch) -> Result<Oid, StageError> {
        Ok(self.apply(root, &sorted(patch)).unwrap_or_else(|| self.put_tree(Vec::new())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_writes_removes_and_drops_empty_folders() -> Result<(), StageError> {
        let store = Memory::default();
        let root = store.put_files([("a/b/c", &b"1"[..]), ("a/d", b"2"), ("e", b"3")]);
        let mut patch = Patch::default();
        patch.remove("a/b/c");
        patch.write("e/f", "4");
        let next = store.stage(Some(root), &patch)?;
        assert_eq!(next, store.put_files([("a/d", &b"2"[..]), ("e/f", b"4")]));
        Ok(())
    }

    #[test]
    fn ids_read_back() {
        let hex = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(Oid::from_hex(hex).map(|o| o.to_string()).as_deref(), Some(hex));
        assert!(Oid::from_hex("12").is_none());
    }
}
