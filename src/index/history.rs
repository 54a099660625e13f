//! Queries about the past: the log of a model or version, and the commit as of a time.

use super::error::{Fault, damaged};
use super::head::LoadedIndex;
use super::record::{CommitRecord, EventText, Posting, StepRow, short_key};
use super::{Index, IndexError, folder, key};
use crate::name::{ModelName, UserName};
use crate::registry::{Registry, RegistryError};
use crate::time::Timestamp;
use crate::tree::Oid;

/// The largest number of commits that the index may be behind and still be used, without an update, for a query as of a
/// time.
const BEHIND: usize = 1000;

/// The subject of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HistorySubject {
    /// Everything.
    #[default]
    All,
    /// A model and its versions, including the model's former names.
    Model(ModelName),
    /// One version.
    Version(ModelName, u64),
}

/// The filter of a log query.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// The models and versions that the log covers.
    pub subject: HistorySubject,
    /// Only entries up to and including this commit of the first-parent history.
    pub at: Option<Oid>,
    /// Only entries at or after this time.
    pub since: Option<Timestamp>,
    /// Only entries at or before this time.
    pub until: Option<Timestamp>,
    /// Only entries that this person authored, contributed to through a merged branch, or committed.
    pub by: Option<UserName>,
    /// Only events of this name; `*` stands for any text.
    pub event: Option<String>,
    /// Return at most this many entries, newest first.
    pub limit: Option<usize>,
    /// Only entries with a smaller [`HistoryEntry::number`]: for the next page.
    pub before: Option<u64>,
}

/// A commit in the log, with the selected events.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The commit's number in the first-parent history, from 0.
    pub number: u64,
    /// The id of the commit.
    pub commit: Oid,
    /// The first parent; `None` for the first commit.
    pub parent: Option<Oid>,
    /// The time of the commit, see [`stamp`](crate::git::stamp).
    pub at: Timestamp,
    /// The author as a person of the registry.
    pub by: String,
    /// The author's name as written.
    pub author: String,
    /// The committer as a person, if it is another person.
    pub landed_by: Option<String>,
    /// For a merge: the authors of the merged commits.
    pub asked_by: Vec<String>,
    /// Whether the commit carries a signature.
    pub signed: bool,
    /// The comment: the commit's body without trailers.
    pub comment: String,
    /// The events; never empty.
    pub acts: Vec<EventText>,
}

impl Index<'_> {
    /// Returns the log entries that match a filter, newest first. Commits without matching events are left out.
    ///
    /// # Errors
    /// [`IndexError::OffLine`] if `filter.at` is not in the history; other [`IndexError`]s if the index can neither be
    /// read nor built.
    pub fn log(&mut self, filter: &LogFilter) -> Result<Vec<HistoryEntry>, IndexError> {
        self.ask(|state| log(state, filter))
    }

    /// Returns the entries of the commits with these numbers, oldest first. Commits without events are left out.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn entries(&mut self, numbers: std::ops::Range<u64>) -> Result<Vec<HistoryEntry>, IndexError> {
        self.ask(|state| {
            if state.tip.is_none() {
                return Ok(Vec::new());
            }
            let (mut log, all) = (Log::new(state)?, LogFilter::default());
            let numbers = numbers.start..numbers.end.min(state.count);
            numbers.filter_map(|number| log.entry(number, &all, |_| true).transpose()).collect()
        })
    }

    /// Returns the number of a commit in the first-parent history.
    ///
    /// # Errors
    /// [`IndexError::OffLine`] if the commit is not in the history; other [`IndexError`]s if the index can neither be
    /// read nor built.
    pub fn number(&mut self, commit: Oid) -> Result<u64, IndexError> {
        self.ask(|state| match state.tip {
            None => Err(Fault::Other(IndexError::OffLine(commit))),
            Some(_) => Log::new(state)?.number(commit),
        })
    }

    /// Returns the commit with a number; `None` beyond the newest.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn commit(&mut self, number: u64) -> Result<Option<Oid>, IndexError> {
        self.ask(|state| match number < state.count {
            true => Ok(Some(row(&state.steps.whole()?, number)?.commit)),
            false => Ok(None),
        })
    }

    /// Returns the time of the newest commit; `None` if there is no commit.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn landed(&mut self) -> Result<Option<Timestamp>, IndexError> {
        self.ask(|state| Ok(state.tip.map(|_| Timestamp::from_millis(state.landed))))
    }

    /// Returns the newest commit as of a time; `None` if there was none yet. The result equals that of
    /// [`Repo::landed_at`](crate::git::Repo::landed_at), which reads each commit.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn landed_at(&mut self, time: Timestamp) -> Result<Option<Oid>, IndexError> {
        self.ask(|state| match state.tip {
            None => Ok(None),
            Some(_) => landed_in(&state.steps.whole()?, state.count, time),
        })
    }
}

