//! The derived index: who did what when, and what each model and version is, without a walk of the history.
//!
//! It lies in the repository's git folder, in `greenroom/index/`, one folder for each branch. Everything in it follows
//! from the commits, so that deleting it costs time and never truth. It is files that only grow, and a *head* that says
//! how far they count, with a checksum for all that is read at once and for each record and chunk:
//!
//! ```text
//! head          which commit is the last; how far each of the others counts. Replaced as a whole.
//! steps-…       for each commit of the first-parent line: its id, when it landed, where its record is
//! records-…     for each commit: who, when, why, what happened
//! postings-…    for each model and version that a commit touches: the commit's number
//! rows-…        models and versions as searches need them, in chunks
//! directory-…   where each chunk is
//! ids-…         for each id that ever was: the number of the commit that brought it first
//! lock          held by the process that writes
//! ```
//!
//! Readers take no lock. Whoever opens an index that is behind brings it up to date by the differences of the trees
//! since then, and stores that if nobody else is writing; otherwise it is kept in memory. What does not match its
//! checksum is built anew, and so is an index of another version of greenroom, or of another history.

mod arrivals;
mod build;
mod closing;
mod effect;
mod error;
mod head;
mod history;
mod ids;
mod landers;
mod part;
mod record;
mod rows;
mod search;
mod ties;
mod update;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use effect::{Changes, ModelChange};
pub use error::IndexError;
pub use history::{Entry, LogFilter, Subject, landed, matches};
pub use ids::{used, used_in};
pub use landers::{Landers, lander};
pub use record::Act;
pub use rows::{Alias, Evidence, MAX_DESCRIPTION, ModelRow, Tag, VersionFacts, VersionRow};

use crate::git::Repo;
use crate::name::Id;
use crate::registry::Registry;
use crate::shared;
use crate::snapshot::Snapshot;
use crate::tree::Oid;
use error::Fault;
use head::State;
use update::Target;

/// The version of what the files hold. It goes up when their form changes, or what is derived.
const FORMAT: u32 = 8;

/// How many of the newest commits are searched for the id of the registry that an index is of.
const MAX_BACK: usize = 1_000;

/// How far the building of an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many are done.
    pub done: u64,
    /// Of how many.
    pub total: u64,
    /// What is counted: `commits`, then `models`.
    pub what: &'static str,
}

/// The index of a registry's branch, up to date when it was opened or last refreshed.
pub struct Index<'r> {
    registry: &'r Registry,
    folder: PathBuf,
    key: String,
    state: State,
    unstored: Option<String>,
}

impl std::fmt::Debug for Index<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("folder", &self.folder).field("tip", &self.state.tip).finish_non_exhaustive()
    }
}

impl<'r> Index<'r> {
    /// Opens the index and brings it up to the newest commit. `progress` hears about work as it is done; there is little
    /// unless the index is new.
    ///
    /// # Errors
    /// When the history cannot be read, as in a shallow clone. An index that is damaged or cannot be stored is no error.
    pub fn open(registry: &'r Registry, progress: &mut dyn FnMut(Progress)) -> Result<Self, IndexError> {
        let mut index = Self::unread(registry);
        index.bring_up(false, progress)?;
        Ok(index)
    }

    /// Builds the index from nothing and stores it.
    ///
    /// # Errors
    /// Also when it cannot be stored, or while another process writes it.
    pub fn rebuild(registry: &'r Registry, progress: &mut dyn FnMut(Progress)) -> Result<Self, IndexError> {
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
        let state = State::empty(&folder);
        Self { registry, key: key(registry), state, folder, unstored: None }
    }

    /// Brings the index up to the newest commit: for a process that stays. Costs next to nothing if nothing happened.
    pub fn refresh(&mut self) -> Result<(), IndexError> {
        self.bring_up(false, &mut |_| {})
    }

    /// The commit that the answers are of; none before the first.
    pub fn tip(&self) -> Option<Oid> {
        self.state.tip
    }

    /// How many commits it knows.
    pub fn commits(&self) -> u64 {
        self.state.count
    }

    /// Why what it knows is in memory only, if so: the repository cannot be written to, or another process writes.
    pub fn unstored(&self) -> Option<&str> {
        self.unstored.as_deref()
    }

