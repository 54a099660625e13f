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

/// The prefix of the names of secrets that belong to a single webhook.
pub const OWN_SECRET: &str = "webhook-";

/// The end of the name of a secret that replaces another secret.
pub const NEXT_SECRET: &str = ".next";

/// The end of the variable of a secret that takes the place of another one.
const NEXT_VARIABLE: &str = "_NEXT";

/// The name of the secret that is the mail server's password; no webhook is sent it.
pub const MAIL_SECRET: &str = "smtp";

/// The name of the secret that a name is the successor of; of any other, the name itself.
pub fn base_of(name: &Key) -> &str {
    name.as_str().strip_suffix(NEXT_SECRET).unwrap_or(name.as_str())
}

/// Returns the name of a secret as an environment variable has it: in capital letters, with `_` for each character that
/// is not an ASCII letter or digit. Several names have one variable, which gives them one value: they are one name.
pub fn variable_of(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// Returns the variable of a secret without the ends that mark its successors: what all names of one secret share.
pub fn base_variable(name: &str) -> String {
    let mut variable = variable_of(name);
    while let Some(base) = variable.strip_suffix(NEXT_VARIABLE) {
        variable = base.to_owned();
    }
    variable
}

/// Returns whether a name is, or has the variable of, the successor of another secret.
pub fn is_successor(name: &Key) -> bool {
    variable_of(name.as_str()).ends_with(NEXT_VARIABLE)
}

/// Returns whether a secret belongs to a single webhook, as its name says.
pub fn is_own(name: &Key) -> bool {
    name.as_str().starts_with(OWN_SECRET)
}

/// Returns whether two names stand for one secret of a webhook, or one of them for the successor of the other.
pub fn is_same_secret(one: &Key, other: &Key) -> bool {
    base_variable(one.as_str()) == base_variable(other.as_str())
}

/// Returns whether a name has the variable of the mail server's password, or of its successor.
pub fn is_mail_secret(name: &Key) -> bool {
    base_variable(name.as_str()) == variable_of(MAIL_SECRET)
}

impl Webhook {
    /// Returns the names of the secrets that the webhook uses.
    pub fn secrets(&self) -> impl Iterator<Item = &Key> {
        self.secret.iter().chain(&self.authorization)
    }

    /// Returns whether both webhooks say the same of their creation: id, time and person.
    pub fn has_creation_of(&self, other: &Self) -> bool {
        (&self.id, self.created_at, &self.created_by) == (&other.id, other.created_at, &other.created_by)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Key {
        Key::new(text).expect("a name")
    }

    #[test]
    fn names_with_one_variable_are_one_name_and_their_successors_belong_to_it() {
        for other in ["webhook-MINE-A", "webhook-mine.a", "webhook-mine_a", "Webhook:mine a", "webhook/mineéa"] {
            assert!(is_same_secret(&name("webhook-mine-a"), &name(other)), "{other}");
            assert!(!is_successor(&name(other)), "{other}");
        }
        for next in ["webhook-mine-a.next", "webhook-mine-a-next", "webhook-mine.a_NEXT", "webhook-mine-a.next.next"] {
            assert!(is_same_secret(&name("webhook-mine-a"), &name(next)) && is_successor(&name(next)), "{next}");
        }
        for other in ["webhook-mine-a-", "-webhook-mine-a", "webhook-minea", "webhook-mine-anext", "webhook-mine--a"] {
            assert!(!is_same_secret(&name("webhook-mine-a"), &name(other)), "{other}");
        }
        assert!(is_successor(&name("webhook-next")) && is_same_secret(&name("webhook-next"), &name("webhook")));
    }

    #[test]
    fn the_mail_servers_password_is_known_under_each_of_its_names() {
        for text in ["smtp", "SMTP", "Smtp", "smtp.next", "smtp-next"] {
            assert!(is_mail_secret(&name(text)), "{text}");
        }
        assert!(!is_mail_secret(&name("smtp2")) && !is_mail_secret(&name("smtp-")));
    }
}
