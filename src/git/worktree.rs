//! Updates of the work tree: files that a change touches are written or removed, and the index with them.
//!
//! Only paths that differ between the two trees are read. Before the commits are published, each path must have the old
//! tree's entry, in the index and on disk. Afterwards each has the new tree's entry. The index stays locked in between,
//! as git locks it. Files are written as git would check them out ([`Converter`]), except that filters, which are
//! programs, do not run: a Git LFS pointer is written as the pointer, which `git lfs checkout` replaces. Symbolic links
//! on the way are never followed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use gix::bstr::{BStr, ByteSlice as _};
use gix::index::entry::{Flags, Stage, Stat};

use super::clean::{PathDifference, find, is_on_disk, is_staged, mode_of, refuse_dirty, stat};
use super::convert::Converter;
use super::lock::{LockFile, WorkTreeMove};
use super::{GIT_LOCK_WAIT, GitError, PublishError, Repo, RepoLock, oid};
use crate::tree::{CompareLimits, EntryKind, Objects as _, Oid, TreeEntry, TreeError, changes};

/// A work tree that is clean where the change touches it, with its index locked.
pub(super) struct WorkTreeUpdate {
    root: PathBuf,
    index: gix::index::File,
    lock: gix::lock::File,
    changes: BTreeMap<String, PathDifference>,
    trees: (Option<Oid>, Oid),
}

impl Repo {
    /// Checks that the work tree can be updated from one tree to another. Without a work tree there is nothing to
    /// check.
    ///
    /// [`Repo::publish`] makes the same check. An early check saves work.
    ///
    /// # Errors
    /// [`PublishError::Dirty`] with the files that are in the way; [`PublishError::Git`] if files or objects are
    /// unreadable.
    pub fn check_clean(&self, old: Option<&Oid>, new: &Oid) -> Result<(), PublishError> {
        let Some(root) = self.work_dir() else { return Ok(()) };
        let changes = self.differences(old, new)?;
        let index = self.read_index()?;
        refuse_dirty(self, &root, &index, &changes)
    }

    /// Locks the index and checks that the work tree can be updated. Returns `None` if the work tree is not on this
    /// branch.
    pub(super) fn prepare_follow(
        &self,
        lock: &mut RepoLock,
        reference: &str,
        expected: Option<Oid>,
        new: &Oid,
    ) -> Result<Option<WorkTreeUpdate>, PublishError> {
        self.refuse_other_work_trees(reference)?;
        let Some(root) = self.work_dir() else { return Ok(None) };
        if !self.is_on(reference)? {
            return Ok(None);
        }
        let old = expected.map(|c| self.tree_of(&c)).transpose()?;
        let changes = self.differences(old.as_ref(), new)?;
        if changes.is_empty() {
            return Ok(None);
        }
        let (index_lock, index) = self.lock_index(lock, None)?;
        refuse_dirty(self, &root, &index, &changes)?;
        Ok(Some(WorkTreeUpdate { root, index, lock: index_lock, changes, trees: (old, *new) }))
    }

    /// Locks the index as git does, and reads it.
    fn lock_index(
        &self,
        lock: &mut RepoLock,
        left: Option<&WorkTreeMove>,
    ) -> Result<(gix::lock::File, gix::index::File), GitError> {
        let path = self.index_path();
        let lock_path = path.with_added_extension("lock");
        lock.note(&[LockFile::planned(lock_path.clone(), None)], left)?;
        let wait = gix::lock::acquire::Fail::AfterDurationWithBackoff(GIT_LOCK_WAIT);
        let shared = self.sharing()?.bits();
        let index_lock = gix::lock::File::acquire_to_update_resource(&path, wait, None, shared).map_err(|e| {
            if e.is_retryable() && lock_path.exists() {
                GitError::Locked { path: lock_path.clone() }
            } else {
                GitError::write("lock the index", &path, e)
            }
        })?;
        lock.note(LockFile::taken(lock_path).as_slice(), left)?;
        Ok((index_lock, self.read_index()?))
    }

