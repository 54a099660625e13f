//! Checks that the work tree and the index match a tree, so that a change can overwrite it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice as _;
use gix::index::entry::{Flags, Mode, Stage, Stat};
use gix::index::fs::Metadata as IndexMetadata;

use super::convert::Converter;
use super::{GitError, PublishError, Repo};
use crate::text::listed;
use crate::tree::{EntryKind, Oid};

/// The largest number of paths that a message lists.
const LISTED: usize = 10;

/// The kind and the object at a path.
pub(super) type PathEntry = (EntryKind, Oid);

/// One path that differs: its entry in the old tree and in the new tree. `None`: the tree has no such path.
pub(super) type PathDifference = (Option<PathEntry>, Option<PathEntry>);

/// Formats paths for a message: at most ten, with control characters escaped.
pub(super) fn list(paths: &[String]) -> String {
    listed(paths, LISTED)
}

/// Returns [`PublishError::Dirty`] with the paths whose local state conflicts with a change.
pub(super) fn refuse_dirty(
    repo: &Repo,
    root: &Path,
    index: &gix::index::File,
    changes: &BTreeMap<String, PathDifference>,
) -> Result<(), PublishError> {
    let mut paths = Vec::new();
    for (path, (old, new)) in changes {
        let clean = match old {
            Some(old) => is_as(repo, root, index, path, *old)?,
            None => is_free(repo, root, index, path, *new, changes)?,
        };
        if !clean {
            paths.push(path.clone());
        }
    }
    if paths.is_empty() { Ok(()) } else { Err(PublishError::Dirty { paths }) }
}

/// Whether the index and the work tree both have the old tree's entry at a path.
fn is_as(repo: &Repo, root: &Path, index: &gix::index::File, path: &str, old: PathEntry) -> Result<bool, GitError> {
    let Some(entry) = index.entry_by_path_and_stage(path.into(), Stage::Unconflicted) else { return Ok(false) };
    if !is_staged(repo, index, path, Some(old)) {
        return Ok(false);
    }
    if entry.flags.contains(Flags::SKIP_WORKTREE) || old.0 == EntryKind::Submodule {
        return Ok(true);
    }
    let Some((file, meta)) = find(root, path)? else { return Ok(false) };
    let unchanged = has_kind(repo, &meta, old.0) && stat(&file)?.matches(&entry.stat, Default::default());
    if unchanged && !entry.stat.is_racy(index.timestamp(), Default::default()) {
        return Ok(true);
    }
    is_on_disk(repo, root, index, path, Some(old))
}

/// Whether the index has this entry at a path, and no conflict stages of a merge.
pub(super) fn is_staged(repo: &Repo, index: &gix::index::File, path: &str, there: Option<PathEntry>) -> bool {
    let Some((kind, id)) = there else { return index.entry_range(path.into()).is_none() };
    let entry = index.entry_by_path_and_stage(path.into(), Stage::Unconflicted);
    let entry = entry.filter(|e| !e.flags.contains(Flags::INTENT_TO_ADD));
    entry.is_some_and(|e| repo.id(&id) == Some(e.id) && e.mode == mode_of(kind))
}

/// Whether the work tree has these bytes at a path: as they are stored, or as git would check them out.
pub(super) fn is_on_disk(
    repo: &Repo,
    root: &Path,
    index: &gix::index::State,
    path: &str,
    there: Option<PathEntry>,
) -> Result<bool, GitError> {
    match (find(root, path)?, there) {
        (None, None) => Ok(true),
        (Some((_, meta)), Some((kind, _))) if !has_kind(repo, &meta, kind) => Ok(false),
        (Some((file, meta)), Some((kind, id))) => {
            // git-lfs checks out the content instead of the pointer.
            let checked_out = kind.is_file() && repo.is_content_of(&file, &id)?;
            Ok(checked_out || repo.has_bytes(index, path, (&file, &meta), (kind, id))?)
        }
        (Some(_), None) | (None, Some(_)) => Ok(false),
    }
}

fn has_kind(repo: &Repo, meta: &Metadata, kind: EntryKind) -> bool {
    match kind {
        EntryKind::Symlink => meta.is_symlink() || (meta.is_file() && !repo.has_links()),
        EntryKind::File | EntryKind::Executable => {
            let told = if repo.trusts_modes() { executable(meta) } else { None };
            meta.is_file() && told.is_none_or(|x| x == (kind == EntryKind::Executable))
        }
        EntryKind::Tree | EntryKind::Submodule => meta.is_dir(),
    }
}

