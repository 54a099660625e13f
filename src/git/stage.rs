//! Building trees in memory: a patch becomes a root tree that only this [`Repo`] can read.
//!
//! Trees are edited as bytes: entries that stay are copied unchanged. So a folder of ten thousand models costs one
//! pass, and entries that greenroom never writes (odd modes, names that are not UTF-8) survive.

use std::collections::BTreeMap;

use gix::bstr::ByteSlice as _;
use gix::objs::tree::{EntryKind as GitEntryKind, EntryMode};
use gix::objs::{Exists as _, Kind as ObjectKind, TreeRefIter, Write as _};

use super::{Repo, oid};
use crate::text::quoted;
use crate::tree::{EntryKind, Oid, Patch, Stage, StageError, TreeChange, TreeError};

/// The largest number of path components.
const MAX_DEPTH: usize = 64;

/// The longest path, in bytes.
const MAX_PATH: usize = 4096;

/// A change, and the rest of its path.
type RemainingChange<'p> = (&'p [&'p str], &'p TreeChange);

/// An entry that the new tree gets: its mode and object.
type NewEntry = (EntryMode, gix::ObjectId);

/// An entry of a tree as it is stored.
struct RawEntry<'t> {
    name: &'t [u8],
    folder: bool,
    bytes: &'t [u8],
}

impl RawEntry<'_> {
    /// Compares in git's order: a folder sorts as if its name ended in a slash.
    fn cmp_to(&self, name: &str, folder: bool) -> std::cmp::Ordering {
        let mine = self.name.iter().copied().chain(self.folder.then_some(b'/'));
        mine.cmp(name.bytes().chain(folder.then_some(b'/')))
    }
}

impl Stage for Repo {
    fn stage(&self, root: Option<Oid>, patch: &Patch) -> Result<Oid, StageError> {
        let mut paths = Vec::with_capacity(patch.files.len());
        for (path, change) in &patch.files {
            paths.push((parts(path, change)?, change));
        }
        paths.sort_by(|a, b| a.0.cmp(&b.0));
        let changes: Vec<RemainingChange<'_>> = paths.iter().map(|(p, c)| (p.as_slice(), *c)).collect();
        let tree = match root {
            Some(id) => Some(self.id(&id).ok_or(TreeError::Missing(id))?),
            None => None,
        };
        match self.edit(tree, &changes)? {
            Some(id) => Ok(oid(id)),
            None => Ok(oid(self.put(ObjectKind::Tree, &[], None)?)),
        }
    }
}

impl Repo {
    /// Stages a blob in memory and returns its id, for a [`TreeChange::Link`].
    ///
    /// # Errors
    /// [`TreeError::Io`] if the object cannot be hashed or kept.
    pub fn stage_blob(&self, bytes: &[u8]) -> Result<Oid, TreeError> {
        self.put(ObjectKind::Blob, bytes, None).map(oid)
    }

    /// Returns why a path cannot be staged, in words; `None` if it can.
    pub fn path_fault(path: &str) -> Option<String> {
        match parts(path, &TreeChange::Write(Vec::new())) {
            Err(StageError::Path { why, .. }) => Some(why),
            Err(StageError::Object(_)) | Ok(_) => None,
        }
    }

    /// Drops all objects that were staged and not published.
    pub fn discard_staged(&self) {
        let staged = self.inner.objects.reset_object_memory().unwrap_or_default();
        self.memo.borrow_mut().forget(staged.keys().map(oid));
    }

    /// Applies changes, sorted by path, to a tree. Returns `None` if the tree becomes empty.
    fn edit(
        &self,
        tree: Option<gix::ObjectId>,
        changes: &[RemainingChange<'_>],
    ) -> Result<Option<gix::ObjectId>, TreeError> {
        let groups: Vec<&[RemainingChange<'_>]> = changes.chunk_by(|a, b| a.0.first() == b.0.first()).collect();
        let old = match tree {
            Some(id) => self.object(&oid(id), ObjectKind::Tree)?,
            None => Vec::new(),
        };
        let mut current: BTreeMap<&[u8], Option<NewEntry>> =
            groups.iter().filter_map(|g| Some((name_of(g)?.as_bytes(), None))).collect();
        let kept = self.split(tree, &old, &mut current)?;
        let mut wanted: Vec<(&str, NewEntry)> = Vec::new();
        for group in groups {
            let Some(name) = name_of(group) else { continue };
            let now = current.get(name.as_bytes()).copied().flatten();
            if let Some(entry) = self.entry(now, group)? {
                wanted.push((name, entry));
            }
        }
        let bytes = merge(&kept, wanted, old.len());
        if bytes.is_empty() { Ok(None) } else { self.put(ObjectKind::Tree, &bytes, tree).map(Some) }
    }

    /// Returns the entries of a tree that stay. Entries whose names are keys of `current` are stored there instead.
    fn split<'t>(
        &self,
        id: Option<gix::ObjectId>,
        bytes: &'t [u8],
        current: &mut BTreeMap<&[u8], Option<NewEntry>>,
    ) -> Result<Vec<RawEntry<'t>>, TreeError> {
        let mut kept = Vec::with_capacity(bytes.len() / 32);
        let mut iter = TreeRefIter::from_bytes(bytes, self.inner.object_hash());
        let mut start = 0;
        while let Some(entry) = iter.next() {
            let entry = entry
                .map_err(|e| TreeError::Damaged { id: id.map_or_else(|| self.no_id(), oid), why: e.to_string() })?;
            let end = iter.offset_to_next_entry(bytes);
            let line = bytes.get(start..end).unwrap_or_default();
            start = end;
            match current.get_mut(entry.filename.as_bytes()) {
                Some(slot) => *slot = Some((entry.mode, entry.oid.to_owned())),
                None => kept.push(RawEntry { name: entry.filename, folder: entry.mode.is_tree(), bytes: line }),
            }
        }
        Ok(kept)
    }

