//! The active channels, each with its ledger and its queues, made from the state of the registry.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::WatchError;
use super::clock::until;
use super::derived_step::{StepSnapshots, jobs, suspension};
use super::first_parent::FirstParentLine;
use super::queues::JobQueues;
use super::reporter::{Message, MessageLevel};
use super::run::Runner;
use crate::deliver::{Channel, Notification};
use crate::entity::Webhook;
use crate::outbox::{Cursor, EventOrigin, Ledger, OutboxError, OutboxRequest, PendingJob};
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::tree::{Objects as _, Oid};

/// The largest number of pending jobs of one channel. Beyond it the cursor stops, because the history itself is the
/// queue.
pub(super) const MAX_PENDING: usize = 20_000;

/// The number of queues of one channel that are processed at the same time.
const LANES: usize = 4;

/// Replaces the settings of a channel that was switched off.
const OFF: &str = "off";

/// The latest time that a job can ask to be sent at, counted from now.
const MAX_DELAY: Duration = Duration::from_secs(8 * 86_400);

/// An active channel.
pub(super) struct ServedChannel {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) ledger: Ledger,
    pub(super) lanes: JobQueues,
    /// The position of its cursor in the first-parent history. `None` if the commit is not part of it.
    pub(super) place: Option<u64>,
    /// The time until which the channel is not asked for jobs, because it failed to determine them.
    pub(super) deaf: Option<Duration>,
    /// The channel's settings.
    settings: String,
}

/// The inputs from which the channels were made, and the commit.
pub(super) struct ChannelStamp {
    tip: Oid,
    made_of: String,
}

/// A channel that is not active, because its stored state cannot be used.
pub(super) struct UnusableChannel {
    pub(super) error: OutboxError,
    /// The stamp of its file when the error was found.
    found: Option<String>,
}

impl UnusableChannel {
    /// Returns whether the file was repaired or moved away.
    fn has_changed(&self) -> bool {
        self.found != found(&self.error)
    }
}

/// Returns a stamp of the file that an error is about, to detect a change.
fn found(error: &OutboxError) -> Option<String> {
    match error {
        OutboxError::Damaged { path } => Some(file_stamp(path)),
        OutboxError::Io { .. } | OutboxError::Name(_) => None,
    }
}

impl ServedChannel {
    /// Returns whether the channel is not suspended.
    pub(super) fn is_sending(&self) -> bool {
        self.ledger.state().suspended().is_none()
    }

    /// Returns whether one more queue may be processed. While the channel fails, one queue at a time is processed.
    pub(super) fn may_send(&self) -> bool {
        self.lanes.busy() < if self.lanes.is_failing() { 1 } else { LANES }
    }
}

