//! The state of one channel on disk, and each change of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::OutboxError;
use super::journal::{self, Journal};
use super::state::{ChannelState, Cursor, JournalRecord, PendingJob, SuspensionReason, VERSION, millis};
use crate::time::Timestamp;

/// The size from which a journal is rewritten, in bytes.
const COMPACT_FROM: u64 = 1 << 20;

/// The longest text about an attempt that is kept, in characters.
const MAX_SAID: usize = 300;

/// The state of one channel, and its journal. Each change is written to the journal before it takes effect.
///
/// If a power cut loses records that were not flushed, these are the last records of the journal: then the same jobs
/// are planned and sent again. So only changes that must not be lost are flushed: the first position of the cursor,
/// jobs before they are sent, dead letters, and the suspension of the channel.
pub struct Ledger {
    path: PathBuf,
    journal: Journal,
    state: ChannelState,
    /// The size beyond which the journal is rewritten, in bytes.
    compact_at: u64,
    dropped: u64,
}

/// Reads the state of a journal without changing it.
pub(super) fn look(path: &Path) -> Result<Option<ChannelState>, OutboxError> {
    journal::read(path)?.map(|contents| fold(path, contents.records)).transpose()
}

fn fold(path: &Path, records: Vec<JournalRecord>) -> Result<ChannelState, OutboxError> {
    let damaged = || OutboxError::Damaged { path: path.to_owned() };
    let mut records = records.into_iter();
    let Some(JournalRecord::Whole { version: VERSION, cursor, .. }) = records.as_slice().first() else {
        return Err(damaged());
    };
    let mut state = ChannelState::at(*cursor);
    records.by_ref().for_each(|record| state.apply(record));
    Ok(state)
}

impl Ledger {
    pub(super) fn open(path: &Path) -> Result<Option<Self>, OutboxError> {
        let Some(mut contents) = journal::read(path)? else { return Ok(None) };
        let journal = Journal::resume(path, &contents)?;
        let state = fold(path, std::mem::take(&mut contents.records))?;
        let ledger =
            Self { path: path.to_owned(), compact_at: COMPACT_FROM, journal, state, dropped: contents.dropped };
        Ok(Some(ledger))
    }

    pub(super) fn begin(path: &Path, cursor: Cursor) -> Result<Self, OutboxError> {
        let state = ChannelState::at(cursor);
        let mut journal = Journal::create(path, &state.whole())?;
        journal.sync()?;
        Ok(Self { path: path.to_owned(), compact_at: COMPACT_FROM, journal, state, dropped: 0 })
    }

    /// Returns the state of the channel.
    pub fn state(&self) -> &ChannelState {
        &self.state
    }

