//! The current work tree: its files, and which of them match the index.
//!
//! The `git` program is used only to list untracked files, because git knows what is ignored. Programs that the
//! repository's settings name never run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix::bstr::{BStr, ByteSlice as _};
use gix::index::entry::{Flags, Mode, Stage};

use super::clean::{executable, find, is_on_disk, stat};
use super::{GitError, Repo, oid, program};
use crate::tree::{CompareLimits, EntryKind, Oid, changes};

/// The state of a file in the work tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkFile {
    /// The file matches the index.
    Recorded(EntryKind, Oid),
    /// The file is changed or new; its bytes are on disk. Anything but a file or symbolic link counts as a submodule.
    Changed(EntryKind, PathBuf),
}

impl Repo {
    /// Lists the files below `at` that a commit of all changes would hold, by path from the repository's root. `at` is
    /// empty or ends in a slash. The list has tracked files that exist, and untracked files that git does not ignore.
    ///
    /// Bytes of a name that are not UTF-8 become replacement characters. Returns `None` for a bare repository.
    ///
    /// # Errors
    /// [`GitError`] if the index or a folder cannot be read, or git cannot list the untracked files.
    pub fn work_files(&self, at: &str) -> Result<Option<BTreeMap<String, WorkFile>>, GitError> {
        let Some(root) = self.work_dir() else { return Ok(None) };
        let index = self.read_index()?;
        let mut out = BTreeMap::new();
        for entry in index.entries() {
            let path = entry.path(&index);
            if !path.starts_with(at.as_bytes()) {
                continue;
            }
            let name = path.to_str_lossy().into_owned();
            let kind = kind_of(entry.mode);
            if entry.flags.intersects(Flags::SKIP_WORKTREE | Flags::ASSUME_VALID) || kind == EntryKind::Submodule {
                out.insert(name, WorkFile::Recorded(kind, oid(entry.id)));
                continue;
            }
            let known = entry.stage() == Stage::Unconflicted && !entry.flags.contains(Flags::INTENT_TO_ADD);
            let Some((file, meta)) = look(&root, path)? else { continue };
            let now = self.kind_on_disk(&meta, Some(kind));
            let same = known
                && now == kind
                && stat(&file)?.matches(&entry.stat, Default::default())
                && !entry.stat.is_racy(index.timestamp(), Default::default());
            let state = if same { WorkFile::Recorded(kind, oid(entry.id)) } else { WorkFile::Changed(now, file) };
            out.insert(name, state);
        }
        for path in self.untracked(&root, at)? {
            let path = BStr::new(&path);
            // Git lists a nested repository as a folder.
            let name = path.to_str_lossy().trim_end_matches('/').to_owned();
            if let Some((file, meta)) = look(&root, BStr::new(path.strip_suffix(b"/").unwrap_or(path)))? {
                out.insert(name, WorkFile::Changed(self.kind_on_disk(&meta, None), file));
            }
        }
        Ok(Some(out))
    }

