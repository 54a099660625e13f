//! A comment on a model version.

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::{Id, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// A comment on a model version: `comments/<id>.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Comment {
    /// The comment's id.
    pub id: Id,
    /// The author of the comment.
    pub created_by: UserName,
    /// The time of the comment.
    pub created_at: Timestamp,
    /// The time of the last edit. Absent: never edited.
    pub edited_at: Option<Timestamp>,
    /// The text of the comment (Markdown).
    pub text: Text,
}
