//! Health checks around a registry: the programs, the user's identity, the repository, the stored files.
//!
//! Each check returns one line and, unless all is well, advice. The content is judged by [`crate::rules::lint`].

use std::path::Path;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Registry, RegistryError};
use crate::artifact::{self, ArtifactLimits, FileEntry, FileLocation, Store, TransferProgress};
use crate::authority;
use crate::entity::settings::Layout;
use crate::format::codec::known_format;
use crate::git::program;
use crate::rules;
use crate::snapshot::Snapshot;
use crate::text::{counted, one_line, with_causes};

/// The number of models from which the sharded layout pays off.
const MANY_MODELS: usize = 500;

/// The number of loose objects from which they should be packed, as in git's own `gc.auto`.
const MANY_LOOSE: usize = 6_700;

/// The number of commits from which walking the history is slow without a commit-graph.
const MANY_COMMITS: u64 = 5_000;

/// The age from which one of git's locks counts as left behind by a killed process.
const OLD_LOCK: Duration = Duration::from_secs(600);

/// The largest number of files that are searched for missing group permissions.
#[cfg(unix)]
const MANY_KEPT: usize = 100;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "State")]
pub enum CheckState {
    /// All is well.
    Ok,
    /// It works, but could be better.
    Warn,
    /// It does not work, or soon will not.
    Fail,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// The name of the check; stable, for programs.
    pub name: &'static str,
    /// Whether all is well.
    pub state: CheckState,
    /// The finding, in one line.
    pub message: String,
    /// The advice; empty if all is well.
    pub help: String,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, state: CheckState::Ok, message: message.into(), help: String::new() }
    }

    fn warn(name: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name, state: CheckState::Warn, message: message.into(), help: help.into() }
    }

    fn fail(name: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name, state: CheckState::Fail, message: message.into(), help: help.into() }
    }
}

/// Runs the checks that need no registry: the programs.
pub fn programs(dir: &Path) -> Vec<Check> {
    let text = |bytes: Vec<u8>| one_line(String::from_utf8_lossy(&bytes).trim()).into_owned();
    let git = match program::ask(dir, ["--version"]) {
        Ok(said) => of_version(&text(said)),
        Err(why) => Check::fail("git", why, "install git; greenroom needs it to list files, push and tidy up"),
    };
    let lfs = match program::ask(dir, ["lfs", "version"]) {
        Ok(said) => match program::ask(dir, ["config", "--get", "filter.lfs.clean"]) {
            Ok(_) => Check::ok("git-lfs", text(said)),
            Err(_) => Check::warn("git-lfs", "git-lfs is not set up for this user", "git lfs install"),
        },
        Err(_) => {
            let help = "install git-lfs (Debian: apt install git-lfs), then `git lfs install`";
            Check::warn("git-lfs", "git-lfs is missing, so the files of models cannot be pushed or pulled", help)
        }
    };
    vec![git, lfs]
}

/// The oldest git that greenroom fully supports, see README.
const OLDEST_GIT: (u32, u32) = (2, 41);

/// Checks whether git is new enough, from the output of `git --version`.
fn of_version(said: &str) -> Check {
    let number = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let mut parts = number.unwrap_or_default().split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST_GIT => {
            let (major, minor) = OLDEST_GIT;
            let message =
                format!("{said} is older than {major}.{minor}, the oldest version that greenroom fully supports");
            Check::warn("git", message, format!("install git {major}.{minor} or newer"))
        }
        (Some(_), Some(_)) => Check::ok("git", said),
        (Some(_) | None, None) | (None, Some(_)) => {
            Check::warn("git", format!("{said} is not a version of git"), "install an official release of git")
        }
    }
}

impl Registry {
    /// Runs all checks of a registry, in reading order. With `verify`, every stored byte is read.
    ///
    /// # Errors
    /// [`RegistryError`] if the newest snapshot cannot be read. A check that fails is a result, not an error.
    pub fn health(&self, verify: bool, progress: TransferProgress<'_>) -> Result<Vec<Check>, RegistryError> {
        let state = self.snapshot()?;
        Ok(vec![
            told("identity", self.identity(&state)),
            told("format", format(&state)),
            told("layout", layout(&state)),
            told("content", content(&state)),
            told("history", self.history()),
            self.objects(),
            self.locks(),
            told("files", self.files(&state, verify, progress)),
            self.secrets(),
            self.sharing(),
        ])
    }

