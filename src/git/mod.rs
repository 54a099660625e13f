//! The git repository. Only this module uses the git library.
//!
//! Reading never starts a program and reads only the objects that it needs. Writing goes through memory:
//! [`Stage`](crate::tree::Stage) builds trees that no other process can see. [`Repo::publish`] commits them to a branch
//! by compare-and-swap, and returns after they are on disk.
//!
//! The settings of the repository apply as in git, with two exceptions: replacement objects are never followed, and
//! programs for signing are taken from the user's settings only, never from the repository's.

mod clean;
mod commit;
mod convert;
mod error;
mod files;
mod guard;
mod init;
mod lfs;
mod lock;
mod mailmap;
mod object_cache;
mod operation;
mod partial;
pub mod program;
mod quarantine;
mod raw;
mod read;
mod refs;
mod remote;
mod served;
mod sharing;
mod sign;
mod signed;
mod stage;
pub mod stamp;
mod tip;
mod walk;
mod worktree;
mod write;

#[cfg(test)]
mod tests;

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use commit::{Commit, CommitOddity, Ident, Role};
pub use convert::Converter;
pub use error::{GitError, LibraryError, PublishError};
pub use files::WorkFile;
pub use init::{enclosing, served};
pub use lock::RepoLock;
pub use mailmap::Mailmap;
pub use operation::Operation;
pub use quarantine::HookEnv;
pub use raw::{Header, NameFilter, ObjectKind};
pub use remote::{Remote, Tracked};
pub use served::HooksDir;
pub use signed::Signed;
pub use tip::Tip;
pub use walk::{Step, Walk};
pub use write::{CommitDraft, Durability, PublishedCommits};

use crate::tree::Oid;

/// Settings that override those of the repository.
const OVERRIDES: [&str; 3] =
    ["core.useReplaceRefs=false", "core.deltaBaseCacheLimit=96m", "gitoxide.objects.allocLimit=256m"];

/// How long to wait for git's own locks.
const GIT_LOCK_WAIT: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(5) };

/// The pack cache of a repository that one of several threads opens.
const SPARING: &str = "core.deltaBaseCacheLimit=16m";

/// An open repository. Its memory holds staged objects; apart from that, only caches persist between calls.
///
/// A `Repo` is for one thread. Opening another one costs about 0.1 ms.
pub struct Repo {
    inner: gix::Repository,
    git_dir: PathBuf,
    common_dir: PathBuf,
    memo: RefCell<object_cache::ObjectCache>,
    mailmap: OnceCell<gix::mailmap::Snapshot>,
    /// The object store that refers to the quarantined objects. It must exist as long as they are read.
    quarantine: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repo").field("git_dir", &self.git_dir()).finish_non_exhaustive()
    }
}

impl Repo {
    /// Finds the repository that contains `start`, as git does: GIT_DIR, GIT_WORK_TREE and GIT_CEILING_DIRECTORIES
    /// apply. A bare repository inside another work tree is refused unless GIT_DIR names it.
    ///
    /// # Errors
    /// [`GitError::NotARepository`], [`GitError::Untrusted`], [`GitError::Embedded`], [`GitError::ImplicitBare`],
    /// [`GitError::RefFormat`] or [`GitError::Format`] if the repository cannot be used, else [`GitError::Git`] or
    /// [`GitError::Io`].
    pub fn discover(start: &Path) -> Result<Self, GitError> {
        let ceilings = gix::discover::upwards::Options { match_ceiling_dir_or_error: false, ..Default::default() };
        let trust = gix::sec::trust::Mapping { full: options(), reduced: options() };
        let start = &std::path::absolute(start).map_err(|e| GitError::io("find", start, e))?;
        let found = gix::ThreadSafeRepository::discover_with_environment_overrides_opts(start, ceilings, trust)
            .map_err(|e| cannot_open(start, e))?;
        let repo = Self::new(found.to_thread_local(), object_cache::WHOLE)?;
        if std::env::var_os("GIT_DIR").is_none() {
            repo.refuse_embedded()?;
            repo.refuse_implicit_bare()?;
        }
        Ok(repo)
    }

    /// Opens the repository at `path`: a work tree, its `.git`, or a bare repository. Environment variables are
    /// ignored.
    ///
    /// # Errors
    /// [`GitError::NotARepository`], [`GitError::Untrusted`], [`GitError::RefFormat`] or [`GitError::Format`] if the
    /// repository cannot be used, else [`GitError::Git`] or [`GitError::Io`].
    pub fn open(path: &Path) -> Result<Self, GitError> {
        let path = &std::path::absolute(path).map_err(|e| GitError::io("find", path, e))?;
        let repo = options().open(path).map_err(|e| cannot_open(path, e))?;
        Self::new(repo.to_thread_local(), object_cache::WHOLE)
    }

