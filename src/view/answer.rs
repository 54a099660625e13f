//! The answers of the HTTP API `/api/greenroom`: pages, single things with the state that they are of, and mail preferences.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::history::AsOf;
use super::model::{ModelVersion, RegisteredModel};
use super::request::{Activity, Comment, TransitionRequest};
use crate::entity::person::{Cadence, ModelNotifications, Notify};
use crate::name::{Id, ModelName, UserName};
use crate::text::Text;

/// An answer with the state that it is of.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dated<T> {
    /// What was asked for.
    #[serde(flatten)]
    pub found: T,
    /// The state; absent before the first commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<AsOf>,
}

/// A registered model as an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FoundModel {
    /// The model.
    pub model: RegisteredModel,
}

/// A page of registered models.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelPage {
    /// The models, by name.
    pub models: Vec<RegisteredModel>,
    /// The `page_token` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<ModelName>,
}

/// A model version as an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FoundVersion {
    /// The version.
    pub version: ModelVersion,
}

/// The comments on a version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommentList {
    /// The comments, oldest first.
    pub comments: Vec<Comment>,
}

/// A page of activities.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActivityPage {
    /// The activities, newest first.
    pub activities: Vec<Activity>,
    /// The `page_token` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A page of open transition requests.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestPage {
    /// The requests, oldest first.
    pub requests: Vec<TransitionRequest>,
    /// The `page_token` of the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<Id>,
}

/// What mail the caller gets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MailPreferences {
    /// The caller.
    pub person: UserName,
    /// Where mail goes to; null where there is no address.
    pub address: Option<Text>,
    /// Whether the caller turned all mail off.
    pub off: bool,
    /// Whether the registry turned all mail off.
    pub registry_off: bool,
    /// How mail is collected.
    pub digest: Cadence,
    /// Whether no mail comes because a request waits for approval.
    pub mute_approvals: bool,
    /// How many mails a day come about one kind of activity on one model; null for no limit.
    pub daily_cap: Option<u64>,
    /// What was chosen for models that the caller may read.
    pub models: Vec<ModelChoice>,
}

/// What a person chose for a model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelChoice {
    /// The registered model.
    pub model: ModelName,
    /// What the person's file says.
    pub said: ModelNotifications,
}

/// What mail the caller gets about a model, and about one version of it where that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelMailPreferences {
    /// The registered model.
    pub model: ModelName,
    /// How much.
    pub notify: Notify,
    /// Whether the caller chose that.
    pub chosen: bool,
    /// The versions that are followed by choice.
    pub follow: BTreeSet<u64>,
    /// The versions that are not followed, by choice.
    pub unfollow: BTreeSet<u64>,
    /// The same in Databricks' words: ALL_EVENTS, DEFAULT, SUBSCRIBED or UNSUBSCRIBED.
    pub email_subscription_status: &'static str,
    /// The version that was asked for.
    #[serde(flatten)]
    pub version: Option<VersionFollowing>,
}

/// Whether a version is followed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionFollowing {
    /// The version's number.
    pub version: u64,
    /// Whether the caller follows it.
    pub follows: bool,
    /// Why; null where the caller does not.
    pub because: Option<String>,
}
