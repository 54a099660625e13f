//! Computes the events of a step each time they are needed: no event is stored.

use std::cell::OnceCell;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use super::WatchError;
use crate::authority::Assumption;
use crate::deliver::{Channel, DeliverError, DeliveryContext, DeliveryJob, Notification, NotificationKind};
use crate::gate::{CommitterIdentity, Gate, IdLine, StepArrival};
use crate::git::Repo;
use crate::name::{Id, UserName};
use crate::outbox::{EventOrigin, Outbox, PendingJob, SuspensionReason, delivery_id};
use crate::pushes::Pushes;
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::Oid;

/// The first event number of a bridge, so that its numbers differ from the numbers of the commit's own events.
const BRIDGES: u32 = 0x8000_0000;

/// A step or a bridge, with its events.
pub(super) struct DerivedStep {
    /// The origin of the events.
    pub(super) origin: EventOrigin,
    /// The events in order.
    pub(super) happenings: Vec<Notification>,
    /// The root trees before and after.
    before: Option<Oid>,
    after: Option<Oid>,
}

impl DerivedStep {
    /// Returns the event with an ordinal.
    pub(super) fn find(&self, ordinal: u32) -> Option<&Notification> {
        self.happenings.iter().find(|h| h.ordinal == ordinal)
    }

    /// Returns the root trees before and after.
    pub(super) fn roots(&self) -> (Option<Oid>, Option<Oid>) {
        (self.before, self.after)
    }
}

/// Computes events, and keeps the step that was requested last.
#[derive(Default)]
pub(super) struct StepReader {
    last: Option<Rc<DerivedStep>>,
    gate: OnceCell<Gate>,
}

impl StepReader {
    /// Computes the events of an origin.
    pub(super) fn derive(&mut self, registry: &Registry, origin: EventOrigin) -> Result<Rc<DerivedStep>, WatchError> {
        if let Some(last) = self.last.as_ref().filter(|l| l.origin == origin) {
            return Ok(Rc::clone(last));
        }
        let derived = match origin.before {
            None => step(registry, origin)?,
            Some(before) => bridge(registry, origin, before)?,
        };
        let derived = Rc::new(derived);
        self.last = Some(Rc::clone(&derived));
        Ok(derived)
    }

    /// Returns the event of a job, with its step. `None` if the event does not exist any more.
    pub(super) fn notification(
        &mut self,
        registry: &Registry,
        job: &PendingJob,
    ) -> Result<Option<(Rc<DerivedStep>, Notification)>, WatchError> {
        let derived = self.derive(registry, job.origin)?;
        let found = match derived.find(job.ordinal) {
            Some(found) => Some(found.clone()),
            None if job.event == VIOLATED && job.origin.before.is_none() => self.violation(registry, &derived)?,
            None if job.event == SUSPENDED => suspended_again(registry, job)?,
            None => None,
        };
        Ok(found.map(|h| (derived, h)))
    }

    /// Returns the event that a step broke rules, judged as `greenroom verify` judges it. `None` if it broke no rule.
    /// This event comes after all other events of the step.
    pub(super) fn violation(
        &self,
        registry: &Registry,
        step: &DerivedStep,
    ) -> Result<Option<Notification>, WatchError> {
        let repo = registry.repo();
        let gate = match self.gate.get() {
            Some(gate) => gate,
            None => {
                let opened = Gate::of_history(Repo::open_beside(repo.git_dir())?)?;
                self.gate.get_or_init(|| opened)
            }
        };
        let info = repo.commit(&step.origin.commit)?;
        let pushes = Pushes::open(repo)?;
        let push = pushes.landing(&info.id, registry.branch())?;
        let unnamed = if pushes.tip().is_some() { CommitterIdentity::Unrecorded } else { CommitterIdentity::Unknown };
        let landing = StepArrival {
            by: push.as_ref().map_or(unnamed, |p| CommitterIdentity::Pusher(p.into())),
            at: push.as_ref().map_or(info.committer.time, |p| p.at),
            bounded: false,
            assumption: Assumption::None,
        };
        let parent = info.parents.first().copied();
        let mut ids = IdLine::after(registry.branch(), parent);
        let judged = gate.judge_step(info.id, parent, &landing, &mut ids)?;
        if judged.faults.is_empty() {
            return Ok(None);
        }
        let named = |f: &crate::rules::Fault| (f.problem.rule.to_owned(), f.problem.to_string());
        let what = NotificationKind::RuleViolated { faults: judged.faults.iter().map(named).collect() };
        let like = registry.step_between(info.id, step.after, info.tree)?;
        let ordinal = u32::try_from(step.happenings.len()).unwrap_or(BRIDGES - 1);
        Ok(Some(Notification {
            commit: info.id,
            ordinal,
            at: repo.landing_time(&info.id)?,
            by: like.by,
            landed_by: like.landed_by,
            comment: like.comment,
            what,
        }))
    }
}

/// Returns the event that a webhook was switched off, as the outbox knows it. The event belongs to the newest commit.
/// Its ordinal differs from the ordinals of steps and bridges.
pub(super) fn suspension(webhook: Id, by: UserName, tip: Oid, suspended: &SuspensionReason) -> Notification {
    let hash = Sha256::new().chain_update(webhook.as_str()).chain_update(suspended.at.to_be_bytes()).finalize();
    let what = NotificationKind::WebhookSuspended { webhook, why: suspended.why.clone() };
    let ordinal = SUSPENSIONS | (number(&hash) & 0x3fff_ffff);
    let at = Timestamp::from_millis(suspended.at);
    Notification { commit: tip, ordinal, at, by, landed_by: None, comment: String::new(), what }
}