    fn identity(&self, state: &Snapshot<'_>) -> Result<Check, RegistryError> {
        let name = "identity";
        let (author, _) = match self.repo.identity() {
            Ok(found) => found,
            Err(e) => return Ok(Check::fail(name, "git does not know who you are", e.to_string())),
        };
        let shown = one_line(&format!("{} <{}>", author.name, author.email)).into_owned();
        let known = match self.person_of(state, &author) {
            Ok(user) => state.person(&user)?.map(|_| user),
            Err(_) => None,
        };
        Ok(match (known, authority::unread(state)?) {
            (Some(user), _) => Check::ok(name, format!("{shown} is {user}")),
            (None, Some(problem)) => {
                let message = format!("{} cannot be read, so it is not certain which person {shown} is", problem.path);
                Check::fail(name, message, "greenroom check lists the faults of the file")
            }
            (None, None) => {
                let help = "an administrator can add the person: greenroom person add ID --email ADDRESS";
                Check::warn(name, format!("{shown} is not a person of this registry"), help)
            }
        })
    }

    fn history(&self) -> Result<Check, RegistryError> {
        let name = "history";
        if self.repo.is_shallow()? {
            let help = "git fetch --unshallow";
            return Ok(Check::fail(name, "the clone is shallow: the older history is not available", help));
        }
        if let Some(remote) = self.repo.promisor() {
            let tip: Vec<_> = self.head()?.into_iter().collect();
            let missing = self.repo.left_out(&tip, &[], self.at())?.len();
            if missing > 0 {
                let message = format!("the clone is partial: {missing} objects of the registry are not here");
                return Ok(Check::warn(
                    name,
                    message,
                    format!("git fetch --refetch --no-filter {}", one_line(&remote)),
                ));
            }
        }
        let dir = self.repo.common_dir();
        // The common git folder has the commits of a linked work tree.
        let git_dir = format!("--git-dir={}", dir.display());
        let tip = self.head()?.map_or_else(|| self.branch().to_owned(), |tip| tip.to_string());
        let counted = program::ask(dir, [&git_dir, "rev-list", "--count", tip.as_str()]);
        let count = |n: Vec<u8>| String::from_utf8_lossy(&n).trim().parse::<u64>().map_err(|e| e.to_string());
        let commits = match counted.and_then(count) {
            Ok(commits) => commits,
            Err(why) => return Ok(Check::fail(name, format!("git cannot count the commits: {why}"), "git fsck")),
        };
        let graph = ["objects/info/commit-graph", "objects/info/commit-graphs"].iter().any(|p| dir.join(p).exists());
        if commits >= MANY_COMMITS && !graph {
            let help = "git commit-graph write --reachable, or permanently: git maintenance start";
            return Ok(Check::warn(name, format!("{commits} commits and no commit-graph: the log is slow"), help));
        }
        let unit = if commits == 1 { "commit" } else { "commits" };
        Ok(Check::ok(name, format!("{commits} {unit} on {}", one_line(self.branch.trim_start_matches("refs/heads/")))))
    }

    fn objects(&self) -> Check {
        let folder = self.repo.common_dir().join("objects");
        let count = |dir: &Path, end: &str| {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.filter(|e| e.file_name().to_string_lossy().ends_with(end)).count()
        };
        let loose: usize = (0..=255_u8).map(|b| count(&folder.join(format!("{b:02x}")), "")).sum();
        let packs = count(&folder.join("pack"), ".pack");
        let message = format!("{loose} loose objects, {packs} packs");
        if loose >= MANY_LOOSE || packs >= 50 {
            return Check::warn("objects", message, "git maintenance run, or permanently: git maintenance start");
        }
        Check::ok("objects", message)
    }

    fn locks(&self) -> Check {
        let mut old = Vec::new();
        for dir in [self.repo.git_dir(), self.repo.common_dir(), &self.repo.common_dir().join("refs")] {
            old_locks(dir, 0, dir.ends_with("refs"), &mut old);
        }
        old.sort();
        old.dedup();
        if old.is_empty() {
            return Check::ok("locks", "no old lock files");
        }
        let help = format!("if no git process runs here: rm {}", old.join(" "));
        Check::fail("locks", format!("{} older than ten minutes", counted(old.len(), "lock")), help)
    }

