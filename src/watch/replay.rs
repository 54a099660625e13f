//! Sends the events of a part of the history again: in the foreground, with the original ids, in order, as fast as the
//! receiver accepts them. Nothing is recorded in the outbox.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use super::backoff::Backoff;
use super::derived_step::{StepReader, StepSnapshots, job_of, jobs};
use super::first_parent::FirstParentLine;
use super::{WatchError, WatchOptions, WatchedBranch};
use crate::deliver::{AttemptOutcome, Channel, DueJob, Notification, NotificationKind};
use crate::index;
use crate::name::ModelName;
use crate::outbox::{EventOrigin, PendingJob};
use crate::registry::Registry;
use crate::tree::Oid;

/// The number of sending threads.
const THREADS: usize = 8;

/// The number of jobs that wait for each thread.
const AHEAD: usize = 64;

/// The waits between the attempts of a job, multiplied by the retry scale.
const TRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// The longest wait that a receiver can ask for.
const MAX_ASKED: Duration = Duration::from_secs(60);

/// The events that are sent again.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Events after this commit. `None` for all events.
    pub after: Option<Oid>,
    /// Events up to this commit. `None` for the newest.
    pub until: Option<Oid>,
    /// Deliveries to this channel only.
    pub channel: Option<String>,
    /// Events of this name only. `*` stands for any text.
    pub event: Option<String>,
    /// Events of this model only.
    pub model: Option<ModelName>,
    /// Send nothing and report the deliveries that would be made.
    pub dry_run: bool,
}

/// One delivery of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The name of the channel.
    pub channel: String,
    /// The delivery, with its id.
    pub job: PendingJob,
    /// The result. `None` if nothing was sent.
    pub outcome: Option<Result<String, Failure>>,
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The attempts failed, with this reason.
    Tried(String),
    /// The delivery was not tried, because an earlier one of the same queue failed.
    Behind,
}

/// A delivery on its way to a thread.
struct ReplayTask {
    channel: Arc<dyn Channel>,
    job: PendingJob,
    notification: Notification,
    roots: (Option<Oid>, Option<Oid>),
}

/// Replays events. `hear` receives the result of each delivery, in order within each queue.
///
/// # Errors
///
/// [`WatchError::NoChannel`] when the named channel does not exist, and other [`WatchError`]s when the registry cannot
/// be read or a thread cannot be started.
pub fn replay(
    home: &WatchedBranch,
    options: &WatchOptions,
    wanted: &Replay,
    hear: &mut dyn FnMut(Replayed),
) -> Result<(), WatchError> {
    let registry = home.open()?;
    let Some(tip) = registry.head()? else { return Ok(()) };
    let state = registry.snapshot_of(Some(tip))?;
    let made = (options.source)(&registry, &state)?;
    let channels: Vec<Arc<dyn Channel>> =
        made.into_iter().filter(|c| wanted.channel.as_ref().is_none_or(|w| w == c.name())).map(Arc::from).collect();
    if let Some(name) = wanted.channel.as_ref().filter(|_| channels.is_empty()) {
        return Err(WatchError::NoChannel(crate::text::quoted(name)));
    }
    let steps = steps(&registry, wanted, tip)?;
    let (results, heard) = channel();
    thread::scope(|scope| {
        let threads = if wanted.dry_run { 0 } else { THREADS };
        let mut senders = Vec::new();
        for _ in 0..threads {
            let (send, receive) = sync_channel(AHEAD);
            let results = results.clone();
            scope.spawn(move || work(home, options, &receive, &results));
            senders.push(send);
        }
        drop(results);
        let fed = feed(&registry, options, wanted, (&channels, &steps, tip), &senders, &heard, hear);
        drop(senders);
        heard.iter().for_each(hear);
        fed
    })
}

/// Returns the commits whose events are replayed, oldest first.
fn steps(registry: &Registry, wanted: &Replay, tip: Oid) -> Result<Vec<Oid>, WatchError> {
    let until = wanted.until.unwrap_or(tip);
    let line = FirstParentLine::read(registry.repo(), until, &wanted.after.into_iter().collect())?;
    let first = match wanted.after {
        Some(after) => line.place(&after).map(|p| p + 1).ok_or_else(|| crate::git::GitError::UnknownRevision {
            rev: format!("{after} (before {until})"),
            source: None,
        })?,
        None => return Ok(whole(registry, until)?),
    };
    Ok((first..).map_while(|place| line.at(place)).collect())
}

/// Returns the whole first-parent history up to a commit, oldest first.
fn whole(registry: &Registry, until: Oid) -> Result<Vec<Oid>, crate::git::GitError> {
    let commits = registry.repo().first_parents(until)?.map(|step| step.map(|s| s.commit));
    let mut all = commits.collect::<Result<Vec<_>, _>>()?;
    all.reverse();
    Ok(all)
}

