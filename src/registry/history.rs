//! The past: resolving times and revisions, and each step of the history as events.

use std::collections::BTreeSet;

use super::{Registry, RegistryError};
use crate::diff::{self, Diff};
use crate::event::Event;
use crate::git::{Commit, Ident, Walk};
use crate::name::UserName;
use crate::pushes::Pushes;
use crate::snapshot::Snapshot;
use crate::time::{Calendar, Timestamp};
use crate::tree::{CompareLimits, Oid};

/// The largest number of commits of a merged branch whose authors are read.
const MERGED: usize = 1000;

/// The largest number of steps of one push that are searched for the step before them.
const MAX_PUSHED: usize = 100_000;

/// One step of the history.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// The id of the commit.
    pub commit: Oid,
    /// The commit's own time.
    pub at: Timestamp,
    /// The author as a person of the registry.
    pub by: UserName,
    /// The author's name as written.
    pub author: String,
    /// The committer as a person, if it is another person.
    pub landed_by: Option<UserName>,
    /// For a merge: the authors of the merged commits.
    pub asked_by: BTreeSet<UserName>,
    /// Whether the commit carries a signature.
    pub signed: bool,
    /// The comment: the commit's body without trailers.
    pub comment: String,
    /// The events of the step, in the registry only.
    pub events: Vec<Event>,
}

/// Iterates over the steps of the history, newest first.
pub struct Steps<'r> {
    registry: &'r Registry,
    walk: Walk<'r>,
}

impl Registry {
    /// Resolves a time or git revision to a commit. A time means the newest commit as of then. The registry's calendar
    /// parses the time, or else it must be RFC 3339. Reflog notation is refused, because each clone would resolve it
    /// differently.
    ///
    /// # Errors
    /// [`RegistryError::Reflog`], [`RegistryError::AmbiguousMoment`], [`RegistryError::Ahead`],
    /// [`RegistryError::BeforeHistory`] or [`RegistryError::NoMoment`] if the text cannot be resolved; other
    /// [`RegistryError`]s if an object cannot be read.
    pub fn moment(&self, moment: &str) -> Result<Oid, RegistryError> {
        if is_reflog(moment) {
            return Err(RegistryError::Reflog(crate::text::quoted(moment)));
        }
        let time = match &self.calendar {
            Some(calendar) => calendar.read_end(moment).ok(),
            None => Timestamp::parse_end(moment).ok(),
        };
        if let Some(time) = time {
            if Calendar::is_like_an_id(moment) && self.repo().resolve(moment).is_ok() {
                return Err(RegistryError::AmbiguousMoment(moment.to_owned()));
            }
            let head = self.head()?.ok_or_else(|| RegistryError::BeforeHistory(moment.to_owned()))?;
            // Part of the given second may be in the future, and the newest commit may be ahead of this clock.
            if self.calendar.as_ref().is_some_and(|c| c.read(moment).is_ok_and(|time| c.is_ahead(time)))
                && self.repo().commit(&head)?.committer.time < time
            {
                return Err(RegistryError::Ahead(crate::text::quoted(moment)));
            }
            let landed = (self.landed)(self, head, time)?.map(|commit| self.recorded_by(commit, time)).transpose()?;
            return landed.flatten().ok_or_else(|| RegistryError::BeforeHistory(moment.to_owned()));
        }
        let commit = self.repo().resolve(moment);
        commit.map_err(|_| RegistryError::NoMoment(crate::text::quoted(moment)))
    }

    /// Returns the newest step up to `commit` that the branch had at a time, according to the record of pushes; `None`
    /// if it had none of them.
    ///
    /// A commit's time is written by its author, who may write any time. If the push that added it to the branch is
    /// recorded, the time of the push counts. The push that created the branch added a history from elsewhere and
    /// proves nothing about earlier times; neither does a step without a record.
    fn recorded_by(&self, commit: Oid, time: Timestamp) -> Result<Option<Oid>, RegistryError> {
        let pushes = Pushes::open(self.repo())?;
        let mut at = commit;
        while let Some(push) = pushes.landing(&at, self.branch())?.filter(|push| push.at > time) {
            let Some(before) = push.old else { return Ok(Some(at)) };
            // `greenroom verify` reports a record that does not lead back along the history.
            let mut earlier = self.repo().first_parents(at)?.skip(1).take(MAX_PUSHED);
            if !earlier.any(|step| step.is_ok_and(|step| step.commit == before)) {
                break;
            }
            at = before;
        }
        Ok(Some(at))
    }

