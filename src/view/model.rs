//! Output types for registered models and model versions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::request::{Comment, TransitionRequest};
use crate::artifact;
use crate::entity::version::{self, Artifacts, Environment, ModelInfo, Number, Schema, VersionSource};
use crate::entity::{Model, Tags, Version};
use crate::index::VersionRow;
use crate::name::{AliasName, Digest, Id, Key, ModelName, UserName};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// A registered model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RegisteredModel {
    /// The name.
    pub name: ModelName,
    /// The id of the model, which stays when the model is renamed.
    pub id: Id,
    /// The time of the registration.
    pub created_at: Timestamp,
    /// The person who registered it.
    pub created_by: UserName,
    /// The time of the last change. Present only in the results of a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// The description (Markdown).
    pub description: Text,
    /// The tags.
    pub tags: Tags,
    /// The aliases.
    pub aliases: Vec<Alias>,
    /// The newest version of each stage that has a version.
    pub latest_versions: Vec<StageOccupant>,
    /// All versions. Present only in responses of the HTTP API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<StageOccupant>>,
}

impl RegisteredModel {
    /// Makes the output for a model with its aliases and stages. `stage_of` returns the stage of a version.
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
    /// The name.
    pub alias: AliasName,
    /// The number of the version that the alias names.
    pub version: u64,
    /// The stage of that version.
    pub stage: Stage,
}

/// A version with its stage and aliases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StageOccupant {
    /// The version number.
    pub version: u64,
    /// The stage of the version.
    pub stage: Stage,
    /// The aliases that name the version.
    pub aliases: Vec<AliasName>,
}

impl StageOccupant {
    /// Makes the output for a version in a stage. `aliases` are all aliases of the model; the output has those that
    /// name the version.
    pub fn new(version: u64, stage: Stage, aliases: &[(AliasName, u64)]) -> Self {
        let own = aliases.iter().filter(|(_, n)| *n == version).map(|(alias, _)| alias.clone()).collect();
        Self { version, stage, aliases: own }
    }
}

/// A model version in a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VersionSummary {
    /// The registered model.
    pub model: String,
    /// The version number.
    pub version: u64,
    /// The time of the registration.
    pub created_at: Timestamp,
    /// The person who registered it.
    pub created_by: String,
    /// The time of the last change. Present only in the results of a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// The stage of the version.
    pub stage: String,
    /// The description (Markdown).
    pub description: String,
    /// The registration status: READY, PENDING_REGISTRATION or FAILED_REGISTRATION.
    pub status: String,
    /// The reason for a status other than READY, or the progress of the registration.
    pub status_message: String,
    /// The source of the version.
    pub source: VersionSource,
    /// The tags.
    pub tags: BTreeMap<String, String>,
    /// The aliases that name the version.
    pub aliases: Vec<String>,
}

impl VersionSummary {
    /// Makes the output for a result of a search. `aliases` are the aliases that name the version.
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
            source: VersionSource {
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

/// A model version with all contents of its file.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ModelVersion {
    /// The contents that lists show.
    #[serde(flatten)]
    pub summary: VersionSummary,
    /// The version's id.
    pub id: Id,
    /// The committer of the registration. Absent if the committer is the person in `created_by`, or if the command does
    /// not read the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landed_by: Option<String>,
    /// A summary of the files that were copied into the registry. Null if the registry holds only a reference.
    pub artifacts: Option<Artifacts>,
    /// The parameters of the run.
    pub params: BTreeMap<Key, Text>,
    /// The metrics of the run.
    pub metrics: BTreeMap<Key, Metric>,
    /// The inputs, outputs and inference parameters.
    pub schema: Option<Schema>,
    /// Information about the model from `MLmodel`: the table `[model]` of `version.toml`.
    pub model_info: Option<ModelInfo>,
    /// The conda and pip requirements of the model.
    pub environment: Option<Environment>,
    /// Notes about the model that matter before its use.
    pub findings: Vec<Finding>,
}

impl ModelVersion {
    /// Makes the output for a version of a model.
    pub fn new(model: &ModelName, number: u64, v: &Version, stage: &Stage, aliases: &[AliasName]) -> Self {
        let findings = artifact::findings(v.model.as_ref(), v.environment.as_ref());
        let finding =
            |f: &artifact::ModelFinding| Finding { id: f.id, level: f.level.as_str(), message: f.message.clone() };
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
    /// The transition requests, oldest first. `request list` and `request show` also count the approvals.
    pub requests: Vec<TransitionRequest>,
    /// The comments, oldest first.
    pub comments: Vec<Comment>,
}

/// A metric.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Metric {
    /// The value.
    pub value: Number,
    /// The training step. Null if unknown.
    pub step: Option<i64>,
    /// The time of the measurement. Null if unknown. `version.toml` and MLflow use the same key.
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
    /// The kind of finding, as a fixed word.
    pub id: &'static str,
    /// The severity: `info`, `possible` or `warning`.
    pub level: &'static str,
    /// A description of the finding, and the recommended action.
    pub message: String,
}

/// The result of `search models`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ModelSearch {
    /// The matching models.
    Rows(Vec<RegisteredModel>),
    /// The results with the token of the next page (`--with-token`).
    Page {
        /// The matching models.
        registered_models: Vec<RegisteredModel>,
        /// The value of `--page-token` for the next page. Empty after the last page.
        next_page_token: String,
    },
}

/// The result of `search versions`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum VersionSearch {
    /// The matching versions.
    Rows(Vec<VersionSummary>),
    /// The results with the token of the next page (`--with-token`).
    Page {
        /// The matching versions.
        model_versions: Vec<VersionSummary>,
        /// The value of `--page-token` for the next page. Empty after the last page.
        next_page_token: String,
    },
}

/// A comparison of versions of a model. The values of each row are in the order of `versions`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Comparison<'a> {
    /// The registered model.
    pub model: &'a ModelName,
    /// The versions.
    pub versions: Vec<&'a ModelVersion>,
    /// Properties of the versions: stage, created_at, created_by, run_id, digest.
    pub about: Vec<Compared<'a>>,
    /// The parameters.
    pub params: Vec<Compared<'a>>,
    /// The metrics.
    pub metrics: Vec<Compared<'a>>,
    /// The tags.
    pub tags: Vec<Compared<'a>>,
    /// The packages and interpreters, with their versions.
    pub environment: Vec<Compared<'a>>,
    /// The columns of the inputs, with their types.
    pub inputs: Vec<Compared<'a>>,
    /// The columns of the outputs, with their types.
    pub outputs: Vec<Compared<'a>>,
    /// The inference parameters, with their types.
    pub inference_params: Vec<Compared<'a>>,
}

/// A row of a comparison.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Compared<'a> {
    /// The key of the row, such as the name of a metric.
    pub key: &'a str,
    /// The value in each version: a string or a number. Null if the version has no value.
    pub values: &'a [serde_json::Value],
    /// Whether the values differ.
    pub differs: bool,
}

/// The files of a version that `fetch` wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Fetched<'a> {
    /// The registered model.
    pub model: &'a ModelName,
    /// The version number.
    pub version: u64,
    /// The folder with the files.
    pub path: String,
    /// The registered digest, which `fetch` verified.
    pub digest: &'a Digest,
    /// The total size in bytes.
    pub size: u64,
    /// The files.
    pub files: Vec<FetchedFile>,
}

/// A file that `fetch` wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FetchedFile {
    /// The path of the file in the folder.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// The SHA-256 of the file.
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
