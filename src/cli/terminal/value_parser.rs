//! Parsers of the values of arguments: tags, texts, permission levels.

use crate::entity::PermissionLevel;
use crate::name::Key;
use crate::text::Text;

/// Parses `KEY=VALUE`.
pub(in crate::cli) fn pair(s: &str) -> Result<(Key, Text), String> {
    let (key, value) = s.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.parse().map_err(|e: crate::name::InvalidName| e.to_string())?, text(value)?))
}

/// Parses a text that can be stored.
pub(in crate::cli) fn text(s: &str) -> Result<Text, String> {
    Text::new(s).map_err(|e| e.to_string())
}

/// Reads a permission level by its short name (`manage-staging`) or its API name (`CAN_MANAGE_STAGING_VERSIONS`).
pub(in crate::cli) fn level(s: &str) -> Result<PermissionLevel, String> {
    Ok(match s.to_ascii_lowercase().replace('_', "-").as_str() {
        "read" => PermissionLevel::CanRead,
        "edit" => PermissionLevel::CanEdit,
        "manage-staging" => PermissionLevel::CanManageStagingVersions,
        "manage-production" => PermissionLevel::CanManageProductionVersions,
        "manage" => PermissionLevel::CanManage,
        _ => s.parse().map_err(|_| "must be read, edit, manage-staging, manage-production or manage")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_by_both_their_names() {
        for (word, wanted) in
            ["read", "edit", "manage-staging", "manage-production", "manage"].iter().zip(PermissionLevel::ALL)
        {
            assert_eq!(level(word), Ok(wanted));
            assert_eq!(level(wanted.as_str()), Ok(wanted));
        }
        assert!(level("admin").is_err());
    }
}
