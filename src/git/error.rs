//! Errors of a repository, each with advice on what to do.

use std::path::PathBuf;

use crate::tree::{Oid, StageError, TreeError};

/// The error of an underlying library, kept as the cause.
pub type LibraryError = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on the repository failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no repository at or above the path.
    #[error(
        "{} is not in a git repository; go to one, or make one with `git init`", .path.display()
    )]
    NotARepository {
        /// Where the search began.
        path: PathBuf,
    },
    /// The repository belongs to another user, so its settings could run that user's programs.
    #[error(
        "the repository at {0} belongs to another user (git calls this dubious ownership); \
         if you trust it, run `git config --global --add safe.directory {0}`", .path.display()
    )]
    Untrusted {
        /// The folder of the repository.
        path: PathBuf,
    },
    /// A bare repository inside another work tree may have been cloned with it, including its settings.
    #[error(
        "{0} is a bare repository inside the work tree of {1} and may have been cloned with it; if it is yours, name \
         it: GIT_DIR={0}", .git_dir.display(), .outer.display()
    )]
    Embedded {
        /// The bare repository.
        git_dir: PathBuf,
        /// The work tree around it.
        outer: PathBuf,
    },
    /// The repository stores references in a format that is not supported.
    #[error(
        "{0} keeps its references in the format `{1}`, which is not supported; \
         run `git -C {0} refs migrate --ref-format=files` (git 2.48 or later if it keeps reflogs)", .path.display(), .format
    )]
    RefFormat {
        /// The git folder of the repository.
        path: PathBuf,
        /// The format's name.
        format: String,
    },
    /// The repository's settings demand a format or extension that git or this program does not know.
    #[error(
        "the repository at {} cannot be used: {what}; see `git config --local --get-regexp '^extensions|^core.repo'`",
        .path.display()
    )]
    Format {
        /// The git folder of the repository.
        path: PathBuf,
        /// The unknown or unsupported feature.
        what: String,
    },
    /// The user's settings allow bare repositories only when they are named explicitly.
    #[error(
        "{0} is a bare repository, and safe.bareRepository allows bare repositories only if they are named: \
         GIT_DIR={0}",
        .git_dir.display()
    )]
    ImplicitBare {
        /// The bare repository.
        git_dir: PathBuf,
    },
    /// Objects that a partial clone left out could not be fetched.
    #[error(
        "this is a partial clone, and {missing} objects of the registry that it left out could not be fetched from \
         {remote}: {why}; try again, or run `git fetch --refetch --no-filter {remote}`"
    )]
    Partial {
        /// The remote that promised them.
        remote: String,
        /// The number of missing objects.
        missing: usize,
        /// The message of the git program, one line.
        why: String,
    },
    /// A pre-receive or update hook judges a push and must not write.
    #[error("a push is being judged, so nothing can be written: a hook must not change the repository")]
    Quarantined,
    /// The clone is shallow, so the history is incomplete.
    #[error("the repository is a shallow clone and this needs its history; run `git fetch --unshallow`")]
    Shallow,
    /// HEAD is on no branch.
    #[error("HEAD is on no branch (detached), so there is no branch to write to; run `git switch <branch>`")]
    Detached,
    /// The text does not name a commit.
    #[error("{} is not a commit of this repository", .rev)]
    UnknownRevision {
        /// The text, quoted.
        rev: String,
        /// The error of the git library, if there is one.
        #[source]
        source: Option<LibraryError>,
    },
    /// Git has no identity for the committer.
    #[error(
        "git does not know who you are: run `git config --global user.name \"Your Name\"` and \
         `git config --global user.email you@example.org`"
    )]
    NoIdentity,
    /// An object could not be read.
    #[error(transparent)]
    Object(#[from] TreeError),
    /// A change could not be staged.
    #[error(transparent)]
    Stage(StageError),
    /// Another greenroom process is writing.
    #[error(
        "another process{} is writing to this repository and did not finish within {} s; try again \
         (the lock is {})", .pid.map(|p| format!(" ({p})")).unwrap_or_default(), .seconds, .path.display()
    )]
    Busy {
        /// The path of the lock file.
        path: PathBuf,
        /// The process that holds the lock, if the lock file names it.
        pid: Option<u32>,
        /// How long this process waited, in seconds.
        seconds: u64,
    },
    /// One of git's own locks is held.
    #[error(
        "git's lock {0} is held; if no git process is running here, an earlier one was killed: remove the lock with \
         `rm '{0}'`",
        .path.display()
    )]
    Locked {
        /// The path of the lock file.
        path: PathBuf,
    },
    /// The repository is read-only for this user.
    #[error("the repository cannot be written to: {} is read-only for this user", .path.display())]
    ReadOnly {
        /// The file or folder that refused the write.
        path: PathBuf,
        /// The error of the operating system or the git library.
        #[source]
        source: LibraryError,
    },
    /// Another work tree has the branch checked out. Moving the branch would look like a revert there.
    #[error(
        "{branch} is checked out in the work tree {0}, where the change would look like a revert; run the command \
         there, or run `git -C {0} switch --detach`", .path.display()
    )]
    CheckedOut {
        /// The full name of the branch.
        branch: String,
        /// The other work tree.
        path: PathBuf,
    },
    /// The settings demand a signature, and signing failed.
    #[error("the commit could not be signed: {why}; see user.signingKey and gpg.format, or set commit.gpgSign=false")]
    Signing {
        /// The step that failed, or the message of the signing program.
        why: String,
        /// The underlying error, if there is one.
        #[source]
        source: Option<LibraryError>,
    },
    /// The file system returned an error.
    #[error("could not {what} {}", .path.display())]
    Io {
        /// The verb for the message.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The git library or the git program failed.
    #[error("could not {what}")]
    Git {
        /// The operation that failed, for the message.
        what: String,
        /// The error of the git library or the git program.
        #[source]
        source: LibraryError,
    },
}

