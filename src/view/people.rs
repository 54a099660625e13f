//! Output types for people, groups, grants and mail settings.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use crate::entity::PermissionLevel;
use crate::entity::person::{Cadence, Notify};
use crate::name::{GroupName, ModelName, Principal, UserName};
use crate::text::Text;
use crate::time::Timestamp;

/// A person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Person {
    /// The person's id.
    pub id: UserName,
    /// The display name.
    pub name: Text,
    /// The e-mail addresses.
    pub emails: BTreeSet<Text>,
    /// The logins at git hosts.
    pub logins: BTreeSet<Text>,
    /// The public keys.
    pub keys: Vec<SigningKey>,
}

/// A public key of a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SigningKey {
    /// The fingerprint of the key.
    pub fingerprint: String,
    /// The type of the key.
    pub kind: String,
    /// The public key. Null if the file does not hold a valid public key.
    pub key: Option<Text>,
    /// The time from which the key is valid. Null: always.
    pub added_at: Option<Timestamp>,
    /// The time from which the key is no longer valid. Null: never.
    pub revoked_at: Option<Timestamp>,
}

/// A person with groups and registry-wide permission level.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PersonPage {
    /// The person.
    #[serde(flatten)]
    pub person: Person,
    /// The groups of the person.
    pub groups: Vec<GroupName>,
    /// The registry-wide permission level. Null if there is none.
    pub level: Option<PermissionLevel>,
}

/// The lines of an allowed signers file, as `ssh-keygen` reads it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Signers(pub Vec<String>);

/// A grant of a permission level.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Grant<'a> {
    /// The person or group.
    pub to: &'a Principal,
    /// The permission level.
    pub level: PermissionLevel,
    /// The model of the grant. Null for the whole registry.
    pub model: Option<&'a ModelName>,
    /// Whether the list of a model shows a grant of the whole registry.
    pub inherited: bool,
}

/// A group.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Group<'a> {
    /// The name of the group.
    pub name: &'a GroupName,
    /// The members of the group.
    pub members: &'a BTreeSet<UserName>,
}

/// The mail settings of a person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MailWishes {
    /// The person.
    pub person: UserName,
    /// The address that gets the mail. Null if the person has no address.
    pub address: Option<Text>,
    /// Whether the person turned off all mail.
    pub off: bool,
    /// Whether the mail of the registry is turned off.
    pub registry_off: bool,
    /// The frequency of mail.
    pub digest: Cadence,
    /// Whether the person gets no mail for the sole reason that a request waits for their approval.
    pub mute_approvals: bool,
    /// The most mails a day about one kind of activity on one model. Null for no limit.
    pub daily_cap: Option<u64>,
    /// The settings for models, chosen by the person or resulting from the person's actions.
    pub models: Vec<ModelMail>,
}

/// The mail settings of a person for one model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelMail {
    /// The registered model.
    pub model: ModelName,
    /// The amount of mail about the model.
    pub notify: Notify,
    /// Whether the person chose `notify`. Otherwise it is the default.
    pub chosen: bool,
    /// The versions that the person follows.
    pub follows: Vec<Followed>,
    /// The versions that the person chose not to follow.
    pub unfollowed: Vec<u64>,
    /// The same settings in Databricks' words: ALL_EVENTS, DEFAULT, SUBSCRIBED or UNSUBSCRIBED.
    pub email_subscription_status: &'static str,
}

/// A version that a person follows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Followed {
    /// The version number.
    pub version: u64,
    /// The reason why the person follows the version.
    pub because: &'static str,
}

/// The result of `notify test`: a test mail that the mail server accepted.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MailTest {
    /// The mail server.
    pub server: String,
    /// The address of the recipient.
    pub to: String,
}
