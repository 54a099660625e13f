//! Uploads: files that a client sends one by one, to become a version later.
//!
//! An upload is a folder next to the store's objects, on the same file system:
//!
//! ```text
//! <lfs>/uploads/<id>/owner                                  the person who sends the upload
//! <lfs>/uploads/<id>/bytes-<SHA-256 of the path>-<SHA-256>  the bytes of a file: complete, durable, never modified
//! <lfs>/uploads/<id>/file-<SHA-256 of the path>             the record: path, size and SHA-256 of the file
//! ```
//!
//! The store has none of these files until [`Uploads::take`] makes a version of them. Then the store gets hard links to
//! the same files. So an unused upload can be removed at any time. An object of the store never has to be removed:
//! another version, branch or clone might need it.

mod error;
mod id;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::NamedTempFile;

use super::copy::{self, CopyReport};
use super::entry::{ArtifactLimits, Content, FileEntry};
use super::error::ArtifactError;
use super::guarded;
use super::ingest::{self, IngestedFolder};
use super::path::FilePath;
use super::store::{IncomingClaim, Store, Temp, seal};
use crate::name::{Digest, UserName};

pub use error::UploadError;
pub use id::{UploadId, no_id};

/// The largest number of uploads at a time.
const MAX_UPLOADS: usize = 10_000;
/// An upload that is unused for this long is removed.
pub const UNUSED: Duration = Duration::from_hours(24);
/// The longest record of a file, in bytes.
const MAX_RECORD: u64 = 8 * 1024;

/// The content of the file `owner`.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    owner: String,
}

/// The content of a `file-…` record.
#[derive(Debug, Serialize, Deserialize)]
struct UploadRecord {
    path: String,
    size: u64,
    sha256: String,
}

/// The state of an upload in this process.
#[derive(Debug)]
struct ActiveUpload {
    owner: UserName,
    /// The number of files, and the number of bytes of files and of requests in progress.
    files: AtomicU64,
    bytes: AtomicU64,
    /// Readers of files hold this lock, so that no file is added or removed meanwhile.
    names: RwLock<()>,
}

impl ActiveUpload {
    fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> RwLockWriteGuard<'_, ()> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subtracts a removed file.
    fn discount(&self, file: &FileEntry<()>) {
        self.files.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(file.size, Ordering::Relaxed);
    }
}

/// The uploads of a repository.
#[derive(Debug)]
pub struct Uploads {
    store: Store,
    root: PathBuf,
    limits: ArtifactLimits,
    /// A request holds the `Arc` of its upload; an upload whose `Arc` no request holds may be removed.
    live: Mutex<BTreeMap<UploadId, Arc<ActiveUpload>>>,
}

/// A file that is being received for an upload. Dropping the value discards it.
#[derive(Debug)]
#[must_use = "the received bytes are dropped unless the file is finished"]
pub struct Incoming {
    folder: PathBuf,
    path: FilePath,
    temp: NamedTempFile,
    /// Held so that no other process removes the file as a leftover.
    _claim: Arc<IncomingClaim>,
    hasher: copy::Hasher,
    reserved: Reserved,
    /// The size in bytes of the file that it replaces.
    replaced: u64,
    limits: ArtifactLimits,
}