    /// Returns the new entry for a name, given the current entry and the changes at the name and below it.
    ///
    /// The change at the name itself comes first; then, if a folder results, the changes below it. Removals below a
    /// file do not affect the file: they belong to a folder that the file replaced.
    fn entry(&self, now: Option<NewEntry>, group: &[RemainingChange<'_>]) -> Result<Option<NewEntry>, TreeError> {
        let mut entry = now;
        let mut below = Vec::new();
        for (path, change) in group {
            match (path.split_first(), change) {
                (Some((_, rest)), change) if !rest.is_empty() => below.push((rest, *change)),
                (_, TreeChange::Remove) => entry = None,
                (_, TreeChange::Link(kind, id)) => entry = Some((mode_of(*kind), self.linked(*kind, id)?)),
                (_, TreeChange::Write(bytes)) => {
                    let known = now.filter(|(mode, _)| mode.is_blob()).map(|(_, id)| id);
                    entry = Some((GitEntryKind::Blob.into(), self.put(ObjectKind::Blob, bytes, known)?));
                }
            }
        }
        let folder = entry.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| id);
        let only_removals = below.iter().all(|(_, c)| matches!(c, TreeChange::Remove));
        if below.is_empty() || (folder.is_none() && only_removals) {
            return Ok(entry);
        }
        Ok(self.edit(folder, &below)?.map(|id| (GitEntryKind::Tree.into(), id)))
    }

    /// Returns the object that a link points to. The object must exist, unless the link is a submodule.
    fn linked(&self, kind: EntryKind, id: &Oid) -> Result<gix::ObjectId, TreeError> {
        let git_id = self.id(id).ok_or(TreeError::Missing(*id))?;
        let elsewhere = matches!(kind, EntryKind::Submodule);
        if elsewhere || git_id.is_empty_tree() || self.inner.objects.exists(&git_id) {
            Ok(git_id)
        } else {
            Err(TreeError::Missing(*id))
        }
    }

    /// Returns the null id, for errors about objects that do not exist yet.
    fn no_id(&self) -> Oid {
        oid(self.inner.object_hash().null())
    }

    /// Stores an object in memory and returns its id. An object with the id `known` is not stored again.
    fn put(&self, kind: ObjectKind, bytes: &[u8], known: Option<gix::ObjectId>) -> Result<gix::ObjectId, TreeError> {
        let failed = |source: gix::Error| TreeError::Io { id: self.no_id(), source: Box::new(source) };
        let id = gix::objs::compute_hash(self.inner.object_hash(), kind, bytes).map_err(failed)?;
        if known != Some(id) {
            self.inner.objects.write_buf_with_known_id(kind, bytes, id).map_err(failed)?;
        }
        Ok(id)
    }
}

/// Returns the first path component, which all changes of a group share.
fn name_of<'p>(group: &[RemainingChange<'p>]) -> Option<&'p str> {
    group.first().and_then(|(path, _)| path.first().copied())
}

/// Merges the entries that stay with the new entries in git's order.
fn merge(kept: &[RawEntry<'_>], mut wanted: Vec<(&str, NewEntry)>, size: usize) -> Vec<u8> {
    let folder = |(mode, _): &NewEntry| mode.is_tree();
    wanted.sort_by(|a, b| {
        let key = |(name, entry): &(&str, NewEntry)| format!("{name}{}", if folder(entry) { "/" } else { "" });
        key(a).cmp(&key(b))
    });
    let mut out = Vec::with_capacity(size + wanted.len() * 64);
    let mut kept = kept.iter().peekable();
    for (name, entry) in wanted {
        while let Some(line) = kept.next_if(|l| l.cmp_to(name, folder(&entry)).is_lt()) {
            out.extend_from_slice(line.bytes);
        }
        let (mode, id) = entry;
        out.extend_from_slice(mode.as_bytes(&mut Default::default()));
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(id.as_slice());
    }
    kept.for_each(|line| out.extend_from_slice(line.bytes));
    out
}

fn mode_of(kind: EntryKind) -> EntryMode {
    match kind {
        EntryKind::Tree => GitEntryKind::Tree,
        EntryKind::File => GitEntryKind::Blob,
        EntryKind::Executable => GitEntryKind::BlobExecutable,
        EntryKind::Symlink => GitEntryKind::Link,
        EntryKind::Submodule => GitEntryKind::Commit,
    }
    .into()
}

/// Splits a path. A path that is written must be a safe name on every system; a path that is removed may have any name.
fn parts<'p>(path: &'p str, change: &TreeChange) -> Result<Vec<&'p str>, StageError> {
    let refuse = |why: String| StageError::Path { path: quoted(path), why };
    let parts: Vec<&str> = path.split('/').collect();
    if parts.len() > MAX_DEPTH || path.len() > MAX_PATH {
        return Err(refuse(format!("it is longer than {MAX_PATH} bytes or {MAX_DEPTH} folders")));
    }
    if parts.iter().any(|p| p.is_empty()) {
        return Err(refuse("a part of it is empty".to_owned()));
    }
    let written = match change {
        TreeChange::Write(_) | TreeChange::Link(..) => parts.as_slice(),
        TreeChange::Remove => &[],
    };
    for part in written {
        let all = gix::validate::path::component::Options::default();
        gix::validate::path::component((*part).into(), None, all).map_err(|e| refuse(e.to_string()))?;
    }
    Ok(parts)
}
