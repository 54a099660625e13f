//! A person who uses the registry.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::ModelName;
use crate::text::Text;
use crate::time::Timestamp;

/// A person: `people/<user>.toml`. The person's id is the name of the file and may be a pseudonym.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Person {
    /// The display name.
    #[schemars(default)]
    pub name: Text,
    /// The e-mail addresses of the person. A commit with one of them is by this person. Mail goes to the first address.
    #[schemars(default)]
    pub emails: BTreeSet<Text>,
    /// The person's logins at the git host, if they differ from the id.
    #[schemars(default)]
    pub logins: BTreeSet<Text>,
    /// The person's public keys, for signed commits and for pushes over SSH.
    #[schemars(default)]
    pub keys: Vec<SigningKey>,
    /// The person's mail settings.
    #[schemars(default)]
    pub notifications: Notifications,
}

/// A public key of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SigningKey {
    /// An SSH public key (`ssh-ed25519 AAAA…`) or an armored OpenPGP public key block.
    pub key: Text,
    /// The time from which the key is valid. Absent: always.
    pub added_at: Option<Timestamp>,
    /// The time from which the key is no longer valid. Absent: never.
    pub revoked_at: Option<Timestamp>,
}

/// The mail settings of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Notifications {
    /// `true` turns off all mail of this registry to the person.
    #[schemars(default)]
    pub off: bool,
    /// The frequency of mail: at once, or one mail for each hour or each day (UTC).
    #[schemars(default)]
    pub digest: Cadence,
    /// `true`: no mail for the sole reason that a request waits for the person's approval.
    #[schemars(default)]
    pub mute_approvals: bool,
    /// The settings for single models, by name of the model.
    #[schemars(default)]
    pub models: BTreeMap<ModelName, ModelNotifications>,
}

/// The mail settings of a person for one model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ModelNotifications {
    /// The amount of mail. Absent: `all` for the person who registered the model, otherwise `followed`.
    pub notify: Option<Notify>,
    /// The followed versions, in addition to versions that the person commented on, moved or requested a transition
    /// for.
    #[schemars(default)]
    #[schemars(inner(range(min = 1)))]
    pub follow: BTreeSet<u64>,
    /// The versions that the person does not follow, whatever the person does with them. Overrides `follow`.
    #[schemars(default)]
    #[schemars(inner(range(min = 1)))]
    pub unfollow: BTreeSet<u64>,
}

impl ModelNotifications {
    /// Adds a version to the followed versions.
    pub fn follow(&mut self, version: u64) {
        self.unfollow.remove(&version);
        self.follow.insert(version);
    }

    /// Marks a version as not followed, whatever the person did or does with the version.
    pub fn unfollow(&mut self, version: u64) {
        self.follow.remove(&version);
        self.unfollow.insert(version);
    }
}

impl Notifications {
    /// Changes the settings for a model, and removes the entry of the model if its settings are then the defaults.
    pub fn change(&mut self, model: &ModelName, change: impl FnOnce(&mut ModelNotifications)) {
        let of_model = self.models.entry(model.clone()).or_default();
        change(of_model);
        if *of_model == ModelNotifications::default() {
            self.models.remove(model);
        }
    }

    /// Changes the settings for a model that was renamed. `names` are the model's names, newest first. The newest entry
    /// under any of these names moves to the current name; the other entries are removed.
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

/// The frequency of mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cadence {
    /// At once, one mail for each commit.
    #[default]
    Immediate,
    /// At each full hour, one mail for all events of the hour.
    Hourly,
    /// At the end of each day in UTC, one mail for all events of the day.
    Daily,
}

impl Cadence {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Immediate, Self::Hourly, Self::Daily];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
        }
    }
}

/// The amount of mail about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// All new activity.
    All,
    /// Activity on versions that the person follows.
    Followed,
    /// No mail about the model.
    Mute,
}

impl Notify {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::All, Self::Followed, Self::Mute];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Followed => "followed",
            Self::Mute => "mute",
        }
    }
}
