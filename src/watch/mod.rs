//! The watcher: follows what lands in a repository, however it came there, and sees to it that everybody is told.
//!
//! It keeps up with the branch by looks at its tip: a notice of the file system, the post-receive hook and a tick every few
//! seconds are only reasons to look. What lies between the [cursor](crate::outbox::Cursor) of a channel and the tip becomes
//! jobs, and threads send these; each lane of a channel stays in order, and no lane waits for another. A step that no gate
//! has seen is judged, too (`judge`).
//!
//! One process delivers for a branch at a time; another one stands by and takes over. What was sent and not yet noted
//! when a process is killed is sent again with the same id.

mod backoff;
mod channels;
mod clock;
mod derive;
mod judge;
mod lanes;
mod line;
mod notice;
mod plan;
mod pool;
mod replay;
mod run;
mod settle;
mod tell;
mod upstream;
mod vouched;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

pub use backoff::SCALE;
pub use clock::{Clock, System};
pub use replay::{Failure, Replay, Replayed, replay};
pub use tell::{Counters, Counts, Level, Message, Tell};
pub use vouched::Vouched;

use crate::deliver::{Channel, DeliverError};
use crate::gate::GateError;
use crate::git::{GitError, Repo};
use crate::outbox::OutboxError;
use crate::pushes::PushesError;
use crate::registry::{Registry, RegistryError};
use crate::snapshot::Snapshot;
use crate::supervisor::Supervisor;
use crate::tree::TreeError;

/// How the channels of a registry are made.
pub type Source = Arc<dyn Fn(&Registry, &Snapshot<'_>) -> Result<Vec<Box<dyn Channel>>, DeliverError> + Send + Sync>;

/// Which branch of which repository is watched.
#[derive(Debug, Clone)]
pub struct Home {
    /// The folder of git.
    pub git_dir: PathBuf,
    /// The registry's folder in the repository: empty, or ending in a slash.
    pub at: String,
    /// The branch, in full.
    pub branch: String,
}

impl Home {
    /// Where a registry lies.
    pub fn of(registry: &Registry) -> Self {
        Self {
            git_dir: registry.repo().git_dir().to_owned(),
            at: registry.at().to_owned(),
            branch: registry.branch().to_owned(),
        }
    }

    /// Opens it, for one thread. Little is kept in memory.
    fn open(&self) -> Result<Registry, WatchError> {
        Ok(Registry::with(Repo::open_beside(&self.git_dir)?, &self.at)?.following(&self.branch))
    }
}

/// How to watch.
#[derive(Clone)]
pub struct Options {
    /// Deliver what is due, and end.
    pub once: bool,
    /// Get what is new upstream so often.
    pub fetch: Option<Duration>,
    /// Hear notices of the file system; without them the branch is looked at every few seconds.
    pub notices: bool,
    /// How the channels are made.
    pub source: Source,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who hears what there is to say.
    pub tell: Tell,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// What this process judges itself before it lands it.
    pub vouched: Arc<Vouched>,
    /// Who hears of a thread that panics.
    pub supervisor: Arc<Supervisor>,
}

impl Options {
    /// Watch until told to stop, with the channels that the registry names.
    pub fn new(tell: Tell) -> Self {
        Self {
            once: false,
            fetch: None,
            notices: true,
            source: Arc::new(crate::deliver::channels),
            clock: Arc::new(System::default()),
            tell,
            counters: Arc::default(),
            vouched: Arc::default(),
            supervisor: Arc::default(),
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries that are no longer tried.
    pub dead: u64,
    /// Deliveries that wait for another time.
    pub pending: u64,
    /// Channels to which nothing is sent.
    pub suspended: u64,
    /// Whether another process delivers, so that nothing was done here.
    pub elsewhere: bool,
}

/// Why nothing can be delivered, or not now.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The registry cannot be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Git's side failed.
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
    /// The system gives no thread.
    #[error("no thread can be started")]
    Start(#[source] std::io::Error),
    /// There is no such channel.
    #[error("there is no channel {0}")]
    NoChannel(String),
    /// The thread that watched is gone.
    #[error("the watcher failed inside (a bug)")]
    Panicked,
}

/// Something for the thread that watches.
enum Signal {
    /// Something may have happened.
    Look,
    /// An attempt was made.
    Attempted(pool::Attempt),
    /// A lane is no longer worked on.
    Freed { channel: String, lane: String },
    /// End, when what is being sent is sent.
    Stop,
}

/// A watcher that runs on a thread of its own.
pub struct Watcher {
    signals: Sender<Signal>,
    thread: JoinHandle<Option<Result<Summary, WatchError>>>,
}

impl Watcher {
    /// Starts to watch.
    pub fn start(home: Home, options: Options) -> Result<Self, WatchError> {
        let (signals, receive) = channel();
        let own = signals.clone();
        let supervisor = Arc::clone(&options.supervisor);
        let run = move || {
            let ended = run::run(home, &options, &own, &receive);
            if let (Err(e), false) = (&ended, options.once) {
                (options.tell)(&Message::new(Level::Error, "nothing is delivered any more").because(e));
            }
            ended
        };
        let thread = supervisor.spawn("watch", run).map_err(WatchError::Start)?;
        Ok(Self { signals, thread })
    }

    /// Makes it look now.
    pub fn wake(&self) {
        let _ = self.signals.send(Signal::Look);
    }

    /// Tells it to stop; it ends when what is being sent is sent.
    pub fn stop(&self) {
        let _ = self.signals.send(Signal::Stop);
    }

    /// A hand that stops it from elsewhere.
    pub fn stopper(&self) -> impl Fn() + Send + use<> {
        let signals = self.signals.clone();
        move || {
            let _ = signals.send(Signal::Stop);
        }
    }

    /// Waits for its end.
    pub fn join(self) -> Result<Summary, WatchError> {
        self.thread.join().ok().flatten().unwrap_or(Err(WatchError::Panicked))
    }
}
