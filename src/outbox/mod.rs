//! The outbox: how far each channel has processed the history, which deliveries are pending, and the results of past
//! ones.
//!
//! Events are not stored: they are in the history, and are computed again when they are sent. The outbox stores two
//! things for each channel. The *cursor* is a position in the first-parent history of the branch; up to there, all jobs
//! are known. The *jobs* are known deliveries that have not arrived yet. Both change in one record of a
//! [`journal`](Ledger). So a crash at any moment leaves an earlier state, from which the same jobs follow again, with
//! the same ids. Each delivery is made at least once.
//!
//! The outbox lies beside the index, in `greenroom/outbox/` of the git directory, and only its owner can read it. Each
//! branch has a folder of its own. One process at a time writes, and holds the lock. Another process that wants a
//! change puts a request into the folder ([`Outbox::ask`]).

mod journal;
mod ledger;
mod state;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use ledger::Ledger;
pub use state::{ChannelState, Cursor, DeadJob, EventOrigin, Failing, Past, PendingJob, SuspensionReason, delivery_id};

use crate::registry::{Registry, RegistryLocation};

/// The longest name of a channel, in bytes.
const MAX_NAME: usize = 100;

/// The largest request that is read, in bytes.
const MAX_ASK: u64 = 1 << 20;

/// Why the outbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// A file or folder cannot be read or written.
    #[error("could not {what} {}", .path.display())]
    Io {
        /// The failed action, a verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The beginning of a journal is damaged, so the position of the channel's cursor is unknown.
    #[error(
        "{} is damaged; move it away, and the channel continues with the events from then on; then send the events \
         that it may have missed with `greenroom webhook replay --from`", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The name of a channel is not a valid file name.
    #[error("{0} is not a channel name")]
    Name(String),
}

impl OutboxError {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}

/// The outbox of a registry's branch.
#[derive(Debug, Clone)]
pub struct Outbox {
    state_dir: PathBuf,
    folder: PathBuf,
}

/// The lock of the one process that delivers. It is released when dropped, or when the process ends.
#[derive(Debug)]
pub struct SenderLock(#[expect(dead_code, reason = "the lock is held as long as the file is open")] File);

/// A request to the process that delivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum OutboxRequest {
    /// Retries dead letters, and resumes the channel if it was suspended.
    Revive {
        /// The channel. `None` for all channels.
        channel: Option<String>,
        /// The ids of the deliveries. Empty for all deliveries.
        ids: Vec<String>,
    },
}

impl Outbox {
    /// Returns the outbox of a registry's branch.
    pub fn of(registry: &Registry) -> Self {
        let state_dir = registry.state_dir();
        Self { folder: folder_of_all(&state_dir).join(name_of(&registry.place())), state_dir }
    }

    /// Returns whether this is the outbox of a branch and folder.
    pub fn is_of(&self, place: &RegistryLocation) -> bool {
        self.folder.file_name().is_some_and(|name| *name == *name_of(place))
    }

