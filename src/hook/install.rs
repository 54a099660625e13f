//! Installs the gate into a served repository, beside existing hooks, and uninstalls it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::script::{Hook, OWN, ScriptKind};
use crate::gate::Host;
use crate::git::{GitError, Repo, served};

/// The config key that names the kind of git host.
pub const HOST: &str = "greenroom.host";

/// The config key that names protected branches in addition to the branch of HEAD.
pub const PROTECTED: &str = "greenroom.protected";

/// The settings of an installation.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The absolute path of the program.
    pub greenroom: PathBuf,
    /// The kind of git host.
    pub host: Host,
    /// Branches that are judged in addition to the branch of HEAD, such as `release/*`.
    pub protected: Vec<String>,
}

/// The result of an installation, as sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The changes that were made.
    pub done: Vec<String>,
    /// Findings that may surprise the user.
    pub warnings: Vec<String>,
}

/// Why hooks could not be installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The repository could not be read or set up.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file could not be read or written.
    #[error("could not {what} {}", .path.display())]
    Io {
        /// The failed action, a verb such as `read`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path is not UTF-8, so a script for `sh` cannot name it.
    #[error("the path {} is not UTF-8; install greenroom at a path that is", .0.display())]
    Path(PathBuf),
    /// The existing hook would be moved over another file.
    #[error("{} exists, but the existing hook would be moved to this path; move one of the two away", .0.display())]
    InTheWay(PathBuf),
    /// A pattern of branches that git would not accept.
    #[error("'{0}' is not a pattern of branches; write names such as `main` or `release/*`")]
    Pattern(String),
}

/// The name of the hook that existed before, in the folder of hooks.
pub(super) const EXISTING: &str = "00-existing";

/// Installs the hooks into the repository's folder of hooks and writes the settings of a served repository. A second
/// call changes nothing.
///
/// # Errors
///
/// [`InstallError`] when the program's path or a pattern is invalid, another file is in the way, or the repository or a
/// file cannot be read or written.
pub fn install(repo: &Repo, setup: &Setup) -> Result<Report, InstallError> {
    let greenroom = checked(setup)?;
    let mut report = Report::default();
    let dir = repo.hooks_dir();
    if dir.shared {
        let path = dir.path.display();
        report.warnings.push(format!(
            "core.hooksPath of the user or the system names {path}: the gate will run in every repository that uses \
             it, and refuse pushes to those that have no {HOST}"
        ));
    }
    if repo.work_dir().is_some() {
        report.warnings.push(
            "this repository has a work tree; commits that are made here are not pushed, so the gate does not see \
             them. Serve a bare repository"
                .to_owned(),
        );
    }
    // The settings come first: a hook without settings refuses pushes, but settings without a hook do no harm.
    configure(repo, setup, &mut report)?;
    create_dir(&dir.path)?;
    for hook in Hook::ALL {
        put(&dir.path, hook, &hook.starter(greenroom, None), &mut report)?;
    }
    Ok(report)
}

/// Writes the hooks into `<dir>/pre-receive.d` and so on, for a host that runs hooks from there. These hooks hold the
/// settings themselves, because the host may not let them read the repository's settings.
///
/// # Errors
///
/// [`InstallError`] when the program's path or a pattern is invalid, or a file cannot be written.
pub fn install_into(dir: &Path, setup: &Setup) -> Result<Report, InstallError> {
    let greenroom = checked(setup)?;
    let mut report = Report::default();
    for hook in Hook::ALL {
        let folder = dir.join(format!("{}.d", hook.name()));
        create_dir(&folder)?;
        let text = hook.starter(greenroom, Some((setup.host, &setup.protected)));
        write(&folder.join(OWN), &text, &mut report)?;
    }
    Ok(report)
}

/// Checks that the program's path and the patterns are valid in a script and in settings. Returns the path as text.
fn checked(setup: &Setup) -> Result<&str, InstallError> {
    let fit = |p: &&String| !p.is_empty() && !p.starts_with('-') && !p.chars().any(|c| c.is_control() || c == ' ');
    if let Some(bad) = setup.protected.iter().find(|p| !fit(p)) {
        return Err(InstallError::Pattern(crate::text::one_line(bad).into_owned()));
    }
    setup.greenroom.to_str().ok_or_else(|| InstallError::Path(setup.greenroom.clone()))
}

