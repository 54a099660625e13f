//! The carrier of mail in these tests: it calls the mailer as the outbox does, and tests can inspect it.

use std::collections::BTreeMap;
use std::path::Path;

use greenroom::deliver::mail::Mailer;
use greenroom::deliver::{
    AttemptOutcome, Channel as _, DeliveryContext, DeliveryJob, DueJob, Notification, NotificationKind,
};
use greenroom::git::Repo;
use greenroom::registry::Registry;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;
use sha2::{Digest as _, Sha256};

/// A waiting job, with the number of its attempts.
#[derive(Debug, Clone)]
struct Waiting {
    id: String,
    notification: Notification,
    job: DeliveryJob,
    attempt: u32,
}

/// The connection of a repository and the mailer.
pub struct Post {
    folder: std::path::PathBuf,
    seen: Option<Oid>,
    lanes: BTreeMap<String, Vec<Waiting>>,
    ids: Vec<String>,
    /// The time to use instead of the current one.
    pub now: Option<Timestamp>,
}

impl Post {
    /// Starts to deliver events from now on.
    pub fn begin(folder: &Path) -> Self {
        let seen = open(folder).head().expect("a repository");
        Self { folder: folder.to_owned(), seen, lanes: BTreeMap::new(), ids: Vec::new(), now: None }
    }

    /// The ids of all deliveries, oldest first.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    fn now(&self) -> Timestamp {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        self.now.unwrap_or_else(|| Timestamp::from_millis(i64::try_from(clock.as_millis()).expect("before 9999")))
    }

    /// Reads new commits and makes one attempt for each due mail; returns the failures.
    #[track_caller]
    pub fn run(&mut self) -> Vec<String> {
        let registry = open(&self.folder);
        let mailer =
            Mailer::open(&registry, self.now()).expect("the settings are right").expect("a mail server is set");
        self.take_in(&registry, &mailer);
        self.attempt(&registry, &mailer)
    }

    fn take_in(&mut self, registry: &Registry, mailer: &Mailer) {
        let Some(tip) = registry.head().expect("a repository") else { return };
        let mut steps = Vec::new();
        for step in registry.repo().first_parents(tip).expect("a history") {
            let step = step.expect("a history");
            if Some(step.commit) == self.seen {
                break;
            }
            steps.push(step);
        }
        self.seen = Some(tip);
        let now = self.now();
        let newest = registry.snapshot().expect("a state");
        for step in steps.into_iter().rev() {
            let entry = registry.step(step.commit, step.parent).expect("a step");
            let before = registry.snapshot_of(step.parent).expect("a state");
            let after = registry.snapshot_of(Some(step.commit)).expect("a state");
            for (ordinal, event) in (0..).zip(entry.events) {
                let notification = Notification {
                    commit: step.commit,
                    ordinal,
                    at: entry.at,
                    by: entry.by.clone(),
                    landed_by: entry.landed_by.clone(),
                    comment: entry.comment.clone(),
                    what: NotificationKind::Event(Box::new(event)),
                };
                let moment = DeliveryContext { registry, before: &before, after: &after, tip: &newest, now };
                let jobs = mailer.jobs(&notification, &moment).expect("jobs");
                assert_eq!(mailer.jobs(&notification, &moment).expect("jobs"), jobs, "asked again it says the same");
                for job in jobs {
                    let id = format!("{} {} {}", mailer.name(), notification.id(), job.key);
                    let id: String = Sha256::digest(id).iter().take(16).map(|b| format!("{b:02x}")).collect();
                    self.ids.push(id.clone());
                    let waiting = Waiting { id, notification: notification.clone(), job, attempt: 0 };
                    self.lanes.entry(waiting.job.lane.clone()).or_default().push(waiting);
                }
            }
        }
    }

    fn attempt(&mut self, registry: &Registry, mailer: &Mailer) -> Vec<String> {
        let now = self.now();
        let tip = registry.snapshot().expect("a state");
        let moment = DeliveryContext { registry, before: &tip, after: &tip, tip: &tip, now };
        let mut problems = Vec::new();
        for (lane, waiting) in &mut self.lanes {
            loop {
                let is_due = |w: &&Waiting| w.job.not_before.is_none_or(|t| t <= now);
                let due: Vec<DueJob<'_>> = waiting
                    .iter()
                    .take_while(is_due)
                    .map(|w| DueJob { id: &w.id, notification: &w.notification, job: &w.job, attempt: w.attempt })
                    .collect();
                if due.is_empty() {
                    break;
                }
                let sent = mailer.send(&due, &moment);
                assert!(sent.taken >= 1 && sent.taken <= due.len());
                match sent.outcome {
                    AttemptOutcome::Delivered(_) => drop(waiting.drain(..sent.taken)),
                    AttemptOutcome::Refused { why } => {
                        problems.push(format!("{lane} refused: {why}"));
                        waiting.drain(..sent.taken);
                    }
                    AttemptOutcome::Retry { why, after: _ } | AttemptOutcome::Deferred { why } => {
                        problems.push(format!("{lane} later: {why}"));
                        waiting.iter_mut().take(sent.taken).for_each(|w| w.attempt += 1);
                        break;
                    }
                    AttemptOutcome::Gone { why } => panic!("{lane} gone: {why}"),
                }
            }
        }
        problems
    }
}

/// Opens the registry again, so that its settings are current.
fn open(folder: &Path) -> Registry {
    Registry::with(Repo::discover(folder).expect("a repository"), "").expect("a registry")
}
