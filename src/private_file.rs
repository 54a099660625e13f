//! Private data files next to the repository, such as tokens and secrets: only their owner can read them, only one
//! process changes them at a time, and each change replaces the whole file and is on disk before the call returns.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long to wait for another process that changes the file.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Why a private file could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file or its folder cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The operation: `read`, `write` …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The file does not have greenroom's format.
    #[error("{} is not a valid file of {what}: {why}; repair it, or remove it and create new {what}", .path.display())]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// The content that is expected, in the plural.
        what: &'static str,
        /// What is wrong, without quoting the file.
        why: String,
    },
    /// Accounts other than the owner may read the file.
    #[error("other accounts can read {} (mode {mode:o}); run `chmod 600` on it", .path.display())]
    Open {
        /// The path of the file.
        path: PathBuf,
        /// The file's mode.
        mode: u32,
    },
    /// Another account owns the file.
    #[error(
        "only account {owner} can read {}, which holds the {what} of this repository: run the command as that account",
        .path.display()
    )]
    Foreign {
        /// The path of the file.
        path: PathBuf,
        /// The file's content, in the plural.
        what: &'static str,
        /// The numeric id of the account.
        owner: u32,
    },
    /// Another process is changing the file.
    #[error("another process is changing the {what}; try again")]
    Busy {
        /// The file's content, in the plural.
        what: &'static str,
    },
}

/// Modification time, size and inode of a file, which reveal a change.
pub type StateFileStamp = (SystemTime, u64, u64);

/// A private data file.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
    what: &'static str,
    most: u64,
}

impl StateFile {
    /// Returns the file `name` in a data folder. `what` names its content (in the plural); `most` is its largest size
    /// in bytes.
    pub fn new(folder: &Path, name: &str, what: &'static str, most: u64) -> Self {
        Self { path: folder.join(name), what, most }
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the error for a file with an unexpected content.
    pub fn damaged(&self, why: impl Into<String>) -> KeptError {
        KeptError::Damaged { path: self.path.clone(), what: self.what, why: why.into() }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> KeptError {
        let path = self.path.clone();
        move |source| KeptError::Io { action, path, source }
    }

    /// Returns why the file cannot be read. In a repository that several accounts share, one of them owns the file.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix shows the owner of a file"))]
    fn unread(&self, meta: &Metadata, e: io::Error) -> KeptError {
        #[cfg(unix)]
        if e.kind() == io::ErrorKind::PermissionDenied {
            let owner = std::os::unix::fs::MetadataExt::uid(meta);
            return KeptError::Foreign { path: self.path.clone(), what: self.what, owner };
        }
        self.failed("read")(e)
    }

    fn metadata(&self) -> Result<Option<Metadata>, KeptError> {
        match fs::metadata(&self.path) {
            Ok(meta) => Ok(Some(meta)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.failed("read")(e)),
        }
    }

    /// Returns the stamp of the file; `None` if it does not exist.
    ///
    /// # Errors
    /// [`KeptError::Io`] if the file cannot be examined.
    pub fn stamp(&self) -> Result<Option<StateFileStamp>, KeptError> {
        let stamp = |meta: Metadata| {
            #[cfg(unix)]
            let inode = std::os::unix::fs::MetadataExt::ino(&meta);
            #[cfg(not(unix))]
            let inode = 0;
            (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), inode)
        };
        Ok(self.metadata()?.map(stamp))
    }

    /// Returns the text of the file; `None` if it does not exist.
    ///
    /// # Errors
    /// [`KeptError::Open`] if other accounts may read it; [`KeptError::Foreign`] if another account owns it;
    /// [`KeptError::Damaged`] if it is too large; [`KeptError::Io`] otherwise.
    pub fn read(&self) -> Result<Option<String>, KeptError> {
        let Some(meta) = self.metadata()? else { return Ok(None) };
        if meta.len() > self.most {
            return Err(self.damaged("it is too large"));
        }
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeptError::Open { path: self.path.clone(), mode });
            }
        }
        fs::read_to_string(&self.path).map(Some).map_err(|e| self.unread(&meta, e))
    }

    /// Changes the file under a lock: `change` receives the current text and returns the new one.
    ///
    /// # Errors
    /// [`KeptError::Busy`] if another process holds the lock; the errors of [`Self::read`]; the error of `change`;
    /// [`KeptError::Damaged`] if the new text is too large.
    pub fn change<E: From<KeptError>>(
        &self,
        change: impl FnOnce(Option<String>) -> Result<String, E>,
    ) -> Result<(), E> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        crate::shared::create_dir_all(folder).map_err(self.failed("create the folder of"))?;
        let _held = self.lock()?;
        let text = change(self.read()?)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > self.most {
            return Err(self.damaged("it would become too large").into());
        }
        self.replace(folder, &text)?;
        Ok(())
    }

    fn replace(&self, folder: &Path, text: &str) -> Result<(), KeptError> {
        // The library creates the file for its owner only.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(self.failed("write a temporary file beside"))?;
        file.write_all(text.as_bytes()).map_err(self.failed("write"))?;
        file.as_file().sync_all().map_err(self.failed("write"))?;
        file.persist(&self.path).map_err(|e| self.failed("replace")(e.error))?;
        File::open(folder).and_then(|f| f.sync_all()).map_err(self.failed("flush the folder of"))
    }

    /// Takes the lock for changes.
    fn lock(&self) -> Result<File, KeptError> {
        let path = self.path.with_extension("lock");
        let failed = |source| KeptError::Io { action: "lock", path: path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let end = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(fs::TryLockError::WouldBlock) => return Err(KeptError::Busy { what: self.what }),
                Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grow(kept: &StateFile, by: &str) -> Result<(), KeptError> {
        kept.change(|text| Ok(text.unwrap_or_default() + by))
    }

    #[test]
    fn many_writers_lose_nothing_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let kept = StateFile::new(&folder.path().join("state"), "numbers.toml", "numbers", 1000);
        assert_eq!(kept.read().unwrap(), None);
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| (0..5).for_each(|_| grow(&kept, "x").unwrap()));
            }
        });
        assert_eq!(kept.read().unwrap(), Some("x".repeat(40)));
    }

    #[test]
    fn a_file_has_a_limit_and_a_refused_change_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let kept = StateFile::new(folder.path(), "numbers.toml", "numbers", 3);
        grow(&kept, "abc").unwrap();
        let stamp = kept.stamp().unwrap();
        assert!(matches!(grow(&kept, "d"), Err(KeptError::Damaged { what: "numbers", .. })));
        assert_eq!((kept.read().unwrap(), kept.stamp().unwrap()), (Some("abc".to_owned()), stamp));
        fs::write(kept.path(), "abcd").unwrap();
        assert!(matches!(kept.read(), Err(KeptError::Damaged { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let kept = StateFile::new(folder.path(), "numbers.toml", "numbers", 3);
        grow(&kept, "a").unwrap();
        assert_eq!(fs::metadata(kept.path()).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(kept.read(), Err(KeptError::Open { mode: 0o640, .. })));
        assert!(matches!(grow(&kept, "b"), Err(KeptError::Open { .. })), "nor is it written");
    }
}
