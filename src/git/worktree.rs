//! The work tree follows: files that a change touches are written or removed, and the index with them.
//!
//! Only paths that differ between the two trees are looked at. Before anything is published each of them must be as
//! the old tree has it, in the index and on disk; afterwards each is as the new tree has it. The index stays locked
//! in between, as git locks it. Bytes are written as they are stored: no filter or conversion is run (a Git LFS
//! pointer is written as the pointer, which `git lfs checkout` replaces). Symbolic links on the way are never followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use gix::bstr::{BStr, ByteSlice as _};
use gix::index::entry::{Flags, Mode, Stage, Stat};
use gix::index::fs::Metadata as IndexMetadata;

use super::lock::Held;
use super::{GIT_LOCK_WAIT, GitError, PublishError, Repo, RepoLock};
use crate::text::one_line;
use crate::tree::{Entry, Kind, Limits, Objects as _, Oid, TreeError, changes};

/// How many paths a message lists.
const LISTED: usize = 10;

/// What is at a path: its kind and object.
type There = (Kind, Oid);

/// One path that differs: what the old tree has there and what the new one has.
type Difference = (Option<There>, Option<There>);

/// A work tree that is clean where the change touches it, with its index locked.
pub(super) struct Follow {
    root: PathBuf,
    index: gix::index::File,
    lock: gix::lock::File,
    changes: BTreeMap<String, Difference>,
}

/// Paths for a message: at most ten, escaped.
pub(super) fn list(paths: &[String]) -> String {
    let mut text = paths.iter().take(LISTED).map(|p| one_line(p).into_owned()).collect::<Vec<_>>().join(", ");
    if paths.len() > LISTED {
        text.push_str(&format!(" and {} more", paths.len() - LISTED));
    }
    text
}

impl Repo {
    /// Whether the work tree could follow from one tree to another: `Dirty` lists the files that stand in the way.
    ///
    /// Fine without a work tree. [`Repo::publish`] asks this itself; asking before saves work.
    pub fn check_clean(&self, old: Option<&Oid>, new: &Oid) -> Result<(), PublishError> {
        let Some(root) = self.work_dir() else { return Ok(()) };
        let changes = self.differences(old, new)?;
        let index = self.read_index()?;
        refuse_dirty(self, &root, &index, &changes)
    }

    /// Locks the index and makes sure that the work tree can follow; none if it is not on this branch.
    pub(super) fn prepare_follow(
        &self,
        lock: &mut RepoLock,
        reference: &str,
        expected: Option<Oid>,
        new: &Oid,
    ) -> Result<Option<Follow>, PublishError> {
        self.refuse_other_work_trees(reference)?;
        let Some(root) = self.work_dir().filter(|_| self.branch().is_ok_and(|b| b == reference)) else {
            return Ok(None);
        };
        let old = expected.map(|c| self.tree_of(&c)).transpose()?;
        let changes = self.differences(old.as_ref(), new)?;
        if changes.is_empty() {
            return Ok(None);
        }
        let path = self.index_path();
        let wait = gix::lock::acquire::Fail::AfterDurationWithBackoff(GIT_LOCK_WAIT);
        let index_lock = gix::lock::File::acquire_to_update_resource(&path, wait, None, 0).map_err(|e| {
            let stands = path.with_added_extension("lock");
            if e.is_retryable() && stands.exists() {
                GitError::Locked { path: stands }
            } else {
                GitError::write("lock the index", &path, e)
            }
        })?;
        lock.note(&[Held::taken(index_lock.lock_path().to_owned())])?;
        let index = self.read_index()?;
        refuse_dirty(self, &root, &index, &changes)?;
        Ok(Some(Follow { root, index, lock: index_lock, changes }))
    }

    /// Where the index is, without symbolic links; `GIT_INDEX_FILE` may say.
    fn index_path(&self) -> PathBuf {
        let path = self.inner.index_path();
        let folder = path.parent().and_then(|p| p.canonicalize().ok());
        folder.zip(path.file_name()).map_or(path.clone(), |(folder, name)| folder.join(name))
    }

