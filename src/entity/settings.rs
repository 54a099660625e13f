//! The registry's own settings: its name, its layout, whose word counts, and the rules of its stages.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::Level;
use super::version::Threshold;
use crate::name::{AliasName, Id, Key, Principal, UserName, fold};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// The version of the file format that this program reads and writes.
pub const FORMAT: u64 = 1;

/// `greenroom.toml`: the registry.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Settings {
    /// The registry's id.
    pub id: Id,
    /// The registry's name.
    pub name: Text,
    /// The version of the file format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub format: u64,
    /// Where models and versions lie.
    #[schemars(default)]
    pub layout: Layout,
    /// Whose word counts.
    #[schemars(default)]
    pub identity: Identity,
    /// What mail the registry sends.
    #[schemars(default)]
    pub notifications: Mailing,
    /// Rules that hold in every stage.
    #[schemars(default)]
    pub rules: Rules,
    /// Where versions may come from.
    // Left out where it is empty, so that events and what is derived of them stay what they were.
    #[serde(skip_serializing_if = "Sources::is_empty")]
    #[schemars(default)]
    pub sources: Sources,
    /// Rules of stages, and stages besides the built-in ones.
    #[schemars(default)]
    pub stages: BTreeMap<Stage, StageRule>,
    /// Rules of aliases, in all models.
    #[schemars(default)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<AliasName, AliasRule>,
    /// Faults of the past that are known and stay as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub acknowledged: Vec<Acknowledged>,
}

/// A fault of the past that is known: the audit lists it apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Acknowledged {
    /// The commit with the fault: its whole id.
    pub commit: Text,
    /// The name of the rule that it breaks, as `greenroom verify` tells it.
    pub rule: Text,
    /// Why it may stay.
    #[schemars(default)]
    pub reason: Text,
}

/// What mail the registry sends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Mailing {
    /// `true` turns the mail of this registry off, for everybody.
    #[schemars(default)]
    pub off: bool,
    /// How many mails a person gets in a day (UTC) about one kind of activity on one model before a last one says that
    /// this is the limit; absent: 20; 0: no limit.
    pub daily_cap: Option<u64>,
}

impl Mailing {
    /// How many mails a day are sent about one kind of activity where nothing else is set.
    pub const DAILY_CAP: u64 = 20;

    /// How many mails a person gets in a day about one kind of activity on one model; none: any number.
    pub fn cap(&self) -> Option<u64> {
        Some(self.daily_cap.unwrap_or(Self::DAILY_CAP)).filter(|cap| *cap > 0)
    }
}

/// Where models and versions lie in the tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `models/<name>/versions/<n>/`: pleasant to browse.
    #[default]
    Flat,
    /// `models/<2 hex>/<name>/versions/<hundreds>/<n>/`: fast with very many models or versions.
    Sharded,
}

impl Layout {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Flat, Self::Sharded];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Sharded => "sharded",
        }
    }
}

/// Whose word counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Identity {
    /// What proves who acts.
    #[schemars(default)]
    pub authority: Authority,
    /// Whether one's own approval counts towards the quorum of one's own request; for a registry of one person.
    #[schemars(default)]
    pub self_approval: bool,
    /// E-mail addresses with which the git host itself commits merges and edits made in its pages, such as
    /// `noreply@github.com`; they may stand as the committer of what somebody pushes.
    #[schemars(default)]
    pub web: BTreeSet<Text>,
    /// Service accounts, such as a greenroom server's, that land changes for others: the commit's author acts.
    #[schemars(default)]
    pub servers: BTreeSet<UserName>,
}

/// What proves who acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authority {
    /// The commit's author, as written: local registries.
    #[default]
    Author,
    /// The git host's word about who pushed.
    Pusher,
    /// The signature of the commit.
    Signature,
}

impl Authority {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Author, Self::Pusher, Self::Signature];

    /// As it is written.
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
    /// What may be deleted and renamed.
    #[schemars(default)]
    pub removal: Removal,
    /// What versions that are not READY may do; absent: `refuse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unready: Option<Unready>,
}

/// What versions that are not READY may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unready {
    /// They enter no active stage, take no alias, and are not `latest`.
    Refuse,
    /// All that READY versions may do: the rule of MLflow's own server.
    Allow,
}

impl Unready {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Refuse, Self::Allow];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
}

/// Where versions may come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sources {
    /// The prefixes of addresses that may be a version's source, such as `s3://models/` or `runs:/`; absent: any address.
    /// Versions of this registry (`models:/`) and folders that are copied in need none.
    #[schemars(default)]
    pub allow: BTreeSet<Text>,
}

impl Sources {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }
}

/// What may be deleted and renamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// A version in None or Archived, and a model all of whose versions are: the rule of the workspace registry.
    #[default]
    Inactive,
    /// Whatever stage it is in: the rule of MLflow's own server.
    Any,
}

impl Removal {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inactive, Self::Any];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Any => "any",
        }
    }
}

/// What must hold for a version to enter a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct StageRule {
    /// The stages a version may come from; absent: any.
    pub from: Option<Vec<Stage>>,
    /// The level that moves versions in and out; absent: `CAN_MANAGE_PRODUCTION_VERSIONS` for Production, else `CAN_MANAGE_STAGING_VERSIONS`.
    pub level: Option<Level>,
    /// Approvals needed besides the requester's; 0: who has the level may act alone.
    #[schemars(default)]
    pub approvals: u64,
    /// Whose approvals count; absent: of those who may make the transition.
    pub approvers: Option<Vec<Principal>>,
    /// Approvals needed to leave the stage, given by the same approvers; 0: who has the level may act alone.
    #[schemars(default)]
    #[serde(skip_serializing_if = "is_zero")]
    pub approvals_to_leave: u64,
    /// Whether entering archives the versions that are there.
    #[schemars(default)]
    pub exclusive: bool,
    /// Evidence that the version must have.
    #[schemars(default)]
    pub require: Evidence,
    /// Windows in which nothing enters.
    #[schemars(default)]
    pub frozen: Vec<Freeze>,
}