/// Whether a path that the old tree does not have is free, or already holds the new content.
fn is_free(
    repo: &Repo,
    root: &Path,
    index: &gix::index::File,
    path: &str,
    new: Option<PathEntry>,
    changes: &BTreeMap<String, PathDifference>,
) -> Result<bool, GitError> {
    let goes = |path: &str| changes.get(path).is_some_and(|(_, new)| new.is_none());
    let in_index = |path: &str| index.entry_range(path.into()).is_some();
    let folders = path.match_indices('/').filter_map(|(i, _)| path.get(..i));
    if in_index(path) || folders.clone().any(|f| in_index(f) && !goes(f)) {
        return Ok(false);
    }
    let below = format!("{path}/");
    let within = index.prefixed_entries(below.as_str().into()).unwrap_or_default();
    if !within.iter().all(|e| e.path(index).to_str().is_ok_and(goes)) {
        return Ok(false);
    }
    for folder in folders {
        match std::fs::symlink_metadata(root.join(folder)) {
            Ok(m) if m.is_dir() => {}
            Ok(_) => return Ok(goes(folder)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            Err(e) => return Err(GitError::io("look at", root.join(folder), e)),
        }
    }
    let file = root.join(path);
    match std::fs::symlink_metadata(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(GitError::io("look at", file, e)),
        Ok(m) if m.is_dir() => only_holds(&file, path, &goes),
        Ok(m) => {
            let Some(new) = new.filter(|(kind, _)| kind.is_file() && m.is_file()) else { return Ok(false) };
            Ok(goes_in_another_case(root, path, &m, changes) || repo.has_bytes(index, path, (&file, &m), new)?)
        }
    }
}

/// Whether the file at a path is a file that the change removes, under a name that differs by case only. Where the file
/// system ignores case, both names lead to the same file.
fn goes_in_another_case(root: &Path, path: &str, meta: &Metadata, changes: &BTreeMap<String, PathDifference>) -> bool {
    let folded = path.to_lowercase();
    let mut gone = changes.iter().filter(|(old, (_, new))| new.is_none() && old.to_lowercase() == folded);
    gone.any(|(old, _)| std::fs::symlink_metadata(root.join(old)).is_ok_and(|m| is_same_file(&m, meta)))
}

#[cfg(unix)]
fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.created().ok(), a.modified().ok(), a.len()) == (b.created().ok(), b.modified().ok(), b.len())
}

/// Whether a folder holds only files that the change removes.
fn only_holds(dir: &Path, path: &str, goes: &dyn Fn(&str) -> bool) -> Result<bool, GitError> {
    for entry in std::fs::read_dir(dir).map_err(|e| GitError::io("read", dir, e))? {
        let entry = entry.map_err(|e| GitError::io("read", dir, e))?;
        let name = entry.file_name();
        let below = format!("{path}/{}", name.to_string_lossy());
        let folder = entry.file_type().is_ok_and(|t| t.is_dir());
        if !(if folder { only_holds(&entry.path(), &below, goes)? } else { goes(&below) }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Finds the file at a path without following symbolic links. Returns `None` if there is nothing.
pub(super) fn find(root: &Path, path: &str) -> Result<Option<(PathBuf, Metadata)>, GitError> {
    let mut at = root.to_owned();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        at.push(part);
        match std::fs::symlink_metadata(&at) {
            Ok(m) if parts.peek().is_none() => return Ok(Some((at, m))),
            Ok(m) if m.is_dir() => {}
            Ok(_) => return Ok(None),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(e) => return Err(GitError::io("look at", at, e)),
        }
    }
    Ok(None)
}

/// Returns the file metadata that the index would record.
pub(super) fn stat(file: &Path) -> Result<Stat, GitError> {
    let meta = IndexMetadata::from_path_no_follow(file).map_err(|e| GitError::io("look at", file, e))?;
    Ok(Stat::from_fs(&meta).unwrap_or_default())
}

/// Whether a file is executable. Returns `None` where the system has no such permission.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems do not know")]
pub(super) fn executable(meta: &Metadata) -> Option<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(meta.permissions().mode() & 0o100 != 0)
}

#[cfg(not(unix))]
pub(super) fn executable(_: &Metadata) -> Option<bool> {
    None
}

/// Returns the index's mode for a kind.
pub(super) fn mode_of(kind: EntryKind) -> Mode {
    match kind {
        EntryKind::Tree => Mode::DIR,
        EntryKind::File => Mode::FILE,
        EntryKind::Executable => Mode::FILE_EXECUTABLE,
        EntryKind::Symlink => Mode::SYMLINK,
        EntryKind::Submodule => Mode::COMMIT,
    }
}

impl Repo {
    /// Whether a file or a symbolic link holds the bytes of a blob: as they are, or after git's conversion.
    pub(super) fn has_bytes(
        &self,
        index: &gix::index::State,
        path: &str,
        (file, meta): (&Path, &Metadata),
        (kind, id): PathEntry,
    ) -> Result<bool, GitError> {
        if self.hash_file(file, meta)? == Some(id) {
            return Ok(true);
        }
        if !kind.is_file() || !meta.is_file() {
            return Ok(false);
        }
        let bytes = std::fs::read(file).map_err(|e| GitError::io("read", file, e))?;
        let Some(bytes) = Converter::into_git(self, index)?.to_git(path, &bytes)? else { return Ok(false) };
        Ok(self.hash_bytes(file, &bytes)? == id)
    }

    /// Computes the id that a file or a symbolic link would have as a blob. Returns `None` for anything else.
    pub(super) fn hash_file(&self, file: &Path, meta: &Metadata) -> Result<Option<Oid>, GitError> {
        let bytes = if meta.is_symlink() {
            std::fs::read_link(file).map(|t| t.as_os_str().as_encoded_bytes().to_vec())
        } else if meta.is_file() {
            std::fs::read(file)
        } else {
            return Ok(None);
        };
        let bytes = bytes.map_err(|e| GitError::io("read", file, e))?;
        self.hash_bytes(file, &bytes).map(Some)
    }

    fn hash_bytes(&self, file: &Path, bytes: &[u8]) -> Result<Oid, GitError> {
        gix::objs::compute_hash(self.inner.object_hash(), gix::objs::Kind::Blob, bytes)
            .map(super::oid)
            .map_err(|e| GitError::git(format!("hash {}", file.display()), e))
    }
}
