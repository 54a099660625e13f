//! The content store: files by their SHA-256, in the layout of Git LFS.
//!
//! The path of an object is `<lfs>/objects/<aa>/<bb>/<sha256>`, where `<lfs>` is `<git common dir>/lfs` or the folder
//! that `lfs.storage` names. An object appears under its name only when it is complete, by a rename, and is never
//! modified: `git lfs` makes hard links to it. Unfinished files are in `<lfs>/incoming` (git-lfs removes unknown files
//! from its own `tmp`).

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use tempfile::{NamedTempFile, TempPath};

use super::copy::{self, CopyReport};
use super::error::ArtifactError;
use crate::name::Digest;
use crate::shared;

/// A file of at most this size, in bytes, is read into memory first: if the store has it, nothing is written.
const SMALL: u64 = 1 << 20;
/// From this size on, in bytes, a file is synced as soon as it is written, while other threads continue.
const SYNC_ALONE_FROM: u64 = 8 << 20;
/// From this number of files on, one sync of the file system is cheaper than a sync of each file.
const SYNC_ALL_FROM: usize = 16;
/// Leftovers of a crash are removed after this time.
const STALE: Duration = Duration::from_hours(48);

/// A content store.
#[derive(Debug, Clone)]
pub struct Store {
    objects: PathBuf,
    incoming: PathBuf,
    /// The claim on `incoming`, shared by all writers of this value and its clones.
    claim: Arc<Mutex<Weak<IncomingClaim>>>,
}

/// A process's claim on `incoming`: while any process holds a claim, no process removes recent files there as
/// leftovers. The system releases the claim when the process ends for any reason.
#[derive(Debug)]
pub(super) struct IncomingClaim {
    /// The locked folder; `None` if the file system has no locks.
    _folder: Option<File>,
}

/// A file in `incoming` that is being written.
#[derive(Debug)]
pub(super) struct Temp {
    pub(super) file: NamedTempFile,
    pub(super) claim: Arc<IncomingClaim>,
}

/// Bytes that are in the store but not yet under their name. Dropping the value removes them.
#[derive(Debug)]
#[must_use = "staged bytes are dropped unless they are committed"]
pub struct StagedObject {
    /// The SHA-256 and size of the bytes.
    pub copied: CopyReport,
    /// The temporary file; `None` if the store already has the object.
    temp: Option<TempPath>,
    synced: bool,
    /// Held so that no other process removes the file as a leftover.
    _claim: Option<Arc<IncomingClaim>>,
}

impl Store {
    /// Returns the store in `lfs`: `<git common dir>/lfs`, or the folder that `lfs.storage` names. Creates nothing.
    pub fn at(lfs: impl AsRef<Path>) -> Self {
        let lfs = lfs.as_ref();
        Self { objects: lfs.join("objects"), incoming: lfs.join("incoming"), claim: Arc::default() }
    }

    /// Returns the folder for uploads, which is on the same file system as the objects.
    pub(super) fn uploads(&self) -> PathBuf {
        self.objects.with_file_name("uploads")
    }

    /// Returns the path of an object, whether it exists or not.
    pub fn path(&self, sha256: &Digest) -> PathBuf {
        let hex = sha256.as_str();
        let [a, b] = [0..2, 2..4].map(|r| hex.get(r).unwrap_or_default());
        self.objects.join(a).join(b).join(hex)
    }

    /// Whether an object with this SHA-256 and size exists. The bytes are not read; [`Store::verify`] reads them.
    pub fn has(&self, sha256: &Digest, size: u64) -> bool {
        fs::symlink_metadata(self.path(sha256)).is_ok_and(|m| m.is_file() && m.len() == size)
    }

    /// Opens an object for reading. The caller must check the bytes.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if it cannot be opened.
    pub fn open(&self, sha256: &Digest) -> Result<File, ArtifactError> {
        let path = self.path(sha256);
        File::open(&path).map_err(ArtifactError::io("open the stored object", &path))
    }

    /// Reads an object and checks its SHA-256 and size.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`] if they differ; [`ArtifactError::Io`] if it cannot be read.
    pub fn verify(&self, sha256: &Digest, size: u64) -> Result<(), ArtifactError> {
        let mut file = self.open(sha256)?;
        let path = self.path(sha256);
        let found = copy::hash(&mut file, size, &|_| {}).map_err(ArtifactError::io("read the stored object", &path))?;
        check(sha256, size, found)
    }

