//! Which lanes of a channel have their turn, which wait for a time, and which are being worked on.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Where a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    Waits(Duration),
    Busy,
}

/// The lanes of one channel that have jobs, each in one place. Times are of the clock that never goes back.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    places: HashMap<String, Place>,
    ready: VecDeque<String>,
    waits: BTreeSet<(Duration, String)>,
    busy: usize,
    /// Lanes that failed since the last success of the channel.
    failing: HashSet<String>,
    /// Until when the channel is left alone.
    paused: Option<Duration>,
}

/// How many lanes must fail, with no success of any lane between, for the channel to be taken for the cause.
const BROKEN: usize = 3;

impl Lanes {
    /// A lane has jobs, the first of which is due then. One that is worked on is left so; one that waits goes on waiting.
    pub(super) fn put(&mut self, lane: &str, due: Option<Duration>) {
        if self.places.contains_key(lane) {
            return;
        }
        match due {
            Some(due) => {
                self.places.insert(lane.to_owned(), Place::Waits(due));
                self.waits.insert((due, lane.to_owned()));
            }
            None => {
                self.places.insert(lane.to_owned(), Place::Ready);
                self.ready.push_back(lane.to_owned());
            }
        }
    }

    /// A lane is no longer worked on.
    pub(super) fn free(&mut self, lane: &str) {
        if self.places.get(lane) == Some(&Place::Busy) {
            self.places.remove(lane);
            self.busy -= 1;
        }
    }

    /// The next lane whose turn it is; it counts as worked on from now.
    pub(super) fn next(&mut self, now: Duration) -> Option<String> {
        self.ripen(now);
        if self.paused.is_some() {
            return None;
        }
        let lane = self.ready.pop_front()?;
        self.places.insert(lane.clone(), Place::Busy);
        self.busy += 1;
        Some(lane)
    }

    /// Lets those have their turn for which it is time.
    fn ripen(&mut self, now: Duration) {
        self.paused = self.paused.filter(|until| *until > now);
        while self.waits.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, lane)) = self.waits.pop_first() else { break };
            self.places.insert(lane.clone(), Place::Ready);
            self.ready.push_back(lane);
        }
    }

    /// When there may be something to do next; none if only for who frees a lane.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let first = self.waits.first().map(|(due, _)| *due);
        match (self.paused, self.ready.is_empty()) {
            (Some(paused), false) => Some(paused),
            (Some(paused), true) => first.map(|due| due.max(paused)),
            (None, false) => Some(Duration::ZERO),
            (None, true) => first,
        }
    }

    /// How many lanes are worked on.
    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    /// Whether the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        !self.failing.is_empty()
    }

    /// An attempt of any lane succeeded.
    pub(super) fn succeeded(&mut self) {
        self.failing.clear();
        self.paused = None;
    }

    /// An attempt of a lane failed. Where the other side asked to be left alone, all of the channel waits; also where several
    /// lanes fail one after the other, for then it is the channel that is broken, not a lane.
    pub(super) fn failed(&mut self, lane: &str, asked_until: Option<Duration>, probe_at: Duration) {
        self.failing.insert(lane.to_owned());
        let broken = (self.failing.len() >= BROKEN).then_some(probe_at);
        self.paused = self.paused.max(asked_until).max(broken);
    }

    /// Forgets all that waits, but not what is being worked on.
    pub(super) fn clear(&mut self) {
        self.places.retain(|_, place| *place == Place::Busy);
        self.ready.clear();
        self.waits.clear();
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
        let mut lanes = Lanes::default();
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
        let mut lanes = Lanes::default();
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
    fn one_bad_lane_is_no_bad_channel_but_three_are() {
        let mut lanes = Lanes::default();
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
        let mut lanes = Lanes::default();
        lanes.put("a", None);
        lanes.failed("b", Some(at(30)), at(60));
        assert_eq!((lanes.next(at(29)), lanes.deadline()), (None, Some(at(30))));
        assert_eq!(lanes.next(at(30)).as_deref(), Some("a"));
    }
}
