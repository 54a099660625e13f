//! Output types of the HTTP API `/api/greenroom`: pages, single records with the state they belong to, and mail
//! preferences.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::history::AsOf;
use super::model::{ModelVersion, RegisteredModel};
use super::request::{Activity, Comment, TransitionRequest};
use crate::entity::person::{Cadence, ModelNotifications, Notify};
use crate::name::{Id, ModelName, UserName};
use crate::text::Text;

/// A response with the state that it shows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dated<T> {
    /// The requested data.
    #[serde(flatten)]
    pub found: T,
    /// The state. Absent before the first commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<AsOf>,
}

/// The response for a registered model.
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
    /// The `page_token` of the next page. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<ModelName>,
}

/// The response for a model version.
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
    /// The `page_token` of the next page. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A page of open transition requests.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestPage {
    /// The requests, oldest first.
    pub requests: Vec<TransitionRequest>,
    /// The `page_token` of the next page. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<Id>,
}

/// The mail settings of the caller.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MailPreferences {
    /// The caller.
    pub person: UserName,
    /// The address that gets the mail. Null if the caller has no address.
    pub address: Option<Text>,
    /// Whether the caller turned all mail off.
    pub off: bool,
    /// Whether the registry turned all mail off.
    pub registry_off: bool,
    /// The frequency of mail.
    pub digest: Cadence,
    /// Whether the caller gets no mail for the sole reason that a request waits for their approval.
    pub mute_approvals: bool,
    /// The most mails a day about one kind of activity on one model. Null for no limit.
    pub daily_cap: Option<u64>,
    /// The settings for models that the caller may read.
    pub models: Vec<ModelChoice>,
}

/// The settings of a person for a model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelChoice {
    /// The registered model.
    pub model: ModelName,
    /// The settings in the person's file.
    pub said: ModelNotifications,
}

/// The mail settings of the caller for a model, and for one of its versions if the request names one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelMailPreferences {
    /// The registered model.
    pub model: ModelName,
    /// The amount of mail about the model.
    pub notify: Notify,
    /// Whether the caller chose `notify`. Otherwise it is the default.
    pub chosen: bool,
    /// The versions that the caller chose to follow.
    pub follow: BTreeSet<u64>,
    /// The versions that the caller chose not to follow.
    pub unfollow: BTreeSet<u64>,
    /// The same settings in Databricks' words: ALL_EVENTS, DEFAULT, SUBSCRIBED or UNSUBSCRIBED.
    pub email_subscription_status: &'static str,
    /// The requested version.
    #[serde(flatten)]
    pub version: Option<VersionFollowing>,
}

/// The caller's subscription to a version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionFollowing {
    /// The version's number.
    pub version: u64,
    /// Whether the caller follows the version.
    pub follows: bool,
    /// The reason why the caller follows the version. Null if the caller does not follow it.
    pub because: Option<String>,
}