    /// Returns the number of invalid bytes that were cut off at the end when the journal was opened: a few after a
    /// crash.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Moves the cursor and stores the jobs of the steps that it passed, in one record. If there are jobs, the record
    /// is on disk when this returns. Returns the queues that had no jobs before.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn plan(&mut self, cursor: Cursor, jobs: Vec<PendingJob>) -> Result<Vec<String>, OutboxError> {
        let mut fresh: Vec<String> = Vec::new();
        for job in &jobs {
            if self.state.lane(&job.lane).next().is_none() && !fresh.contains(&job.lane) {
                fresh.push(job.lane.clone());
            }
        }
        let sync = !jobs.is_empty();
        self.write(JournalRecord::Planned { cursor, jobs }, sync)?;
        fresh.retain(|lane| self.state.lane(lane).next().is_some());
        Ok(fresh)
    }

    /// Stores jobs without moving the cursor. Returns the queues that had no jobs before.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn add(&mut self, jobs: Vec<PendingJob>) -> Result<Vec<String>, OutboxError> {
        self.plan(self.state.cursor(), jobs)
    }

    /// Records that a job was delivered.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn delivered(&mut self, id: &str, at: Timestamp, said: &str) -> Result<(), OutboxError> {
        self.write(JournalRecord::Delivered { id: id.to_owned(), at: millis(at), said: short(said) }, false)
    }

    /// Records that an attempt failed, and how long after `now` the job is retried.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn failed(&mut self, id: &str, now: Timestamp, wait: Duration, why: &str) -> Result<(), OutboxError> {
        self.put_off(id, now, wait, why, false)
    }

    /// Records that a job was deferred for a cause of its own, while the channel works, and how long after `now` the
    /// job is retried.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn deferred(&mut self, id: &str, now: Timestamp, wait: Duration, why: &str) -> Result<(), OutboxError> {
        self.put_off(id, now, wait, why, true)
    }

    fn put_off(
        &mut self,
        id: &str,
        now: Timestamp,
        wait: Duration,
        why: &str,
        deferred: bool,
    ) -> Result<(), OutboxError> {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let next = millis(now.plus_millis(i64::try_from(wait).unwrap_or(i64::MAX)));
        self.write(JournalRecord::Failed { id: id.to_owned(), next, wait, why: short(why), deferred }, false)
    }

    /// Records that a job became a dead letter.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn died(&mut self, id: &str, at: Timestamp, why: &str) -> Result<(), OutboxError> {
        self.write(JournalRecord::Died { id: id.to_owned(), at: millis(at), why: short(why) }, true)
    }

    /// Suspends the channel until its settings differ from `settings`.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn suspend(&mut self, at: Timestamp, why: &str, settings: &str) -> Result<(), OutboxError> {
        let suspended = SuspensionReason { why: short(why), at: millis(at), settings: settings.to_owned() };
        self.write(JournalRecord::Suspended { suspended }, true)
    }

    /// Resumes a suspended channel.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn resume(&mut self) -> Result<(), OutboxError> {
        if self.state.suspended().is_some() { self.write(JournalRecord::Resumed, true) } else { Ok(()) }
    }

    /// Queues dead letters again: the ones with these ids, or all if `ids` is empty. Returns their number, and the
    /// queues that have jobs now.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be written.
    pub fn revive(&mut self, ids: &[String]) -> Result<(usize, Vec<String>), OutboxError> {
        let wanted = |id: &String| ids.is_empty() || ids.contains(id);
        let found: Vec<(String, String)> =
            self.state.dead().map(|d| (d.job.id.clone(), d.job.lane.clone())).filter(|(id, _)| wanted(id)).collect();
        let mut lanes = Vec::new();
        for (id, lane) in &found {
            self.write(JournalRecord::Revived { id: id.clone() }, false)?;
            if !lanes.contains(lane) {
                lanes.push(lane.clone());
            }
        }
        self.sync()?;
        Ok((found.len(), lanes))
    }

    /// Waits until all records are on disk.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Io`] when the journal cannot be flushed.
    pub fn sync(&mut self) -> Result<(), OutboxError> {
        self.journal.sync()
    }

    fn write(&mut self, record: JournalRecord, sync: bool) -> Result<(), OutboxError> {
        self.journal.append(std::slice::from_ref(&record))?;
        if sync {
            self.journal.sync()?;
        }
        self.state.apply(record);
        if self.journal.bytes() > self.compact_at {
            self.compact();
        }
        Ok(())
    }

    /// Rewrites the journal as one record. No record is lost if this fails, for example on a full disk: the old journal
    /// stays in use, and the next attempt follows after more records.
    fn compact(&mut self) {
        self.compact_at = match Journal::create(&self.path, &self.state.whole()) {
            Ok(journal) => {
                self.journal = journal;
                COMPACT_FROM.max(self.journal.bytes().saturating_mul(3))
            }
            Err(_) => self.journal.bytes() + COMPACT_FROM,
        };
    }
}

