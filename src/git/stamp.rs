//! When a commit was made, to the millisecond: commits keep whole seconds, so ours say the rest in a trailer.
//!
//! - A commit's *own time* is what its trailer `Greenroom-Time` says, if that lies within the committer's second; else
//!   the start of that second. A trailer that contradicts the commit (after `git commit --amend`, a rebase, a squash) is
//!   no error: such a commit is one that was made by hand.
//! - A step *landed* at the latest of its own time and those of all steps before it on the first-parent line. So what
//!   happened later is never told as earlier, whoever made the commits.

use super::{GitError, Repo};
use crate::time::Timestamp;
use crate::tree::Oid;

/// The name of the trailer.
const TRAILER: &str = "Greenroom-Time";

/// How far back is looked for the time at which a commit landed, in commits without the trailer.
const BACK: usize = 1000;

/// How far a new commit follows a clock that is ahead of ours, in milliseconds: as far as the gate takes two clocks for
/// the same. One commit that is dated years ahead must not take all that follow with it.
const LEAD: i64 = 300_000;

/// The line that says when a commit is made.
pub fn trailer(time: Timestamp) -> String {
    format!("{TRAILER}: {time}")
}

/// A commit's own time, by its committer's second and its message.
pub fn own_time(second: Timestamp, message: &[u8]) -> Timestamp {
    stated(second, message).unwrap_or(second)
}

/// When a step landed, by its own time and when the step before it landed.
pub fn landed(own: Timestamp, before: Option<Timestamp>) -> Timestamp {
    before.map_or(own, |before| before.max(own))
}

/// The time of a new commit: now, and after what it follows.
pub fn next(now: Timestamp, before: Option<Timestamp>) -> Timestamp {
    match before {
        Some(before) if before >= now && before <= now.plus_millis(LEAD) => before.plus_millis(1),
        Some(_) | None => now,
    }
}

/// What the trailer in the last paragraph of a message says, if it lies within the second.
fn stated(second: Timestamp, message: &[u8]) -> Option<Timestamp> {
    let mut lines = message.trim_ascii_end().rsplit(|b| *b == b'\n').take_while(|l| !l.trim_ascii().is_empty());
    let value = lines.find_map(|line| line.strip_prefix(TRAILER.as_bytes())?.strip_prefix(b": "))?;
    // Written in one way only, so that reading it costs little.
    if value.len() != "2026-03-01T12:00:00.123Z".len() {
        return None;
    }
    let time: Timestamp = std::str::from_utf8(value).ok()?.parse().ok()?;
    (time.as_seconds() == second.as_seconds()).then_some(time)
}

impl Repo {
    /// When a commit landed on its first-parent line.
    ///
    /// Looks back only over commits that were made by hand, a thousand at most: one with a trailer was made after all
    /// that it follows, unless a clock was minutes ahead. What the index knows is exact in that case, too.
    pub fn landing_time(&self, commit: &Oid) -> Result<Timestamp, GitError> {
        let mut out: Option<Timestamp> = None;
        for step in self.first_parents(*commit)?.take(BACK) {
            let step = match step {
                Ok(step) => step,
                // What a clone was cut from cannot be looked at.
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

    /// A commit's own time, and whether its trailer says it.
    fn stated_time(&self, commit: &Oid) -> Result<(Timestamp, bool), GitError> {
        let bytes = self.object(commit, gix::objs::Kind::Commit)?;
        let (second, message) = self.second_and_message(commit, &bytes)?;
        let stated = stated(second, message);
        Ok((stated.unwrap_or(second), stated.is_some()))
    }

    /// A commit's own time.
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
        /// Along a line no step lands before the one that it follows, whatever its commit says; and what is made by us
        /// lands later than that.
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
