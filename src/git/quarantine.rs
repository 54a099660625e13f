//! Reading a push before git accepts it: git keeps the objects of a push in a separate folder (quarantine) until then.
//!
//! The git library does not look there. So this module creates an empty object store that names the quarantine and the
//! repository's own objects as its alternates, and reads all objects through it. Nothing is written to the quarantine,
//! because git would accept it together with the push.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{GitError, Repo, cannot_open, options};

/// The environment variables that say where a hook finds the objects of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookEnv {
    /// `GIT_DIR`: the repository, relative to the hook's working folder.
    pub git_dir: PathBuf,
    /// `GIT_QUARANTINE_PATH` and `GIT_OBJECT_DIRECTORY`: the folders of new objects.
    pub objects: Vec<PathBuf>,
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES`: the folders of existing objects, as a list.
    pub alternates: OsString,
}

impl HookEnv {
    /// Reads the environment. Returns `None` outside of a git hook that runs while objects are in quarantine.
    ///
    /// Git sets both variables. A server that starts hooks itself (GitLab) may set only the second one.
    pub fn read() -> Option<Self> {
        let named = ["GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY"].map(std::env::var_os);
        let objects: Vec<PathBuf> = named.into_iter().flatten().map(PathBuf::from).collect();
        if objects.is_empty() {
            return None;
        }
        Some(Self {
            git_dir: std::env::var_os("GIT_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
            objects,
            alternates: std::env::var_os("GIT_ALTERNATE_OBJECT_DIRECTORIES").unwrap_or_default(),
        })
    }
}

impl Repo {
    /// Opens a repository as a hook sees it: with the objects in quarantine. The repository is read-only.
    ///
    /// Every folder that the environment names must exist. Ignoring one would mean judging half of a push.
    ///
    /// # Errors
    /// [`GitError`] if the repository cannot be opened, a folder is missing, or a path cannot be represented.
    pub fn open_quarantined(env: &HookEnv) -> Result<Self, GitError> {
        let git_dir = canonical(&env.git_dir)?;
        let opened = options().open_path_as_is(true).open(&git_dir).map_err(|e| cannot_open(&git_dir, e))?;
        let mut inner = opened.to_thread_local();
        let mut dirs: Vec<PathBuf> = Vec::new();
        let listed = split_list(&env.alternates)?;
        let own = inner.objects.store_ref().path().to_owned();
        for dir in env.objects.iter().chain(&listed).chain([&own]) {
            let dir = canonical(dir)?;
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        let (store, alternates) = alternates_of(&dirs)?;
        let mut objects = gix::odb::at(alternates, inner.object_hash())
            .map_err(|e| GitError::io("open the object store in", store.path(), e))?;
        objects.set_pack_cache(|| Box::new(gix::odb::pack::cache::lru::MemoryCappedHashmap::new(64 << 20)));
        inner.objects = gix::odb::memory::Proxy::new(objects, inner.object_hash());
        let mut repo = Self::new(inner, super::object_cache::WHOLE)?;
        repo.quarantine = Some(store);
        Ok(repo)
    }
}

fn canonical(path: &Path) -> Result<PathBuf, GitError> {
    path.canonicalize().map_err(|e| GitError::io("find", path, e))
}

/// Creates an empty store whose alternates are these folders. Returns its temporary folder, to be kept, and the path to
/// open.
fn alternates_of(dirs: &[PathBuf]) -> Result<(tempfile::TempDir, PathBuf), GitError> {
    let store = tempfile::tempdir().map_err(|e| GitError::io("create a folder in", std::env::temp_dir(), e))?;
    let mut text = Vec::new();
    for dir in dirs {
        let bytes = dir.as_os_str().as_encoded_bytes();
        if bytes.contains(&b'\n') {
            return Err(GitError::io("use as an object store", dir, std::io::ErrorKind::InvalidInput.into()));
        }
        text.extend_from_slice(bytes);
        text.push(b'\n');
    }
    let info = store.path().join("info");
    let written = std::fs::create_dir(&info).and_then(|()| std::fs::write(info.join("alternates"), text));
    written.map_err(|e| GitError::io("write", &info, e))?;
    let path = store.path().to_owned();
    Ok((store, path))
}

/// Splits git's list of folders. A path that git had to quote (it starts with `"`) is refused.
fn split_list(list: &OsStr) -> Result<Vec<PathBuf>, GitError> {
    let dirs: Vec<PathBuf> = std::env::split_paths(list).filter(|p| !p.as_os_str().is_empty()).collect();
    match dirs.iter().find(|d| d.as_os_str().as_encoded_bytes().starts_with(b"\"")) {
        Some(quoted) => Err(GitError::io("read the quoted path", quoted, std::io::ErrorKind::InvalidInput.into())),
        None => Ok(dirs),
    }
}
