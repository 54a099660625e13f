//! A channel: a receiver of events, its jobs and the results of its attempts.

use std::time::Duration;

use super::notification::Notification;
use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// The registry around an event, and the current time.
pub struct DeliveryContext<'m> {
    /// The registry.
    pub registry: &'m Registry,
    /// The snapshot right before the step. Empty before the first step.
    pub before: &'m Snapshot<'m>,
    /// The snapshot right after the step.
    pub after: &'m Snapshot<'m>,
    /// The newest snapshot. It decides who may read and who wants notifications.
    pub tip: &'m Snapshot<'m>,
    /// The current time.
    pub now: Timestamp,
}

/// One delivery that a channel has to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryJob {
    /// The queue. Jobs of one queue stay in order: the model of a webhook's events, the recipient of mail.
    pub lane: String,
    /// Tells the jobs of one event apart: an event name, a recipient. The key is the same on each call.
    pub key: String,
    /// The earliest time to send the job, as for digests.
    pub not_before: Option<Timestamp>,
}

/// A job that is due.
#[derive(Debug, Clone, Copy)]
pub struct DueJob<'d> {
    /// The id of the delivery, made from the channel, the event and the job's key. It is the same on each attempt,
    /// after each restart and on each machine.
    pub id: &'d str,
    /// The event that is delivered.
    pub notification: &'d Notification,
    /// The job.
    pub job: &'d DeliveryJob,
    /// The number of earlier attempts.
    pub attempt: u32,
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The delivery arrived, or is no longer needed. A few words for the list of deliveries.
    Delivered(String),
    /// The delivery failed and is retried, not before the time that the receiver named, if it named one.
    Retry {
        /// The reason, without a secret.
        why: String,
        /// How long the receiver asks to wait.
        after: Option<Duration>,
    },
    /// The delivery failed and is retried. The cause affects only this queue, such as a full mailbox, so it does not
    /// count as a failure of the channel.
    Deferred {
        /// The reason, without a secret.
        why: String,
    },
    /// The delivery can never arrive: it becomes a dead letter.
    Refused {
        /// The reason, without a secret.
        why: String,
    },
    /// The receiver is gone for good (410): the channel is suspended until its settings change.
    Gone {
        /// The reason, without a secret.
        why: String,
    },
}

/// The result of an attempt for the first of the due jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOutcome {
    /// The number of due jobs, from the first, that the attempt was for; at least one.
    pub taken: usize,
    /// The result for these jobs.
    pub outcome: AttemptOutcome,
}

/// Why a channel cannot determine its jobs. The outbox tries again.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The registry cannot be read.
    #[error(transparent)]
    Registry(#[from] crate::registry::RegistryError),
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] crate::index::IndexError),
    /// An object cannot be read.
    #[error(transparent)]
    Tree(#[from] crate::tree::TreeError),
    /// Webhooks cannot be used at all.
    #[error(transparent)]
    Webhooks(#[from] super::webhook::error::OutgoingError),
}

/// A receiver of events.
pub trait Channel: Send + Sync {
    /// Returns the name of the channel, which is also a file name: `mail`, or a webhook's id.
    fn name(&self) -> &str;

    /// Returns the jobs of an event, in order.
    ///
    /// # Errors
    ///
    /// [`DeliverError`] when the registry, the index or an object cannot be read.
    fn jobs(&self, notification: &Notification, moment: &DeliveryContext<'_>)
    -> Result<Vec<DeliveryJob>, DeliverError>;

    /// Returns the largest number of due jobs of a queue that [`Self::send`] accepts. A channel that sends each job
    /// separately returns 1, so that the outbox does not look up the events of the others.
    fn most(&self) -> usize {
        100
    }

    /// Makes one attempt for the first of the due jobs of one queue, or for several if the channel puts them into one
    /// message. There is at least one job, and the oldest comes first. All jobs are due, and belong to one step or were
    /// held back ([`DeliveryJob::not_before`]).
    fn send(&self, due: &[DueJob<'_>], moment: &DeliveryContext<'_>) -> BatchOutcome;
}
