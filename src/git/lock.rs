//! The lock around read, apply and publish for greenroom processes. Compare-and-swap protects against git processes.
//!
//! The lock is an advisory lock on a file, so the system releases it when its holder dies. While a process holds it,
//! the file notes which git locks (`….lock` files) the process takes, and between which trees its work tree moves.
//! Git's locks survive a SIGKILL and then block every later write. A process that takes the greenroom lock and finds a
//! note knows that the previous writer died. It removes those noted locks that belong to that writer:
//! - the very file that was noted (inode and time),
//! - a lock that contains the commit id that was to be published, which no other process can know,
//! - an empty lock that was created within a second after the note and is at least two seconds old: the writer was
//!   killed after it created the lock and before it noted it.
//!
//! All other locks stay and are named in the error. If the commits were published, the work tree is brought up to date.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::{GitError, Repo};
use crate::tree::Oid;

/// How old an empty lock must be to count as a dead writer's lock.
const EMPTY_AGE: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(2) };

/// How long after the note a dead writer can have created an empty lock.
const AFTER_NOTE: Duration = Duration::from_secs(1);

/// The resolution that is assumed for file times.
const TICK: Duration = Duration::from_millis(20);

/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// The content of the file while no process holds the lock. The file is never empty: freeing its last block costs the
/// disk more time than all other writes here.
const FREE: &str = "free\n";

/// The largest note that is read, in bytes.
const MAX_NOTE: u64 = 16 * 1024;

/// The lock that a greenroom process holds while it reads, applies and publishes. Dropping it releases it; so does the
/// death of the process.
#[derive(Debug)]
pub struct RepoLock {
    file: File,
    path: PathBuf,
    /// The length of the file's content, in bytes.
    len: u64,
    /// The git locks that were noted last.
    held: Vec<LockFile>,
    /// Whether the note stays after release, for the next holder to act on.
    keep: bool,
}

/// A git lock file that the holder takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockFile {
    /// The `….lock` file.
    pub(super) path: PathBuf,
    /// The id that the lock file will contain, if it is known in advance.
    pub(super) oid: Option<Oid>,
    /// The identity of the lock file, once it exists.
    pub(super) file: Option<FileId>,
}

/// A work tree that must be updated from one tree to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkTreeMove {
    /// The git folder of the work tree.
    pub(super) git_dir: PathBuf,
    /// The tree that it has.
    pub(super) old: Option<Oid>,
    /// The tree that it must get.
    pub(super) new: Oid,
}

/// The note of the previous writer.
#[derive(Debug, Default)]
struct WriterNote {
    pid: Option<u32>,
    held: Vec<LockFile>,
    left: Option<WorkTreeMove>,
}

impl LockFile {
    /// Describes a lock that is about to be taken, and the id that it will contain.
    pub(super) fn planned(path: PathBuf, oid: Option<Oid>) -> Self {
        Self { path, oid, file: None }
    }

    /// Describes an existing lock that this process holds. Returns `None` if the file does not exist.
    pub(super) fn taken(path: PathBuf) -> Option<Self> {
        let file = FileId::of(&std::fs::symlink_metadata(&path).ok()?);
        Some(Self { path, oid: None, file: Some(file) })
    }

    /// Whether the file that was noted still exists, by inode and time.
    fn is_there(&self) -> bool {
        self.file.is_some_and(|file| std::fs::symlink_metadata(&self.path).is_ok_and(|m| FileId::of(&m) == file))
    }

    fn line(&self) -> Option<String> {
        let path = self.path.to_str().filter(|p| !p.contains('\n'))?;
        let (inode, time) = self.file.map_or((0, 0), |f| (f.inode, f.time));
        Some(format!("held {} {inode} {time} {path}\n", hex(self.oid)))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let oid = Oid::from_hex(words.next()?);
        let file = FileId { inode: words.next()?.parse().ok()?, time: words.next()?.parse().ok()? };
        Some(Self { path: PathBuf::from(words.next()?), oid, file: (file.inode != 0).then_some(file) })
    }
}

impl WorkTreeMove {
    fn line(&self) -> Option<String> {
        let git_dir = self.git_dir.to_str().filter(|p| !p.contains('\n'))?;
        Some(format!("left {} {} {git_dir}\n", hex(self.old), self.new))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let old = words.next()?;
        let old = if old == "-" { None } else { Some(Oid::from_hex(old)?) };
        Some(Self { old, new: Oid::from_hex(words.next()?)?, git_dir: PathBuf::from(words.next()?) })
    }
}

fn hex(oid: Option<Oid>) -> String {
    oid.map_or_else(|| "-".to_owned(), |o| o.to_string())
}

impl WriterNote {
    fn parse(text: &str) -> Self {
        let mut note = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("pid", pid)) => note.pid = pid.parse().ok(),
                Some(("held", rest)) => note.held.extend(LockFile::parse(rest)),
                Some(("left", rest)) => note.left = WorkTreeMove::parse(rest),
                Some(_) | None => {}
            }
        }
        note
    }
}

/// Distinguishes a file from a later file with the same name.
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
        // The creation time, where the file system has one: the modification time changes when the lock is filled.
        let time =
            m.created().or_else(|_| m.modified()).ok().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self { inode, time: time.unwrap_or_default().as_nanos() }
    }
}