    /// Finishes the work of a killed writer: its commits are published, but its work tree is not updated.
    ///
    /// Changes only paths that have the old tree's entry in the index, and the content of one of the two trees on disk.
    pub(super) fn redo_follow(&self, lock: &mut RepoLock, left: &WorkTreeMove) -> Result<(), GitError> {
        let (Some(root), Some(head)) = (self.work_dir().filter(|_| self.git_dir() == left.git_dir), self.head()?)
        else {
            return Ok(());
        };
        if self.tree_of(&head)? != left.new {
            return Ok(());
        }
        let (index_lock, index) = self.lock_index(lock, Some(left))?;
        let mut changes = BTreeMap::new();
        for (path, (old, new)) in self.differences(left.old.as_ref(), &left.new)? {
            let on_disk = |there| is_on_disk(self, &root, &index, &path, there);
            if is_staged(self, &index, &path, old) && (on_disk(old)? || on_disk(new)?) {
                changes.insert(path, (old, new));
            }
        }
        let follow = WorkTreeUpdate { root, index, lock: index_lock, changes, trees: (left.old, left.new) };
        follow.apply(self)
    }

    /// Returns the path of the index, without symbolic links. `GIT_INDEX_FILE` applies.
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

    /// Returns the files that differ between two trees, by path.
    fn differences(&self, old: Option<&Oid>, new: &Oid) -> Result<BTreeMap<String, PathDifference>, GitError> {
        let there = |e: Option<TreeEntry>| e.map(|e| (e.kind, e.id));
        let found = changes((self, old.copied()), (self, Some(*new)), CompareLimits::default())?;
        Ok(found.into_iter().map(|c| (c.path, (there(c.before), there(c.after)))).collect())
    }

    /// Refuses to move a branch that another work tree has checked out, as git refuses a push to it.
    fn refuse_other_work_trees(&self, reference: &str) -> Result<(), GitError> {
        let on_branch = |dir: &Path| {
            let head = read_if_there(&dir.join("HEAD"))?.unwrap_or_default();
            Ok::<_, GitError>(head.trim_end().strip_prefix("ref: ").map(str::trim) == Some(reference))
        };
        let refuse = |path: &Path| Err(GitError::CheckedOut { branch: reference.to_owned(), path: path.to_owned() });
        let common = self.common_dir();
        let main = common.parent().filter(|_| self.git_dir() != common && common.ends_with(".git"));
        let bare = || self.inner.config_snapshot().boolean("core.bare") == Some(true);
        if let Some(path) = main.filter(|_| !bare())
            && on_branch(common)?
        {
            return refuse(path);
        }
        let folder = common.join("worktrees");
        let linked = match std::fs::read_dir(&folder) {
            Ok(linked) => linked,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(GitError::io("read", folder, e)),
        };
        for dir in linked {
            let dir = dir.map_err(|e| GitError::io("read", &folder, e))?.path();
            if dir == self.git_dir() || !on_branch(&dir)? {
                continue;
            }
            let dot_git = dir.join(read_if_there(&dir.join("gitdir"))?.unwrap_or_default().trim_end());
            // A work tree that was deleted without `git worktree remove` does not matter.
            if let Some(path) = dot_git.parent().filter(|_| dot_git.exists()) {
                return refuse(path);
            }
        }
        Ok(())
    }
}

impl WorkTreeUpdate {
    /// Returns the lock on the index, for the note of the repository's lock.
    pub(super) fn held(&self) -> Option<LockFile> {
        LockFile::taken(self.lock.lock_path().to_owned())
    }

    /// Returns the pending update, for the same note.
    pub(super) fn left(&self, repo: &Repo) -> WorkTreeMove {
        WorkTreeMove { git_dir: repo.git_dir().to_owned(), old: self.trees.0, new: self.trees.1 }
    }