/// Writes the settings that are missing. Settings with another value stay, and the report warns about them.
fn configure(repo: &Repo, setup: &Setup, report: &mut Report) -> Result<(), InstallError> {
    let mut written = 0;
    for (key, value) in served()? {
        // On a forge, people rewrite the branches of their pull requests. The gate itself refuses this for protected
        // branches.
        if setup.host.is_forge() && key == "receive.denyNonFastForwards" {
            continue;
        }
        match repo.own_setting(&key) {
            Some(set) if set == value => {}
            Some(set) => {
                let set = crate::text::one_line(&set).into_owned();
                report.warnings.push(format!("{key} is {set} and was not changed; the gate is safest with {value}"));
            }
            None => {
                repo.set_own(&key, &[value])?;
                written += 1;
            }
        }
    }
    if written > 0 {
        report.done.push(format!("wrote {} of a served repository", crate::text::counted(written, "setting")));
    }
    let protected: Vec<&str> = setup.protected.iter().map(String::as_str).collect();
    for (key, values) in [(HOST, vec![setup.host.as_str()]), (PROTECTED, protected)] {
        if repo.own_settings(key) != values {
            repo.set_own(key, &values)?;
            let said = if values.is_empty() { "nothing".to_owned() } else { values.join(", ") };
            report.done.push(format!("set {key} to {said}"));
        }
    }
    Ok(())
}

/// Installs one hook into a folder of hooks, beside existing hooks.
fn put(dir: &Path, hook: Hook, text: &str, report: &mut Report) -> Result<(), InstallError> {
    let (path, folder) = (dir.join(hook.name()), dir.join(format!("{}.d", hook.name())));
    match kind(&path)? {
        None | Some(ScriptKind::Starter) => write(&path, text, report),
        Some(ScriptKind::Dispatcher) => {
            write(&folder.join(OWN), text, report)?;
            write(&path, &hook.dispatcher(), report)
        }
        Some(ScriptKind::OthersDispatcher) if folder.is_dir() => write(&folder.join(OWN), text, report),
        Some(ScriptKind::OthersDispatcher | ScriptKind::Other) => {
            let moved = folder.join(EXISTING);
            create_dir(&folder)?;
            if moved.symlink_metadata().is_ok() {
                return Err(InstallError::InTheWay(moved));
            }
            if path.is_symlink() {
                report.warnings.push(format!(
                    "{} was a symbolic link; if a program creates the link again (as gitolite does for its common \
                     hooks), the gate no longer runs: then install the gate in the folder of the link's target",
                    path.display()
                ));
            }
            write(&folder.join(OWN), text, report)?;
            // Link first, so that a hook exists at each moment.
            fs::hard_link(&path, &moved).map_err(|source| io_error("move", &path, source))?;
            report.done.push(format!("moved the existing hook to {}", moved.display()));
            write(&path, &hook.dispatcher(), report)
        }
    }
}

/// Returns the kind of a hook's file, or `None` if there is no file.
fn kind(path: &Path) -> Result<Option<ScriptKind>, InstallError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(ScriptKind::of(&text))),
        Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(None),
        Err(source) => Err(io_error("read", path, source)),
    }
}

/// Removes the hooks that [`install`] wrote, and moves existing hooks back. Git's own settings stay.
///
/// # Errors
///
/// [`InstallError`] when the repository cannot be set up, or a file cannot be read, moved or removed.
pub fn uninstall(repo: &Repo) -> Result<Report, InstallError> {
    let mut report = Report::default();
    let dir = repo.hooks_dir().path;
    for hook in Hook::ALL {
        let (path, folder) = (dir.join(hook.name()), dir.join(format!("{}.d", hook.name())));
        let (own, moved) = (folder.join(OWN), folder.join(EXISTING));
        match kind(&path)? {
            Some(ScriptKind::Dispatcher) if moved.symlink_metadata().is_ok() => {
                fs::rename(&moved, &path).map_err(|source| io_error("put back", &path, source))?;
                report.done.push(format!("put back {}", path.display()));
            }
            Some(ScriptKind::Starter | ScriptKind::Dispatcher) => remove(&path, &mut report)?,
            Some(ScriptKind::OthersDispatcher | ScriptKind::Other) | None => {}
        }
        if kind(&own)? == Some(ScriptKind::Starter) {
            remove(&own, &mut report)?;
        }
        let left = fs::read_dir(&folder).map(Iterator::count);
        match left {
            Ok(0) => fs::remove_dir(&folder).map_err(|source| io_error("remove", &folder, source))?,
            Ok(_) if kind(&path)? != Some(ScriptKind::OthersDispatcher) => {
                report.warnings.push(format!("nothing runs the hooks that are still in {}", folder.display()));
            }
            Ok(_) | Err(_) => {}
        }
    }
    for key in [HOST, PROTECTED] {
        if !repo.own_settings(key).is_empty() {
            repo.set_own(key, &[])?;
            report.done.push(format!("removed the setting {key}"));
        }
    }
    Ok(report)
}

