//! The server file: `greenroom/server.json` in the git directory. It tells programs of the same user that a server of
//! this repository runs, and where, so that they do not start another one.
//!
//! The server that the file describes holds a lock on it. So a file that a killed server left behind is recognised,
//! because it is not locked. Of two servers, the first one keeps the file.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::json;

/// The name of the file.
const NAME: &str = "server.json";

/// The largest number of attempts to lock the file while other processes remove it.
const ATTEMPTS: usize = 10;

/// How often the lock is tried, and the pause between attempts, until it counts as another server's lock.
const LOOKS: usize = 4;
const LOOK: Duration = Duration::from_millis(20);

/// The server file of this process, until it is dropped.
#[derive(Debug)]
#[must_use = "the server file is removed when the value is dropped"]
pub struct Notice {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Notice {
    /// Writes the server file into a folder. `None` if the file of another server is there.
    ///
    /// # Errors
    ///
    /// When the file cannot be created, locked or written.
    pub fn put_up(folder: &Path, url: &str) -> io::Result<Option<Self>> {
        crate::shared::create_dir_all(folder)?;
        let path = folder.join(NAME);
        let mut taken = 0;
        for _ in 0..ATTEMPTS {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                // A process that only checks whether the file is stale holds the lock for a moment.
                Err(TryLockError::WouldBlock) => {
                    taken += 1;
                    if taken == LOOKS {
                        return Ok(None);
                    }
                    thread::sleep(LOOK);
                    continue;
                }
                Err(TryLockError::Error(e)) => return Err(e),
            }
            // Between opening and locking, the file's server may have ended and removed it.
            let same = fs::symlink_metadata(&path).is_ok_and(|there| {
                file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
            });
            if !same {
                continue;
            }
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.set_len(0)?;
            file.rewind()?;
            let notice = json!({ "url": url, "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") });
            file.write_all(format!("{notice}\n").as_bytes())?;
            return Ok(Some(Self { path, _file: file }));
        }
        Err(io::Error::other("other processes keep removing the file"))
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // While the lock is held, the file belongs to this server.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path) -> Option<(String, u32)> {
        let path = folder.join(NAME);
        let text = fs::read_to_string(&path).ok()?;
        let mode = path.metadata().ok()?.mode() & 0o777;
        Some((serde_json::from_str::<serde_json::Value>(&text).ok()?["url"].as_str()?.to_owned(), mode))
    }

    #[test]
    fn the_first_server_keeps_its_notice_and_takes_it_down() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let folder = dir.path().join("greenroom");
        let first = Notice::put_up(&folder, "http://127.0.0.1:1")?;
        assert!(first.is_some());
        assert!(Notice::put_up(&folder, "http://127.0.0.1:2")?.is_none());
        assert_eq!(read(&folder), Some(("http://127.0.0.1:1".to_owned(), 0o600)));
        drop(first);
        assert_eq!(read(&folder), None);
        let second = Notice::put_up(&folder, "http://127.0.0.1:2")?;
        assert!(second.is_some() && read(&folder).is_some());
        Ok(())
    }

    #[test]
    fn what_a_killed_server_left_is_replaced() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join(NAME), "{\"url\": \"http://127.0.0.1:9999/a/longer/text/than/ours\", \"pid\": 1}")?;
        fs::set_permissions(dir.path().join(NAME), Permissions::from_mode(0o644))?;
        let notice = Notice::put_up(dir.path(), "http://127.0.0.1:1")?;
        assert!(notice.is_some());
        assert_eq!(read(dir.path()), Some(("http://127.0.0.1:1".to_owned(), 0o600)));
        Ok(())
    }
}
