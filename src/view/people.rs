//! People, groups, grants and mail.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::entity::Level;
use crate::entity::person::{Cadence, Notify};
use crate::name::{GroupName, ModelName, Principal, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// A person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Person {
    /// The id.
    pub id: UserName,
    /// The name to show.
    pub name: Text,
    /// E-mail addresses.
    pub emails: BTreeSet<Text>,
    /// Logins at git hosts.
    pub logins: BTreeSet<Text>,
    /// Signing keys.
    pub keys: Vec<SigningKey>,
}

/// A signing key of a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SigningKey {
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its kind.
    pub kind: String,
    /// The public key; null where the file holds something else.
    pub key: Option<Text>,
    /// When it was added.
    pub added_at: Option<Timestamp>,
    /// When it was revoked; null if it is valid.
    pub revoked_at: Option<Timestamp>,
}

/// A person with groups and registry-wide level.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PersonPage {
    /// The person.
    #[serde(flatten)]
    pub person: Person,
    /// The groups of the person.
    pub groups: Vec<GroupName>,
    /// The registry-wide level; null if there is none.
    pub level: Option<Level>,
}

/// The lines of a file of allowed signers, as `ssh-keygen` reads it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Signers(pub Vec<String>);

/// A grant of a level.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Grant<'a> {
    /// To whom.
    pub to: &'a Principal,
    /// The level.
    pub level: Level,
    /// The model that it is for; null for the whole registry.
    pub model: Option<&'a ModelName>,
    /// Whether it is a grant of the whole registry in the list of a model.
    pub inherited: bool,
}

/// A group.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Group<'a> {
    /// Its name.
    pub name: &'a GroupName,
    /// Its members.
    pub members: &'a BTreeSet<UserName>,
}

/// What mail a person gets.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MailWishes {
    /// The person.
    pub person: UserName,
    /// Where mail goes to; null where there is no address.
    pub address: Option<Text>,
    /// Whether the person turned all mail off.
    pub off: bool,
    /// Whether the registry sends no mail.
    pub registry_off: bool,
    /// How often mail comes.
    pub digest: Cadence,
    /// Whether no mail comes because a request waits for approval.
    pub mute_approvals: bool,
    /// How many mails a day come about one kind of activity on one model; null for no limit.
    pub daily_cap: Option<u64>,
    /// What was said, or follows from what the person did, by model.
    pub models: Vec<ModelMail>,
}

/// What mail a person gets about a model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelMail {
    /// The registered model.
    pub model: ModelName,
    /// How much.
    pub notify: Notify,
    /// Whether the person chose that.
    pub chosen: bool,
    /// The versions that are followed.
    pub follows: Vec<Followed>,
    /// The versions that are not followed, by choice.
    pub unfollowed: Vec<u64>,
    /// The same in Databricks' words: ALL_EVENTS, DEFAULT, SUBSCRIBED or UNSUBSCRIBED.
    pub email_subscription_status: &'static str,
}

/// A version that a person follows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Followed {
    /// The version's number.
    pub version: u64,
    /// Why.
    pub because: &'static str,
}

/// A mail that was sent as a test.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MailTest {
    /// The mail server.
    pub server: String,
    /// The address.
    pub to: String,
}
