//! The schedule of a channel's queues: which are ready, which wait for a time, and which are being processed.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// The state of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueStatus {
    Ready,
    Waits(Duration),
    Busy,
}

/// The queues of one channel that have jobs, each in one state. Times are of the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct JobQueues {
    places: HashMap<String, QueueStatus>,
    ready: VecDeque<String>,
    waits: BTreeSet<(Duration, String)>,
    busy: usize,
    /// Queues that failed since the last success of the channel.
    failing: HashSet<String>,
    /// When failed queues are retried, as decided at the failure, even if the wall clock changes.
    retries: HashMap<String, Duration>,
    /// The time until which the channel pauses.
    paused: Option<Duration>,
}

/// How many queues must fail, with no success of any queue in between, until the channel counts as the cause.
const BROKEN: usize = 3;

impl JobQueues {
    /// Adds a queue that has jobs, with the time at which its first job is due. A queue that is being processed or that
    /// waits stays as it is.
    pub(super) fn put(&mut self, lane: &str, due: Option<Duration>) {
        if self.places.contains_key(lane) {
            return;
        }
        match self.retries.get(lane).copied().or(due) {
            Some(due) => {
                self.places.insert(lane.to_owned(), QueueStatus::Waits(due));
                self.waits.insert((due, lane.to_owned()));
            }
            None => {
                self.places.insert(lane.to_owned(), QueueStatus::Ready);
                self.ready.push_back(lane.to_owned());
            }
        }
    }

    /// Marks a queue as no longer being processed.
    pub(super) fn free(&mut self, lane: &str) {
        if self.places.get(lane) == Some(&QueueStatus::Busy) {
            self.places.remove(lane);
            self.busy -= 1;
        }
    }

    /// Takes the next ready queue and marks it as being processed.
    pub(super) fn next(&mut self, now: Duration) -> Option<String> {
        self.ripen(now);
        if self.paused.is_some() {
            return None;
        }
        let lane = self.ready.pop_front()?;
        self.places.insert(lane.clone(), QueueStatus::Busy);
        self.retries.remove(&lane);
        self.busy += 1;
        Some(lane)
    }

    /// Marks queues as ready whose time has come.
    fn ripen(&mut self, now: Duration) {
        self.paused = self.paused.filter(|until| *until > now);
        while self.waits.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, lane)) = self.waits.pop_first() else { break };
            self.places.insert(lane.clone(), QueueStatus::Ready);
            self.ready.push_back(lane);
        }
    }

    /// Returns when there may be something to do next. `None` if that can only follow from the end of a running
    /// attempt.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let first = self.waits.first().map(|(due, _)| *due);
        match (self.paused, self.ready.is_empty()) {
            (Some(paused), false) => Some(paused),
            (Some(paused), true) => first.map(|due| due.max(paused)),
            (None, false) => Some(Duration::ZERO),
            (None, true) => first,
        }
    }

    /// Returns the number of queues that are being processed.
    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    /// Returns whether a queue has failed since the last success.
    pub(super) fn is_failing(&self) -> bool {
        !self.failing.is_empty()
    }

    /// Records that an attempt of any queue succeeded.
    pub(super) fn succeeded(&mut self) {
        self.failing.clear();
        self.paused = None;
    }

    /// Records when a failed queue is retried.
    pub(super) fn retry_at(&mut self, lane: &str, at: Duration) {
        self.retries.insert(lane.to_owned(), at);
    }

    /// Records that an attempt of a queue failed. If the receiver asked to wait, the whole channel pauses. It also
    /// pauses if several queues fail one after the other, because then the channel is broken, not a queue.
    pub(super) fn failed(&mut self, lane: &str, asked_until: Option<Duration>, probe_at: Duration) {
        self.failing.insert(lane.to_owned());
        let broken = (self.failing.len() >= BROKEN).then_some(probe_at);
        self.paused = self.paused.max(asked_until).max(broken);
    }

    /// Removes all waiting queues, but not those that are being processed.
    pub(super) fn clear(&mut self) {
        self.places.retain(|_, place| *place == QueueStatus::Busy);
        self.ready.clear();
        self.waits.clear();
        self.retries.clear();
        self.failing.clear();
        self.paused = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_lane_is_worked_on_once_at_a_time() {
        let mut lanes = JobQueues::default();
        lanes.put("a", None);
        lanes.put("a", None);
        assert_eq!(lanes.next(at(0)).as_deref(), Some("a"));
        lanes.put("a", None);
        assert_eq!((lanes.next(at(0)), lanes.busy()), (None, 1));
        lanes.free("a");
        lanes.put("a", None);
        assert_eq!(lanes.next(at(0)).as_deref(), Some("a"));
    }

    #[test]
    fn who_waits_has_his_turn_in_time_and_holds_nobody() {
        let mut lanes = JobQueues::default();
        lanes.put("late", Some(at(9)));
        lanes.put("soon", Some(at(5)));
        lanes.put("now", None);
        assert_eq!(lanes.next(at(1)).as_deref(), Some("now"));
        assert_eq!((lanes.next(at(4)), lanes.deadline()), (None, Some(at(5))));
        assert_eq!(lanes.next(at(10)).as_deref(), Some("soon"));
        assert_eq!(lanes.next(at(10)).as_deref(), Some("late"));
        assert_eq!((lanes.next(at(99)), lanes.deadline()), (None, None));
    }

    #[test]
    fn a_lane_that_failed_waits_as_was_decided_then() {
        let mut lanes = JobQueues::default();
        lanes.put("a", None);
        assert_eq!(lanes.next(at(0)).as_deref(), Some("a"));
        lanes.retry_at("a", at(5));
        lanes.free("a");
        lanes.put("a", None);
        assert_eq!((lanes.next(at(4)), lanes.deadline()), (None, Some(at(5))));
        assert_eq!(lanes.next(at(5)).as_deref(), Some("a"));
        lanes.free("a");
        lanes.put("a", None);
        assert_eq!(lanes.next(at(5)).as_deref(), Some("a"), "that was for one time");
    }

    #[test]
    fn one_bad_lane_is_no_bad_channel_but_three_are() {
        let mut lanes = JobQueues::default();
        for _ in 0..9 {
            lanes.failed("poison", None, at(60));
        }
        lanes.put("a", None);
        assert_eq!(lanes.next(at(1)).as_deref(), Some("a"));
        lanes.failed("a", None, at(60));
        lanes.failed("b", None, at(60));
        lanes.put("c", None);
        assert_eq!((lanes.next(at(1)), lanes.deadline()), (None, Some(at(60))));
        assert_eq!(lanes.next(at(60)).as_deref(), Some("c"));
        lanes.succeeded();
        assert!(!lanes.is_failing());
    }

    #[test]
    fn who_asks_to_be_left_alone_is() {
        let mut lanes = JobQueues::default();
        lanes.put("a", None);
        lanes.failed("b", Some(at(30)), at(60));
        assert_eq!((lanes.next(at(29)), lanes.deadline()), (None, Some(at(30))));
        assert_eq!(lanes.next(at(30)).as_deref(), Some("a"));
    }
}
