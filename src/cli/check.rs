//! `greenroom check`: everything that is wrong with a registry, before it is committed.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::output::{GREEN, RED, YELLOW, styled};
use super::report::{self, CliError, Exit};
use super::session::{Session, clock};
use crate::format::Problem;
use crate::git::GitError;
use crate::name::UserName;
use crate::registry::{Lint, Registry};
use crate::text::one_line;

/// Check the registry's files, uncommitted edits included: every fault with its place and the way out
///
/// All files are checked. What differs from the last commit is judged besides as if you committed it now: by your
/// permissions, the stage rules, and what may not change. Files that git ignores are left out. In a bare repository
/// the last commit is checked.
///
/// Exit code 1 when files are not as they must be, 5 when a permission or rule refuses the edits.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Tell only what is wrong in this file or folder
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Judge the edits as this person's
    #[arg(long = "as", value_name = "PERSON")]
    named: Option<UserName>,
}

pub(super) fn run(args: &CheckArgs, session: &mut Session) -> Result<Exit, CliError> {
    let path = args.path.as_ref().map(|p| session.path(p));
    let start = path.as_deref().map_or_else(|| session.dir(), |p| folder_of(p).to_owned());
    let registry = Registry::discover(&start)?;
    let asker = match session.asker(&registry, args.named.as_ref()) {
        Ok(asker) => Some(asker),
        // Where git knows nobody, files can be checked nevertheless.
        Err(_) if args.named.is_none() && matches!(registry.repo().identity(), Err(GitError::NoIdentity)) => None,
        Err(e) => return Err(e),
    };
    let now = asker.as_ref().map_or_else(clock, |a| session.now(&a.committer));
    let mut lint = registry.lint(asker.as_ref(), now)?;
    if let Some(path) = &path {
        let within = within(&registry, path)?;
        let told = |p: &str| p.starts_with(&within) || format!("{p}/") == within;
        lint.faults.retain(|f| told(&f.problem.path));
        lint.warnings.retain(|w| told(&w.path));
    }
    if asker.is_none() && !lint.changed.is_empty() {
        let message = "git does not know who you are, so permissions and stage rules were not asked";
        lint.warnings.push(Problem::of_file("", "identity", message).help("git config --global user.email …"));
    }
    if session.out.is_json() {
        session.out.json(&json!({
            "files": lint.files, "changed": lint.changed, "faults": lint.faults, "warnings": lint.warnings,
        }))?;
    } else {
        as_text(&lint, session);
    }
    Ok(report::exit_for(&lint.faults))
}

/// The folder that a path lies in, or is.
fn folder_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")) }
}

/// A path of the disk as the beginning of paths in the repository: empty for the whole registry, or ending in a slash.
fn within(registry: &Registry, path: &Path) -> Result<String, CliError> {
    let missing = || CliError::not_found(format!("there is no file or folder {}", one_line(&path.to_string_lossy())));
    let Some(root) = registry.repo().work_dir() else { return Ok(String::new()) };
    // A file that was deleted can be asked about, too.
    let real = path.canonicalize().or_else(|e| match path.file_name() {
        Some(name) => folder_of(path).canonicalize().map(|p| p.join(name)),
        None => Err(e),
    });
    let (real, root) = (real.map_err(|_| missing())?, root.canonicalize()?);
    let inner = real.strip_prefix(&root).map_err(|_| missing())?.to_string_lossy().into_owned();
    let inner = if inner.is_empty() { inner } else { format!("{inner}/") };
    Ok(if registry.at().starts_with(&inner) { String::new() } else { inner })
}

fn as_text(lint: &Lint, session: &mut Session) {
    let out = &mut session.out;
    let mut tell = |style, what: &str, problem: &Problem| {
        out.line(format!("{} {problem}", styled(style, what)));
        if !problem.help.is_empty() {
            out.line(format!("    {}", one_line(&problem.help)));
        }
    };
    lint.faults.iter().for_each(|f| tell(RED, "fault:", &f.problem));
    lint.warnings.iter().for_each(|w| tell(YELLOW, "warning:", w));
    let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let found = match (lint.faults.len(), lint.warnings.len()) {
        (0, 0) => styled(GREEN, "No faults"),
        (0, warnings) => styled(GREEN, &format!("No faults, {}", count(warnings, "warning"))),
        (faults, 0) => styled(RED, &count(faults, "fault")),
        (faults, warnings) => styled(RED, &format!("{}, {}", count(faults, "fault"), count(warnings, "warning"))),
    };
    let changed = match lint.changed.len() {
        0 => String::new(),
        n => format!("; {} not committed", count(n, "change")),
    };
    out.line(format!("{found} in {}{changed}.", count(lint.files, "file")));
}