    /// Stores a file and returns its SHA-256 and size in bytes. The file is durable on return. A symbolic link is
    /// followed.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if the file cannot be read or stored.
    pub fn put_file(&self, path: &Path) -> Result<CopyReport, ArtifactError> {
        let mut file = File::open(path).map_err(ArtifactError::io("open", path))?;
        let size = file.metadata().map_err(ArtifactError::io("read", path))?.len();
        let staged = self.stage_file(&mut file, path, size, &|_| {})?;
        let copied = staged.copied.clone();
        self.commit(vec![staged])?;
        Ok(copied)
    }

    /// Stores received bytes, such as an upload, if they match the announced size and SHA-256. They are durable on
    /// return.
    ///
    /// After an error nothing is left. Reading stops one byte after the announced size.
    ///
    /// # Errors
    /// [`ArtifactError::Unexpected`] if the bytes do not match; [`ArtifactError::Io`] if they cannot be read or stored.
    pub fn receive(&self, from: &mut dyn Read, announced: &CopyReport) -> Result<(), ArtifactError> {
        let mut limited = from.take(announced.size.saturating_add(1));
        let staged = self.stage_with(announced.size, |to| {
            copy::copy(&mut limited, to, announced.size, &|_| {}).map_err(ArtifactError::io("store", &self.incoming))
        })?;
        if staged.copied != *announced {
            return Err(ArtifactError::Unexpected { expected: announced.clone(), found: staged.copied });
        }
        self.commit(vec![staged])
    }

