//! Settings of a repository that its server relies on: read from its own file only, so that no push can bring others.

use std::path::PathBuf;

use gix::config::file::Metadata;
use gix::config::source::Kind;

use super::{GitError, Repo, program};

/// The folder from which git takes hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HooksDir {
    /// Where it is.
    pub path: PathBuf,
    /// Whether settings of the user or the system name it, so that other repositories take theirs from there, too.
    pub shared: bool,
}

impl Repo {
    /// The values of a setting in the repository's own file, in order. The user's and the system's settings, and
    /// those of the environment, don't count.
    pub fn own_settings(&self, key: &str) -> Vec<String> {
        let settings = self.inner.config_snapshot();
        let own = |m: &Metadata| m.source.kind() == Kind::Repository;
        let found = settings.plumbing().strings_filter(key, own).unwrap_or_default();
        found.into_iter().map(|value| value.to_string()).collect()
    }

    /// The last value of a setting in the repository's own file, which is the one that counts.
    pub fn own_setting(&self, key: &str) -> Option<String> {
        self.own_settings(key).pop()
    }

    /// Whether a file in the form of git's settings switches something on; none if it does not say, or is none.
    pub fn setting_in(&self, text: &[u8], key: &str) -> Option<bool> {
        let meta = Metadata::from(gix::config::Source::Local);
        let file = gix::config::File::from_bytes_no_includes(text, meta, Default::default()).ok()?;
        file.boolean(key).ok().flatten()
    }

    /// Where git looks for hooks: `hooks`, or what `core.hooksPath` names.
    pub fn hooks_dir(&self) -> HooksDir {
        let key = "core.hooksPath";
        let set = self.inner.config_snapshot().trusted_path(key).ok().flatten();
        let Some(named) = set.filter(|p| !p.as_os_str().is_empty()) else {
            return HooksDir { path: self.common_dir.join("hooks"), shared: false };
        };
        // A relative path is one from where git runs hooks: the work tree, or the bare repository.
        let base = self.work_dir().unwrap_or_else(|| self.git_dir.clone());
        HooksDir { path: base.join(named), shared: self.own_setting(key).is_none() }
    }

    /// Sets a setting in the repository's own file to these values, or removes it where there are none. It is seen
    /// by those who open the repository afterwards.
    pub fn set_own(&self, key: &str, values: &[&str]) -> Result<(), GitError> {
        let file = self.common_dir.join("config");
        let failed = |why: String| GitError::io("change a setting in", &file, std::io::Error::other(why));
        let name = file.to_str().ok_or_else(|| failed("its path is not UTF-8".to_owned()))?;
        let git =
            |rest: &[&str]| program::ask(&self.common_dir, ["config", "--file", name].iter().chain(rest).copied());
        let Some((first, rest)) = values.split_first() else {
            // Git fails to remove what is not there.
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
