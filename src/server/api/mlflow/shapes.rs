//! Models and versions as MLflow's client reads them.

use serde::Serialize;

use crate::index::VersionFacts;
use crate::server::context::catalog::ModelCard;
use crate::tree::Oid;

/// A tag.
#[derive(Debug, Serialize)]
pub struct Tag<'c> {
    key: &'c str,
    value: &'c str,
}

/// An alias of a model.
#[derive(Debug, Serialize)]
pub struct Alias<'c> {
    alias: &'c str,
    version: String,
}

/// A registered model.
#[derive(Debug, Serialize)]
pub struct Model<'c> {
    name: &'c str,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    user_id: &'c str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'c str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latest_versions: Vec<Version<'c>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag<'c>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<Alias<'c>>,
}

/// A model version. `description`, `run_id` and `run_link` are present even if empty: if absent, the client reads them
/// as `None`, which it treats differently. `status` is always present, too: without it, the client would wait for the
/// version.
#[derive(Debug, Serialize)]
pub struct Version<'c> {
    name: &'c str,
    version: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    user_id: &'c str,
    current_stage: &'c str,
    description: &'c str,
    source: &'c str,
    run_id: &'c str,
    status: &'c str,
    #[serde(skip_serializing_if = "str::is_empty")]
    status_message: &'c str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag<'c>>,
    run_link: &'c str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<&'c str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    model_id: &'c str,
}

impl<'c> Model<'c> {
    /// Describes a model with its latest versions.
    pub fn of(card: &'c ModelCard) -> Self {
        Self {
            name: card.name.as_str(),
            creation_timestamp: card.created,
            last_updated_timestamp: card.updated,
            user_id: card.created_by.as_str(),
            description: card.description.as_str(),
            latest_versions: card.latest_by_stage().into_iter().map(|v| Version::of(card, v)).collect(),
            tags: card.tags.iter().map(|(k, v)| Tag { key: k.as_str(), value: v.as_str() }).collect(),
            aliases: card
                .aliases
                .iter()
                .map(|(alias, n)| Alias { alias: alias.as_str(), version: n.to_string() })
                .collect(),
        }
    }
}

impl<'c> Version<'c> {
    /// Describes a version.
    pub fn of(card: &'c ModelCard, version: &'c VersionFacts<'static>) -> Self {
        Self {
            name: card.name.as_str(),
            version: version.number.to_string(),
            creation_timestamp: version.created,
            last_updated_timestamp: version.updated,
            user_id: &version.created_by,
            current_stage: &version.stage,
            description: version.description.as_deref().unwrap_or_default(),
            source: &version.source,
            run_id: &version.run_id,
            status: &version.status,
            status_message: &version.status_message,
            tags: version.tags.iter().map(|t| Tag { key: &t.key, value: &t.value }).collect(),
            run_link: &version.run_link,
            aliases: card.aliases_of(version.number).map(|a| a.as_str()).collect(),
            model_id: &version.model_id,
        }
    }
}

/// The response `{"registered_model": …}`.
#[derive(Debug, Serialize)]
pub struct ModelBody<'c> {
    /// The model.
    pub registered_model: Model<'c>,
}

/// The response `{"model_version": …}`.
#[derive(Debug, Serialize)]
pub struct VersionBody<'c> {
    /// The version.
    pub model_version: Version<'c>,
}

/// A page of models; `{}` if it is empty.
#[derive(Debug, Serialize)]
pub struct Models<'c> {
    /// The models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registered_models: Vec<Model<'c>>,
    /// The token of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A page of versions; `{}` if it is empty.
#[derive(Debug, Serialize)]
pub struct Versions<'c> {
    /// The versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_versions: Vec<Version<'c>>,
    /// The token of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// Returns a commit as page tokens name it.
pub fn commit_text(commit: Option<Oid>) -> String {
    commit.map(|c| c.to_string()).unwrap_or_default()
}
