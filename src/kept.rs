//! Files of state beside the repository, such as tokens and secrets: read by their owner alone, changed by one process at
//! a time, replaced as a whole, and on disk before the change is answered.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long another process that changes the file is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// What went wrong with a file of state.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file or its folder cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// `read`, `write`…
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what greenroom wrote.
    #[error("{} is no file of {what}: {why}; mend it, or remove it and make new {what}", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What it is to hold.
        what: &'static str,
        /// What is wrong, without a word of the file.
        why: String,
    },
    /// Others than its owner may read the file.
    #[error("{} may be read by others (mode {mode:o}); `chmod 600` it", .path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another account keeps the file.
    #[error(
        "{} is private to account {owner}, which keeps the {what} of this repository: run the command as that account",
        .path.display()
    )]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
        /// The number of the account.
        owner: u32,
    },
    /// Another process changes the file.
    #[error("another process is changing the {what}; try again")]
    Busy {
        /// What the file holds.
        what: &'static str,
    },
}

/// By what a file's change is noticed.
pub type Stamp = (SystemTime, u64, u64);

/// A file of state.
#[derive(Debug, Clone)]
pub struct Kept {
    path: PathBuf,
    what: &'static str,
    most: u64,
}

impl Kept {
    /// The file of that name in a folder of state, which holds `what` (a word in the plural) in at most so many bytes.
    pub fn new(folder: &Path, name: &str, what: &'static str, most: u64) -> Self {
        Self { path: folder.join(name), what, most }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// That the file is not what it should be.
    pub fn damaged(&self, why: impl Into<String>) -> KeptError {
        KeptError::Damaged { path: self.path.clone(), what: self.what, why: why.into() }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> KeptError {
        let path = self.path.clone();
        move |source| KeptError::Io { action, path, source }
    }

    /// Why the file cannot be read. In a repository that several accounts share, one of them keeps it.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "only Unix tells whose a file is"))]
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

    /// By what a later change of the file is noticed; none while there is no file.
    pub fn stamp(&self) -> Result<Option<Stamp>, KeptError> {
        let stamp = |meta: Metadata| {
            #[cfg(unix)]
            let inode = std::os::unix::fs::MetadataExt::ino(&meta);
            #[cfg(not(unix))]
            let inode = 0;
            (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), inode)
        };
        Ok(self.metadata()?.map(stamp))
    }

    /// The file's text; none where there is no file.
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

    /// Changes the file while no other process does: `change` gets the text that is there and gives the new one.
    pub fn change<E: From<KeptError>>(
        &self,
        change: impl FnOnce(Option<String>) -> Result<String, E>,
    ) -> Result<(), E> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        crate::shared::create_dir_all(folder).map_err(self.failed("make the folder of"))?;
        let _held = self.lock()?;
        let text = change(self.read()?)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > self.most {
            return Err(self.damaged("it would become too large").into());
        }
        self.replace(folder, &text)?;
        Ok(())
    }

    fn replace(&self, folder: &Path, text: &str) -> Result<(), KeptError> {
        // The library makes the file for its owner alone.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(self.failed("write beside"))?;
        file.write_all(text.as_bytes()).map_err(self.failed("write"))?;
        file.as_file().sync_all().map_err(self.failed("write"))?;
        file.persist(&self.path).map_err(|e| self.failed("replace")(e.error))?;
        File::open(folder).and_then(|f| f.sync_all()).map_err(self.failed("flush the folder of"))
    }

    /// Takes the lock of who changes the file.
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

    fn grow(kept: &Kept, by: &str) -> Result<(), KeptError> {
        kept.change(|text| Ok(text.unwrap_or_default() + by))
    }

    #[test]
    fn many_writers_lose_nothing_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(&folder.path().join("state"), "numbers.toml", "numbers", 1000);
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
        let kept = Kept::new(folder.path(), "numbers.toml", "numbers", 3);
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
        let kept = Kept::new(folder.path(), "numbers.toml", "numbers", 3);
        grow(&kept, "a").unwrap();
        assert_eq!(fs::metadata(kept.path()).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(kept.read(), Err(KeptError::Open { mode: 0o640, .. })));
        assert!(matches!(grow(&kept, "b"), Err(KeptError::Open { .. })), "nor is it written");
    }
}
