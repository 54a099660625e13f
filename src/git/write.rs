//! Publishing: staged trees become commits of a branch, all of them or none, on disk before the call returns.
//!
//! The order makes this safe. Commits are made (and signed) in memory. The branch is locked as git locks it and
//! compared with the expected commit, so a process that loses a race has written nothing. Objects are written, then
//! flushed. Only then does the branch move, and its file and folder are flushed too.

use std::fs::File;
use std::path::{Path, PathBuf};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::time::Duration;

use gix::objs::{Exists as _, Kind as ObjectKind, TreeRefIter, Write as _};
use gix::odb::memory::Storage;
use gix::refs::store::WriteReflog;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::refs::{FullName, Target};

use super::error::io_cause;
use super::lock::LockFile;
use super::sharing::Sharing;
use super::{GIT_LOCK_WAIT, GitError, Ident, PublishError, Repo, RepoLock, oid};
use crate::text::quoted;
use crate::tree::{Oid, TreeError};

/// A commit that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitDraft {
    /// Its root tree, staged or stored.
    pub tree: Oid,
    /// Parents after the first, for a merge; the first parent is the commit before it. On a new branch there is none
    /// before it, and these are all parents: the commits that the branch starts from.
    pub merged: Vec<Oid>,
    /// The person who made the change.
    pub author: Ident,
    /// The person who commits it.
    pub committer: Ident,
    /// The whole message: subject, body and trailers.
    pub message: String,
}

/// What a successful return guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The commits survive a power cut.
    Full,
    /// The commits survive the death of the process. The system writes them to disk when it chooses, as with git
    /// itself.
    Relaxed,
}

/// Published commits.
#[derive(Debug)]
#[must_use = "the work tree may not have been updated"]
pub struct PublishedCommits {
    /// Their ids, oldest first.
    pub commits: Vec<Oid>,
    /// Why the work tree could not be updated, if so. The commits are valid all the same. The next process that takes
    /// the lock tries again; `git restore --staged --worktree <path>` does the update by hand.
    pub left_behind: Option<GitError>,
    /// The branch's previous file, held open: on disks with TRIM, freeing it takes longer than most
    /// other steps. It is freed when this value is dropped, and a response need not wait for that.
    #[expect(dead_code, reason = "it is held, not read")]
    replaced: Option<File>,
}

impl PublishedCommits {
    const fn new(commits: Vec<Oid>) -> Self {
        Self { commits, left_behind: None, replaced: None }
    }
}

impl Repo {
    /// Commits the drafts to `reference` (full name, as [`Repo::branch`] returns it). Each commit's parent is the one
    /// before; the first commit's parent is `expected`. `expected` is `None` for a branch that does not exist yet.
    ///
    /// Whatever the result, nothing stays staged. If the branch is checked out here, its changed files and the index
    /// are updated. If those files have uncommitted changes, nothing happens.
    ///
    /// # Errors
    /// [`PublishError::Moved`] if the branch is not at `expected`; [`PublishError::Dirty`] for uncommitted changes;
    /// [`PublishError::Unconfirmed`] if the branch moved but could not be flushed; [`PublishError::Git`] otherwise.
    pub fn publish(
        &self,
        lock: &mut RepoLock,
        reference: &str,
        expected: Option<Oid>,
        drafts: &[CommitDraft],
        durability: Durability,
    ) -> Result<PublishedCommits, PublishError> {
        self.publish_announced(lock, reference, expected, drafts, durability, &mut |_| {})
    }

    /// The same as [`Repo::publish`], and calls `announce` with the ids of the commits before the branch names them: a
    /// watcher in this process then knows them, however early it sees the branch move. An announced commit may still
    /// fail to reach the branch.
    pub fn publish_announced(
        &self,
        lock: &mut RepoLock,
        reference: &str,
        expected: Option<Oid>,
        drafts: &[CommitDraft],
        durability: Durability,
        announce: &mut dyn FnMut(&[Oid]),
    ) -> Result<PublishedCommits, PublishError> {
        let published = self.try_publish(lock, reference, expected, drafts, durability, announce);
        self.discard_staged();
        if published.is_err() {
            // The cache may hold objects that were not written.
            self.memo.borrow_mut().clear();
        }
        if matches!(published, Err(PublishError::Git(_) | PublishError::Moved { .. } | PublishError::Dirty { .. })) {
            let _ = lock.let_go(None);
        }
        published
    }