/// Bytes that count towards the size of an upload until this value is dropped.
#[derive(Debug)]
struct Reserved {
    live: Arc<ActiveUpload>,
    bytes: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.live.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Uploads {
    /// Returns the uploads of a store. Creates nothing.
    pub fn of(store: Store, limits: ArtifactLimits) -> Self {
        let root = store.uploads();
        Self { store, root, limits, live: Mutex::default() }
    }

    fn folder(&self, id: &UploadId) -> PathBuf {
        self.root.join(id.as_str())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<UploadId, Arc<ActiveUpload>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an upload of this person. It is not removed while the returned value lives.
    fn of_user(&self, id: &UploadId, user: &UserName) -> Result<Arc<ActiveUpload>, UploadError> {
        let unknown = || UploadError::Unknown(id.as_str().to_owned());
        let mut live = self.lock();
        let known = match live.get(id) {
            Some(known) => Arc::clone(known),
            None => {
                let found = Arc::new(self.load(id)?.ok_or_else(unknown)?);
                live.insert(id.clone(), Arc::clone(&found));
                found
            }
        };
        if known.owner == *user { Ok(known) } else { Err(unknown()) }
    }

    /// Reads an upload's state from disk.
    fn load(&self, id: &UploadId) -> Result<Option<ActiveUpload>, UploadError> {
        let folder = self.folder(id);
        let Some(owner) = read_json::<Owner>(&folder.join("owner"))? else { return Ok(None) };
        let Ok(owner) = UserName::new(owner.owner) else { return Ok(None) };
        let files = records(&folder)?;
        let bytes = files.iter().map(|f| f.size).fold(0, u64::saturating_add);
        Ok(Some(ActiveUpload {
            owner,
            files: AtomicU64::new(files.len() as u64),
            bytes: AtomicU64::new(bytes),
            names: RwLock::default(),
        }))
    }

    /// Returns an upload of this person, or creates it with this person as owner.
    fn claim(&self, id: &UploadId, user: &UserName) -> Result<Arc<ActiveUpload>, UploadError> {
        match self.of_user(id, user) {
            Err(UploadError::Unknown(_)) if !self.folder(id).exists() => {}
            known => return known,
        }
        self.forget_removed(id);
        let there = fs::read_dir(&self.root).map_or(0, Iterator::count);
        if there >= MAX_UPLOADS {
            return Err(UploadError::Full { max: MAX_UPLOADS });
        }
        let failed = ArtifactError::io("create a folder in", &self.root);
        if !self.root.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(&failed)?;
        }
        let fresh = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.root).map_err(&failed)?;
        let owner = Owner { owner: user.as_str().to_owned() };
        write_json(fresh.path(), "owner", &owner).map_err(&failed)?;
        sync(fresh.path())?;
        // Another process may create the upload first. Then the rename fails, and the folder belongs to that process.
        if fs::rename(fresh.path(), self.folder(id)).is_ok() {
            let _ = fresh.keep();
            sync(&self.root)?;
        }
        self.of_user(id, user)
    }

    /// Drops the state of an upload whose folder was removed by hand. If the folder exists, it may belong to a
    /// concurrent request that created it first, and its state stays.
    fn forget_removed(&self, id: &UploadId) {
        let mut live = self.lock();
        if !self.folder(id).exists() {
            live.remove(id);
        }
    }

    /// Starts to receive a file. Creates the upload for this person if it does not exist.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] for another person's upload; [`UploadError::Full`], [`UploadError::TooMany`] at a
    /// limit; [`UploadError::Artifact`] if the path leads into greenroom's own folder, or for an I/O error.
    pub fn begin(&self, id: &UploadId, user: &UserName, path: FilePath) -> Result<Incoming, UploadError> {
        if guarded::is_state(&path) {
            let path = PathBuf::from(path.as_str());
            return Err(ArtifactError::Registry { registry: path.clone(), path }.into());
        }
        let live = self.claim(id, user)?;
        let folder = self.folder(id);
        let before = recorded(&folder, &name_of(path.as_str()))?;
        if before.is_none() && live.files.load(Ordering::Relaxed) >= self.limits.files {
            return Err(UploadError::TooMany { max: self.limits.files });
        }
        let replaced = before.map_or(0, |f| f.size);
        let Temp { file: temp, claim: _claim } =
            self.store.temp_file().map_err(ArtifactError::io("create a file in", &self.root))?;
        let reserved = Reserved { live, bytes: 0 };
        let hasher = copy::Hasher::default();
        Ok(Incoming { folder, path, temp, _claim, hasher, reserved, replaced, limits: self.limits })
    }