    /// Returns the tracked files below `at` that differ from HEAD, in the work tree or in the index, as far as the index
    /// tells it: a file whose size and times it knows is not read, untracked files are not searched, and files for which
    /// `skip` holds are not compared. Empty for a bare repository, before the first commit, and where the index has more
    /// than `max` entries.
    ///
    /// # Errors
    /// [`GitError`] if the index, a folder or an object cannot be read.
    pub fn edited_files(&self, at: &str, max: usize, skip: impl Fn(&str) -> bool) -> Result<Vec<String>, GitError> {
        let (Some(root), Some(head)) = (self.work_dir(), self.head()?) else { return Ok(Vec::new()) };
        let index = self.read_index()?;
        let entries = if at.is_empty() { Some(index.entries()) } else { index.prefixed_entries(at.into()) };
        let entries = entries.unwrap_or_default();
        if entries.len() > max {
            return Ok(Vec::new());
        }
        let mut committed = BTreeMap::new();
        for change in changes((self, None), (self, Some(self.tree_of(&head)?)), CompareLimits::default())? {
            let entry = change.after.map(|entry| (entry.kind, entry.id));
            committed
                .extend(entry.filter(|_| change.path.starts_with(at) && !skip(&change.path)).map(|e| (change.path, e)));
        }
        let mut out = Vec::new();
        for entry in entries {
            let Ok(path) = entry.path(&index).to_str() else { continue };
            let there = committed.remove(path);
            let is_hidden = entry.flags.intersects(Flags::SKIP_WORKTREE | Flags::ASSUME_VALID);
            if skip(path) || is_hidden || kind_of(entry.mode) == EntryKind::Submodule {
                continue;
            }
            if there != Some((kind_of(entry.mode), oid(entry.id))) || !self.is_as_indexed(&root, &index, entry, path)? {
                out.push(path.to_owned());
            }
        }
        out.extend(committed.into_keys());
        out.sort();
        out.dedup();
        Ok(out)
    }

    /// Whether a file on disk is what the index holds. It is read only if its size and times differ.
    fn is_as_indexed(
        &self,
        root: &Path,
        index: &gix::index::File,
        entry: &gix::index::Entry,
        path: &str,
    ) -> Result<bool, GitError> {
        let Some((file, _)) = find(root, path)? else { return Ok(false) };
        let same = stat(&file)?.matches(&entry.stat, Default::default());
        if same && !entry.stat.is_racy(index.timestamp(), Default::default()) {
            return Ok(true);
        }
        is_on_disk(self, root, index, path, Some((kind_of(entry.mode), oid(entry.id))))
    }

    /// Returns the kind of a file on disk. Where the file system cannot tell, the recorded kind counts.
    fn kind_on_disk(&self, meta: &std::fs::Metadata, recorded: Option<EntryKind>) -> EntryKind {
        let as_recorded = |kind: EntryKind| recorded.filter(|r| *r == kind);
        if meta.is_symlink() {
            EntryKind::Symlink
        } else if !meta.is_file() {
            EntryKind::Submodule
        } else if let Some(link) = as_recorded(EntryKind::Symlink).filter(|_| !self.has_links()) {
            link
        } else if !self.trusts_modes() {
            as_recorded(EntryKind::Executable).unwrap_or(EntryKind::File)
        } else if executable(meta) == Some(true) {
            EntryKind::Executable
        } else {
            EntryKind::File
        }
    }

    fn untracked(&self, root: &Path, at: &str) -> Result<Vec<Vec<u8>>, GitError> {
        let paths = if at.is_empty() { "." } else { at };
        let listed = program::ask(root, ["ls-files", "-z", "--others", "--exclude-standard", "--", paths])
            .map_err(|why| GitError::Git { what: "list the untracked files".to_owned(), source: why.into() })?;
        Ok(listed.split(|b| *b == 0).filter(|p| !p.is_empty()).map(<[u8]>::to_vec).collect())
    }
}

/// Finds the file at a path of the index. Returns `None` if there is no file, or if the system cannot represent the
/// name.
fn look(root: &Path, path: &BStr) -> Result<Option<(PathBuf, std::fs::Metadata)>, GitError> {
    match path.to_str() {
        Ok(path) => find(root, path),
        Err(_) => {
            let Ok(inner) = path.to_path() else { return Ok(None) };
            let file = root.join(inner);
            Ok(std::fs::symlink_metadata(&file).ok().map(|meta| (file, meta)))
        }
    }
}

pub(super) fn kind_of(mode: Mode) -> EntryKind {
    match mode {
        Mode::FILE_EXECUTABLE => EntryKind::Executable,
        Mode::SYMLINK => EntryKind::Symlink,
        Mode::COMMIT => EntryKind::Submodule,
        Mode::DIR => EntryKind::Tree,
        _ => EntryKind::File,
    }
}
