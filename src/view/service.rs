//! Output types for deliveries, secrets, tokens, the watcher and the server.

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::UserName;
use crate::time::Timestamp;
use crate::tree::Oid;

/// The URL of a server that has started.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Address {
    /// The URL of the server.
    pub url: String,
}

/// A new API token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewToken<'a> {
    /// The token. It is shown only once.
    pub token: &'a str,
    /// The person whom the token identifies.
    pub person: &'a UserName,
    /// The time when the token expires. Null for never.
    pub expires_at: Option<Timestamp>,
    /// Whether the token may only read.
    pub read_only: bool,
    /// Whether the holder of the token may also act for other people.
    pub delegate: bool,
}

/// An API token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Token {
    /// The first characters of the token.
    pub prefix: String,
    /// The person whom the token identifies.
    pub person: String,
    /// The time of its creation.
    pub created_at: Timestamp,
    /// The time when the token expires. Null for never.
    pub expires_at: Option<Timestamp>,
    /// Whether the token may only read.
    pub read_only: bool,
    /// Whether the holder of the token may also act for other people.
    pub delegate: bool,
    /// Whether the token has expired.
    pub expired: bool,
    /// Whether the person of the token was removed after the creation of the token. Such a token is invalid, even if
    /// the id is in use again.
    pub void: bool,
}

/// The result of `token revoke`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RevokedTokens {
    /// The number of revoked tokens.
    pub revoked: usize,
}

/// The change of a secret.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct SecretChange<'a> {
    /// The secret that was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<&'a str>,
    /// The generated value. It is shown only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<&'a str>,
    /// The secret that was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<&'a str>,
    /// The secret that was given to the webhook as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<&'a str>,
    /// The id of the webhook that the secret belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<&'a str>,
}

/// A secret without its value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoredSecret {
    /// The name of the secret.
    pub name: String,
    /// The time when the secret was set. Null for a secret in the environment.
    pub updated_at: Option<Timestamp>,
    /// Whether the secret is stored encrypted.
    pub encrypted: bool,
    /// Whether the secret is in the environment.
    pub environment: bool,
    /// The id of the webhook that owns the secret. Null if no webhook owns it.
    pub webhook: Option<String>,
}

/// The pending and dead deliveries, and the latest delivered ones.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Deliveries<'a> {
    /// The channels: webhooks by id, and `mail`.
    pub channels: Vec<Channel<'a>>,
    /// The deliveries.
    pub deliveries: Vec<Delivery<'a>>,
}

/// A channel: a webhook or the mail.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Channel<'a> {
    /// A webhook's id, or `mail`.
    pub channel: &'a str,
    /// The cursor: the commit up to which the events were sent to the channel or queued.
    pub commit: Oid,
    /// The number of successful deliveries.
    pub delivered: u64,
    /// The number of pending deliveries.
    pub pending: usize,
    /// The number of dead letters.
    pub dead: usize,
    /// The reason why the channel is suspended. Null if the channel is not suspended.
    pub suspended: Option<Suspension<'a>>,
}

/// The suspension of a channel: nothing is sent to it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Suspension<'a> {
    /// The reason for the suspension.
    pub why: &'a str,
    /// The time of the suspension.
    pub at: Timestamp,
}

/// A delivery to a channel.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Delivery<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The id of the delivery, which is the same on each attempt.
    pub id: &'a str,
    /// The dotted name of the event.
    pub event: &'a str,
    /// The commit of the event.
    pub commit: Oid,
    /// The commit before a rewrite of the history, with which the commit is compared. Null otherwise.
    pub before: Option<Oid>,
    /// The position of the event in its commit, from 0.
    pub ordinal: u32,
    /// The queue of the delivery. Deliveries in the same queue are sent in order.
    pub lane: &'a str,
    /// Distinguishes several deliveries of the same event to one channel.
    pub key: &'a str,
    /// `pending`, `failed`, `dead` or `delivered`.
    pub state: &'a str,
    /// The number of attempts.
    pub attempts: u32,
    /// The time when the commit of the event reached the branch.
    pub landed_at: Timestamp,
    /// The time of success or of giving up, or the time of the next attempt.
    pub at: Option<Timestamp>,
    /// The response of the receiver, or the error.
    pub said: &'a str,
}

/// A line of `webhook replay`, one for each delivery.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Replay<'a> {
    /// The channel.
    pub channel: &'a str,
    /// The id of the delivery.
    pub id: &'a str,
    /// The dotted name of the event.
    pub event: &'a str,
    /// The commit of the event.
    pub commit: Oid,
    /// The position of the event in its commit, from 0.
    pub ordinal: u32,
    /// The queue of the delivery. Deliveries in the same queue are sent in order.
    pub lane: &'a str,
    /// Distinguishes several deliveries of the same event to one channel.
    pub key: &'a str,
    /// `listed` (with `--dry-run`), `delivered`, `failed`, or `behind` (not sent, because an earlier delivery failed).
    pub state: &'a str,
    /// The response of the receiver, or the error.
    pub said: Option<&'a str>,
}

/// The result of `webhook replay --dead`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Revival {
    /// The number of deliveries that are tried again.
    pub dead: usize,
    /// The number of dead letters that stay, because their webhook is disabled.
    pub switched_off: usize,
    /// The number of suspended channels.
    pub suspended: usize,
    /// Whether a running watcher or server took over the deliveries.
    pub taken_up: bool,
}

/// The response to a test delivery of a webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WebhookTrial<'a> {
    /// The event that was sent.
    pub event: &'a str,
    /// The status code of the response.
    pub status: u16,
    /// The body of the response.
    pub body: &'a str,
}

/// The result of `watch --once` for a repository.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WatchSummary<'a> {
    /// The repository.
    pub repository: &'a str,
    /// The number of successful deliveries.
    pub delivered: u64,
    /// The number of failed attempts.
    pub failed: u64,
    /// The number of pending deliveries.
    pub pending: u64,
    /// The number of dead letters.
    pub dead: u64,
    /// The number of suspended channels.
    pub suspended: u64,
}

/// A line that `watch` writes to standard error. Additional keys hold details.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
pub struct WatchMessage<'a> {
    /// The time of the message.
    pub at: Timestamp,
    /// `info`, `warning` or `error`.
    pub level: &'a str,
    /// The text of the message.
    pub message: &'a str,
    /// The repository. Absent if only one repository is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<&'a str>,
    /// The details of the message.
    #[serde(flatten)]
    pub details: std::collections::BTreeMap<&'a str, &'a str>,
}