    /// Returns the files of an upload, sorted by path.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] if this person has no such upload; [`UploadError::Artifact`] for an I/O error.
    pub fn files(&self, id: &UploadId, user: &UserName) -> Result<Vec<FileEntry<()>>, UploadError> {
        let live = self.of_user(id, user)?;
        let _reading = live.reading();
        records(&self.folder(id))
    }

    /// Opens a file of an upload.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] or [`UploadError::NoFile`] if it does not exist; [`UploadError::Artifact`] for an I/O
    /// error.
    pub fn open(&self, id: &UploadId, user: &UserName, path: &FilePath) -> Result<(FileEntry<()>, File), UploadError> {
        let live = self.of_user(id, user)?;
        let _reading = live.reading();
        let folder = self.folder(id);
        let none = || UploadError::NoFile(path.to_string());
        let entry = recorded(&folder, &name_of(path.as_str()))?.ok_or_else(none)?;
        let bytes = folder.join(bytes_of(path.as_str(), &entry.sha256));
        let file = File::open(&bytes).map_err(ArtifactError::io("open", &bytes))?;
        Ok((entry, file))
    }

    /// Removes a file or folder of an upload, or all of it if `path` is `None`. A path that does not exist is not an
    /// error.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] if this person has no such upload; [`UploadError::Busy`] if all of it is to be removed
    /// and another request uses it; [`UploadError::Artifact`] for an I/O error.
    pub fn remove(&self, id: &UploadId, user: &UserName, path: Option<&FilePath>) -> Result<(), UploadError> {
        let live = self.of_user(id, user)?;
        let folder = self.folder(id);
        let Some(path) = path else {
            drop(live);
            return self.discard(id);
        };
        let inside =
            |f: &FilePath| f == path || f.as_str().strip_prefix(path.as_str()).is_some_and(|r| r.starts_with('/'));
        let _changing = live.changing();
        for file in records(&folder)?.iter().filter(|f| inside(&f.path)) {
            if fs::remove_file(folder.join(name_of(file.path.as_str()))).is_ok() {
                let _ = fs::remove_file(folder.join(bytes_of(file.path.as_str(), &file.sha256)));
                live.discount(file);
            }
        }
        Ok(sync(&folder)?)
    }

    /// Adds the files of an upload, or of its folder `sub`, to the store for a new version. They are durable on return.
    /// The upload stays and can be used again until it is removed.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] or [`UploadError::NoFile`] if there are no such files; [`UploadError::Artifact`] if
    /// they cannot form a model, or for an I/O error.
    pub fn take(&self, id: &UploadId, user: &UserName, sub: Option<&FilePath>) -> Result<IngestedFolder, UploadError> {
        let live = self.of_user(id, user)?;
        let _reading = live.reading();
        let folder = self.folder(id);
        let mut files = records(&folder)?;
        if let Some(sub) = sub {
            let below = |f: FileEntry<()>| {
                let rest = f.path.as_str().strip_prefix(sub.as_str())?.strip_prefix('/')?;
                Some(FileEntry { path: FilePath::new(rest).ok()?, ..f })
            };
            files = files.into_iter().filter_map(below).collect();
        }
        if files.is_empty() {
            return Err(UploadError::NoFile(sub.map(ToString::to_string).unwrap_or_default()));
        }
        let bytes = |path: &FilePath, sha256: &Digest| match sub {
            Some(sub) => folder.join(bytes_of(&format!("{sub}/{path}"), sha256)),
            None => folder.join(bytes_of(path.as_str(), sha256)),
        };
        let open = |file: &FileEntry<Content>| {
            let path = bytes(&file.path, &file.sha256);
            File::open(&path).map_err(ArtifactError::io("open", &path))
        };
        let taken = ingest::assemble(files, &self.limits, &open)?;
        let stored = taken.files.iter().filter(|f| f.place == Content::Stored);
        let stored: Vec<_> = stored
            .map(|f| (bytes(&f.path, &f.sha256), CopyReport { sha256: f.sha256.clone(), size: f.size }))
            .collect();
        self.store.adopt(&stored)?;
        // The use counts as activity, so the upload is not removed for another day.
        let owner = folder.join("owner");
        let touched = File::options().append(true).open(&owner).and_then(|f| f.set_modified(SystemTime::now()));
        touched.map_err(ArtifactError::io("write to", &owner))?;
        Ok(taken)
    }

