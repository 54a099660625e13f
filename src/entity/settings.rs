//! The registry's settings: name, layout, authority, and the rules of stages and aliases.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::PermissionLevel;
use super::version::Threshold;
use crate::name::{AliasName, Id, Key, Principal, UserName, fold};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// The version of the file format that this program reads and writes.
pub const FORMAT: u64 = 1;

/// The registry: `greenroom.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Settings {
    /// The registry's id.
    pub id: Id,
    /// The registry's name.
    pub name: Text,
    /// The version of the file format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub format: u64,
    /// The layout of the folders of models and versions. Absent: `flat`.
    #[schemars(default)]
    pub layout: Layout,
    /// How the gate identifies people.
    #[schemars(default)]
    pub identity: IdentitySettings,
    /// The limits of the mail that the registry sends.
    #[schemars(default)]
    pub notifications: MailPolicy,
    /// Rules that hold in every stage.
    #[schemars(default)]
    pub rules: Rules,
    /// The allowed sources of versions.
    // Absent if empty, so that serialized settings and the events with them do not change for older registries.
    #[serde(skip_serializing_if = "Sources::is_empty")]
    #[schemars(default)]
    pub sources: Sources,
    /// The rules of stages. A key that is not a built-in stage declares a stage.
    #[schemars(default)]
    pub stages: BTreeMap<Stage, StageRule>,
    /// The rules of aliases, for all models.
    #[schemars(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<AliasName, AliasRule>,
    /// Known findings in the history that stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub acknowledged: Vec<Acknowledgement>,
}

/// A known finding in the history. `greenroom verify` lists it apart and does not count it in its exit code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Acknowledged")]
pub struct Acknowledgement {
    /// The full id of the commit with the finding.
    pub commit: Text,
    /// The name of the broken rule, as `greenroom verify` prints it.
    pub rule: Text,
    /// The reason why the finding is accepted.
    #[schemars(default)]
    pub reason: Text,
}

/// The limits of the mail that the registry sends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Mailing")]
pub struct MailPolicy {
    /// `true` turns off all mail of this registry, for all people.
    #[schemars(default)]
    pub off: bool,
    /// The most mails to one person in one day (UTC) about one kind of activity on one model. One more mail then says
    /// that the limit is reached. Absent: 20; 0: no limit.
    pub daily_cap: Option<u64>,
}

impl MailPolicy {
    /// The daily limit of mails about one kind of activity, if `daily_cap` is absent.
    pub const DAILY_CAP: u64 = 20;

    /// Returns the daily limit of mails to one person about one kind of activity on one model; `None` means no limit.
    pub fn cap(&self) -> Option<u64> {
        Some(self.daily_cap.unwrap_or(Self::DAILY_CAP)).filter(|cap| *cap > 0)
    }
}

/// The layout of the folders of models and versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `models/<name>/versions/<n>/`: easy to browse.
    #[default]
    Flat,
    /// `models/<2 hex digits>/<name>/versions/<hundreds>/<n>/`: fast with very many models or versions.
    Sharded,
}

impl Layout {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::Flat, Self::Sharded];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Sharded => "sharded",
        }
    }
}

/// How the gate identifies people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Identity")]
pub struct IdentitySettings {
    /// The source of a person's identity.
    #[schemars(default)]
    pub authority: Authority,
    /// `true`: the requester's own approval counts for the request. Meant for a registry of one person.
    #[schemars(default)]
    pub self_approval: bool,
    /// The e-mail addresses with which the git host itself commits merges and edits of its web interface, such as
    /// `noreply@github.com`. Pushed commits may have such an address as their committer.
    #[schemars(default)]
    pub web: BTreeSet<Text>,
    /// Service accounts, such as that of a greenroom server, that commit for other people: the author of such a commit
    /// is the person who acts.
    #[schemars(default)]
    pub servers: BTreeSet<UserName>,
}

/// The source of a person's identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// The author that the commit names, without proof. For local registries.
    #[default]
    Author,
    /// The pusher, as the git host authenticated that person.
    Pusher,
    /// The signature of the commit.
    Signature,
}

impl Authority {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Author, Self::Pusher, Self::Signature];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Pusher => "pusher",
            Self::Signature => "signature",
        }
    }
}

/// Rules that hold in every stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rules {
    /// The versions and models that may be deleted, and the models that may be renamed. Absent: `inactive`.
    #[schemars(default)]
    pub removal: Removal,
    /// Whether versions that are not READY may enter active stages, take aliases and be `latest`. Absent: `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unready: Option<UnreadyPolicy>,
}

