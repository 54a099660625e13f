//! Registered models and model versions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::request::{Comment, TransitionRequest};
use crate::artifact;
use crate::entity::version::{self, Artifacts, Environment, ModelInfo, Number, Schema, Source};
use crate::entity::{Model, Tags, Version};
use crate::index::VersionRow;
use crate::name::{AliasName, Digest, Id, Key, ModelName, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// A registered model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RegisteredModel {
    /// Its name.
    pub name: ModelName,
    /// Its id, which a rename keeps.
    pub id: Id,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Who registered it.
    pub created_by: UserName,
    /// When it last changed; present in the results of a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// What it is for (Markdown).
    pub description: Text,
    /// Its tags.
    pub tags: Tags,
    /// Its aliases.
    pub aliases: Vec<Alias>,
    /// The newest version of each stage that has one.
    pub latest_versions: Vec<StageOccupant>,
    /// All versions; present in the answers of the HTTP API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<StageOccupant>>,
}

impl RegisteredModel {
    /// A model with its aliases and stages. `stage_of` gives the stage of a version.
    pub fn new(
        model: Model,
        aliases: &[(AliasName, u64)],
        latest: &[(Stage, u64)],
        stage_of: impl Fn(u64) -> Stage,
    ) -> Self {
        let alias = |(alias, version): &(AliasName, u64)| Alias {
            alias: alias.clone(),
            version: *version,
            stage: stage_of(*version),
        };
        Self {
            name: model.name,
            id: model.id,
            created_at: model.created_at,
            created_by: model.created_by,
            updated_at: None,
            description: model.description,
            tags: model.tags,
            aliases: aliases.iter().map(alias).collect(),
            latest_versions: latest
                .iter()
                .map(|(stage, version)| StageOccupant::new(*version, stage.clone(), aliases))
                .collect(),
            versions: None,
        }
    }
}

/// An alias of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Alias {
    /// Its name.
    pub alias: AliasName,
    /// The number of the version that it names.
    pub version: u64,
    /// The stage of that version.
    pub stage: Stage,
}

/// A version with its stage and aliases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StageOccupant {
    /// The version's number.
    pub version: u64,
    /// The stage that it is in.
    pub stage: Stage,
    /// The aliases that name it.
    pub aliases: Vec<AliasName>,
}

impl StageOccupant {
    /// A version in a stage, with those of the model's aliases that name it.
    pub fn new(version: u64, stage: Stage, aliases: &[(AliasName, u64)]) -> Self {
        let own = aliases.iter().filter(|(_, n)| *n == version).map(|(alias, _)| alias.clone()).collect();
        Self { version, stage, aliases: own }
    }
}

/// What lists of model versions show of each.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VersionSummary {
    /// The registered model.
    pub model: String,
    /// The version's number.
    pub version: u64,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Who registered it.
    pub created_by: String,
    /// When it last changed; present in the results of a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// The stage that it is in.
    pub stage: String,
    /// What is special about it (Markdown).
    pub description: String,
    /// Whether it can be used: READY, PENDING_REGISTRATION or FAILED_REGISTRATION.
    pub status: String,
    /// Why it cannot be used, or the progress of its registration.
    pub status_message: String,
    /// Where it came from.
    pub source: Source,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The aliases that name it.
    pub aliases: Vec<String>,
}

impl VersionSummary {
    /// A row of a search.
    pub fn of_row(row: &VersionRow<'_>, aliases: &[&str], description: String) -> Self {
        let f = &row.facts;
        let text = |given: &str| Text::new(given).unwrap_or_default();
        Self {
            model: row.model.to_string(),
            version: f.number,
            created_at: Timestamp::from_millis(f.created),
            created_by: f.created_by.to_string(),
            updated_at: Some(Timestamp::from_millis(f.updated)),
            stage: f.stage.to_string(),
            description,
            status: f.status.to_string(),
            status_message: f.status_message.to_string(),
            source: Source {
                uri: text(&f.source),
                run_id: text(&f.run_id),
                run_link: text(&f.run_link),
                model_id: text(&f.model_id),
                location: text(&f.location),
            },
            tags: f.tags.iter().map(|t| (t.key.to_string(), t.value.to_string())).collect(),
            aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
        }
    }
}

/// A model version with all that its file says.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ModelVersion {
    /// What lists show of it.
    #[serde(flatten)]
    pub summary: VersionSummary,
    /// The version's id.
    pub id: Id,
    /// Who landed it, where that is another person than `created_by` and the history was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// The files that were copied into the registry; null where the registry holds a reference only.
    pub artifacts: Option<Artifacts>,
    /// Parameters of the run.
    pub params: BTreeMap<Key, Text>,
    /// Metrics of the run.
    pub metrics: BTreeMap<Key, Metric>,
    /// Inputs, outputs and inference parameters.
    pub schema: Option<Schema>,
    /// What made the model: the table `[model]` of `version.toml`.
    pub model_info: Option<ModelInfo>,
    /// What the model needs to run.
    pub environment: Option<Environment>,
    /// What people should know before they use it.
    pub findings: Vec<Finding>,
}

