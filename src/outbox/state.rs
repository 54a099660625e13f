//! The state of one channel: what records come to.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::time::Timestamp;
use crate::tree::Oid;

/// How many past deliveries are remembered.
const RECENT: usize = 200;

/// How many dead letters are kept; the oldest go first.
const MAX_DEAD: usize = 10_000;

/// Where something happened: a commit against its first parent, or against another state where the history was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The commit.
    #[serde(with = "hex")]
    pub commit: Oid,
    /// The commit before a rewrite that it is compared with; none for its first parent.
    #[serde(with = "hex_or_none", default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Oid>,
}

/// How far a channel was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The step it stands at.
    #[serde(flatten)]
    pub origin: Origin,
    /// The place in the step of the first happening that was not told; none when all were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

impl Cursor {
    /// Right after a commit.
    pub const fn after(commit: Oid) -> Self {
        Self { origin: Origin { commit, before: None }, next: None }
    }
}

/// A job that did not arrive yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The delivery's id.
    pub id: String,
    /// What it must stay in order with.
    pub lane: String,
    /// Tells it from other jobs of the same happening.
    pub key: String,
    /// Where it happened.
    #[serde(flatten)]
    pub origin: Origin,
    /// The happening's place there.
    pub ordinal: u32,
    /// The happening's dotted name.
    pub event: String,
    /// When it landed, in milliseconds since the epoch.
    pub landed: i64,
    /// Not to be sent before this time (milliseconds since the epoch).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it is tried next, by the clock on the wall (milliseconds since the epoch).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// How long that was from the last try, in milliseconds: it waits no longer than this, whatever the clock says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u64>,
    /// What went wrong the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A job that is no longer tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// The job, with its last error.
    #[serde(flatten)]
    pub job: Pending,
    /// When it died, in milliseconds since the epoch.
    pub died: i64,
}

/// A job that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The job.
    #[serde(flatten)]
    pub job: Pending,
    /// When it arrived, in milliseconds since the epoch.
    pub at: i64,
    /// What the channel said of it.
    pub said: String,
}

/// Why nothing is sent to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    /// What happened.
    pub why: String,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// The channel's settings then; it goes on when they change.
    pub settings: String,
}

/// That attempts fail and nothing arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// When the first of them failed, in milliseconds since the epoch.
    pub since: i64,
    /// How many they are.
    pub attempts: u32,
}

/// A change of the state of a channel: a line of its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub(super) enum Record {
    /// All that there is: the first line.
    Whole {
        version: u32,
        cursor: Cursor,
        pending: Vec<Pending>,
        dead: Vec<Dead>,
        recent: Vec<Past>,
        suspended: Option<Suspended>,
        delivered: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failing: Option<Failing>,
    },
    /// The cursor moved, and these jobs are to be sent.
    Planned { cursor: Cursor, jobs: Vec<Pending> },
    /// A job arrived.
    Delivered { id: String, at: i64, said: String },
    /// A job did not arrive and is tried again. Where it was deferred that was for its own sake: the channel works.
    Failed {
        id: String,
        next: i64,
        wait: u64,
        why: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        deferred: bool,
    },
    /// A job is no longer tried.
    Died { id: String, at: i64, why: String },
    /// Nothing is sent any more.
    Suspended { suspended: Suspended },
    /// Things are sent again.
    Resumed,
    /// A dead letter is tried once more.
    Revived { id: String },
}

/// The version of the records' form.
pub(super) const VERSION: u32 = 1;

/// What is known of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    cursor: Cursor,
    /// By number, in the order in which they were planned.
    pending: BTreeMap<u64, Pending>,
    numbers: HashMap<String, u64>,
    lanes: BTreeMap<String, VecDeque<u64>>,
    next_number: u64,
    dead: VecDeque<Dead>,
    recent: VecDeque<Past>,
    suspended: Option<Suspended>,
    delivered: u64,
    failing: Option<Failing>,
}

impl State {
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

