//! `greenroom hook`: the hooks that git runs around a push, and their installation.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::terminal::progress::ProgressBar;
use crate::cli::terminal::report::{CliError, Exit, warn};
use crate::cli::terminal::session::Session;
use crate::clock;
use crate::gate::Gate;
use crate::gate::Host;
use crate::git::{GitError, Repo};
use crate::hook::{self, Hook, HookAnswer, HookOptions, Report, Setup};
use crate::index::Index;
use crate::registry::{NAMED_FOLDERS, Registry};
use crate::snapshot;
use crate::text::one_line;
use crate::view;

/// Guard a served repository: the gate judges each push before git accepts it
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum HookCommand {
    /// Install the gate beside the hooks of a served repository, and write its settings
    ///
    /// Example: `greenroom hook install --host gitlab --bare /srv/git/models.git`
    Install(InstallArgs),
    /// Remove the gate and restore the hooks that it moved; git's own settings stay
    ///
    /// Example: `greenroom hook uninstall --bare /srv/git/models.git`
    Uninstall(PlaceArgs),
    /// Show whether git starts the gate in this repository; exit code 7 if not
    ///
    /// Example: `greenroom hook status --bare /srv/git/models.git`
    Status(PlaceArgs),
    /// Judge a push; git runs this command and writes a line for each reference
    PreReceive(GivenArgs),
    /// Record an accepted push; git runs this command and writes a line for each reference
    PostReceive(GivenArgs),
    /// Judge one reference; git runs this command on hosts that allow only the update hook
    Update(UpdateArgs),
}

/// The repository to work on.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlaceArgs {
    /// The served repository; by default that of the current folder
    #[arg(long, value_name = "PATH")]
    bare: Option<PathBuf>,
}

/// The options of `hook install`.
#[derive(Debug, Args)]
pub(in crate::cli) struct InstallArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// How the host identifies the person who pushes: gitlab, gitea (also Forgejo), github (Enterprise Server),
    /// bitbucket, gitolite, http, forced-command, ssh-key, unix or push-certificate
    #[arg(long, value_parser = host)]
    host: Host,
    /// Judge this branch as well as the branch of HEAD; `*` stands for any characters; can be repeated
    #[arg(long, value_name = "BRANCH")]
    protect: Vec<String>,
    /// Write the hooks to DIR/pre-receive.d and DIR/post-receive.d instead, with the settings in them: for hosts that
    /// do not let you reach the repositories
    #[arg(long, value_name = "DIR", conflicts_with = "bare")]
    into: Option<PathBuf>,
}

/// Settings on the command line, for hosts where the repository's settings are out of reach.
#[derive(Debug, Args)]
pub(in crate::cli) struct GivenArgs {
    /// How the host identifies the person who pushes, if the repository's settings are out of reach
    #[arg(long, value_parser = host)]
    host: Option<Host>,
    /// Judge this branch as well as the branch of HEAD; can be repeated
    #[arg(long, value_name = "BRANCH")]
    protect: Vec<String>,
}

/// The arguments that git passes to an `update` hook.
#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
    /// The reference
    #[arg(value_name = "REF")]
    name: String,
    /// The id before the push
    old: String,
    /// The id after the push
    new: String,
    #[command(flatten)]
    given: GivenArgs,
}

fn host(s: &str) -> Result<Host, String> {
    s.parse().map_err(|e: crate::gate::host::NoHost| e.to_string())
}

pub(in crate::cli) fn run(command: HookCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        HookCommand::Install(args) => install(args, session),
        HookCommand::Uninstall(args) => {
            let report = hook::uninstall(&repository(&args, session)?)?;
            print(&report, "the gate is not installed", session)
        }
        HookCommand::Status(args) => status(&args, session),
        HookCommand::PreReceive(args) => {
            Ok(answer(&hook::run::pre_receive(std::io::stdin().lock(), &given(args), clock::now())))
        }
        HookCommand::PostReceive(args) => {
            match hook::run::post_receive(std::io::stdin().lock(), &given(args), clock::now()) {
                Some(text) => Ok(answer(&HookAnswer::Refuse(text))),
                None => Ok(Exit::Ok),
            }
        }
        HookCommand::Update(args) => {
            Ok(answer(&hook::run::update(&args.name, &args.old, &args.new, &given(args.given), clock::now())))
        }
    }
}