    fn try_publish(
        &self,
        lock: &mut RepoLock,
        reference: &str,
        expected: Option<Oid>,
        drafts: &[CommitDraft],
        durability: Durability,
        announce: &mut dyn FnMut(&[Oid]),
    ) -> Result<PublishedCommits, PublishError> {
        let Some(last) = drafts.last() else {
            return Ok(PublishedCommits::new(Vec::new()));
        };
        if self.quarantine.is_some() {
            return Err(GitError::Quarantined.into());
        }
        let commits = self.make_commits(expected, drafts)?;
        let Some(&tip) = commits.last() else {
            return Ok(PublishedCommits::new(commits));
        };
        let follow = self.prepare_follow(lock, reference, expected, &last.tree)?;
        let staged = self.inner.objects.reset_object_memory().unwrap_or_default();
        let left = follow.as_ref().map(|f| f.left(self));
        let mut held = self.locks_for(reference, tip);
        held.extend(follow.iter().filter_map(super::worktree::WorkTreeUpdate::held));
        lock.note(&held, left.as_ref())?;
        let edit = self.prepare(reference, expected, tip, last)?;
        let sharing = self.sharing()?;
        held.iter().try_for_each(|h| sharing.adjust_up_to(&h.path, self.common_dir()))?;
        lock.note(&held.into_iter().filter_map(|h| LockFile::taken(h.path)).collect::<Vec<_>>(), left.as_ref())?;
        self.write_objects(&staged, &commits)?;
        let is_new = !self.common_dir().join(reference).exists();
        if durability == Durability::Full {
            self.flush_objects()?;
        }
        // The update of a work tree may need the disk space.
        let replaced = if follow.is_none() { File::open(self.common_dir().join(reference)).ok() } else { None };
        announce(&commits);
        self.move_branch(edit, last)?;
        self.share_logs(reference, sharing);
        let flushed = match durability {
            Durability::Full => self.flush_reference(reference, is_new),
            Durability::Relaxed => Ok(()),
        };
        let left_behind = follow.and_then(|f| f.apply(self).err());
        // The next process that takes the lock tries again.
        let _ = lock.let_go(left.as_ref().filter(|_| left_behind.is_some()));
        flushed.map_err(|e| PublishError::Unconfirmed { commit: tip, source: e.into() })?;
        Ok(PublishedCommits { commits, left_behind, replaced })
    }

