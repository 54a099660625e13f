//! Commit times to the millisecond: commits store whole seconds, so greenroom adds the rest in a trailer.
//!
//! - A commit's *own time* is the time in its trailer `Greenroom-Time`, if that time lies within the committer's
//!   second; else the start of that second. A trailer that contradicts the commit (after `git commit --amend`, a
//!   rebase, a squash) is not an error: such a commit counts as made by hand.
//! - The *commit time* of a step is the latest of its own time and the own times of all earlier steps of the
//!   first-parent history. So a later step never has an earlier time than the step before it.

use super::{GitError, Repo};
use crate::time::Timestamp;
use crate::tree::Oid;

/// The name of the trailer.
const TRAILER: &str = "Greenroom-Time";

/// How many commits without the trailer are read back to find a commit's time.
const BACK: usize = 1000;

/// How far a new commit follows a clock that is ahead of the local one, in milliseconds: the tolerance within which the
/// gate treats two clocks as equal. A commit that is dated years ahead must not shift all later commits.
const LEAD: i64 = 300_000;

/// Returns the trailer line for a time.
pub fn trailer(time: Timestamp) -> String {
    format!("{TRAILER}: {time}")
}

/// Returns a commit's own time, from its committer's second and its message.
pub fn own_time(second: Timestamp, message: &[u8]) -> Timestamp {
    stated(second, message).unwrap_or(second)
}

/// Returns the time of a step, from its own time and the time of the step before it.
pub fn landed(own: Timestamp, before: Option<Timestamp>) -> Timestamp {
    before.map_or(own, |before| before.max(own))
}

/// Returns the time for a new commit: now, or later than the commit that it follows.
pub fn next(now: Timestamp, before: Option<Timestamp>) -> Timestamp {
    match before {
        Some(before) if before >= now && before <= now.plus_millis(LEAD) => before.plus_millis(1),
        Some(_) | None => now,
    }
}

/// Returns the trailer's time from the last paragraph of a message, if it lies within the second.
fn stated(second: Timestamp, message: &[u8]) -> Option<Timestamp> {
    let mut lines = message.trim_ascii_end().rsplit(|b| *b == b'\n').take_while(|l| !l.trim_ascii().is_empty());
    let value = lines.find_map(|line| line.strip_prefix(TRAILER.as_bytes())?.strip_prefix(b": "))?;
    // Only one notation is valid, so that parsing is cheap.
    if value.len() != "2026-03-01T12:00:00.123Z".len() {
        return None;
    }
    let time: Timestamp = std::str::from_utf8(value).ok()?.parse().ok()?;
    (time.as_seconds() == second.as_seconds()).then_some(time)
}

impl Repo {
    /// Returns the time of a commit in its first-parent history.
    ///
    /// Reads back only over commits that were made by hand, a thousand at most. A commit with a trailer is later than
    /// all commits that it follows, unless a clock was minutes ahead. In that case the index has the exact time.
    ///
    /// # Errors
    /// [`GitError`] if a commit is unreadable. The end of a shallow clone is not an error.
    pub fn landing_time(&self, commit: &Oid) -> Result<Timestamp, GitError> {
        let mut out: Option<Timestamp> = None;
        for step in self.first_parents(*commit)?.take(BACK) {
            let step = match step {
                Ok(step) => step,
                // Commits beyond the end of a shallow clone are not available.
                Err(GitError::Shallow) => break,
                Err(e) => return Err(e),
            };
            let (own, is_stated) = self.stated_time(&step.commit)?;
            out = Some(landed(own, out));
            if is_stated {
                break;
            }
        }
        Ok(out.unwrap_or_else(|| Timestamp::from_millis(i64::MIN)))
    }

    /// Returns a commit's own time, and whether its trailer gives it.
    fn stated_time(&self, commit: &Oid) -> Result<(Timestamp, bool), GitError> {
        let bytes = self.object(commit, gix::objs::Kind::Commit)?;
        let (second, message) = self.second_and_message(commit, &bytes)?;
        let stated = stated(second, message);
        Ok((stated.unwrap_or(second), stated.is_some()))
    }

    /// Returns a commit's own time.
    ///
    /// # Errors
    /// [`GitError::Object`] if the commit is unreadable.
    pub fn time_of(&self, commit: &Oid) -> Result<Timestamp, GitError> {
        Ok(self.stated_time(commit)?.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_trailer_counts_within_its_second_and_in_the_last_paragraph() {
        let second = time("2026-11-28T22:10:11Z");
        let own = |message: &str| own_time(second, message.as_bytes()).to_string();
        let (said, start) = ("2026-11-28T22:10:11.123Z", "2026-11-28T22:10:11.000Z");
        for (message, want) in [
            (format!("A\n\nGreenroom-Time: {said}\n"), said),
            (format!("A\n\nWhy\n\nX: y\nGreenroom-Time: {said}\nZ: y\n\n"), said),
            (format!("A\n\nGreenroom-Time: {said}\n\nand more\n"), start),
            (format!("A\n\nGreenroom-Time: {said} \n"), said),
            (format!("A\n\n  Greenroom-Time: {said}\n"), start),
            ("A\n\nGreenroom-Time: 2026-11-28T22:10:12.123Z\n".to_owned(), start),
            ("A\n\nGreenroom-Time: 2026-11-28T23:10:11.123+01:00\n".to_owned(), start),
            ("A\n\nGreenroom-Time: \u{1F552}\n".to_owned(), start),
            ("A\n".to_owned(), start),
            (String::new(), start),
        ] {
            assert_eq!(own(&message), want, "{message:?}");
        }
    }

    #[test]
    fn a_clock_that_is_far_ahead_is_not_followed() {
        let (now, soon, later) = (time("2026-03-01"), time("2026-03-01T00:04:00Z"), time("2090-01-01"));
        assert_eq!(next(now, None), now);
        assert_eq!(next(now, Some(now)).as_millis(), now.as_millis() + 1);
        assert_eq!(next(now, Some(soon)).as_millis(), soon.as_millis() + 1);
        assert_eq!(next(now, Some(later)), now);
        assert_eq!(next(soon, Some(now)), soon);
    }

    proptest! {
        /// In a first-parent history no step is earlier than the step before it, whatever the commits say. A commit
        /// that greenroom makes is later than the one before it.
        #[test]
        fn what_follows_is_never_earlier(
            steps in prop::collection::vec((-3_000_i64..3_000, prop::option::of(0_i64..2_000), any::<bool>()), 1..40),
        ) {
            let begin = time("2026-03-01T12:00:00.250Z");
            let mut before: Option<Timestamp> = None;
            for (clock, stated, is_ours) in steps {
                let now = begin.plus_millis(clock);
                let made = if is_ours { next(now, before) } else { now };
                let second = Timestamp::from_seconds(made.as_seconds());
                let message = match (is_ours, stated) {
                    (true, _) => format!("A\n\n{}\n", trailer(made)),
                    (false, Some(beside)) => format!("A\n\n{}\n", trailer(second.plus_millis(beside))),
                    (false, None) => "A\n".to_owned(),
                };
                let own = own_time(second, message.as_bytes());
                prop_assert_eq!(own.as_seconds(), second.as_seconds());
                let at = landed(own, before);
                prop_assert!(before.is_none_or(|b| at >= b));
                if is_ours {
                    prop_assert_eq!(own, made);
                    prop_assert!(before.is_none_or(|b| at > b));
                }
                before = Some(at);
            }
        }
    }
}