/// What must hold for an alias to be set, moved or deleted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct AliasRule {
    /// The stages of the versions that the alias may name; absent: any.
    pub from: Option<Vec<Stage>>,
    /// The level that moves the alias; absent: `CAN_MANAGE_PRODUCTION_VERSIONS`, or none where `approvers` are named.
    pub level: Option<Level>,
    /// 1: the alias is moved only by the merge of a branch that somebody else is proven to have made; 0: who may move it
    /// acts alone. Transition requests carry no alias, so that more than 1 is refused.
    #[schemars(default, range(max = 1))]
    pub approvals: u64,
    /// Who may move the alias; absent: who has the level.
    pub approvers: Option<Vec<Principal>>,
    /// Evidence that the version must have.
    #[schemars(default)]
    pub require: Evidence,
    /// Windows in which the alias is not moved.
    #[schemars(default)]
    pub frozen: Vec<Freeze>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Evidence that a version must have to enter a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Evidence {
    /// A description.
    #[schemars(default)]
    pub description: bool,
    /// Its files in the registry.
    #[schemars(default)]
    pub artifacts: bool,
    /// A signed commit.
    #[schemars(default)]
    pub signed: bool,
    /// Tags with these values; `"*"` for any value.
    #[schemars(default)]
    pub tags: BTreeMap<Key, Text>,
    /// Metrics that compare so, such as `">= 0.85"`.
    #[schemars(default)]
    pub metrics: BTreeMap<Key, Threshold>,
}

/// A window in which nothing enters a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Freeze {
    /// Its first moment; a date means its start in UTC.
    pub from: Moment,
    /// The first moment after it; a date means its end in UTC.
    pub to: Moment,
    /// Why.
    #[schemars(default)]
    pub reason: Text,
}

/// A date (UTC) or a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Moment {
    /// A day.
    Day(Day),
    /// A point in time.
    At(Timestamp),
}

/// A day in UTC, held as its first moment.
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
    /// Whether it ends before it begins, so that it never holds.
    pub fn is_backwards(&self) -> bool {
        let (start, end) = self.bounds();
        end <= start
    }

    /// Whether a moment lies within the window.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        let (start, end) = self.bounds();
        start <= now && now < end
    }

    /// Its first moment, and the first after it.
    fn bounds(&self) -> (Timestamp, Timestamp) {
        let start = match self.from {
            Moment::Day(Day(t)) | Moment::At(t) => t,
        };
        let end = match self.to {
            Moment::Day(Day(t)) => t.plus_millis(86_400_000),
            Moment::At(t) => t,
        };
        (start, end)
    }
}

impl std::fmt::Display for Freeze {
    /// As the option `--freeze` is written: `2026-12-20..2027-01-03`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::At(time) => time.fmt(f),
        }
    }
}

impl StageRule {
    /// How many approvals an entry needs. Who names approvers wants at least one of them.
    pub fn needed(&self) -> u64 {
        if self.approvers.is_some() { self.approvals.max(1) } else { self.approvals }
    }
}

impl AliasRule {
    /// The level that moves the alias; none where the named approvers need no level.
    pub fn needed_level(&self) -> Option<Level> {
        let default = if self.approvers.is_some() { None } else { Some(Level::CanManageProductionVersions) };
        self.level.or(default)
    }
}

impl Settings {
    /// The stages of this registry in their order: built-in, then declared.
    pub fn known_stages(&self) -> Vec<Stage> {
        let declared = self.stages.keys().filter(|s| matches!(s, Stage::Declared(_))).cloned();
        Stage::BUILT_IN.into_iter().chain(declared).collect()
    }

    /// The rule of a stage, if it has one.
    pub fn rule(&self, stage: &Stage) -> Option<&StageRule> {
        self.stages.get(stage)
    }

    /// The rule of an alias, if it has one. An alias that people would take for the guarded one has its rule, too.
    pub fn alias_rule(&self, alias: &AliasName) -> Option<&AliasRule> {
        if self.aliases.is_empty() {
            return None;
        }
        let folded = fold(alias.as_str());
        self.aliases
            .get(alias)
            .or_else(|| self.aliases.iter().find(|(a, _)| fold(a.as_str()) == folded).map(|(_, r)| r))
    }

    /// Whether only READY versions enter active stages, take aliases and are `latest`.
    pub fn wants_ready(&self) -> bool {
        match self.rules.unready {
            None | Some(Unready::Refuse) => true,
            Some(Unready::Allow) => false,
        }
    }

    /// How many approvals a move from one stage to another takes: those to enter the one, and to leave the other.
    pub fn approvals_between(&self, from: &Stage, to: &Stage) -> u64 {
        self.rule(to).map_or(0, StageRule::needed).max(self.approvals_to_leave(from))
    }

    /// How many approvals leaving a stage takes.
    pub fn approvals_to_leave(&self, from: &Stage) -> u64 {
        self.rule(from).map_or(0, |rule| rule.approvals_to_leave)
    }

    /// The level that moves a version into or out of a stage.
    pub fn level_for(&self, stage: &Stage) -> Level {
        let default = match stage {
            Stage::Production => Level::CanManageProductionVersions,
            Stage::None | Stage::Staging | Stage::Archived | Stage::Declared(_) => Level::CanManageStagingVersions,
        };
        self.rule(stage).and_then(|r| r.level).unwrap_or(default)
    }
}