    fn bring_up(&mut self, anew: bool, progress: &mut dyn FnMut(Progress)) -> Result<(), IndexError> {
        let Some(tip) = self.registry.head()? else {
            self.state = State::empty(&self.folder);
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
            self.state = State::empty(&self.folder);
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

    /// Takes what is stored, if that can be used. Who will not write keeps what is in memory if that is ahead.
    fn reload(&mut self, to_write: bool) {
        match State::load(&self.folder, &self.key) {
            Ok(Some(state)) if to_write || state.count >= self.state.count => self.state = state,
            Ok(None) | Err(_) if to_write => self.state = State::empty(&self.folder),
            Ok(_) | Err(_) => {}
        }
    }

    fn catch_up(&mut self, tip: Oid, locked: bool, progress: &mut dyn FnMut(Progress)) -> Result<(), IndexError> {
        if self.state.tip == Some(tip) {
            return Ok(());
        }
        let target = Target { folder: &self.folder, locked };
        for _ in 0..2 {
            match update::catch_up(&mut self.state, self.registry, tip, &target, progress) {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    self.state = State::empty(&self.folder);
                    if let Fault::Other(e) = fault {
                        return Err(e);
                    }
                }
            }
        }
        Err(IndexError::Damaged { what: "it cannot be built".to_owned(), folder: self.folder.clone() })
    }

    /// Answers a question. When a part turns out to be damaged, the stored index is read again, for another process may
    /// just have replaced it; then it is built anew.
    fn ask<T>(&mut self, question: impl Fn(&State) -> Result<T, Fault>) -> Result<T, IndexError> {
        let mut found = String::new();
        for anew in [false, true, true] {
            match question(&self.state) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Other(e)) => return Err(e),
                Err(Fault::Damaged(what)) => found = what,
            }
            self.state = State::empty(&self.folder);
            self.bring_up(anew, &mut |_| {})?;
        }
        Err(IndexError::Damaged { what: found, folder: self.folder.clone() })
    }
}

/// What is known of a stored index without using it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it lies.
    pub folder: PathBuf,
    /// Whether it can be used.
    pub health: Health,
    /// The newest commit that is in it.
    pub tip: Option<Oid>,
    /// How many commits are in it.
    pub commits: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Whether a stored index can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// There is none, or one of another version of greenroom; the next question builds it.
    Absent,
    /// It is up to date.
    Current,
    /// History went on; the next question brings it up to date.
    Behind,
    /// Its files are not what was written; the next question builds it anew.
    Damaged(String),
}

/// Reads all of the stored index and checks it, without changing anything.
pub fn status(registry: &Registry) -> Result<Status, IndexError> {
    let folder = folder(registry);
    let none = |health| Status { folder: folder.clone(), health, tip: None, commits: 0, bytes: 0 };
    let state = match State::load(&folder, &key(registry)) {
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
    Ok(Status { health, tip: state.tip, commits: state.count, bytes: state.bytes(), folder })
}

/// Where the index of a registry's branch lies.
fn folder(registry: &Registry) -> PathBuf {
    folder_of(registry.repo(), registry.at(), registry.branch())
}

/// Where the index of a branch lies, of the registry in a folder.
fn folder_of(repo: &Repo, at: &str, branch: &str) -> PathBuf {
    let hash = Sha256::new().chain_update(at).chain_update([0]).chain_update(branch).finalize();
    let name: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    repo.common_dir().join("greenroom/index").join(name)
}

/// What the stored index must be of: the form of its files, this version's words, the registry, its `.mailmap`.
fn key(registry: &Registry) -> String {
    key_of(registry.repo(), registry.at(), registry.branch())
}

/// The same of a branch, of the registry in a folder.
fn key_of(repo: &Repo, at: &str, branch: &str) -> String {
    let mailmap = Sha256::digest(repo.mailmap_text());
    let mailmap: String = mailmap.iter().take(8).map(|b| format!("{b:02x}")).collect();
    let version = env!("CARGO_PKG_VERSION");
    // Another registry may have lain in the folder before. What cannot be read is told where it is asked for.
    let id = repo.reference(branch).ok().flatten().and_then(|tip| id_in(repo, at, tip));
    let id = id.as_ref().map_or("-", Id::as_str);
    format!("{FORMAT} {version} {mailmap} {branch} {id} {at}")
}

/// The id of the registry in a folder, by the newest commit that has one there: the registry may have been moved since, or its
/// settings cannot be read.
fn id_in(repo: &Repo, at: &str, tip: Oid) -> Option<Id> {
    for step in repo.first_parents(tip).ok()?.take(MAX_BACK) {
        let state = Snapshot::new(repo, Some(step.ok()?.tree), at).ok()?;
        if let Some(id) = state.id().ok()? {
            return Some(id.clone());
        }
    }
    None
}

/// A registry that answers questions about the past with the help of its index.
pub fn indexed(registry: Registry) -> Registry {
    registry.with_landed(landed).with_used(used_in)
}

/// Takes the lock of the writer; none if another process has it.
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