impl From<StageError> for GitError {
    fn from(e: StageError) -> Self {
        match e {
            StageError::Object(e) => Self::Object(e),
            StageError::Path { .. } => Self::Stage(e),
        }
    }
}

impl GitError {
    /// Wraps an error of the git library.
    pub(super) fn git(what: impl Into<String>, source: gix::Error) -> Self {
        Self::Git { what: what.into(), source: Box::new(source) }
    }

    /// Wraps an error of the file system. Missing write permission becomes [`Self::ReadOnly`].
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        let path = path.into();
        if is_read_only(&source) {
            Self::ReadOnly { path, source: Box::new(source) }
        } else {
            Self::Io { what, path, source }
        }
    }

    /// Wraps an error of the git library while writing below `path`. Missing write permission becomes
    /// [`Self::ReadOnly`].
    pub(super) fn write(what: impl Into<String>, path: impl Into<PathBuf>, source: gix::Error) -> Self {
        if io_cause(&source).is_some_and(is_read_only) {
            Self::ReadOnly { path: path.into(), source: Box::new(source) }
        } else {
            Self::git(what, source)
        }
    }
}

fn is_read_only(e: &std::io::Error) -> bool {
    matches!(e.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem)
}

/// Returns the operating system's error behind an error of the git library.
pub(super) fn io_cause(e: &gix::Error) -> Option<&std::io::Error> {
    e.iter_errors().find_map(|e| e.downcast_ref::<std::io::Error>())
}

/// Why commits were not published. Unless a variant says otherwise, none of the commits is visible.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another writer moved the branch first. Read again and apply the change again.
    #[error("the branch moved meanwhile")]
    Moved {
        /// The branch's commit now; `None` if the branch is gone.
        actual: Option<Oid>,
    },
    /// Files that the change touches have uncommitted changes in the work tree or the index.
    #[error(
        "the change touches files with changes that are not committed: {}; commit, stash or move them first",
        crate::git::clean::list(.paths)
    )]
    Dirty {
        /// The files, sorted.
        paths: Vec<String>,
    },
    /// The branch moved, but the disk did not confirm that the commits would survive a power cut.
    #[error("commit {commit} is on the branch, but the disk did not confirm it; check `git log` before you try again")]
    Unconfirmed {
        /// The newest of the published commits.
        commit: Oid,
        /// The error of the flush.
        #[source]
        source: LibraryError,
    },
    /// An operation failed before the branch moved.
    #[error(transparent)]
    Git(#[from] GitError),
}