    /// Makes the commits in memory, each the parent of the next, signed if the settings demand it.
    fn make_commits(&self, expected: Option<Oid>, drafts: &[CommitDraft]) -> Result<Vec<Oid>, GitError> {
        let known = |id: &Oid| self.id(id).filter(|i| self.inner.objects.exists(i)).ok_or(TreeError::Missing(*id));
        let signer = self.signer(drafts.first().map(|d| &d.committer))?;
        let mut parent = expected;
        let mut made = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let mut commit = gix::objs::Commit {
                tree: self
                    .id(&draft.tree)
                    .filter(|t| t.is_empty_tree() || self.inner.objects.exists(t))
                    .ok_or(TreeError::Missing(draft.tree))?,
                parents: parent.iter().chain(&draft.merged).map(known).collect::<Result<_, _>>()?,
                author: draft.author.to_git(),
                committer: draft.committer.to_git(),
                encoding: None,
                message: message(&draft.message).into(),
                extra_headers: Vec::new(),
            };
            if let Some(signer) = &signer {
                commit = signer.sign(commit)?;
            }
            let id = self.inner.objects.write(&commit).map_err(|e| GitError::git("make the commit", e))?;
            made.push(oid(id));
            parent = Some(oid(id));
        }
        Ok(made)
    }

    /// Returns the lock files that moving the branch takes.
    fn locks_for(&self, reference: &str, tip: Oid) -> Vec<LockFile> {
        let lock_of = |dir: &Path, name: &str| dir.join(format!("{name}.lock"));
        vec![
            LockFile::planned(lock_of(self.common_dir(), reference), Some(tip)),
            LockFile::planned(lock_of(self.git_dir(), "HEAD"), Some(tip)),
            LockFile::planned(lock_of(self.common_dir(), "packed-refs"), None),
        ]
    }

    /// Locks the branch and compares it with the expected commit. Nothing is visible yet.
    fn prepare(
        &self,
        reference: &str,
        expected: Option<Oid>,
        tip: Oid,
        draft: &CommitDraft,
    ) -> Result<gix::refs::file::Transaction<'_, '_>, PublishError> {
        let bad_name = |e: gix::Error| GitError::git(format!("write to the reference {}", quoted(reference)), e);
        let name = FullName::try_from(reference).map_err(|e| bad_name(gix::Error::from_error(e)))?;
        let old = expected.map(|id| self.id(&id).ok_or(TreeError::Missing(id))).transpose().map_err(GitError::from)?;
        let new = self.id(&tip).ok_or(TreeError::Missing(tip)).map_err(GitError::from)?;
        // Goes through HEAD if HEAD is on the branch and there is a work tree or a log. Then HEAD's own log records the
        // change too, and HEAD cannot leave the branch whose files the work tree is about to get.
        let through_head = (self.work_dir().is_some() || self.keeps_logs()) && self.is_on(reference)?;
        let edit = RefEdit {
            change: Change::Update {
                log: LogChange {
                    mode: RefLog::AndReference,
                    force_create_reflog: false,
                    message: format!("greenroom: {}", subject(&draft.message)).into(),
                },
                expected: old
                    .map_or(PreviousValue::MustNotExist, |o| PreviousValue::MustExistAndMatch(Target::Object(o))),
                new: Target::Object(new),
            },
            name: if through_head {
                FullName::try_from("HEAD").map_err(|e| bad_name(gix::Error::from_error(e)))?
            } else {
                name
            },
            deref: through_head,
        };
        let wait = gix::lock::acquire::Fail::AfterDurationWithBackoff(GIT_LOCK_WAIT);
        let prepared = self.inner.refs.transaction().prepare([edit], wait, wait);
        let prepared = prepared.map_err(|e| self.refused(reference, tip, e))?;
        if through_head && !self.is_on(reference)? {
            // HEAD moved to another branch between the check and the lock.
            return Err(PublishError::Moved { actual: self.reference(reference)? });
        }
        Ok(prepared)
    }

    /// Whether moves of references are logged.
    fn keeps_logs(&self) -> bool {
        match self.inner.refs.write_reflog {
            WriteReflog::Disable => false,
            WriteReflog::Normal | WriteReflog::Always => true,
        }
    }

    /// Returns why the branch could not be locked or was not at the expected commit.
    fn refused(&self, reference: &str, tip: Oid, e: gix::Error) -> PublishError {
        use gix::refs::file::transaction::prepare::{MustNotExist, ReferenceOutOfDate};
        let out_of_date = e.downcast_any_ref::<ReferenceOutOfDate>().map(|e| &e.actual);
        if let Some(actual) = out_of_date.or_else(|| e.downcast_any_ref::<MustNotExist>().map(|e| &e.actual)) {
            return PublishError::Moved { actual: actual.try_id().map(oid) };
        }
        if io_cause(&e).is_none() && matches!(self.reference(reference), Ok(None)) {
            return PublishError::Moved { actual: None };
        }
        let stands = self.locks_for(reference, tip).into_iter().find(|h| h.path.exists());
        match stands {
            Some(held) if e.is_retryable() => GitError::Locked { path: held.path }.into(),
            Some(_) | None => GitError::write(format!("move {}", quoted(reference)), self.common_dir(), e).into(),
        }
    }

    fn move_branch(&self, edit: gix::refs::file::Transaction<'_, '_>, draft: &CommitDraft) -> Result<(), GitError> {
        let who = draft.committer.to_git();
        let mut buf = gix::date::parse::TimeBuf::default();
        edit.commit(who.to_ref(&mut buf)).map_err(|e| GitError::write("move the branch", self.common_dir(), e))?;
        Ok(())
    }

    /// Lets other accounts write to the logs of references, if the setting allows it. The branch has moved by now, so a
    /// failure is ignored here: the next write of another account reports the log.
    fn share_logs(&self, reference: &str, sharing: Sharing) {
        for (root, log) in [(self.common_dir(), reference), (self.git_dir(), "HEAD")] {
            let _ = sharing.adjust_up_to(&root.join("logs").join(log), root);
        }
    }

    /// Writes the staged objects that the commits need, each after the objects that it refers to.
    fn write_objects(&self, staged: &Storage, commits: &[Oid]) -> Result<(), GitError> {
        let store = gix::odb::loose::Store::at(self.objects_dir(), self.inner.object_hash());
        let sharing = self.sharing()?;
        let mut done = std::collections::HashSet::new();
        for id in commits {
            for id in self.needed(staged, id, &mut done)? {
                if let Some((kind, bytes)) = staged.get(&id) {
                    write_object(&store, id, *kind, bytes)
                        .map_err(|e| GitError::write(format!("write object {id}"), self.objects_dir(), e))?;
                    sharing.adjust_up_to(&store.object_path(&id), &self.objects_dir())?;
                }
            }
        }
        Ok(())
    }

    /// Returns the staged objects that one object needs, itself last.
    fn needed(
        &self,
        staged: &Storage,
        id: &Oid,
        done: &mut std::collections::HashSet<gix::ObjectId>,
    ) -> Result<Vec<gix::ObjectId>, GitError> {
        let mut order = Vec::new();
        let mut todo: Vec<gix::ObjectId> = self.id(id).into_iter().collect();
        while let Some(id) = todo.pop() {
            let Some((kind, bytes)) = staged.get(&id).filter(|_| done.insert(id)) else { continue };
            order.push(id);
            let hash = self.inner.object_hash();
            let damaged = |e: gix::Error| GitError::git("read a staged object", e);
            match kind {
                ObjectKind::Commit => {
                    todo.push(gix::objs::CommitRefIter::from_bytes(bytes, hash).tree_id().map_err(damaged)?);
                }
                ObjectKind::Tree => {
                    for entry in TreeRefIter::from_bytes(bytes, hash) {
                        let entry = entry.map_err(damaged)?;
                        todo.extend(Some(entry.oid).filter(|o| staged.contains_key(*o)).map(ToOwned::to_owned));
                    }
                }
                ObjectKind::Blob | ObjectKind::Tag => {}
            }
        }
        order.reverse();
        Ok(order)
    }

    fn objects_dir(&self) -> PathBuf {
        self.inner.objects.store_ref().path().to_owned()
    }

    /// Flushes all written objects to disk.
    fn flush_objects(&self) -> Result<(), GitError> {
        let dir = self.objects_dir();
        flush(&dir).map_err(|e| GitError::io("flush", dir, e))
    }

    /// Flushes the branch's entry in its folder to disk. If the branch is new, also the folders above, which may be new
    /// too.
    fn flush_reference(&self, reference: &str, is_new: bool) -> Result<(), GitError> {
        let file = self.common_dir().join(reference);
        let above = file.ancestors().skip(1).take_while(|p| p.starts_with(self.common_dir()));
        let folders = above.take(if is_new { usize::MAX } else { 1 });
        // The content of the file was written when the branch was locked, so it is flushed with everything else.
        let own = if FLUSHES_ALL { None } else { Some(file.as_path()) };
        for path in own.into_iter().chain(folders) {
            File::open(path).and_then(|f| f.sync_all()).map_err(|e| GitError::io("flush", path, e))?;
        }
        Ok(())
    }
}