    /// Opens the repository at `path` with small caches, for one of several threads that read it.
    ///
    /// # Errors
    /// The same as [`Self::open`].
    pub fn open_beside(path: &Path) -> Result<Self, GitError> {
        let sparing = options().config_overrides(OVERRIDES.into_iter().chain([SPARING]));
        let repo = sparing.open(path).map_err(|e| cannot_open(path, e))?;
        Self::new(repo.to_thread_local(), object_cache::SPARING)
    }

    fn new(mut inner: gix::Repository, remembered: usize) -> Result<Self, GitError> {
        if let Some(format) = inner.config_snapshot().string("extensions.refStorage").filter(|f| *f != "files") {
            return Err(GitError::RefFormat { path: inner.git_dir().to_owned(), format: format.to_string() });
        }
        Self::refuse_unknown_format(&inner)?;
        let canonical = |p: &Path| p.canonicalize().map_err(|e| GitError::io("find", p, e));
        let (git_dir, common_dir) = (canonical(inner.git_dir())?, canonical(inner.common_dir())?);
        inner.objects.enable_object_memory();
        let memo = RefCell::new(object_cache::ObjectCache::new(remembered));
        Ok(Self { inner, git_dir, common_dir, memo, mailmap: OnceCell::new(), quarantine: None })
    }

    /// Refuses a bare repository inside a work tree: it may have been cloned with it, and then an attacker wrote its
    /// settings.
    fn refuse_embedded(&self) -> Result<(), GitError> {
        let (None, Some(above)) = (self.inner.workdir(), self.git_dir.parent()) else { return Ok(()) };
        match gix::discover::upwards(above) {
            Ok((gix::discover::repository::Path::WorkTree(outer), _)) => {
                Err(GitError::Embedded { git_dir: self.git_dir.clone(), outer })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Returns the folder with HEAD and the index; a linked work tree has its own. Absolute, without symbolic links.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Returns the folder with objects, branches and settings, which all linked work trees share. Absolute, without
    /// symbolic links.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Returns the folder of Git LFS objects: `lfs` in [`Self::common_dir`], or the folder that `lfs.storage` names.
    pub fn lfs_dir(&self) -> PathBuf {
        let set = self.inner.config_snapshot().string("lfs.storage").filter(|s| !s.is_empty());
        let named = set.and_then(|s| gix::path::from_bstring(s).ok());
        // Like git-lfs: a relative path is relative to the repository. Joining an absolute path yields that path.
        self.common_dir().join(named.unwrap_or_else(|| PathBuf::from("lfs")))
    }

    /// Returns the root of the checked-out files; `None` for a bare repository.
    pub fn work_dir(&self) -> Option<PathBuf> {
        self.inner.workdir().map(Path::to_owned)
    }

    /// Whether the clone is shallow.
    ///
    /// # Errors
    /// [`GitError::Git`] if the list of shallow commits cannot be read.
    pub fn is_shallow(&self) -> Result<bool, GitError> {
        self.inner.is_shallow().map_err(|e| GitError::git("read which commits are shallow", e))
    }

    /// Converts an id to the git library's form. Returns `None` if it has the length of another hash, so that no object
    /// here can have it.
    fn id(&self, id: &Oid) -> Option<gix::ObjectId> {
        gix::ObjectId::try_from(id.as_bytes()).ok().filter(|i| i.kind() == self.inner.object_hash())
    }
}

/// Returns the options to open repositories: other users' repositories are refused, and [`OVERRIDES`] apply.
fn options() -> gix::open::Options {
    gix::open::Options::default().bail_if_untrusted(true).config_overrides(OVERRIDES)
}

/// Converts an id from the git library's form.
fn oid(id: impl AsRef<gix::oid>) -> Oid {
    #[expect(clippy::expect_used, reason = "the library knows ids of 20 and 32 bytes only")]
    Oid::from_bytes(id.as_ref().as_bytes()).expect("20 or 32 bytes")
}

fn cannot_open(path: &Path, e: gix::Error) -> GitError {
    if e.is_permission_denied() && error::io_cause(&e).is_none() {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        GitError::Untrusted { path }
    } else if e.is_not_found() && error::io_cause(&e).is_none_or(|e| e.kind() == std::io::ErrorKind::NotFound) {
        GitError::NotARepository { path: path.to_owned() }
    } else {
        GitError::git(format!("open the repository at {}", path.display()), e)
    }
}
