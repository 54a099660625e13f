//! A registered model: a name under which versions are collected.

use schemars::JsonSchema;
use serde::Serialize;

use super::Tags;
use crate::name::{Id, ModelName, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// `model.toml`: a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Model {
    /// The model's id; it stays when the name changes.
    pub id: Id,
    /// The model's name.
    pub name: ModelName,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Who registered it.
    pub created_by: UserName,
    /// What the model is for (Markdown).
    #[schemars(default)]
    pub description: Text,
    /// The highest version number that was deleted, so that it is never used again; absent while none was.
    #[schemars(range(min = 1))]
    pub retired: Option<u64>,
    /// Free tags.
    #[schemars(default)]
    pub tags: Tags,
}
