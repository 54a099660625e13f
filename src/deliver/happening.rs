//! What happened, as it is told: an event of a landed step, or what the watcher saw of the history itself.

use sha2::{Digest as _, Sha256};

use crate::event::Event;
use crate::name::{Id, UserName};
use crate::time::Timestamp;
use crate::tree::Oid;

/// One thing that happened, with where and by whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// The commit that landed it.
    pub commit: Oid,
    /// Which of the commit's happenings it is, from 0.
    pub ordinal: u32,
    /// When it landed: the committer's time.
    pub at: Timestamp,
    /// Who did it, as a person of the registry.
    pub by: UserName,
    /// Who landed it, where that is somebody else.
    pub landed_by: Option<UserName>,
    /// What was said besides: the commit's body without trailers.
    pub comment: String,
    /// What it is.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// An event of the registry.
    Event(Box<Event>),
    /// A step landed that no gate has judged, and it breaks rules.
    RuleViolated {
        /// The broken rules: name and sentence of each.
        faults: Vec<(String, String)>,
    },
    /// The history was rewritten; the events that follow bridge the two states.
    HistoryRewritten {
        /// The commit that was told of last and is no longer part of the history.
        before: Oid,
    },
    /// A webhook is told of nothing any more: it is gone, or nothing arrived for as long as deliveries are tried. The
    /// history knows nothing of it, the outbox does.
    WebhookSuspended {
        /// Which one.
        webhook: Id,
        /// Why, without a secret.
        why: String,
    },
}

impl What {
    /// The dotted name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Event(event) => event.name(),
            Self::RuleViolated { .. } => "rule.violated",
            Self::HistoryRewritten { .. } => "history.rewritten",
            Self::WebhookSuspended { .. } => "webhook.suspended",
        }
    }
}

impl Happening {
    /// Its id, from the commit and its place in it: the same on each machine and after each restart (SEC-71).
    pub fn id(&self) -> String {
        Self::id_of(self.commit, self.ordinal)
    }

    /// The id of what a commit did at a place.
    pub fn id_of(commit: Oid, ordinal: u32) -> String {
        let digest = Sha256::digest(format!("{commit}.{ordinal}"));
        digest.iter().take(16).map(|b| format!("{b:02x}")).collect()
    }
}
