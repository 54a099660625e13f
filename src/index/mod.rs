//! The derived index: events with person and time, and the current models and versions, without walking the history.
//!
//! The index is in the repository's git folder, in `greenroom/index/`, with one folder for each branch. All its content
//! is derived from commits, so deleting it costs time but no data. It consists of files that only grow, and a *head*
//! that says how many bytes of each file are valid. All data has checksums: data that is read at once, and each record
//! and chunk:
//!
//! ```text
//! head          the newest indexed commit; the valid length of the other files. Replaced as a whole.
//! steps-…       for each commit of the first-parent history: its id, time, and the position of its record
//! records-…     for each commit: person, time, comment, events
//! postings-…    for each model and version that a commit touches: the commit's number
//! rows-…        models and versions for searches, in chunks
//! directory-…   the position of each chunk
//! ids-…         for each id ever used: the number of the commit that used it first
//! lock          held by the process that writes
//! ```
//!
//! Readers take no lock. A process that opens an outdated index updates it with the differences of the trees since
//! then. It stores the update unless another process is writing; then the update stays in memory. Data that does not
//! match its checksum is rebuilt. So is an index of another version of greenroom, or of another history.

mod arrivals;
mod build;
mod closing;
mod committers;
mod effect;
mod error;
mod head;
mod history;
mod ids;
mod involvement;
mod part;
mod record;
mod rows;
mod search;
mod update;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use committers::{Committers, committer};
pub use effect::{Changes, ModelChange};
pub use error::IndexError;
pub use history::{HistoryEntry, HistorySubject, LogFilter, landed, matches};
pub use ids::{used, used_in};
pub use record::EventText;
pub use rows::{Alias, Evidence, MAX_DESCRIPTION, ModelRow, Tag, VersionFacts, VersionRow};

use crate::git::Repo;
use crate::name::Id;
use crate::registry::{Registry, newest_id};
use crate::shared;
use crate::tree::Oid;
use error::Fault;
use head::LoadedIndex;
use update::UpdateTarget;

/// The version of what the files hold. It goes up when their form changes, or what is derived.
const FORMAT: u32 = 9;

/// How far the building of an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildProgress {
    /// The number of finished units.
    pub done: u64,
    /// The total number of units.
    pub total: u64,
    /// The unit: `commits`, then `models`.
    pub what: &'static str,
}

/// The index of a registry's branch, as of when it was opened or last refreshed.
pub struct Index<'r> {
    registry: &'r Registry,
    folder: PathBuf,
    key: String,
    state: LoadedIndex,
    /// The commit that it stays at, of an index of the past.
    past: Option<Oid>,
    unstored: Option<String>,
}

impl std::fmt::Debug for Index<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("folder", &self.folder).field("tip", &self.state.tip).finish_non_exhaustive()
    }
}

impl<'r> Index<'r> {
    /// Opens the index and updates it to the newest commit. `progress` reports the work; there is little unless the
    /// index is new.
    ///
    /// # Errors
    /// [`IndexError`] if the history cannot be read, as in a shallow clone. An index that is damaged or cannot be
    /// stored is not an error.
    pub fn open(registry: &'r Registry, progress: &mut dyn FnMut(BuildProgress)) -> Result<Self, IndexError> {
        let mut index = Self::unread(registry);
        index.bring_up(false, progress)?;
        Ok(index)
    }

