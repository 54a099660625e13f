//! Folders that never become part of a model: a registry, its git folder, and greenroom's own folder in any git folder.
//!
//! A folder is identified by device and inode number, so that no symbolic link, other spelling or bind mount hides it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Stat, statat};

use super::error::ArtifactError;
use super::path::FilePath;
use super::walk::{Root, identity, is_folder};

/// The name of greenroom's folder in a git folder. It holds secrets, tokens and derived data.
const STATE: &str = "greenroom";

/// The largest number of parent folders.
const MAX_DEPTH: usize = 1000;

/// The largest number of folders of a registry that are compared if a mount may hide that a folder lies in it.
const MAX_COMPARED: usize = 200_000;

/// The device and inode number of a folder.
type FolderIdentity = (u64, u64);

/// Folders from which nothing may be registered.
#[derive(Debug, Clone, Default)]
pub struct Guarded {
    folders: Vec<(FolderIdentity, PathBuf)>,
}

impl Guarded {
    /// Guards these folders and everything in them. Folders that do not exist need no guard.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let known = |path: PathBuf| Some((identity(&statat(CWD, &path, AtFlags::empty()).ok()?), path));
        Self { folders: folders.into_iter().filter_map(known).collect() }
    }

    /// Refuses a guarded folder.
    pub(super) fn refuse(&self, id: FolderIdentity, shown: &Path) -> Result<(), ArtifactError> {
        match self.folders.iter().find(|(guarded, _)| *guarded == id) {
            Some((_, registry)) => Err(in_registry(shown, registry)),
            None => Ok(()),
        }
    }

    /// Refuses a folder that lies in a guarded folder, or in greenroom's folder of any repository.
    pub(super) fn refuse_within(&self, root: &Root) -> Result<(), ArtifactError> {
        let real = root.path().canonicalize().map_err(ArtifactError::io("read", root.path()))?;
        self.refuse_real(&real, root.path())?;
        let above = above(root)?;
        above.iter().try_for_each(|id| self.refuse(*id, root.path()))?;
        for (guarded, path) in &self.folders {
            if is_hidden_within(&above, *guarded, path, &real) {
                return Err(in_registry(root.path(), path));
            }
        }
        Ok(())
    }

    /// Refuses a path without links (such as the target of a link) if it is a guarded folder, lies in one, or lies in
    /// greenroom's folder of any repository.
    pub(super) fn refuse_real(&self, real: &Path, shown: &Path) -> Result<(), ArtifactError> {
        for folder in real.ancestors() {
            let is_state = folder.file_name().is_some_and(|name| name == STATE);
            if is_state && folder.parent().is_some_and(|git| is_git_folder(|name| has(git, name))) {
                return Err(in_registry(shown, folder));
            }
            if let Ok(stat) = statat(CWD, folder, AtFlags::SYMLINK_NOFOLLOW) {
                self.refuse(identity(&stat), shown)?;
            }
        }
        Ok(())
    }
}

/// Returns the identities of a folder and its parents, from the inside out.
fn above(root: &Root) -> Result<Vec<FolderIdentity>, ArtifactError> {
    let mut out: Vec<FolderIdentity> = Vec::new();
    let mut path = String::from(".");
    while out.len() < MAX_DEPTH {
        let stat = statat(root.handle(), path.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        let id = identity(&stat.map_err(|e| ArtifactError::io("read a folder above", root.path())(e.into()))?);
        if out.last() == Some(&id) {
            break;
        }
        out.push(id);
        path.push_str("/..");
    }
    Ok(out)
}

/// Whether a folder lies in a guarded folder, but is reached through a mount from outside of it. The guarded folders
/// are searched only if there is a mount in between, which is rare. `above` holds the identities of the folder and its
/// parents.
fn is_hidden_within(above: &[FolderIdentity], guarded: FolderIdentity, path: &Path, real: &Path) -> bool {
    let mounted = real.ancestors().zip(above).find(|(folder, _)| is_mount(folder));
    let Some((_, mount)) = mounted.filter(|(_, (device, _))| *device == guarded.0) else { return false };
    let around = |folder: &Path| statat(CWD, folder, AtFlags::empty()).is_ok_and(|stat| identity(&stat) == *mount);
    if path.canonicalize().is_ok_and(|guarded| guarded.ancestors().any(around)) {
        // Both lie in the mounted folder, so the parents were compared already.
        return false;
    }
    let wanted: BTreeSet<FolderIdentity> = above.iter().take_while(|id| *id != mount).chain([mount]).copied().collect();
    let (mut open, mut seen) = (vec![path.to_owned()], 0);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let below = entry.path();
            let Ok(stat) = statat(CWD, &below, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if !is_folder(&stat) {
                continue;
            }
            seen += 1;
            if wanted.contains(&identity(&stat)) || seen > MAX_COMPARED {
                return true;
            }
            open.push(below);
        }
    }
    false
}

