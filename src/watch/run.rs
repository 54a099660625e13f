//! The watcher's thread: checks the branch, plans jobs, dispatches them to the sending threads, and records the
//! results.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::backoff::Backoff;
use super::channels::{ChannelStamp, ServedChannel, UnusableChannel};
use super::derived_step::StepReader;
use super::first_parent::FirstParentLine;
use super::judge::Judge;
use super::pool::Pool;
use super::reporter::{Message, MessageLevel};
use super::{Signal, Summary, WatchError, WatchOptions, WatchedBranch, notice, upstream};
use crate::outbox::{Cursor, Ledger, Outbox, SenderLock};
use crate::registry::{Registry, RegistryLocation};
use crate::tree::Oid;

/// The interval of checks without a trigger. It must be at most 10 s.
const TICK: Duration = Duration::from_secs(5);

/// The interval of checks whether the process that delivers is gone.
const STAND_BY: Duration = Duration::from_millis(500);

/// How long the watcher waits for running attempts when it is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// The wait after a branch moved. One check covers all commits of that time, and the committer gets the response before
/// the watcher uses the processor.
const SETTLE: Duration = Duration::from_millis(20);

/// The wait after an error that may be temporary.
const FAILED: Duration = Duration::from_secs(2);

/// The largest number of signals that are handled before the next check.
const AT_ONCE: usize = 1000;

/// The name under which the position of the last check is stored. The channels at that commit are known.
const LOOKED: &str = "_looked";

/// The message when the registry cannot be followed.
const LATER: &str = "the registry cannot be followed now; the watcher tries again";

/// The whole state of the watcher's thread.
pub(super) struct Runner<'o> {
    pub(super) home: &'o WatchedBranch,
    pub(super) options: &'o WatchOptions,
    pub(super) registry: Rc<Registry>,
    pub(super) outbox: Outbox,
    pub(super) lead: SenderLock,
    pub(super) served: BTreeMap<String, ServedChannel>,
    pub(super) line: FirstParentLine,
    pub(super) looked: Ledger,
    pub(super) judge: Judge,
    pub(super) reader: StepReader,
    pub(super) backoff: Backoff,
    pub(super) pool: Pool,
    /// The inputs from which the channels were made. `None` if they have to be made anew.
    pub(super) stamp: Option<ChannelStamp>,
    /// Channels that should be active but cannot be used.
    pub(super) unusable: Vec<UnusableChannel>,
    pub(super) summary: Summary,
    signals: &'o Receiver<Signal>,
    /// The newest commit when the registry's location was checked last.
    placed: Option<Oid>,
    /// The last error, so that it is not reported repeatedly.
    complaint: Option<String>,
}

/// How a run ended.
enum RunEnd {
    /// The run is complete.
    Done(Summary),
    /// The registry is at another location, where watching continues.
    Moved(RegistryLocation),
}

/// Watches until told to stop, or once. Follows the registry if it moves.
pub(super) fn run(
    mut home: WatchedBranch,
    options: &WatchOptions,
    own: &Sender<Signal>,
    signals: &Receiver<Signal>,
) -> Result<Summary, WatchError> {
    loop {
        match run_at(&home, options, own.clone(), signals)? {
            RunEnd::Done(summary) => return Ok(summary),
            RunEnd::Moved(place) => {
                let text = "the registry has moved, and the watcher follows it";
                let message =
                    Message::new(MessageLevel::Info, text).with("branch", &place.branch).with("folder", &place.at);
                (options.reporter)(&message);
                home = WatchedBranch { branch: place.branch, at: place.at, ..home };
            }
        }
    }
}