    /// Copies an open file of about `size` bytes into the store, not yet under its name.
    ///
    /// `origin` is for messages; `seen` receives the number of bytes of each step.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if the file cannot be read or stored.
    pub fn stage_file(
        &self,
        file: &mut File,
        origin: &Path,
        size: u64,
        seen: &dyn Fn(u64),
    ) -> Result<StagedObject, ArtifactError> {
        let failed = ArtifactError::io("copy into the store", origin);
        if size > SMALL {
            return self.stage_with(size, |to| copy::copy_file(file, to, size, seen).map_err(&failed));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size + 1).unwrap_or_default());
        file.take(SMALL + 1).read_to_end(&mut bytes).map_err(&failed)?;
        if bytes.len() as u64 <= SMALL {
            let copied = CopyReport { sha256: copy::sha256(&bytes), size: bytes.len() as u64 };
            if self.has(&copied.sha256, copied.size) {
                seen(copied.size);
                return Ok(StagedObject { copied, temp: None, synced: true, _claim: None });
            }
        }
        // If the file grew, the copy continues where the bytes in memory end.
        self.stage_with(size, |to| copy::copy(&mut (&bytes[..]).chain(file), to, size, seen).map_err(&failed))
    }

    /// Copies a stream into the store, not yet under its name.
    ///
    /// `origin` is for messages; `size` is the likely size in bytes; `seen` receives the number of bytes of each step.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if the stream cannot be read or stored.
    pub fn stage_stream(
        &self,
        from: &mut dyn Read,
        origin: &Path,
        size: u64,
        seen: &dyn Fn(u64),
    ) -> Result<StagedObject, ArtifactError> {
        let failed = ArtifactError::io("receive", origin);
        self.stage_with(size, |to| copy::copy(from, to, size, seen).map_err(&failed))
    }

    fn stage_with(
        &self,
        size: u64,
        fill: impl FnOnce(&mut File) -> Result<CopyReport, ArtifactError>,
    ) -> Result<StagedObject, ArtifactError> {
        let Temp { file: mut temp, claim } =
            self.temp_file().map_err(ArtifactError::io("create a file in", &self.incoming))?;
        let copied = fill(temp.as_file_mut())?;
        if self.has(&copied.sha256, copied.size) {
            return Ok(StagedObject { copied, temp: None, synced: true, _claim: None });
        }
        let synced = size >= SYNC_ALONE_FROM;
        seal(temp.as_file(), synced).map_err(ArtifactError::io("write to", temp.path()))?;
        Ok(StagedObject { copied, temp: Some(temp.into_temp_path()), synced, _claim: Some(claim) })
    }

    /// Creates a file that only this user can read, with an unpredictable name.
    pub(super) fn temp_file(&self) -> io::Result<Temp> {
        private_dir(&self.incoming)?;
        let claim = self.claim()?;
        let file = tempfile::Builder::new().prefix("put-").rand_bytes(12).tempfile_in(&self.incoming)?;
        Ok(Temp { file, claim })
    }

    /// Returns the claim on `incoming`: the current one, or a new one.
    fn claim(&self) -> io::Result<Arc<IncomingClaim>> {
        let mut held = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claim) = held.upgrade() {
            return Ok(claim);
        }
        let folder = File::open(&self.incoming)?;
        // A sweep holds the exclusive lock for a moment only.
        let locked = flock(&folder, FlockOperation::LockShared).is_ok();
        let claim = Arc::new(IncomingClaim { _folder: locked.then_some(folder) });
        *held = Arc::downgrade(&claim);
        Ok(claim)
    }

    /// Moves staged bytes to their names. They are durable on return: data first, then names, then folders.
    ///
    /// An existing object with the right size stays; an object with another size is replaced.
    ///
    /// # Errors
    /// [`ArtifactError::Removed`] if an object that the store had was removed meanwhile; [`ArtifactError::Io`]
    /// otherwise.
    pub fn commit(&self, staged: Vec<StagedObject>) -> Result<(), ArtifactError> {
        if staged.is_empty() {
            return Ok(());
        }
        shared::create_dir_all(&self.objects).map_err(ArtifactError::io("create", &self.objects))?;
        let all = staged.len() >= SYNC_ALL_FROM;
        let unsynced = staged.iter().filter(|s| !s.synced).filter_map(|s| s.temp.as_deref());
        self.sync(unsynced, all)?;
        let mut folders = BTreeSet::new();
        for StagedObject { copied, temp, .. } in staged {
            let path = self.path(&copied.sha256);
            folders.extend(path.ancestors().skip(1).take_while(|f| f.starts_with(&self.objects)).map(Path::to_owned));
            let temp = match (temp, self.has(&copied.sha256, copied.size)) {
                (_, true) => continue,
                (Some(temp), false) => temp,
                (None, false) => return Err(ArtifactError::Removed(copied.sha256)),
            };
            if let Some(folder) = path.parent() {
                shared::create_dir_all(folder).map_err(ArtifactError::io("create", folder))?;
                shared::adjust_as_in(&temp, folder).map_err(ArtifactError::io("set the permissions of", &temp))?;
            }
            temp.persist(&path).map_err(|e| ArtifactError::io("put in place", &path)(e.error))?;
        }
        folders.extend(self.objects.parent().map(Path::to_owned));
        self.sync(folders.iter().map(PathBuf::as_path), all)
    }

    /// Adds files on the same file system, which are complete and durable, to the store. The files also keep their own
    /// paths: both are names of one file.
    pub(super) fn adopt(&self, files: &[(PathBuf, CopyReport)]) -> Result<(), ArtifactError> {
        let mut staged = Vec::with_capacity(files.len());
        for (from, copied) in files {
            if self.has(&copied.sha256, copied.size) {
                staged.push(StagedObject { copied: copied.clone(), temp: None, synced: true, _claim: None });
                continue;
            }
            let Temp { file, claim } =
                self.temp_file().map_err(ArtifactError::io("create a file in", &self.incoming))?;
            let temp = file.into_temp_path();
            fs::remove_file(&temp).map_err(ArtifactError::io("write to", &temp))?;
            let linked = fs::hard_link(from, &temp);
            if linked.is_ok() {
                staged.push(StagedObject {
                    copied: copied.clone(),
                    temp: Some(temp),
                    synced: true,
                    _claim: Some(claim),
                });
                continue;
            }
            // The file system has no hard links, or this file has the largest possible number of them.
            let mut file = File::open(from).map_err(ArtifactError::io("open", from))?;
            let copy = self.stage_file(&mut file, from, copied.size, &|_| {})?;
            check(&copied.sha256, copied.size, copy.copied.clone())?;
            staged.push(copy);
        }
        self.commit(staged)
    }

    /// Syncs files or folders: each of them, or the whole file system at once.
    fn sync<'p>(&self, paths: impl Iterator<Item = &'p Path>, all: bool) -> Result<(), ArtifactError> {
        if all && sync_file_system(&self.objects).map_err(ArtifactError::io("sync", &self.objects))? {
            return Ok(());
        }
        for path in paths {
            File::open(path).and_then(|f| f.sync_all()).map_err(ArtifactError::io("sync", path))?;
        }
        Ok(())
    }

    /// Removes files that interrupted processes left in `incoming`: all of them if no other process writes there, else
    /// those older than 48 hours. Returns the number of removed files. Failures are ignored, because the next call
    /// tries again.
    pub fn sweep(&self, now: SystemTime) -> usize {
        let Ok(folder) = File::open(&self.incoming) else { return 0 };
        let is_alone = flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok();
        let Ok(entries) = fs::read_dir(&self.incoming) else { return 0 };
        let mut removed = 0;
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|m| m.modified());
            let is_stale = modified.is_ok_and(|m| now.duration_since(m).is_ok_and(|age| age > STALE));
            if is_alone || is_stale {
                removed += usize::from(fs::remove_file(entry.path()).is_ok());
            }
        }
        removed
    }
}

