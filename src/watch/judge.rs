//! Judges steps that no gate has judged, and reports rule violations to all channels.
//!
//! The judge has its own cursor and delays nothing: events are sent at once, the verdict when it is ready. A record of
//! pushes shows that a gate accepted a push. That record is written a moment after the branch moved. So if pushes are
//! recorded, a step without a record is given that moment.

use std::rc::Rc;
use std::time::Duration;

use super::WatchError;
use super::reporter::{Message, MessageLevel};
use super::run::Runner;
use crate::outbox::{Cursor, EventOrigin, Ledger, Outbox, OutboxError, SenderLock};
use crate::pushes::Pushes;
use crate::tree::Oid;

/// The name under which the judge's cursor is stored.
const JUDGED: &str = "_judged";

/// How long a step may wait for the record of its push.
const GRACE: Duration = Duration::from_secs(3);

/// The number of steps that are judged before jobs are dispatched again.
const ROUND: usize = 16;

/// The judge of steps, with its cursor.
pub(super) struct Judge {
    ledger: Ledger,
    /// The last grace period.
    grace: Option<RecordGrace>,
    /// The time until which the judge waits for the record of a push.
    until: Option<Duration>,
}

/// A grace period for the records of pushes. All steps that are known at its start share it, so that later steps do not
/// extend it.
#[derive(Clone, Copy)]
struct RecordGrace {
    /// The newest of these steps.
    last: Oid,
    until: Duration,
}

impl Judge {
    pub(super) fn open(outbox: &Outbox, lead: &SenderLock, begin: Cursor) -> Result<Self, OutboxError> {
        let ledger = match outbox.open(JUDGED, lead)? {
            Some(ledger) => ledger,
            None => outbox.begin(JUDGED, begin, lead)?,
        };
        Ok(Self { ledger, grace: None, until: None })
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.ledger.state().cursor()
    }

    /// Returns when to check again.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.until
    }

    /// Returns whether a step waits for its record.
    pub(super) fn waits(&self) -> bool {
        self.until.is_some()
    }

    pub(super) fn sync(&mut self) -> Result<(), OutboxError> {
        self.ledger.sync()
    }
}

impl Runner<'_> {
    /// Judges a few steps. Returns true if there are more.
    pub(super) fn judge_some(&mut self) -> Result<bool, WatchError> {
        self.judge.until = None;
        let Some(tip) = self.line.tip() else { return Ok(false) };
        let cursor = self.judge.cursor();
        if cursor.origin.commit == tip {
            return Ok(false);
        }
        let Some(place) = self.line.place(&cursor.origin.commit) else {
            // The history was rewritten, which is reported. `greenroom verify` judges the new history.
            self.judge.ledger.plan(Cursor::after(tip), Vec::new())?;
            return Ok(false);
        };
        let registry = Rc::clone(&self.registry);
        let pushes = Pushes::open(registry.repo())?;
        let (mut done, mut ended) = (None, Ok(true));
        for place in (place + 1..).take(ROUND) {
            let Some(commit) = self.line.at(place) else { break };
            ended = self.judge_unless_known(commit, tip, &pushes);
            if !matches!(ended, Ok(true)) {
                break;
            }
            done = Some(commit);
        }
        // Whatever happens to the next step, these steps are not reported again.
        if let Some(done) = done {
            self.judge.ledger.plan(Cursor::after(done), Vec::new())?;
        }
        Ok(ended? && done != Some(tip))
    }

    /// Judges a step unless a gate has judged it. Returns false if it has to wait for the record of its push.
    fn judge_unless_known(&mut self, commit: Oid, tip: Oid, pushes: &Pushes<'_>) -> Result<bool, WatchError> {
        if self.options.judged_commits.has(&commit) || pushes.landing(&commit, self.registry.branch())?.is_some() {
            return Ok(true);
        }
        if pushes.tip().is_some() && self.is_given_time(commit, tip) {
            return Ok(false);
        }
        self.judge_step(commit, tip)?;
        Ok(true)
    }

    fn is_given_time(&mut self, commit: Oid, tip: Oid) -> bool {
        let now = self.options.clock.elapsed();
        let shares = |grace: &RecordGrace| self.line.place(&commit) <= self.line.place(&grace.last);
        let grace = self.judge.grace.filter(shares).unwrap_or(RecordGrace { last: tip, until: now + GRACE });
        self.judge.grace = Some(grace);
        self.judge.until = Some(grace.until).filter(|until| *until > now);
        self.judge.until.is_some()
    }

    /// Judges a step. If it breaks a rule, stores a job for each channel that sends such events.
    fn judge_step(&mut self, commit: Oid, tip: Oid) -> Result<(), WatchError> {
        let registry = Rc::clone(&self.registry);
        let origin = EventOrigin { commit, before: None };
        let step = self.reader.derive(&registry, origin)?;
        let Some(notification) = self.reader.violation(&registry, &step)? else { return Ok(()) };
        self.add_jobs(&registry, &notification, origin, tip)?;
        self.options.counters.violated();
        let text = "a step that no gate has judged breaks rules; `greenroom verify` shows which";
        self.say(Message::new(MessageLevel::Error, text).with("commit", commit).with("by", &notification.by));
        Ok(())
    }
}
