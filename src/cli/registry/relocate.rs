//! `greenroom move`: moves the registry to another folder of its repository.

use std::path::Path;

use clap::Args;

use super::init::folder;
use crate::action::Action;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::git::Repo;
use crate::registry::Registry;
use crate::text::quoted;

/// Move the registry to another folder of its repository, in a commit of its own
///
/// Example: `greenroom move registry`
///
/// History, ids and URLs stay the same: log, as-of queries, verify and the server follow the move. Files of the
/// repository as a whole stay at its root: README, LICENSE, .mailmap, .lfsconfig, CODEOWNERS and the folders of git
/// hosts. The same commit updates the paths in the section that `greenroom codeowners` wrote. Merge older branches
/// first: the gate refuses files that a merge puts into the old folder.
#[derive(Debug, Args)]
pub(in crate::cli) struct MoveArgs {
    /// The new folder, as a path from the root of the repository; `.` or `/` is the root
    #[arg(value_name = "TO")]
    to: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(args: &MoveArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let to = if args.to == "/" { String::new() } else { folder("TO", &args.to)? };
    check_name(&to)?;
    check_neighbours(&registry, &to)?;
    if let Some(work) = registry.repo().work_dir().filter(|_| to != registry.at()) {
        check_work_tree(&work, &to)?;
    }
    drop(registry);
    change::apply(session, &args.change, &[Action::MoveRegistry { to }])
}

/// Refuses a folder that git or another system cannot hold.
fn check_name(to: &str) -> Result<(), CliError> {
    match Repo::path_fault(&format!("{to}greenroom.toml")) {
        Some(why) => Err(CliError::usage(format!("TO: {} cannot be a folder: {why}", quoted(to)))),
        None => Ok(()),
    }
}

/// Refuses a folder within another registry, or around one.
fn check_neighbours(registry: &Registry, to: &str) -> Result<(), CliError> {
    let Some(tip) = registry.head()? else { return Ok(()) };
    let folders = registry.folders(tip)?;
    let other = folders.iter().find(|f| *f != registry.at() && (f.starts_with(to) || to.starts_with(f.as_str())));
    let Some(other) = other else { return Ok(()) };
    let message = format!("there is another registry in {}", crate::phrase::folder(other));
    Err(CliError::new(Exit::Exists, message).hint("registries cannot be nested: name a folder beside it"))
}

/// Refuses a folder of the work tree that is a link, or that holds files that git does not track.
fn check_work_tree(work: &Path, to: &str) -> Result<(), CliError> {
    let mut path = work.to_owned();
    for name in to.split('/').filter(|name| !name.is_empty()) {
        path.push(name);
        let shown = crate::text::one_line(&path.to_string_lossy()).into_owned();
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(meta) => {
                let what = if meta.is_symlink() { "a symbolic link" } else { "a file" };
                let error = CliError::new(Exit::Exists, format!("{shown} is {what}, not a folder for the registry"));
                return Err(error.hint("name a folder that does not exist yet"));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => {
                let error = CliError::new(Exit::Failed, format!("could not read {shown}"));
                return Err(CliError { causes: vec![e.to_string()], ..error });
            }
        }
    }
    Ok(())
}