    pub(super) fn read_index(&self) -> Result<gix::index::File, GitError> {
        let path = self.index_path();
        let index = gix::index::File::at_or_default(&path, self.inner.object_hash(), false, Default::default())
            .map_err(|e| GitError::git("read the index; see `git fsck`, or remove it and run `git reset`", e))?;
        if index.is_sparse() {
            let e = gix::Error::from_error(gix::error::message(
                "it holds folders; run `git sparse-checkout reapply --no-sparse-index`",
            ));
            return Err(GitError::git("read the sparse index", e));
        }
        Ok(index)
    }

    /// The files that differ between two trees, by path.
    fn differences(&self, old: Option<&Oid>, new: &Oid) -> Result<BTreeMap<String, Difference>, GitError> {
        let there = |e: Option<Entry>| e.map(|e| (e.kind, e.id));
        let found = changes((self, old.copied()), (self, Some(*new)), Limits::default())?;
        Ok(found.into_iter().map(|c| (c.path, (there(c.before), there(c.after)))).collect())
    }

    /// Refuses to move a branch under another work tree's feet, as git refuses a push to it.
    fn refuse_other_work_trees(&self, reference: &str) -> Result<(), GitError> {
        let on_branch = |dir: &Path| {
            let head = std::fs::read_to_string(dir.join("HEAD")).unwrap_or_default();
            head.trim_end().strip_prefix("ref: ").map(str::trim) == Some(reference)
        };
        let refuse = |path: PathBuf| Err(GitError::CheckedOut { branch: reference.to_owned(), path });
        let common = self.common_dir();
        if self.git_dir() != common
            && on_branch(common)
            && self.inner.config_snapshot().boolean("core.bare") != Some(true)
            && let Some(path) = common.parent().filter(|_| common.ends_with(".git"))
        {
            return refuse(path.to_owned());
        }
        let Ok(linked) = std::fs::read_dir(common.join("worktrees")) else { return Ok(()) };
        let mine = self.git_dir().canonicalize().ok();
        for dir in linked.flatten().map(|d| d.path()) {
            if on_branch(&dir) && dir.canonicalize().ok() != mine {
                let dot_git = std::fs::read_to_string(dir.join("gitdir")).unwrap_or_default();
                let dot_git = dir.join(dot_git.trim_end());
                // One that was deleted without `git worktree remove` harms nobody.
                if let Some(path) = dot_git.parent().filter(|_| dot_git.exists()) {
                    return refuse(path.to_owned());
                }
            }
        }
        Ok(())
    }
}

fn refuse_dirty(
    repo: &Repo,
    root: &Path,
    index: &gix::index::File,
    changes: &BTreeMap<String, Difference>,
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

/// Whether a path is as the old tree has it, in the index and in the work tree.
fn is_as(repo: &Repo, root: &Path, index: &gix::index::File, path: &str, old: There) -> Result<bool, GitError> {
    let Some(entry) = index.entry_by_path_and_stage(path.into(), Stage::Unconflicted) else { return Ok(false) };
    let staged = repo.id(&old.1) != Some(entry.id) || entry.mode != mode_of(old.0);
    if staged || entry.flags.contains(Flags::INTENT_TO_ADD) {
        return Ok(false);
    }
    if entry.flags.contains(Flags::SKIP_WORKTREE) || old.0 == Kind::Submodule {
        return Ok(true);
    }
    let Some((file, meta)) = find(root, path)? else { return Ok(false) };
    let same_kind = match old.0 {
        Kind::Symlink => meta.is_symlink(),
        Kind::File | Kind::Executable => {
            meta.is_file() && executable(&meta).is_none_or(|x| x == (old.0 == Kind::Executable))
        }
        Kind::Tree | Kind::Submodule => false,
    };
    if !same_kind {
        return Ok(false);
    }
    let unchanged = stat(&file)?.matches(&entry.stat, Default::default());
    if unchanged && !entry.stat.is_racy(index.timestamp(), Default::default()) {
        return Ok(true);
    }
    // git-lfs checks out the content in place of the pointer.
    let checked_out = old.0 != Kind::Symlink && repo.is_content_of(&file, &old.1)?;
    Ok(checked_out || repo.hash_file(&file, &meta)? == Some(old.1))
}

/// Whether a path that the old tree does not have is free, or holds already what it shall hold.
fn is_free(
    repo: &Repo,
    root: &Path,
    index: &gix::index::File,
    path: &str,
    new: Option<There>,
    changes: &BTreeMap<String, Difference>,
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
        Ok(m) => Ok(new.is_some_and(|(kind, _)| kind.is_file() && m.is_file())
            && repo.hash_file(&file, &m)? == new.map(|n| n.1)),
    }
}