    /// Returns the outboxes of other branches and folders of the repository.
    pub fn others(&self) -> Vec<Self> {
        let entries = fs::read_dir(folder_of_all(&self.state_dir)).into_iter().flatten().flatten();
        let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path());
        folders.filter(|f| *f != self.folder).map(|folder| Self { folder, state_dir: self.state_dir.clone() }).collect()
    }

    /// Moves the stored state to another outbox, which must be empty, because the branch was renamed or the registry
    /// moved to another folder. Returns false if another process delivers from this outbox, or the other outbox is not
    /// empty.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the lock cannot be taken or the folder cannot be moved.
    pub fn hand_over(&self, to: &Self) -> Result<bool, OutboxError> {
        let Some(lead) = self.lead()? else { return Ok(false) };
        let failed = |e| OutboxError::io("move", &self.folder, e);
        // The target may hold a folder that a request created. The process that made the request keeps it until it is
        // taken.
        match fs::rename(&self.folder, &to.folder) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => return Ok(false),
            Err(e) => return Err(failed(e)),
        }
        drop(lead);
        journal::sync_folder(&folder_of_all(&self.state_dir)).map_err(failed)?;
        Ok(true)
    }

    /// Creates the folders of the outbox if necessary, readable by their owner only.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when a folder cannot be created.
    pub fn prepare(&self) -> Result<(), OutboxError> {
        let all = folder_of_all(&self.state_dir);
        crate::shared::create_dir_all(&self.state_dir).map_err(|e| OutboxError::io("create", &self.state_dir, e))?;
        for folder in [&all, &self.folder, &self.asks()] {
            make_private(folder).map_err(|e| OutboxError::io("create", folder, e))?;
        }
        Ok(())
    }

    /// Takes the lock of the process that delivers. `None` if another process holds it.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the lock file cannot be opened or locked.
    pub fn lead(&self) -> Result<Option<SenderLock>, OutboxError> {
        let path = self.folder.join("lock");
        let failed = |e| OutboxError::io("lock", &path, e);
        let file = private().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                self.tidy();
                Ok(Some(SenderLock(file)))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    /// Removes the half-written files of a process that was killed. Only the holder of the lock writes journals.
    fn tidy(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries.filter(|e| e.file_name().as_encoded_bytes().starts_with(b".new-")) {
            // A file that remains does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }

    /// Returns the names of channels with a stored state, sorted.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the folder cannot be read.
    pub fn channels(&self) -> Result<Vec<String>, OutboxError> {
        let failed = |e| OutboxError::io("read", &self.folder, e);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut out = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|n| n.strip_suffix(".journal")).filter(|n| !n.starts_with('_'));
            out.extend(name.map(str::to_owned));
        }
        out.sort();
        Ok(out)
    }

    /// Returns the state of a channel as it was a moment ago, without the lock. `None` if nothing is stored.
    ///
    /// # Errors
    ///
    /// [`OutboxError`] when the name is invalid, or the journal is damaged or cannot be read.
    pub fn look(&self, channel: &str) -> Result<Option<ChannelState>, OutboxError> {
        ledger::look(&self.path(channel)?)
    }

    /// Opens the state of a channel for changes. `None` if nothing is stored. Needs the lock.
    ///
    /// # Errors
    ///
    /// [`OutboxError`] when the name is invalid, or the journal is damaged or cannot be read.
    pub fn open(&self, channel: &str, _: &SenderLock) -> Result<Option<Ledger>, OutboxError> {
        Ledger::open(&self.path(channel)?)
    }

    /// Creates the state of a channel, with its cursor at this position, on disk. Needs the lock.
    ///
    /// # Errors
    ///
    /// [`OutboxError`] when the name is invalid or the journal cannot be written.
    pub fn begin(&self, channel: &str, cursor: Cursor, _: &SenderLock) -> Result<Ledger, OutboxError> {
        Ledger::begin(&self.path(channel)?, cursor)
    }

    /// Deletes the state of a channel. Needs the lock.
    ///
    /// # Errors
    ///
    /// [`OutboxError`] when the name is invalid or the journal cannot be removed.
    pub fn forget(&self, channel: &str, _: &SenderLock) -> Result<(), OutboxError> {
        let path = self.path(channel)?;
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(OutboxError::io("remove", &path, e)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn path(&self, channel: &str) -> Result<PathBuf, OutboxError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if channel.is_empty() || channel.len() > MAX_NAME || channel.starts_with('.') || !channel.bytes().all(plain) {
            return Err(OutboxError::Name(crate::text::quoted(channel)));
        }
        Ok(self.folder.join(format!("{channel}.journal")))
    }

    fn asks(&self) -> PathBuf {
        self.folder.join("asks")
    }

    /// Stores a request to the process that delivers, on disk, and wakes that process. If none runs, the next one
    /// handles the request.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the request cannot be written.
    pub fn ask(&self, ask: &OutboxRequest) -> Result<(), OutboxError> {
        self.prepare()?;
        let folder = self.asks();
        let failed = |e| OutboxError::io("write to", &folder, e);
        let mut new = tempfile::Builder::new().prefix(".new-").suffix(".json").tempfile_in(&folder).map_err(failed)?;
        let text = serde_json::to_vec(ask).map_err(|e| failed(e.into()))?;
        new.write_all(&text).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
        let name = new.path().file_name().and_then(|n| n.to_str()).unwrap_or_default().replacen(".new-", "", 1);
        new.persist(folder.join(name)).map_err(|e| failed(e.error))?;
        journal::sync_folder(&folder).map_err(failed)?;
        wake(&self.state_dir);
        Ok(())
    }

    /// Handles the requests that have arrived, and drops requests that cannot be parsed. `act` is called before the
    /// request is removed.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when a request cannot be read or removed, and the error of `act`.
    pub fn take_asks(
        &self,
        _: &SenderLock,
        mut act: impl FnMut(OutboxRequest) -> Result<(), OutboxError>,
    ) -> Result<(), OutboxError> {
        let folder = self.asks();
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
        for path in entries.flatten().map(|e| e.path()) {
            let hidden = path.file_name().is_none_or(|n| n.as_encoded_bytes().starts_with(b"."));
            if hidden || path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let mut text = Vec::new();
            let read = File::open(&path).and_then(|f| f.take(MAX_ASK).read_to_end(&mut text));
            read.map_err(|e| OutboxError::io("read", &path, e))?;
            if let Ok(ask) = serde_json::from_slice(&text) {
                act(ask)?;
            }
            fs::remove_file(&path).map_err(|e| OutboxError::io("remove", &path, e))?;
        }
        Ok(())
    }

    /// Returns whether a request waits.
    pub fn is_asked(&self) -> bool {
        let shown = |e: fs::DirEntry| !e.file_name().as_encoded_bytes().starts_with(b".");
        fs::read_dir(self.asks()).is_ok_and(|entries| entries.flatten().any(shown))
    }
}

/// Returns the name of the outbox folder of a branch and folder.
fn name_of(place: &RegistryLocation) -> String {
    let hash = Sha256::new().chain_update(&place.at).chain_update([0]).chain_update(&place.branch).finalize();
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

fn folder_of_all(state_dir: &Path) -> PathBuf {
    state_dir.join("outbox")
}

/// Returns the path of the file that is written to wake the process that delivers. Its folder is watched; few other
/// files in it change.
pub fn wake_file(state_dir: &Path) -> PathBuf {
    folder_of_all(state_dir).join("wake")
}

/// Wakes the process that delivers for the registries of a repository. If no process has ever delivered here, nothing
/// is written. A failure does no harm, because that process looks by itself every few seconds.
pub fn wake(state_dir: &Path) {
    if folder_of_all(state_dir).is_dir() {
        let file = private().create(true).write(true).truncate(true).open(wake_file(state_dir));
        let _ = file.and_then(|mut f| f.write_all(b"wake\n"));
    }
}

/// Returns options that create a file readable by its owner only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