/// Returns that event again when its job is due. `None` if the webhook was resumed, or was switched off again since.
fn suspended_again(registry: &Registry, job: &PendingJob) -> Result<Option<Notification>, WatchError> {
    let Some(state) = Outbox::of(registry).look(&job.key)? else { return Ok(None) };
    let (Ok(webhook), Ok(owner), Some(suspended)) =
        (job.key.parse::<Id>(), job.lane.parse::<UserName>(), state.suspended())
    else {
        return Ok(None);
    };
    let notification = suspension(webhook, owner, job.origin.commit, suspended);
    Ok(Some(notification).filter(|h| h.ordinal == job.ordinal))
}

/// The name of [`What::WebhookSuspended`].
pub(super) const SUSPENDED: &str = "webhook.suspended";

/// The first ordinal of suspensions.
const SUSPENSIONS: u32 = 0xc000_0000;

/// The name of [`What::RuleViolated`].
pub(super) const VIOLATED: &str = "rule.violated";

fn step(registry: &Registry, origin: EventOrigin) -> Result<DerivedStep, WatchError> {
    let info = registry.repo().commit(&origin.commit)?;
    let before = info.parents.first().map(|p| registry.repo().tree_of(p)).transpose()?;
    between(registry, origin, before, info.tree, None)
}

/// Computes the difference between the state that was delivered last and the state after a rewrite.
fn bridge(registry: &Registry, origin: EventOrigin, old: Oid) -> Result<DerivedStep, WatchError> {
    let after = registry.repo().tree_of(&origin.commit)?;
    // If the old state is gone for good, the difference is unknown; only the rewrite itself is reported.
    let before = if registry.repo().has(&old) { registry.repo().tree_of(&old)? } else { after };
    between(registry, origin, Some(before), after, Some(old))
}

fn between(
    registry: &Registry,
    origin: EventOrigin,
    before: Option<Oid>,
    after: Oid,
    bridged: Option<Oid>,
) -> Result<DerivedStep, WatchError> {
    let entry = registry.step_between(origin.commit, before, after)?;
    let landed = registry.repo().landing_time(&origin.commit)?;
    let rewritten = bridged.map(|before| NotificationKind::HistoryRewritten { before });
    let first = bridged.map_or(0, |old| first_of_bridge(&old, &origin.commit));
    let events = entry.events.into_iter().map(|e| NotificationKind::Event(Box::new(e)));
    let notification = |(n, what): (usize, NotificationKind)| Notification {
        commit: origin.commit,
        ordinal: first.saturating_add(u32::try_from(n).unwrap_or(u32::MAX)),
        at: landed,
        by: entry.by.clone(),
        landed_by: entry.landed_by.clone(),
        comment: entry.comment.clone(),
        what,
    };
    let happenings = rewritten.into_iter().chain(events).enumerate().map(notification).collect();
    Ok(DerivedStep { origin, happenings, before, after: Some(after) })
}

/// Returns the ordinal of a bridge's first event. It is made from both commits, so that the events of each bridge have
/// ids of their own.
fn first_of_bridge(old: &Oid, new: &Oid) -> u32 {
    let hash = Sha256::new().chain_update(old.as_bytes()).chain_update(new.as_bytes()).finalize();
    BRIDGES | (number(&hash) & 0x3fff_ffff)
}

/// Returns the first four bytes of a hash as a number.
fn number(hash: &[u8]) -> u32 {
    hash.iter().take(4).fold(0_u32, |n, b| (n << 8) | u32::from(*b))
}

/// The snapshots around a step that a channel needs.
pub(super) struct StepSnapshots<'r> {
    registry: &'r Registry,
    before: Snapshot<'r>,
    after: Snapshot<'r>,
    tip: Snapshot<'r>,
}

impl<'r> StepSnapshots<'r> {
    /// Returns the snapshots around a step. `tip` is the root tree of the newest snapshot.
    pub(super) fn of(registry: &'r Registry, step: &DerivedStep, tip: Option<Oid>) -> Result<Self, WatchError> {
        Self::between(registry, step.roots(), tip)
    }

    /// Returns the snapshots around a step whose root trees before and after are known.
    pub(super) fn between(
        registry: &'r Registry,
        (before, after): (Option<Oid>, Option<Oid>),
        tip: Option<Oid>,
    ) -> Result<Self, WatchError> {
        let state = |root| registry.snapshot_in(root);
        Ok(Self { registry, before: state(before)?, after: state(after)?, tip: state(tip)? })
    }

    /// Returns the moment at the time `now`.
    pub(super) fn moment(&self, now: Timestamp) -> DeliveryContext<'_> {
        DeliveryContext { registry: self.registry, before: &self.before, after: &self.after, tip: &self.tip, now }
    }
}

/// Returns the jobs of a channel for an event, as the outbox stores them.
pub(super) fn jobs(
    channel: &dyn Channel,
    notification: &Notification,
    origin: EventOrigin,
    moment: &DeliveryContext<'_>,
) -> Result<Vec<PendingJob>, DeliverError> {
    let pending = |job: DeliveryJob| PendingJob {
        id: delivery_id(channel.name(), &origin, notification.ordinal, &job.key),
        lane: job.lane,
        key: job.key,
        origin,
        ordinal: notification.ordinal,
        event: notification.what.name().to_owned(),
        landed: notification.at.as_millis(),
        not_before: job.not_before.map(Timestamp::as_millis),
        attempts: 0,
        next: None,
        wait: None,
        error: None,
    };
    Ok(channel.jobs(notification, moment)?.into_iter().map(pending).collect())
}

/// Returns a stored job in the form in which the channel made it.
pub(super) fn job_of(pending: &PendingJob) -> DeliveryJob {
    DeliveryJob {
        lane: pending.lane.clone(),
        key: pending.key.clone(),
        not_before: pending.not_before.map(Timestamp::from_millis),
    }
}