/// Whether a folder holds nothing but files that go.
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

/// The file at a path that is reached without following a symbolic link; none if there is nothing.
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

pub(super) fn stat(file: &Path) -> Result<Stat, GitError> {
    let meta = IndexMetadata::from_path_no_follow(file).map_err(|e| GitError::io("look at", file, e))?;
    Ok(Stat::from_fs(&meta).unwrap_or_default())
}

/// Whether a file may be run, where the system knows such a thing.
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

fn mode_of(kind: Kind) -> Mode {
    match kind {
        Kind::Tree => Mode::DIR,
        Kind::File => Mode::FILE,
        Kind::Executable => Mode::FILE_EXECUTABLE,
        Kind::Symlink => Mode::SYMLINK,
        Kind::Submodule => Mode::COMMIT,
    }
}

impl Repo {
    /// The id that a file or symbolic link would have as a blob.
    fn hash_file(&self, file: &Path, meta: &Metadata) -> Result<Option<Oid>, GitError> {
        let bytes = if meta.is_symlink() {
            std::fs::read_link(file).map(|t| t.as_os_str().as_encoded_bytes().to_vec())
        } else if meta.is_file() {
            std::fs::read(file)
        } else {
            return Ok(None);
        };
        let bytes = bytes.map_err(|e| GitError::io("read", file, e))?;
        let id = gix::objs::compute_hash(self.inner.object_hash(), gix::objs::Kind::Blob, &bytes)
            .map_err(|e| GitError::git(format!("hash {}", file.display()), e))?;
        Ok(Some(super::oid(id)))
    }
}

impl Follow {
    /// The lock on the index, for the note of the repository's lock.
    pub(super) fn held(&self) -> Held {
        Held::taken(self.lock.lock_path().to_owned())
    }

    /// Brings the files and the index to the new tree, which is published by now.
    pub(super) fn apply(mut self, repo: &Repo) -> Result<(), GitError> {
        let touched: BTreeSet<&str> = self.changes.keys().map(String::as_str).collect();
        smudge_racy(repo, &self.root, &mut self.index, &touched)?;
        for (path, (old, new)) in &self.changes {
            if old.is_some() && new.is_none() && !self.is_skipped(path) {
                remove(&self.root, path)?;
            }
        }
        let mut entries = Vec::new();
        for (path, (_, new)) in &self.changes {
            let Some((kind, id)) = new else { continue };
            let skipped = self.is_skipped(path);
            let stat = if skipped { Stat::default() } else { put(repo, &self.root, path, *kind, id)? };
            let flags = if skipped { Flags::SKIP_WORKTREE | Flags::EXTENDED } else { Flags::empty() };
            entries.push((path, stat, flags, *kind, *id));
        }
        self.index.remove_entries(|_, path, _| path.to_str().is_ok_and(|p| touched.contains(p)));
        for (path, stat, flags, kind, id) in entries {
            let id = repo.id(&id).ok_or(TreeError::Missing(id))?;
            self.index.dangerously_push_entry(stat, id, flags, mode_of(kind), BStr::new(path));
        }
        self.index.sort_entries();
        // The cached trees would be stale, and the next `git commit` would believe them.
        self.index.remove_tree();
        self.write_index(repo)
    }

    /// Whether a sparse checkout leaves the path out.
    fn is_skipped(&self, path: &str) -> bool {
        let entry = self.index.entry_by_path_and_stage(path.into(), Stage::Unconflicted);
        entry.is_some_and(|e| e.flags.contains(Flags::SKIP_WORKTREE))
    }

    fn write_index(self, repo: &Repo) -> Result<(), GitError> {
        let skip_hash = repo.inner.config_snapshot().boolean("index.skipHash") == Some(true);
        let options = gix::index::write::Options { skip_hash, ..Default::default() };
        let path = self.index.path().to_owned();
        let mut out = BufWriter::with_capacity(64 * 1024, self.lock);
        self.index.write_to(&mut out, options).map_err(|e| GitError::write("write the index", &path, e))?;
        out.flush().map_err(|e| GitError::io("write", &path, e))?;
        let lock = out.into_inner().map_err(|e| GitError::io("write", &path, e.into_error()))?;
        lock.commit().map_err(|e| GitError::io("write", &path, e.error))?;
        Ok(())
    }
}

