//! Events as they are delivered: an event of a step, or something that the watcher noticed about the history itself.

use sha2::{Digest as _, Sha256};

use crate::event::Event;
use crate::name::{Id, UserName};
use crate::time::Timestamp;
use crate::tree::Oid;

/// One event, with the commit that caused it and the people involved.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// The commit that put the event on the branch.
    pub commit: Oid,
    /// The number of the event within the commit, from 0.
    pub ordinal: u32,
    /// When the event reached the branch: the committer's time.
    pub at: Timestamp,
    /// The author of the change, as a person of the registry.
    pub by: UserName,
    /// The committer of the change. `None` if the author committed it.
    pub landed_by: Option<UserName>,
    /// The comment on the change: the body of the commit message without trailers.
    pub comment: String,
    /// The event itself.
    pub what: NotificationKind,
}

/// The content of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum NotificationKind {
    /// An event of the registry.
    Event(Box<Event>),
    /// A step that no gate has judged breaks rules.
    RuleViolated {
        /// The broken rules: name and sentence of each.
        faults: Vec<(String, String)>,
    },
    /// The history was rewritten. The events that follow bridge the two states.
    HistoryRewritten {
        /// The last commit that was delivered. It is no longer part of the history.
        before: Oid,
    },
    /// Nothing more is sent to a webhook: its receiver is gone, or no delivery arrived for as long as deliveries are
    /// retried. This event comes from the outbox, not from the history.
    WebhookSuspended {
        /// The id of the webhook.
        webhook: Id,
        /// The reason, without a secret.
        why: String,
    },
}

impl NotificationKind {
    /// Returns the dotted name of the event.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Event(event) => event.name(),
            Self::RuleViolated { .. } => "rule.violated",
            Self::HistoryRewritten { .. } => "history.rewritten",
            Self::WebhookSuspended { .. } => "webhook.suspended",
        }
    }
}

impl Notification {
    /// Returns the id of the event, made from the commit and the ordinal: the same on each machine and after each
    /// restart.
    pub fn id(&self) -> String {
        Self::id_of(self.commit, self.ordinal)
    }

    /// Returns the id of the event with this ordinal in a commit.
    pub fn id_of(commit: Oid, ordinal: u32) -> String {
        let digest = Sha256::digest(format!("{commit}.{ordinal}"));
        digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
    }
}