impl ModelVersion {
    /// A version of a model.
    pub fn new(model: &ModelName, number: u64, v: &Version, stage: &Stage, aliases: &[AliasName]) -> Self {
        let findings = artifact::findings(v.model.as_ref(), v.environment.as_ref());
        let finding = |f: &artifact::Finding| Finding { id: f.id, level: f.level.as_str(), message: f.message.clone() };
        Self {
            summary: VersionSummary {
                model: model.to_string(),
                version: number,
                created_at: v.created_at,
                created_by: v.created_by.to_string(),
                updated_at: None,
                stage: stage.to_string(),
                description: v.description.to_string(),
                status: v.status.as_str().to_owned(),
                status_message: v.status_message.to_string(),
                source: v.source.clone(),
                tags: v.tags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
                aliases: aliases.iter().map(ToString::to_string).collect(),
            },
            id: v.id.clone(),
            landed_by: None,
            artifacts: v.artifacts.clone(),
            params: v.params.clone(),
            metrics: v.metrics.iter().map(|(k, m)| (k.clone(), Metric::from(*m))).collect(),
            schema: v.schema.clone(),
            model_info: v.model.clone(),
            environment: v.environment.clone(),
            findings: findings.iter().map(finding).collect(),
        }
    }
}

/// A model version with its transition requests and comments.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VersionPage {
    /// The version.
    #[serde(flatten)]
    pub version: ModelVersion,
    /// Its transition requests, oldest first; approvals are counted by `request list` and `request show`.
    pub requests: Vec<TransitionRequest>,
    /// Its comments, oldest first.
    pub comments: Vec<Comment>,
}

/// A metric.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Metric {
    /// Its value.
    pub value: Number,
    /// The training step, where known.
    pub step: Option<i64>,
    /// When it was measured, where known. The key is that of `version.toml` and of MLflow's metrics.
    pub timestamp: Option<Timestamp>,
}

impl From<version::Metric> for Metric {
    fn from(metric: version::Metric) -> Self {
        let value = Number(metric.value());
        match metric {
            version::Metric::Value(_) => Self { value, step: None, timestamp: None },
            version::Metric::At { step, timestamp, .. } => Self { value, step, timestamp },
        }
    }
}

/// What people should know about a version before they use it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Finding {
    /// The kind of finding.
    pub id: &'static str,
    /// How sure and how grave it is: info, possible or warning.
    pub level: &'static str,
    /// What was found and what to do.
    pub message: String,
}

/// The result of `search models`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ModelSearch {
    /// The models that match.
    Rows(Vec<RegisteredModel>),
    /// The same with the token of the next page (`--with-token`).
    Page {
        /// The models that match.
        registered_models: Vec<RegisteredModel>,
        /// What `--page-token` takes to go on; empty at the end.
        next_page_token: String,
    },
}

/// The result of `search versions`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum VersionSearch {
    /// The versions that match.
    Rows(Vec<VersionSummary>),
    /// The same with the token of the next page (`--with-token`).
    Page {
        /// The versions that match.
        model_versions: Vec<VersionSummary>,
        /// What `--page-token` takes to go on; empty at the end.
        next_page_token: String,
    },
}

/// Versions of a model side by side. Each value stands at the position of its version in `versions`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Comparison<'a> {
    /// The registered model.
    pub model: &'a ModelName,
    /// The versions.
    pub versions: Vec<&'a ModelVersion>,
    /// Facts about the versions: stage, created_at, created_by, run_id, digest.
    pub about: Vec<Compared<'a>>,
    /// Parameters.
    pub params: Vec<Compared<'a>>,
    /// Metrics.
    pub metrics: Vec<Compared<'a>>,
    /// Tags.
    pub tags: Vec<Compared<'a>>,
    /// Packages and interpreters with their versions.
    pub environment: Vec<Compared<'a>>,
    /// Columns of the inputs with their types.
    pub inputs: Vec<Compared<'a>>,
    /// Columns of the outputs with their types.
    pub outputs: Vec<Compared<'a>>,
    /// Inference parameters with their types.
    pub inference_params: Vec<Compared<'a>>,
}

/// One thing that is compared.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Compared<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value in each version: a text or a number; null where the version has none.
    pub values: &'a [serde_json::Value],
    /// Whether the versions differ in it.
    pub differs: bool,
}

/// The files of a version that `fetch` wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Fetched<'a> {
    /// The registered model.
    pub model: &'a ModelName,
    /// The version's number.
    pub version: u64,
    /// The folder.
    pub path: String,
    /// The digest that was registered and verified.
    pub digest: &'a Digest,
    /// The sum of the sizes in bytes.
    pub size: u64,
    /// The files.
    pub files: Vec<FetchedFile>,
}

/// A file that `fetch` wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FetchedFile {
    /// Its path in the folder.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_lacks_are_texts() {
        let written = |n: f64| serde_json::to_string(&Number(n)).unwrap_or_default();
        assert_eq!(written(0.5), "0.5");
        assert_eq!(written(f64::NAN), "\"NaN\"");
        assert_eq!(written(f64::NEG_INFINITY), "\"-Infinity\"");
    }
}
