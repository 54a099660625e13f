//! The lock around read, apply and publish, for processes of ours; git's own processes are met by compare-and-swap.
//!
//! It is an advisory lock on a file, so the system frees it when its holder dies. While it is held, the file notes
//! which locks of git's own kind (`….lock` files) the holder is about to take. Git's locks do survive a SIGKILL and
//! then stop every later write. So whoever takes our lock and finds a note knows that the writer before it died, and
//! removes the noted locks that are certainly that writer's: the same file (inode and time), or one that holds the
//! very commit id that was to be published, which nobody else can know. A lock that is empty is removed after two
//! seconds: git holds the lock of a reference for milliseconds. Any other lock is left alone and named in the error.

use std::fmt::Write as _;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{GitError, Repo};
use crate::tree::Oid;

/// How old an empty lock of a dead writer must be to be removed.
const EMPTY_AGE: Duration = Duration::from_secs(2);

/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// The largest note that is believed, in bytes.
const MAX_NOTE: u64 = 16 * 1024;

/// Held while one process of ours reads, applies and publishes. Freed when dropped, or when the process dies.
#[derive(Debug)]
pub struct RepoLock {
    file: File,
    path: PathBuf,
}

/// A lock file of git's kind that the holder takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// The `….lock` file.
    pub(super) path: PathBuf,
    /// What is written in it, if known beforehand.
    pub(super) oid: Option<Oid>,
    /// Which file it is, once it is there.
    pub(super) file: Option<FileId>,
    /// Whether git's processes hold such a lock for moments only, so that an old one with nothing in it is dead.
    pub(super) brief: bool,
}

impl Held {
    /// A lock that is about to be taken and will hold an id.
    pub(super) fn planned(path: PathBuf, oid: Oid) -> Self {
        Self { path, oid: Some(oid), file: None, brief: true }
    }

    /// A lock that exists now and is ours.
    pub(super) fn taken(path: PathBuf) -> Self {
        let file = std::fs::symlink_metadata(&path).ok().map(|m| FileId::of(&m));
        Self { path, oid: None, file, brief: false }
    }

    fn line(&self) -> Option<String> {
        let path = self.path.to_str().filter(|p| !p.contains('\n'))?;
        let oid = self.oid.map_or_else(|| "-".to_owned(), |o| o.to_string());
        let (inode, time) = self.file.map_or((0, 0), |f| (f.inode, f.time));
        Some(format!("{} {oid} {inode} {time} {path}\n", if self.brief { "brief" } else { "long" }))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let brief = words.next()? == "brief";
        let oid = Oid::from_hex(words.next()?);
        let file = FileId { inode: words.next()?.parse().ok()?, time: words.next()?.parse().ok()? };
        let path = PathBuf::from(words.next()?);
        Some(Self { path, oid, file: (file.inode != 0).then_some(file), brief })
    }
}

/// Tells one file from another that comes later under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    inode: u64,
    time: u128,
}

impl FileId {
    fn of(m: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(m);
        #[cfg(not(unix))]
        let inode = 1;
        let time = m.modified().ok().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self { inode, time: time.unwrap_or_default().as_nanos() }
    }
}

impl Repo {
    /// Takes the lock, waiting at most so long, and clears what a writer that was killed has left.
    pub fn lock(&self, wait: Duration) -> Result<RepoLock, GitError> {
        let folder = self.common_dir().join("greenroom");
        let path = folder.join("lock");
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = match open() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&folder).map_err(|e| GitError::io("create", &folder, e))?;
                open()
            }
            opened => opened,
        }
        .map_err(|e| GitError::io("open", &path, e))?;
        wait_for(&mut file, &path, wait)?;
        let mut lock = RepoLock { file, path };
        lock.heal(self.common_dir())?;
        lock.note(&[])?;
        Ok(lock)
    }
}

/// Takes the advisory lock. Waiting is polling, because the system's own waiting has no end.
fn wait_for(file: &mut File, path: &Path, wait: Duration) -> Result<(), GitError> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(GitError::io("lock", path, e)),
            Err(TryLockError::WouldBlock) if start.elapsed() >= wait => {
                let note = read_note(file).unwrap_or_default();
                let pid = note.lines().next().and_then(|l| l.strip_prefix("pid ")?.parse().ok());
                return Err(GitError::Busy { path: path.to_owned(), pid, seconds: wait.as_secs() });
            }
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE);
            }
        }
    }
}

fn read_note(file: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MAX_NOTE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl RepoLock {
    /// Notes this process and which locks of git's kind it takes from here on.
    pub(super) fn note(&mut self, held: &[Held]) -> Result<(), GitError> {
        let mut text = format!("pid {}\n", std::process::id());
        for line in held.iter().filter_map(Held::line) {
            let _ = text.write_str(&line);
        }
        let written = self.file.rewind().and_then(|()| self.file.write_all(text.as_bytes()));
        let cut = written.and_then(|()| self.file.set_len(text.len() as u64));
        cut.map_err(|e| GitError::io("write", &self.path, e))
    }

    /// Removes the locks that a dead writer noted and left.
    fn heal(&mut self, common_dir: &Path) -> Result<(), GitError> {
        let note = read_note(&mut self.file).map_err(|e| GitError::io("read", &self.path, e))?;
        for held in note.lines().filter_map(Held::parse) {
            let ours = held.path.extension().is_some_and(|e| e == "lock") && held.path.starts_with(common_dir);
            if ours && is_dead(&held) {
                std::fs::remove_file(&held.path).map_err(|e| GitError::io("remove the stale lock", &held.path, e))?;
            }
        }
        Ok(())
    }
}

impl Drop for RepoLock {
    /// Leaves no note behind; the system frees the lock when the file closes.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

/// Whether the lock that stands there is the dead writer's.
fn is_dead(held: &Held) -> bool {
    let Ok(there) = std::fs::symlink_metadata(&held.path) else { return false };
    if held.file == Some(FileId::of(&there)) {
        return true;
    }
    if there.len() == 0 && held.brief {
        let age = there.modified().ok().and_then(|t| t.elapsed().ok()).unwrap_or_default();
        std::thread::sleep(EMPTY_AGE.saturating_sub(age));
        return std::fs::symlink_metadata(&held.path)
            .is_ok_and(|m| m.len() == 0 && FileId::of(&m) == FileId::of(&there));
    }
    let Some(oid) = held.oid else { return false };
    there.len() < 128 && std::fs::read_to_string(&held.path).is_ok_and(|text| text.trim_end() == oid.to_string())
}
