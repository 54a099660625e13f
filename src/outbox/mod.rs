//! The outbox: how far each channel was told of the history, what is still to be sent to it, and what became of the rest.
//!
//! What happened is not stored: it is in the history, and is seen again when its turn comes. Stored is, for each channel,
//! a *cursor* on the first-parent line of the branch (up to there all that has to be sent is known) and the *jobs* that
//! are known and did not arrive yet. Both move in one record of a [`journal`](Ledger), so that a crash at any moment leaves
//! an earlier state; from it the same jobs follow again, with the same ids. So what is sent is sent at least once.
//!
//! It lies beside the index, in `greenroom/outbox/` of the git folder, readable by its owner only; one folder for each
//! branch. One process at a time writes, and holds the lock; whoever else wants something changed puts a request into
//! the folder ([`Outbox::ask`]).

mod journal;
mod ledger;
mod state;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use ledger::Ledger;
pub use state::{Cursor, Dead, Failing, Origin, Past, Pending, State, Suspended, delivery_id};

use crate::registry::{Place, Registry};

/// The longest name of a channel.
const MAX_NAME: usize = 100;

/// The largest request that is read, in bytes.
const MAX_ASK: u64 = 1 << 20;

/// Why the outbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The disk refused.
    #[error("could not {what} {}", .path.display())]
    Io {
        /// The verb.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The beginning of a file is not what was written, so that nobody can say how far its channel was told.
    #[error(
        "{} is damaged; move it away, and the channel goes on with what happens from then on; then send what it may \
         have missed with `greenroom webhook replay --from`", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A channel has a name that cannot be one of a file.
    #[error("{0} is no name of a channel")]
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

/// Held by the one process that delivers; freed when dropped, or when the process dies.
#[derive(Debug)]
pub struct Lead(#[expect(dead_code, reason = "the lock is held as long as the file is open")] File);

/// What is asked of the process that delivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Ask {
    /// Try dead letters once more, and let the channel go on if it was suspended.
    Revive {
        /// The channel; none for all of them.
        channel: Option<String>,
        /// Only these deliveries; empty for all.
        ids: Vec<String>,
    },
}

impl Outbox {
    /// The outbox of the branch of a registry.
    pub fn of(registry: &Registry) -> Self {
        let state_dir = registry.state_dir();
        Self { folder: folder_of_all(&state_dir).join(name_of(&registry.place())), state_dir }
    }

    /// Whether this is the outbox of a branch and folder.
    pub fn is_of(&self, place: &Place) -> bool {
        self.folder.file_name().is_some_and(|name| *name == *name_of(place))
    }

    /// The outboxes of other branches and folders of the repository.
    pub fn others(&self) -> Vec<Self> {
        let entries = fs::read_dir(folder_of_all(&self.state_dir)).into_iter().flatten().flatten();
        let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path());
        folders.filter(|f| *f != self.folder).map(|folder| Self { folder, state_dir: self.state_dir.clone() }).collect()
    }

    /// Gives all that is stored here to another outbox, which must be empty: the branch has another name now, or the
    /// registry another folder. False where a process delivers from it.
    pub fn hand_over(&self, to: &Self) -> Result<bool, OutboxError> {
        let Some(lead) = self.lead()? else { return Ok(false) };
        let failed = |e| OutboxError::io("move", &self.folder, e);
        // What may be there is the folder that a request made; a request is kept by its process until it is asked for.
        match fs::rename(&self.folder, &to.folder) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => return Ok(false),
            Err(e) => return Err(failed(e)),
        }
        drop(lead);
        journal::sync_folder(&folder_of_all(&self.state_dir)).map_err(failed)?;
        Ok(true)
    }

    /// Makes the folder where it is not there, for its owner only.
    pub fn prepare(&self) -> Result<(), OutboxError> {
        let all = folder_of_all(&self.state_dir);
        crate::shared::create_dir_all(&self.state_dir).map_err(|e| OutboxError::io("create", &self.state_dir, e))?;
        for folder in [&all, &self.folder, &self.asks()] {
            make_private(folder).map_err(|e| OutboxError::io("create", folder, e))?;
        }
        Ok(())
    }

    /// Becomes the one that delivers; none if another process is.
    pub fn lead(&self) -> Result<Option<Lead>, OutboxError> {
        let path = self.folder.join("lock");
        let failed = |e| OutboxError::io("lock", &path, e);
        let file = private().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                self.tidy();
                Ok(Some(Lead(file)))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    /// Removes what a process left half written that was killed. Only who leads writes journals.
    fn tidy(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries.filter(|e| e.file_name().as_encoded_bytes().starts_with(b".new-")) {
            // What stays harms nobody.
            let _ = fs::remove_file(entry.path());
        }
    }

    /// The channels that something is stored of, sorted.
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

    /// What is stored of a channel, without the lock: the state of a moment ago. None where nothing is.
    pub fn look(&self, channel: &str) -> Result<Option<State>, OutboxError> {
        ledger::look(&self.path(channel)?)
    }

    /// Opens what is stored of a channel to go on with it; none where nothing is. Needs the lock.
    pub fn open(&self, channel: &str, _: &Lead) -> Result<Option<Ledger>, OutboxError> {
        Ledger::open(&self.path(channel)?)
    }

    /// Begins with a channel whose cursor stands here, durably. Needs the lock.
    pub fn begin(&self, channel: &str, cursor: Cursor, _: &Lead) -> Result<Ledger, OutboxError> {
        Ledger::begin(&self.path(channel)?, cursor)
    }

    /// Forgets a channel. Needs the lock.
    pub fn forget(&self, channel: &str, _: &Lead) -> Result<(), OutboxError> {
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

    /// Asks the process that delivers for something, durably, and wakes it. If none runs, the next one does it.
    pub fn ask(&self, ask: &Ask) -> Result<(), OutboxError> {
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

    /// Takes what was asked for since; what cannot be read is dropped. `act` is called before the request is removed.
    pub fn take_asks(&self, _: &Lead, mut act: impl FnMut(Ask) -> Result<(), OutboxError>) -> Result<(), OutboxError> {
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

    /// Whether something was asked for that is not done yet.
    pub fn is_asked(&self) -> bool {
        let shown = |e: fs::DirEntry| !e.file_name().as_encoded_bytes().starts_with(b".");
        fs::read_dir(self.asks()).is_ok_and(|entries| entries.flatten().any(shown))
    }
}

/// The name of the folder of a place's outbox.
fn name_of(place: &Place) -> String {
    let hash = Sha256::new().chain_update(&place.at).chain_update([0]).chain_update(&place.branch).finalize();
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

fn folder_of_all(state_dir: &Path) -> PathBuf {
    state_dir.join("outbox")
}

/// The file that is touched to wake who delivers. Little else happens in its folder, which is watched.
pub fn wake_file(state_dir: &Path) -> PathBuf {
    folder_of_all(state_dir).join("wake")
}

/// Wakes whoever delivers for the registries of a repository. Where nobody ever did, nothing is written; that it fails
/// does no harm, for who delivers looks by itself every few seconds.
pub fn wake(state_dir: &Path) {
    if folder_of_all(state_dir).is_dir() {
        let file = private().create(true).write(true).truncate(true).open(wake_file(state_dir));
        let _ = file.and_then(|mut f| f.write_all(b"wake\n"));
    }
}

/// How files of our own are opened: made for their owner only.
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
