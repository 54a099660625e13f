//! Which files of models have not been sent to the remote that their pointers are pushed to.
//!
//! Where the remote is on this machine its store is asked. Elsewhere the note of the pre-push hook counts: all files of a
//! commit that is noted have arrived, and so have those that the repository was cloned with.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Registry, RegistryError};
use crate::artifact::{self, FileEntry, Limits, Place, Store};
use crate::format::MAX_FILE;
use crate::git::{Remote, Repo};
use crate::snapshot::{Snapshot, VersionView};
use crate::text::one_line;
use crate::tree::Objects as _;
use crate::tree::Oid;

/// The file in which the pre-push hook notes what was sent: lines of the hash of a URL and a commit.
pub const RECORD: &str = "sent";

/// The most bytes that are read of that file, from its end.
const MAX_RECORD: u64 = 64 << 10;

/// How many of the newest notes of a remote are looked at.
const MAX_TIPS: usize = 20;

/// How clones treat missing files, by the `.lfsconfig` at the root of the newest commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LfsConfig {
    /// They are told, and the clone ends well.
    Lenient,
    /// The clone fails.
    Strict,
}

/// How clones of the newest state treat files that are missing on the remote.
pub fn lfs_config(registry: &Registry) -> Result<LfsConfig, RegistryError> {
    let Some(commit) = registry.head()? else { return Ok(LfsConfig::Strict) };
    let root = Snapshot::new(&registry.repo, Some(registry.repo.tree_of(&commit)?), "")?;
    let Some(entry) = root.entry(".lfsconfig")?.filter(|e| e.kind.is_file()) else { return Ok(LfsConfig::Strict) };
    let text = registry.repo.blob(&entry.id, MAX_FILE)?;
    let set = registry.repo.setting_in(&text, "lfs.skipdownloaderrors");
    Ok(if set == Some(true) { LfsConfig::Lenient } else { LfsConfig::Strict })
}

/// What is still to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// The remote.
    pub remote: String,
    /// How many different stored files.
    pub files: usize,
    /// The versions that have such files, as `model/number`.
    pub versions: Vec<String>,
}

/// How it is known what a remote has.
enum Arrived<'r> {
    /// Its own store.
    Store(Store),
    /// Commits whose files have arrived.
    Commits(Vec<Snapshot<'r>>),
}

impl Registry {
    /// The stored files of the newest state that are here and have not been sent to the remote that a push goes to; none
    /// where there is no remote.
    ///
    /// With `by_git_lfs` a hook of git-lfs sends the files, which notes nothing: what the remote's branches were pushed
    /// with counts as sent.
    pub fn unsent(&self, by_git_lfs: bool) -> Result<Option<Unsent>, RegistryError> {
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
        Ok(Some(Unsent { remote: remote.name, files: files.len(), versions }))
    }

    /// The stored files of a version that are here and have not arrived.
    fn left(
        &self,
        version: &VersionView<'_>,
        here: &Store,
        arrived: &Arrived<'_>,
    ) -> Result<Vec<FileEntry<Place>>, RegistryError> {
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
        // What cannot be listed is told by another check.
        let Ok(mut files) = artifact::list(&self.repo, &tree, &Limits::default()) else { return Ok(Vec::new()) };
        files.retain(|f| f.place == Place::Stored && here.has(&f.sha256, f.size));
        if let Arrived::Store(far) = arrived {
            files.retain(|f| !far.has(&f.sha256, f.size));
        }
        Ok(files)
    }

    /// The states whose files have all arrived at a remote, the newest first.
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

/// The newest commits that are noted for a remote. A file that cannot be read notes nothing.
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
