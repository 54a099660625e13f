//! A transition request: someone asks that a version enter a stage; others review it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::{Digest, Id, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// `requests/<id>.toml`: a transition request with its reviews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Request {
    /// The request's id.
    pub id: Id,
    /// The stage that is asked for.
    pub to: Stage,
    /// Who asks.
    pub created_by: UserName,
    /// When.
    pub created_at: Timestamp,
    /// Why (Markdown).
    #[schemars(default)]
    pub comment: Text,
    /// Whether the versions that are in the stage shall be archived with the approval.
    #[schemars(default)]
    pub archive_existing: bool,
    /// What became of it.
    #[schemars(default)]
    pub state: RequestState,
    /// Who closed it.
    pub closed_by: Option<UserName>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// What was said when it was cancelled.
    #[schemars(default)]
    pub close_comment: Text,
    /// The reviews, oldest first.
    #[schemars(default)]
    pub review: Vec<Review>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// Open.
    #[default]
    Pending,
    /// Approved: the transition happened in the same step.
    Approved,
    /// Rejected by someone who may transition.
    Rejected,
    /// Withdrawn by its creator or a manager, or overtaken by another transition to the same stage.
    Cancelled,
}

impl RequestState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Rejected, Self::Cancelled];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a reviewer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Review {
    /// Who reviewed.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
    /// Yes or no.
    pub verdict: Verdict,
    /// Why (Markdown).
    #[schemars(default)]
    pub comment: Text,
    /// SHA-256 over what the reviewer saw; an approval whose subject no longer matches does not count.
    pub subject: Digest,
}

/// The digests of what a reviewer decides about, as a state holds it; a review with one of them is of that state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What reviews hold today.
    pub current: Digest,
    /// What reviews held before: it covers less, and reviews of then keep what they are worth.
    pub former: Digest,
}

impl Subject {
    /// Whether a review with this digest is of this state.
    pub fn is(&self, digest: &Digest) -> bool {
        self.current == *digest || self.former == *digest
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

impl Verdict {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Approved, Self::Rejected];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}
