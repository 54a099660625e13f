//! The pre-push hook of a clone: a push of pointers also sends the model files.
//!
//! The hook runs `git lfs pre-push`, as the hook of git-lfs does, and records what was sent, for `greenroom doctor`.
//! The first push to a remote sends all files that are in the clone, because earlier pushes may have gone without
//! files. Existing hooks run first and stay.

use std::fs;
use std::path::{Path, PathBuf};

use super::install::{EXISTING, InstallError, Report, create_dir, io_error, write};
use super::script::{OWN, names_folder};
use crate::git::Repo;

/// The name of the hook.
const NAME: &str = "pre-push";

/// The line that marks the hook that sends files.
const SENDER: &str = "# greenroom: this hook sends the files of models before a push.";

/// The line that marks the hook that runs the hooks of a folder.
const DISPATCHER: &str = "# greenroom: this hook runs those in the folder pre-push.d beside it.";

/// How many bytes of a hook git-lfs reads during its installation, to see whether the hook is its own or an empty one.
const UNREAD: usize = 1024;

/// The name of the file, in greenroom's folder, that records what was sent. A line holds the hash of a URL and a
/// commit: all files of that commit have arrived at that URL.
pub use crate::registry::unsent_files::RECORD;

/// How model files get to a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LfsUpload {
    /// The hook of greenroom sends them.
    Ours,
    /// Another hook runs git-lfs.
    Others,
    /// No hook sends them, for this reason.
    Nothing(String),
}

/// Returns the text of the hook that sends files.
fn sender() -> String {
    format!(
        r#"{blank}
#!/bin/sh
{SENDER}
# greenroom wrote it, beside the hooks that were here. Changes are lost. It begins with empty lines, so that
# 'git lfs install' takes the file for an empty one and may put its own hook here; git and sh run it all the same.
common=$(git rev-parse --git-common-dir) || exit 1
[ -d "$common/greenroom" ] || exit 0
# git-lfs reads these words as "yes"; a push that sends nothing is not noted as one that sent everything.
case "${{GIT_LFS_SKIP_PUSH:-}}" in 1 | t | true | on | y | yes | T | TRUE | True) exit 0 ;; esac
store=$(git config --type=path lfs.storage) || store=lfs
case "$store" in /*) ;; *) store=$common/$store ;; esac
[ -n "$(find "$store/objects" -type f 2>/dev/null | head -n 1)" ] || exit 0
if ! command -v git-lfs >/dev/null 2>&1; then
    echo "greenroom: git-lfs is not installed, so only pointers to the files of models would be pushed." >&2
    echo "greenroom: install git-lfs (https://git-lfs.com) and push again." >&2
    echo "greenroom: nothing was pushed; 'git push --no-verify' pushes the pointers alone." >&2
    exit 1
fi
failed() {{
    echo "greenroom: the files of models could not be sent to $remote, so nothing was pushed." >&2
    echo "greenroom: a remote without Git LFS needs 'git config lfs.url URL'; see 'git lfs env'." >&2
    echo "greenroom: 'git push --no-verify' pushes the pointers alone." >&2
    exit 1
}}
remote=$1
# git-lfs does not know a path for a remote, but a URL.
case "$remote" in */*) [ -d "$remote" ] && remote=file://$(cd "$remote" && pwd -P) ;; esac
record=$common/greenroom/{RECORD}
key=$(printf '%s' "$2" | git hash-object --stdin) || exit 1
lines=$(cat; echo x)
lines=${{lines%x}}
commits=$(printf '%s' "$lines" | while read -r _ id _; do
    case "$id" in *[!0]*) echo "$id" ;; esac
done)
if ! grep -q "^$key " "$record" 2>/dev/null; then
    head=$(git rev-parse --verify --quiet HEAD) && case "$commits" in *"$head"*) ;; *) commits="$commits $head" ;; esac
    for commit in $commits; do
        git -c lfs.allowincompletepush=true lfs push --all "$remote" "$commit" || failed
    done