/// The permitted uses of versions that are not READY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Unready")]
pub enum UnreadyPolicy {
    /// Versions that are not READY enter no active stage, take no alias, and are not `latest`.
    Refuse,
    /// They may be used like READY versions: the rule of MLflow's own server.
    Allow,
}

impl UnreadyPolicy {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::Refuse, Self::Allow];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
}

/// The allowed sources of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sources {
    /// The allowed prefixes of a version's source URI, such as `s3://models/` or `runs:/`. Absent: any URI. Versions of
    /// this registry (`models:/`) and folders that are copied into the registry need no prefix.
    #[schemars(default)]
    pub allow: BTreeSet<Text>,
}

impl Sources {
    /// Returns whether no prefix is set, so that every source is allowed.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }
}

/// The versions and models that may be deleted, and the models that may be renamed. Absent: `inactive`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// Versions in None or Archived, and models all of whose versions are in None or Archived: the rule of the
    /// Databricks workspace registry.
    #[default]
    Inactive,
    /// Versions and models in any stage: the rule of MLflow's own server.
    Any,
}

impl Removal {
    /// All values, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::Inactive, Self::Any];

    /// Returns the word that stands for this value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Any => "any",
        }
    }
}

/// The rule of a stage: the conditions for entering and leaving it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct StageRule {
    /// The stages from which a version may enter. Absent: any stage.
    pub from: Option<Vec<Stage>>,
    /// The permission level for moving versions into and out of the stage. Absent: `CAN_MANAGE_PRODUCTION_VERSIONS` for
    /// Production, otherwise `CAN_MANAGE_STAGING_VERSIONS`.
    pub level: Option<PermissionLevel>,
    /// The number of approvals that an entry needs, without the requester's own. 0: a person with the permission level
    /// may act alone.
    #[schemars(default)]
    pub approvals: u64,
    /// The people and groups whose approvals count. Absent: all people who may make the transition.
    pub approvers: Option<Vec<Principal>>,
    /// The number of approvals by the same approvers that leaving the stage needs. 0: a person with the permission
    /// level may act alone.
    #[schemars(default)]
    #[serde(skip_serializing_if = "is_zero")]
    pub approvals_to_leave: u64,
    /// Whether an entry archives the versions that are in the stage.
    #[schemars(default)]
    pub exclusive: bool,
    /// The evidence that the version must have.
    #[schemars(default)]
    pub require: Evidence,
    /// The freeze windows, in which no version enters the stage.
    #[schemars(default)]
    pub frozen: Vec<Freeze>,
}

/// The rule of an alias: the conditions for setting, moving and deleting it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct AliasRule {
    /// The stages of the versions that the alias may name. Absent: any stage.
    pub from: Option<Vec<Stage>>,
    /// The permission level for moving the alias. Absent: `CAN_MANAGE_PRODUCTION_VERSIONS`, or no level if `approvers`
    /// is set.
    pub level: Option<PermissionLevel>,
    /// 1: the alias is moved only by the merge of a branch that another person is proven to have made. 0: a person who
    /// may move the alias acts alone. Transition requests carry no alias, so a number above 1 is refused.
    #[schemars(default, range(max = 1))]
    pub approvals: u64,
    /// The people and groups who may move the alias. Absent: all people with the permission level.
    pub approvers: Option<Vec<Principal>>,
    /// The evidence that the version must have.
    #[schemars(default)]
    pub require: Evidence,
    /// The freeze windows, in which the alias is not moved.
    #[schemars(default)]
    pub frozen: Vec<Freeze>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The evidence that a version must have to enter a stage or to take an alias.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Evidence {
    /// `true`: the version has a description.
    #[schemars(default)]
    pub description: bool,
    /// `true`: the files of the version are in the registry.
    #[schemars(default)]
    pub artifacts: bool,
    /// `true`: the commit of the change is signed.
    #[schemars(default)]
    pub signed: bool,
    /// The tags that the version has, with their values; `"*"` stands for any value.
    #[schemars(default)]
    pub tags: BTreeMap<Key, Text>,
    /// The comparisons that the version's metrics pass, such as `">= 0.85"`.
    #[schemars(default)]
    pub metrics: BTreeMap<Key, Threshold>,
}

/// A freeze window, in which no version enters a stage and no guarded alias is moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Freeze {
    /// The first moment of the window. A date means the start of that day in UTC.
    pub from: FreezeBound,
    /// The first moment after the window. A date means the end of that day in UTC.
    pub to: FreezeBound,
    /// The reason, which messages show.
    #[schemars(default)]
    pub reason: Text,
}