/// Whether a folder is a mount point, other than the root folder.
#[cfg(target_os = "linux")]
fn is_mount(folder: &Path) -> bool {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, folder, AtFlags::empty(), StatxFlags::BASIC_STATS);
    folder.parent().is_some() && found.is_ok_and(|s| s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount(_folder: &Path) -> bool {
    false
}

/// Refuses greenroom's own folder in a git folder, by its parent folder and name.
pub(super) fn refuse_state(folder: &OwnedFd, name: &str, shown: &Path) -> Result<(), ArtifactError> {
    let has = |name: &str| statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    match name == STATE && is_git_folder(has) {
        true => Err(in_registry(shown, shown)),
        false => Ok(()),
    }
}

/// Whether a folder is a git folder, judged by its content.
fn is_git_folder(has: impl Fn(&str) -> Option<Stat>) -> bool {
    has("HEAD").is_some() && has("objects").is_some_and(|s| is_folder(&s)) && has("refs").is_some_and(|s| is_folder(&s))
}

fn has(folder: &Path, name: &str) -> Option<Stat> {
    statat(CWD, folder.join(name), AtFlags::SYMLINK_NOFOLLOW).ok()
}

fn in_registry(folder: &Path, registry: &Path) -> ArtifactError {
    ArtifactError::Registry { path: folder.to_owned(), registry: registry.to_owned() }
}

/// Whether a path leads into greenroom's folder of a repository, judged by the names in it.
pub fn is_state(path: &FilePath) -> bool {
    let is_git = |name: &str| {
        let lower = name.to_ascii_lowercase();
        lower == ".git" || lower.ends_with(".git")
    };
    let segments: Vec<&str> = path.segments().collect();
    segments.windows(2).any(|pair| matches!(pair, [git, state] if is_git(git) && state.eq_ignore_ascii_case(STATE)))
}

/// Refuses received files if one of them lies in greenroom's folder of a repository: by its name, or because the files
/// of a git folder are next to it.
pub(super) fn refuse_states<'p>(paths: impl Iterator<Item = &'p FilePath>) -> Result<(), ArtifactError> {
    let paths: Vec<&FilePath> = paths.collect();
    let named = |path: &str| paths.binary_search_by(|p| p.as_str().cmp(path)).is_ok();
    let heads: Vec<&str> = paths.iter().filter_map(|p| p.as_str().strip_suffix("HEAD")).collect();
    let within = |path: &str| {
        let beside = |folder: &&&str| {
            path.strip_prefix(**folder).is_some_and(|rest| rest.starts_with("greenroom/"))
                && named(&format!("{folder}config"))
        };
        heads.iter().any(|folder| beside(&folder))
    };
    match paths.iter().find(|path| is_state(path) || within(path.as_str())) {
        Some(path) => Err(in_registry(Path::new(path.as_str()), Path::new(path.as_str()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(all: &[&str]) -> Vec<FilePath> {
        let mut out: Vec<FilePath> = all.iter().filter_map(|p| FilePath::new(p).ok()).collect();
        out.sort();
        out
    }

    #[test]
    fn the_folder_of_secrets_is_known_by_its_path() {
        for bad in [
            &[".git/greenroom/secrets.toml"][..],
            &["a/.GIT/Greenroom/x"],
            &["registry.git/greenroom/tokens.toml"],
            &["HEAD", "config", "greenroom/secrets.toml"],
            &["r/HEAD", "r/config", "r/greenroom/index/x"],
        ] {
            assert!(refuse_states(paths(bad).iter()).is_err(), "{bad:?}");
        }
        for good in [&["greenroom/x"][..], &[".git/config", ".git/HEAD"], &["HEAD", "a/greenroom/x", "config"]] {
            assert!(refuse_states(paths(good).iter()).is_ok(), "{good:?}");
        }
    }
}