    /// Returns the registry as of a moment, or as of now.
    ///
    /// # Errors
    /// The same as [`Self::moment`].
    pub fn as_of(&self, moment: Option<&str>) -> Result<Snapshot<'_>, RegistryError> {
        match moment {
            Some(moment) => self.snapshot_of(Some(self.moment(moment)?)),
            None => self.snapshot(),
        }
    }

    /// Returns the service accounts that commit on behalf of their callers, as of a commit or as of now.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn servers(&self, at: Option<Oid>) -> Result<BTreeSet<UserName>, RegistryError> {
        let snapshot = match at {
            Some(commit) => self.snapshot_of(Some(commit))?,
            None => self.snapshot()?,
        };
        Ok(snapshot.settings()?.map(|s| s.identity.servers.clone()).unwrap_or_default())
    }

    /// Compares two commits; `None` stands for the empty registry before the first commit.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn diff(&self, before: Option<Oid>, after: Option<Oid>) -> Result<Diff, RegistryError> {
        Ok(diff::diff(&self.snapshot_of(before)?, &self.snapshot_of(after)?, CompareLimits::default())?)
    }

    /// Iterates over the first-parent history from `tip` back. Steps without events of the registry are left out.
    ///
    /// # Errors
    /// [`RegistryError`] if the list of shallow commits cannot be read.
    pub fn steps(&self, tip: Oid) -> Result<Steps<'_>, RegistryError> {
        Ok(Steps { registry: self, walk: self.repo().first_parents(tip)? })
    }

    /// Returns one step of the history: a commit compared with its first parent.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn step(&self, commit: Oid, parent: Option<Oid>) -> Result<LogEntry, RegistryError> {
        let root = |c: Oid| self.repo().tree_of(&c);
        self.step_between(commit, parent.map(root).transpose()?, root(commit)?)
    }

    /// Returns one step of the history from its root trees: `before` is that of the first parent, `after` that of the
    /// commit.
    ///
    /// # Errors
    /// [`RegistryError`] if an object cannot be read.
    pub fn step_between(&self, commit: Oid, before: Option<Oid>, after: Oid) -> Result<LogEntry, RegistryError> {
        let after = self.snapshot_in(Some(after))?;
        let events = diff::diff(&self.snapshot_in(before)?, &after, CompareLimits::default())?.events;
        let info = self.repo().commit(&commit)?;
        let by = self.name_of(&after, &info.author)?;
        let landed_by = self.name_of(&after, &info.committer)?;
        let asked_by = self.askers(&after, &info)?;
        Ok(LogEntry {
            commit,
            asked_by,
            at: info.committer.time,
            landed_by: (landed_by != by).then_some(landed_by),
            by,
            author: info.author.name,
            signed: info.signed,
            comment: without_trailers(&info.body),
            events,
        })
    }

    /// Returns the authors of the commits that a merge added; if there are too many, only the author of the newest.
    fn askers(&self, after: &Snapshot<'_>, info: &Commit) -> Result<BTreeSet<UserName>, RegistryError> {
        let [first, merged @ ..] = info.parents.as_slice() else { return Ok(BTreeSet::new()) };
        let brought = self.brought(merged, *first)?;
        brought.iter().map(|id| self.name_of(after, &self.repo().commit(id)?.author)).collect()
    }

    /// Returns the commits that the merge of some tips adds to another commit; if there are very many, the tips.
    pub(super) fn brought(&self, merged: &[Oid], onto: Oid) -> Result<Vec<Oid>, RegistryError> {
        let mut out = Vec::new();
        for tip in merged {
            out.extend(self.repo().new_commits(*tip, &[onto], MERGED)?.unwrap_or_else(|| vec![*tip]));
        }
        Ok(out)
    }

    /// Returns the person of an identity. An address that is not a valid id is shown with the characters of an id.
    pub(super) fn name_of(&self, snapshot: &Snapshot<'_>, who: &Ident) -> Result<UserName, RegistryError> {
        let email = self.repo().resolve_ident(who).email;
        if let Some(user) = snapshot.person_by_email(&email)? {
            return Ok(user);
        }
        UserName::new(email.to_lowercase()).or_else(|_| {
            let plain: String =
                email.chars().filter(|c| c.is_ascii_alphanumeric() || "._@+-".contains(*c)).take(100).collect();
            UserName::new(format!("x{plain}")).map_err(|_| RegistryError::NoPerson { email })
        })
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<LogEntry, RegistryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let step = match self.walk.next()? {
                Ok(step) => step,
                Err(e) => return Some(Err(e.into())),
            };
            match self.registry.step(step.commit, step.parent) {
                Ok(entry) if entry.events.is_empty() => {}
                other => return Some(other),
            }
        }
    }
}

/// Whether git would resolve a text with a reflog: `main@{1}`, or the text between such braces: `1`, `-1`, `u`.
fn is_reflog(moment: &str) -> bool {
    let number = moment.strip_prefix('-').unwrap_or(moment);
    let short = number.len() < 7 && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    short || moment.contains("@{") || matches!(moment, "u" | "upstream" | "push")
}

/// Returns the body of a commit without its trailers.
fn without_trailers(body: &str) -> String {
    let body = body.trim();
    let is_trailer = |line: &str| {
        line.split_once(": ")
            .is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    let (rest, last) = body.rsplit_once("\n\n").unwrap_or(("", body));
    if last.lines().all(is_trailer) { rest.trim().to_owned() } else { body.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_reflog_are_told_from_times_and_revisions() {
        for text in ["1", "0", "-1", "123456", "u", "upstream", "push", "main@{1}", "HEAD@{yesterday}"] {
            assert!(is_reflog(text), "{text}");
        }
        for text in ["", "1d", "HEAD~1", "1234567", "2026-03-01", "main", "deadbeef", "-", "v1"] {
            assert!(!is_reflog(text), "{text}");
        }
    }
}