/// Why a hook does not start this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HookGap {
    /// No hook of greenroom is installed.
    #[error("it is not installed")]
    Absent,
    /// The hook is not executable, so git ignores it.
    #[error("it is not executable, so git ignores it")]
    Idle,
    /// The hook starts greenroom, but is not what this program would write.
    #[error("it differs from the hook that this greenroom writes, or starts another greenroom")]
    Other,
}

/// The state of one hook of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCondition {
    /// The hook.
    pub hook: Hook,
    /// The file that starts greenroom, if git runs it.
    pub path: Option<PathBuf>,
    /// Why the gate does not run. `None` if it runs.
    pub fault: Option<HookGap>,
}

/// Returns why the gate of a served repository does not judge pushes, for example after a restore without hooks: the
/// hook, and the reason. `None` if the repository does not set [`HOST`], so that no gate is expected, or if the gate
/// runs.
///
/// # Errors
///
/// [`InstallError`] when a hook's file cannot be read.
pub fn gap(repo: &Repo, greenroom: &Path) -> Result<Option<(Hook, HookGap)>, InstallError> {
    if repo.own_setting(HOST).is_none() {
        return Ok(None);
    }
    let faults = status(repo, greenroom)?.into_iter().filter_map(|s| Some((s.hook, s.fault?)));
    // A hook of another greenroom judges, too. So a hook that leaves pushes unjudged comes first.
    Ok(faults.min_by_key(|(_, gap)| *gap == HookGap::Other))
}

/// Returns for each hook whether git would start the program at this path.
///
/// # Errors
///
/// [`InstallError`] when a hook's file cannot be read.
pub fn status(repo: &Repo, greenroom: &Path) -> Result<Vec<HookCondition>, InstallError> {
    let dir = repo.hooks_dir().path;
    let wanted = |hook: Hook| greenroom.to_str().map(|path| hook.starter(path, None));
    let look = |hook: Hook| {
        let path = dir.join(hook.name());
        let own = dir.join(format!("{}.d", hook.name())).join(OWN);
        let (file, first) = match kind(&path)? {
            Some(ScriptKind::Starter) => (path, None),
            Some(ScriptKind::Dispatcher | ScriptKind::OthersDispatcher) if kind(&own)? == Some(ScriptKind::Starter) => {
                (own, Some(path))
            }
            Some(_) | None => {
                return Ok(HookCondition { hook, path: None, fault: Some(HookGap::Absent) });
            }
        };
        let executable = |p: &PathBuf| fs::metadata(p).is_ok_and(|m| m.permissions().mode() & 0o111 != 0);
        let fault = if !executable(&file) || !first.as_ref().is_none_or(executable) {
            Some(HookGap::Idle)
        } else if fs::read(&file).ok() != wanted(hook).map(String::into_bytes) {
            Some(HookGap::Other)
        } else {
            None
        };
        Ok(HookCondition { hook, path: Some(file), fault })
    };
    Hook::ALL.into_iter().map(look).collect()
}

pub(super) fn io_error(what: &'static str, path: &Path, source: io::Error) -> InstallError {
    InstallError::Io { what, path: path.to_owned(), source }
}

pub(super) fn create_dir(path: &Path) -> Result<(), InstallError> {
    fs::create_dir_all(path).map_err(|source| io_error("create the folder", path, source))
}

fn remove(path: &Path, report: &mut Report) -> Result<(), InstallError> {
    fs::remove_file(path).map_err(|source| io_error("remove", path, source))?;
    report.done.push(format!("removed {}", path.display()));
    Ok(())
}

/// Writes an executable file in one step, unless the file already has this content.
pub(super) fn write(path: &Path, text: &str, report: &mut Report) -> Result<(), InstallError> {
    let runs = |m: fs::Metadata| m.is_file() && m.permissions().mode() & 0o111 == 0o111;
    if path.symlink_metadata().is_ok_and(runs) && fs::read(path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    let failed = |source| io_error("write", path, source);
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::Builder::new().prefix(".greenroom-").tempfile_in(folder).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| {
        file.as_file().set_permissions(fs::Permissions::from_mode(0o755))?;
        file.as_file().sync_all()
    });
    written.map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    File::open(folder).and_then(|f| f.sync_all()).map_err(failed)?;
    report.done.push(format!("wrote {}", path.display()));
    Ok(())
}
