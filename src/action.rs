//! What someone may ask for: the closed set of actions. The CLI, the APIs and the pages carry nothing else in.

use std::collections::{BTreeMap, BTreeSet};

use crate::entity::settings::Layout;
use crate::entity::version::{Artifacts, Environment, Metric, ModelInfo, Schema, Source, Status};
use crate::entity::webhook::{EventPattern, Job, Profile, Webhook, WebhookState};
use crate::entity::{Level, Person, Settings, Tags};
use crate::name::{AliasName, GroupName, Id, Key, ModelName, Principal, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::tree::Patch;

/// Something that someone asks for.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are the nouns they name; each variant says what is asked")]
pub enum Action {
    /// Make a registry; who asks will manage it.
    CreateRegistry { settings: Settings, maker: Person },
    /// Change the registry's settings, layout aside; `seen` is what the asker changed, refused if that is outdated.
    ChangeSettings { settings: Settings, seen: Option<Box<Settings>> },
    /// Move everything to another layout.
    Reshard { layout: Layout },
    /// Move the registry to another folder of the repository: empty for its root, or ending in a slash.
    MoveRegistry { to: String },

    /// Register a model.
    CreateModel { model: ModelName, description: Text, tags: Tags },
    /// Change a model's description.
    DescribeModel { model: ModelName, description: Text },
    /// Rename a model.
    RenameModel { model: ModelName, to: ModelName },
    /// Delete a model with all its versions.
    DeleteModel { model: ModelName },
    /// Set a tag of a model.
    SetModelTag { model: ModelName, key: Key, value: Text },
    /// Delete a tag of a model; nothing happens where there is none.
    DeleteModelTag { model: ModelName, key: Key },

    /// Register a version.
    CreateVersion { model: ModelName, new: Box<NewVersion> },
    /// Change a version's description.
    DescribeVersion { model: ModelName, version: u64, description: Text },
    /// Say that a version became ready, or failed.
    SetStatus { model: ModelName, version: u64, status: Status, message: Text },
    /// Give a version whose registration is pending the files that arrived, and what they say: it is ready.
    CompleteVersion { model: ModelName, version: u64, arrived: Box<Arrived> },
    /// Add parameters and metrics that became known later.
    AddEvidence { model: ModelName, version: u64, params: BTreeMap<Key, Text>, metrics: BTreeMap<Key, Metric> },
    /// Delete a version with its comments, requests and aliases.
    DeleteVersion { model: ModelName, version: u64 },
    /// Set a tag of a version.
    SetVersionTag { model: ModelName, version: u64, key: Key, value: Text },
    /// Delete a tag of a version; nothing happens where there is none.
    DeleteVersionTag { model: ModelName, version: u64, key: Key },

    /// Point an alias at a version.
    SetAlias { model: ModelName, alias: AliasName, version: u64 },
    /// Delete an alias; nothing happens where there is none.
    DeleteAlias { model: ModelName, alias: AliasName },

    /// Move a version to a stage.
    Transition { model: ModelName, version: u64, to: Stage, archive_existing: bool },
    /// Ask that a version move to a stage.
    CreateRequest { model: ModelName, version: u64, to: Stage, archive_existing: bool, comment: Text },
    /// Approve a request; the transition happens with the approval that completes the quorum.
    ApproveRequest {
        model: ModelName,
        version: u64,
        which: Which,
        archive_existing: bool,
        comment: Text,
        hindered: Hindered,
    },
    /// Reject a request.
    RejectRequest { model: ModelName, version: u64, which: Which, comment: Text },
    /// Withdraw a request.
    CancelRequest { model: ModelName, version: u64, which: Which, comment: Text },

    /// Comment on a version.
    AddComment { model: ModelName, version: u64, text: Text },
    /// Edit a comment.
    EditComment { model: ModelName, version: u64, id: Id, text: Text },
    /// Delete a comment.
    DeleteComment { model: ModelName, version: u64, id: Id },

    /// Grant a level on a model, or registry-wide, in place of what the principal had there.
    Grant { model: Option<ModelName>, to: Principal, level: Level },
    /// Take a grant back.
    Revoke { model: Option<ModelName>, to: Principal },
    /// Put these grants in place of all that there are on a model, or registry-wide.
    SetGrants { model: Option<ModelName>, grants: BTreeMap<Principal, Level> },
    /// Put people into a group and take others out; a group that does not exist is made.
    ChangeGroup { group: GroupName, add: BTreeSet<UserName>, remove: BTreeSet<UserName> },
    /// Delete a group.
    DeleteGroup { group: GroupName },
    /// Add a person.
    AddPerson { user: UserName, person: Person },
    /// Change what is known of a person; `seen` is what the asker changed, refused if that is outdated.
    ChangePerson { user: UserName, person: Person, seen: Option<Box<Person>> },
    /// Remove a person.
    RemovePerson { user: UserName },

    /// Make a webhook.
    CreateWebhook { new: Box<NewWebhook> },
    /// Change a webhook; its model stays. `seen` is what the asker changed, refused if that is outdated.
    ChangeWebhook { id: Id, new: Box<NewWebhook>, seen: Option<Box<Webhook>> },
    /// Delete a webhook.
    DeleteWebhook { id: Id },
}

impl Action {
    /// Whether a service may do this for a person who proved nothing to the registry. What an approval, a permission, a
    /// person or a webhook is worth rests on who is behind it; those need the person.
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
    /// It is refused with the rule that stands in the way, and nothing is kept.
    Refuse,
    /// It is kept as a review, and the request stays open.
    Keep,
}

/// Which of a version's open requests is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one with this id.
    Id(Id),
    /// The oldest one for this stage, by this creator where one is named.
    Stage(Stage, Option<UserName>),
    /// The only one there is.
    Only,
}