/// Writes a loose object, unless it exists and is intact.
///
/// An existing object may be torn (a power cut before its flush), so it is compared. It may be old and about to be
/// pruned, so its time is renewed, as git does. Packs are not searched: a second copy does no harm, while an
/// unreachable packed object may vanish with the next repack.
fn write_object(
    store: &gix::odb::loose::Store,
    id: gix::ObjectId,
    kind: ObjectKind,
    bytes: &[u8],
) -> Result<(), gix::Error> {
    let path = store.object_path(&id);
    if path.exists() {
        let mut found = Vec::new();
        let whole =
            matches!(store.try_find(&id, &mut found), Ok(Some(data)) if data.kind == kind && data.data == bytes);
        let renewed = || File::open(&path).and_then(|f| f.set_modified(std::time::SystemTime::now()));
        if whole && renewed().is_ok() {
            return Ok(());
        }
    }
    let mut tries = 0;
    loop {
        match store.write_buf_with_known_id(kind, bytes, id) {
            Ok(_) => return Ok(()),
            // `git gc` removes empty folders, perhaps the one that was just created for this object.
            Err(e) if io_cause(&e).is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) && tries < 10 => {
                tries += 1;
            }
            Err(e) => return Err(e),
        }
    }
}

/// Whether [`flush`] flushes everything that was written, and not only the objects.
const FLUSHES_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Flushes the whole file system of a folder: one call for any number of new files and folders.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn flush(dir: &Path) -> std::io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

/// Flushes the loose objects of the last ten minutes and their folders, one by one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn flush(dir: &Path) -> std::io::Result<()> {
    let recent = |m: &std::fs::Metadata| {
        m.modified().ok().and_then(|t| t.elapsed().ok()).is_none_or(|age| age < Duration::from_secs(600))
    };
    for shard in std::fs::read_dir(dir)? {
        let shard = shard?;
        let meta = shard.metadata()?;
        if !meta.is_dir() || shard.file_name().len() != 2 || !recent(&meta) {
            continue;
        }
        for object in std::fs::read_dir(shard.path())? {
            let object = object?;
            if recent(&object.metadata()?) {
                File::open(object.path())?.sync_all()?;
            }
        }
        File::open(shard.path())?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}

/// Returns the message as git stores it: no NUL, no spaces at line ends, one line feed at the end.
fn message(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").replace('\0', ""))
}

fn subject(message: &str) -> String {
    crate::text::one_line(message.lines().next().unwrap_or_default()).into_owned()
}
