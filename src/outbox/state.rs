//! The state of one channel, computed from its records.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;
use crate::tree::Oid;

/// The number of past deliveries that are kept.
const RECENT: usize = 200;

/// The number of dead letters that are kept. The oldest are dropped first.
const MAX_DEAD: usize = 10_000;

/// The origin of an event: a commit compared with its first parent, or with another commit after the history was
/// rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventOrigin {
    /// The commit.
    #[serde(with = "hex")]
    pub commit: Oid,
    /// The commit before a rewrite that the commit is compared with. `None` for the first parent.
    #[serde(with = "hex_or_none", default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Oid>,
}

/// How far a channel has processed the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The step at which the cursor stands.
    #[serde(flatten)]
    pub origin: EventOrigin,
    /// The number of the first event of the step that is not processed. `None` if the whole step is processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

impl Cursor {
    /// Returns the cursor right after a commit.
    pub const fn after(commit: Oid) -> Self {
        Self { origin: EventOrigin { commit, before: None }, next: None }
    }
}

/// A delivery that has not arrived yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingJob {
    /// The id of the delivery.
    pub id: String,
    /// The queue of the delivery. Deliveries of one queue stay in order.
    pub lane: String,
    /// The key that tells the delivery from others of the same event.
    pub key: String,
    /// The origin of the event.
    #[serde(flatten)]
    pub origin: EventOrigin,
    /// The number of the event within its origin.
    pub ordinal: u32,
    /// The dotted name of the event.
    pub event: String,
    /// When the event reached the branch, in milliseconds since the epoch.
    pub landed: i64,
    /// The earliest time to send the delivery, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// The number of attempts so far.
    #[serde(default)]
    pub attempts: u32,
    /// The time of the next attempt by the wall clock, in milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// The wait between the last attempt and the next one, in milliseconds. The delivery waits no longer than this,
    /// even if the wall clock changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
    /// The error of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A dead letter: a delivery that is no longer retried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadJob {
    /// The delivery, with its last error.
    #[serde(flatten)]
    pub job: PendingJob,
    /// When it became a dead letter, in milliseconds since the epoch.
    pub died: i64,
}

/// A delivery that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The delivery.
    #[serde(flatten)]
    pub job: PendingJob,
    /// When it arrived, in milliseconds since the epoch.
    pub at: i64,
    /// The report of the channel about it.
    pub said: String,
}

/// Why nothing is sent to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspensionReason {
    /// The reason.
    pub why: String,
    /// When the channel was suspended, in milliseconds since the epoch.
    pub at: i64,
    /// The channel's settings at that time. The channel resumes when they change.
    pub settings: String,
}

/// A series of failed attempts with no delivery in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// When the first of them failed, in milliseconds since the epoch.
    pub since: i64,
    /// The number of failed attempts.
    pub attempts: u32,
}

/// A change of the state of a channel: a line of its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub(super) enum JournalRecord {
    /// The whole state: the first line.
    Whole {
        version: u32,
        cursor: Cursor,
        pending: Vec<PendingJob>,
        dead: Vec<DeadJob>,
        recent: Vec<Past>,
        suspended: Option<SuspensionReason>,
        delivered: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failing: Option<Failing>,
    },
    /// The cursor moved, and these jobs were planned.
    Planned { cursor: Cursor, jobs: Vec<PendingJob> },
    /// A job was delivered.
    Delivered { id: String, at: i64, said: String },
    /// An attempt failed and the job is retried. `deferred` means that the cause was the job's own and the channel
    /// works.
    Failed {
        id: String,
        next: i64,
        wait: u64,
        why: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        deferred: bool,
    },
    /// A job became a dead letter.
    Died { id: String, at: i64, why: String },
    /// The channel was suspended.
    Suspended { suspended: SuspensionReason },
    /// The channel was resumed.
    Resumed,
    /// A dead letter was queued again.
    Revived { id: String },
}

/// The version of the record format.
pub(super) const VERSION: u32 = 1;