    /// Checks that the store has the files of the newest snapshot's pointers.
    fn files(
        &self,
        state: &Snapshot<'_>,
        verify: bool,
        progress: TransferProgress<'_>,
    ) -> Result<Check, RegistryError> {
        let name = "files";
        let store = Store::at(self.repo.lfs_dir());
        let swept = store.sweep(std::time::SystemTime::now());
        let (mut files, mut unreadable) = (Vec::<FileEntry<FileLocation>>::new(), Vec::new());
        for model in state.models()? {
            for version in model.versions()? {
                let Some(tree) = version.artifacts()? else { continue };
                match artifact::list(&self.repo, &tree, &ArtifactLimits::default()) {
                    Ok(found) => files.extend(found.into_iter().filter(|f| f.place == FileLocation::Stored)),
                    Err(e) => unreadable.push(format!("{}: {e}", version.path)),
                }
            }
        }
        if let Some(first) = unreadable.first() {
            let message =
                format!("the files of {} cannot be listed; the first: {first}", counted(unreadable.len(), "version"));
            return Ok(Check::fail(name, one_line(&message), "greenroom check; git fsck"));
        }
        files.sort_by(|a, b| a.sha256.cmp(&b.sha256));
        files.dedup_by(|a, b| a.sha256 == b.sha256);
        let missing = artifact::missing(&files, &store);
        if verify {
            files.retain(|f| store.has(&f.sha256, f.size));
            if let Some((file, e)) = artifact::verify(&files, &store, progress).first() {
                let message = one_line(&format!("{}: {e}", file.path)).into_owned();
                return Ok(Check::fail(
                    name,
                    message,
                    "restore the file from a backup, or fetch it again with `git lfs fetch`",
                ));
            }
        }
        let stored = files.len();
        if !missing.is_empty() {
            let message = format!("not on this machine: {} of the stored files", missing.len());
            return Ok(Check::warn(name, message, "git lfs fetch"));
        }
        let how = if verify { ", every byte verified" } else { "" };
        let left = match swept {
            0 => String::new(),
            n => format!("; removed {n} unfinished files of interrupted registrations"),
        };
        Ok(Check::ok(name, format!("{stored} stored files, all here{how}{left}")))
    }

    #[cfg(unix)]
    fn secrets(&self) -> Check {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |p: &Path| std::fs::metadata(p).ok().map(|m| m.permissions().mode() & 0o777);
        let folder = self.state_dir();
        let secrets = folder.join("secrets.toml");
        if mode(&folder).is_some_and(|m| m & 0o002 != 0) {
            let help = format!("chmod o-w {}", one_line(&folder.to_string_lossy()));
            return Check::fail("secrets", "all users of this machine may write to greenroom's own folder", help);
        }
        match mode(&secrets) {
            Some(m) if m & 0o077 != 0 => {
                let help = format!("chmod 600 {}", one_line(&secrets.to_string_lossy()));
                Check::fail("secrets", "other users of this machine may read secrets.toml", help)
            }
            Some(_) => Check::ok("secrets", "only you may read the secrets"),
            None => Check::ok("secrets", "no secrets are stored here"),
        }
    }

    /// Checks that all accounts that share the repository can write to it.
    #[cfg(unix)]
    fn sharing(&self) -> Check {
        let name = "sharing";
        if !self.repo.is_shared() {
            return Check::ok(name, "one account writes to the repository");
        }
        let (common, mut kept) = (self.repo.common_dir(), Vec::new());
        for folder in ["refs", "logs", "greenroom/index", "lfs/objects", "lfs/incoming"] {
            kept_from_group(&common.join(folder), 0, &mut kept);
        }
        let lock = self.state_dir().join("lock");
        let writes = |m: std::fs::Metadata| std::os::unix::fs::PermissionsExt::mode(&m.permissions()) & 0o020 != 0;
        if std::fs::metadata(&lock).is_ok_and(|m| !writes(m)) {
            kept.push(one_line(&lock.to_string_lossy()).into_owned());
        }
        match kept.first() {
            None => Check::ok(name, "the group of the repository may write to it, as core.sharedRepository says"),
            Some(first) => {
                let message = format!(
                    "core.sharedRepository is set, but the group cannot write to {}: {first}",
                    counted(kept.len(), "file")
                );
                let folder = one_line(&common.to_string_lossy()).into_owned();
                let help = format!(
                    "as the owner: chmod -R g+rwX {folder}/refs {folder}/logs, and the same for the other files"
                );
                Check::warn(name, message, help)
            }
        }
    }

