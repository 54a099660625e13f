//! Transition requests, reviews, comments and activities.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::entity::{self, Request, RequestState, Verdict};
use crate::index::Landers;
use crate::name::{Digest, Id, ModelName, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// A transition request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TransitionRequest {
    /// Its id.
    pub id: Id,
    /// The registered model.
    pub model: ModelName,
    /// The version's number.
    pub version: u64,
    /// The stage that the version is in.
    pub stage: Stage,
    /// The stage that is asked for.
    pub to: Stage,
    /// What became of it.
    pub state: RequestState,
    /// Who made it.
    pub created_by: UserName,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who landed it, where that is another person than `created_by` and the history was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// Why (Markdown).
    pub comment: Text,
    /// Whether the approval archives the other versions in the stage.
    pub archive_existing: bool,
    /// The approvals that count; absent in `version show`, which does not judge them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// The reviews, oldest first.
    pub review: Vec<Review>,
    /// Who closed it.
    pub closed_by: Option<UserName>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// What was said when it was cancelled.
    pub close_comment: Text,
    /// What the caller may do about it; present in the answers of the HTTP API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_actions: Option<Vec<AvailableAction>>,
    /// What the version lacks for the stage; present in the answers of the HTTP API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<String>>,
}

impl TransitionRequest {
    /// A request of a version that is in a stage, with who landed it and its reviews.
    pub fn new(model: &ModelName, version: u64, stage: &Stage, request: &Request, landers: &Landers) -> Self {
        let review = |r: &entity::Review| Review {
            by: r.by.clone(),
            at: r.at,
            verdict: r.verdict,
            comment: r.comment.clone(),
            subject: r.subject.clone(),
            void: None,
            landed_by: landers.of_review(&request.id, r).map(str::to_owned),
        };
        Self {
            id: request.id.clone(),
            model: model.clone(),
            version,
            stage: stage.clone(),
            to: request.to.clone(),
            state: request.state,
            created_by: request.created_by.clone(),
            created_at: request.created_at,
            landed_by: landers.of(&request.id).map(str::to_owned),
            comment: request.comment.clone(),
            archive_existing: request.archive_existing,
            approvals: None,
            review: request.review.iter().map(review).collect(),
            closed_by: request.closed_by.clone(),
            closed_at: request.closed_at,
            close_comment: request.close_comment.clone(),
            available_actions: None,
            missing: None,
        }
    }
}

/// The approvals of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Approvals {
    /// How many the stage rule demands.
    pub needed: u64,
    /// Whose approvals count.
    pub by: BTreeSet<UserName>,
}

/// A review of a transition request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Review {
    /// Who reviewed.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
    /// Approved or rejected.
    pub verdict: Verdict,
    /// Why (Markdown).
    pub comment: Text,
    /// SHA-256 over what the reviewer saw.
    pub subject: Digest,
    /// Why it does not count; null where it counts or is not judged, as in `version show`.
    pub void: Option<String>,
    /// Who landed it, where that is another person than `by` and the history was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
}

/// What the caller may do about an open request or a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AvailableAction {
    /// Approve the request.
    ApproveTransitionRequest,
    /// Reject the request.
    RejectTransitionRequest,
    /// Withdraw the request.
    CancelTransitionRequest,
    /// Edit the comment.
    EditComment,
    /// Delete the comment.
    DeleteComment,
}

/// A comment on a version.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Comment {
    /// Its id.
    pub id: Id,
    /// The registered model.
    pub model: ModelName,
    /// The version's number.
    pub version: u64,
    /// Who wrote it.
    pub created_by: UserName,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last edited; null if never.
    pub edited_at: Option<Timestamp>,
    /// What it says (Markdown).
    pub text: Text,
    /// Who landed it, where that is another person than `created_by` and the history was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// What the caller may do about it; present in the answers of the HTTP API where there is anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_actions: Vec<AvailableAction>,
}

impl Comment {
    /// A comment on a version, with who landed it.
    pub fn new(model: &ModelName, version: u64, comment: &entity::Comment, landed_by: Option<&str>) -> Self {
        Self {
            id: comment.id.clone(),
            model: model.clone(),
            version,
            created_by: comment.created_by.clone(),
            created_at: comment.created_at,
            edited_at: comment.edited_at,
            text: comment.text.clone(),
            landed_by: landed_by.map(str::to_owned),
            available_actions: Vec::new(),
        }
    }
}

/// Something that was done to a version. Keys without a value are absent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Activity {
    /// A comment's or request's own id, else that of the event.
    pub id: String,
    /// What was done: APPLIED_TRANSITION, SYSTEM_TRANSITION, REQUESTED_TRANSITION, APPROVED_REQUEST, REJECTED_REQUEST,
    /// CANCELLED_REQUEST or NEW_COMMENT.
    pub activity_type: &'static str,
    /// The registered model.
    pub model: ModelName,
    /// The version's number.
    pub version: u64,
    /// When it was done.
    pub at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who did it.
    pub by: String,
    /// Who landed it, where that is another person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The stage that the version was in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The stage that it goes or shall go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What the registry says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_comment: Option<String>,
    /// What the caller may do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_actions: Vec<AvailableAction>,
}