impl Runner<'_> {
    /// Checks where the branch is, whether settings changed, and whether requests arrived.
    pub(super) fn look(&mut self) -> Result<(), WatchError> {
        let tip = self.tip()?;
        if self.line.tip() != Some(tip) {
            self.follow(tip)?;
        }
        self.keep_up(tip)?;
        if self.looked.state().cursor() != Cursor::after(tip) {
            self.looked.plan(Cursor::after(tip), Vec::new())?;
        }
        self.do_what_was_asked()
    }

    /// Makes the channels anew if their inputs changed. If that fails, the next check tries again. Until then the
    /// channels are not known, so the stored position of the last check does not move.
    fn keep_up(&mut self, tip: Oid) -> Result<(), WatchError> {
        if self.unusable.iter().any(UnusableChannel::has_changed) {
            self.stamp = None;
        }
        if self.stamp.as_ref().is_some_and(|s| s.tip == tip && s.made_of.ends_with(&self.outside())) {
            return Ok(());
        }
        let made_of = self.stamp_of(tip)?;
        if self.stamp.as_ref().is_none_or(|s| s.made_of != made_of) {
            self.stamp = None;
            self.refresh(tip)?;
        }
        self.stamp = Some(ChannelStamp { tip, made_of });
        Ok(())
    }

    /// Extends the known history to the tip.
    fn follow(&mut self, tip: Oid) -> Result<(), WatchError> {
        if self.line.extend(self.registry.repo(), tip)? {
            return Ok(());
        }
        self.read_line(tip, None)
    }

    /// Reads the history back to the cursor of each channel, and to one more commit.
    fn read_line(&mut self, tip: Oid, one_more: Option<Oid>) -> Result<(), WatchError> {
        let cursors = self.served.values().map(|s| s.ledger.state().cursor());
        let marks = cursors.chain([self.looked.state().cursor(), self.judge.cursor()]);
        let wanted: HashSet<Oid> = marks.map(|c| c.origin.commit).chain(one_more).collect();
        self.line = FirstParentLine::read(self.registry.repo(), tip, &wanted)?;
        for served in self.served.values_mut() {
            served.place = self.line.place(&served.ledger.state().cursor().origin.commit);
        }
        Ok(())
    }

    /// Returns the inputs of the channels: ids of files and folders, and a stamp of the files outside of the tree.
    fn stamp_of(&self, tip: Oid) -> Result<String, WatchError> {
        let state = self.registry.snapshot_of(Some(tip))?;
        let mut out = String::new();
        for path in ["webhooks", "people", "greenroom.toml", "access.toml"] {
            let id = state.entry(path)?.map_or_else(|| "-".to_owned(), |e| e.id.to_string());
            out.push_str(&format!("{path} {id}\n"));
        }
        let root = self.registry.repo().tree_of(&tip)?;
        let mailmap = self.registry.repo().tree(&root)?.iter().find(|e| e.name == ".mailmap").map(|e| e.id);
        out.push_str(&format!("{mailmap:?}\n{}", self.outside()));
        Ok(out)
    }

    /// Returns a stamp of the settings that are not in the tree, to detect a change.
    fn outside(&self) -> String {
        let secrets = self.registry.state_dir().join("secrets.toml");
        let config = self.registry.repo().common_dir().join("config");
        [secrets, config].iter().map(|path| format!("{}\n", file_stamp(path))).collect()
    }

    /// Makes the channels anew.
    fn refresh(&mut self, tip: Oid) -> Result<(), WatchError> {
        // Settings of the repository, such as its `.mailmap`, are read when it is opened.
        self.registry = std::rc::Rc::new(self.home.open()?);
        let registry = std::rc::Rc::clone(&self.registry);
        self.backoff = super::backoff::Backoff::of(registry.repo());
        self.pool.renew();
        let state = registry.snapshot_of(Some(tip))?;
        let made = (self.options.source)(&registry, &state)?;
        let made: BTreeMap<String, Arc<dyn Channel>> =
            made.into_iter().map(|c| (c.name().to_owned(), Arc::from(c))).collect();
        self.unusable.clear();
        self.drop_channels(&made, &state)?;
        let outside = self.outside();
        for (name, channel) in made {
            let settings =
                format!("{} {outside}", webhook_file(&state, &name)?.map_or_else(String::new, |i| i.to_string()));
            match self.served.get_mut(&name) {
                Some(served) => {
                    served.channel = channel;
                    served.settings = settings;
                    served.deaf = None;
                }
                None => match self.take_up(&name, channel, settings) {
                    Ok(served) => drop(self.served.insert(name.clone(), served)),
                    Err(e) => self.pass_over(&name, e)?,
                },
            }
            self.let_go_on(&name)?;
        }
        Ok(())
    }

    /// Skips a channel whose stored state cannot be used. Other channels are not affected.
    fn pass_over(&mut self, name: &str, e: WatchError) -> Result<(), WatchError> {
        match e {
            WatchError::Outbox(error @ (OutboxError::Damaged { .. } | OutboxError::Name(_))) => {
                let text = "the stored state of a channel cannot be used; nothing is sent to the channel";
                self.say(Message::new(MessageLevel::Error, text).with("channel", name).because(&error));
                let found = found(&error);
                self.unusable.push(UnusableChannel { error, found });
                Ok(())
            }
            e => Err(e),
        }
    }

    /// Deletes the state of channels that were deleted, and switches off channels that are only inactive.
    fn drop_channels(
        &mut self,
        made: &BTreeMap<String, Arc<dyn Channel>>,
        tip: &Snapshot<'_>,
    ) -> Result<(), WatchError> {
        for name in self.outbox.channels()?.into_iter().filter(|name| !made.contains_key(name)) {
            if let Err(e) = self.drop_channel(&name, tip) {
                self.pass_over(&name, e)?;
            }
        }
        Ok(())
    }

    fn drop_channel(&mut self, name: &str, tip: &Snapshot<'_>) -> Result<(), WatchError> {
        let gone = self.served.remove(name);
        if webhook_file(tip, name)?.is_none() && name != "mail" {
            self.outbox.forget(name, &self.lead)?;
            let text = "a channel was deleted; its deliveries are dropped";
            self.say(Message::new(MessageLevel::Info, text).with("channel", name));
            return Ok(());
        }
        let ledger = match gone {
            Some(served) => Some(served.ledger),
            None => self.outbox.open(name, &self.lead)?,
        };
        if let Some(mut ledger) = ledger.filter(|l| l.state().suspended().is_none_or(|s| s.settings != OFF)) {
            let file = tip.file::<Webhook>(&path_of(name))?;
            let is_readable = file.is_none_or(|f| f.value.is_some());
            let why = if is_readable { "it is switched off" } else { "its file cannot be read" };
            ledger.suspend(self.options.clock.now(), why, OFF)?;
            if !is_readable {
                let text = "a webhook's file cannot be read; events until its repair are not sent to the webhook";
                self.say(Message::new(MessageLevel::Error, text).with("channel", name));
            }
        }
        Ok(())
    }

    /// Opens the stored state of a channel, or creates it.
    fn take_up(
        &mut self,
        name: &str,
        channel: Arc<dyn Channel>,
        settings: String,
    ) -> Result<ServedChannel, WatchError> {
        let mut ledger = match self.outbox.open(name, &self.lead)? {
            Some(ledger) => ledger,
            None => self.outbox.begin(name, Cursor::after(self.first_of(name, true)?), &self.lead)?,
        };
        if ledger.dropped() > 0 {
            let text = "the end of a channel's journal was damaged by a crash and cut off; deliveries may be repeated";
            self.say(Message::new(MessageLevel::Warn, text).with("channel", name).with("bytes", ledger.dropped()));
        }
        if ledger.state().suspended().is_some_and(|s| s.settings == OFF) {
            // Events of the time while the channel was off are not sent.
            ledger.plan(Cursor::after(self.first_of(name, false)?), Vec::new())?;
            ledger.resume()?;
        }
        let stands = ledger.state().cursor().origin.commit;
        if self.line.place(&stands).is_none() {
            self.read_line(self.tip()?, Some(stands))?;
        }
        let place = self.line.place(&stands);
        let mut served = ServedChannel { channel, ledger, lanes: JobQueues::default(), place, deaf: None, settings };
        self.line_up(&mut served);
        Ok(served)
    }

    /// Puts all queues of a channel into the schedule.
    fn line_up(&self, served: &mut ServedChannel) {
        let ServedChannel { ledger, lanes, .. } = served;
        let state = ledger.state();
        lanes.clear();
        for lane in state.lanes() {
            if let Some(first) = state.lane(lane).next() {
                lanes.put(lane, self.due(first));
            }
        }
    }

    /// Returns when a job is due by the monotonic clock, or `None` if it is due now. Stored wall-clock times count no
    /// longer than their largest possible wait, so that a clock that went back blocks nothing.
    pub(super) fn due(&self, job: &PendingJob) -> Option<Duration> {
        let now = self.options.clock.now();
        let longest = Duration::from_millis(job.wait.unwrap_or_default());
        let retry = job.next.map(|next| until(now, next).min(longest));
        let not_before = job.not_before.map(|then| until(now, then).min(MAX_DELAY));
        let wait = retry.max(not_before).filter(|w| !w.is_zero())?;
        Some(self.options.clock.elapsed() + wait)
    }

    /// Returns the commit right after which a channel starts that appeared or was switched on: the commit that caused
    /// this. For a webhook's file, that commit is among the steps since the last check.
    fn first_of(&self, name: &str, is_new: bool) -> Result<Oid, WatchError> {
        let tip = self.tip()?;
        let Some(looked) = self.line.place(&self.looked.state().cursor().origin.commit) else { return Ok(tip) };
        let file_at = |commit: Oid| -> Result<Option<Oid>, WatchError> {
            webhook_file(&self.registry.snapshot_of(Some(commit))?, name)
        };
        let (mut place, mut found) = (looked, None);
        let Some(first) = self.line.at(looked) else { return Ok(tip) };
        let mut known = file_at(first)?;
        let was_there = known.is_some();
        while let Some(commit) = self.line.at(place + 1) {
            let file = file_at(commit)?;
            if file != known {
                found = Some(commit);
                // A new channel starts where its file appears, even if the file changes later.
                if is_new && !was_there && file.is_some() {
                    break;
                }
            }
            known = file;
            place += 1;
        }
        // A channel that existed at the last check but has no state was interrupted before its state was created. A
        // channel that was off gets events from now on.
        Ok(found.unwrap_or(if is_new { first } else { tip }))
    }

    /// Resumes a suspended channel if its settings differ from the settings at its suspension.
    fn let_go_on(&mut self, name: &str) -> Result<(), WatchError> {
        let Some(served) = self.served.get_mut(name) else { return Ok(()) };
        let changed = served.ledger.state().suspended().is_some_and(|s| s.settings != served.settings);
        if changed {
            served.ledger.resume()?;
            self.say(
                Message::new(MessageLevel::Info, "a suspended channel was resumed, because its settings changed")
                    .with("channel", name),
            );
        }
        Ok(())
    }

    /// Suspends a channel until its settings change.
    pub(super) fn suspend(&mut self, name: &str, why: &str) -> Result<(), WatchError> {
        let now = self.options.clock.now();
        // Several running attempts may find the same error. The channel is suspended and reported only once.
        let Some(served) = self.served.get_mut(name).filter(|s| s.is_sending()) else { return Ok(()) };
        served.ledger.suspend(now, why, &served.settings)?;
        let text = "a channel is suspended until its settings change";
        self.say(Message::new(MessageLevel::Error, text).with("channel", name).with("why", why));
        self.tell_owner(name)
    }

    /// Notifies the creator of a webhook that it was switched off, through the channels that send such events.
    fn tell_owner(&mut self, name: &str) -> Result<(), WatchError> {
        let Some(suspended) = self.served.get(name).and_then(|s| s.ledger.state().suspended()) else { return Ok(()) };
        let tip = self.tip()?;
        let state = self.registry.snapshot_of(Some(tip))?;
        let file = state.file::<Webhook>(&path_of(name))?;
        let Some(webhook) = file.and_then(|f| f.value) else { return Ok(()) };
        let notification = suspension(webhook.id, webhook.created_by, tip, suspended);
        let registry = std::rc::Rc::clone(&self.registry);
        self.add_jobs(&registry, &notification, EventOrigin { commit: tip, before: None }, tip)
    }

    /// Stores the jobs of each channel for an event that is not part of the history.
    pub(super) fn add_jobs(
        &mut self,
        registry: &Registry,
        notification: &Notification,
        origin: EventOrigin,
        tip: Oid,
    ) -> Result<(), WatchError> {
        let step = self.reader.derive(registry, origin)?;
        let root = Some(registry.repo().tree_of(&tip)?);
        let around = StepSnapshots::of(registry, &step, root)?;
        let moment = around.moment(self.options.clock.now());
        let names: Vec<String> = self.served.keys().cloned().collect();
        for name in names {
            let Some(served) = self.served.get_mut(&name) else { continue };
            let jobs = jobs(&*served.channel, notification, origin, &moment)?;
            if !jobs.is_empty() {
                let fresh = served.ledger.add(jobs)?;
                self.put_lanes(&name, &fresh);
            }
        }
        Ok(())
    }

    /// Handles the requests of other processes.
    fn do_what_was_asked(&mut self) -> Result<(), WatchError> {
        if !self.outbox.is_asked() {
            return Ok(());
        }
        let mut revived: Vec<(String, Vec<String>)> = Vec::new();
        let served = &mut self.served;
        self.outbox.take_asks(&self.lead, |OutboxRequest::Revive { channel, ids }| {
            for (name, one) in served.iter_mut().filter(|(n, _)| channel.as_ref().is_none_or(|c| c == *n)) {
                let (_, lanes) = one.ledger.revive(&ids)?;
                one.ledger.resume()?;
                revived.push((name.clone(), lanes));
            }
            Ok(())
        })?;
        for (name, lanes) in revived {
            self.put_lanes(&name, &lanes);
        }
        Ok(())
    }

    /// Puts queues that have jobs into the schedule.
    pub(super) fn put_lanes(&mut self, name: &str, lanes: &[String]) {
        let Some(served) = self.served.get(name) else { return };
        let dues: Vec<_> =
            lanes.iter().filter_map(|lane| Some((lane, self.due(served.ledger.state().lane(lane).next()?)))).collect();
        if let Some(served) = self.served.get_mut(name) {
            dues.into_iter().for_each(|(lane, due)| served.lanes.put(lane, due));
        }
    }
}

/// Returns the object id of a webhook's file.
fn webhook_file(state: &Snapshot<'_>, name: &str) -> Result<Option<Oid>, WatchError> {
    Ok(state.entry(&path_of(name))?.map(|e| e.id))
}

fn path_of(name: &str) -> String {
    format!("webhooks/{name}.toml")
}

/// Returns a stamp of a file, to detect that it was written.
fn file_stamp(path: &std::path::Path) -> String {
    let Ok(meta) = std::fs::metadata(path) else { return "-".to_owned() };
    let time = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&meta);
    #[cfg(not(unix))]
    let inode = 0;
    format!("{} {} {inode}", time.as_nanos(), meta.len())
}
