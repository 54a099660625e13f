//! Deliveries: each step becomes events, and each channel (a webhook, the mailer) sends what it makes of them.
//!
//! A channel is called twice. [`Channel::jobs`] returns the jobs of an event; called again after a crash, it returns
//! the same jobs. [`Channel::send`] makes one attempt. Order, repetition, backoff and stored state belong to the
//! outbox, not to the channels. Jobs of one queue are sent one after the other; queues do not wait for each other.

mod channel;
pub mod mail;
mod notification;
pub mod webhook;

use std::sync::Arc;

pub use channel::{AttemptOutcome, BatchOutcome, Channel, DeliverError, DeliveryContext, DeliveryJob, DueJob};
pub use notification::{Notification, NotificationKind};

use crate::registry::Registry;
use crate::snapshot::Snapshot;

/// Returns all channels of a registry whose newest snapshot is `tip`.
///
/// A channel is returned only while it is switched on. A channel that is not returned is switched off, and events of
/// that time are not sent later. The watcher calls this again when the registry's settings, people, webhooks or secrets
/// change.
///
/// # Errors
///
/// [`DeliverError`] when webhooks cannot be read, or their allowed targets or secrets are wrong.
pub fn channels(registry: &Registry, tip: &Snapshot<'_>) -> Result<Vec<Box<dyn Channel>>, DeliverError> {
    let out = Arc::new(webhook::Outgoing::of(registry)?);
    let mut channels = webhook::channels(tip, &out)?;
    channels.extend(mail::channel(registry));
    Ok(channels)
}