/// Makes git look again at files that may have changed in the very second in which the index was last written.
///
/// Git tells them by a time that is not older than the index; the index is about to become younger.
fn smudge_racy(
    repo: &Repo,
    root: &Path,
    index: &mut gix::index::File,
    touched: &BTreeSet<&str>,
) -> Result<(), GitError> {
    let written = index.timestamp();
    let mut again = Vec::new();
    for (i, entry) in index.entries().iter().enumerate() {
        let path = entry.path(index).to_str().unwrap_or_default();
        let racy = entry.stat.size != 0 && entry.stat.is_racy(written, Default::default());
        if !racy || path.is_empty() || touched.contains(path) {
            continue;
        }
        let Some((file, meta)) = find(root, path)? else { continue };
        let seems_same = stat(&file)?.matches(&entry.stat, Default::default());
        if seems_same && repo.hash_file(&file, &meta)?.and_then(|o| repo.id(&o)) != Some(entry.id) {
            again.push(i);
        }
    }
    for i in again {
        if let Some(entry) = index.entries_mut().get_mut(i) {
            entry.stat.size = 0;
        }
    }
    Ok(())
}

/// Removes a file, and the folders above it that are empty then.
fn remove(root: &Path, path: &str) -> Result<(), GitError> {
    let Some((file, meta)) = find(root, path)? else { return Ok(()) };
    if meta.is_dir() {
        // A submodule's folder is git's to keep or remove.
        return Ok(());
    }
    std::fs::remove_file(&file).map_err(|e| GitError::io("remove", &file, e))?;
    for folder in file.ancestors().skip(1).take_while(|f| *f != root && f.starts_with(root)) {
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes a file and gives what the index notes of it.
fn put(repo: &Repo, root: &Path, path: &str, kind: Kind, id: &Oid) -> Result<Stat, GitError> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = folder_at(root, folder)?;
    let file = folder.join(name);
    if std::fs::symlink_metadata(&file).is_ok_and(|m| m.is_dir()) && kind != Kind::Submodule {
        remove_empty(&file).map_err(|e| GitError::io("remove", &file, e))?;
    }
    match kind {
        Kind::File | Kind::Executable => {
            let bytes = repo.blob(id, u64::MAX)?;
            let new =
                write_beside(&folder, &bytes, kind == Kind::Executable).map_err(|e| GitError::io("write", &file, e))?;
            new.persist(&file).map_err(|e| GitError::io("write", &file, e.error))?;
        }
        Kind::Symlink => {
            let target = repo.blob(id, 4096)?;
            link(&target, &file).map_err(|e| GitError::io("write", &file, e))?;
        }
        Kind::Submodule | Kind::Tree => {
            std::fs::create_dir_all(&file).map_err(|e| GitError::io("create", &file, e))?;
            return Ok(Stat::default());
        }
    }
    stat(&file)
}

/// The folder at a path, made where it is missing; a symbolic link on the way is refused.
fn folder_at(root: &Path, path: &str) -> Result<PathBuf, GitError> {
    let mut at = root.to_owned();
    for part in path.split('/').filter(|p| !p.is_empty()) {
        at.push(part);
        match std::fs::symlink_metadata(&at) {
            Ok(m) if m.is_dir() => {}
            Ok(_) => return Err(GitError::io("use as a folder", at, std::io::ErrorKind::NotADirectory.into())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir(&at).map_err(|e| GitError::io("create", &at, e))?;
            }
            Err(e) => return Err(GitError::io("look at", at, e)),
        }
    }
    Ok(at)
}

/// Removes a folder that holds nothing but folders.
fn remove_empty(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    std::fs::remove_dir(dir)
}

/// A new file in the folder, with the rights that the user's umask gives.
fn write_beside(folder: &Path, bytes: &[u8], executable: bool) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".greenroom-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(if executable { 0o777 } else { 0o666 }));
    }
    #[cfg(not(unix))]
    let _ = executable;
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(unix)]
fn link(target: &[u8], file: &Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let _ = std::fs::remove_file(file);
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), file)
}

#[cfg(not(unix))]
fn link(target: &[u8], file: &Path) -> std::io::Result<()> {
    std::fs::write(file, target)
}
