//! Permissions: grants of levels to people and groups.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::{GroupName, Principal, UserName};

/// `access.toml`: grants, and in the registry's own file the groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Access {
    /// Who may do what.
    #[schemars(default)]
    pub grants: Vec<Grant>,
    /// Groups and their members; only in the registry's own `access.toml`.
    #[schemars(default)]
    pub groups: BTreeMap<GroupName, BTreeSet<UserName>>,
}

/// A level granted to a person or group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Grant {
    /// To whom: `alice` or `group:risk`.
    pub to: Principal,
    /// The level.
    pub level: Level,
}

impl Access {
    /// The level granted here to a principal by name, the highest if there are several.
    pub fn granted(&self, to: &Principal) -> Option<Level> {
        self.grants.iter().filter(|g| g.to == *to).map(|g| g.level).max()
    }

    /// Grants a level in place of what the principal had here.
    pub fn grant(&mut self, to: Principal, level: Level) {
        self.grants.retain(|g| g.to != to);
        self.grants.push(Grant { to, level });
        self.grants.sort();
    }
}

/// What someone may do, from least to most; each level includes those before it.
/// Names and meaning are those of the Databricks workspace registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// See; request transitions; comment.
    CanRead,
    /// Also add versions, edit descriptions and tags.
    CanEdit,
    /// Also move versions between stages other than Production, and decide such requests.
    CanManageStagingVersions,
    /// Also move versions to and from Production.
    CanManageProductionVersions,
    /// Everything: rename, delete, permissions, webhooks.
    CanManage,
}

impl Level {
    /// All of them, rising.
    pub const ALL: [Self; 5] = [
        Self::CanRead,
        Self::CanEdit,
        Self::CanManageStagingVersions,
        Self::CanManageProductionVersions,
        Self::CanManage,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CanRead => "CAN_READ",
            Self::CanEdit => "CAN_EDIT",
            Self::CanManageStagingVersions => "CAN_MANAGE_STAGING_VERSIONS",
            Self::CanManageProductionVersions => "CAN_MANAGE_PRODUCTION_VERSIONS",
            Self::CanManage => "CAN_MANAGE",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no permission level; it is one of CAN_READ, CAN_EDIT, CAN_MANAGE_STAGING_VERSIONS, \
     CAN_MANAGE_PRODUCTION_VERSIONS, CAN_MANAGE"
)]
pub struct InvalidLevel(String);

impl FromStr for Level {
    type Err = InvalidLevel;
    fn from_str(s: &str) -> Result<Self, InvalidLevel> {
        Self::ALL.into_iter().find(|l| l.as_str() == s).ok_or_else(|| InvalidLevel(crate::text::quoted(s)))
    }
}