    /// How far the channel was told.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The jobs that did not arrive yet, in the order of the history.
    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending.values()
    }

    /// How many they are.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// The lanes that have jobs.
    pub fn lanes(&self) -> impl Iterator<Item = &str> {
        self.lanes.keys().map(String::as_str)
    }

    /// The jobs of a lane, oldest first.
    pub fn lane<'s>(&'s self, lane: &str) -> impl Iterator<Item = &'s Pending> + use<'s> {
        let numbers = self.lanes.get(lane).into_iter().flatten();
        numbers.filter_map(|n| self.pending.get(n))
    }

    /// Whether anything arrived since a time (milliseconds since the epoch), as far as that is remembered.
    pub fn arrived_since(&self, time: i64) -> bool {
        self.recent.iter().any(|past| past.at >= time)
    }

    /// A job that did not arrive yet.
    pub fn find(&self, id: &str) -> Option<&Pending> {
        self.numbers.get(id).and_then(|n| self.pending.get(n))
    }

    /// The jobs that are no longer tried, oldest first.
    pub fn dead(&self) -> impl Iterator<Item = &Dead> {
        self.dead.iter()
    }

    /// The newest jobs that arrived, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &Past> {
        self.recent.iter()
    }

    /// How many jobs arrived since the channel is known.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Why nothing is sent, if so.
    pub fn suspended(&self) -> Option<&Suspended> {
        self.suspended.as_ref()
    }

    /// Since when nothing but failures came of attempts, if so.
    pub fn failing(&self) -> Option<Failing> {
        self.failing
    }

    /// All of it as one record.
    pub(super) fn whole(&self) -> Record {
        Record::Whole {
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

    /// Takes in a record. One that tells of a job that is not there changes nothing, so that any order of crashes is
    /// harmless.
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Whole { cursor, pending, dead, recent, suspended, delivered, failing, .. } => {
                *self = Self::at(cursor);
                pending.into_iter().for_each(|job| self.put(job));
                self.dead = dead.into();
                self.recent = recent.into();
                self.suspended = suspended;
                self.delivered = delivered;
                self.failing = failing;
            }
            Record::Planned { cursor, jobs } => {
                self.cursor = cursor;
                jobs.into_iter().for_each(|job| self.put(job));
            }
            Record::Delivered { id, at, said } => {
                if let Some(job) = self.take(&id) {
                    self.delivered += 1;
                    self.failing = None;
                    self.recent.push_back(Past { job, at, said });
                    if self.recent.len() > RECENT {
                        self.recent.pop_front();
                    }
                }
            }
            Record::Failed { id, next, wait, why, deferred } => {
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
            Record::Died { id, at, why } => {
                if let Some(mut job) = self.take(&id) {
                    job.attempts = job.attempts.saturating_add(1);
                    job.error = Some(why);
                    self.dead.push_back(Dead { job, died: at });
                    if self.dead.len() > MAX_DEAD {
                        self.dead.pop_front();
                    }
                }
            }
            Record::Suspended { suspended } => self.suspended = Some(suspended),
            Record::Resumed => (self.suspended, self.failing) = (None, None),
            Record::Revived { id } => {
                if let Some(at) = self.dead.iter().position(|d| d.job.id == id)
                    && let Some(Dead { job, .. }) = self.dead.remove(at)
                {
                    self.put(Pending { attempts: 0, next: None, wait: None, ..job });
                }
            }
        }
    }

    /// Adds a job at the end of its lane, unless it is there or dead already.
    fn put(&mut self, job: Pending) {
        if self.numbers.contains_key(&job.id) || self.dead.iter().any(|d| d.job.id == job.id) {
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(job.id.clone(), number);
        self.lanes.entry(job.lane.clone()).or_default().push_back(number);
        self.pending.insert(number, job);
    }

    fn take(&mut self, id: &str) -> Option<Pending> {
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

/// The id of a delivery: the same on each attempt, after each restart and on each machine.
pub fn delivery_id(channel: &str, origin: &Origin, ordinal: u32, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in [channel, &origin.commit.to_string(), &ordinal.to_string(), key] {
        // With its length, so that no two lists of parts are the same bytes.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    if let Some(before) = origin.before {
        hash.update(before.as_bytes());
    }
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// A time of a record.
pub(super) fn millis(time: Timestamp) -> i64 {
    time.as_millis()
}

/// Object ids as hexadecimal digits.
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

/// The same where there may be none.
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