fn given(args: GivenArgs) -> HookOptions {
    HookOptions { host: args.host, protected: args.protect }
}

/// Sends the messages to the client. The exit code is the answer to git.
fn answer(answer: &HookAnswer) -> Exit {
    match answer {
        HookAnswer::Accept => Exit::Ok,
        HookAnswer::Warn(text) => {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            Exit::Ok
        }
        HookAnswer::Refuse(text) => {
            // The push is refused even if the client no longer reads the messages.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            Exit::Failed
        }
    }
}

fn repository(place: &PlaceArgs, session: &Session) -> Result<Repo, CliError> {
    Ok(match &place.bare {
        Some(path) => Repo::open(&session.path(path))?,
        None => Repo::discover(&session.dir())?,
    })
}

/// The path of this program.
pub(in crate::cli) fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|e| CliError {
        causes: vec![e.to_string()],
        ..CliError::new(Exit::Failed, "could not find the path of greenroom")
    })
}

/// Warns if the settings say that a gate judges the pushes to the repository, but git does not start it.
pub(in crate::cli) fn warn_without_gate(repo: &Repo) -> Result<(), CliError> {
    if let Some((hook, gap)) = hook::gap(repo, &program()?)?.filter(|(_, gap)| *gap != hook::HookGap::Other) {
        let (message, help) = ungated(repo, hook, gap);
        warn(&format!("{message}; run: {help}"));
    }
    Ok(())
}

/// The message that git starts no gate, and the hint.
pub(in crate::cli) fn ungated(repo: &Repo, hook: Hook, gap: hook::HookGap) -> (String, String) {
    let host = repo.own_setting(hook::install::HOST).unwrap_or_default();
    let (host, dir) = (one_line(&host), repo.git_dir().display().to_string());
    let key = hook::install::HOST;
    let does = if gap == hook::HookGap::Other { "may judge them differently" } else { "does not judge them" };
    let message = format!("{key} is set, so the gate must judge pushes, but the hook {} {does}: {gap}", hook.name());
    (message, format!("greenroom hook install --bare {} --host {host}", one_line(&dir)))
}

fn install(args: InstallArgs, session: &mut Session) -> Result<Exit, CliError> {
    let setup = Setup { greenroom: program()?, host: args.host, protected: args.protect };
    let report = match &args.into {
        Some(dir) => hook::install_into(&session.path(dir), &setup)?,
        None => {
            let repo = repository(&args.place, session)?;
            let free = unprotected(&repo)?;
            let mut report = hook::install(&repo, &setup)?;
            name_folders(&repo, &mut report)?;
            report.warnings.extend(unjudged(&free, &gate_of(&repo)?));
            index_history(&repo);
            report
        }
    };
    print(&report, "the gate is already installed", session)
}

/// Opens the gate of a repository as its settings are now.
fn gate_of(repo: &Repo) -> Result<Gate, CliError> {
    Ok(Gate::of_history(Repo::open_beside(repo.git_dir())?)?)
}

/// Returns the branches that the gate does not protect.
fn unprotected(repo: &Repo) -> Result<Vec<String>, CliError> {
    let gate = gate_of(repo)?;
    let names = repo.reference_names()?;
    Ok(names.into_iter().filter(|name| name.starts_with("refs/heads/") && !gate.protects(name)).collect())
}

/// Returns a warning for each branch that becomes protected with the commits that it has: no gate judged these.
fn unjudged(free: &[String], gate: &Gate) -> Vec<String> {
    let now = free.iter().filter(|name| gate.protects(name));
    let short = now.map(|name| one_line(name.trim_start_matches("refs/heads/")).into_owned());
    let warning = |name: String| {
        format!(
            "the branch {name} is protected from now on, but no gate judged the commits that it has: look at them, or \
             delete the branch and create it again from a commit of a protected branch"
        )
    };
    short.map(warning).collect()
}

/// The folders of all registries in the newest commit; the gate judges each. Empty before the first commit.
pub(in crate::cli) fn judged_folders(repo: &Repo) -> Result<Vec<String>, CliError> {
    let tip = repo.reference(&repo.branch()?)?;
    let root = tip.map(|tip| repo.tree_of(&tip)).transpose()?;
    snapshot::registries(repo, root).map_err(|e| GitError::from(e).into())
}

