//! `greenroom index`: the derived index of history and searches.

use clap::Subcommand;

use crate::cli::terminal::progress::{ProgressBar, size};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::index::{self, Health, Index};
use crate::text::one_line;
use crate::view;

/// Manage the index that answers log and search; it derives from the commits, so you can delete it
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum IndexCommand {
    /// Check the stored index and show how far it reaches
    Status,
    /// Rebuild the index from the commits
    Rebuild,
}

pub(in crate::cli) fn run(command: &IndexCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        IndexCommand::Status => status(session),
        IndexCommand::Rebuild => rebuild(session),
    }
}

fn status(session: &mut Session) -> Result<Exit, CliError> {
    let found = index::status(&session.registry()?)?;
    let (word, exit, damage) = match &found.health {
        Health::Absent => ("absent", Exit::Ok, None),
        Health::Current => ("current", Exit::Ok, None),
        Health::Behind => ("behind", Exit::Ok, None),
        Health::Damaged(what) => ("damaged", Exit::Unverified, Some(what)),
    };
    if session.out.is_json() {
        session.out.json(&view::IndexStatus {
            health: word,
            damage: damage.map(String::as_str),
            commit: found.tip,
            commits: found.commits,
            bytes: found.bytes,
            folder: found.folder.to_string_lossy().into_owned(),
        })?;
        return Ok(exit);
    }
    let (commits, bytes) = (counted(found.commits), size(found.bytes));
    let tip = found.tip.map(|c| c.short()).unwrap_or_default();
    session.out.line(match &found.health {
        Health::Absent => "There is no index yet; `greenroom log` or `greenroom search` builds it.".to_owned(),
        Health::Current => format!("The index is up to date: {commits} up to {tip}, {bytes}."),
        Health::Behind => {
            format!("The index has {commits} up to {tip}, {bytes}; the next query updates it.")
        }
        Health::Damaged(what) => {
            format!("The index is damaged ({}); the next query rebuilds it.", one_line(what))
        }
    });
    Ok(exit)
}

/// A number of commits with its noun.
fn counted(commits: u64) -> String {
    if commits == 1 { "1 commit".to_owned() } else { format!("{commits} commits") }
}

fn rebuild(session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let progress = ProgressBar::counting("Indexing");
    let index = Index::rebuild(&registry, &mut |p| progress.seen(p.done, p.total))?;
    drop(progress);
    if session.out.is_json() {
        session.out.json(&view::IndexRebuild { commit: index.tip(), commits: index.commits() })?;
    } else {
        session.out.line(format!("Indexed {}.", counted(index.commits())));
    }
    Ok(Exit::Ok)
}
