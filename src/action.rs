//! The closed set of actions. The CLI, the APIs and the pages change a registry by these alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::entity::settings::Layout;
use crate::entity::version::{Artifacts, Environment, Metric, ModelInfo, Schema, VersionSource, VersionStatus};
use crate::entity::webhook::{EventPattern, PayloadProfile, Webhook, WebhookJob, WebhookState};
use crate::entity::{PermissionLevel, Person, Settings, Tags};
use crate::name::{AliasName, GroupName, Id, Key, ModelName, Principal, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::tree::Patch;

/// A change that a caller asks for.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are the nouns they name; each variant says what is asked")]
pub enum Action {
    /// Create a registry; the caller becomes its administrator.
    CreateRegistry { settings: Settings, maker: Person },
    /// Change the settings of the registry, except its layout. `seen` is the state that the caller edited; the action
    /// is refused if the settings changed since.
    ChangeSettings { settings: Settings, seen: Option<Box<Settings>> },
    /// Move all files to another layout.
    Reshard { layout: Layout },
    /// Move the registry to another folder of the repository. A folder is empty for the root, or ends in a slash.
    MoveRegistry { to: String },

    /// Register a model.
    CreateModel { model: ModelName, description: Text, tags: Tags },
    /// Change the description of a model.
    DescribeModel { model: ModelName, description: Text },
    /// Rename a model.
    RenameModel { model: ModelName, to: ModelName },
    /// Delete a model with all its versions.
    DeleteModel { model: ModelName },
    /// Set a tag of a model.
    SetModelTag { model: ModelName, key: Key, value: Text },
    /// Delete a tag of a model. Nothing happens if the model has no such tag.
    DeleteModelTag { model: ModelName, key: Key },

    /// Register a version.
    CreateVersion { model: ModelName, new: Box<NewVersion> },
    /// Change the description of a version.
    DescribeVersion { model: ModelName, version: u64, description: Text },
    /// Set the status of a version: it became ready, or its registration failed.
    SetStatus { model: ModelName, version: u64, status: VersionStatus, message: Text },
    /// Complete a version whose registration is pending: store the files that arrived and the evidence in them. The
    /// version becomes ready.
    CompleteVersion { model: ModelName, version: u64, arrived: Box<Arrived> },
    /// Add parameters and metrics that became known after the registration.
    AddEvidence { model: ModelName, version: u64, params: BTreeMap<Key, Text>, metrics: BTreeMap<Key, Metric> },
    /// Delete a version with its comments, requests and aliases.
    DeleteVersion { model: ModelName, version: u64 },
    /// Set a tag of a version.
    SetVersionTag { model: ModelName, version: u64, key: Key, value: Text },
    /// Delete a tag of a version. Nothing happens if the version has no such tag.
    DeleteVersionTag { model: ModelName, version: u64, key: Key },

    /// Point an alias at a version.
    SetAlias { model: ModelName, alias: AliasName, version: u64 },
    /// Delete an alias. Nothing happens if the alias does not exist.
    DeleteAlias { model: ModelName, alias: AliasName },

    /// Move a version to a stage.
    Transition { model: ModelName, version: u64, to: Stage, archive_existing: bool },
    /// Create a transition request for a version.
    CreateRequest { model: ModelName, version: u64, to: Stage, archive_existing: bool, comment: Text },
    /// Approve a request; the transition happens with the approval that completes the quorum.
    ApproveRequest {
        model: ModelName,
        version: u64,
        which: RequestSelector,
        archive_existing: bool,
        comment: Text,
        hindered: Hindered,
    },
    /// Reject a request.
    RejectRequest { model: ModelName, version: u64, which: RequestSelector, comment: Text },
    /// Cancel a request.
    CancelRequest { model: ModelName, version: u64, which: RequestSelector, comment: Text },

    /// Comment on a version.
    AddComment { model: ModelName, version: u64, text: Text },
    /// Edit a comment.
    EditComment { model: ModelName, version: u64, id: Id, text: Text },
    /// Delete a comment.
    DeleteComment { model: ModelName, version: u64, id: Id },

    /// Grant a level on a model, or on the whole registry. It replaces the level that the principal had there.
    Grant { model: Option<ModelName>, to: Principal, level: PermissionLevel },
    /// Revoke a grant.
    Revoke { model: Option<ModelName>, to: Principal },
    /// Replace all grants on a model, or on the whole registry.
    SetGrants { model: Option<ModelName>, grants: BTreeMap<Principal, PermissionLevel> },
    /// Add people to a group and remove others. A group that does not exist is created.
    ChangeGroup { group: GroupName, add: BTreeSet<UserName>, remove: BTreeSet<UserName> },
    /// Delete a group.
    DeleteGroup { group: GroupName },
    /// Add a person.
    AddPerson { user: UserName, person: Person },
    /// Change the record of a person. `seen` is the state that the caller edited; the action is refused if the record
    /// changed since.
    ChangePerson { user: UserName, person: Person, seen: Option<Box<Person>> },
    /// Remove a person.
    RemovePerson { user: UserName },

    /// Create a webhook.
    CreateWebhook { new: Box<NewWebhook> },
    /// Change a webhook; its model stays. `seen` is the state that the caller edited; the action is refused if the
    /// webhook changed since.
    ChangeWebhook { id: Id, new: Box<NewWebhook>, seen: Option<Box<Webhook>> },
    /// Delete a webhook.
    DeleteWebhook { id: Id },
}

impl Action {
    /// Returns whether a service may do this for a person who proved no identity to the registry.
    ///
    /// Approvals, permissions, people, webhooks and settings are worth as much as the identity behind them, so these
    /// actions need the person's own identity.
    pub const fn may_be_delegated(&self) -> bool {
        match self {
            Self::CreateModel { .. }
            | Self::DescribeModel { .. }
            | Self::RenameModel { .. }
            | Self::DeleteModel { .. }
            | Self::SetModelTag { .. }
            | Self::DeleteModelTag { .. }
            | Self::CreateVersion { .. }
            | Self::DescribeVersion { .. }
            | Self::CompleteVersion { .. }
            | Self::DeleteVersion { .. }
            | Self::SetVersionTag { .. }
            | Self::DeleteVersionTag { .. }
            | Self::SetAlias { .. }
            | Self::DeleteAlias { .. }
            | Self::Transition { .. }
            | Self::CreateRequest { .. }
            | Self::CancelRequest { .. }
            | Self::AddComment { .. }
            | Self::EditComment { .. }
            | Self::DeleteComment { .. } => true,
            Self::CreateRegistry { .. }
            | Self::ChangeSettings { .. }
            | Self::Reshard { .. }
            | Self::MoveRegistry { .. }
            | Self::SetStatus { .. }
            | Self::AddEvidence { .. }
            | Self::ApproveRequest { .. }
            | Self::RejectRequest { .. }
            | Self::Grant { .. }
            | Self::Revoke { .. }
            | Self::SetGrants { .. }
            | Self::ChangeGroup { .. }
            | Self::DeleteGroup { .. }
            | Self::AddPerson { .. }
            | Self::ChangePerson { .. }
            | Self::RemovePerson { .. }
            | Self::CreateWebhook { .. }
            | Self::ChangeWebhook { .. }
            | Self::DeleteWebhook { .. } => false,
        }
    }
}

/// What becomes of an approval that completes the quorum of a version that may not enter the stage yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindered {
    /// It is refused with the rule that prevents the transition, and the approval is not stored.
    Refuse,
    /// It is kept as a review, and the request stays open.
    Keep,
}