    /// The index as it was at a commit. One of the past is built in memory, from all steps up to there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_at(
        registry: &'r Registry,
        commit: Oid,
        progress: &mut dyn FnMut(BuildProgress),
    ) -> Result<Self, IndexError> {
        if registry.head()? == Some(commit) {
            return Self::open(registry, progress);
        }
        let mut index = Self { past: Some(commit), ..Self::unread(registry) };
        index.bring_up(false, progress)?;
        Ok(index)
    }

    /// Builds the index from nothing and stores it.
    ///
    /// # Errors
    /// [`IndexError::Busy`] if another process writes the index; [`IndexError::Unwritable`] if it cannot be stored;
    /// else the same as [`Self::open`].
    pub fn rebuild(registry: &'r Registry, progress: &mut dyn FnMut(BuildProgress)) -> Result<Self, IndexError> {
        let mut index = Self::unread(registry);
        let folder = || index.folder.clone();
        match lock(&index.folder) {
            Ok(Some(held)) => drop(held),
            Ok(None) => return Err(IndexError::Busy { folder: folder() }),
            Err(source) => return Err(IndexError::Unwritable { folder: folder(), source }),
        }
        index.bring_up(true, progress)?;
        match index.unstored.take() {
            Some(why) => Err(IndexError::Unwritable { folder: index.folder, source: std::io::Error::other(why) }),
            None => Ok(index),
        }
    }

    fn unread(registry: &'r Registry) -> Self {
        let folder = folder(registry);
        let state = LoadedIndex::empty(&folder);
        Self { registry, key: key(registry), state, folder, past: None, unstored: None }
    }

    /// Updates the index to the newest commit, for a long-running process. The cost is minimal if nothing changed.
    ///
    /// # Errors
    /// The same as [`Self::open`].
    pub fn refresh(&mut self) -> Result<(), IndexError> {
        self.bring_up(false, &mut |_| {})
    }

    /// Returns the commit that query results refer to; `None` before the first commit.
    pub fn tip(&self) -> Option<Oid> {
        self.state.tip
    }

    /// Returns the number of indexed commits.
    pub fn commits(&self) -> u64 {
        self.state.count
    }

    /// Returns why the newest state is only in memory, if so: the repository is not writable, or another process
    /// writes.
    pub fn unstored(&self) -> Option<&str> {
        self.unstored.as_deref()
    }

    fn bring_up(&mut self, anew: bool, progress: &mut dyn FnMut(BuildProgress)) -> Result<(), IndexError> {
        if let Some(commit) = self.past {
            return self.catch_up(commit, false, progress);
        }
        let Some(tip) = self.registry.head()? else {
            self.state = LoadedIndex::empty(&self.folder);
            return Ok(());
        };
        if !anew {
            if self.state.tip != Some(tip) {
                self.reload(false);
            }
            if self.state.tip == Some(tip) {
                return Ok(());
            }
        }
        self.unstored = None;
        let held = match lock(&self.folder) {
            Ok(Some(held)) => Some(held),
            Ok(None) => {
                self.unstored = Some("another process is writing it".to_owned());
                None
            }
            Err(e) => {
                self.unstored = Some(e.to_string());
                None
            }
        };
        if anew {
            self.state = LoadedIndex::empty(&self.folder);
        } else if held.is_some() {
            self.reload(true);
        }
        self.catch_up(tip, held.is_some(), progress)?;
        if held.is_some()
            && let Err(e) = self.state.store(&self.folder, &self.key)
        {
            self.unstored = Some(e.to_string());
        }
        Ok(())
    }

    /// Loads the stored index if it is usable. Without `to_write`, keeps the state in memory if that is newer.
    fn reload(&mut self, to_write: bool) {
        match LoadedIndex::load(&self.folder, &self.key) {
            Ok(Some(state)) if to_write || state.count >= self.state.count => self.state = state,
            Ok(None) | Err(_) if to_write => self.state = LoadedIndex::empty(&self.folder),
            Ok(_) | Err(_) => {}
        }
    }

    fn catch_up(&mut self, tip: Oid, locked: bool, progress: &mut dyn FnMut(BuildProgress)) -> Result<(), IndexError> {
        if self.state.tip == Some(tip) {
            return Ok(());
        }
        let target = UpdateTarget { folder: &self.folder, locked };
        for _ in 0..2 {
            match update::catch_up(&mut self.state, self.registry, tip, &target, progress) {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    self.state = LoadedIndex::empty(&self.folder);
                    if let Fault::Other(e) = fault {
                        return Err(e);
                    }
                }
            }
        }
        Err(IndexError::Damaged { what: "it cannot be built".to_owned(), folder: self.folder.clone() })
    }

    /// Runs a query. If a part is damaged, the stored index is loaded again, because another process may just have
    /// replaced it; then the index is rebuilt.
    fn ask<T>(&mut self, question: impl Fn(&LoadedIndex) -> Result<T, Fault>) -> Result<T, IndexError> {
        let mut found = String::new();
        for anew in [false, true, true] {
            match question(&self.state) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Other(e)) => return Err(e),
                Err(Fault::Damaged(what)) => found = what,
            }
            self.state = LoadedIndex::empty(&self.folder);
            self.bring_up(anew, &mut |_| {})?;
        }
        Err(IndexError::Damaged { what: found, folder: self.folder.clone() })
    }
}