/// The state of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelState {
    cursor: Cursor,
    /// Pending jobs by number, in the order in which they were planned.
    pending: BTreeMap<u64, PendingJob>,
    numbers: HashMap<String, u64>,
    lanes: BTreeMap<String, VecDeque<u64>>,
    next_number: u64,
    dead: VecDeque<DeadJob>,
    recent: VecDeque<Past>,
    suspended: Option<SuspensionReason>,
    delivered: u64,
    failing: Option<Failing>,
}

impl ChannelState {
    pub(super) fn at(cursor: Cursor) -> Self {
        Self {
            cursor,
            pending: BTreeMap::new(),
            numbers: HashMap::new(),
            lanes: BTreeMap::new(),
            next_number: 0,
            dead: VecDeque::new(),
            recent: VecDeque::new(),
            suspended: None,
            delivered: 0,
            failing: None,
        }
    }

    /// Returns how far the channel has processed the history.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns the pending jobs, in the order of the history.
    pub fn pending(&self) -> impl Iterator<Item = &PendingJob> {
        self.pending.values()
    }

    /// Returns the number of pending jobs.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Returns the queues that have jobs.
    pub fn lanes(&self) -> impl Iterator<Item = &str> {
        self.lanes.keys().map(String::as_str)
    }

    /// Returns the jobs of a queue, oldest first.
    pub fn lane<'s>(&'s self, lane: &str) -> impl Iterator<Item = &'s PendingJob> + use<'s> {
        let numbers = self.lanes.get(lane).into_iter().flatten();
        numbers.filter_map(|n| self.pending.get(n))
    }

    /// Returns whether a delivery arrived since a time (milliseconds since the epoch), among the deliveries that are
    /// kept.
    pub fn arrived_since(&self, time: i64) -> bool {
        self.recent.iter().any(|past| past.at >= time)
    }

    /// Returns a pending job by its id.
    pub fn find(&self, id: &str) -> Option<&PendingJob> {
        self.numbers.get(id).and_then(|n| self.pending.get(n))
    }

    /// Returns the dead letters, oldest first.
    pub fn dead(&self) -> impl Iterator<Item = &DeadJob> {
        self.dead.iter()
    }

    /// Returns the newest deliveries that arrived, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Past> {
        self.recent.iter()
    }

    /// Returns the number of deliveries that arrived since the channel exists.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns why the channel is suspended. `None` if it is not.
    pub fn suspended(&self) -> Option<&SuspensionReason> {
        self.suspended.as_ref()
    }

    /// Returns the current series of failed attempts. `None` if the last attempt succeeded.
    pub fn failing(&self) -> Option<Failing> {
        self.failing
    }

    /// Returns the whole state as one record.
    pub(super) fn whole(&self) -> JournalRecord {
        JournalRecord::Whole {
            version: VERSION,
            cursor: self.cursor,
            pending: self.pending.values().cloned().collect(),
            dead: self.dead.iter().cloned().collect(),
            recent: self.recent.iter().cloned().collect(),
            suspended: self.suspended.clone(),
            delivered: self.delivered,
            failing: self.failing,
        }
    }

    /// Applies a record. A record about an unknown job changes nothing, so that crashes in any order do no harm.
    pub(super) fn apply(&mut self, record: JournalRecord) {
        match record {
            JournalRecord::Whole { cursor, pending, dead, recent, suspended, delivered, failing, .. } => {
                *self = Self::at(cursor);
                pending.into_iter().for_each(|job| self.put(job));
                self.dead = dead.into();
                self.recent = recent.into();
                self.suspended = suspended;
                self.delivered = delivered;
                self.failing = failing;
            }
            JournalRecord::Planned { cursor, jobs } => {
                self.cursor = cursor;
                jobs.into_iter().for_each(|job| self.put(job));
            }
            JournalRecord::Delivered { id, at, said } => {
                if let Some(mut job) = self.take(&id) {
                    job.attempts = job.attempts.saturating_add(1);
                    self.delivered += 1;
                    self.failing = None;
                    self.recent.push_back(Past { job, at, said });
                    if self.recent.len() > RECENT {
                        self.recent.pop_front();
                    }
                }
            }
            JournalRecord::Failed { id, next, wait, why, deferred } => {
                if let Some(job) = self.numbers.get(&id).and_then(|n| self.pending.get_mut(n)) {
                    job.attempts = job.attempts.saturating_add(1);
                    (job.next, job.wait) = (Some(next), Some(wait));
                    job.error = Some(why);
                    let now = next.saturating_sub_unsigned(wait);
                    let Failing { since, attempts } = self.failing.unwrap_or(Failing { since: now, attempts: 0 });
                    let more = Failing { since, attempts: attempts.saturating_add(1) };
                    self.failing = (!deferred).then_some(more);
                }
            }
            JournalRecord::Died { id, at, why } => {
                if let Some(mut job) = self.take(&id) {
                    job.attempts = job.attempts.saturating_add(1);
                    job.error = Some(why);
                    self.dead.push_back(DeadJob { job, died: at });
                    if self.dead.len() > MAX_DEAD {
                        self.dead.pop_front();
                    }
                }
            }
            JournalRecord::Suspended { suspended } => self.suspended = Some(suspended),
            JournalRecord::Resumed => (self.suspended, self.failing) = (None, None),
            JournalRecord::Revived { id } => {
                if let Some(at) = self.dead.iter().position(|d| d.job.id == id)
                    && let Some(DeadJob { job, .. }) = self.dead.remove(at)
                {
                    self.put(PendingJob { attempts: 0, next: None, wait: None, ..job });
                }
            }
        }
    }

    /// Adds a job at the end of its queue, unless the job is pending or dead already.
    fn put(&mut self, job: PendingJob) {
        if self.numbers.contains_key(&job.id) || self.dead.iter().any(|d| d.job.id == job.id) {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(job.id.clone(), number);
        self.lanes.entry(job.lane.clone()).or_default().push_back(number);
        self.pending.insert(number, job);
    }

    fn take(&mut self, id: &str) -> Option<PendingJob> {
        let number = self.numbers.remove(id)?;
        let job = self.pending.remove(&number)?;
        if let Some(lane) = self.lanes.get_mut(&job.lane) {
            lane.retain(|n| *n != number);
            if lane.is_empty() {
                self.lanes.remove(&job.lane);
            }
        }
        Some(job)
    }
}

