//! A transition request: the requester asks for a stage for a version, and other people review the request.

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::{Digest, Id, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// A transition request with its reviews: `requests/<id>.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Request {
    /// The request's id.
    pub id: Id,
    /// The requested stage.
    pub to: Stage,
    /// The requester.
    pub created_by: UserName,
    /// The time.
    pub created_at: Timestamp,
    /// The reason (Markdown).
    #[schemars(default)]
    pub comment: Text,
    /// Whether the approval also archives the versions that are in the stage.
    #[schemars(default)]
    pub archive_existing: bool,
    /// The state of the request.
    #[schemars(default)]
    pub state: RequestState,
    /// The person who closed the request. Absent: the request is open.
    pub closed_by: Option<UserName>,
    /// The time when the request was closed. Absent: the request is open.
    pub closed_at: Option<Timestamp>,
    /// The comment of the person who cancelled the request (Markdown).
    #[schemars(default)]
    pub close_comment: Text,
    /// The reviews, oldest first.
    #[schemars(default)]
    pub review: Vec<Review>,
}

/// The state of a transition request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// The request is open.
    #[default]
    Pending,
    /// The request was approved. The transition happened in the same step.
    Approved,
    /// A person who may make the transition rejected the request.
    Rejected,
    /// The requester or a manager cancelled the request, or another transition to the same stage made it obsolete.
    Cancelled,
}

impl RequestState {
    /// All states, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Rejected, Self::Cancelled];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A review: an approval or a rejection of a transition request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Review {
    /// The reviewer.
    pub by: UserName,
    /// The time.
    pub at: Timestamp,
    /// The decision of a reviewer.
    pub verdict: ReviewVerdict,
    /// The reason (Markdown).
    #[schemars(default)]
    pub comment: Text,
    /// The SHA-256 of the contents that the reviewer decided about. An approval does not count if its subject differs
    /// from the current subject.
    pub subject: Digest,
}

/// The subject of a review in one state of the registry, as two digests. A review with either digest is about that
/// state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewSubject {
    /// The digest that new reviews contain.
    pub current: Digest,
    /// The digest that older reviews contain. It covers less of the contents; older reviews stay valid.
    pub former: Digest,
}

impl ReviewSubject {
    /// Returns whether a review with this digest is about this state.
    pub fn is(&self, digest: &Digest) -> bool {
        self.current == *digest || self.former == *digest
    }
}

/// The decision of a reviewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Verdict")]
pub enum ReviewVerdict {
    /// The reviewer approves the transition.
    Approved,
    /// The reviewer rejects the transition.
    Rejected,
}

impl ReviewVerdict {
    /// Both values.
    pub const ALL: [Self; 2] = [Self::Approved, Self::Rejected];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}
