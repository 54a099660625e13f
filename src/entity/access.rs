//! Permissions: grants of permission levels to people and groups.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::{GroupName, Principal, UserName};

/// `access.toml`: the grants, and in the registry's own file also the groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Access {
    /// The grants of permission levels to people and groups.
    #[schemars(default)]
    pub grants: Vec<Grant>,
    /// The groups and their members. Only the registry's own `access.toml` may define groups.
    #[schemars(default)]
    pub groups: BTreeMap<GroupName, BTreeSet<UserName>>,
}

/// A grant: a permission level for a person or a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Grant {
    /// The person or group: `alice` or `group:risk`.
    pub to: Principal,
    /// The permission level.
    pub level: PermissionLevel,
}

impl Access {
    /// Returns the highest level that this file grants to a principal by name. Levels through groups do not count.
    pub fn granted(&self, to: &Principal) -> Option<PermissionLevel> {
        self.grants.iter().filter(|g| g.to == *to).map(|g| g.level).max()
    }

    /// Sets the level of a principal, and removes the principal's other grants in this file.
    pub fn grant(&mut self, to: Principal, level: PermissionLevel) {
        self.grants.retain(|g| g.to != to);
        self.grants.push(Grant { to, level });
        self.grants.sort();
    }
}

/// A permission level, in ascending order: each level includes the levels before it. Names and meaning are those of the
/// Databricks workspace registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(rename = "Level")]
pub enum PermissionLevel {
    /// May read, request transitions and comment.
    CanRead,
    /// May also add versions, and edit descriptions and tags.
    CanEdit,
    /// May also move versions between stages other than Production, and decide requests for such transitions.
    CanManageStagingVersions,
    /// May also move versions to and from Production.
    CanManageProductionVersions,
    /// May do everything, including renaming, deleting, permissions and webhooks.
    CanManage,
}

impl PermissionLevel {
    /// All levels, in ascending order.
    pub const ALL: [Self; 5] = [
        Self::CanRead,
        Self::CanEdit,
        Self::CanManageStagingVersions,
        Self::CanManageProductionVersions,
        Self::CanManage,
    ];

    /// Returns the level as written in `access.toml` and by Databricks, such as `CAN_READ`.
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

impl fmt::Display for PermissionLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error for a text that is not a permission level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not a permission level; the levels are CAN_READ, CAN_EDIT, CAN_MANAGE_STAGING_VERSIONS, \
     CAN_MANAGE_PRODUCTION_VERSIONS, CAN_MANAGE"
)]
pub struct InvalidLevel(String);

impl FromStr for PermissionLevel {
    type Err = InvalidLevel;
    fn from_str(s: &str) -> Result<Self, InvalidLevel> {
        Self::ALL.into_iter().find(|l| l.as_str() == s).ok_or_else(|| InvalidLevel(crate::text::quoted(s)))
    }
}
