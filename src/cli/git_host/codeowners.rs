//! `greenroom codeowners`: the grants as a CODEOWNERS file of the git host.

use clap::Args;

use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::codeowners::{self, Host};
use crate::view;

/// Print CODEOWNERS from the grants and stage rules, so that the git host asks the right people for reviews
///
/// Example: `greenroom codeowners --host github --write`
///
/// The file names the people who may decide about stages, aliases, grants, people and settings. A person is named by
/// their first login, otherwise by their id. Uncommitted edits count. The lines are a section of the file; other lines
/// stay. `greenroom check` warns when the section no longer matches the grants.
#[derive(Debug, Args)]
pub(in crate::cli) struct CodeownersArgs {
    /// The kind of host: github, gitlab, or gitea (also Forgejo); by default the host that the repository is set up
    /// for
    #[arg(long, value_parser = host)]
    host: Option<Host>,
    /// Write the file where the host reads it; commit it with git
    #[arg(long)]
    write: bool,
}

fn host(s: &str) -> Result<Host, String> {
    let names = || Host::ALL.map(Host::as_str).join(", ");
    Host::ALL.into_iter().find(|h| h.as_str() == s).ok_or_else(|| format!("must be one of {}", names()))
}

pub(in crate::cli) fn run(args: &CodeownersArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let dir = registry.repo().work_dir();
    let files = registry.codeowners()?;
    let set_up = |host: &[&str]| dir.as_ref().is_some_and(|d| host.iter().any(|p| d.join(p).exists()));
    let guess = || match files.iter().find_map(|(_, text)| codeowners::host_of(text)) {
        Some(host) => host,
        None if set_up(&[".gitlab-ci.yml", ".gitlab"]) => Host::Gitlab,
        None if set_up(&[".gitea", ".forgejo"]) => Host::Gitea,
        None => Host::Github,
    };
    let host = args.host.unwrap_or_else(guess);
    let there = |place: &str| files.iter().find(|(path, _)| path == place);
    let found = host.places().into_iter().find_map(there);
    let (path, old) = found.map_or((host.home(), ""), |(path, text)| (path.as_str(), text.as_str()));
    let section = registry.edited(|state| Ok(codeowners::section(host, state)?))?;
    let text = codeowners::renew(old, &section);
    let current = text == old;
    if args.write && !current {
        let dir = dir.ok_or_else(|| {
            CliError::new(Exit::Failed, "a bare repository has no work tree to write into")
                .hint("clone it, run this in the clone, commit and push")
        })?;
        crate::cli::registry::schema::refuse_links(&dir, path)?;
        let file = dir.join(path);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&file, &text)?;
    }
    if session.out.is_json() {
        let written = args.write && !current;
        session.out.json(&view::CodeownersFile { host: host.as_str(), path, text: &text, current, written })?;
    } else if !args.write {
        session.out.block(&text, "");
    } else if current {
        session.out.foreign(&format!("{path} already matches the grants."));
    } else {
        session.out.line(format!("  wrote {path}"));
        session.out.line("Commit it with git.");
    }
    Ok(Exit::Ok)
}