/// Returns the newest commit as of a time, with the help of the stored index if it is not far behind `tip`, else by
/// reading each commit. Changes nothing on disk.
///
/// # Errors
/// [`RegistryError`] if the history cannot be read.
pub fn landed(registry: &Registry, tip: Oid, time: Timestamp) -> Result<Option<Oid>, RegistryError> {
    match landed_with_index(registry, tip, time) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) | Err(Fault::Damaged(_)) => Ok(registry.repo().landed_at(tip, time)?),
        Err(Fault::Other(IndexError::Registry(e))) => Err(e),
        Err(Fault::Other(_)) => Ok(registry.repo().landed_at(tip, time)?),
    }
}

/// Tries to answer with the index; returns `None` if the index cannot help.
fn landed_with_index(registry: &Registry, tip: Oid, time: Timestamp) -> Result<Option<Option<Oid>>, Fault> {
    let Some(state) = LoadedIndex::load(&folder(registry), &key(registry))? else { return Ok(None) };
    let mut newer = Vec::new();
    if state.tip != Some(tip) {
        let mut known = false;
        for step in registry.repo().first_parents(tip)?.take(BEHIND) {
            let step = step?;
            known = Some(step.commit) == state.tip;
            if known {
                break;
            }
            newer.push(step);
        }
        if !known {
            return Ok(None);
        }
    }
    let mut found = landed_in(&state.steps.whole()?, state.count, time)?;
    if found == state.tip {
        for step in newer.iter().rev() {
            if registry.repo().time_of(&step.commit).map_err(RegistryError::from).map_err(IndexError::from)? > time {
                break;
            }
            found = Some(step.commit);
        }
    }
    Ok(Some(found))
}

/// Returns the last of the steps as of a time.
fn landed_in(steps: &[u8], count: u64, time: Timestamp) -> Result<Option<Oid>, Fault> {
    match first_after(steps, count, time)? {
        0 => Ok(None),
        n => Ok(Some(row(steps, n - 1)?.commit)),
    }
}

/// Returns the number of the first commit after a time.
fn first_after(steps: &[u8], count: u64, time: Timestamp) -> Result<u64, Fault> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        let landed = usize::try_from(middle).ok().and_then(|n| StepRow::landed(steps, n));
        if landed.ok_or_else(|| damaged("the steps end too early"))? <= time.as_millis() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

pub(super) fn row(steps: &[u8], number: u64) -> Result<StepRow, Fault> {
    let row = usize::try_from(number).ok().and_then(|n| StepRow::get(steps, n));
    row.ok_or_else(|| damaged("the steps end too early"))
}

fn log(state: &LoadedIndex, filter: &LogFilter) -> Result<Vec<HistoryEntry>, Fault> {
    if state.tip.is_none() {
        return Ok(Vec::new());
    }
    let mut log = Log::new(state)?;
    let low = filter.since.map_or(Ok(0), |t| first_after(&log.steps, state.count, t.plus_millis(-1)))?;
    let high = filter.until.map_or(Ok(state.count), |t| first_after(&log.steps, state.count, t))?;
    let high = high.min(filter.before.unwrap_or(u64::MAX)).min(match filter.at {
        Some(commit) => log.number(commit)?.saturating_add(1),
        None => u64::MAX,
    });
    let limit = filter.limit.unwrap_or(usize::MAX);
    let mut out = Vec::new();
    match &filter.subject {
        HistorySubject::All => {
            for number in (low..high).rev() {
                if out.len() >= limit {
                    break;
                }
                out.extend(log.entry(number, filter, |_| true)?);
            }
        }
        HistorySubject::Model(model) => log.of_model(model, None, low..high, filter, &mut out)?,
        HistorySubject::Version(model, version) => log.of_model(model, Some(*version), low..high, filter, &mut out)?,
    }
    Ok(out)
}

/// The history part of an index, open for reading.
pub(super) struct Log<'s> {
    state: &'s LoadedIndex,
    pub(super) steps: Vec<u8>,
    records: super::part::IndexPartReader<'s>,
}

