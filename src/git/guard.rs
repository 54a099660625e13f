//! Repositories that git itself would refuse to open: a newer format, unknown extensions, or a bare repository that was
//! not named although the user's settings require it.

use gix::config::file::Metadata;
use gix::config::source::Kind;

use super::{GitError, Repo, program};

/// The newest known repository format.
const NEWEST: i64 = 1;

/// Extensions that are valid in every format and need no handling here.
const ALWAYS: [&str; 4] = ["noop", "partialclone", "preciousobjects", "worktreeconfig"];

/// Extensions that need format 1 and are supported.
const FOLLOWED: [&str; 3] = ["noop-v1", "objectformat", "refstorage"];

/// Extensions newer than git 2.41. The installed git must know them too, because it works on the same files.
const YOUNG: [&str; 1] = ["relativeworktrees"];

/// Further extensions that git knows in format 1 and this program does not support. In format 0 git refuses these,
/// [`FOLLOWED`] and [`YOUNG`].
const UNSUPPORTED: [&str; 2] = ["compatobjectformat", "submodulepathconfig"];

impl Repo {
    /// Refuses a repository that git would refuse, or that needs an unsupported extension.
    pub(super) fn refuse_unknown_format(inner: &gix::Repository) -> Result<(), GitError> {
        let settings = inner.config_snapshot();
        let settings = settings.plumbing();
        let own = |m: &Metadata| m.source.kind() == Kind::Repository;
        let version = settings.integer_filter("core.repositoryFormatVersion", own);
        let version =
            version.map_err(|e| GitError::git("read the setting core.repositoryFormatVersion", e))?.unwrap_or(0);
        let refuse = |what: String| Err(GitError::Format { path: inner.git_dir().to_owned(), what });
        if version > NEWEST {
            return refuse(format!("it has format {version}, and at most {NEWEST} is known"));
        }
        let sections = settings.sections_by_name("extensions").into_iter().flatten().filter(|s| own(s.meta()));
        let mut names: Vec<String> = sections.flat_map(|s| s.value_names().collect::<Vec<_>>()).collect();
        names.iter_mut().for_each(|name| *name = name.to_ascii_lowercase());
        for name in names.iter().map(String::as_str).filter(|name| !ALWAYS.contains(name)) {
            let known_to_git = [&FOLLOWED[..], &YOUNG, &UNSUPPORTED].concat().contains(&name);
            match (version, known_to_git) {
                (0, false) => {}
                (0, true) => return refuse(format!("its extension `{name}` needs format 1, and it has format 0")),
                _ if FOLLOWED.contains(&name) => {}
                _ if YOUNG.contains(&name) => {
                    let dir = inner.git_dir().to_str().unwrap_or_default();
                    let dir = format!("--git-dir={dir}");
                    if let Err(why) = program::ask(inner.common_dir(), [dir.as_str(), "rev-parse", "--git-dir"]) {
                        return refuse(format!(
                            "its extension `{name}` is unknown to the git that is installed: {why}"
                        ));
                    }
                }
                _ => return refuse(format!("its extension `{}` is not supported", crate::text::one_line(name))),
            }
        }
        Ok(())
    }

    /// Refuses a bare repository that was found by search if `safe.bareRepository` is `explicit`.
    pub(super) fn refuse_implicit_bare(&self) -> Result<(), GitError> {
        if self.inner.workdir().is_some() {
            return Ok(());
        }
        let settings = self.inner.config_snapshot();
        let protected = |m: &Metadata| m.source.kind() != Kind::Repository;
        let set = settings.plumbing().string_filter("safe.bareRepository", protected);
        let within = ["worktrees", "modules"].map(|folder| format!("/.git/{folder}/"));
        let path = format!("{}/", self.git_dir.to_string_lossy());
        let of_a_work_tree = path.ends_with("/.git/") || within.iter().any(|w| path.contains(w));
        if set.is_some_and(|s| s == "explicit") && !of_a_work_tree {
            return Err(GitError::ImplicitBare { git_dir: self.git_dir.clone() });
        }
        Ok(())
    }
}