/// Information about a stored index, which is read without being updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIndexStatus {
    /// The folder of the index.
    pub folder: PathBuf,
    /// Whether the index is usable.
    pub health: Health,
    /// The newest indexed commit.
    pub tip: Option<Oid>,
    /// The number of indexed commits.
    pub commits: u64,
    /// The size of all files of the index, in bytes.
    pub bytes: u64,
}

/// Whether a stored index is usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// There is no index, or it belongs to another version of greenroom; the next query builds it.
    Absent,
    /// The index is up to date.
    Current,
    /// The index lacks newer commits; the next query updates it.
    Behind,
    /// The files are damaged; the next query rebuilds the index.
    Damaged(String),
}

/// Reads and checks the whole stored index, without changing anything.
///
/// # Errors
/// [`IndexError`] if the history cannot be read.
pub fn status(registry: &Registry) -> Result<StoredIndexStatus, IndexError> {
    let folder = folder(registry);
    let none = |health| StoredIndexStatus { folder: folder.clone(), health, tip: None, commits: 0, bytes: 0 };
    let state = match LoadedIndex::load(&folder, &key(registry)) {
        Ok(Some(state)) => state,
        Ok(None) => return Ok(none(Health::Absent)),
        Err(Fault::Damaged(what)) => return Ok(none(Health::Damaged(what))),
        Err(Fault::Other(e)) => return Err(e),
    };
    let health = match state.check() {
        Ok(()) if registry.head()? == state.tip => Health::Current,
        Ok(()) => Health::Behind,
        Err(Fault::Damaged(what)) => Health::Damaged(what),
        Err(Fault::Other(e)) => return Err(e),
    };
    Ok(StoredIndexStatus { health, tip: state.tip, commits: state.count, bytes: state.bytes(), folder })
}

/// Returns the folder of the index for a registry's branch.
fn folder(registry: &Registry) -> PathBuf {
    folder_of(registry.repo(), registry.at(), registry.branch())
}

/// Returns the folder of the index for a branch and the registry in folder `at`.
fn folder_of(repo: &Repo, at: &str, branch: &str) -> PathBuf {
    let hash = Sha256::new().chain_update(at).chain_update([0]).chain_update(branch).finalize();
    let name: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    repo.common_dir().join("greenroom/index").join(name)
}

/// Returns the key that the stored index must have: file format, version of greenroom, `.mailmap`, branch and registry.
fn key(registry: &Registry) -> String {
    key_of(registry.repo(), registry.at(), registry.branch())
}

/// Returns the same key for a branch and the registry in folder `at`.
fn key_of(repo: &Repo, at: &str, branch: &str) -> String {
    let mailmap = Sha256::digest(repo.mailmap_text());
    let mailmap: String = mailmap.iter().take(8).map(|b| format!("{b:02x}")).collect();
    let version = env!("CARGO_PKG_VERSION");
    // Another registry may have lain in the folder before. An unreadable file is reported when it is requested.
    let id = repo.reference(branch).ok().flatten().and_then(|tip| newest_id(repo, at, tip).ok().flatten());
    let id = id.as_ref().map_or("-", Id::as_str);
    format!("{FORMAT} {version} {mailmap} {branch} {id} {at}")
}

/// A registry that answers questions about the past with the help of its index.
pub fn indexed(registry: Registry) -> Registry {
    registry.with_landed(landed).with_used(used_in)
}

/// Takes the writer's lock. Returns `None` if another process holds it.
fn lock(folder: &Path) -> std::io::Result<Option<File>> {
    shared::create_dir_all(folder)?;
    let path = folder.join("lock");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
    shared::adjust(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
