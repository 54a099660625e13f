//! The steps that no gate has seen are judged when they are found, and everybody is told of those that break a rule.
//!
//! It has a cursor of its own and holds up nothing: what happened is told at once, the verdict when it is there. What a
//! gate let pass is known by the record of its push. That is written a moment after the branch moved, so where pushes
//! are recorded a step without a record is given that moment.

use std::rc::Rc;
use std::time::Duration;

use super::WatchError;
use super::run::Runner;
use super::tell::{Level, Message};
use crate::outbox::{Cursor, Lead, Ledger, Origin, Outbox, OutboxError};
use crate::pushes::Pushes;
use crate::tree::Oid;

/// The name under which is noted how far was judged.
const JUDGED: &str = "_judged";

/// How long a step may wait for the record of its push.
const GRACE: Duration = Duration::from_secs(3);

/// How many steps are looked at before work is given out again.
const ROUND: usize = 16;

/// How far was judged.
pub(super) struct Judge {
    ledger: Ledger,
    /// Since when the newest step is known.
    seen: Duration,
    /// Until when the record of a push is waited for.
    until: Option<Duration>,
}

impl Judge {
    pub(super) fn open(outbox: &Outbox, lead: &Lead, begin: Cursor) -> Result<Self, OutboxError> {
        let ledger = match outbox.open(JUDGED, lead)? {
            Some(ledger) => ledger,
            None => outbox.begin(JUDGED, begin, lead)?,
        };
        Ok(Self { ledger, seen: Duration::ZERO, until: None })
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.ledger.state().cursor()
    }

    /// The branch moved.
    pub(super) fn saw(&mut self, now: Duration) {
        self.seen = now;
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.until
    }

    /// Whether a step waits for its record.
    pub(super) fn waits(&self) -> bool {
        self.until.is_some()
    }

    pub(super) fn sync(&mut self) -> Result<(), OutboxError> {
        self.ledger.sync()
    }
}

impl Runner<'_> {
    /// Judges a few steps; true if there are more.
    pub(super) fn judge_some(&mut self) -> Result<bool, WatchError> {
        self.judge.until = None;
        let Some(tip) = self.line.tip() else { return Ok(false) };
        let cursor = self.judge.cursor();
        if cursor.origin.commit == tip {
            return Ok(false);
        }
        let Some(mut place) = self.line.place(&cursor.origin.commit) else {
            // The history was rewritten, which is told; what it is now is judged by `greenroom verify`.
            self.judge.ledger.plan(Cursor::after(tip), Vec::new())?;
            return Ok(false);
        };
        let registry = Rc::clone(&self.registry);
        let pushes = Pushes::open(registry.repo())?;
        let mut done = None;
        for _ in 0..ROUND {
            let Some(commit) = self.line.at(place + 1) else { break };
            if !self.options.vouched.has(&commit) && pushes.landing(&commit, registry.branch())?.is_none() {
                let until = self.judge.seen + GRACE;
                if pushes.tip().is_some() && self.options.clock.elapsed() < until {
                    self.judge.until = Some(until);
                    break;
                }
                self.judge_step(commit, tip)?;
            }
            done = Some(commit);
            place += 1;
        }
        if let Some(done) = done {
            self.judge.ledger.plan(Cursor::after(done), Vec::new())?;
        }
        Ok(self.judge.until.is_none() && self.line.at(place + 1).is_some())
    }

    /// Judges a step, and notes for each channel that it has to tell if it breaks a rule.
    fn judge_step(&mut self, commit: Oid, tip: Oid) -> Result<(), WatchError> {
        let registry = Rc::clone(&self.registry);
        let origin = Origin { commit, before: None };
        let step = self.reader.derive(&registry, origin)?;
        let Some(happening) = self.reader.violation(&registry, &step)? else { return Ok(()) };
        self.options.counters.violated();
        let text = "a step that no gate has seen breaks rules; `greenroom verify` tells which";
        self.say(Message::new(Level::Error, text).with("commit", commit).with("by", &happening.by));
        self.add_jobs(&registry, &happening, origin, tip)
    }
}