    #[cfg(not(unix))]
    fn sharing(&self) -> Check {
        Check::ok("sharing", "not checked on this operating system")
    }

    #[cfg(not(unix))]
    fn secrets(&self) -> Check {
        Check::ok("secrets", "not checked on this operating system")
    }
}

/// Collects files in a shared repository that the group cannot write to.
#[cfg(unix)]
fn kept_from_group(dir: &Path, depth: usize, out: &mut Vec<String>) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
        let mode = meta.permissions().mode();
        // The group needs the owner's permissions, and a folder must pass its group on.
        let wanted = if meta.is_dir() { 0o2070 } else { (mode & 0o600) >> 3 };
        if !meta.is_symlink() && mode & wanted != wanted {
            out.push(one_line(&path.to_string_lossy()).into_owned());
        } else if meta.is_dir() && depth < 16 && out.len() < MANY_KEPT {
            kept_from_group(&path, depth + 1, out);
        }
    }
}

/// Converts an error to a failed check, so that the other checks still run.
fn told(name: &'static str, made: Result<Check, RegistryError>) -> Check {
    let help = "run git fsck to list the damaged objects; fetch them from another clone or restore them from a backup";
    made.unwrap_or_else(|e| Check::fail(name, one_line(&with_causes(&e)).into_owned(), help))
}

fn format(state: &Snapshot<'_>) -> Result<Check, RegistryError> {
    let name = "format";
    Ok(match state.settings()? {
        None => Check::fail(name, "greenroom.toml cannot be read", "greenroom check lists its faults"),
        Some(s) if !known_format(s) => {
            let message = format!("the registry has format {}, which this greenroom does not support", s.format);
            Check::fail(name, message, "use a newer greenroom")
        }
        Some(s) => Check::ok(name, format!("version {}", s.format)),
    })
}

fn layout(state: &Snapshot<'_>) -> Result<Check, RegistryError> {
    let (layout, models) = (state.layout()?, state.models()?.len());
    let unit = if models == 1 { "model" } else { "models" };
    let message = format!("{models} {unit}, {}", layout.as_str());
    Ok(match layout {
        Layout::Flat if models > MANY_MODELS => {
            let help = "greenroom reshard sharded: this keeps commits small and fast with very many models";
            Check::warn("layout", message, help)
        }
        Layout::Flat | Layout::Sharded => Check::ok("layout", message),
    })
}

fn content(state: &Snapshot<'_>) -> Result<Check, RegistryError> {
    let mut faults = rules::lint(state)?.faults;
    faults.extend(artifact::recorded::all(state)?.0);
    Ok(match faults.first() {
        None => Check::ok("content", "all files are valid"),
        Some(first) => {
            let message = format!("{} in the newest commit; the first: {first}", counted(faults.len(), "fault"));
            Check::fail("content", message, "greenroom check lists all faults")
        }
    })
}

/// Collects old lock files in a folder and, for references, in its subfolders.
fn old_locks(dir: &Path, depth: usize, deep: bool, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
        if meta.is_dir() && deep && depth < 16 {
            old_locks(&path, depth + 1, deep, out);
        }
        let age = meta.modified().ok().and_then(|t| SystemTime::now().duration_since(t).ok()).unwrap_or_default();
        if meta.is_file() && path.extension().is_some_and(|e| e == "lock") && age > OLD_LOCK {
            out.push(one_line(&path.to_string_lossy()).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_git_is_told() {
        for good in
            ["git version 2.41.0", "git version 2.47.3", "git version 3.0.0", "git version 2.50.1 (Apple Git-155)"]
        {
            assert_eq!(of_version(good).state, CheckState::Ok, "{good}");
        }
        for old in ["git version 2.39.5", "git version 2.40.0.windows.1", "git version 1.99", "git"] {
            assert_eq!(of_version(old).state, CheckState::Warn, "{old}");
        }
    }
}
