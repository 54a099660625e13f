//! The threads that send. Each opens the repository itself. Threads are started on demand, up to a limit.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::clock::Clock;
use super::derived_step::{SUSPENDED, StepReader, StepSnapshots, job_of};
use super::{Signal, WatchError, WatchedBranch};
use crate::deliver::{AttemptOutcome, BatchOutcome, Channel, DeliveryJob, DueJob, Notification};
use crate::git::GitError;
use crate::outbox::PendingJob;
use crate::registry::{Registry, RegistryError};
use crate::supervisor::Supervisor;
use crate::tree::TreeError;

/// The largest number of sending threads for one repository.
pub(super) const THREADS: usize = 32;

/// How long an idle thread keeps the repository open.
const IDLE: Duration = Duration::from_secs(5);

/// The due jobs of a queue.
pub(super) struct Task {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) lane: String,
    pub(super) jobs: Vec<PendingJob>,
}

/// The result of an attempt: the jobs and the outcome.
pub(super) struct AttemptReport {
    pub(super) channel: String,
    pub(super) lane: String,
    pub(super) jobs: Vec<String>,
    pub(super) outcome: AttemptOutcome,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    /// Threads that take the next task: those that wait, and those that are about to.
    idle: usize,
    threads: usize,
    closed: bool,
    /// Increases when the repositories that threads have open are out of date.
    age: u64,
}

struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
    home: WatchedBranch,
    clock: Arc<dyn Clock>,
    signals: Sender<Signal>,
    supervisor: Arc<Supervisor>,
}

/// The threads of one repository. When this is dropped, they end after their current attempts.
pub(super) struct Pool(Arc<Shared>);

impl Pool {
    pub(super) fn new(
        home: WatchedBranch,
        clock: Arc<dyn Clock>,
        signals: Sender<Signal>,
        supervisor: Arc<Supervisor>,
    ) -> Self {
        Self(Arc::new(Shared { queue: Mutex::default(), more: Condvar::new(), home, clock, signals, supervisor }))
    }

    /// Gives a task to an idle thread, or to a new one.
    pub(super) fn submit(&self, task: Task) -> Result<(), WatchError> {
        let mut queue = self.0.lock();
        queue.tasks.push_back(task);
        if queue.idle >= queue.tasks.len() || queue.threads >= THREADS {
            self.0.more.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.0);
        let started = self.0.supervisor.spawn("send", move || work(&shared));
        match started {
            Ok(_) => {
                queue.threads += 1;
                queue.idle += 1;
            }
            // If other threads exist, they do the task.
            Err(e) if queue.threads == 0 => return Err(WatchError::Start(e)),
            Err(_) => {}
        }
        Ok(())
    }