/// The channels, the steps and the newest commit of a replay.
type Plan<'p> = (&'p [Arc<dyn Channel>], &'p [Oid], Oid);

fn feed(
    registry: &Registry,
    options: &WatchOptions,
    wanted: &Replay,
    (channels, steps, tip): Plan<'_>,
    senders: &[SyncSender<ReplayTask>],
    heard: &Receiver<Replayed>,
    hear: &mut dyn FnMut(Replayed),
) -> Result<(), WatchError> {
    let root = Some(registry.repo().tree_of(&tip)?);
    let mut reader = StepReader::default();
    for commit in steps {
        let origin = EventOrigin { commit: *commit, before: None };
        let step = reader.derive(registry, origin)?;
        let around = StepSnapshots::of(registry, &step, root)?;
        let moment = around.moment(options.clock.now());
        for notification in step.happenings.iter().filter(|h| is_wanted(h, wanted)) {
            for channel in channels {
                for job in jobs(&**channel, notification, origin, &moment)? {
                    let Some(sender) = senders.get(hand(channel.name(), &job.lane, senders.len())) else {
                        hear(Replayed { channel: channel.name().to_owned(), job, outcome: None });
                        continue;
                    };
                    let (channel, notification) = (Arc::clone(channel), notification.clone());
                    // A thread that ended has reported the reason.
                    let _ = sender.send(ReplayTask { channel, job, notification, roots: step.roots() });
                }
            }
        }
        heard.try_iter().for_each(&mut *hear);
    }
    Ok(())
}

fn is_wanted(notification: &Notification, wanted: &Replay) -> bool {
    let named = wanted.event.as_ref().is_none_or(|p| index::matches(p, notification.what.name()));
    let model = match &notification.what {
        NotificationKind::Event(event) => event.model(),
        NotificationKind::RuleViolated { .. }
        | NotificationKind::HistoryRewritten { .. }
        | NotificationKind::WebhookSuspended { .. } => None,
    };
    named && wanted.model.as_ref().is_none_or(|m| model == Some(m))
}

/// Returns the thread of a queue: always the same one, so that the queue stays in order.
fn hand(channel: &str, lane: &str, threads: usize) -> usize {
    let sum = crc32fast::hash(format!("{channel} {lane}").as_bytes());
    usize::try_from(sum).unwrap_or(0).checked_rem(threads).unwrap_or(0)
}

fn work(home: &WatchedBranch, options: &WatchOptions, parcels: &Receiver<ReplayTask>, results: &Sender<Replayed>) {
    let opened = home.open().and_then(|r| {
        let tip = r.head()?.map(|c| r.repo().tree_of(&c)).transpose()?;
        let backoff = Backoff::of(r.repo());
        Ok((r, tip, backoff))
    });
    let mut behind: HashSet<(String, String)> = HashSet::new();
    for parcel in parcels {
        let lane = (parcel.channel.name().to_owned(), parcel.job.lane.clone());
        let outcome = match &opened {
            Err(e) => Err(Failure::Tried(crate::text::with_causes(e))),
            Ok(_) if behind.contains(&lane) => Err(Failure::Behind),
            Ok((registry, tip, backoff)) => send(registry, *tip, *backoff, options, &parcel),
        };
        if matches!(&outcome, Err(Failure::Tried(_))) {
            behind.insert(lane.clone());
        }
        let _ = results.send(Replayed { channel: lane.0, job: parcel.job, outcome: Some(outcome) });
    }
}

fn send(
    registry: &Registry,
    tip: Option<Oid>,
    backoff: Backoff,
    options: &WatchOptions,
    parcel: &ReplayTask,
) -> Result<String, Failure> {
    let failed = |e: WatchError| Failure::Tried(crate::text::with_causes(&e));
    let around = StepSnapshots::between(registry, parcel.roots, tip).map_err(failed)?;
    let job = job_of(&parcel.job);
    let mut waits = TRIES.iter();
    for attempt in 0.. {
        let due = DueJob { id: &parcel.job.id, notification: &parcel.notification, job: &job, attempt };
        let sent = parcel.channel.send(&[due], &around.moment(options.clock.now()));
        let (why, after) = match sent.outcome {
            AttemptOutcome::Delivered(said) => return Ok(said),
            AttemptOutcome::Refused { why } | AttemptOutcome::Gone { why } => return Err(Failure::Tried(why)),
            AttemptOutcome::Retry { why, after } => (why, after),
            AttemptOutcome::Deferred { why } => (why, None),
        };
        let Some(wait) = waits.next() else { return Err(Failure::Tried(why)) };
        thread::sleep(backoff.scale(*wait).max(after.unwrap_or_default().min(MAX_ASKED)));
    }
    Err(Failure::Behind)
}
