//! Model files that were not sent to the remote that their pointers are pushed to.
//!
//! If the remote is on this machine, its store is checked. Elsewhere the notes of the pre-push hook count: all files of
//! a noted commit have arrived, and so have the files that the repository was cloned with.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Registry, RegistryError};
use crate::artifact::{self, ArtifactLimits, FileEntry, FileLocation, Store};
use crate::format::MAX_FILE;
use crate::git::{Remote, Repo};
use crate::snapshot::{Snapshot, VersionView};
use crate::text::one_line;
use crate::tree::Objects as _;
use crate::tree::Oid;

/// The file in which the pre-push hook notes sent commits: lines with the hash of a URL and a commit id.
pub const RECORD: &str = "sent";

/// How many bytes of that file are read, from its end.
const MAX_RECORD: u64 = 64 << 10;

/// The largest number of noted commits of a remote that are compared.
const MAX_TIPS: usize = 20;

/// How clones handle missing files, according to `.lfsconfig` at the root of the newest commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LfsConfig {
    /// The clone reports them and succeeds.
    Lenient,
    /// The clone fails.
    Strict,
}

/// Returns how clones of the newest commit handle files that are missing on the remote.
///
/// # Errors
/// [`RegistryError`] if an object cannot be read.
pub fn lfs_config(registry: &Registry) -> Result<LfsConfig, RegistryError> {
    let Some(commit) = registry.head()? else { return Ok(LfsConfig::Strict) };
    let root = Snapshot::new(&registry.repo, Some(registry.repo.tree_of(&commit)?), "")?;
    let Some(entry) = root.entry(".lfsconfig")?.filter(|e| e.kind.is_file()) else { return Ok(LfsConfig::Strict) };
    let text = registry.repo.blob(&entry.id, MAX_FILE)?;
    let set = registry.repo.setting_in(&text, "lfs.skipdownloaderrors");
    Ok(if set == Some(true) { LfsConfig::Lenient } else { LfsConfig::Strict })
}

/// The files that are still to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsentFiles {
    /// The name of the remote.
    pub remote: String,
    /// The number of different stored files.
    pub files: usize,
    /// The versions with such files, as `model/number`.
    pub versions: Vec<String>,
}

/// How it is determined which files a remote has.
enum Arrived<'r> {
    /// By the remote's own store.
    Store(Store),
    /// By commits whose files have arrived.
    Commits(Vec<Snapshot<'r>>),
}

impl Registry {
    /// Returns the stored files of the newest commit that are here and were not sent to the push remote; `None` if
    /// there is no remote.
    ///
    /// With `by_git_lfs` a hook of git-lfs sends the files and notes nothing. Then everything that was pushed to the
    /// remote's branches counts as sent.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry or the notes cannot be read.
    pub fn unsent(&self, by_git_lfs: bool) -> Result<Option<UnsentFiles>, RegistryError> {
        let Some(remote) = self.repo.push_remote(&self.branch) else { return Ok(None) };
        let arrived = match remote.folder().and_then(|folder| Repo::open(&folder).ok()) {
            Some(far) => Arrived::Store(Store::at(far.lfs_dir())),
            None => Arrived::Commits(self.sent_states(&remote, by_git_lfs)?),
        };
        let here = Store::at(self.repo.lfs_dir());
        let (mut files, mut versions) = (BTreeSet::new(), Vec::new());
        for model in self.snapshot()?.models()? {
            for version in model.versions()? {
                let left = self.left(&version, &here, &arrived)?;
                if !left.is_empty() {
                    let name = model.dir.name().map_or_else(|| model.path.clone(), |n| n.to_string());
                    versions.push(one_line(&format!("{name}/{}", version.number)).into_owned());
                    files.extend(left.into_iter().map(|f| f.sha256));
                }
            }
        }
        Ok(Some(UnsentFiles { remote: remote.name, files: files.len(), versions }))
    }

    /// Returns the stored files of a version that are here and have not arrived.
    fn left(
        &self,
        version: &VersionView<'_>,
        here: &Store,
        arrived: &Arrived<'_>,
    ) -> Result<Vec<FileEntry<FileLocation>>, RegistryError> {
        let Some(tree) = version.artifacts()? else { return Ok(Vec::new()) };
        if let Arrived::Commits(states) = arrived {
            let folder = format!("{}/artifacts", version.path.trim_end_matches('/'));
            for state in states {
                let inner = folder.strip_prefix(state.at()).unwrap_or(&folder);
                if state.entry(inner)?.is_some_and(|e| e.id == tree) {
                    return Ok(Vec::new());
                }
            }
        }
        // Another check reports files that cannot be listed.
        let Ok(mut files) = artifact::list(&self.repo, &tree, &ArtifactLimits::default()) else {
            return Ok(Vec::new());
        };
        files.retain(|f| f.place == FileLocation::Stored && here.has(&f.sha256, f.size));
        if let Arrived::Store(far) = arrived {
            files.retain(|f| !far.has(&f.sha256, f.size));
        }
        Ok(files)
    }

    /// Returns the snapshots whose files have all arrived at a remote, newest first.
    fn sent_states(&self, remote: &Remote, by_git_lfs: bool) -> Result<Vec<Snapshot<'_>>, RegistryError> {
        let mut commits = Vec::new();
        if let Some(key) = self.repo.remote_key(remote) {
            commits = noted(&self.state_dir().join(RECORD), &key);
        }
        commits.extend(self.repo.cloned_at()?);
        if by_git_lfs {
            let branches = format!("refs/remotes/{}/", remote.name);
            let tips = self.repo.tips()?.into_iter().filter(|(name, _)| name.starts_with(&branches));
            commits.extend(tips.map(|(_, commit)| commit).take(MAX_TIPS));
        }
        let known = commits.into_iter().filter(|c| self.repo.has(c));
        known.map(|c| self.snapshot_of(Some(c))).collect()
    }
}

/// Returns the newest noted commits of a remote. An unreadable file counts as empty.
fn noted(record: &Path, key: &Oid) -> Vec<Oid> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut text = String::new();
    let read = std::fs::File::open(record).and_then(|mut file| {
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(MAX_RECORD)))?;
        file.take(MAX_RECORD).read_to_string(&mut text)
    });
    if read.is_err() {
        return Vec::new();
    }
    let prefix = format!("{key} ");
    let ids = text.lines().rev().filter_map(|line| Oid::from_hex(line.strip_prefix(&prefix)?.trim()));
    let mut out: Vec<Oid> = Vec::new();
    for id in ids {
        if !out.contains(&id) {
            out.push(id);
        }
        if out.len() == MAX_TIPS {
            break;
        }
    }
    out
}
