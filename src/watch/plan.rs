//! Planning: the steps after a channel's cursor become jobs in its ledger, and the cursor moves, in one record.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::WatchError;
use super::channels::MAX_PENDING;
use super::derived_step::{DerivedStep, StepSnapshots, jobs};
use super::reporter::{Message, MessageLevel};
use super::run::Runner;
use crate::deliver::Channel;
use crate::outbox::{Cursor, EventOrigin, PendingJob};
use crate::tree::Oid;

/// The number of rounds that are planned before jobs are dispatched.
const ROUNDS: usize = 64;

/// How long a channel is not asked again after it failed to determine its jobs.
const DEAF: Duration = Duration::from_secs(10);

/// Channels that process a step, each from an event number on.
type Listeners = Vec<(String, u32)>;

/// Planned jobs and the new cursor of a channel, before they are written.
#[derive(Default)]
struct ChannelPlan {
    jobs: Vec<PendingJob>,
    cursor: Option<Cursor>,
    place: Option<u64>,
}

impl Runner<'_> {
    /// Plans some steps for each channel. Returns true if there are more.
    pub(super) fn plan(&mut self) -> Result<bool, WatchError> {
        let tip = self.tip()?;
        let root = Some(self.registry.repo().tree_of(&tip)?);
        let mut drafts: BTreeMap<String, ChannelPlan> = BTreeMap::new();
        let mut more = true;
        for _ in 0..ROUNDS {
            // Channels at the same position share the step, which is computed once.
            let mut due: BTreeMap<(Oid, Option<Oid>), Listeners> = BTreeMap::new();
            for name in self.served.keys() {
                if let Some((origin, from)) = self.next_of(name, drafts.get(name)) {
                    due.entry((origin.commit, origin.before)).or_default().push((name.clone(), from));
                }
            }
            if due.is_empty() {
                more = false;
                break;
            }
            for ((commit, before), names) in due {
                if let Err(e) = self.plan_step(EventOrigin { commit, before }, &names, root, &mut drafts) {
                    names.iter().for_each(|(name, _)| self.cannot_say(name, &e));
                }
            }
        }
        self.write_down(drafts)?;
        self.forget_what_is_told();
        Ok(more)
    }

    /// Returns the next step of a channel, and the event number in it. `None` if the channel is up to date or must
    /// wait.
    fn next_of(&self, name: &str, draft: Option<&ChannelPlan>) -> Option<(EventOrigin, u32)> {
        let served = self.served.get(name).filter(|s| s.is_sending())?;
        let waiting = served.ledger.state().waiting() + draft.map_or(0, |d| d.jobs.len());
        if waiting >= MAX_PENDING || served.deaf.is_some_and(|until| until > self.options.clock.elapsed()) {
            return None;
        }
        let draft = draft.filter(|d| d.cursor.is_some());
        let cursor = draft.and_then(|d| d.cursor).unwrap_or_else(|| served.ledger.state().cursor());
        if let Some(next) = cursor.next {
            return Some((cursor.origin, next));
        }
        match draft.map_or(served.place, |d| d.place) {
            Some(place) => self.line.at(place + 1).map(|commit| (EventOrigin { commit, before: None }, 0)),
            // The commit that was processed last is no longer in the first-parent history.
            None => {
                let commit = self.line.tip()?;
                Some((EventOrigin { commit, before: Some(cursor.origin.commit) }, 0))
            }
        }
    }

    /// Asks channels for the jobs of a step.
    fn plan_step(
        &mut self,
        origin: EventOrigin,
        names: &[(String, u32)],
        tip: Option<Oid>,
        drafts: &mut BTreeMap<String, ChannelPlan>,
    ) -> Result<(), WatchError> {
        let registry = Rc::clone(&self.registry);
        let step = self.reader.derive(&registry, origin)?;
        if let Some(before) = origin.before.filter(|_| names.iter().any(|(_, from)| *from == 0)) {
            self.tell_of_rewrite(before, origin.commit, names);
        }
        let around = StepSnapshots::of(&registry, &step, tip)?;
        for (name, from) in names {
            let Some(served) = self.served.get(name) else { continue };
            let draft = drafts.entry(name.clone()).or_default();
            let place = self.line.place_near(&origin.commit, draft.place.or(served.place));
            let room = MAX_PENDING.saturating_sub(served.ledger.state().waiting() + draft.jobs.len());
            let channel = &*served.channel;
            let now = self.options.clock.now();
            let asked = catch_unwind(AssertUnwindSafe(|| ask(channel, &step, *from, room, &around, now)));
            match asked {
                Ok(Ok((jobs, next))) => {
                    draft.jobs.extend(jobs);
                    draft.cursor = Some(Cursor { origin, next });
                    draft.place = place;
                }
                Ok(Err(e)) => self.cannot_say(name, &e.into()),
                Err(_) => self.cannot_say(name, &WatchError::Panicked),
            }
        }
        Ok(())
    }

    /// Reports that a channel could not determine its jobs. The channel is asked again later, and does not delay other
    /// channels.
    fn cannot_say(&mut self, name: &str, e: &WatchError) {
        let text = "a channel cannot determine its deliveries; it is asked again later";
        self.say(Message::new(MessageLevel::Error, text).with("channel", name).because(e));
        self.summary.failed += 1;
        let until = self.options.clock.elapsed() + DEAF;
        if let Some(served) = self.served.get_mut(name) {
            served.deaf = Some(until);
        }
    }

    /// Reports a rewrite of the history: it must never stay unnoticed.
    fn tell_of_rewrite(&self, before: Oid, tip: Oid, names: &[(String, u32)]) {
        let there = self.registry.repo().has(&before);
        let text = if there {
            "the history was rewritten: the last delivered commit is no longer in it; the difference is delivered"
        } else {
            "the history was rewritten, and the last delivered commit no longer exists; the difference is unknown"
        };
        let told: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        let message = Message::new(MessageLevel::Error, text).with("before", before).with("after", tip);
        self.say(message.with("channels", told.join(" ")));
    }

    fn write_down(&mut self, drafts: BTreeMap<String, ChannelPlan>) -> Result<(), WatchError> {
        for (name, draft) in drafts {
            let (Some(served), Some(cursor)) = (self.served.get_mut(&name), draft.cursor) else { continue };
            let fresh = served.ledger.plan(cursor, draft.jobs)?;
            served.place = draft.place;
            self.put_lanes(&name, &fresh);
        }
        Ok(())
    }

    /// Drops the steps that all channels have processed.
    fn forget_what_is_told(&mut self) {
        let judged = self.line.place(&self.judge.cursor().origin.commit);
        let places = self.served.values().map(|s| s.place).chain([judged]);
        if let Some(first) = places.flatten().min() {
            self.line.forget_before(first);
        }
    }
}

/// Returns the jobs of a channel for a step from an event number on, as many as there is room for. Also returns the
/// event number to continue from, if any.
fn ask(
    channel: &dyn Channel,
    step: &DerivedStep,
    from: u32,
    room: usize,
    around: &StepSnapshots<'_>,
    now: crate::time::Timestamp,
) -> Result<(Vec<PendingJob>, Option<u32>), crate::deliver::DeliverError> {
    let moment = around.moment(now);
    let mut out = Vec::new();
    for (place, notification) in (0_u32..).zip(&step.happenings).skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        if out.len() >= room {
            return Ok((out, Some(place)));
        }
        out.extend(jobs(channel, notification, step.origin, &moment)?);
    }
    Ok((out, None))
}