    /// Makes the threads open the repository anew, because settings changed.
    pub(super) fn renew(&self) {
        self.0.lock().age += 1;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        queue.tasks.clear();
        drop(queue);
        self.0.more.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks this thread as idle after its task, before it reports that the queue is free, because that report may lead
    /// to the next task.
    fn is_idle(&self) {
        self.lock().idle += 1;
    }

    /// Returns the next task of an idle thread, and the current age of settings. `None` if there was no task for a
    /// while, and the thread shall end.
    fn next(&self) -> Option<(Task, u64)> {
        let mut queue = self.lock();
        loop {
            if let Some(task) = queue.tasks.pop_front() {
                queue.idle -= 1;
                return Some((task, queue.age));
            }
            if queue.closed {
                break;
            }
            let (back, waited) = self.more.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = back;
            if waited.timed_out() && queue.tasks.is_empty() {
                break;
            }
        }
        queue.idle -= 1;
        queue.threads -= 1;
        None
    }
}

fn work(shared: &Shared) {
    let mut open: Option<(Registry, StepReader, u64)> = None;
    while let Some((task, age)) = shared.next() {
        if open.as_ref().is_some_and(|(_, _, a)| *a != age) {
            open = None;
        }
        let (channel, lane) = (task.channel.name().to_owned(), task.lane.clone());
        let mut rest = task.jobs.as_slice();
        if let Err(e) = send_all(shared, &mut open, age, &task, &mut rest) {
            // The remaining jobs were not attempted: the repository could not be read.
            open = None;
            let why = format!("the registry cannot be read: {}", crate::text::with_causes(&e));
            let jobs = rest.first().map(|j| j.id.clone()).into_iter().collect();
            let outcome = AttemptOutcome::Retry { why, after: None };
            report(shared, AttemptReport { channel: channel.clone(), lane: lane.clone(), jobs, outcome });
        }
        shared.is_idle();
        let _ = shared.signals.send(Signal::Freed { channel, lane });
    }
}

fn report(shared: &Shared, attempt: AttemptReport) {
    // If the watcher is gone, the attempt does not count. The delivery is made again after the restart, with the same
    // id.
    let _ = shared.signals.send(Signal::Attempted(attempt));
}

/// Sends the jobs of a task one after the other, as long as they arrive, and leaves the jobs that were not tried in
/// `rest`. An error means that the registry could not be read before the first of these was sent.
fn send_all(
    shared: &Shared,
    open: &mut Option<(Registry, StepReader, u64)>,
    age: u64,
    task: &Task,
    rest: &mut &[PendingJob],
) -> Result<(), WatchError> {
    let (registry, reader, _) = match open {
        Some(open) => open,
        None => open.insert((shared.home.open()?, StepReader::default(), age)),
    };
    let tip = registry.head()?.map(|c| registry.repo().tree_of(&c)).transpose()?;
    let most = task.channel.most().max(1);
    while !rest.is_empty() {
        let gathered = gather(registry, reader, rest.get(..most.min(rest.len())).unwrap_or_default())?;
        let (taken, outcome) = match gathered {
            JobBatch::Gone(why) => (1, AttemptOutcome::Refused { why }),
            JobBatch::Past(why) => (1, AttemptOutcome::Delivered(why.to_owned())),
            JobBatch::Due(step, due) => {
                let around = StepSnapshots::of(registry, &step, tip)?;
                let sent = attempt(&*task.channel, &due, &around, &*shared.clock);
                (sent.taken.clamp(1, due.len()), sent.outcome)
            }
        };
        let goes_on = matches!(outcome, AttemptOutcome::Delivered(_) | AttemptOutcome::Refused { .. });
        let jobs = rest.iter().take(taken).map(|j| j.id.clone()).collect();
        let (channel, lane) = (task.channel.name().to_owned(), task.lane.clone());
        report(shared, AttemptReport { channel, lane, jobs, outcome });
        *rest = rest.get(taken..).unwrap_or_default();
        if !goes_on || shared.lock().closed {
            break;
        }
    }
    Ok(())
}

/// Jobs with their events.
enum JobBatch {
    /// The event of the first job can no longer be computed.
    Gone(String),
    /// The event of the first job is no longer true, so it is not sent.
    Past(&'static str),
    /// The first jobs, and the step of the first one.
    Due(std::rc::Rc<super::derived_step::DerivedStep>, Vec<(PendingJob, Notification)>),
}

fn gather(registry: &Registry, reader: &mut StepReader, jobs: &[PendingJob]) -> Result<JobBatch, WatchError> {
    let mut due = Vec::new();
    let mut first = None;
    for job in jobs {
        match reader.notification(registry, job) {
            Ok(Some((step, notification))) => {
                first.get_or_insert(step);
                due.push((job.clone(), notification));
            }
            Ok(None) if due.is_empty() && job.event == SUSPENDED => {
                return Ok(JobBatch::Past("not sent: the webhook was resumed meanwhile"));
            }
            Ok(None) if due.is_empty() => return Ok(JobBatch::Gone("it is no longer in the history".to_owned())),
            Err(e) if due.is_empty() && is_missing(&e) => {
                return Ok(JobBatch::Gone(format!("its commit no longer exists: {}", crate::text::with_causes(&e))));
            }
            Err(e) if due.is_empty() => return Err(e),
            // The jobs before this one can be sent. This one follows as the first of the next attempt.
            Ok(None) | Err(_) => break,
        }
    }
    match first {
        Some(step) => Ok(JobBatch::Due(step, due)),
        None => Ok(JobBatch::Gone("there is nothing to be sent".to_owned())),
    }
}

/// Returns whether objects are gone for good, as after a rewrite and git's garbage collection.
fn is_missing(e: &WatchError) -> bool {
    let tree = match e {
        WatchError::Git(GitError::Object(e)) | WatchError::Tree(e) => e,
        WatchError::Registry(RegistryError::Git(GitError::Object(e)) | RegistryError::Tree(e)) => e,
        _ => return false,
    };
    matches!(tree, TreeError::Missing(_))
}

/// Makes one attempt. If the channel panics, the attempt counts as failed, and other channels are not affected.
fn attempt(
    channel: &dyn Channel,
    jobs: &[(PendingJob, Notification)],
    around: &StepSnapshots<'_>,
    clock: &dyn Clock,
) -> BatchOutcome {
    let asked: Vec<DeliveryJob> = jobs.iter().map(|(pending, _)| job_of(pending)).collect();
    let due: Vec<DueJob<'_>> = jobs
        .iter()
        .zip(&asked)
        .map(|((pending, notification), job)| DueJob { id: &pending.id, notification, job, attempt: pending.attempts })
        .collect();
    let moment = around.moment(clock.now());
    catch_unwind(AssertUnwindSafe(|| channel.send(&due, &moment))).unwrap_or_else(|_| BatchOutcome {
        taken: 1,
        outcome: AttemptOutcome::Retry { why: "the channel panicked (a bug)".to_owned(), after: None },
    })
}