/// A day in UTC or a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Moment")]
pub enum FreezeBound {
    /// A day in UTC, such as `2026-12-20`.
    Day(Day),
    /// A point in time, with an offset.
    At(Timestamp),
}

/// A day in UTC, stored as its first moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day(pub Timestamp);

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_string().get(..10).unwrap_or_default())
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for Day {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Day".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "A day in UTC: 2026-12-20.", "type": "string", "format": "date" })
    }
}

impl Freeze {
    /// Returns whether the window ends before it begins, so that it never holds.
    pub fn is_backwards(&self) -> bool {
        let (start, end) = self.bounds();
        end <= start
    }

    /// Returns whether `now` lies within the window.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        let (start, end) = self.bounds();
        start <= now && now < end
    }

    /// The first moment of the window, and the first moment after it.
    fn bounds(&self) -> (Timestamp, Timestamp) {
        let start = match self.from {
            FreezeBound::Day(Day(t)) | FreezeBound::At(t) => t,
        };
        let end = match self.to {
            FreezeBound::Day(Day(t)) => t.plus_millis(86_400_000),
            FreezeBound::At(t) => t,
        };
        (start, end)
    }
}

impl std::fmt::Display for Freeze {
    /// Writes the window as the option `--freeze` takes it: `2026-12-20..2027-01-03`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl std::fmt::Display for FreezeBound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::At(time) => time.fmt(f),
        }
    }
}

impl StageRule {
    /// Returns the number of approvals that an entry needs: at least 1 if `approvers` is set.
    pub fn needed(&self) -> u64 {
        if self.approvers.is_some() { self.approvals.max(1) } else { self.approvals }
    }
}

impl AliasRule {
    /// Returns the permission level for moving the alias; `None` if the named approvers need no level.
    pub fn needed_level(&self) -> Option<PermissionLevel> {
        let default = if self.approvers.is_some() { None } else { Some(PermissionLevel::CanManageProductionVersions) };
        self.level.or(default)
    }
}

impl Settings {
    /// Returns the stages of this registry: first the built-in stages, then the declared stages by name.
    pub fn known_stages(&self) -> Vec<Stage> {
        let declared = self.stages.keys().filter(|s| matches!(s, Stage::Declared(_))).cloned();
        Stage::BUILT_IN.into_iter().chain(declared).collect()
    }

    /// Returns the rule of a stage, or `None`.
    pub fn rule(&self, stage: &Stage) -> Option<&StageRule> {
        self.stages.get(stage)
    }

    /// Returns the rule of an alias, or `None`. The rule also holds for an alias that people would confuse with the
    /// guarded alias, because it differs only by case or Unicode form.
    pub fn alias_rule(&self, alias: &AliasName) -> Option<&AliasRule> {
        if self.aliases.is_empty() {
            return None;
        }
        let folded = fold(alias.as_str());
        self.aliases
            .get(alias)
            .or_else(|| self.aliases.iter().find(|(a, _)| fold(a.as_str()) == folded).map(|(_, r)| r))
    }

    /// Returns whether only READY versions enter active stages, take aliases and are `latest`.
    pub fn wants_ready(&self) -> bool {
        match self.rules.unready {
            None | Some(UnreadyPolicy::Refuse) => true,
            Some(UnreadyPolicy::Allow) => false,
        }
    }

    /// Returns the number of approvals that a transition needs: the larger of the numbers for entering `to` and for
    /// leaving `from`.
    pub fn approvals_between(&self, from: &Stage, to: &Stage) -> u64 {
        self.rule(to).map_or(0, StageRule::needed).max(self.approvals_to_leave(from))
    }

    /// Returns the number of approvals that leaving a stage needs.
    pub fn approvals_to_leave(&self, from: &Stage) -> u64 {
        self.rule(from).map_or(0, |rule| rule.approvals_to_leave)
    }

    /// Returns the permission level for moving a version into or out of a stage.
    pub fn level_for(&self, stage: &Stage) -> PermissionLevel {
        let default = match stage {
            Stage::Production => PermissionLevel::CanManageProductionVersions,
            Stage::None | Stage::Staging | Stage::Archived | Stage::Declared(_) => {
                PermissionLevel::CanManageStagingVersions
            }
        };
        self.rule(stage).and_then(|r| r.level).unwrap_or(default)
    }
}
