//! Telling: what landed becomes happenings, and each channel (a webhook, the mailer) sends what it makes of them.
//!
//! A channel is asked twice. [`Channel::jobs`] says what has to be sent of a happening; asked again, after a crash, it
//! says the same. [`Channel::send`] makes one attempt. Order, repetition, back-off and what is remembered belong to the
//! outbox, not to the channels: jobs of one lane are sent one after the other, lanes don't wait for each other.

mod happening;
pub mod mail;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

pub use happening::{Happening, What};

use crate::registry::Registry;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// The registry around a happening, and now.
pub struct Moment<'m> {
    /// The registry.
    pub registry: &'m Registry,
    /// The state right before the step; empty before the first.
    pub before: &'m Snapshot<'m>,
    /// The state right after the step.
    pub after: &'m Snapshot<'m>,
    /// The newest state: who may read and who wants to be told are questions about now.
    pub tip: &'m Snapshot<'m>,
    /// The time now.
    pub now: Timestamp,
}

/// One thing to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What must stay in order among itself: the model of a webhook's events, the recipient of mail.
    pub lane: String,
    /// Tells the jobs of one happening apart, the same each time it is asked: an event's name, a recipient.
    pub key: String,
    /// Not to be sent before, as with digests.
    pub not_before: Option<Timestamp>,
}

/// A job whose turn it is.
#[derive(Debug, Clone, Copy)]
pub struct Due<'d> {
    /// The id of the delivery: of the channel, the happening and the job's key; the same on each attempt, after each
    /// restart and on each machine.
    pub id: &'d str,
    /// Of what it tells.
    pub happening: &'d Happening,
    /// What is to be sent.
    pub job: &'d Job,
    /// How often it was tried before.
    pub attempt: u32,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived, or there is no longer any need for it; a few words for the list of deliveries.
    Delivered(String),
    /// It did not arrive and may later, after this time at the earliest where the other side named one.
    Retry {
        /// What went wrong, without a secret.
        why: String,
        /// How long the other side wants to be left alone.
        after: Option<Duration>,
    },
    /// It did not arrive and may later, and the cause is this lane's alone, such as a mailbox that is full: nothing is
    /// held against the channel.
    Deferred {
        /// What went wrong, without a secret.
        why: String,
    },
    /// It will never arrive: it becomes a dead letter.
    Refused {
        /// What went wrong, without a secret.
        why: String,
    },
    /// The other side is gone for good (410): the channel is suspended until somebody changes it.
    Gone {
        /// What went wrong, without a secret.
        why: String,
    },
}

/// What came of an attempt for the first so many of the due jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How many of the due jobs, from the first on, it was for; at least one.
    pub taken: usize,
    /// What came of it.
    pub outcome: Outcome,
}

/// Why a channel cannot say what has to be sent; the outbox tries again.
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
    /// Webhooks cannot be told anything.
    #[error(transparent)]
    Webhooks(#[from] webhook::OutgoingError),
}

/// Everybody who is told of what happens in a registry whose newest state this is.
///
/// Each gives a channel only while it is to be told: one that is not given is switched off, and is not told later of what
/// happened meanwhile. The watcher asks again when the registry's settings, people, webhooks or secrets changed.
pub fn channels(registry: &Registry, tip: &Snapshot<'_>) -> Result<Vec<Box<dyn Channel>>, DeliverError> {
    let out = Arc::new(webhook::Outgoing::of(registry)?);
    let mut channels = webhook::channels(tip, &out)?;
    channels.extend(mail::channel(registry));
    Ok(channels)
}

/// Somebody who is told.
pub trait Channel: Send + Sync {
    /// Its name, which is a file name, too: `mail`, or a webhook's id.
    fn name(&self) -> &str;

    /// What has to be sent of a happening, in order.
    fn jobs(&self, happening: &Happening, moment: &Moment<'_>) -> Result<Vec<Job>, DeliverError>;

    /// How many due jobs of a lane [`Self::send`] is given at most. A channel that sends each by itself says 1 here, which
    /// spares the outbox to look up what the others tell.
    fn most(&self) -> usize {
        100
    }

    /// Makes one attempt for the first of the due jobs of one lane, or for the first few where the channel puts them into
    /// one message. Jobs come oldest first and there is at least one; all are due, and of one step or held back
    /// ([`Job::not_before`]).
    fn send(&self, due: &[Due<'_>], moment: &Moment<'_>) -> Sent;
}
