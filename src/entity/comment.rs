//! A comment on a model version.

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::{Id, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// `comments/<id>.toml`: a comment on a model version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Comment {
    /// The comment's id.
    pub id: Id,
    /// Who wrote it.
    pub created_by: UserName,
    /// When.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// What it says (Markdown).
    pub text: Text,
}
