//! Where registries lie in a repository.

use crate::git::Repo;
use crate::snapshot::Snapshot;
use crate::tree::{Kind, Objects as _, Oid, TreeError};

/// Folders of a registry's own, in which no other registry lies.
const OWN: [&str; 5] = ["models", "people", "webhooks", ".greenroom", ".github"];

/// The folders that the settings of a repository name.
pub(super) fn named(repo: &Repo) -> Vec<String> {
    let slash = |at: String| format!("{}/", at.trim_matches('/'));
    repo.own_settings("greenroom.registry").into_iter().map(slash).collect()
}

/// The registries of a tree: at its root, in a folder at the top, or in one of the folders that a setting names. Each
/// is empty for the root, or ends in a slash.
pub(super) fn of(repo: &Repo, root: Option<Oid>, named: &[String]) -> Result<Vec<String>, TreeError> {
    let Some(root) = root else { return Ok(Vec::new()) };
    let holds = |at: &str| -> Result<bool, TreeError> {
        Ok(Snapshot::new(repo, Some(root), at)?.entry("greenroom.toml")?.is_some())
    };
    let mut out = Vec::new();
    let at_root = holds("")?;
    if at_root {
        out.push(String::new());
    }
    for entry in repo.tree(&root)?.iter().filter(|e| e.kind == Kind::Tree) {
        let own = at_root && OWN.contains(&entry.name.as_str());
        let at = format!("{}/", entry.name);
        if !own && holds(&at)? {
            out.push(at);
        }
    }
    for at in named {
        if !out.contains(at) && holds(at)? {
            out.push(at.clone());
        }
    }
    Ok(out)
}
