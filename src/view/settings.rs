//! Output types for the registry's settings, stage rules, alias rules and webhooks, with the keys of their files.

use schemars::JsonSchema;
use serde::Serialize;

use crate::entity::settings::{AliasRule, StageRule};
use crate::entity::{PermissionLevel, Settings, Webhook};
use crate::name::AliasName;
use crate::stage::Stage;

/// The settings of `greenroom.toml`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct RegistrySettings<'a>(pub &'a Settings);

/// A stage with its rule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StageSetting<'a> {
    /// The name.
    pub stage: &'a Stage,
    /// The permission level that a transition into the stage needs.
    pub level: PermissionLevel,
    /// The rule of the stage. Null if there is none.
    pub rule: Option<&'a StageRule>,
}

/// An alias with a rule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GuardedAlias<'a> {
    /// The name.
    pub alias: &'a AliasName,
    /// The rule of the alias.
    pub rule: &'a AliasRule,
}

/// The webhooks, with the keys of their files.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Webhooks<'a>(pub &'a [Webhook]);
