//! A model version: its source, files, parameters, metrics, schema and environment.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::Tags;
use crate::name::{Digest, Id, Key, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// A model version: `version.toml`. The version number is the name of the folder.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Version {
    /// The version's id.
    pub id: Id,
    /// The time of the registration.
    pub created_at: Timestamp,
    /// The person who registered the version.
    pub created_by: UserName,
    /// The description of the version (Markdown).
    #[schemars(default)]
    pub description: Text,
    /// The registration status. Absent: `READY`.
    #[schemars(default)]
    pub status: VersionStatus,
    /// The reason for a status other than `READY`, or the progress of the registration.
    #[schemars(default)]
    pub status_message: Text,
    /// The source of the version.
    #[schemars(default)]
    pub source: VersionSource,
    /// A summary of the files that were copied into the registry. Absent: the registry holds only a reference to the
    /// source.
    pub artifacts: Option<Artifacts>,
    /// Tags with any keys and values.
    #[schemars(default)]
    pub tags: Tags,
    /// The parameters of the run, recorded at registration or added later.
    #[schemars(default)]
    pub params: BTreeMap<Key, Text>,
    /// The metrics of the run, recorded at registration or added later.
    #[schemars(default)]
    pub metrics: BTreeMap<Key, Metric>,
    /// The inputs, outputs and inference parameters of the model.
    pub schema: Option<Schema>,
    /// The contents of `MLmodel`: flavors, MLflow version, resources.
    pub model: Option<ModelInfo>,
    /// The conda and pip requirements of the model.
    pub environment: Option<Environment>,
}

impl Version {
    /// Returns whether this version completes the pending registration `before`: the files and their metadata were
    /// added, the status is READY, and everything that was recorded before is unchanged.
    pub fn completes(&self, before: &Self) -> bool {
        let filled = |old: &Text, new: &Text| old.is_empty() || old == new;
        let (old, new) = (&before.source, &self.source);
        let arrived = before.status == VersionStatus::PendingRegistration
            && before.artifacts.is_none()
            && self.status == VersionStatus::Ready
            && self.artifacts.is_some();
        arrived
            && (&before.id, before.created_at, &before.created_by) == (&self.id, self.created_at, &self.created_by)
            && (&old.uri, &old.run_link) == (&new.uri, &new.run_link)
            && filled(&old.run_id, &new.run_id)
            && filled(&old.model_id, &new.model_id)
            && (before.schema.is_none() || before.schema == self.schema)
            && (before.model.is_none() || before.model == self.model)
            && (before.environment.is_none() || before.environment == self.environment)
            && before.params.iter().all(|(k, v)| self.params.get(k) == Some(v))
            && before.metrics.iter().all(|(k, v)| self.metrics.get(k) == Some(v))
    }
}

/// The registration status of a version, in MLflow's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(rename = "Status")]
pub enum VersionStatus {
    /// The version can be used.
    #[default]
    Ready,
    /// The files of the version are being copied.
    PendingRegistration,
    /// The files could not be copied. `status_message` gives the reason.
    FailedRegistration,
}

impl VersionStatus {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Ready, Self::PendingRegistration, Self::FailedRegistration];

    /// Returns the status as MLflow writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::PendingRegistration => "PENDING_REGISTRATION",
            Self::FailedRegistration => "FAILED_REGISTRATION",
        }
    }
}

/// The source of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Source")]
pub struct VersionSource {
    /// The URI of the model at registration, such as `runs:/…`, `models:/m-…` or `s3://…`. Empty for a local folder.
    #[schemars(default)]
    pub uri: Text,
    /// The id of the MLflow run that made the model.
    #[schemars(default)]
    pub run_id: Text,
    /// A link to the run, if the run is on another tracking server.
    #[schemars(default)]
    pub run_link: Text,
    /// The id of the MLflow logged model.
    #[schemars(default)]
    pub model_id: Text,
    /// The location of the files at registration, if `uri` names a version of this registry (`models:/…`).
    // Absent if empty, so that the subject of older approvals does not change.
    #[serde(skip_serializing_if = "Text::is_empty")]
    #[schemars(default)]
    pub location: Text,
}

/// A summary of the files of a version. Each file is under `artifacts/`, as plain content or as a Git LFS pointer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Artifacts {
    /// The SHA-256 of the list of files, sorted by path, with `path NUL size NUL sha256 LF` for each file.
    pub digest: Digest,
    /// The total size of the files in bytes.
    pub size: u64,
    /// The number of files.
    pub files: u64,
}

/// A metric: a number, with the training step and the time of the measurement if they are known.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged)]
pub enum Metric {
    /// The number alone: `auc = 0.91`.
    Value(
        #[serde(serialize_with = "in_json")]
        #[schemars(schema_with = "number_schema")]
        f64,
    ),
    /// With step and time: `auc = { value = 0.91, step = 3, timestamp = 2026-03-01T12:00:00Z }`.
    At {
        /// The number.
        #[serde(serialize_with = "in_json")]
        #[schemars(schema_with = "number_schema")]
        value: f64,
        /// The training step.
        step: Option<i64>,
        /// The time of logging.
        timestamp: Option<Timestamp>,
    },
}

/// A number; NaN and the infinities, for which JSON has no number, are texts as in the JSON form of protocol buffers.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => s.serialize_f64(value),
            value if value.is_nan() => s.serialize_str("NaN"),
            value => s.serialize_str(if value > 0.0 { "Infinity" } else { "-Infinity" }),
        }
    }
}

impl JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number; NaN and the infinities are texts.",
            "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }]
        })
    }
}

