//! The current work tree: its files, and which of them match the index.
//!
//! The `git` program is used only to list untracked files, because git knows what is ignored. Programs that the
//! repository's settings name never run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix::bstr::{BStr, ByteSlice as _};
use gix::index::entry::{Flags, Mode, Stage};

use super::clean::{executable, find, stat};
use super::{GitError, Repo, oid, program};
use crate::tree::{EntryKind, Oid};

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
