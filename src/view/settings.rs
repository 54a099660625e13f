//! The registry's settings, stage rules, alias rules and webhooks: what their files say.

use schemars::JsonSchema;
use serde::Serialize;

use crate::entity::settings::{AliasRule, StageRule};
use crate::entity::{Level, Settings, Webhook};
use crate::name::AliasName;
use crate::stage::Stage;

/// The settings of `greenroom.toml`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct RegistrySettings<'a>(pub &'a Settings);

/// A stage.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StageSetting<'a> {
    /// Its name.
    pub stage: &'a Stage,
    /// The level that a transition into it needs.
    pub level: Level,
    /// Its rule; null if there is none.
    pub rule: Option<&'a StageRule>,
}

/// An alias with a rule.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GuardedAlias<'a> {
    /// Its name.
    pub alias: &'a AliasName,
    /// Its rule.
    pub rule: &'a AliasRule,
}

/// Webhooks with the keys of their files.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Webhooks<'a>(pub &'a [Webhook]);