    /// Removes the uploads that were not used for [`UNUSED`], and the leftovers of crashes. Returns the number of
    /// removed uploads.
    pub fn sweep(&self, now: SystemTime) -> usize {
        self.store.sweep(now);
        let Ok(entries) = fs::read_dir(&self.root) else { return 0 };
        let mut removed = 0;
        for entry in entries.flatten() {
            let path = entry.path();
            let old = |p: &Path| {
                let used = fs::symlink_metadata(p).and_then(|m| m.modified());
                used.map_or(true, |used| now.duration_since(used).is_ok_and(|age| age > UNUSED))
            };
            if !old(&path) || !old(&path.join("owner")) {
                continue;
            }
            match entry.file_name().to_str().and_then(UploadId::new) {
                Some(id) => removed += usize::from(self.discard(&id).is_ok()),
                // A crash left this file while an upload was created or removed.
                None => drop(fs::remove_dir_all(&path)),
            }
        }
        removed
    }

    /// Removes an upload that no request uses.
    fn discard(&self, id: &UploadId) -> Result<(), UploadError> {
        let gone = {
            let mut live = self.lock();
            if live.get(id).is_some_and(|l| Arc::strong_count(l) > 1) {
                return Err(UploadError::Busy(id.as_str().to_owned()));
            }
            live.remove(id);
            let folder = self.folder(id);
            let gone = tempfile::Builder::new().prefix(".gone-").tempdir_in(&self.root);
            let gone = gone.map_err(ArtifactError::io("create a folder in", &self.root))?;
            fs::rename(&folder, gone.path()).map_err(ArtifactError::io("remove", &folder))?;
            gone
        };
        Ok(gone.close().map_err(ArtifactError::io("remove from", &self.root))?)
    }
}

impl Incoming {
    /// Appends bytes to the file.
    ///
    /// # Errors
    /// [`UploadError::TooLarge`] if the upload exceeds its size limit; [`UploadError::Artifact`] for an I/O error.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let n = bytes.len() as u64;
        self.reserved.bytes += n;
        let all = self.reserved.live.bytes.fetch_add(n, Ordering::Relaxed).saturating_add(n);
        if all.saturating_sub(self.replaced) > self.limits.total {
            return Err(UploadError::TooLarge { max: self.limits.total });
        }
        self.temp.as_file_mut().write_all(bytes).map_err(ArtifactError::io("write to", self.temp.path()))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Returns another handle of the file, to sync the written bytes while more arrive.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn handle(&self) -> io::Result<File> {
        self.temp.as_file().try_clone()
    }

