//! A registered model: a name with a list of versions.

use schemars::JsonSchema;
use serde::Serialize;

use super::Tags;
use crate::name::{Id, ModelName, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// A registered model: `model.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Model {
    /// The model's id, which stays when the model is renamed.
    pub id: Id,
    /// The model's name.
    pub name: ModelName,
    /// The time of the registration.
    pub created_at: Timestamp,
    /// The person who registered the model.
    pub created_by: UserName,
    /// The description of the model (Markdown).
    #[schemars(default)]
    pub description: Text,
    /// The highest version number that was deleted, which is never used again. Absent: no version was deleted.
    #[schemars(range(min = 1))]
    pub retired: Option<u64>,
    /// Tags with any keys and values.
    #[schemars(default)]
    pub tags: Tags,
}
