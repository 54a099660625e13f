//! Folders that never become part of a model: a registry, its git folder, and greenroom's own folder in any git folder.
//!
//! A folder is known by its device and number, so that no symbolic link, other spelling or bind mount hides it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Stat, statat};

use super::ArtifactError;
use super::path::FilePath;
use super::walk::{Root, identity, is_folder};

/// The name of the folder, in a git folder, in which greenroom keeps secrets, tokens and what it has derived.
const STATE: &str = "greenroom";

/// How many folders lead to one at most.
const MAX_DEPTH: usize = 1000;

/// How many folders of a registry are compared at most where a mount may hide that a folder lies in it.
const MAX_COMPARED: usize = 200_000;

/// Device and number of a folder.
type Identity = (u64, u64);

/// Folders of which nothing is taken in.
#[derive(Debug, Clone, Default)]
pub struct Guarded {
    folders: Vec<(Identity, PathBuf)>,
}

impl Guarded {
    /// These folders and all in them. One that does not exist needs no guard.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let known = |path: PathBuf| Some((identity(&statat(CWD, &path, AtFlags::empty()).ok()?), path));
        Self { folders: folders.into_iter().filter_map(known).collect() }
    }

    /// Refuses a folder that is a guarded one.
    pub(super) fn refuse(&self, id: Identity, shown: &Path) -> Result<(), ArtifactError> {
        match self.folders.iter().find(|(guarded, _)| *guarded == id) {
            Some((_, registry)) => Err(in_registry(shown, registry)),
            None => Ok(()),
        }
    }

    /// Refuses a folder that lies in a guarded one, or in greenroom's folder of any repository.
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

    /// Refuses what lies at a path without links, for instance where a link leads, if it is or lies in a guarded folder, or
    /// in greenroom's folder of any repository.
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

/// The identities of a folder and of those that it lies in, from the inside out.
fn above(root: &Root) -> Result<Vec<Identity>, ArtifactError> {
    let mut out: Vec<Identity> = Vec::new();
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

/// Whether one of some folders lies in a guarded one, but is reached by a mount from outside of it. Only where a mount
/// stands between the two, which is rare, are the guarded folders listed.
fn is_hidden_within(above: &[Identity], guarded: Identity, path: &Path, real: &Path) -> bool {
    let mounted = real.ancestors().zip(above).find(|(folder, _)| is_mount(folder));
    let Some((_, mount)) = mounted.filter(|(_, (device, _))| *device == guarded.0) else { return false };
    let around = |folder: &Path| statat(CWD, folder, AtFlags::empty()).is_ok_and(|stat| identity(&stat) == *mount);
    if path.canonicalize().is_ok_and(|guarded| guarded.ancestors().any(around)) {
        // Both lie in what is mounted, so the folders above tell.
        return false;
    }
    let wanted: BTreeSet<Identity> = above.iter().take_while(|id| *id != mount).chain([mount]).copied().collect();
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

/// Whether something is mounted at a folder, other than the root of all.
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

/// Refuses greenroom's own folder in a git folder, by the folder that it lies in and its name.
pub(super) fn refuse_state(folder: &OwnedFd, name: &str, shown: &Path) -> Result<(), ArtifactError> {
    let has = |name: &str| statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    match name == STATE && is_git_folder(has) {
        true => Err(in_registry(shown, shown)),
        false => Ok(()),
    }
}

/// Whether a folder is one that git keeps a repository in, by what it holds.
fn is_git_folder(has: impl Fn(&str) -> Option<Stat>) -> bool {
    has("HEAD").is_some() && has("objects").is_some_and(|s| is_folder(&s)) && has("refs").is_some_and(|s| is_folder(&s))
}

fn has(folder: &Path, name: &str) -> Option<Stat> {
    statat(CWD, folder.join(name), AtFlags::SYMLINK_NOFOLLOW).ok()
}

fn in_registry(folder: &Path, registry: &Path) -> ArtifactError {
    ArtifactError::Registry { path: folder.to_owned(), registry: registry.to_owned() }
}

/// Whether a path, by its names alone, leads into greenroom's folder of a repository.
pub fn is_state(path: &FilePath) -> bool {
    let is_git = |name: &str| {
        let lower = name.to_ascii_lowercase();
        lower == ".git" || lower.ends_with(".git")
    };
    let segments: Vec<&str> = path.segments().collect();
    segments.windows(2).any(|pair| matches!(pair, [git, state] if is_git(git) && state.eq_ignore_ascii_case(STATE)))
}

/// Refuses files that come from elsewhere if one of them lies in greenroom's folder of a repository: by its name, or
/// beside the files of a git folder.
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
