//! The closed set of events. Each event is one typed difference of two trees.
//!
//! An event carries enough to rebuild the state: applying the events of a whole history in order gives the registry.
//! Event names are dotted, `noun.verb`, and are the same in the log, webhooks, mail and pages.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::entity::version::{Metric, VersionStatus};
use crate::entity::{Comment, Model, PermissionLevel, Person, Request, Review, Settings, Version, Webhook};
use crate::name::{AliasName, GroupName, Id, Key, ModelName, Principal, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::tree::Oid;

/// Why a version changed its stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "by")]
#[schemars(rename = "Cause")]
pub enum TransitionCause {
    /// A person moved the version directly.
    Direct,
    /// A request was approved in the same step.
    Request {
        /// The id of the request.
        id: Id,
    },
    /// Another version entered the same stage in the same step, so this version was archived.
    MadeWay {
        /// The version that entered the stage.
        for_version: u64,
    },
}

/// One change of the registry.
///
/// Changes that the rules always refuse (`…altered`) have events too: there is an event for every change that the file
/// format can express.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "event")]
#[expect(missing_docs, reason = "the fields are the nouns they name; each variant says what happened")]
pub enum Event {
    /// A registry was created.
    #[serde(rename = "registry.created")]
    RegistryCreated { settings: Settings },
    /// The settings of the registry changed.
    #[serde(rename = "registry.settings_changed")]
    SettingsChanged { before: Settings, after: Settings },
    /// The registry moved to another folder of the repository, and nothing else changed. A folder is empty for the root
    /// of the repository, or ends in a slash.
    #[serde(rename = "registry.moved")]
    RegistryMoved { from: String, to: String },
    /// The settings of the registry were deleted, and with them the registry.
    #[serde(rename = "registry.deleted")]
    RegistryDeleted { settings: Settings },
    /// A permission level was granted, or changed from `before`. Without a model the grant holds for the whole
    /// registry.
    #[serde(rename = "access.granted")]
    Granted { model: Option<ModelName>, to: Principal, level: PermissionLevel, before: Option<PermissionLevel> },
    /// A grant was revoked.
    #[serde(rename = "access.revoked")]
    Revoked { model: Option<ModelName>, to: Principal, level: PermissionLevel },
    /// A group was created.
    #[serde(rename = "group.created")]
    GroupCreated { group: GroupName, members: BTreeSet<UserName> },
    /// Members were added to a group or removed from it.
    #[serde(rename = "group.changed")]
    GroupChanged { group: GroupName, added: BTreeSet<UserName>, removed: BTreeSet<UserName> },
    /// A group was deleted.
    #[serde(rename = "group.deleted")]
    GroupDeleted { group: GroupName, members: BTreeSet<UserName> },
    /// A person was added.
    #[serde(rename = "person.added")]
    PersonAdded { user: UserName, person: Person },
    /// The record of a person changed.
    #[serde(rename = "person.changed")]
    PersonChanged { user: UserName, before: Person, after: Person },
    /// A person was removed.
    #[serde(rename = "person.removed")]
    PersonRemoved { user: UserName, person: Person },
    /// A webhook was created.
    #[serde(rename = "webhook.created")]
    WebhookCreated { webhook: Webhook },
    /// A webhook changed.
    #[serde(rename = "webhook.changed")]
    WebhookChanged { before: Webhook, after: Webhook },
    /// A webhook was deleted.
    #[serde(rename = "webhook.deleted")]
    WebhookDeleted { webhook: Webhook },

    /// A model was registered.
    #[serde(rename = "model.created")]
    ModelCreated { model: ModelName, created: Model },
    /// A model was renamed.
    #[serde(rename = "model.renamed")]
    ModelRenamed { model: ModelName, from: ModelName },
    /// The description of a model changed.
    #[serde(rename = "model.described")]
    ModelDescribed { model: ModelName, description: Text, before: Text },
    /// A tag of a model was set.
    #[serde(rename = "model.tag_set")]
    ModelTagSet { model: ModelName, key: Key, value: Text, before: Option<Text> },
    /// A tag of a model was deleted.
    #[serde(rename = "model.tag_deleted")]
    ModelTagDeleted { model: ModelName, key: Key, value: Text },
    /// A field of a model changed that must not change.
    #[serde(rename = "model.altered")]
    ModelAltered { model: ModelName, before: Model, after: Model },
    /// A model was deleted with all its versions.
    #[serde(rename = "model.deleted")]
    ModelDeleted { model: ModelName, deleted: Model },

    /// A version was registered.
    #[serde(rename = "version.created")]
    VersionCreated { model: ModelName, version: u64, created: Version, artifacts: Option<Oid> },
    /// The description of a version changed.
    #[serde(rename = "version.described")]
    VersionDescribed { model: ModelName, version: u64, description: Text, before: Text },
    /// A version became ready, or its registration failed.
    #[serde(rename = "version.status_changed")]
    StatusChanged { model: ModelName, version: u64, status: VersionStatus, message: Text, before: VersionStatus },
    /// A tag of a version was set.
    #[serde(rename = "version.tag_set")]
    VersionTagSet { model: ModelName, version: u64, key: Key, value: Text, before: Option<Text> },
    /// A tag of a version was deleted.
    #[serde(rename = "version.tag_deleted")]
    VersionTagDeleted { model: ModelName, version: u64, key: Key, value: Text },
    /// A parameter was added to a version.
    #[serde(rename = "version.param_added")]
    ParamAdded { model: ModelName, version: u64, key: Key, value: Text },
    /// A metric was added to a version.
    #[serde(rename = "version.metric_added")]
    MetricAdded { model: ModelName, version: u64, key: Key, value: Metric },
    /// A field of a version changed that must not change.
    #[serde(rename = "version.altered")]
    VersionAltered { model: ModelName, version: u64, before: Box<Version>, after: Box<Version> },
    /// The artifacts of a version changed.
    #[serde(rename = "version.artifacts_changed")]
    ArtifactsChanged { model: ModelName, version: u64, before: Option<Oid>, after: Option<Oid> },
    /// A version moved from one stage to another.
    #[serde(rename = "version.transitioned")]
    Transitioned { model: ModelName, version: u64, from: Stage, to: Stage, cause: TransitionCause },
    /// A version was deleted with its comments and requests.
    #[serde(rename = "version.deleted")]
    VersionDeleted { model: ModelName, version: u64, deleted: Version },

    /// A comment was written.
    #[serde(rename = "comment.created")]
    CommentCreated { model: ModelName, version: u64, comment: Comment },
    /// A comment was edited.
    #[serde(rename = "comment.edited")]
    CommentEdited { model: ModelName, version: u64, before: Comment, after: Comment },
    /// A field of a comment changed that must not change.
    #[serde(rename = "comment.altered")]
    CommentAltered { model: ModelName, version: u64, before: Comment, after: Comment },
    /// A comment was deleted.
    #[serde(rename = "comment.deleted")]
    CommentDeleted { model: ModelName, version: u64, comment: Comment },

    /// A transition was requested.
    #[serde(rename = "request.created")]
    RequestCreated { model: ModelName, version: u64, request: Request },
    /// A request was reviewed and is still open.
    #[serde(rename = "request.reviewed")]
    RequestReviewed { model: ModelName, version: u64, review: Review, request: Request },
    /// A request was approved. The transition happened in the same step.
    #[serde(rename = "request.approved")]
    RequestApproved { model: ModelName, version: u64, request: Request },
    /// A request was rejected.
    #[serde(rename = "request.rejected")]
    RequestRejected { model: ModelName, version: u64, request: Request },
    /// A request was cancelled. `overtaken`: the version entered the stage in the same step by another way.
    #[serde(rename = "request.cancelled")]
    RequestCancelled { model: ModelName, version: u64, overtaken: bool, request: Request },
    /// A field of a request changed that must not change.
    #[serde(rename = "request.altered")]
    RequestAltered { model: ModelName, version: u64, before: Request, after: Request },
    /// A request was deleted.
    #[serde(rename = "request.deleted")]
    RequestDeleted { model: ModelName, version: u64, request: Request },

    /// An alias was set, or moved from version `before`.
    #[serde(rename = "alias.set")]
    AliasSet { model: ModelName, alias: AliasName, version: u64, before: Option<u64> },
    /// An alias was deleted.
    #[serde(rename = "alias.deleted")]
    AliasDeleted { model: ModelName, alias: AliasName, version: u64 },

    /// A file that belongs to no object of the registry changed.
    #[serde(rename = "file.changed")]
    FileChanged { path: String, before: Option<Oid>, after: Option<Oid> },
    /// A file of the registry became unreadable.
    #[serde(rename = "file.unreadable")]
    FileUnreadable { path: String },
    /// A file of the registry became readable again.
    #[serde(rename = "file.repaired")]
    FileRepaired { path: String },
}

impl Event {
    /// Returns the dotted name of the event.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RegistryCreated { .. } => "registry.created",
            Self::SettingsChanged { .. } => "registry.settings_changed",
            Self::RegistryMoved { .. } => "registry.moved",
            Self::RegistryDeleted { .. } => "registry.deleted",
            Self::Granted { .. } => "access.granted",
            Self::Revoked { .. } => "access.revoked",
            Self::GroupCreated { .. } => "group.created",
            Self::GroupChanged { .. } => "group.changed",
            Self::GroupDeleted { .. } => "group.deleted",
            Self::PersonAdded { .. } => "person.added",
            Self::PersonChanged { .. } => "person.changed",
            Self::PersonRemoved { .. } => "person.removed",
            Self::WebhookCreated { .. } => "webhook.created",
            Self::WebhookChanged { .. } => "webhook.changed",
            Self::WebhookDeleted { .. } => "webhook.deleted",
            Self::ModelCreated { .. } => "model.created",
            Self::ModelRenamed { .. } => "model.renamed",
            Self::ModelDescribed { .. } => "model.described",
            Self::ModelTagSet { .. } => "model.tag_set",
            Self::ModelTagDeleted { .. } => "model.tag_deleted",
            Self::ModelAltered { .. } => "model.altered",
            Self::ModelDeleted { .. } => "model.deleted",
            Self::VersionCreated { .. } => "version.created",
            Self::VersionDescribed { .. } => "version.described",
            Self::StatusChanged { .. } => "version.status_changed",
            Self::VersionTagSet { .. } => "version.tag_set",
            Self::VersionTagDeleted { .. } => "version.tag_deleted",
            Self::ParamAdded { .. } => "version.param_added",
            Self::MetricAdded { .. } => "version.metric_added",
            Self::VersionAltered { .. } => "version.altered",
            Self::ArtifactsChanged { .. } => "version.artifacts_changed",
            Self::Transitioned { .. } => "version.transitioned",
            Self::VersionDeleted { .. } => "version.deleted",
            Self::CommentCreated { .. } => "comment.created",
            Self::CommentEdited { .. } => "comment.edited",
            Self::CommentAltered { .. } => "comment.altered",
            Self::CommentDeleted { .. } => "comment.deleted",
            Self::RequestCreated { .. } => "request.created",
            Self::RequestReviewed { .. } => "request.reviewed",
            Self::RequestApproved { .. } => "request.approved",
            Self::RequestRejected { .. } => "request.rejected",
            Self::RequestCancelled { .. } => "request.cancelled",
            Self::RequestAltered { .. } => "request.altered",
            Self::RequestDeleted { .. } => "request.deleted",
            Self::AliasSet { .. } => "alias.set",
            Self::AliasDeleted { .. } => "alias.deleted",
            Self::FileChanged { .. } => "file.changed",
            Self::FileUnreadable { .. } => "file.unreadable",
            Self::FileRepaired { .. } => "file.repaired",
        }
    }

    /// Returns the model that the event is about; `None` for an event of the whole registry.
    pub const fn model(&self) -> Option<&ModelName> {
        match self {
            Self::RegistryCreated { .. }
            | Self::SettingsChanged { .. }
            | Self::RegistryMoved { .. }
            | Self::RegistryDeleted { .. }
            | Self::GroupCreated { .. }
            | Self::GroupChanged { .. }
            | Self::GroupDeleted { .. }
            | Self::PersonAdded { .. }
            | Self::PersonChanged { .. }
            | Self::PersonRemoved { .. }
            | Self::FileChanged { .. }
            | Self::FileUnreadable { .. }
            | Self::FileRepaired { .. } => None,
            Self::Granted { model, .. } | Self::Revoked { model, .. } => model.as_ref(),
            Self::WebhookCreated { webhook }
            | Self::WebhookChanged { after: webhook, .. }
            | Self::WebhookDeleted { webhook } => webhook.model.as_ref(),
            Self::ModelCreated { model, .. }
            | Self::ModelRenamed { model, .. }
            | Self::ModelDescribed { model, .. }
            | Self::ModelTagSet { model, .. }
            | Self::ModelTagDeleted { model, .. }
            | Self::ModelAltered { model, .. }
            | Self::ModelDeleted { model, .. }
            | Self::AliasSet { model, .. }
            | Self::AliasDeleted { model, .. } => Some(model),
            Self::VersionCreated { model, .. }
            | Self::VersionDescribed { model, .. }
            | Self::StatusChanged { model, .. }
            | Self::VersionTagSet { model, .. }
            | Self::VersionTagDeleted { model, .. }
            | Self::ParamAdded { model, .. }
            | Self::MetricAdded { model, .. }
            | Self::VersionAltered { model, .. }
            | Self::ArtifactsChanged { model, .. }
            | Self::Transitioned { model, .. }
            | Self::VersionDeleted { model, .. }
            | Self::CommentCreated { model, .. }
            | Self::CommentEdited { model, .. }
            | Self::CommentAltered { model, .. }
            | Self::CommentDeleted { model, .. }
            | Self::RequestCreated { model, .. }
            | Self::RequestReviewed { model, .. }
            | Self::RequestApproved { model, .. }
            | Self::RequestRejected { model, .. }
            | Self::RequestCancelled { model, .. }
            | Self::RequestAltered { model, .. }
            | Self::RequestDeleted { model, .. } => Some(model),
        }
    }

    /// Returns the version that the event is about. An event of an alias is about the version that the alias names.
    pub const fn version(&self) -> Option<u64> {
        match self {
            Self::RegistryCreated { .. }
            | Self::SettingsChanged { .. }
            | Self::RegistryMoved { .. }
            | Self::RegistryDeleted { .. }
            | Self::Granted { .. }
            | Self::Revoked { .. }
            | Self::GroupCreated { .. }
            | Self::GroupChanged { .. }
            | Self::GroupDeleted { .. }
            | Self::PersonAdded { .. }
            | Self::PersonChanged { .. }
            | Self::PersonRemoved { .. }
            | Self::WebhookCreated { .. }
            | Self::WebhookChanged { .. }
            | Self::WebhookDeleted { .. }
            | Self::ModelCreated { .. }
            | Self::ModelRenamed { .. }
            | Self::ModelDescribed { .. }
            | Self::ModelTagSet { .. }
            | Self::ModelTagDeleted { .. }
            | Self::ModelAltered { .. }
            | Self::ModelDeleted { .. }
            | Self::FileChanged { .. }
            | Self::FileUnreadable { .. }
            | Self::FileRepaired { .. } => None,
            Self::AliasSet { version, .. }
            | Self::AliasDeleted { version, .. }
            | Self::VersionCreated { version, .. }
            | Self::VersionDescribed { version, .. }
            | Self::StatusChanged { version, .. }
            | Self::VersionTagSet { version, .. }
            | Self::VersionTagDeleted { version, .. }
            | Self::ParamAdded { version, .. }
            | Self::MetricAdded { version, .. }
            | Self::VersionAltered { version, .. }
            | Self::ArtifactsChanged { version, .. }
            | Self::Transitioned { version, .. }
            | Self::VersionDeleted { version, .. }
            | Self::CommentCreated { version, .. }
            | Self::CommentEdited { version, .. }
            | Self::CommentAltered { version, .. }
            | Self::CommentDeleted { version, .. }
            | Self::RequestCreated { version, .. }
            | Self::RequestReviewed { version, .. }
            | Self::RequestApproved { version, .. }
            | Self::RequestRejected { version, .. }
            | Self::RequestCancelled { version, .. }
            | Self::RequestAltered { version, .. }
            | Self::RequestDeleted { version, .. } => Some(*version),
        }
    }

    /// Returns the id that the event brings into the registry: the id of a new object, or an id that replaces another
    /// one.
    pub fn new_id(&self) -> Option<&Id> {
        match self {
            Self::RegistryCreated { settings } => Some(&settings.id),
            Self::SettingsChanged { before, after } => Some(&after.id).filter(|id| **id != before.id),
            Self::WebhookCreated { webhook } => Some(&webhook.id),
            Self::WebhookChanged { before, after } => Some(&after.id).filter(|id| **id != before.id),
            Self::ModelCreated { created, .. } => Some(&created.id),
            Self::ModelAltered { before, after, .. } => Some(&after.id).filter(|id| **id != before.id),
            Self::VersionCreated { created, .. } => Some(&created.id),
            Self::VersionAltered { before, after, .. } => Some(&after.id).filter(|id| **id != before.id),
            Self::CommentCreated { comment, .. } => Some(&comment.id),
            Self::CommentAltered { before, after, .. } => Some(&after.id).filter(|id| **id != before.id),
            Self::RequestCreated { request, .. } => Some(&request.id),
            Self::RequestAltered { before, after, .. } => Some(&after.id).filter(|id| **id != before.id),
            Self::RegistryMoved { .. }
            | Self::RegistryDeleted { .. }
            | Self::GroupCreated { .. }
            | Self::GroupChanged { .. }
            | Self::GroupDeleted { .. }
            | Self::PersonAdded { .. }
            | Self::PersonChanged { .. }
            | Self::PersonRemoved { .. }
            | Self::Granted { .. }
            | Self::Revoked { .. }
            | Self::WebhookDeleted { .. }
            | Self::ModelRenamed { .. }
            | Self::ModelDescribed { .. }
            | Self::ModelTagSet { .. }
            | Self::ModelTagDeleted { .. }
            | Self::ModelDeleted { .. }
            | Self::VersionDescribed { .. }
            | Self::StatusChanged { .. }
            | Self::VersionTagSet { .. }
            | Self::VersionTagDeleted { .. }
            | Self::ParamAdded { .. }
            | Self::MetricAdded { .. }
            | Self::ArtifactsChanged { .. }
            | Self::Transitioned { .. }
            | Self::VersionDeleted { .. }
            | Self::CommentEdited { .. }
            | Self::CommentDeleted { .. }
            | Self::RequestReviewed { .. }
            | Self::RequestApproved { .. }
            | Self::RequestRejected { .. }
            | Self::RequestCancelled { .. }
            | Self::RequestDeleted { .. }
            | Self::AliasSet { .. }
            | Self::AliasDeleted { .. }
            | Self::FileChanged { .. }
            | Self::FileUnreadable { .. }
            | Self::FileRepaired { .. } => None,
        }
    }

    /// Returns the person that the changed file names as creator, reviewer or closer. This is a claim, not an identity.
    pub fn claimed_by(&self) -> Option<&UserName> {
        match self {
            Self::ModelCreated { created, .. } => Some(&created.created_by),
            Self::VersionCreated { created, .. } => Some(&created.created_by),
            Self::WebhookCreated { webhook } => Some(&webhook.created_by),
            Self::CommentCreated { comment, .. } => Some(&comment.created_by),
            Self::RequestCreated { request, .. } => Some(&request.created_by),
            Self::RequestReviewed { review, .. } => Some(&review.by),
            Self::RequestApproved { request, .. }
            | Self::RequestRejected { request, .. }
            | Self::RequestCancelled { request, .. } => request.closed_by.as_ref(),
            Self::RegistryCreated { .. }
            | Self::SettingsChanged { .. }
            | Self::RegistryMoved { .. }
            | Self::RegistryDeleted { .. }
            | Self::Granted { .. }
            | Self::Revoked { .. }
            | Self::GroupCreated { .. }
            | Self::GroupChanged { .. }
            | Self::GroupDeleted { .. }
            | Self::PersonAdded { .. }
            | Self::PersonChanged { .. }
            | Self::PersonRemoved { .. }
            | Self::WebhookChanged { .. }
            | Self::WebhookDeleted { .. }
            | Self::ModelRenamed { .. }
            | Self::ModelDescribed { .. }
            | Self::ModelTagSet { .. }
            | Self::ModelTagDeleted { .. }
            | Self::ModelAltered { .. }
            | Self::ModelDeleted { .. }
            | Self::VersionDescribed { .. }
            | Self::StatusChanged { .. }
            | Self::VersionTagSet { .. }
            | Self::VersionTagDeleted { .. }
            | Self::ParamAdded { .. }
            | Self::MetricAdded { .. }
            | Self::VersionAltered { .. }
            | Self::ArtifactsChanged { .. }
            | Self::Transitioned { .. }
            | Self::VersionDeleted { .. }
            | Self::CommentEdited { .. }
            | Self::CommentAltered { .. }
            | Self::CommentDeleted { .. }
            | Self::RequestAltered { .. }
            | Self::RequestDeleted { .. }
            | Self::AliasSet { .. }
            | Self::AliasDeleted { .. }
            | Self::FileChanged { .. }
            | Self::FileUnreadable { .. }
            | Self::FileRepaired { .. } => None,
        }
    }
}
