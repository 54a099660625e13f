//! Typed JSON output of the commands and of Greenroom's own HTTP API. Each kind of value has one form everywhere.
//!
//! - A time is RFC 3339 in UTC with milliseconds and `Z`. Its key ends in `_at` (`created_at`, `edited_at`,
//!   `closed_at`, `expires_at`, `revoked_at` …), or is `at` for the moment of an event, review or commit.
//! - A person is `created_by`, `closed_by`, `landed_by` (the committer) or `asked_by`, or `by` for the person of an
//!   event, review or commit.
//! - A registered model is named by `model`, its versions by the number `version`, and a stage by `stage`, `from` or
//!   `to`. Keys of the TOML files keep their names, with one exception: `[model]` of `version.toml` is `model_info`.
//!
//! MLflow's and Databricks' APIs have their own types in `server`, because their contracts are fixed by MLflow and
//! Databricks.

mod answer;
mod change;
mod history;
mod judgement;
mod model;
mod people;
mod request;
pub mod schema;
mod service;
mod settings;

use serde::Serialize;

pub use crate::entity::version::Number;
pub use answer::{
    ActivityPage, CommentList, Dated, FoundModel, FoundVersion, MailPreferences, ModelChoice, ModelMailPreferences,
    ModelPage, RequestPage, VersionFollowing,
};
pub use change::{Change, CodeownersFile, Failure, FailureDetails, FormattedFiles, HookReport, HookState, HookStatus};
pub use change::{InstalledSchemas, Proposal, SchemaKind};
pub use history::{AsOf, Difference, Events, FeedEvent, IndexRebuild, IndexStatus, LogEntry, Overview};
pub use judgement::{Approvers, Checks, Condition, FileReport, PullReport, ReviewBlock, StageConditions, Verification};
pub use model::{
    Alias, Compared, Comparison, Fetched, FetchedFile, Finding, Metric, ModelSearch, ModelVersion, RegisteredModel,
    StageOccupant, VersionPage, VersionSearch, VersionSummary,
};
pub use people::{Followed, Grant, Group, MailTest, MailWishes, ModelMail, Person, PersonPage, Signers, SigningKey};
pub use request::{Activity, Approvals, AvailableAction, Comment, Review, TransitionRequest};
pub use service::{
    Address, Channel, Deliveries, Delivery, NewToken, Replay, Revival, RevokedTokens, SecretChange, StoredSecret,
    Suspension, Token, WatchMessage, WatchSummary, WebhookTrial,
};
pub use settings::{GuardedAlias, RegistrySettings, StageSetting, Webhooks};

/// An output of a command with `-o json`, or of an endpoint of `/api/greenroom`, with a JSON Schema.
pub trait Output: Serialize {
    /// The name of the schema: `schema/output/v1/<name>.schema.json`.
    const NAME: &'static str;
}
