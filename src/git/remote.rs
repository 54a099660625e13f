//! The remote that a push goes to, and where a clone came from.

use std::path::PathBuf;

use gix::bstr::ByteSlice as _;

use super::{GitError, Repo, program};
use crate::tree::Oid;

/// A remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Where a push goes. It may hold a password, so it is never shown.
    url: String,
}

impl Remote {
    /// The folder of the repository, if it is on this machine.
    pub fn folder(&self) -> Option<PathBuf> {
        let url = gix::url::parse(self.url.as_bytes().as_bstr()).ok()?;
        (url.scheme == gix::url::Scheme::File).then(|| gix::path::from_bstr(url.path).ok().map(|p| p.into_owned()))?
    }
}

impl Repo {
    /// Whether the repository knows another one.
    pub fn has_remote(&self) -> bool {
        self.inner.config_snapshot().plumbing().sections_by_name("remote").into_iter().flatten().next().is_some()
    }

    /// Whether it is a work tree of this user's that knows another repository.
    pub fn is_own_clone(&self) -> bool {
        #[cfg(unix)]
        let own = std::fs::metadata(&self.common_dir)
            .is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == rustix::process::geteuid().as_raw());
        #[cfg(not(unix))]
        let own = true;
        own && self.inner.workdir().is_some() && self.has_remote()
    }

    /// The remote that `git push` goes to on a branch (in full), as git chooses it; none if there is none.
    pub fn push_remote(&self, branch: &str) -> Option<Remote> {
        let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        let settings = self.inner.config_snapshot();
        let set = |key: String| settings.string(key.as_str()).map(|v| v.to_string()).filter(|v| !v.is_empty());
        let sections = settings.plumbing().sections_by_name("remote").into_iter().flatten();
        let named = sections.filter_map(|s| s.header().subsection_name().map(|n| n.to_str_lossy().into_owned()));
        let named: std::collections::BTreeSet<String> = named.collect();
        let chosen = set(format!("branch.{short}.pushRemote"))
            .or_else(|| set("remote.pushDefault".to_owned()))
            .or_else(|| set(format!("branch.{short}.remote")))
            .or_else(|| named.first().filter(|_| named.len() == 1).cloned())
            .unwrap_or_else(|| "origin".to_owned());
        let name = named.contains(&chosen).then_some(chosen)?;
        let folder = self.work_dir().unwrap_or_else(|| self.git_dir.clone());
        let said = program::ask(&folder, ["remote", "get-url", "--push", "--", &name]).ok()?;
        let mut url = String::from_utf8(said).ok()?.trim_end().to_owned();
        if !url.contains(':') && !url.starts_with('/') {
            // A relative path is one from the work tree.
            url = folder.join(&url).canonicalize().ok()?.to_str()?.to_owned();
        }
        Some(Remote { name, url })
    }

    /// Whether `git pull` on a branch (in full) puts commits of this repository on top of what it fetches, and makes no merge.
    pub fn rebases_on_pull(&self, branch: &str) -> bool {
        let short = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        let settings = self.inner.config_snapshot();
        let key = format!("branch.{short}.rebase");
        let set = settings.string(key.as_str()).or_else(|| settings.string("pull.rebase"));
        // A key without a value is read as true.
        set.is_some_and(|value| {
            !["false", "no", "off", "0"].iter().any(|off| value.eq_ignore_ascii_case(off.as_bytes()))
        })
    }

    /// By what the pre-push hook notes a remote: a hash of its URL as git hands it to hooks.
    pub fn remote_key(&self, remote: &Remote) -> Option<Oid> {
        let folder = self.work_dir().unwrap_or_else(|| self.git_dir.clone());
        let said = program::ask(&folder, ["remote", "get-url", "--push", "--", &remote.name]).ok()?;
        let url = said.trim_end();
        gix::objs::compute_hash(self.inner.object_hash(), gix::objs::Kind::Blob, url).ok().map(super::oid)
    }

    /// The commit that the repository was cloned with, as HEAD's log tells; none if it was not cloned.
    pub fn cloned_at(&self) -> Result<Option<Oid>, GitError> {
        use std::io::BufRead as _;
        let log = self.git_dir().join("logs/HEAD");
        let file = match std::fs::File::open(&log) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(GitError::io("open", log, e)),
        };
        let mut line = Vec::new();
        let read = std::io::BufReader::new(std::io::Read::take(file, 4096)).read_until(b'\n', &mut line);
        read.map_err(|e| GitError::io("read", log, e))?;
        let line = line.to_str_lossy();
        let cloned = line.split_once('\t').is_some_and(|(_, entry)| entry.starts_with("clone: from "));
        Ok(line.split(' ').nth(1).filter(|_| cloned).and_then(Oid::from_hex))
    }

    /// Whether files of a folder in the work tree are committed, or about to be.
    pub fn tracks_folder(&self, folder: &std::path::Path) -> Result<bool, GitError> {
        let Some(root) = self.work_dir() else { return Ok(false) };
        let real = |p: &std::path::Path| p.canonicalize().unwrap_or_else(|_| p.to_owned());
        let (root, folder) = (real(&root), real(folder));
        let inner = folder.strip_prefix(&root).ok().filter(|_| !folder.starts_with(&self.common_dir));
        let Some(inner) = inner.and_then(|p| p.to_str()) else { return Ok(false) };
        let below = format!("{inner}/");
        Ok(self.read_index()?.prefixed_entries(below.as_str().into()).is_some_and(|found| !found.is_empty()))
    }
}
