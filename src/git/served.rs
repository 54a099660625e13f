//! Settings that a server relies on. They are read only from the repository's own file, so that no push can change
//! them.

use std::path::PathBuf;

use gix::config::file::Metadata;
use gix::config::source::Kind;

use super::{GitError, Repo, program};

/// The folder from which git runs hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HooksDir {
    /// The path of the folder.
    pub path: PathBuf,
    /// Whether the user's or the system's settings name the folder, so that other repositories use it too.
    pub shared: bool,
}

impl Repo {
    /// Returns the values of a setting in the repository's own file, in order. The settings of the user, the system and
    /// the environment do not count.
    pub fn own_settings(&self, key: &str) -> Vec<String> {
        let settings = self.inner.config_snapshot();
        let own = |m: &Metadata| m.source.kind() == Kind::Repository;
        let found = settings.plumbing().strings_filter(key, own).unwrap_or_default();
        found.into_iter().map(|value| value.to_string()).collect()
    }

    /// Returns the last value of a setting in the repository's own file, which is the effective one.
    pub fn own_setting(&self, key: &str) -> Option<String> {
        self.own_settings(key).pop()
    }

    /// Returns the boolean value of a setting in the text of a git config file; `None` if the setting is missing or the
    /// text is invalid.
    pub fn setting_in(&self, text: &[u8], key: &str) -> Option<bool> {
        let meta = Metadata::from(gix::config::Source::Local);
        let file = gix::config::File::from_bytes_no_includes(text, meta, Default::default()).ok()?;
        file.boolean(key).ok().flatten()
    }

    /// Returns the folder in which git looks for hooks: `hooks`, or the folder that `core.hooksPath` names.
    pub fn hooks_dir(&self) -> HooksDir {
        let key = "core.hooksPath";
        let set = self.inner.config_snapshot().trusted_path(key).ok().flatten();
        let Some(named) = set.filter(|p| !p.as_os_str().is_empty()) else {
            return HooksDir { path: self.common_dir.join("hooks"), shared: false };
        };
        // A relative path starts where git runs hooks: at the work tree, or at the bare repository.
        let base = self.work_dir().unwrap_or_else(|| self.git_dir.clone());
        HooksDir { path: base.join(named), shared: self.own_setting(key).is_none() }
    }

    /// Sets a setting in the repository's own file to these values, or removes it if there are none. Repositories that
    /// are opened afterwards see the change.
    ///
    /// # Errors
    /// [`GitError::Io`] if git cannot change the file.
    pub fn set_own(&self, key: &str, values: &[&str]) -> Result<(), GitError> {
        let file = self.common_dir.join("config");
        let failed = |why: String| GitError::io("change a setting in", &file, std::io::Error::other(why));
        let name = file.to_str().ok_or_else(|| failed("its path is not UTF-8".to_owned()))?;
        let git =
            |rest: &[&str]| program::ask(&self.common_dir, ["config", "--file", name].iter().chain(rest).copied());
        let Some((first, rest)) = values.split_first() else {
            // Git fails to remove a setting that does not exist.
            return if git(&["--get-all", key]).is_ok() {
                git(&["--unset-all", key]).map(drop).map_err(failed)
            } else {
                Ok(())
            };
        };
        git(&["--replace-all", key, first]).map_err(failed)?;
        rest.iter().try_for_each(|value| git(&["--add", key, value]).map(drop)).map_err(failed)
    }
}