/// Compares the hash and size of read bytes with the expected ones.
pub(super) fn check(sha256: &Digest, size: u64, found: CopyReport) -> Result<(), ArtifactError> {
    if found.sha256 == *sha256 && found.size == size {
        return Ok(());
    }
    Err(ArtifactError::Damaged { expected: sha256.clone(), found: found.sha256, size: found.size })
}

/// Creates a folder for its owner only, or for all accounts that share the folder above it.
fn private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    dir.parent().map_or(Ok(()), shared::create_dir_all)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => shared::adjust(dir),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(e) => Err(e),
    }
}

/// Makes a finished file read-only, as git's own objects are, and syncs it if asked to. The folders, which follow the
/// umask, keep other accounts out. The file itself does not, because `git lfs push` makes it a file of another
/// repository by a hard link.
pub(super) fn seal(file: &File, sync: bool) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o444))?;
    if sync { file.sync_all() } else { Ok(()) }
}

/// Syncs the whole file system of a folder. Returns false if the system has no such call.
#[cfg(target_os = "linux")]
fn sync_file_system(folder: &Path) -> io::Result<bool> {
    rustix::fs::syncfs(File::open(folder)?)?;
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    type CheckOutcome = Result<(), Box<dyn std::error::Error>>;

    fn bench() -> io::Result<(tempfile::TempDir, Store)> {
        let dir = tempfile::tempdir()?;
        let store = Store::at(dir.path().join("lfs"));
        Ok((dir, store))
    }

    fn announced(bytes: &[u8]) -> CopyReport {
        CopyReport { sha256: copy::sha256(bytes), size: bytes.len() as u64 }
    }

    fn incoming(store: &Store) -> usize {
        fs::read_dir(&store.incoming).map_or(0, Iterator::count)
    }

    #[test]
    fn an_object_lies_where_git_lfs_looks_for_it() -> CheckOutcome {
        let (dir, store) = bench()?;
        let file = dir.path().join("abc");
        fs::write(&file, "abc")?;
        let put = store.put_file(&file)?;
        assert_eq!(put, announced(b"abc"));
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let path = dir.path().join("lfs/objects/ba/78").join(sha);
        assert_eq!(fs::read(&path)?, b"abc");
        assert_eq!(path.metadata()?.mode() & 0o7777, 0o444);
        assert_eq!(store.incoming.metadata()?.mode() & 0o7777, 0o700);
        assert_eq!(incoming(&store), 0);
        store.verify(&put.sha256, 3)?;
        Ok(())
    }

    #[test]
    fn leftovers_go_at_once_unless_somebody_is_at_work() -> CheckOutcome {
        let (_dir, store) = bench()?;
        let staged = store.stage_stream(&mut &b"at work"[..], Path::new("x"), 7, &|_| {})?;
        let left = store.incoming.join("put-left");
        fs::write(&left, "torn off")?;
        let other = Store { claim: Arc::default(), ..store.clone() };
        assert_eq!((other.sweep(SystemTime::now()), incoming(&store)), (0, 2), "another process is at work");
        store.commit(vec![staged])?;
        assert_eq!((other.sweep(SystemTime::now()), incoming(&store)), (1, 0));
        store.put_file(&store.path(&copy::sha256(b"at work")))?;
        Ok(())
    }

    #[test]
    fn an_object_of_the_right_size_is_kept_and_of_the_wrong_size_replaced() -> CheckOutcome {
        let (dir, store) = bench()?;
        let file = dir.path().join("abc");
        fs::write(&file, "abc")?;
        let put = store.put_file(&file)?;
        let path = store.path(&put.sha256);
        let inode = path.metadata()?.ino();
        store.put_file(&file)?;
        assert_eq!(path.metadata()?.ino(), inode);
        fs::remove_file(&path)?;
        fs::write(&path, "torn off")?;
        assert!(!store.has(&put.sha256, put.size));
        store.put_file(&file)?;
        assert_eq!(fs::read(&path)?, b"abc");
        Ok(())
    }

    #[test]
    fn damage_is_found() -> CheckOutcome {
        let (dir, store) = bench()?;
        let file = dir.path().join("abc");
        fs::write(&file, "abc")?;
        let put = store.put_file(&file)?;
        let path = store.path(&put.sha256);
        fs::remove_file(&path)?;
        fs::write(&path, "abd")?;
        assert!(matches!(store.verify(&put.sha256, 3), Err(ArtifactError::Damaged { .. })));
        fs::remove_file(&path)?;
        assert!(matches!(store.verify(&put.sha256, 3), Err(ArtifactError::Io { .. })));
        Ok(())
    }

    #[test]
    fn what_comes_in_must_be_what_was_announced() -> CheckOutcome {
        let (_dir, store) = bench()?;
        let good = announced(b"abc");
        for wrong in [&b"ab"[..], b"abd", b"abcd", b""] {
            let received = store.receive(&mut &wrong[..], &good);
            assert!(matches!(received, Err(ArtifactError::Unexpected { .. })), "{wrong:?}");
            assert!(!store.has(&good.sha256, 3));
        }
        let mut endless = io::repeat(1);
        assert!(store.receive(&mut endless, &CopyReport { size: 5 << 20, ..good.clone() }).is_err());
        let mut broken = (&b"ab"[..]).chain(Broken);
        assert!(matches!(store.receive(&mut broken, &good), Err(ArtifactError::Io { .. })));
        assert_eq!(incoming(&store), 0, "nothing is left");
        store.receive(&mut &b"abc"[..], &good)?;
        assert!(store.has(&good.sha256, 3));
        Ok(())
    }

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn staged_bytes_are_invisible_and_vanish_unless_committed() -> CheckOutcome {
        let (dir, store) = bench()?;
        let file = dir.path().join("abc");
        fs::write(&file, "abc")?;
        let staged = store.stage_file(&mut File::open(&file)?, &file, 3, &|_| {})?;
        assert!(!store.has(&staged.copied.sha256, 3));
        let mode = fs::read_dir(&store.incoming)?.next().ok_or("staged")??.metadata()?.mode();
        assert_eq!(mode & 0o222, 0, "finished bytes are read-only");
        drop(staged);
        assert_eq!(incoming(&store), 0);
        Ok(())
    }

    #[test]
    fn an_object_that_goes_before_the_commit_is_missed() -> CheckOutcome {
        let (dir, store) = bench()?;
        let file = dir.path().join("abc");
        fs::write(&file, "abc")?;
        let put = store.put_file(&file)?;
        let staged = store.stage_file(&mut File::open(&file)?, &file, 3, &|_| {})?;
        fs::remove_file(store.path(&put.sha256))?;
        assert!(matches!(store.commit(vec![staged]), Err(ArtifactError::Removed(sha)) if sha == put.sha256));
        Ok(())
    }

    #[test]
    fn many_objects_are_committed_together() -> CheckOutcome {
        let (dir, store) = bench()?;
        let mut staged = Vec::new();
        for i in 0..100_u32 {
            let file = dir.path().join("file");
            fs::write(&file, i.to_le_bytes())?;
            staged.push(store.stage_file(&mut File::open(&file)?, &file, 4, &|_| {})?);
        }
        store.commit(staged)?;
        for i in 0..100_u32 {
            store.verify(&copy::sha256(&i.to_le_bytes()), 4)?;
        }
        Ok(())
    }

    #[test]
    fn threads_may_store_the_same_bytes_at_once() -> CheckOutcome {
        let (dir, store) = bench()?;
        let file = dir.path().join("file");
        fs::write(&file, vec![9; 100_000])?;
        super::super::parallel::map(&[(); 32], |()| store.put_file(&file).map(drop))?;
        store.verify(&copy::sha256(&[9; 100_000]), 100_000)?;
        assert_eq!(incoming(&store), 0);
        Ok(())
    }

    #[test]
    fn leftovers_are_swept_after_days_even_while_somebody_is_at_work() -> CheckOutcome {
        let (_dir, store) = bench()?;
        fs::create_dir_all(&store.incoming)?;
        let _at_work = store.claim()?;
        fs::write(store.incoming.join("put-old"), "x")?;
        store.sweep(SystemTime::now());
        assert_eq!(incoming(&store), 1);
        store.sweep(SystemTime::now() + STALE + Duration::from_secs(60));
        assert_eq!(incoming(&store), 0);
        Ok(())
    }
}
