//! A webhook: where to tell of which events. Its secrets lie outside git, under the names given here.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::{Id, Key, ModelName, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// `webhooks/<id>.toml`: a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(extend("oneOf" = [{ "required": ["url"] }, { "required": ["job"] }]))]
pub struct Webhook {
    /// The webhook's id.
    pub id: Id,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: UserName,
    /// When it was last changed by greenroom.
    pub updated_at: Option<Timestamp>,
    /// A name for people.
    #[schemars(default)]
    pub name: Text,
    /// What it is for.
    #[schemars(default)]
    pub description: Text,
    /// The model whose events are told; absent: those of the whole registry.
    pub model: Option<ModelName>,
    /// Which events: Databricks' names, MLflow's `entity.action`, or ours such as `version.transitioned`; `*` for all.
    #[schemars(length(min = 1))]
    pub events: BTreeSet<EventPattern>,
    /// Whether it is told anything.
    #[schemars(default)]
    pub state: WebhookState,
    /// The shape of what is sent.
    #[schemars(default)]
    pub profile: Profile,
    /// Where to: an https address.
    pub url: Option<Text>,
    /// A job to start instead of an address.
    pub job: Option<Job>,
    /// Whether the certificate is not checked; only for tests.
    #[schemars(default)]
    pub insecure: bool,
    /// The name of the secret that signs what is sent.
    pub secret: Option<Key>,
    /// The name of the secret that is sent as the `Authorization` header.
    pub authorization: Option<Key>,
}

/// How the names of secrets begin that are made for one webhook and are its own.
pub const OWN_SECRET: &str = "webhook-";

/// How the name of a secret ends that takes the place of another one.
pub const NEXT_SECRET: &str = ".next";

/// The name of the secret that a name is the successor of; of any other, the name itself.
pub fn base_of(name: &Key) -> &str {
    name.as_str().strip_suffix(NEXT_SECRET).unwrap_or(name.as_str())
}

/// The name of the secret that is the mail server's password; no webhook is sent it.
pub const MAIL_SECRET: &str = "smtp";

impl Webhook {
    /// The secrets that it names.
    pub fn secrets(&self) -> impl Iterator<Item = &Key> {
        self.secret.iter().chain(&self.authorization)
    }

    /// Whether it tells where the other does.
    pub fn has_target_of(&self, other: &Self) -> bool {
        (&self.url, &self.job, self.insecure) == (&other.url, &other.job, other.insecure)
    }
}

/// Whether a webhook is told anything; the words are Databricks'.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WebhookState {
    /// Events and tests.
    #[default]
    Active,
    /// Tests only.
    TestMode,
    /// Nothing.
    Disabled,
}

impl WebhookState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::TestMode, Self::Disabled];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::TestMode => "TEST_MODE",
            Self::Disabled => "DISABLED",
        }
    }
}

/// The shape of what a webhook sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
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
    /// Standard Webhooks: our own events in full.
    Standard,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Databricks, Self::Mlflow, Self::Cloudevents, Self::Slack, Self::Teams, Self::Standard];

    /// As it is written.
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
pub struct Job {
    /// The job's id.
    pub id: Text,
    /// The workspace it runs in.
    #[schemars(default)]
    pub workspace_url: Text,
    /// As which parameters the job gets the event.
    #[schemars(default)]
    pub params: JobParams,
}

/// As which parameters a job gets the event; which of them it can take depends on its task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobParams {
    /// `notebook_params.event_message`: one notebook or wheel.
    #[default]
    Notebook,
    /// `python_params`: one Python file, JAR or Spark submission.
    Python,
    /// All kinds of parameters: a job of several tasks.
    All,
    /// None: any other task.
    None,
}

impl JobParams {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Notebook, Self::Python, Self::All, Self::None];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notebook => "notebook",
            Self::Python => "python",
            Self::All => "all",
            Self::None => "none",
        }
    }
}

/// The name of an event that a webhook is told of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct EventPattern(#[schemars(regex(pattern = r"^(\*|[A-Z][A-Z_]*|[a-z_]+\.([a-z_]+|\*))$"))] String);

/// Why a text names no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} names no event; write for example MODEL_VERSION_CREATED, version.transitioned, version.* or *")]
pub struct InvalidEventPattern(String);

impl EventPattern {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this dotted name, `noun.*` of it, or `*`.
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