/// Returns a text about an attempt as one line, cut to the length that is kept.
fn short(text: &str) -> String {
    crate::text::one_line(text).chars().take(MAX_SAID).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state::{EventOrigin, Failing, delivery_id};
    use super::*;
    use crate::tree::Oid;

    fn commit(n: u32) -> Oid {
        Oid::from_hex(&format!("{n:040x}")).expect("40 digits")
    }

    fn job(n: u32, lane: &str) -> PendingJob {
        let origin = EventOrigin { commit: commit(n), before: n.is_multiple_of(5).then(|| commit(n + 1)) };
        PendingJob {
            id: delivery_id("hook", &origin, 0, "k"),
            lane: lane.to_owned(),
            key: "k".to_owned(),
            origin,
            ordinal: 0,
            event: "version.created".to_owned(),
            landed: 1000,
            not_before: n.is_multiple_of(2).then_some(2000),
            attempts: 0,
            next: None,
            wait: None,
            error: None,
        }
    }

    fn at(n: u32) -> Timestamp {
        Timestamp::from_millis(i64::from(n))
    }

    #[test]
    fn what_was_noted_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook.journal");
        let mut ledger = Ledger::begin(&path, Cursor::after(commit(0))).unwrap();
        let jobs: Vec<PendingJob> = (1..6).map(|n| job(n, if n % 2 == 0 { "even" } else { "odd" })).collect();
        let fresh = ledger.plan(Cursor { next: Some(3), ..Cursor::after(commit(5)) }, jobs.clone()).unwrap();
        assert_eq!(fresh, ["odd", "even"]);
        assert!(
            ledger.add(vec![job(2, "even")]).unwrap().contains(&"even".to_owned()) || ledger.state().waiting() == 5
        );
        ledger.delivered(&jobs[0].id, at(7), "200 OK").unwrap();
        ledger.failed(&jobs[2].id, at(9), Duration::from_secs(5), "500\nno").unwrap();
        ledger.died(&jobs[1].id, at(8), "410").unwrap();
        ledger.suspend(at(10), "gone", "settings").unwrap();
        let known = ledger.state().clone();
        drop(ledger);
        let again = Ledger::open(&path).unwrap().expect("it is there");
        assert_eq!(again.state(), &known);
        assert_eq!(known.waiting(), 3);
        assert_eq!(known.lane("odd").map(|j| j.attempts).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(known.dead().map(|d| d.job.error.clone()).collect::<Vec<_>>(), [Some("410".to_owned())]);
        assert_eq!(known.recent().map(|p| p.said.as_str()).collect::<Vec<_>>(), ["200 OK"]);
        assert_eq!(known.suspended().map(|s| s.why.as_str()), Some("gone"));
        let mut again = again;
        assert_eq!(again.revive(&[]).unwrap(), (1, vec!["even".to_owned()]));
        again.resume().unwrap();
        assert_eq!((again.state().waiting(), again.state().suspended()), (4, None));
    }

    #[test]
    fn since_when_a_channel_fails_outlives_restarts_and_ends_with_a_success() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook.journal");
        let mut ledger = Ledger::begin(&path, Cursor::after(commit(0))).unwrap();
        let jobs: Vec<PendingJob> = (1..5).map(|n| job(n, "a")).collect();
        ledger.add(jobs.clone()).unwrap();
        assert_eq!(ledger.state().failing(), None);
        let wait = Duration::from_secs(60);
        for (n, job) in (10..).zip(&jobs[..3]) {
            ledger.failed(&job.id, at(n), wait, "no").unwrap();
        }
        let failing = Some(Failing { since: 10, attempts: 3 });
        assert_eq!(ledger.state().failing(), failing);
        assert_eq!(Ledger::open(&path).unwrap().expect("there").state().failing(), failing);
        ledger.compact();
        let mut ledger = Ledger::open(&path).unwrap().expect("there");
        assert_eq!(ledger.state().failing(), failing);
        ledger.deferred(&jobs[0].id, at(20), wait, "a full mailbox").unwrap();
        assert_eq!(ledger.state().failing(), None, "who defers one answers");
        ledger.failed(&jobs[1].id, at(30), wait, "no").unwrap();
        ledger.delivered(&jobs[2].id, at(31), "ok").unwrap();
        assert_eq!(ledger.state().failing(), None);
        ledger.failed(&jobs[1].id, at(40), wait, "no").unwrap();
        ledger.suspend(at(50), "dead", "settings").unwrap();
        assert_eq!(ledger.state().failing(), Some(Failing { since: 40, attempts: 1 }));
        ledger.resume().unwrap();
        assert_eq!(ledger.state().failing(), None, "it has all the time again");
    }

    #[test]
    fn a_job_that_is_known_is_not_added_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::begin(&folder.path().join("x.journal"), Cursor::after(commit(0))).unwrap();
        ledger.add(vec![job(1, "a"), job(1, "a")]).unwrap();
        assert_eq!(ledger.state().waiting(), 1);
        ledger.died(&job(1, "a").id, at(1), "no").unwrap();
        assert_eq!(ledger.add(vec![job(1, "a")]).unwrap(), Vec::<String>::new());
        assert_eq!((ledger.state().waiting(), ledger.state().dead().count()), (0, 1));
    }

    #[test]
    fn a_journal_is_written_anew_and_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.journal");
        let mut ledger = Ledger::begin(&path, Cursor::after(commit(0))).unwrap();
        let why = "x".repeat(280);
        for n in 1..6_000 {
            ledger.add(vec![job(n, "a")]).unwrap();
            ledger.delivered(&job(n, "a").id, at(n), &why).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 2 * COMPACT_FROM);
        let known = ledger.state().clone();
        drop(ledger);
        let again = Ledger::open(&path).unwrap().expect("there");
        assert_eq!(again.state().whole(), known.whole(), "all but how jobs are numbered inside");
        assert_eq!(known.delivered(), 5_999);
    }

    #[test]
    fn where_a_journal_cannot_be_written_anew_it_goes_on_and_is_written_anew_later() {
        let folder = tempfile::tempdir().unwrap();
        let (here, away) = (folder.path().join("here"), folder.path().join("away"));
        std::fs::create_dir(&here).unwrap();
        let path = here.join("x.journal");
        let mut ledger = Ledger::begin(&path, Cursor::after(commit(0))).unwrap();
        // No file can be created in a folder that is gone, but an open file can be written.
        std::fs::rename(&here, &away).unwrap();
        let why = "x".repeat(280);
        let write = |ledger: &mut Ledger, numbers: std::ops::Range<u32>| {
            for n in numbers {
                assert_eq!(ledger.add(vec![job(n, "a")]).unwrap(), ["a"], "a lane is not lost");
                ledger.delivered(&job(n, "a").id, at(n), &why).unwrap();
            }
        };
        write(&mut ledger, 1..2_000);
        std::fs::rename(&away, &here).unwrap();
        let long = std::fs::metadata(&path).unwrap().len();
        assert!(long > COMPACT_FROM, "it was not written anew: {long}");
        assert_eq!(Ledger::open(&path).unwrap().expect("there").state(), ledger.state());
        write(&mut ledger, 2_000..5_000);
        assert!(std::fs::metadata(&path).unwrap().len() < long);
        assert_eq!(look(&path).unwrap().expect("there").whole(), ledger.state().whole());
    }

    #[test]
    fn ids_tell_apart_what_differs() {
        let origin = |n, before| EventOrigin { commit: commit(n), before };
        let ids = [
            delivery_id("a", &origin(1, None), 0, "k"),
            delivery_id("b", &origin(1, None), 0, "k"),
            delivery_id("a", &origin(2, None), 0, "k"),
            delivery_id("a", &origin(1, Some(commit(3))), 0, "k"),
            delivery_id("a", &origin(1, None), 1, "k"),
            delivery_id("a", &origin(1, None), 0, "l"),
        ];
        let different: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
        assert_eq!(ids[0], delivery_id("a", &origin(1, None), 0, "k"));
    }

    proptest! {
        /// After any records, the file cut off at any line is the state of that moment.
        #[test]
        fn every_prefix_is_the_state_that_was(steps in prop::collection::vec((0_u8..6, 0_u32..12), 1..40), cut in 0_usize..1000) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.journal");
            let mut ledger = Ledger::begin(&path, Cursor::after(commit(0))).unwrap();
            let mut states = vec![(std::fs::metadata(&path).unwrap().len(), ledger.state().clone())];
            for (what, n) in steps {
                let job = job(n, if n % 3 == 0 { "a" } else { "b" });
                match what {
                    0 | 1 => drop(ledger.plan(Cursor::after(commit(n)), vec![job]).unwrap()),
                    2 => ledger.delivered(&job.id, at(n), "ok").unwrap(),
                    3 => ledger.failed(&job.id, at(n), Duration::from_secs(5), "no").unwrap(),
                    4 => ledger.died(&job.id, at(n), "dead").unwrap(),
                    _ => ledger.suspend(at(n), "gone", "s").unwrap(),
                }
                states.push((std::fs::metadata(&path).unwrap().len(), ledger.state().clone()));
            }
            drop(ledger);
            let bytes = std::fs::read(&path).unwrap();
            let first = usize::try_from(states[0].0).unwrap();
            let end = first + cut % (bytes.len() - first + 1);
            std::fs::write(&path, &bytes[..end]).unwrap();
            let (_, wanted) = states.iter().rfind(|(len, _)| usize::try_from(*len).unwrap() <= end).unwrap();
            let found = Ledger::open(&path).unwrap().expect("there");
            prop_assert_eq!(found.state(), wanted);
        }
    }
}
