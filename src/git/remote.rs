//! The remote that a push goes to, and the commit that a clone started from.

use std::path::PathBuf;

use gix::bstr::ByteSlice as _;

use super::{GitError, Repo, program};
use crate::tree::Oid;

/// A remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The name in the settings, such as `origin`.
    pub name: String,
    /// The URL for pushes. It may contain a password, so it is never shown.
    url: String,
}

impl Remote {
    /// Returns the folder of the remote repository, if it is on this machine.
    pub fn folder(&self) -> Option<PathBuf> {
        let url = gix::url::parse(self.url.as_bytes().as_bstr()).ok()?;
        (url.scheme == gix::url::Scheme::File).then(|| gix::path::from_bstr(url.path).ok().map(|p| p.into_owned()))?
    }
}

/// The branch of a remote that a branch is pushed to, as it was when it was last seen here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Its name as people write it: `origin/main`.
    pub name: String,
    /// Its newest commit.
    pub commit: Oid,
    /// The main branch of that remote, in the same way.
    pub main: String,
    /// Whether the branch here is that main one: it has its name and is pushed to it.
    pub is_main: bool,
}

impl Repo {
    /// The branch of a remote that a branch (in full) is pushed to: the one that its settings name, else the one of its
    /// name; none if it was never seen here.
    pub fn tracked(&self, branch: &str) -> Result<Option<Tracked>, GitError> {
        const REMOTES: &str = "refs/remotes/";
        let Some(short) = branch.strip_prefix("refs/heads/").filter(|_| self.has_remote()) else { return Ok(None) };
        let full = gix::refs::FullName::try_from(branch).ok();
        let set = full.and_then(|full| {
            self.inner.branch_remote_tracking_ref_name(full.as_ref(), gix::remote::Direction::Fetch)?.ok()
        });
        let set = set.map(|name| name.as_bstr().to_string()).filter(|name| name.starts_with(REMOTES));
        let set = match set {
            Some(name) if self.reference(&name)?.is_some() => Some(name),
            Some(_) | None => self.push_remote(branch).map(|remote| format!("{REMOTES}{}/{short}", remote.name)),
        };
        let Some(name) = set else { return Ok(None) };
        let Some(remote) = name.strip_prefix(REMOTES).and_then(|n| n.split('/').next()) else { return Ok(None) };
        let head = format!("{REMOTES}{remote}/HEAD");
        let what = || format!("read the reference {head}");
        let head = self.inner.try_find_reference(&head).map_err(|e| GitError::git(what(), e))?;
        let main = head.and_then(|head| Some(head.target().try_name()?.as_bstr().to_string()));
        let shown = |name: &str| name.strip_prefix(REMOTES).unwrap_or(name).to_owned();
        let own = format!("{REMOTES}{remote}/{short}");
        let is_main = name == own && main.as_ref().is_none_or(|main| *main == name);
        // A branch that was never pushed begins at the main one.
        let (seen, name) = match (self.reference(&name)?, &main) {
            (None, Some(main)) => (self.reference(main)?, main.clone()),
            (found, _) => (found, name),
        };
        let main = shown(main.as_deref().unwrap_or(&name));
        Ok(seen.map(|commit| Tracked { name: shown(&name), commit, main, is_main }))
    }

    /// Returns whether the repository has a remote.
    pub fn has_remote(&self) -> bool {
        self.inner.config_snapshot().plumbing().sections_by_name("remote").into_iter().flatten().next().is_some()
    }

    /// Whether the repository belongs to this user, has a work tree and has a remote.
    pub fn is_own_clone(&self) -> bool {
        #[cfg(unix)]
        let own = std::fs::metadata(&self.common_dir)
            .is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == rustix::process::geteuid().as_raw());
        #[cfg(not(unix))]
        let own = true;
        own && self.inner.workdir().is_some() && self.has_remote()
    }

    /// Returns the remote that `git push` uses on a branch (full name), chosen as git chooses it; `None` if there is
    /// none.
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
            // A relative path is relative to the work tree.
            url = folder.join(&url).canonicalize().ok()?.to_str()?.to_owned();
        }
        Some(Remote { name, url })
    }

    /// Returns whether `git pull` on a branch (its full name) rebases the commits of this repository instead of merging.
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

    /// Returns the key by which the pre-push hook notes a remote: a hash of its URL as git passes it to hooks.
    pub fn remote_key(&self, remote: &Remote) -> Option<Oid> {
        let folder = self.work_dir().unwrap_or_else(|| self.git_dir.clone());
        let said = program::ask(&folder, ["remote", "get-url", "--push", "--", &remote.name]).ok()?;
        let url = said.trim_end();
        gix::objs::compute_hash(self.inner.object_hash(), gix::objs::Kind::Blob, url).ok().map(super::oid)
    }

    /// Returns the commit that the repository was cloned at, from HEAD's log; `None` if it was not cloned.
    ///
    /// # Errors
    /// [`GitError::Io`] if the log is unreadable.
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

    /// Whether the index has files below a folder of the work tree.
    ///
    /// # Errors
    /// [`GitError`] if the index is unreadable.
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