/// Records the registries that lie deeper than one folder in git's config, so that they are found without a search.
fn name_folders(repo: &Repo, report: &mut Report) -> Result<(), CliError> {
    let named = repo.own_settings(NAMED_FOLDERS);
    let deep = |at: &String| at.trim_end_matches('/').contains('/');
    let found = judged_folders(repo)?.into_iter().filter(deep).map(|at| at.trim_end_matches('/').to_owned());
    let mut all: Vec<String> = named.iter().cloned().chain(found).collect();
    let mut known = BTreeSet::new();
    all.retain(|at| known.insert(at.trim_matches('/').to_owned()));
    if all.len() > named.len() {
        repo.set_own(NAMED_FOLDERS, &all.iter().map(String::as_str).collect::<Vec<_>>())?;
        report.done.push(format!("set {NAMED_FOLDERS} to {}", all.join(", ")));
    }
    Ok(())
}

/// Builds the index of the existing history, so that the first push does not wait for it. An error is not reported
/// here: the gate reports it when it builds the index.
fn index_history(repo: &Repo) {
    let Ok(registry) = Registry::discover(repo.git_dir()) else { return };
    let progress = ProgressBar::counting("Indexing");
    let _ = Index::open(&registry, &mut |p| progress.seen(p.done, p.total));
}

fn print(report: &Report, nothing: &str, session: &mut Session) -> Result<Exit, CliError> {
    if session.out.is_json() {
        session.out.json(&view::HookReport { done: &report.done, warnings: &report.warnings })?;
        return Ok(Exit::Ok);
    }
    for line in &report.done {
        session.out.line(one_line(line));
    }
    if report.done.is_empty() {
        session.out.line(nothing);
    }
    session.out.flush()?;
    report.warnings.iter().for_each(|w| warn(w));
    Ok(Exit::Ok)
}

/// Folders of registries for output.
pub(in crate::cli) fn places(folders: &[String]) -> String {
    let shown = |at: &String| if at.is_empty() { "the root folder".to_owned() } else { at.clone() };
    folders.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn status(place: &PlaceArgs, session: &mut Session) -> Result<Exit, CliError> {
    let repo = repository(place, session)?;
    let standing = hook::status(&repo, &program()?)?;
    let host = hook::run::host(&repo, &HookOptions::default()).map_err(|e| e.to_string());
    let folders = judged_folders(&repo);
    let works = host.is_ok() && folders.is_ok() && standing.iter().all(|s| s.fault.is_none());
    if session.out.is_json() {
        let hook = |s: &hook::install::HookCondition| view::HookState {
            hook: s.hook.name(),
            path: s.path.as_ref().map(|p| p.to_string_lossy().into_owned()),
            fault: s.fault.map(|gap| gap.to_string()),
        };
        let hooks = standing.iter().map(hook).collect();
        let protected = repo.own_settings(hook::install::PROTECTED);
        let host = host.as_ref().ok().map(|h| h.as_str());
        let registries = folders.as_ref().ok().cloned();
        session.out.json(&view::HookStatus { ok: works, host, protected, registries, hooks })?;
    } else {
        for one in &standing {
            let path = one.path.as_ref().map(|p| format!(" {}", one_line(&p.to_string_lossy()))).unwrap_or_default();
            let said = one.fault.map_or_else(|| "installed".to_owned(), |gap| gap.to_string());
            session.out.line(format!("{:<12} {said}{path}", one.hook.name()));
        }
        match &host {
            Ok(host) => session.out.line(format!("{:<12} {host}", "host")),
            Err(why) => session.out.line(format!("{:<12} {}", "host", one_line(why))),
        }
        let judged = match &folders {
            Ok(folders) if folders.is_empty() => {
                "none yet; the gate judges a registry from its first push on".to_owned()
            }
            Ok(folders) => format!("judged in {}", places(folders)),
            Err(e) => format!("cannot be found, so pushes are refused: {}", e.message),
        };
        session.out.line(format!("{:<12} {}", "registry", one_line(&judged)));
    }
    Ok(if works { Exit::Ok } else { Exit::Unverified })
}
