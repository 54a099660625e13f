//! A person who uses the registry.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::ModelName;
use crate::text::Text;
use crate::time::Timestamp;

/// `people/<user>.toml`: a person. The id is the name of the file and may be a pseudonym.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Person {
    /// The name that is shown.
    #[schemars(default)]
    pub name: Text,
    /// E-mail addresses; a commit by one of them is by this person, and mail goes to the first.
    #[schemars(default)]
    pub emails: BTreeSet<Text>,
    /// Logins at the git host, where they differ from the id.
    #[schemars(default)]
    pub logins: BTreeSet<Text>,
    /// Keys that sign this person's commits.
    #[schemars(default)]
    pub keys: Vec<SigningKey>,
    /// What mail the person gets.
    #[schemars(default)]
    pub notifications: Notifications,
}

/// A key that signs commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SigningKey {
    /// An SSH public key (`ssh-ed25519 AAAA…`) or an armored OpenPGP public key block.
    pub key: Text,
    /// From when on it counts.
    pub added_at: Option<Timestamp>,
    /// From when on it no longer counts.
    pub revoked_at: Option<Timestamp>,
}

/// What mail a person gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Notifications {
    /// `true` turns all mail of this registry off.
    #[schemars(default)]
    pub off: bool,
    /// When mail comes: at once, or what happened in an hour or day (UTC) together.
    #[schemars(default)]
    pub digest: Cadence,
    /// `true`: no mail for the sole reason that a request waits for the person's approval.
    #[schemars(default)]
    pub mute_approvals: bool,
    /// For each model, what to be told about it.
    #[schemars(default)]
    pub models: BTreeMap<ModelName, ModelNotifications>,
}

/// What a person is told about a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelNotifications {
    /// How much; absent: `all` for who registered the model, else `followed`.
    pub notify: Option<Notify>,
    /// Versions that are followed besides those that the person commented on, moved or requested.
    #[schemars(default)]
    #[schemars(inner(range(min = 1)))]
    pub follow: BTreeSet<u64>,
    /// Versions that are not followed, whatever the person does with them; counts before `follow`.
    #[schemars(default)]
    #[schemars(inner(range(min = 1)))]
    pub unfollow: BTreeSet<u64>,
}

impl ModelNotifications {
    /// Follows a version.
    pub fn follow(&mut self, version: u64) {
        self.unfollow.remove(&version);
        self.follow.insert(version);
    }

    /// No longer follows a version, whatever the person did or does with it.
    pub fn unfollow(&mut self, version: u64) {
        self.follow.remove(&version);
        self.unfollow.insert(version);
    }
}

impl Notifications {
    /// Changes what the person is told about a model; what then says nothing is left out.
    pub fn change(&mut self, model: &ModelName, change: impl FnOnce(&mut ModelNotifications)) {
        let of_model = self.models.entry(model.clone()).or_default();
        change(of_model);
        if *of_model == ModelNotifications::default() {
            self.models.remove(model);
        }
    }

    /// The same for a model that had other names before, newest first: what was said under the newest that anything was
    /// said under moves to the name it has now, and the others are let go.
    pub fn change_under(&mut self, names: &[ModelName], change: impl FnOnce(&mut ModelNotifications)) {
        let Some((now, former)) = names.split_first() else { return };
        let said = names.iter().find_map(|name| self.models.get(name)).cloned();
        former.iter().for_each(|name| drop(self.models.remove(name)));
        self.change(now, |of_model| {
            *of_model = said.unwrap_or_default();
            change(of_model);
        });
    }
}

/// When mail comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cadence {
    /// At once, one mail for each commit.
    #[default]
    Immediate,
    /// At each full hour, one mail for all that happened.
    Hourly,
    /// At the end of each day in UTC, one mail for all that happened.
    Daily,
}

impl Cadence {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Immediate, Self::Hourly, Self::Daily];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
        }
    }
}

/// How much a person is told about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// All new activity.
    All,
    /// Activity on versions that the person follows.
    Followed,
    /// Nothing.
    Mute,
}

impl Notify {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::All, Self::Followed, Self::Mute];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Followed => "followed",
            Self::Mute => "mute",
        }
    }
}
