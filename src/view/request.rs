//! Output types for transition requests, reviews, comments and activities.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::entity::{self, Request, RequestState, ReviewVerdict};
use crate::index::Committers;
use crate::name::{Digest, Id, ModelName, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// A transition request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TransitionRequest {
    /// The id.
    pub id: Id,
    /// The registered model.
    pub model: ModelName,
    /// The version number.
    pub version: u64,
    /// The current stage of the version.
    pub stage: Stage,
    /// The requested stage.
    pub to: Stage,
    /// The state of the request.
    pub state: RequestState,
    /// The requester.
    pub created_by: UserName,
    /// The time of the request.
    pub created_at: Timestamp,
    /// The committer. Absent if the committer is the person in `created_by`, or if the command does not read the
    /// history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// The reason (Markdown).
    pub comment: Text,
    /// Whether the approval also archives the other versions in the stage.
    pub archive_existing: bool,
    /// The approvals that count. Absent in the output of `version show`, which does not judge approvals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// The reviews, oldest first.
    pub review: Vec<Review>,
    /// The person who closed the request. Null if the request is open.
    pub closed_by: Option<UserName>,
    /// The time when the request was closed. Null if the request is open.
    pub closed_at: Option<Timestamp>,
    /// The comment of the person who cancelled the request (Markdown).
    pub close_comment: Text,
    /// The actions that the caller may take on the request. Present only in responses of the HTTP API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_actions: Option<Vec<AvailableAction>>,
    /// What stands against the transition besides approvals, such as missing evidence or a freeze. Present only for an
    /// open request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<String>>,
    /// The people whose approval would count and who have not given it. If no approval is missing: the people who may
    /// complete the request. Present only for an open request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Vec<UserName>>,
}

impl TransitionRequest {
    /// Makes the output for a request, with the committers of the request and of its reviews. `stage` is the current
    /// stage of the version.
    pub fn new(model: &ModelName, version: u64, stage: &Stage, request: &Request, landers: &Committers) -> Self {
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
            waits_for: None,
        }
    }
}

/// The approvals of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Approvals {
    /// The number of approvals that the stage's rule needs.
    pub needed: u64,
    /// The people whose approvals count.
    pub by: BTreeSet<UserName>,
}

/// A review of a transition request.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Review {
    /// The reviewer.
    pub by: UserName,
    /// The time of the review.
    pub at: Timestamp,
    /// The decision: approved or rejected.
    pub verdict: ReviewVerdict,
    /// The reason (Markdown).
    pub comment: Text,
    /// The SHA-256 of the contents that the reviewer decided about.
    pub subject: Digest,
    /// The reason why the review does not count. Null if the review counts, or if reviews are not judged, as in
    /// `version show`.
    pub void: Option<String>,
    /// The committer. Absent if the committer is the person in `by`, or if the command does not read the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
}

/// An action that the caller may take on an open request or a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AvailableAction {
    /// Approve the request.
    ApproveTransitionRequest,
    /// Reject the request.
    RejectTransitionRequest,
    /// Cancel the request.
    CancelTransitionRequest,
    /// Edit the comment.
    EditComment,
    /// Delete the comment.
    DeleteComment,
}

/// A comment on a version.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Comment {
    /// The id.
    pub id: Id,
    /// The registered model.
    pub model: ModelName,
    /// The version number.
    pub version: u64,
    /// The author of the comment.
    pub created_by: UserName,
    /// The time of the comment.
    pub created_at: Timestamp,
    /// The time of the last edit. Null if the comment was never edited.
    pub edited_at: Option<Timestamp>,
    /// The text of the comment (Markdown).
    pub text: Text,
    /// The committer. Absent if the committer is the person in `created_by`, or if the command does not read the
    /// history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// The actions that the caller may take on the comment. Present only in responses of the HTTP API, unless empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_actions: Vec<AvailableAction>,
}

impl Comment {
    /// Makes the output for a comment on a version, with its committer.
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

/// An activity on a version. Keys without a value are absent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Activity {
    /// The id of the comment or request; for other activities the id of the event.
    pub id: String,
    /// The type of the activity: APPLIED_TRANSITION, SYSTEM_TRANSITION, REQUESTED_TRANSITION, APPROVED_REQUEST,
    /// REJECTED_REQUEST, CANCELLED_REQUEST or NEW_COMMENT.
    pub activity_type: &'static str,
    /// The registered model.
    pub model: ModelName,
    /// The version number.
    pub version: u64,
    /// The time of the activity.
    pub at: Timestamp,
    /// The time of the last change.
    pub updated_at: Timestamp,
    /// The person who performed the activity.
    pub by: String,
    /// The committer. Absent if the committer is the person in `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// The comment of the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The stage of the version before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The new or requested stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The comment of the registry itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_comment: Option<String>,
    /// The actions that the caller may take on the request or comment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub available_actions: Vec<AvailableAction>,
}
