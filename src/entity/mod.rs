//! The entities of a registry as plain data, one Rust file for each kind. The module `format` reads and writes them.

pub mod access;
pub mod comment;
pub mod model;
pub mod person;
pub mod request;
pub mod settings;
pub mod version;
pub mod webhook;

pub use access::{Access, Grant, PermissionLevel};
pub use comment::Comment;
pub use model::Model;
pub use person::Person;
pub use request::{Request, RequestState, Review, ReviewVerdict};
pub use settings::Settings;
pub use version::Version;
pub use webhook::Webhook;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::Key;

/// Tags: a value of up to 100 000 characters for each key.
pub type Tags = BTreeMap<Key, crate::text::Text>;

/// The versions in a stage: `stages/<Stage>.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StagePointer {
    /// The numbers of the versions in this stage.
    #[schemars(length(min = 1), inner(range(min = 1)))]
    pub versions: BTreeSet<u64>,
}

/// The version that an alias names: `aliases/<alias>.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AliasPointer {
    /// The number of the version.
    #[schemars(range(min = 1))]
    pub version: u64,
}