/// Which of a version's open requests is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestSelector {
    /// The request with this id.
    Id(Id),
    /// The oldest request for this stage, by this requester if one is named.
    Stage(Stage, Option<UserName>),
    /// The only open request.
    Only,
}

/// The content of a new version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewVersion {
    /// Whether to register the model too, if it does not exist yet.
    pub create_model: bool,
    /// The description, for people.
    pub description: Text,
    /// Whether the files are complete.
    pub status: VersionStatus,
    /// Why the version cannot be used, or what people should know about a version that is ready.
    pub status_message: Text,
    /// The origin of the files.
    pub source: VersionSource,
    /// The size and count of the files, if they were copied into the repository.
    pub artifacts: Option<Artifacts>,
    /// The files. Paths are relative to the `artifacts/` folder of the version.
    pub files: Patch,
    /// `.gitattributes` beside `artifacts/`. Needed for files that the registry's own rules would store in the other
    /// way (git blob or Git LFS).
    pub attributes: Option<String>,
    /// The tags of the version.
    pub tags: Tags,
    /// The parameters of the training.
    pub params: BTreeMap<Key, Text>,
    /// The metrics of the training.
    pub metrics: BTreeMap<Key, Metric>,
    /// The inputs and outputs of the model.
    pub schema: Option<Schema>,
    /// The tools that wrote the model files.
    pub info: Option<ModelInfo>,
    /// What the model needs to run.
    pub environment: Option<Environment>,
    /// The aliases to point at the version.
    pub aliases: BTreeSet<AliasName>,
}

/// The files and evidence that arrive for a version whose registration is pending.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrived {
    /// The size and count of the files.
    pub artifacts: Artifacts,
    /// The files. Paths are relative to the `artifacts/` folder of the version.
    pub files: Patch,
    /// `.gitattributes` beside `artifacts/`. Needed for files that the registry's own rules would store in the other
    /// way (git blob or Git LFS).
    pub attributes: Option<String>,
    /// The MLflow run that made the version, if the registration did not name it; empty if still unknown.
    pub run_id: Text,
    /// The MLflow logged model, if the registration did not name it; empty if still unknown.
    pub model_id: Text,
    /// Parameters that the registration did not name.
    pub params: BTreeMap<Key, Text>,
    /// Metrics that the registration did not name.
    pub metrics: BTreeMap<Key, Metric>,
    /// The inputs and outputs of the model.
    pub schema: Option<Schema>,
    /// The tools that wrote the model files.
    pub info: Option<ModelInfo>,
    /// What the model needs to run.
    pub environment: Option<Environment>,
    /// What people should know about the version although it is ready; usually empty.
    pub message: Text,
}

/// The fields of a webhook that a caller sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewWebhook {
    /// A name for people.
    pub name: Text,
    /// What the webhook is for.
    pub description: Text,
    /// The model whose events are sent; `None` for all models and the registry.
    pub model: Option<ModelName>,
    /// Which events are sent.
    pub events: BTreeSet<EventPattern>,
    /// Whether the webhook is active, disabled or in test mode.
    pub state: WebhookState,
    /// The shape of the payload.
    pub profile: PayloadProfile,
    /// The URL to send to; `None` if `job` is set.
    pub url: Option<Text>,
    /// The Databricks job to start instead of a request to `url`.
    pub job: Option<WebhookJob>,
    /// Whether the server's TLS certificate is not verified.
    pub insecure: bool,
    /// The name of the secret that signs payloads.
    pub secret: Option<Key>,
    /// The name of the secret with the `Authorization` header.
    pub authorization: Option<Key>,
}
