//! Deliveries, secrets, tokens, the watcher and the server.

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::UserName;
use crate::time::Timestamp;
use crate::tree::Oid;

/// The address of a server that has started.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Address {
    /// Its URL.
    pub url: String,
}

/// A new API token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewToken<'a> {
    /// The token; it is shown this once.
    pub token: &'a str,
    /// The person that it stands for.
    pub person: &'a UserName,
    /// When it expires; null for never.
    pub expires_at: Option<Timestamp>,
    /// Whether it may only read.
    pub read_only: bool,
    /// Whether its holder acts for other persons, too.
    pub delegate: bool,
}

/// An API token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Token {
    /// How it begins.
    pub prefix: String,
    /// The person that it stands for.
    pub person: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires; null for never.
    pub expires_at: Option<Timestamp>,
    /// Whether it may only read.
    pub read_only: bool,
    /// Whether its holder acts for other persons, too.
    pub delegate: bool,
    /// Whether it has expired.
    pub expired: bool,
    /// Whether its person was removed since it was made: then it is good for nothing, if somebody has the id again or not.
    pub void: bool,
}

/// The outcome of `token revoke`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RevokedTokens {
    /// How many tokens were revoked.
    pub revoked: usize,
}

/// What was done to a secret.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct SecretChange<'a> {
    /// The secret that was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<&'a str>,
    /// The generated value; it is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<&'a str>,
    /// The secret that was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<&'a str>,
    /// The secret that another webhook may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<&'a str>,
}

/// A secret without its value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoredSecret {
    /// Its name.
    pub name: String,
    /// When it was set; null where the environment holds it.
    pub updated_at: Option<Timestamp>,
    /// Whether it is stored encrypted.
    pub encrypted: bool,
    /// Whether the environment holds it.
    pub environment: bool,
    /// The id of the webhook that it belongs to; null where it is no webhook's own.
    pub webhook: Option<String>,
}

/// What is to be delivered, was given up, and arrived last.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Deliveries<'a> {
    /// The channels: webhooks by id, and `mail`.
    pub channels: Vec<Channel<'a>>,
    /// The deliveries.
    pub deliveries: Vec<Delivery<'a>>,
}

/// A channel that things are delivered to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Channel<'a> {
    /// A webhook's id, or `mail`.
    pub channel: &'a str,
    /// The commit up to which it was told.
    pub commit: Oid,
    /// How many deliveries arrived.
    pub delivered: u64,
    /// How many wait.
    pub pending: usize,
    /// How many were given up.
    pub dead: usize,
    /// Why nothing is sent; null while things are sent.
    pub suspended: Option<Suspension<'a>>,
}

/// Why nothing is sent to a channel.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Suspension<'a> {
    /// What happened.
    pub why: &'a str,
    /// When.
    pub at: Timestamp,
}

/// A delivery.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Delivery<'a> {
    /// The channel.
    pub channel: &'a str,
    /// Its id, the same on each attempt.
    pub id: &'a str,
    /// The event's dotted name.
    pub event: &'a str,
    /// The commit of the event.
    pub commit: Oid,
    /// The commit before a rewritten history that it is compared with.
    pub before: Option<Oid>,
    /// The place of the event in its commit.
    pub ordinal: u32,
    /// What it stays in order with.
    pub lane: &'a str,
    /// Tells it from other deliveries of the same event.
    pub key: &'a str,
    /// pending, failed, dead or delivered.
    pub state: &'a str,
    /// How often it was tried.
    pub attempts: u32,
    /// When the event landed.
    pub landed_at: Timestamp,
    /// When it arrived or was given up, or is tried next.
    pub at: Option<Timestamp>,
    /// What the receiver said, or what went wrong.
    pub said: &'a str,
}

/// A line of `webhook replay`: one for each delivery.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Replay<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The delivery's id.
    pub id: &'a str,
    /// The event's dotted name.
    pub event: &'a str,
    /// The commit of the event.
    pub commit: Oid,
    /// The place of the event in its commit.
    pub ordinal: u32,
    /// What it stays in order with.
    pub lane: &'a str,
    /// Tells it from other deliveries of the same event.
    pub key: &'a str,
    /// listed (with `--dry-run`), delivered, failed, or behind one that failed.
    pub state: &'a str,
    /// What the receiver said, or what went wrong.
    pub said: Option<&'a str>,
}

/// The outcome of `webhook replay --dead`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Revival {
    /// How many deliveries are tried again.
    pub dead: usize,
    /// How many stay, for their webhook is switched off.
    pub switched_off: usize,
    /// How many channels are suspended.
    pub suspended: usize,
    /// Whether a running watcher or server took them up.
    pub taken_up: bool,
}

/// The answer to a test of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookTrial<'a> {
    /// The event that was sent.
    pub event: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer.
    pub body: &'a str,
}

/// The outcome of `watch --once` for a repository.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WatchSummary<'a> {
    /// The repository.
    pub repository: &'a str,
    /// How many deliveries arrived.
    pub delivered: u64,
    /// How many attempts failed.
    pub failed: u64,
    /// How many deliveries wait.
    pub pending: u64,
    /// How many were given up.
    pub dead: u64,
    /// How many channels are suspended.
    pub suspended: u64,
}

/// A line that `watch` writes to standard error. Further keys tell the details.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
pub struct WatchMessage<'a> {
    /// When.
    pub at: Timestamp,
    /// info, warning or error.
    pub level: &'a str,
    /// What happened.
    pub message: &'a str,
    /// The repository, where several are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<&'a str>,
    /// Details.
    #[serde(flatten)]
    pub details: std::collections::BTreeMap<&'a str, &'a str>,
}