fn run_at(
    home: &WatchedBranch,
    options: &WatchOptions,
    own: Sender<Signal>,
    signals: &Receiver<Signal>,
) -> Result<RunEnd, WatchError> {
    let registry = home.open()?;
    let outbox = Outbox::of(&registry);
    take_over(&registry, &outbox, options)?;
    outbox.prepare()?;
    let Some(lead) = stand_by(&outbox, options, signals)? else {
        return Ok(RunEnd::Done(Summary { elsewhere: options.once, ..Summary::default() }));
    };
    let woken = own.clone();
    let wake = move || drop(woken.send(Signal::Look));
    let hears = options.notices && !options.once;
    let notices = if hears { begin_notices(&registry, options, wake) } else { None };
    let upstream = options.fetch.map(|every| upstream::start(home, every, options, own.clone())).transpose()?;
    let mut runner = Runner::new(home, options, registry, outbox, lead, own, signals)?;
    let ended = runner.work()?;
    let is_behind = upstream.as_ref().is_some_and(|upstream| upstream.is_behind);
    drop((notices, upstream));
    Ok(match ended {
        RunEnd::Done(summary) => RunEnd::Done(Summary { is_behind, ..summary }),
        RunEnd::Moved(place) => RunEnd::Moved(place),
    })
}

/// If there is no state for this location yet, takes over the state of a former location of the same history. This is
/// the case when the branch was renamed, or the registry moved, while no process watched.
fn take_over(registry: &Registry, outbox: &Outbox, options: &WatchOptions) -> Result<(), WatchError> {
    let (None, Some(tip)) = (outbox.look(LOOKED)?, registry.head()?) else { return Ok(()) };
    let others = outbox.others();
    if others.is_empty() {
        return Ok(());
    }
    let references = registry.repo().reference_names()?;
    let branches = references.into_iter().filter(|name| name.starts_with("refs/heads/"));
    let branches: Vec<String> = branches.chain(["HEAD".to_owned()]).collect();
    let folders = registry.folders(tip)?;
    let is_in_use = |other: &Outbox| {
        let mut places = branches.iter().flat_map(|b| folders.iter().map(move |at| (b.clone(), at.clone())));
        places.any(|(branch, at)| other.is_of(&RegistryLocation { branch, at }))
    };
    for other in others.into_iter().filter(|other| !is_in_use(other)) {
        let Ok(Some(state)) = other.look(LOOKED) else { continue };
        let told = state.cursor().origin.commit;
        let goes_on = registry.repo().first_parents(tip)?.any(|step| step.is_ok_and(|s| s.commit == told));
        if goes_on && other.hand_over(outbox)? {
            let text = "continues with the state of deliveries from the registry's former location";
            (options.reporter)(&Message::new(MessageLevel::Info, text).with("commit", told.short()));
            break;
        }
    }
    Ok(())
}

fn begin_notices(
    registry: &Registry,
    options: &WatchOptions,
    wake: impl Fn() + Send + 'static,
) -> Option<notice::Notices> {
    match notice::start(registry.repo().common_dir(), &registry.state_dir(), wake) {
        Ok(notices) => Some(notices),
        Err(why) => {
            let text = "no notifications of the file system; the branch is checked every few seconds";
            (options.reporter)(&Message::new(MessageLevel::Warn, text).with("error", why));
            None
        }
    }
}

