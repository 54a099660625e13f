//! Publishing: staged trees become commits of a branch, all of them or none, on disk before the answer.
//!
//! The order is what makes it safe. Commits are made (and signed) in memory. The branch is locked as git locks it and
//! compared with what is expected, so who lost a race has written nothing. Objects are written, then flushed. Only
//! then does the branch move, and its file and folder are flushed too.

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
use super::lock::Held;
use super::sharing::Sharing;
use super::{GIT_LOCK_WAIT, GitError, Ident, PublishError, Repo, RepoLock, oid};
use crate::text::quoted;
use crate::tree::{Oid, TreeError};

/// A commit to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its root tree, staged or already there.
    pub tree: Oid,
    /// Parents after the first, for a merge; the first is the commit before it. Where none is before it, on a new
    /// branch, these are all: what the branch grows from.
    pub merged: Vec<Oid>,
    /// Who made the change.
    pub author: Ident,
    /// Who puts it here.
    pub committer: Ident,
    /// The whole message.
    pub message: String,
}

/// What an answer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The commits survive a power cut.
    Full,
    /// They survive the death of the process; the system writes them when it sees fit, as git itself does.
    Relaxed,
}

/// Commits that landed.
#[derive(Debug)]
#[must_use = "the work tree may not have followed"]
pub struct Published {
    /// Their ids, oldest first.
    pub commits: Vec<Oid>,
    /// Why the work tree could not follow, if so. The commits stand all the same; who takes the lock next tries again,
    /// and `git restore --staged --worktree <path>` does it by hand.
    pub left_behind: Option<GitError>,
    /// The file that the branch had before, held open: where a disk is told of what is freed, freeing it takes longer than
    /// much else here. So it is freed when this is dropped, for which an answer need not wait.
    #[expect(dead_code, reason = "it is held, not read")]
    replaced: Option<File>,
}

impl Published {
    const fn new(commits: Vec<Oid>) -> Self {
        Self { commits, left_behind: None, replaced: None }
    }
}

