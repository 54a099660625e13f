//! Decides when a failed job is retried, and when it is given up.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::git::Repo;
use crate::outbox::Failing;
use crate::time::Timestamp;

/// The wait after each failure, in seconds: about three days in all, as the Standard Webhooks specification recommends.
const SCHEDULE: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// The largest relative deviation from the schedule, so that retries do not all happen at the same time.
const JITTER: f64 = 0.1;

/// The longest wait that a receiver can ask for.
const MAX_ASKED: Duration = Duration::from_secs(86_400);

/// The config key of the served repository that stretches or shortens the schedule.
pub const SCALE: &str = "greenroom.retryScale";

/// The retry schedule of a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    scale: f64,
}

impl Backoff {
    /// Returns the schedule multiplied by [`SCALE`]. A value that is not a number from 0.00001 to 100 is ignored.
    pub(super) fn of(repo: &Repo) -> Self {
        let set = repo.own_setting(SCALE).and_then(|s| s.trim().parse::<f64>().ok());
        Self::scaled(set.filter(|s| (0.000_01..=100.0).contains(s)).unwrap_or(1.0))
    }

    pub(super) const fn scaled(scale: f64) -> Self {
        Self { scale }
    }

    /// Returns how long to wait after this number of failures in a row of a job (at least one), or `None` if the job is
    /// given up. The wait is at least as long as the receiver asked for.
    pub(super) fn after(&self, failures: u32, id: &str, asked: Option<Duration>) -> Option<Duration> {
        let usual = self.step(failures)?.mul_f64(1.0 + JITTER * spread(id, failures));
        Some(usual.max(asked.unwrap_or_default().min(MAX_ASKED)))
    }

    /// Returns how long a channel with several failing queues pauses before one of them is retried.
    pub(super) fn probe(&self) -> Duration {
        self.scale(Duration::from_secs(60))
    }

    /// Returns whether all attempts of a channel have failed for as long, and as often, as a job is retried. In this
    /// case the channel is given up, no matter how many attempts each of its jobs had.
    pub(super) fn is_over(&self, failing: Failing, now: Timestamp) -> bool {
        let all = self.scale(Duration::from_secs(SCHEDULE.iter().sum()));
        let passed = u128::try_from(now.as_millis().saturating_sub(failing.since)).unwrap_or(0);
        passed >= all.as_millis() && usize::try_from(failing.attempts).is_ok_and(|n| n > SCHEDULE.len())
    }

    /// Scales a duration of another schedule by the same factor.
    pub(super) fn scale(&self, wait: Duration) -> Duration {
        wait.mul_f64(self.scale)
    }

    fn step(&self, failures: u32) -> Option<Duration> {
        let seconds = SCHEDULE.get(usize::try_from(failures).ok()?.checked_sub(1)?)?;
        Some(Duration::from_secs(*seconds).mul_f64(self.scale))
    }
}

/// Returns a number from -1 to 1 that is always the same for a job and attempt: jobs spread out without random numbers.
fn spread(id: &str, failures: u32) -> f64 {
    let hash = Sha256::digest(format!("{id} {failures}"));
    let byte = |n: usize| f64::from(hash.get(n).copied().unwrap_or_default());
    (byte(0) * 256.0 + byte(1)) / 32_767.5 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_over_three_days_and_ends() {
        let backoff = Backoff::scaled(1.0);
        let mut all = Duration::ZERO;
        for failures in 1..=9 {
            let wait = backoff.after(failures, "some id", None).expect("it goes on");
            let usual = Duration::from_secs(SCHEDULE[failures as usize - 1]);
            assert!(wait >= usual.mul_f64(0.9) && wait <= usual.mul_f64(1.1), "{failures}: {wait:?}");
            all += wait;
        }
        assert!((66..86).contains(&(all.as_secs() / 3600)), "{all:?}");
        assert_eq!(backoff.after(10, "some id", None), None);
    }

    #[test]
    fn what_the_other_side_asks_for_is_done_within_bounds() {
        let backoff = Backoff::scaled(1.0);
        let asked = |secs| backoff.after(1, "x", Some(Duration::from_secs(secs)));
        assert_eq!(asked(600), Some(Duration::from_secs(600)));
        assert!(asked(1).expect("it goes on") >= Duration::from_secs(4), "never sooner than usual");
        assert_eq!(asked(u64::MAX), Some(MAX_ASKED));
    }

    #[test]
    fn a_channel_is_given_up_after_the_time_and_the_tries_of_a_job() {
        let days = |n: i64| Timestamp::from_millis(n * 86_400_000);
        let is_over = |scale, attempts, passed| Backoff::scaled(scale).is_over(Failing { since: 0, attempts }, passed);
        assert!(is_over(1.0, 10, days(4)));
        assert!(!is_over(1.0, 4_000, days(3)), "three days and some hours");
        assert!(!is_over(1.0, 9, days(400)), "the clock was set, or nothing happened");
        assert!(is_over(0.01, 10, days(1)) && !is_over(10.0, 10, days(30)), "times the retry scale");
        assert!(!is_over(1.0, 10, days(-4)));
    }

    #[test]
    fn jobs_do_not_all_come_at_once() {
        let backoff = Backoff::scaled(1.0);
        let waits: std::collections::BTreeSet<Duration> =
            (0..100).filter_map(|n| backoff.after(2, &n.to_string(), None)).collect();
        assert!(waits.len() > 95, "{}", waits.len());
    }
}
