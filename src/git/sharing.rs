//! `core.sharedRepository`: permissions of new files for other accounts that use the same repository.
//!
//! Git adjusts each file and folder that it writes below the git folder. The git library does so for locks only, and
//! only on request. So each file that is written here is adjusted by path once it is complete. Work tree files follow
//! the umask alone, as in git.

use std::path::Path;

use super::{GitError, Repo};

/// Git's encoding of the setting: 0 keeps the umask's permissions, a positive mode is added, a negative mode replaces
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sharing(i32);

impl Sharing {
    /// Returns the encoding, for calls of the git library.
    pub(super) const fn bits(self) -> i32 {
        self.0
    }

    /// Gives a file or folder the permissions that the setting demands. A file of another account is left as it is:
    /// that account sets its permissions.
    pub(super) fn adjust(self, path: &Path) -> Result<(), GitError> {
        match gix::fs::set_shared_repository_permissions(path, self.0) {
            Ok(()) => Ok(()),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotFound) => Ok(()),
            Err(e) => Err(GitError::io("set the permissions of", path, e)),
        }
    }

    /// Adjusts a path and the folders above it, up to and without `root`.
    pub(super) fn adjust_up_to(self, path: &Path, root: &Path) -> Result<(), GitError> {
        if self.0 == 0 {
            return Ok(());
        }
        path.ancestors().take_while(|p| *p != root && p.starts_with(root)).try_for_each(|p| self.adjust(p))
    }
}

impl Repo {
    /// Reads `core.sharedRepository`. Like git, reads only the repository's own file.
    pub(super) fn sharing(&self) -> Result<Sharing, GitError> {
        let settings = self.inner.config_snapshot();
        let own = |m: &gix::config::file::Metadata| m.source.kind() == gix::config::source::Kind::Repository;
        let Some(value) = settings.plumbing().string_filter("core.sharedRepository", own) else {
            return Ok(Sharing(0));
        };
        let parsed = gix::config::tree::Core::SHARED_REPOSITORY.try_into_shared_repository(Some(value));
        parsed.map(Sharing).map_err(|e| GitError::git("read the setting core.sharedRepository", e))
    }

    /// Whether several accounts may write to the repository.
    pub fn is_shared(&self) -> bool {
        self.sharing().is_ok_and(|s| s.0.unsigned_abs() & 0o060 == 0o060)
    }

    /// Creates a folder below the git folder and its missing parents, with the permissions that the setting demands.
    ///
    /// # Errors
    /// [`GitError::ReadOnly`] or [`GitError::Io`] if a folder cannot be created or adjusted.
    pub fn make_state_dir(&self, dir: &Path) -> Result<(), GitError> {
        std::fs::create_dir_all(dir).map_err(|e| GitError::io("create", dir, e))?;
        self.sharing()?.adjust_up_to(dir, self.common_dir())
    }
}