impl Repo {
    /// Makes the drafts commits of `reference` (in full, as [`Repo::branch`] gives it), each on top of the one before,
    /// the first on top of `expected` (none: the branch does not exist yet).
    ///
    /// Whatever the outcome, nothing stays staged. If the branch is checked out here, its touched files and the index
    /// follow; if they have changes of their own, nothing happens.
    pub fn publish(
        &self,
        lock: &mut RepoLock,
        reference: &str,
        expected: Option<Oid>,
        drafts: &[Draft],
        durability: Durability,
    ) -> Result<Published, PublishError> {
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
        drafts: &[Draft],
        durability: Durability,
        announce: &mut dyn FnMut(&[Oid]),
    ) -> Result<Published, PublishError> {
        let published = self.try_publish(lock, reference, expected, drafts, (durability, announce));
        self.discard_staged();
        if published.is_err() {
            // It may know of objects that were not written.
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
        drafts: &[Draft],
        (durability, announce): (Durability, &mut dyn FnMut(&[Oid])),
    ) -> Result<Published, PublishError> {
        let Some(last) = drafts.last() else {
            return Ok(Published::new(Vec::new()));
        };
        if self.quarantine.is_some() {
            return Err(GitError::Quarantined.into());
        }
        let commits = self.make_commits(expected, drafts)?;
        let Some(&tip) = commits.last() else {
            return Ok(Published::new(commits));
        };
        let follow = self.prepare_follow(lock, reference, expected, &last.tree)?;
        let staged = self.inner.objects.reset_object_memory().unwrap_or_default();
        let left = follow.as_ref().map(|f| f.left(self));
        let mut held = self.locks_for(reference, tip);
        held.extend(follow.iter().filter_map(super::worktree::Follow::held));
        lock.note(&held, left.as_ref())?;
        let edit = self.prepare(reference, expected, tip, last)?;
        let sharing = self.sharing()?;
        held.iter().try_for_each(|h| sharing.adjust_up_to(&h.path, self.common_dir()))?;
        lock.note(&held.into_iter().filter_map(|h| Held::taken(h.path)).collect::<Vec<_>>(), left.as_ref())?;
        self.write_objects(&staged, &commits)?;
        let is_new = !self.common_dir().join(reference).exists();
        if durability == Durability::Full {
            self.flush_objects()?;
        }
        // A work tree may need the room that it takes.
        let replaced = if follow.is_none() { File::open(self.common_dir().join(reference)).ok() } else { None };
        announce(&commits);
        self.move_branch(edit, last)?;
        self.share_logs(reference, sharing);
        let flushed = match durability {
            Durability::Full => self.flush_reference(reference, is_new),
            Durability::Relaxed => Ok(()),
        };
        let left_behind = follow.and_then(|f| f.apply(self).err());
        // Who takes the lock next tries once more.
        let _ = lock.let_go(left.as_ref().filter(|_| left_behind.is_some()));
        flushed.map_err(|e| PublishError::Unconfirmed { commit: tip, source: e.into() })?;
        Ok(Published { commits, left_behind, replaced })
    }

    /// Makes the commits in memory, each the parent of the next, signed if the settings ask for it.
    fn make_commits(&self, expected: Option<Oid>, drafts: &[Draft]) -> Result<Vec<Oid>, GitError> {
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

    /// The lock files that moving the branch takes.
    fn locks_for(&self, reference: &str, tip: Oid) -> Vec<Held> {
        let lock_of = |dir: &Path, name: &str| dir.join(format!("{name}.lock"));
        vec![
            Held::planned(lock_of(self.common_dir(), reference), Some(tip)),
            Held::planned(lock_of(self.git_dir(), "HEAD"), Some(tip)),
            Held::planned(lock_of(self.common_dir(), "packed-refs"), None),
        ]
    }

    /// Locks the branch and compares it with what is expected; none of it can be seen yet.
    fn prepare(
        &self,
        reference: &str,
        expected: Option<Oid>,
        tip: Oid,
        draft: &Draft,
    ) -> Result<gix::refs::file::Transaction<'_, '_>, PublishError> {
        let bad_name = |e: gix::Error| GitError::git(format!("write to the reference {}", quoted(reference)), e);
        let name = FullName::try_from(reference).map_err(|e| bad_name(gix::Error::from_error(e)))?;
        let old = expected.map(|id| self.id(&id).ok_or(TreeError::Missing(id))).transpose().map_err(GitError::from)?;
        let new = self.id(&tip).ok_or(TreeError::Missing(tip)).map_err(GitError::from)?;
        // Through HEAD, if it is on the branch and somebody may care: HEAD's own log tells of the change too, and HEAD
        // cannot leave the branch whose files the work tree is about to get.
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
            // HEAD went elsewhere between the look and the lock.
            return Err(PublishError::Moved { actual: self.reference(reference)? });
        }
        Ok(prepared)
    }

    /// Whether the movements of references are logged.
    fn keeps_logs(&self) -> bool {
        match self.inner.refs.write_reflog {
            WriteReflog::Disable => false,
            WriteReflog::Normal | WriteReflog::Always => true,
        }
    }

    /// Says why the branch could not be locked or was not as expected.
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

    fn move_branch(&self, edit: gix::refs::file::Transaction<'_, '_>, draft: &Draft) -> Result<(), GitError> {
        let who = draft.committer.to_git();
        let mut buf = gix::date::parse::TimeBuf::default();
        edit.commit(who.to_ref(&mut buf)).map_err(|e| GitError::write("move the branch", self.common_dir(), e))?;
        Ok(())
    }

    /// Lets other accounts write to the logs of references, where they may. The branch has moved by now, so that a
    /// failure is theirs to meet: the next write of theirs names the log.
    fn share_logs(&self, reference: &str, sharing: Sharing) {
        for (root, log) in [(self.common_dir(), reference), (self.git_dir(), "HEAD")] {
            let _ = sharing.adjust_up_to(&root.join("logs").join(log), root);
        }
    }

    /// Writes what the commits need of the staged objects, parts before the whole.
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

    /// The staged objects that one needs, itself last.
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

    /// Puts all that was written so far on disk, for good.
    fn flush_objects(&self) -> Result<(), GitError> {
        let dir = self.objects_dir();
        flush(&dir).map_err(|e| GitError::io("flush", dir, e))
    }

    /// Puts the branch's new place in its folder on disk, for good; where its file is new, the folders above may be, too.
    fn flush_reference(&self, reference: &str, is_new: bool) -> Result<(), GitError> {
        let file = self.common_dir().join(reference);
        let above = file.ancestors().skip(1).take_while(|p| p.starts_with(self.common_dir()));
        let folders = above.take(if is_new { usize::MAX } else { 1 });
        // What the file says was written when the branch was locked, and so flushed with all else.
        let own = if FLUSHES_ALL { None } else { Some(file.as_path()) };
        for path in own.into_iter().chain(folders) {
            File::open(path).and_then(|f| f.sync_all()).map_err(|e| GitError::io("flush", path, e))?;
        }
        Ok(())
    }
}

/// Writes a loose object, unless it is there and whole.
///
/// An object that exists may be torn (a power cut before its flush), so it is compared. And it may be old and about
/// to be pruned, so its time is renewed, as git does. Objects in packs are not asked for: a second copy is harmless,
/// while an unreachable one might go with the next repack.
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
            // `git gc` removes folders that it finds empty, perhaps the one that was just made for this object.
            Err(e) if io_cause(&e).is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) && tries < 10 => {
                tries += 1;
            }
            Err(e) => return Err(e),
        }
    }
}

/// Whether [`flush`] flushes all that was written, not the objects alone.
const FLUSHES_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Flushes the whole file system that a folder is on: one call for any number of new files and folders.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn flush(dir: &Path) -> std::io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(dir)?)?)
}

/// Flushes the loose objects of the last minutes and their folders, one by one.
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

/// The message as git keeps it: no NUL, no spaces at line ends, one line feed at the end.
fn message(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n").replace('\0', ""))
}

fn subject(message: &str) -> String {
    crate::text::one_line(message.lines().next().unwrap_or_default()).into_owned()
}
