//! The watcher: follows all commits of a branch, however they came there, and delivers their events to all channels.
//!
//! The watcher checks the tip of the branch. A notification of the file system, the post-receive hook and a timer of a
//! few seconds only trigger a check. The steps between the [cursor](crate::outbox::Cursor) of a channel and the tip
//! become jobs, and threads send these. Each queue of a channel stays in order, and no queue waits for another. A step
//! that no gate has judged is judged, too (`judge`).
//!
//! One process delivers for a branch at a time; another process stands by and takes over. If a process is killed after
//! sending and before recording it, the delivery is made again with the same id.

mod backoff;
mod channels;
mod clock;
mod derived_step;
mod dispatch;
mod first_parent;
mod judge;
mod judged_commits;
mod notice;
mod plan;
mod pool;
mod queues;
mod replay;
mod reporter;
mod run;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

pub use backoff::SCALE;
pub use clock::{Clock, System};
pub use judged_commits::JudgedCommits;
pub use replay::{Failure, Replay, Replayed, replay};
pub use reporter::{Counters, Counts, Message, MessageLevel, Reporter};

use crate::deliver::{Channel, DeliverError};
use crate::gate::GateError;
use crate::git::{GitError, Repo};
use crate::outbox::OutboxError;
use crate::pushes::PushesError;
use crate::registry::{Registry, RegistryError};
use crate::snapshot::Snapshot;
use crate::supervisor::Supervisor;
use crate::tree::TreeError;

/// A function that makes the channels of a registry.
pub type ChannelSource =
    Arc<dyn Fn(&Registry, &Snapshot<'_>) -> Result<Vec<Box<dyn Channel>>, DeliverError> + Send + Sync>;

/// The branch and repository that are watched.
#[derive(Debug, Clone)]
pub struct WatchedBranch {
    /// The git directory.
    pub git_dir: PathBuf,
    /// The registry's folder in the repository: empty, or ending in a slash.
    pub at: String,
    /// The branch as a full ref name.
    pub branch: String,
}

impl WatchedBranch {
    /// Returns the location of a registry.
    pub fn of(registry: &Registry) -> Self {
        Self {
            git_dir: registry.repo().git_dir().to_owned(),
            at: registry.at().to_owned(),
            branch: registry.branch().to_owned(),
        }
    }

    /// Opens the registry for one thread. Little is kept in memory.
    fn open(&self) -> Result<Registry, WatchError> {
        Ok(Registry::with(Repo::open_beside(&self.git_dir)?, &self.at)?.following(&self.branch))
    }
}

/// The options of a watcher.
#[derive(Clone)]
pub struct WatchOptions {
    /// Deliver due jobs once, then end.
    pub once: bool,
    /// Fetch from upstream at this interval. `None` fetches never.
    pub fetch: Option<Duration>,
    /// Use notifications of the file system. Without them, the branch is checked every few seconds.
    pub notices: bool,
    /// Makes the channels.
    pub source: ChannelSource,
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// Receives the watcher's messages.
    pub reporter: Reporter,
    /// The counters of the watcher.
    pub counters: Arc<Counters>,
    /// Commits that this process has judged itself before it put them on the branch.
    pub judged_commits: Arc<JudgedCommits>,
    /// Handles the panic of a thread.
    pub supervisor: Arc<Supervisor>,
}

impl WatchOptions {
    /// Returns the options of a watcher that runs until it is stopped, with the channels that the registry configures.
    pub fn new(reporter: Reporter) -> Self {
        Self {
            once: false,
            fetch: None,
            notices: true,
            source: Arc::new(crate::deliver::channels),
            clock: Arc::new(System::default()),
            reporter,
            counters: Arc::default(),
            judged_commits: Arc::default(),
            supervisor: Arc::default(),
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries that became dead letters.
    pub dead: u64,
    /// Pending deliveries.
    pub pending: u64,
    /// Suspended channels.
    pub suspended: u64,
    /// Whether another process delivers, so that this run did nothing.
    pub elsewhere: bool,
    /// Whether new commits of the remote could not be fetched, so that this run may have missed some.
    pub is_behind: bool,
}

/// Why nothing can be delivered, for good or for now.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The registry cannot be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A git operation failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// An object cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A step cannot be judged.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The record of pushes cannot be read.
    #[error(transparent)]
    Pushes(#[from] PushesError),
    /// The outbox cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The channels cannot be made.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// The operating system cannot start a thread.
    #[error("no thread can be started")]
    Start(#[source] std::io::Error),
    /// The channel does not exist.
    #[error("there is no channel {0}")]
    NoChannel(String),
    /// The watcher's thread panicked.
    #[error("the watcher's thread panicked (a bug)")]
    Panicked,
}

/// A signal for the watcher's thread.
enum Signal {
    /// Check the branch, because it may have changed.
    Look,
    /// An attempt was made.
    Attempted(pool::AttemptReport),
    /// A queue is no longer being processed.
    Freed { channel: String, lane: String },
    /// Stop after the attempts that are running.
    Stop,
}

/// A watcher that runs on its own thread.
pub struct Watcher {
    signals: Sender<Signal>,
    thread: JoinHandle<Option<Result<Summary, WatchError>>>,
}

impl Watcher {
    /// Starts a watcher.
    ///
    /// # Errors
    ///
    /// [`WatchError::Start`] when the thread cannot be started.
    pub fn start(home: WatchedBranch, options: WatchOptions) -> Result<Self, WatchError> {
        let (signals, receive) = channel();
        let own = signals.clone();
        let supervisor = Arc::clone(&options.supervisor);
        let run = move || {
            let ended = run::run(home, &options, &own, &receive);
            if let (Err(e), false) = (&ended, options.once) {
                (options.reporter)(&Message::new(MessageLevel::Error, "nothing is delivered any more").because(e));
            }
            ended
        };
        let thread = supervisor.spawn("watch", run).map_err(WatchError::Start)?;
        Ok(Self { signals, thread })
    }

    /// Makes the watcher check the branch now.
    pub fn wake(&self) {
        let _ = self.signals.send(Signal::Look);
    }

    /// Tells the watcher to stop. It ends after the attempts that are running.
    pub fn stop(&self) {
        let _ = self.signals.send(Signal::Stop);
    }

    /// Returns a function that stops the watcher, for example from a signal handler.
    pub fn stopper(&self) -> impl Fn() + Send + use<> {
        let signals = self.signals.clone();
        move || {
            let _ = signals.send(Signal::Stop);
        }
    }

    /// Waits for the end of the watcher.
    ///
    /// # Errors
    ///
    /// The error that ended the watcher, or [`WatchError::Panicked`].
    pub fn join(self) -> Result<Summary, WatchError> {
        self.thread.join().ok().flatten().unwrap_or(Err(WatchError::Panicked))
    }
}