    /// Updates the files and the index to the new tree, which is published by now.
    pub(super) fn apply(mut self, repo: &Repo) -> Result<(), GitError> {
        let touched: BTreeSet<&str> = self.changes.keys().map(String::as_str).collect();
        let stamp = stamp_of(self.lock.lock_path())?;
        smudge_racy(repo, &self.root, &mut self.index, &touched, stamp)?;
        for (path, (old, new)) in &self.changes {
            if old.is_some() && new.is_none() && !self.is_skipped(path) {
                remove(&self.root, path)?;
            }
        }
        let skipped: BTreeSet<&str> = touched.iter().copied().filter(|path| self.is_skipped(path)).collect();
        self.index.remove_entries(|_, path, _| path.to_str().is_ok_and(|p| touched.contains(p)));
        for (path, (_, new)) in &self.changes {
            let Some((kind, id)) = new else { continue };
            let id = repo.id(id).ok_or(TreeError::Missing(*id))?;
            let skip = skipped.contains(path.as_str());
            let flags = if skip { Flags::SKIP_WORKTREE | Flags::EXTENDED } else { Flags::empty() };
            self.index.dangerously_push_entry(Stat::default(), id, flags, mode_of(*kind), BStr::new(path));
        }
        self.index.sort_entries();
        // The attributes of the new tree apply.
        let mut converter = Converter::out_of_git(repo, &self.index)?;
        for (path, (_, new)) in &self.changes {
            let Some((kind, id)) = new.as_ref().filter(|_| !skipped.contains(path.as_str())) else { continue };
            let stat = put(repo, &self.root, &mut converter, path, *kind, id)?;
            if let Some(entry) = self.index.entry_mut_by_path_and_stage(BStr::new(path), Stage::Unconflicted) {
                entry.stat = stat;
            }
        }
        // The cached trees would be stale, and the next `git commit` would use them.
        self.index.remove_tree();
        self.write_index(repo, stamp)
    }

    /// Whether a sparse checkout leaves the path out.
    fn is_skipped(&self, path: &str) -> bool {
        let entry = self.index.entry_by_path_and_stage(path.into(), Stage::Unconflicted);
        entry.is_some_and(|e| e.flags.contains(Flags::SKIP_WORKTREE))
    }

    fn write_index(self, repo: &Repo, stamp: SystemTime) -> Result<(), GitError> {
        let skip_hash = repo.inner.config_snapshot().boolean("index.skipHash") == Some(true);
        let options = gix::index::write::Options { skip_hash, ..Default::default() };
        let path = self.index.path().to_owned();
        let mut out = BufWriter::with_capacity(64 * 1024, self.lock);
        self.index.write_to(&mut out, options).map_err(|e| GitError::write("write the index", &path, e))?;
        out.flush().map_err(|e| GitError::io("write", &path, e))?;
        let mut lock = out.into_inner().map_err(|e| GitError::io("write", &path, e.into_error()))?;
        lock.with_mut(|f| f.set_modified(stamp)).map_err(|e| GitError::io("write", &path, e))?;
        lock.commit().map_err(|e| GitError::io("write", &path, e.error))?;
        Ok(())
    }
}

/// Reads a small file of git; `None` if it does not exist.
fn read_if_there(path: &Path) -> Result<Option<String>, GitError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(GitError::io("read", path, e)),
    }
}

/// Returns the time for the new index: the time of its lock, which is older than everything written while it is held.
fn stamp_of(lock: &Path) -> Result<SystemTime, GitError> {
    std::fs::metadata(lock).and_then(|m| m.modified()).map_err(|e| GitError::io("look at", lock, e))
}