/// Waits for the lock of the outbox. `None` when told to stop before, or when a run is done once and another process
/// holds the lock.
fn stand_by(
    outbox: &Outbox,
    options: &WatchOptions,
    signals: &Receiver<Signal>,
) -> Result<Option<SenderLock>, WatchError> {
    let mut told = false;
    loop {
        if let Some(lead) = outbox.lead()? {
            return Ok(Some(lead));
        }
        if options.once {
            return Ok(None);
        }
        if !told {
            let text = "another process delivers for this registry; this process stands by";
            (options.reporter)(&Message::new(MessageLevel::Info, text));
            told = true;
        }
        match signals.recv_timeout(STAND_BY) {
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

impl<'o> Runner<'o> {
    fn new(
        home: &'o WatchedBranch,
        options: &'o WatchOptions,
        registry: Registry,
        outbox: Outbox,
        lead: SenderLock,
        own: Sender<Signal>,
        signals: &'o Receiver<Signal>,
    ) -> Result<Self, WatchError> {
        let registry = Rc::new(registry);
        let tip = registry.head()?.ok_or_else(|| no_commit(home))?;
        let looked = match outbox.open(LOOKED, &lead)? {
            Some(looked) => looked,
            None => {
                // On the first start, earlier events are not sent.
                let text = "first start for this registry: only events from now on are delivered";
                (options.reporter)(&Message::new(MessageLevel::Info, text).with("commit", tip.short()));
                outbox.begin(LOOKED, Cursor::after(tip), &lead)?
            }
        };
        let judge = Judge::open(&outbox, &lead, looked.state().cursor())?;
        let backoff = Backoff::of(registry.repo());
        let pool = Pool::new(home.clone(), Arc::clone(&options.clock), own, Arc::clone(&options.supervisor));
        Ok(Self {
            home,
            options,
            registry,
            outbox,
            lead,
            served: BTreeMap::new(),
            line: FirstParentLine::default(),
            looked,
            judge,
            reader: StepReader::default(),
            backoff,
            pool,
            stamp: None,
            unusable: Vec::new(),
            summary: Summary::default(),
            signals,
            placed: None,
            complaint: None,
        })
    }

    fn work(&mut self) -> Result<RunEnd, WatchError> {
        loop {
            let wait = match self.new_place() {
                Ok(Some(place)) => {
                    self.drain()?;
                    return Ok(RunEnd::Moved(place));
                }
                Ok(None) => {
                    let more = self.turn()?;
                    if self.options.once && !more && self.is_done() {
                        break;
                    }
                    if more { Duration::ZERO } else { self.wait() }
                }
                Err(e) if self.options.once => return Err(e),
                Err(e) => {
                    self.complain(LATER, &e);
                    FAILED
                }
            };
            if !self.listen(wait)? {
                break;
            }
        }
        self.drain()?;
        self.count();
        match self.unusable.pop() {
            // All other channels were served. The caller of this run learns that one was not.
            Some(unusable) if self.options.once => Err(unusable.error.into()),
            Some(_) | None => Ok(RunEnd::Done(self.summary)),
        }
    }

    /// Returns the registry's new location, if it has moved.
    fn new_place(&mut self) -> Result<Option<RegistryLocation>, WatchError> {
        let tip = self.registry.head()?;
        if tip.is_some() && tip == self.placed {
            return Ok(None);
        }
        let seen = self.looked.state().cursor().origin.commit;
        // The last seen commit may be gone, after a rewrite and git's garbage collection: then the location cannot be
        // found.
        if tip.is_some() && !self.registry.repo().has(&seen) {
            return Ok(None);
        }
        let place = self.registry.new_place(seen)?;
        self.placed = tip;
        Ok(place)
    }

    /// Checks the branch, plans some steps and dispatches jobs. Returns true if there is more to plan at once. An error
    /// that may be temporary is reported and retried; in a run that is done once, it ends the run.
    fn turn(&mut self) -> Result<bool, WatchError> {
        // An error in one part does not stop the others.
        let planned = self.look().and_then(|()| self.plan());
        let judged = self.judge_some();
        let sent = self.dispatch();
        let turned = planned.and_then(|more| Ok(more | judged?)).and_then(|more| sent.map(|()| more));
        match turned {
            Ok(more) => {
                self.complaint = None;
                self.count();
                Ok(more)
            }
            Err(e) if self.options.once => Err(e),
            Err(e) => {
                self.complain(LATER, &e);
                Ok(false)
            }
        }
    }

    /// Returns whether nothing is left that could be done now.
    fn is_done(&self) -> bool {
        let now = self.options.clock.elapsed();
        let due = |s: &ServedChannel| s.is_sending() && s.lanes.deadline().is_some_and(|d| d <= now);
        !self.judge.waits() && self.served.values().all(|s| s.lanes.busy() == 0 && !due(s))
    }

    /// Returns how long nothing has to be done.
    fn wait(&self) -> Duration {
        let now = self.options.clock.elapsed();
        if self.complaint.is_some() {
            return FAILED;
        }
        let full = self.served.values().map(|s| s.lanes.busy()).sum::<usize>() >= super::pool::THREADS;
        let deadlines = self.served.values().filter(|s| s.is_sending() && s.may_send() && !full);
        let soonest = deadlines.filter_map(|s| s.lanes.deadline()).chain(self.judge.deadline()).min();
        soonest.map_or(TICK, |d| d.saturating_sub(now).min(TICK))
    }

    /// Waits for signals and handles them. Returns false when told to stop.
    fn listen(&mut self, wait: Duration) -> Result<bool, WatchError> {
        if wait >= Duration::from_millis(50) {
            self.sync();
        }
        let first = match self.signals.recv_timeout(wait) {
            Ok(signal) => signal,
            Err(RecvTimeoutError::Timeout) => return Ok(true),
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        };
        if matches!(first, Signal::Look) {
            std::thread::sleep(SETTLE);
        }
        let mut goes_on = true;
        for signal in at_once(first, self.signals) {
            match signal {
                Signal::Stop => goes_on = false,
                Signal::Look => {}
                Signal::Attempted(attempt) => self.settle(attempt),
                Signal::Freed { channel, lane } => self.freed(&channel, &lane),
            }
        }
        Ok(goes_on)
    }

    /// Waits for running attempts, and flushes all records.
    fn drain(&mut self) -> Result<(), WatchError> {
        let end = self.options.clock.elapsed() + DRAIN;
        while self.served.values().any(|s| s.lanes.busy() > 0) {
            let left = end.saturating_sub(self.options.clock.elapsed());
            match self.signals.recv_timeout(left) {
                Ok(Signal::Attempted(attempt)) => self.settle(attempt),
                Ok(Signal::Freed { channel, lane }) => self.freed(&channel, &lane),
                Ok(Signal::Look | Signal::Stop) => {}
                Err(_) => break,
            }
        }
        for served in self.served.values_mut() {
            served.ledger.sync()?;
        }
        self.looked.sync()?;
        self.judge.sync()?;
        Ok(())
    }

    fn sync(&mut self) {
        let flushed = self.served.values_mut().try_for_each(|s| s.ledger.sync());
        if let Err(e) = flushed {
            self.complain("the outbox cannot be flushed", &e.into());
        }
    }

    /// Reports an error, unless it is the same as before.
    pub(super) fn complain(&mut self, what: &str, e: &WatchError) {
        let text = crate::text::with_causes(e);
        if self.complaint.as_ref() != Some(&text) {
            self.say(Message::new(MessageLevel::Error, what).because(e));
            self.complaint = Some(text);
        }
    }

    pub(super) fn say(&self, message: Message) {
        (self.options.reporter)(&message);
    }

    /// Updates the counters.
    fn count(&mut self) {
        let pending = self.served.values().map(|s| s.ledger.state().waiting()).sum();
        let first = |s: &ServedChannel| s.ledger.state().pending().next().map(|j| j.landed);
        let oldest = self.served.values().filter_map(first).min();
        let behind = |s: &ServedChannel| s.place.map_or(0, |p| self.line.after(p));
        let behind = self.served.values().map(behind).max().unwrap_or(0);
        self.options.counters.waiting(pending, oldest, behind);
        self.summary.pending = pending as u64;
        self.summary.suspended = self.served.values().filter(|s| !s.is_sending()).count() as u64;
    }

    /// Returns the newest commit.
    pub(super) fn tip(&self) -> Result<Oid, WatchError> {
        self.registry.head()?.ok_or_else(|| no_commit(self.home))
    }
}

/// Returns a signal and the signals that arrived meanwhile, so that one check covers them all. Signals beyond the limit
/// stay in the channel.
fn at_once(first: Signal, more: &Receiver<Signal>) -> Vec<Signal> {
    std::iter::once(first).chain(more.try_iter().take(AT_ONCE - 1)).collect()
}

fn no_commit(home: &WatchedBranch) -> WatchError {
    let why = "the branch has no commit".into();
    crate::git::GitError::Git { what: format!("follow {}", home.branch), source: why }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_signal_is_lost_however_many_come_at_once() {
        let (send, receive) = std::sync::mpsc::channel();
        let lanes: Vec<String> = (0..AT_ONCE * 5 / 2).map(|n| n.to_string()).collect();
        for lane in &lanes {
            send.send(Signal::Freed { channel: "x".to_owned(), lane: lane.clone() }).unwrap();
        }
        let mut taken = Vec::new();
        while let Ok(first) = receive.try_recv() {
            let some = at_once(first, &receive);
            assert!(some.len() <= AT_ONCE);
            taken.extend(some.into_iter().filter_map(|signal| match signal {
                Signal::Freed { lane, .. } => Some(lane),
                Signal::Look | Signal::Attempted(_) | Signal::Stop => None,
            }));
        }
        assert_eq!(taken, lanes);
    }
}