/// Returns the id of a delivery: the same on each attempt, after each restart and on each machine.
pub fn delivery_id(channel: &str, origin: &EventOrigin, ordinal: u32, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in [channel, &origin.commit.to_string(), &ordinal.to_string(), key] {
        // Each part is hashed with its length, so that different lists of parts never give the same bytes.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    if let Some(before) = origin.before {
        hash.update(before.as_bytes());
    }
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// Returns a time as it is stored in records, in milliseconds since the epoch.
pub(super) fn millis(time: Timestamp) -> i64 {
    time.as_millis()
}

/// Stores object ids as hexadecimal digits.
mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::tree::Oid;

    pub(super) fn serialize<S: Serializer>(id: &Oid, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(id)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<Oid, D::Error> {
        let text = String::deserialize(d)?;
        Oid::from_hex(&text).ok_or_else(|| D::Error::custom("an object id has 40 or 64 hexadecimal digits"))
    }
}

/// Stores optional object ids as hexadecimal digits.
mod hex_or_none {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::tree::Oid;

    #[expect(clippy::ref_option, reason = "serde gives it so")]
    pub(super) fn serialize<S: Serializer>(id: &Option<Oid>, s: S) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => s.collect_str(id),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(d: D) -> Result<Option<Oid>, D::Error> {
        let Some(text) = Option::<String>::deserialize(d)? else { return Ok(None) };
        Oid::from_hex(&text).map(Some).ok_or_else(|| D::Error::custom("an object id has 40 or 64 hexadecimal digits"))
    }
}