impl Repo {
    /// Takes the lock and removes what a killed writer left. Waits for `wait` at most.
    ///
    /// # Errors
    /// [`GitError::Busy`] if another process still holds the lock after `wait`; [`GitError::ReadOnly`] or
    /// [`GitError::Io`] if the lock file cannot be opened.
    pub fn lock(&self, wait: Duration) -> Result<RepoLock, GitError> {
        let folder = self.common_dir().join("greenroom");
        let path = folder.join("lock");
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = match open() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                self.make_state_dir(&folder)?;
                open()
            }
            opened => opened,
        }
        .map_err(|e| GitError::io("open", &path, e))?;
        self.sharing()?.adjust_up_to(&path, self.common_dir())?;
        wait_for(&mut file, &path, wait)?;
        let len = file.metadata().map_err(|e| GitError::io("look at", &path, e))?.len();
        // The dead writer's note stays until it has been acted on.
        let mut lock = RepoLock { file, path, len, held: Vec::new(), keep: true };
        let left = lock.heal(self.common_dir())?;
        if let Some(left) = left {
            // If the update fails, the next check of the work tree finds the files. The lock is valid all the same.
            let _ = self.redo_follow(&mut lock, &left);
        }
        lock.let_go(None)?;
        Ok(lock)
    }
}

/// Takes the advisory lock by polling, because the system call that waits has no timeout.
fn wait_for(file: &mut File, path: &Path, wait: Duration) -> Result<(), GitError> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(GitError::io("lock", path, e)),
            Err(TryLockError::WouldBlock) if start.elapsed() >= wait => {
                let pid = read_note(file).unwrap_or_default().pid;
                return Err(GitError::Busy { path: path.to_owned(), pid, seconds: wait.as_secs() });
            }
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE);
            }
        }
    }
}

fn read_note(file: &mut File) -> std::io::Result<WriterNote> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MAX_NOTE).read_to_end(&mut bytes)?;
    Ok(WriterNote::parse(&String::from_utf8_lossy(&bytes)))
}

impl RepoLock {
    /// Notes this process, the git locks that it takes from now on, and the pending update of its work tree.
    pub(super) fn note(&mut self, held: &[LockFile], left: Option<&WorkTreeMove>) -> Result<(), GitError> {
        let mut text = format!("pid {}\n", std::process::id());
        text.extend(held.iter().filter_map(LockFile::line));
        text.extend(left.and_then(WorkTreeMove::line));
        self.keep = left.is_some();
        held.clone_into(&mut self.held);
        self.write(&text).map_err(|e| GitError::io("write", &self.path, e))
    }

    /// Notes that the git locks are released, and the pending update of the work tree. A lock that could not be removed
    /// stays noted, and the next writer tries again.
    pub(super) fn let_go(&mut self, left: Option<&WorkTreeMove>) -> Result<(), GitError> {
        let stuck: Vec<LockFile> = std::mem::take(&mut self.held).into_iter().filter(LockFile::is_there).collect();
        self.note(&stuck, left)?;
        self.keep |= !stuck.is_empty();
        Ok(())
    }

    /// Replaces the content of the file.
    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        let len = text.len() as u64;
        if std::mem::replace(&mut self.len, len) > len { self.file.set_len(len) } else { Ok(()) }
    }

    /// Removes the locks that a dead writer noted and left. Returns the pending update of its work tree.
    fn heal(&mut self, common_dir: &Path) -> Result<Option<WorkTreeMove>, GitError> {
        let read = |e| GitError::io("read", &self.path, e);
        let noted = self.file.metadata().and_then(|m| m.modified()).map_err(read)?;
        let note = read_note(&mut self.file).map_err(|e| GitError::io("read", &self.path, e))?;
        for held in &note.held {
            let ours = held.path.extension().is_some_and(|e| e == "lock") && held.path.starts_with(common_dir);
            if ours && is_dead(held, noted) {
                std::fs::remove_file(&held.path).map_err(|e| GitError::io("remove the stale lock", &held.path, e))?;
            }
        }
        Ok(note.left)
    }
}

impl Drop for RepoLock {
    /// Clears the note, unless work is pending. The system releases the lock when the file closes.
    fn drop(&mut self) {
        if !self.keep {
            let _ = self.write(FREE);
        }
    }
}

/// Whether the existing lock belongs to the dead writer, who wrote its note at `noted`.
fn is_dead(held: &LockFile, noted: SystemTime) -> bool {
    let Ok(there) = std::fs::symlink_metadata(&held.path) else { return false };
    let same = |m: &Metadata| FileId::of(m) == FileId::of(&there);
    if held.file.is_some() {
        return held.file == Some(FileId::of(&there));
    }
    if there.len() == 0 {
        let made = there.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if made + TICK < noted || made > noted + AFTER_NOTE {
            return false;
        }
        std::thread::sleep(EMPTY_AGE.saturating_sub(made.elapsed().unwrap_or_default()));
        return std::fs::symlink_metadata(&held.path).is_ok_and(|m| m.len() == 0 && same(&m));
    }
    let Some(oid) = held.oid else { return false };
    there.len() < 128 && std::fs::read_to_string(&held.path).is_ok_and(|text| text.trim_end() == oid.to_string())
}