/// Makes git check files again that may have changed in the same second in which the index was last written.
///
/// Git recognises such files by a time that is not older than the index. Files that are not older than the new index
/// either, git recognises anyway. So each file is checked once, not at each of many changes within a second.
fn smudge_racy(
    repo: &Repo,
    root: &Path,
    index: &mut gix::index::File,
    touched: &BTreeSet<&str>,
    stamp: SystemTime,
) -> Result<(), GitError> {
    let written = index.timestamp();
    let stays_racy = stamp.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    // Git compares seconds only. Here nanoseconds are known: if the whole time equals the index entry's time and lies
    // before the write of the index, the file is the same.
    let exact = gix::index::entry::stat::Options { use_nsec: true, ..Default::default() };
    // The settings core.trustctime and core.checkStat decide which changes git misses.
    let as_git = repo.inner.stat_options().map_err(|e| GitError::git("read how files are compared", e))?;
    let mut again = Vec::new();
    for (i, entry) in index.entries().iter().enumerate() {
        let racy = entry.stat.size != 0 && entry.stat.is_racy(written, Default::default());
        if !racy || u64::from(entry.stat.mtime.secs) >= stays_racy {
            continue;
        }
        let path = entry.path(index).to_str().unwrap_or_default();
        if path.is_empty() || touched.contains(path) {
            continue;
        }
        let Some((file, meta)) = find(root, path)? else { continue };
        let there = stat(&file)?;
        let is_same = there.matches(&entry.stat, exact) && !entry.stat.is_racy(written, exact);
        let seems_same = there.matches(&entry.stat, as_git);
        if is_same || !seems_same {
            continue;
        }
        let there = (super::files::kind_of(entry.mode), oid(entry.id));
        if !repo.has_bytes(index, path, (&file, &meta), there)? {
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

/// Removes a file, and the folders above it that become empty.
fn remove(root: &Path, path: &str) -> Result<(), GitError> {
    let Some((file, meta)) = find(root, path)? else { return Ok(()) };
    if meta.is_dir() {
        // Git keeps or removes a submodule's folder.
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

/// Writes a file and returns the metadata for the index.
fn put(
    repo: &Repo,
    root: &Path,
    converter: &mut Converter<'_>,
    path: &str,
    kind: EntryKind,
    id: &Oid,
) -> Result<Stat, GitError> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = folder_at(root, folder)?;
    let file = folder.join(name);
    if std::fs::symlink_metadata(&file).is_ok_and(|m| m.is_dir()) && kind != EntryKind::Submodule {
        remove_empty(&file).map_err(|e| GitError::io("remove", &file, e))?;
    }
    match kind {
        EntryKind::File | EntryKind::Executable => {
            let bytes = converter.to_work_tree(path, repo.blob(id, u64::MAX)?)?;
            write_file(&folder, &file, &bytes, kind == EntryKind::Executable)
                .map_err(|e| GitError::io("write", &file, e))?;
        }
        EntryKind::Symlink => {
            let target = repo.blob(id, 4096)?;
            let link = if repo.has_links() { link } else { link_as_file };
            link(&target, &file).map_err(|e| GitError::io("write", &file, e))?;
        }
        EntryKind::Submodule | EntryKind::Tree => {
            std::fs::create_dir_all(&file).map_err(|e| GitError::io("create", &file, e))?;
            return Ok(Stat::default());
        }
    }
    stat(&file)
}

/// Returns the folder at a path and creates missing parts. A symbolic link on the way is refused.
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

/// Removes a folder that contains only folders.
fn remove_empty(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    std::fs::remove_dir(dir)
}

/// Writes a temporary file in the same folder and renames it, with the permissions that the user's umask gives.
///
/// The temporary name is always the same, so a file that a killed process left is overwritten when its work is redone.
fn write_file(folder: &Path, file: &Path, bytes: &[u8], executable: bool) -> std::io::Result<()> {
    let beside = folder.join(".greenroom-new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if executable { 0o777 } else { 0o666 });
    #[cfg(not(unix))]
    let _ = executable;
    let opened = options.open(&beside).or_else(|_| {
        std::fs::remove_file(&beside)?;
        options.open(&beside)
    });
    let moved = opened.and_then(|mut f| f.write_all(bytes)).and_then(|()| std::fs::rename(&beside, file));
    moved.inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

#[cfg(unix)]
fn link(target: &[u8], file: &Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let _ = std::fs::remove_file(file);
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), file)
}

#[cfg(not(unix))]
fn link(target: &[u8], file: &Path) -> std::io::Result<()> {
    link_as_file(target, file)
}

/// Writes a file with the target as its content, for systems without symbolic links.
fn link_as_file(target: &[u8], file: &Path) -> std::io::Result<()> {
    let _ = std::fs::remove_file(file);
    std::fs::write(file, target)
}