/// What is known of a version when it is registered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewVersion {
    /// Register the model too, if it is not there yet.
    pub create_model: bool,
    /// What is special about it.
    pub description: Text,
    /// Whether its files are there.
    pub status: Status,
    /// Why it cannot be used, or what people should know although it can.
    pub status_message: Text,
    /// Where it came from.
    pub source: Source,
    /// Its files in sum, where they were copied.
    pub artifacts: Option<Artifacts>,
    /// Its files; paths are relative to the version's `artifacts/` folder.
    pub files: Patch,
    /// `.gitattributes` beside `artifacts/`, for files that the registry's own rules would take for the other kind.
    pub attributes: Option<String>,
    /// Tags.
    pub tags: Tags,
    /// Parameters.
    pub params: BTreeMap<Key, Text>,
    /// Metrics.
    pub metrics: BTreeMap<Key, Metric>,
    /// What it takes and gives.
    pub schema: Option<Schema>,
    /// What made it.
    pub info: Option<ModelInfo>,
    /// What it needs to run.
    pub environment: Option<Environment>,
    /// Aliases to point at it.
    pub aliases: BTreeSet<AliasName>,
}

/// What arrives for a version whose registration is pending.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrived {
    /// Its files in sum.
    pub artifacts: Artifacts,
    /// Its files; paths are relative to the version's `artifacts/` folder.
    pub files: Patch,
    /// `.gitattributes` beside `artifacts/`, for files that the registry's own rules would take for the other kind.
    pub attributes: Option<String>,
    /// The run that made it, if that was not known; empty if it still is not.
    pub run_id: Text,
    /// The MLflow logged model, if that was not known; empty if it still is not.
    pub model_id: Text,
    /// Parameters that were not known.
    pub params: BTreeMap<Key, Text>,
    /// Metrics that were not known.
    pub metrics: BTreeMap<Key, Metric>,
    /// What it takes and gives.
    pub schema: Option<Schema>,
    /// What made it.
    pub info: Option<ModelInfo>,
    /// What it needs to run.
    pub environment: Option<Environment>,
    /// What people should know although it is ready; mostly nothing.
    pub message: Text,
}

/// What a webhook shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewWebhook {
    /// A name for people.
    pub name: Text,
    /// What it is for.
    pub description: Text,
    /// The model whose events are told; none: the whole registry.
    pub model: Option<ModelName>,
    /// Which events.
    pub events: BTreeSet<EventPattern>,
    /// Whether it is told anything.
    pub state: WebhookState,
    /// The shape of what is sent.
    pub profile: Profile,
    /// Where to.
    pub url: Option<Text>,
    /// A job to start instead.
    pub job: Option<Job>,
    /// Whether the certificate is not checked.
    pub insecure: bool,
    /// The name of the signing secret.
    pub secret: Option<Key>,
    /// The name of the `Authorization` secret.
    pub authorization: Option<Key>,
}
