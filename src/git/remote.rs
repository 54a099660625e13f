//! The remote that a push goes to, and the commit that a clone started from.

use std::path::PathBuf;

use gix::bstr::ByteSlice as _;

use super::{GitError, Repo, program};
use crate::tree::Oid;

/// The largest part of a reference's log that is read, in bytes.
const MAX_LOG: u64 = 16 << 20;

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

/// The branch of a remote that a branch is compared with, as it was when it was last seen here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Its name as people write it: `origin/main`.
    pub name: String,
    /// Its full name: `refs/remotes/origin/main`.
    pub reference: String,
    /// Its newest commit.
    pub commit: Oid,
    /// The main branch of that remote, as people write it.
    pub main: String,
    /// Whether it has the name of the branch here.
    pub has_its_name: bool,
    /// Whether the branch here is the main one: it has its name and is pushed to it.
    pub is_main: bool,
    /// The same branch of other remotes, else their main branches, each with its newest commit.
    pub others: Vec<(String, Oid)>,
}

/// Where git keeps the branches of remotes.
const REMOTES: &str = "refs/remotes/";

/// The usual names of a main branch, where a remote's HEAD is unknown here: only a clone records it.
const MAIN: [&str; 2] = ["main", "master"];

impl Repo {
    /// Returns the branch of a remote that a branch (full name, or `HEAD` if it is detached) is compared with. That is
    /// the one that its settings name, else the one of its name, else the main branch of the remote to which it is
    /// pushed, else that of any other remote. `None` if no such branch was ever fetched.
    ///
    /// # Errors
    /// [`GitError`] if a reference is unreadable.
    pub fn tracked(&self, branch: &str) -> Result<Option<Tracked>, GitError> {
        let short = branch.strip_prefix("refs/heads/");
        let remotes = self.remotes_of(branch);
        let Some((name, commit)) = self.seen_as(branch, short, &remotes)? else { return Ok(None) };
        let shown = |name: &str| name.strip_prefix(REMOTES).unwrap_or(name).to_owned();
        let of_remote = |remote: &str| name.strip_prefix(REMOTES).is_some_and(|n| n.starts_with(&format!("{remote}/")));
        let main = match remotes.iter().find(|remote| of_remote(remote)) {
            Some(remote) => self.main_of(remote)?,
            None => None,
        };
        let has_its_name = short.is_some_and(|short| remotes.iter().any(|r| name == format!("{REMOTES}{r}/{short}")));
        let is_main = has_its_name && main.as_ref().is_none_or(|main| *main == name);
        let mut others = Vec::new();
        for remote in remotes.iter().filter(|remote| !of_remote(remote)) {
            let same = short.map(|short| format!("{REMOTES}{remote}/{short}"));
            for other in same.into_iter().chain(self.main_of(remote)?) {
                if let Some(commit) = self.reference(&other)? {
                    others.push((shown(&other), commit));
                    break;
                }
            }
        }
        let main = match main {
            Some(main) => main,
            None => self.first_main(&remotes)?.unwrap_or_else(|| name.clone()),
        };
        let (shown, main) = (shown(&name), shown(&main));
        Ok(Some(Tracked { name: shown, reference: name, commit, main, has_its_name, is_main, others }))
    }

    /// Returns the reference that [`Self::tracked`] finds, with its commit.
    fn seen_as(
        &self,
        branch: &str,
        short: Option<&str>,
        remotes: &[String],
    ) -> Result<Option<(String, Oid)>, GitError> {
        let full = gix::refs::FullName::try_from(branch).ok().filter(|_| short.is_some());
        let set = full.and_then(|full| {
            self.inner.branch_remote_tracking_ref_name(full.as_ref(), gix::remote::Direction::Fetch)?.ok()
        });
        // The upstream may also be a branch of this repository, which nobody fetches.
        let set = set.map(|name| name.as_bstr().to_string()).filter(|name| name.starts_with(REMOTES));
        let own = short.into_iter().flat_map(|short| remotes.iter().map(move |r| format!("{REMOTES}{r}/{short}")));
        for name in set.into_iter().chain(own) {
            if let Some(commit) = self.reference(&name)? {
                return Ok(Some((name, commit)));
            }
        }
        // A branch that was never pushed begins at the main one.
        let Some(main) = self.first_main(remotes)? else { return Ok(None) };
        Ok(self.reference(&main)?.map(|commit| (main, commit)))
    }

    /// Returns the main branch (full name) of a remote, as far as it was fetched: the one that its HEAD names, else one
    /// with a usual name.
    fn main_of(&self, remote: &str) -> Result<Option<String>, GitError> {
        let head = format!("{REMOTES}{remote}/HEAD");
        let what = || format!("read the reference {head}");
        let head = self.inner.try_find_reference(&head).map_err(|e| GitError::git(what(), e))?;
        let named = head.and_then(|head| Some(head.target().try_name()?.as_bstr().to_string()));
        for name in named.into_iter().chain(MAIN.map(|name| format!("{REMOTES}{remote}/{name}"))) {
            if self.reference(&name)?.is_some() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn first_main(&self, remotes: &[String]) -> Result<Option<String>, GitError> {
        for remote in remotes {
            if let Some(main) = self.main_of(remote)? {
                return Ok(Some(main));
            }
        }
        Ok(None)
    }

    /// Returns the names of all remotes: the one to which the branch is pushed first, then `origin`.
    fn remotes_of(&self, branch: &str) -> Vec<String> {
        let mut names: Vec<String> = self.remote_names().into_iter().collect();
        let pushed = self.push_remote(branch).map(|remote| remote.name);
        names.sort_by_key(|name| (Some(name) != pushed.as_ref(), name != "origin"));
        names
    }

    /// Returns the names of all remotes in alphabetical order.
    pub fn remote_names(&self) -> std::collections::BTreeSet<String> {
        let settings = self.inner.config_snapshot();
        let sections = settings.plumbing().sections_by_name("remote").into_iter().flatten();
        sections.filter_map(|s| s.header().subsection_name().map(|n| n.to_str_lossy().into_owned())).collect()
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
        let named = self.remote_names();
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

    /// Returns the commits to which a reference (full name) pointed, newest first, by the log that git keeps of it here;
    /// at most `max`. The list is empty without a log.
    ///
    /// # Errors
    /// [`GitError::Io`] if the log is unreadable.
    pub fn earlier_values(&self, reference: &str, max: usize) -> Result<Vec<Oid>, GitError> {
        use std::io::Read as _;
        let log = self.common_dir().join("logs").join(reference);
        let file = match std::fs::File::open(&log) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(e) => return Err(GitError::io("read", log, e)),
        };
        let mut text = Vec::new();
        file.take(MAX_LOG).read_to_end(&mut text).map_err(|e| GitError::io("read", log, e))?;
        let ids = |line: &[u8]| {
            let mut words =
                line.split(|b| *b == b' ').map(|word| std::str::from_utf8(word).ok().and_then(Oid::from_hex));
            [words.next().flatten(), words.next().flatten()]
        };
        let lines = text.rsplit(|b| *b == b'\n').filter(|line| !line.is_empty());
        let all = lines
            .flat_map(|line| {
                let [old, new] = ids(line);
                [new, old]
            })
            .flatten();
        let is_none = |id: &Oid| id.as_bytes().iter().all(|b| *b == 0);
        let mut out: Vec<Oid> = Vec::new();
        for id in all.filter(|id| !is_none(id)) {
            if out.len() == max {
                break;
            }
            if !out.contains(&id) {
                out.push(id);
            }
        }
        Ok(out)
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