fi
printf '%s' "$lines" | git lfs pre-push "$remote" "$2" || failed
for commit in $commits; do
    echo "$key $commit" >>"$record" || exit 0
done
exit 0
"#,
        blank = "\n".repeat(UNREAD),
    )
}

/// Returns the text of the hook that passes its input to each hook in the folder beside it, in order of their names. It
/// stops at the first hook that refuses.
fn dispatcher() -> String {
    format!(
        r#"#!/bin/sh
{DISPATCHER}
# greenroom wrote it. Hooks go into that folder; changes here are lost.
lines=$(cat; echo x)
lines=${{lines%x}}
for hook in "$0.d"/*; do
    [ -f "$hook" ] && [ -x "$hook" ] || continue
    printf '%s' "$lines" | "$hook" "$@" || exit $?
done
exit 0
"#
    )
}

/// The kind of the hook's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HookFileKind {
    Nothing,
    Sender,
    Dispatcher,
    /// A foreign hook that runs git-lfs itself.
    Lfs,
    /// A foreign hook that runs the hooks of the folder beside it.
    OthersDispatcher,
    Other,
}

fn found(path: &Path) -> Result<HookFileKind, InstallError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => return Ok(HookFileKind::Nothing),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(HookFileKind::Other),
        Err(source) => return Err(io_error("read", path, source)),
    };
    let text = String::from_utf8_lossy(&text);
    let code = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let says = |line: &str| text.lines().any(|l| l == line);
    Ok(match () {
        () if says(SENDER) => HookFileKind::Sender,
        () if says(DISPATCHER) => HookFileKind::Dispatcher,
        () if code().any(|l| l.contains("git lfs pre-push") || l.contains("git-lfs pre-push")) => HookFileKind::Lfs,
        () if text.lines().any(names_folder) => HookFileKind::OthersDispatcher,
        () => HookFileKind::Other,
    })
}

/// The paths of the hook.
struct HookPaths {
    /// The folder of hooks.
    dir: PathBuf,
    /// The file that git runs.
    path: PathBuf,
    /// The folder beside the file.
    folder: PathBuf,
    /// The hook of greenroom in that folder.
    own: PathBuf,
}

impl HookPaths {
    fn of(repo: &Repo) -> Self {
        let dir = repo.hooks_dir().path;
        let folder = dir.join(format!("{NAME}.d"));
        Self { path: dir.join(NAME), own: folder.join(OWN), folder, dir }
    }
}

/// Returns whether a push sends the model files.
///
/// # Errors
///
/// [`InstallError`] when a hook's file cannot be read.
pub fn sending(repo: &Repo) -> Result<LfsUpload, InstallError> {
    let places = HookPaths::of(repo);
    let runs = |p: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let (sending, files) = match found(&places.path)? {
        HookFileKind::Sender => (LfsUpload::Ours, vec![&places.path]),
        HookFileKind::Lfs => (LfsUpload::Others, vec![&places.path]),
        HookFileKind::Dispatcher | HookFileKind::OthersDispatcher if found(&places.own)? == HookFileKind::Sender => {
            (LfsUpload::Ours, vec![&places.path, &places.own])
        }
        HookFileKind::Nothing => return Ok(LfsUpload::Nothing(format!("there is no {}", places.path.display()))),
        HookFileKind::Dispatcher | HookFileKind::OthersDispatcher | HookFileKind::Other => {
            return Ok(LfsUpload::Nothing(format!("{} does not run git-lfs", places.path.display())));
        }
    };
    Ok(match files.iter().find(|p| !runs(p)) {
        Some(idle) => LfsUpload::Nothing(format!("{} is not executable", idle.display())),
        None => sending,
    })
}

/// Returns whether the folder of hooks is outside of the repository, so that other repositories run its hooks, too.
fn is_outside(repo: &Repo, dir: &Path) -> bool {
    // Of a folder that does not exist yet, the existing ancestor decides.
    let real = |path: &Path| path.ancestors().find_map(|p| p.canonicalize().ok());
    let mut own = [Some(repo.common_dir().to_owned()), repo.work_dir()].into_iter().flatten().filter_map(|p| real(&p));
    real(dir).is_none_or(|dir| !own.any(|own| dir.starts_with(own)))
}

/// Returns what to do if `core.hooksPath` names a folder outside of the repository, in which greenroom writes nothing.
/// `None` if the hooks belong to the repository.
pub fn foreign_hooks(repo: &Repo) -> Option<String> {
    let places = HookPaths::of(repo);
    is_outside(repo, &places.dir).then(|| {
        format!(
            "core.hooksPath names a folder outside of this repository, in which greenroom writes nothing: add `git lfs \
             pre-push \"$@\"` to {}, or give this repository hooks of its own: `git config core.hooksPath {}`",
            places.path.display(),
            super::script::quote(&repo.common_dir().join("hooks").to_string_lossy())
        )
    })
}

/// Makes pushes from this repository send the model files, unless they do already. If the folder of hooks is outside of
/// the repository, or is committed in the work tree, nothing is written, and the report says what to add.
///
/// # Errors
///
/// [`InstallError`] when a hook's file cannot be read, written or moved, or another file is in the way.
pub fn ensure(repo: &Repo) -> Result<Report, InstallError> {
    let mut report = Report::default();
    let places = HookPaths::of(repo);
    let there = found(&places.path)?;
    repo.make_state_dir(&repo.common_dir().join("greenroom"))?;
    if let Some(help) = foreign_hooks(repo) {
        if matches!(sending(repo)?, LfsUpload::Nothing(_)) {
            report.warnings.push(format!("a push does not send the files of models. {help}"));
        }
        return Ok(report);
    }
    match there {
        HookFileKind::Lfs => return Ok(report),
        HookFileKind::Sender => {
            write(&places.path, &sender(), &mut report)?;
            return Ok(report);
        }
        HookFileKind::Dispatcher | HookFileKind::OthersDispatcher if places.folder.is_dir() => {
            write(&places.own, &sender(), &mut report)?;
            if there == HookFileKind::Dispatcher {
                write(&places.path, &dispatcher(), &mut report)?;
            }
            return Ok(report);
        }
        HookFileKind::Nothing | HookFileKind::Other | HookFileKind::Dispatcher | HookFileKind::OthersDispatcher => {}
    }
    if repo.tracks_folder(&places.dir)? {
        report.warnings.push(format!(
            "{} is committed with the work tree, so no hook was put there: add `git lfs pre-push \"$@\"` to {}, or a \
             push does not send the files of models",
            places.dir.display(),
            places.path.display()
        ));
        return Ok(report);
    }
    create_dir(&places.dir)?;
    if there == HookFileKind::Nothing {
        write(&places.path, &sender(), &mut report)?;
        return Ok(report);
    }
    move_aside(&places, &mut report)?;
    write(&places.own, &sender(), &mut report)?;
    write(&places.path, &dispatcher(), &mut report)?;
    Ok(report)
}

/// Gives the existing hook a second name in the folder beside it, so that a hook exists at each moment.
fn move_aside(places: &HookPaths, report: &mut Report) -> Result<(), InstallError> {
    create_dir(&places.folder)?;
    let moved = places.folder.join(EXISTING);
    if moved.symlink_metadata().is_ok() {
        return Err(InstallError::InTheWay(moved));
    }
    let failed = |source| io_error("move", &places.path, source);
    match fs::read_link(&places.path) {
        // The target of a relative link is relative to the link's folder.
        Ok(target) if target.is_relative() => {
            std::os::unix::fs::symlink(Path::new("..").join(target), &moved).map_err(failed)?;
        }
        Ok(_) | Err(_) => fs::hard_link(&places.path, &moved).map_err(failed)?,
    }
    report.done.push(format!("moved the existing hook to {}", moved.display()));
    Ok(())
}