    /// Completes the file. On return it is durable and part of the upload, and replaces a file with the same path.
    ///
    /// # Errors
    /// [`UploadError::Short`] or [`UploadError::Digest`] if the bytes are not the announced ones;
    /// [`UploadError::Artifact`] for an I/O error.
    pub fn finish(self, length: Option<u64>, sha256: Option<&Digest>) -> Result<CopyReport, UploadError> {
        let Self { folder, path, temp, _claim, hasher, mut reserved, replaced: _, limits: _ } = self;
        let copied = hasher.finish();
        if let Some(announced) = length.filter(|l| *l != copied.size) {
            return Err(UploadError::Short { announced, got: copied.size });
        }
        if let Some(announced) = sha256.filter(|d| **d != copied.sha256) {
            return Err(UploadError::Digest { announced: announced.clone(), found: copied.sha256 });
        }
        seal(temp.as_file(), true).map_err(ArtifactError::io("write to", temp.path()))?;
        let (name, bytes) = (name_of(path.as_str()), folder.join(bytes_of(path.as_str(), &copied.sha256)));
        let failed = ArtifactError::io("put in place", &bytes);
        let record =
            UploadRecord { path: path.to_string(), size: copied.size, sha256: copied.sha256.as_str().to_owned() };
        let record = json_in(&folder, &record).map_err(&failed)?;
        {
            let live = Arc::clone(&reserved.live);
            let _changing = live.changing();
            let before = recorded(&folder, &name)?;
            temp.persist(&bytes).map_err(|e| failed(e.error))?;
            record.persist(folder.join(&name)).map_err(|e| failed(e.error))?;
            // From now on the bytes count as long as the file exists.
            reserved.bytes = 0;
            live.files.fetch_add(1, Ordering::Relaxed);
            if let Some(before) = before {
                live.discount(&before);
                // Equal bytes have the same name: that file is the new one.
                if before.sha256 != copied.sha256 {
                    let _ = fs::remove_file(folder.join(bytes_of(before.path.as_str(), &before.sha256)));
                }
            }
        }
        sync(&folder)?;
        Ok(copied)
    }
}

/// Returns the name of a path's record. A path may have any case and length; the name has a fixed form.
fn name_of(path: &str) -> String {
    format!("file-{}", copy::sha256(path.as_bytes()))
}

/// Returns the name of a path's bytes. It is unique to the path, so the bytes can be removed together with the record.
fn bytes_of(path: &str, sha256: &Digest) -> String {
    format!("bytes-{}-{sha256}", copy::sha256(path.as_bytes()))
}

/// Converts a record to a file of a model. Returns `None` if greenroom did not write it.
fn entry(record: UploadRecord) -> Option<FileEntry<()>> {
    let path = FilePath::new(&record.path).ok()?;
    Some(FileEntry { path, size: record.size, sha256: Digest::new(record.sha256).ok()?, place: () })
}

/// Returns the files of an upload's folder that have a record and bytes, sorted by path.
fn records(folder: &Path) -> Result<Vec<FileEntry<()>>, UploadError> {
    let failed = ArtifactError::io("read", folder);
    let mut files = Vec::new();
    for found in fs::read_dir(folder).map_err(&failed)? {
        let found = found.map_err(&failed)?;
        if !found.file_name().to_str().is_some_and(|name| name.starts_with("file-")) {
            continue;
        }
        files.extend(found.file_name().to_str().map(|name| recorded(folder, name)).transpose()?.flatten());
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Reads the record with this name. Returns `None` if there is no record or the bytes are missing.
fn recorded(folder: &Path, name: &str) -> Result<Option<FileEntry<()>>, UploadError> {
    let file = read_json::<UploadRecord>(&folder.join(name))?.and_then(entry);
    // After a power failure the record may exist without the bytes, although it is written later.
    Ok(file.filter(|file| {
        let bytes = fs::symlink_metadata(folder.join(bytes_of(file.path.as_str(), &file.sha256)));
        bytes.is_ok_and(|m| m.is_file() && m.len() == file.size)
    }))
}

/// Reads a small JSON file. Returns `None` if it does not exist or is incomplete.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, UploadError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|f| f.take(MAX_RECORD).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(ArtifactError::io("read", path)(e).into()),
    }
}

/// Writes a small JSON file atomically, and replaces an older one. The folder is not synced.
fn write_json(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    json_in(folder, value)?.persist(folder.join(name)).map(drop).map_err(|e| e.error)
}

/// Writes a small JSON file to a temporary name.
fn json_in(folder: &Path, value: &impl Serialize) -> io::Result<NamedTempFile> {
    let mut temp = tempfile::Builder::new().prefix(".put-").tempfile_in(folder)?;
    temp.write_all(serde_json::to_string(value)?.as_bytes())?;
    temp.as_file().sync_all()?;
    Ok(temp)
}

fn sync(folder: &Path) -> Result<(), ArtifactError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(ArtifactError::io("sync", folder))
}

#[cfg(test)]
mod tests;
