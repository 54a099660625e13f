//! A model version: what was registered, from where, with what evidence.

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

/// `version.toml`: a model version. Its number is the name of its folder.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Version {
    /// The version's id.
    pub id: Id,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Who registered it.
    pub created_by: UserName,
    /// What is special about it (Markdown).
    #[schemars(default)]
    pub description: Text,
    /// Whether it can be used.
    #[schemars(default)]
    pub status: Status,
    /// Why it cannot be used, or how far the registration is.
    #[schemars(default)]
    pub status_message: Text,
    /// Where it came from.
    #[schemars(default)]
    pub source: Source,
    /// The files that were copied into the registry; absent when the source is only referred to.
    pub artifacts: Option<Artifacts>,
    /// Free tags.
    #[schemars(default)]
    pub tags: Tags,
    /// Parameters of the run, as known at registration or added later.
    #[schemars(default)]
    pub params: BTreeMap<Key, Text>,
    /// Metrics of the run, as known at registration or added later.
    #[schemars(default)]
    pub metrics: BTreeMap<Key, Metric>,
    /// What the model takes and gives.
    pub schema: Option<Schema>,
    /// What made the model.
    pub model: Option<ModelInfo>,
    /// What the model needs to run.
    pub environment: Option<Environment>,
}

impl Version {
    /// Whether this is what came of a pending registration: the files arrived, and with them what they say. What was
    /// recorded before stays.
    pub fn completes(&self, before: &Self) -> bool {
        let filled = |old: &Text, new: &Text| old.is_empty() || old == new;
        let (old, new) = (&before.source, &self.source);
        let arrived = before.status == Status::PendingRegistration
            && before.artifacts.is_none()
            && self.status == Status::Ready
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

/// Whether a version can be used; the words are MLflow's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It can be used.
    #[default]
    Ready,
    /// Its files are being copied.
    PendingRegistration,
    /// Its files could not be copied; `status_message` says why.
    FailedRegistration,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ready, Self::PendingRegistration, Self::FailedRegistration];

    /// As MLflow writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::PendingRegistration => "PENDING_REGISTRATION",
            Self::FailedRegistration => "FAILED_REGISTRATION",
        }
    }
}

/// Where a version came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Source {
    /// Address of the model as it was registered, such as `runs:/…`, `models:/m-…`, `s3://…`; empty for a local folder.
    #[schemars(default)]
    pub uri: Text,
    /// The MLflow run that made it.
    #[schemars(default)]
    pub run_id: Text,
    /// A link to the run, where it lies on another tracking server.
    #[schemars(default)]
    pub run_link: Text,
    /// The MLflow logged model.
    #[schemars(default)]
    pub model_id: Text,
    /// Where the files are, as of registering, when `uri` leads there through a version of this registry.
    // Left out where it is empty, so that what an approval is of stays the same for all that was approved before.
    #[serde(skip_serializing_if = "Text::is_empty")]
    #[schemars(default)]
    pub location: Text,
}

/// The files of a version, in sum. Each file lies under `artifacts/`, as itself or as a Git LFS pointer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Artifacts {
    /// SHA-256 over the list of files sorted by path: for each `path NUL size NUL sha256 LF`.
    pub digest: Digest,
    /// The sum of the sizes in bytes.
    pub size: u64,
    /// The number of files.
    pub files: u64,
}

/// A metric: a number, and the step and time it was measured at, where known.
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
        /// When it was logged.
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
    /// The number.
    pub const fn value(&self) -> f64 {
        match self {
            Self::Value(value) | Self::At { value, .. } => *value,
        }
    }
}

impl PartialEq for Metric {
    /// Bit for bit, so that NaN equals itself and a stored value compares with what was stored.
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

/// Inputs, outputs and parameters of the model, from the signature in `MLmodel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Schema {
    /// What it takes.
    #[schemars(default)]
    pub inputs: Vec<Column>,
    /// What it gives.
    #[schemars(default)]
    pub outputs: Vec<Column>,
    /// Parameters of inference.
    #[schemars(default)]
    pub params: Vec<Column>,
}

/// A column, tensor or inference parameter of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Column {
    /// Its name; a lone tensor has none.
    #[schemars(default)]
    pub name: Text,
    /// Its type: `double`, `array<string>`, `object{a: double}`, `tensor(float64, [-1, 3])`.
    #[serde(rename = "type")]
    #[schemars(rename = "type")]
    pub kind: Text,
    /// Whether it may be absent; such a column is printed with `optional = true`.
    #[schemars(default)]
    pub optional: bool,
    /// The default of an inference parameter, as JSON.
    #[schemars(default)]
    pub default: Text,
}

/// What made the model, from `MLmodel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelInfo {
    /// The flavors with the version of their library, which is empty where `MLmodel` names none.
    #[schemars(default)]
    pub flavors: BTreeMap<Key, Text>,
    /// The MLflow that wrote it.
    #[schemars(default)]
    pub mlflow_version: Text,
    /// The Python that wrote it.
    #[schemars(default)]
    pub python_version: Text,
    /// When it was logged.
    pub created_at: Option<Timestamp>,
    /// The names of environment variables that the model was seen to use when it was logged.
    #[schemars(default)]
    pub env_vars: Vec<Text>,
    /// What it uses elsewhere, such as `databricks/serving_endpoint: chat`.
    #[schemars(default)]
    pub resources: Vec<Text>,
    /// In whose name it uses that, such as `user: serving.serving-endpoints` or `system: databricks/table: main.t`.
    #[schemars(default)]
    pub auth_policy: Vec<Text>,
    /// The prompts that it uses, such as `prompts:/qa/3`.
    #[schemars(default)]
    pub prompts: Vec<Text>,
    /// What whoever logged it wrote down; values that are no text are JSON.
    #[schemars(default)]
    pub metadata: BTreeMap<Key, Text>,
    /// What is wrong with what the model says about itself, as it was found at registration.
    #[schemars(default)]
    pub findings: Vec<Text>,
}

/// What the model needs to run, from its conda and pip files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Environment {
    /// The conda file that was read, as a path in the model folder.
    #[schemars(default)]
    pub conda_file: Text,
    /// Conda channels, in their order.
    #[schemars(default)]
    pub channels: Vec<Text>,
    /// Conda dependencies.
    #[schemars(default)]
    pub conda: Vec<Text>,
    /// pip requirements.
    #[schemars(default)]
    pub pip: Vec<Text>,
}

/// A comparison that a stage rule makes of a metric: `>= 0.85`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// How to compare.
    pub comparison: Comparison,
    /// With what.
    pub value: f64,
}

/// A comparison of numbers.
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

    /// As it is written.
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
    /// Whether a metric passes. NaN passes nothing.
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

/// Why a text is no comparison.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no comparison with a number; write for example \">= 0.85\"")]
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
