//! Prepares a new or existing repository for a registry, with the settings that a registry needs.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{GitError, Repo, program};

/// The log of the branch is evidence, so bare repositories keep logs too.
const LOG: &str = "core.logAllRefUpdates";

/// Settings of a bare repository that people push to. Git itself refuses what it can and flushes what it writes.
/// History is never rewound, and pushes can be traced.
const SERVED: [(&str, &str); 13] = [
    ("core.fsync", "all"),
    ("core.useReplaceRefs", "false"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("receive.fsckObjects", "true"),
    ("receive.denyNonFastForwards", "true"),
    ("receive.denyDeleteCurrent", "true"),
    ("receive.maxInputSize", "16m"),
    ("receive.advertisePushOptions", "false"),
    ("transfer.hideRefs", "refs/internal"),
    ("receive.shallowUpdate", "false"),
    ("receive.autogc", "false"),
    ("gc.reflogExpire", "never"),
];

/// Faults of objects that git only warns about by default.
const FSCK_ERRORS: [&str; 17] = [
    "zeroPaddedFilemode",
    "hasDot",
    "hasDotdot",
    "hasDotgit",
    "nullSha1",
    "fullPathname",
    "emptyName",
    "nulInCommit",
    "badFilemode",
    "largePathname",
    "gitmodulesSymlink",
    "gitmodulesParse",
    "gitattributesSymlink",
    "gitignoreSymlink",
    "mailmapSymlink",
    "badTagName",
    "missingTaggerEntry",
];

/// Returns the settings for a repository that people push to: a fixed list, and each fault check that the installed git
/// knows.
///
/// Runs `git fsck` in an empty repository, because git has no command that lists the faults it knows.
///
/// # Errors
/// [`GitError`] if no temporary repository can be created.
pub fn served() -> Result<Vec<(String, &'static str)>, GitError> {
    let empty = tempfile::tempdir().map_err(|e| GitError::io("create a folder in", std::env::temp_dir(), e))?;
    gix::init_bare(empty.path()).map_err(|e| GitError::write("make a repository", empty.path(), e))?;
    let knows = |ids: &[&str]| {
        let settings: Vec<String> = ids.iter().map(|id| format!("fsck.{id}=error")).collect();
        let args = settings.iter().flat_map(|s| ["-c", s.as_str()]).chain(["fsck"]);
        program::ask(empty.path(), ["--git-dir=."].into_iter().chain(args)).is_ok()
    };
    let known: Vec<&str> = if knows(&FSCK_ERRORS) {
        FSCK_ERRORS.to_vec()
    } else {
        FSCK_ERRORS.into_iter().filter(|id| knows(&[id])).collect()
    };
    let faults = known.into_iter().map(|id| (format!("receive.fsck.{id}"), "error"));
    Ok(SERVED
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .chain([(LOG.to_owned(), "true")])
        .chain(faults)
        .collect())
}

/// Returns the work tree that contains a folder below its root. Returns `None` if there is no such work tree, or if the
/// folder is its root. A folder that does not exist yet counts at the path where it would be created. Environment
/// variables are ignored.
pub fn enclosing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    let there = absolute.ancestors().find(|f| f.is_dir())?;
    let real = there.canonicalize().ok()?;
    let root = match gix::discover::upwards(there).ok()?.0 {
        gix::discover::repository::Path::WorkTree(root) => root,
        gix::discover::repository::Path::LinkedWorkTree { work_dir, .. } => work_dir,
        gix::discover::repository::Path::Repository(_) => return None,
    };
    let root = root.canonicalize().ok()?;
    let is_root = root == real && there == absolute;
    Some(root).filter(|root| !is_root && real.starts_with(root))
}

impl Repo {
    /// Opens the repository at `dir`, or creates one there (bare or with a work tree), and adds the settings that a
    /// registry needs.
    ///
    /// `git init` creates the repository, so the user's `init.templateDir`, `init.defaultObjectFormat`,
    /// `init.defaultBranch` (else `main`) and `core.sharedRepository` apply. References are stored as files. Settings
    /// that the repository already has stay, except that a disabled log of references is switched on.
    ///
    /// # Errors
    /// [`GitError`] if the repository cannot be opened, created or written to.
    pub fn init(dir: &Path, bare: bool) -> Result<Self, GitError> {
        let repo = match Self::open(dir) {
            Ok(repo) => repo,
            Err(GitError::NotARepository { .. }) => {
                std::fs::create_dir_all(dir).map_err(|e| GitError::io("create", dir, e))?;
                let what = || format!("make a repository in {}", dir.display());
                program::init(dir, bare).map_err(|why| GitError::Git { what: what(), source: why.into() })?;
                Self::open(dir)?
            }
            Err(e) => return Err(e),
        };
        repo.configure()?;
        Self::open(dir)
    }

    /// Adds the missing settings.
    fn configure(&self) -> Result<(), GitError> {
        let path = self.common_dir().join("config");
        let failed = |e: gix::Error| GitError::write("read or change the repository's settings", &path, e);
        let wait = gix::lock::acquire::Fail::AfterDurationWithBackoff(std::time::Duration::from_secs(5));
        let mut settings =
            gix::config::File::from_path_no_includes(path.clone(), gix::config::Source::Local).map_err(failed)?;
        let mut wanted = Vec::new();
        if self.work_dir().is_none() {
            wanted.extend(SERVED.map(|(k, v)| (k.to_owned(), v)));
            wanted.extend(FSCK_ERRORS.map(|id| (format!("receive.fsck.{id}"), "error")));
        }
        wanted.retain(|(key, _)| settings.string(key.as_str()).is_none());
        if !settings.string(LOG).is_some_and(|v| v == "true" || v == "always") {
            wanted.push((LOG.to_owned(), "true"));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        for (key, value) in &wanted {
            settings.set_raw_value(key.as_str(), *value).map_err(failed)?;
        }
        let mut lock =
            gix::lock::File::acquire_to_update_resource(&path, wait, None, self.sharing()?.bits()).map_err(failed)?;
        let io = |e| GitError::io("write", &path, e);
        lock.with_mut(|f| {
            settings.write_to(&mut *f).map_err(std::io::Error::other)?;
            f.flush()?;
            f.sync_all()
        })
        .map_err(io)?;
        lock.commit().map_err(|e| io(e.error))?;
        Ok(())
    }
}