fn in_json<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
    Number(*value).serialize(s)
}

/// The schema of a number: of what is printed as JSON a [`Number`], of a TOML file, which knows NaN, a number.
fn number_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
    if generator.contract().is_serialize() { Number::json_schema(generator) } else { f64::json_schema(generator) }
}

impl Metric {
    /// Returns the number, without step and time.
    pub const fn value(&self) -> f64 {
        match self {
            Self::Value(value) | Self::At { value, .. } => *value,
        }
    }
}

impl PartialEq for Metric {
    /// Compares the numbers bit for bit, so that a stored NaN equals itself.
    fn eq(&self, other: &Self) -> bool {
        let rest = |m: &Self| match m {
            Self::Value(_) => None,
            Self::At { step, timestamp, .. } => Some((*step, *timestamp)),
        };
        self.value().total_cmp(&other.value()) == Ordering::Equal && rest(self) == rest(other)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

/// The inputs, outputs and inference parameters of the model, from the signature in `MLmodel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Schema {
    /// The columns or tensors that the model takes.
    #[schemars(default)]
    pub inputs: Vec<Column>,
    /// The columns or tensors that the model returns.
    #[schemars(default)]
    pub outputs: Vec<Column>,
    /// The inference parameters.
    #[schemars(default)]
    pub params: Vec<Column>,
}

/// A column, tensor or inference parameter of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Column {
    /// The name. Empty for a single tensor without a name.
    #[schemars(default)]
    pub name: Text,
    /// The type, such as `double`, `array<string>`, `object{a: double}` or `tensor(float64, [-1, 3])`.
    #[serde(rename = "type")]
    #[schemars(rename = "type")]
    pub kind: Text,
    /// Whether the input may be absent.
    #[schemars(default)]
    pub optional: bool,
    /// The default value of an inference parameter, as JSON.
    #[schemars(default)]
    pub default: Text,
}

/// Information about the model from `MLmodel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelInfo {
    /// The flavors with the versions of their libraries. A version is empty if `MLmodel` names none.
    #[schemars(default)]
    pub flavors: BTreeMap<Key, Text>,
    /// The version of MLflow that logged the model.
    #[schemars(default)]
    pub mlflow_version: Text,
    /// The version of Python that logged the model.
    #[schemars(default)]
    pub python_version: Text,
    /// The time of logging.
    pub created_at: Option<Timestamp>,
    /// The names of the environment variables that the model used when it was logged.
    #[schemars(default)]
    pub env_vars: Vec<Text>,
    /// The external resources that the model uses, such as `databricks/serving_endpoint: chat`.
    #[schemars(default)]
    pub resources: Vec<Text>,
    /// The identities for these resources, such as `user: serving.serving-endpoints` or
    /// `system: databricks/table: main.t`.
    #[schemars(default)]
    pub auth_policy: Vec<Text>,
    /// The prompts that the model uses, such as `prompts:/qa/3`.
    #[schemars(default)]
    pub prompts: Vec<Text>,
    /// The metadata of the logged model. A value that is not a text is JSON.
    #[schemars(default)]
    pub metadata: BTreeMap<Key, Text>,
    /// The errors in the model's own metadata, found at registration.
    #[schemars(default)]
    pub findings: Vec<Text>,
}

/// The requirements of the model, from its conda and pip files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Environment {
    /// The path of the conda file in the model folder.
    #[schemars(default)]
    pub conda_file: Text,
    /// The conda channels, in the order of the file.
    #[schemars(default)]
    pub channels: Vec<Text>,
    /// The conda dependencies.
    #[schemars(default)]
    pub conda: Vec<Text>,
    /// The pip requirements.
    #[schemars(default)]
    pub pip: Vec<Text>,
}

/// The comparison of a metric in a rule: `>= 0.85`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// The comparison operator.
    pub comparison: Comparison,
    /// The number to compare with; never NaN.
    pub value: f64,
}

/// A comparison operator for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
}

impl Comparison {
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
        ("=", Self::Equal),
    ];

    /// Returns the operator as written in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::Greater => ">",
        }
    }
}

impl Threshold {
    /// Returns whether a metric passes. NaN never passes.
    pub fn holds(self, metric: f64) -> bool {
        match self.comparison {
            Comparison::Less => metric < self.value,
            Comparison::AtMost => metric <= self.value,
            Comparison::Equal => metric == self.value,
            Comparison::AtLeast => metric >= self.value,
            Comparison::Greater => metric > self.value,
        }
    }
}

/// The error for a text that is not a comparison with a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a comparison with a number; write for example \">= 0.85\"")]
pub struct InvalidThreshold(String);

impl FromStr for Threshold {
    type Err = InvalidThreshold;
    fn from_str(s: &str) -> Result<Self, InvalidThreshold> {
        let wrong = || InvalidThreshold(crate::text::quoted(s));
        let s = s.trim();
        let (comparison, rest) =
            Comparison::ALL.iter().find_map(|(sign, c)| Some((*c, s.strip_prefix(sign)?))).ok_or_else(wrong)?;
        let value: f64 = rest.trim().parse().map_err(|_| wrong())?;
        if value.is_nan() { Err(wrong()) } else { Ok(Self { comparison, value }) }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.comparison.as_str(), self.value)
    }
}

impl Serialize for Threshold {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for Threshold {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Threshold".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A comparison with a number, such as `>= 0.85`.",
            "type": "string",
            "pattern": "^\\s*(<=|>=|==|<|>|=)\\s*[-+]?([0-9]|\\.[0-9]|inf)[0-9.eE+-]*\\s*$",
            "examples": [">= 0.85"]
        })
    }
}