impl<'s> Log<'s> {
    pub(super) fn new(state: &'s LoadedIndex) -> Result<Self, Fault> {
        Ok(Self { state, steps: state.steps.whole()?, records: state.records.reader()? })
    }

    /// Returns the number of a commit.
    pub(super) fn number(&self, commit: Oid) -> Result<u64, Fault> {
        for number in (0..self.state.count).rev() {
            if row(&self.steps, number)?.commit == commit {
                return Ok(number);
            }
        }
        Err(Fault::Other(IndexError::OffLine(commit)))
    }

    pub(super) fn record(&mut self, row: &StepRow) -> Result<CommitRecord, Fault> {
        let mut bytes = Vec::new();
        self.records.checked(row.at, row.len, row.crc, &mut bytes)?;
        CommitRecord::decode(&bytes)
    }

    /// Returns the entry of a number with the wanted events; `None` if it has none.
    fn entry(
        &mut self,
        number: u64,
        filter: &LogFilter,
        wanted: impl Fn(&EventText) -> bool,
    ) -> Result<Option<HistoryEntry>, Fault> {
        let row = row(&self.steps, number)?;
        let mut record = self.record(&row)?;
        record.acts.retain(|a| wanted(a) && filter.event.as_ref().is_none_or(|p| matches(p, &a.name)));
        let by = filter.by.as_ref().map(UserName::as_str);
        let had_part = |by: &str| {
            record.by == by || record.landed_by.as_deref() == Some(by) || record.asked_by.iter().any(|a| a == by)
        };
        let is_by = by.is_none_or(had_part);
        if record.acts.is_empty() || !is_by {
            return Ok(None);
        }
        let parent = match number {
            0 => None,
            n => Some(self::row(&self.steps, n - 1)?.commit),
        };
        let CommitRecord { at: _, by, author, landed_by, asked_by, signed, comment, acts } = record;
        let at = Timestamp::from_millis(row.landed);
        let commit = row.commit;
        Ok(Some(HistoryEntry { number, commit, parent, at, by, author, landed_by, asked_by, signed, comment, acts }))
    }

    /// Collects the entries of a model, or of one of its versions. Reads backwards and follows the model's former
    /// names.
    fn of_model(
        &mut self,
        model: &ModelName,
        version: Option<u64>,
        numbers: std::ops::Range<u64>,
        filter: &LogFilter,
        out: &mut Vec<HistoryEntry>,
    ) -> Result<(), Fault> {
        let postings = self.state.postings.whole()?;
        let mut name = model.as_str().to_owned();
        let mut key = short_key(&name);
        let mut last = None;
        for posting in postings.chunks_exact(Posting::SIZE).rev() {
            if !Posting::is_of(posting, key) {
                continue;
            }
            let found = Posting::decode(posting).ok_or_else(|| damaged("the postings cannot be read"))?;
            if found.number < numbers.start || out.len() >= filter.limit.unwrap_or(usize::MAX) {
                break;
            }
            let is_wanted = version.is_none_or(|v| v == found.version);
            if is_wanted && last != Some(found.number) && numbers.contains(&found.number) {
                last = Some(found.number);
                let is_of = |a: &EventText| a.model.as_ref() == Some(&name) || a.renamed_from.as_ref() == Some(&name);
                let wanted = |a: &EventText| is_of(a) && version.is_none_or(|v| a.version == Some(v));
                out.extend(self.entry(found.number, filter, wanted)?);
            }
            if found.renames {
                let record = self.record(&row(&self.steps, found.number)?)?;
                let renamed =
                    record.acts.into_iter().find(|a| a.model.as_ref() == Some(&name) && a.renamed_from.is_some());
                if let Some(from) = renamed.and_then(|a| a.renamed_from) {
                    key = short_key(&from);
                    name = from;
                }
            }
        }
        Ok(())
    }
}

/// Whether a name matches a pattern in which `*` stands for any text.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
    let between = parts.count().saturating_sub(1);
    for part in pattern.split('*').skip(1).take(between) {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_events_match_as_one_expects() {
        for (pattern, name, is_match) in [
            ("version.created", "version.created", true),
            ("version.created", "version.created2", false),
            ("version.*", "version.created", true),
            ("*.created", "model.created", true),
            ("*", "alias.set", true),
            ("*tag*", "version.tag_set", true),
            ("v*.*_set", "version.tag_set", true),
            ("v*.*_set", "version.tag_deleted", false),
            ("request", "request.created", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), is_match, "{pattern} {name}");
        }
    }
}
