//! A webhook: the target and the events that are sent there. The secrets are outside git, under the names in the file.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::{Id, Key, ModelName, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// A webhook: `webhooks/<id>.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["job"] }]))]
pub struct Webhook {
    /// The webhook's id.
    pub id: Id,
    /// The time of its creation.
    pub created_at: Timestamp,
    /// The person who created the webhook.
    pub created_by: UserName,
    /// The time of the last change by greenroom. A change by hand may leave it as it is.
    pub updated_at: Option<Timestamp>,
    /// A display name.
    #[schemars(default)]
    pub name: Text,
    /// The purpose of the webhook.
    #[schemars(default)]
    pub description: Text,
    /// The model whose events are sent. Absent: the events of the whole registry.
    pub model: Option<ModelName>,
    /// The events: Databricks' names, MLflow's `entity.action`, or greenroom's names such as `version.transitioned`.
    /// `*` stands for all events.
    #[schemars(length(min = 1))]
    pub events: BTreeSet<EventPattern>,
    /// The state. Absent: `ACTIVE`.
    #[schemars(default)]
    pub state: WebhookState,
    /// The format of the payload. Absent: `databricks`.
    #[schemars(default)]
    pub profile: PayloadProfile,
    /// The https URL that receives the payloads.
    pub url: Option<Text>,
    /// A job to start, instead of `url`.
    pub job: Option<WebhookJob>,
    /// `true`: the TLS certificate of the receiver is not checked. Only for tests.
    #[schemars(default)]
    pub insecure: bool,
    /// The name of the secret that signs the payloads.
    pub secret: Option<Key>,
    /// The name of the secret that is sent as the `Authorization` header.
    pub authorization: Option<Key>,
}

/// The prefix of the names of secrets that are generated for a single webhook.
pub const OWN_SECRET: &str = "webhook-";

/// The end of the name of a secret that replaces another secret.
pub const NEXT_SECRET: &str = ".next";

/// The name of the secret that a name is the successor of; of any other, the name itself.
pub fn base_of(name: &Key) -> &str {
    name.as_str().strip_suffix(NEXT_SECRET).unwrap_or(name.as_str())
}

/// The name of the secret that is the mail server's password; no webhook is sent it.
pub const MAIL_SECRET: &str = "smtp";

impl Webhook {
    /// Returns the names of the secrets that the webhook uses.
    pub fn secrets(&self) -> impl Iterator<Item = &Key> {
        self.secret.iter().chain(&self.authorization)
    }

    /// Returns whether both webhooks have the same target: URL, job and check of the certificate.
    pub fn has_target_of(&self, other: &Self) -> bool {
        (&self.url, &self.job, self.insecure) == (&other.url, &other.job, other.insecure)
    }
}

/// The state of a webhook, in Databricks' words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WebhookState {
    /// Events and tests are sent.
    #[default]
    Active,
    /// Only tests are sent.
    TestMode,
    /// Nothing is sent.
    Disabled,
}

impl WebhookState {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Active, Self::TestMode, Self::Disabled];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::TestMode => "TEST_MODE",
            Self::Disabled => "DISABLED",
        }
    }
}

/// The format of a webhook's payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Profile")]
pub enum PayloadProfile {
    /// Databricks' registry webhooks.
    #[default]
    Databricks,
    /// MLflow 3's webhooks.
    Mlflow,
    /// CloudEvents 1.0, structured.
    Cloudevents,
    /// A Slack message.
    Slack,
    /// A Microsoft Teams card.
    Teams,
    /// Standard Webhooks, with greenroom's own events in full.
    Standard,
}

impl PayloadProfile {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 6] =
        [Self::Databricks, Self::Mlflow, Self::Cloudevents, Self::Slack, Self::Teams, Self::Standard];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Databricks => "databricks",
            Self::Mlflow => "mlflow",
            Self::Cloudevents => "cloudevents",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Standard => "standard",
        }
    }
}

/// A job that a webhook starts, in the shape of Databricks' `job_spec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub struct WebhookJob {
    /// The id of the job.
    pub id: Text,
    /// The URL of the Databricks workspace with the job.
    #[schemars(default)]
    pub workspace_url: Text,
    /// The kind of parameters in which the job gets the event. Absent: `notebook`.
    #[schemars(default)]
    pub params: JobParams,
}

/// The kind of parameters in which a job gets the event. The task of the job decides which kinds it can take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobParams {
    /// `notebook_params.event_message`: for one notebook or wheel.
    #[default]
    Notebook,
    /// `python_params`: for one Python file, JAR or Spark submission.
    Python,
    /// All kinds of parameters: for a job of several tasks.
    All,
    /// No parameters: for any other task.
    None,
}

impl JobParams {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Notebook, Self::Python, Self::All, Self::None];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notebook => "notebook",
            Self::Python => "python",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// The name of an event, or a pattern for several events, in a webhook's subscription.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct EventPattern(#[schemars(regex(pattern = r"^(\*|[A-Z][A-Z_]*|[a-z_]+\.([a-z_]+|\*))$"))] String);

/// The error for a text that is not the name or pattern of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not the name of an event; write for example MODEL_VERSION_CREATED, version.transitioned, version.* or *"
)]
pub struct InvalidEventPattern(String);

impl EventPattern {
    /// Returns the pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the pattern matches a dotted name: the name itself, `noun.*` of the name, or `*`.
    pub fn holds(&self, name: &str) -> bool {
        let noun = self.0.strip_suffix(".*");
        self.0 == name || self.0 == "*" || noun.is_some_and(|noun| name.split_once('.').is_some_and(|(n, _)| n == noun))
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EventPattern {
    type Err = InvalidEventPattern;
    fn from_str(s: &str) -> Result<Self, InvalidEventPattern> {
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let upper =
            s.starts_with(|c: char| c.is_ascii_uppercase()) && s.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let dotted = s.split_once('.').is_some_and(|(a, b)| word(a) && (b == "*" || word(b)));
        if s == "*" || upper || dotted {
            Ok(Self(s.to_owned()))
        } else {
            Err(InvalidEventPattern(crate::text::quoted(s)))
        }
    }
}
