//! `greenroom init`: creates a registry.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::action::Action;
use crate::apply::goes_with_any;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::report::{self, CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::entity::settings::{FORMAT, IdentitySettings, Layout, Rules};
use crate::entity::{Person, Settings};
use crate::git::{GitError, Repo, enclosing};
use crate::name::{Id, UserName};
use crate::registry::unsent_files::{LfsConfig, lfs_config};
use crate::registry::{ChangeAuthor, ChangeOptions, NAMED_FOLDERS, Registry, random_bytes};
use crate::text::Text;
use crate::tree::Objects as _;

/// Create a registry in a new or existing git repository; you get CAN_MANAGE on it
///
/// Examples: `greenroom init models`; `greenroom init --at registry` in an existing repository
#[derive(Debug, Args)]
pub(in crate::cli) struct InitArgs {
    /// The folder of the repository; by default the current folder, or that of -C
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The registry's name; by default the name of the folder
    #[arg(long)]
    name: Option<String>,
    /// Put the registry into this folder of the repository, at any depth; `.` for the root, even if it holds other
    /// files
    #[arg(long, value_name = "FOLDER")]
    at: Option<String>,
    /// Create a bare repository, for a server
    #[arg(long)]
    bare: bool,
    /// The layout of models and versions: `flat` is easy to browse, `sharded` is fast with thousands of models
    #[arg(long, value_parser = layout, default_value = "flat")]
    layout: Layout,
    /// Your id in the registry; by default the part of git's e-mail address before the `@`
    #[arg(long, value_name = "ID")]
    maker: Option<UserName>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Parses a layout.
pub(in crate::cli) fn layout(s: &str) -> Result<Layout, String> {
    Layout::ALL.into_iter().find(|l| l.as_str() == s).ok_or_else(|| "must be flat or sharded".to_owned())
}

pub(in crate::cli) fn run(args: InitArgs, session: &mut Session) -> Result<Exit, CliError> {
    let dir = args.dir.as_deref().map_or_else(|| session.dir(), |dir| session.path(dir));
    let at = folder("--at", args.at.as_deref().unwrap_or_default())?;
    if args.name.as_deref().is_some_and(|name| name.trim().is_empty()) {
        return Err(CliError::usage("--name is empty; leave the option out to use the name of the folder"));
    }
    not_within(&dir, args.bare)?;
    if args.at.is_none() {
        no_other_files(&dir)?;
    }
    std::fs::create_dir_all(&dir).map_err(|e| CliError {
        causes: vec![e.to_string()],
        ..CliError::new(Exit::Failed, format!("could not create the folder {}", dir.display()))
    })?;
    let repo = Repo::init(&dir, args.bare)?;
    let (author, committer) = session.identity(&repo)?;
    let real = dir.canonicalize().unwrap_or_else(|_| dir.clone());
    let registry = Registry::with(repo, &at)?;
    no_other_registry(&registry)?;
    let user = match args.maker {
        Some(user) => user,
        None => id_for(&author.email)?,
    };
    let name = args.name.or_else(|| real.file_name().map(|n| n.to_string_lossy().trim_end_matches(".git").to_owned()));
    let text = |s: &str| Text::new(s).map_err(|e| CliError::usage(e.to_string()));
    let now = session.now(&committer);
    let settings = Settings {
        id: Id::from_parts(now.as_millis(), random_bytes()),
        name: text(&name.unwrap_or_else(|| "registry".to_owned()))?,
        format: FORMAT,
        layout: args.layout,
        identity: IdentitySettings::default(),
        notifications: crate::entity::settings::MailPolicy::default(),
        rules: Rules::default(),
        sources: Default::default(),
        acknowledged: Vec::new(),
        stages: std::collections::BTreeMap::new(),
        aliases: std::collections::BTreeMap::new(),
    };
    let maker = Person { name: text(&author.name)?, emails: [text(&author.email)?].into(), ..Person::default() };
    let change_author = ChangeAuthor { user, author, committer };
    let options = ChangeOptions { comment: args.change.text()?.as_str().to_owned(), ..ChangeOptions::default() };
    let outcome = registry.change(&change_author, &[Action::CreateRegistry { settings, maker }], now, &options)?;
    if at.trim_end_matches('/').contains('/') {
        // A top-level folder is found by a look at the root; a deeper one needs this setting.
        registry.repo().set_own(NAMED_FOLDERS, &[at.trim_end_matches('/')])?;
    }
    session.send_files(registry.repo());
    warn_of_clones(&registry);
    if !session.out.is_json() {
        session.out.line(format!(
            "Made a registry in {}; {} manages it.",
            crate::text::one_line(&real.to_string_lossy()),
            change_author.user
        ));
    }
    change::print(session, &outcome, false)
}

/// Says which setting clones need if the registry could not write the config of Git LFS.
fn warn_of_clones(registry: &Registry) {
    if matches!(lfs_config(registry), Ok(LfsConfig::Strict)) {
        report::warn(
            "the checkout of a clone fails if the remote lacks a model file; run \
             `git config -f .lfsconfig lfs.skipdownloaderrors true` at the root of the repository and commit the file",
        );
    }
}

/// Refuses a repository within the work tree of another one: the outer git would see a folder that it does not track.
fn not_within(dir: &Path, bare: bool) -> Result<(), CliError> {
    let Some(outer) = enclosing(dir).filter(|_| !bare) else { return Ok(()) };
    let shown = |path: &Path| crate::text::one_line(&path.to_string_lossy()).into_owned();
    let holds_one = Repo::open(&outer).is_ok_and(|repo| {
        Registry::with(repo, "")
            .is_ok_and(|r| matches!(r.head(), Ok(Some(tip)) if r.folders(tip).is_ok_and(|f| !f.is_empty())))
    });
    let inner = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    if holds_one {
        let message = format!("{} lies within the registry in {}", shown(&inner), shown(&outer));
        return Err(CliError::new(Exit::Exists, message).hint("make another registry in a folder outside of it"));
    }
    let message = format!("{} lies within the git repository {}", shown(&inner), shown(&outer));
    let at = inner.strip_prefix(&outer).map_or_else(|_| "registry".to_owned(), |p| p.to_string_lossy().into_owned());
    let hint = format!("put the registry into a folder of that repository: greenroom init {} --at {at}", shown(&outer));
    let own = format!("or make a repository of its own there first: git init {}", shown(&inner));
    Err(CliError::usage(message).hint(hint).hint(own))
}

/// Refuses a registry within another registry, or around one: each would treat the other's files as its own.
fn no_other_registry(registry: &Registry) -> Result<(), CliError> {
    let Some(tip) = registry.head()? else { return Ok(()) };
    let at = registry.at();
    let other =
        registry.folders(tip)?.into_iter().find(|f| f != at && (f.starts_with(at) || at.starts_with(f.as_str())));
    let Some(other) = other else { return Ok(()) };
    let place = if other.is_empty() { "its root folder".to_owned() } else { crate::text::quoted(&other) };
    let error = CliError::new(Exit::Exists, format!("the repository already holds a registry in {place}"));
    Err(match other.as_str() {
        "" => error.hint("that registry takes up the whole repository; create this one in another repository"),
        _ => error.hint("put this registry into another folder: --at FOLDER"),
    })
}

/// Refuses the root of a repository that holds other files: a registry there would judge them as its own files.
fn no_other_files(dir: &Path) -> Result<(), CliError> {
    let (mut names, work): (Vec<String>, _) = match Repo::open(dir) {
        Ok(repo) => {
            let root = repo.head()?.map(|tip| repo.tree_of(&tip)).transpose()?;
            let entries = root.map(|root| repo.tree(&root)).transpose()?;
            (entries.iter().flat_map(|all| all.iter()).map(|e| e.name.clone()).collect(), repo.work_dir())
        }
        Err(GitError::NotARepository { .. }) => (Vec::new(), Some(dir.to_owned())),
        Err(e) => return Err(e.into()),
    };
    if names.iter().any(|name| name == "greenroom.toml") {
        // Another check reports that a registry already exists here.
        return Ok(());
    }
    let listed = work.and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    names.extend(listed.map(|e| e.file_name().to_string_lossy().into_owned()));
    names.sort();
    let other = names.iter().find(|name| !goes_with_any(name));
    let Some(other) = other else { return Ok(()) };
    let message = format!("the folder holds other files, such as {}", crate::text::quoted(other));
    Err(CliError::usage(message).hint("put the registry into a folder of its own, for example with --at registry"))
}

/// A folder of the repository as a prefix: empty, or ending in a slash.
pub(in crate::cli) fn folder(what: &str, given: &str) -> Result<String, CliError> {
    let parts: Vec<&str> = given.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    if parts.iter().any(|p| *p == ".." || p.to_lowercase() == ".git") || given.starts_with('/') {
        return Err(CliError::usage(format!(
            "{what}: {} is not a folder in the repository",
            crate::text::quoted(given)
        )));
    }
    Ok(if parts.is_empty() { String::new() } else { format!("{}/", parts.join("/")) })
}

/// The id that an e-mail address suggests: its local part, reduced to the characters of an id.
pub(in crate::cli) fn id_for(email: &str) -> Result<UserName, CliError> {
    let local = email.split('@').next().unwrap_or_default();
    let plain: String = local.chars().filter(|c| c.is_ascii_alphanumeric() || "._+-".contains(*c)).collect();
    UserName::new(plain.trim_start_matches(['.', '_', '+', '-'])).map_err(|e| {
        CliError::new(
            Exit::Failed,
            format!("the e-mail address {} does not give a valid id: {e}", crate::text::quoted(email)),
        )
        .hint("name your id with --maker ID")
    })
}
