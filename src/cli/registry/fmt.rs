//! `greenroom fmt`: rewrites files of the registry in canonical order and spacing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use crate::cli::git_host::check::within;
use crate::cli::terminal::report::{self, CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::entity::{Access, AliasPointer, Comment, Model, Person, Request, Settings, StagePointer, Version, Webhook};
use crate::format::canonical::canonical;
use crate::format::path::Location;
use crate::format::{MAX_FILE, Problem};
use crate::git::WorkFile;
use crate::text::one_line;
use crate::tree::EntryKind;
use crate::view;

/// Format files of the work tree: the order and spacing that greenroom writes; comments stay
///
/// Example: `greenroom fmt --check`
///
/// The meaning of the files does not change. A file with faults stays as it is; `greenroom check` lists the faults.
///
/// With --check nothing is written. The exit code is 1 if a file would change.
#[derive(Debug, Args)]
pub(in crate::cli) struct FmtArgs {
    /// Only these files and folders; by default the whole registry
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only list the files that are not in canonical form
    #[arg(long)]
    check: bool,
}

pub(in crate::cli) fn run(args: &FmtArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let none = || {
        CliError::new(Exit::Failed, "a bare repository has no work tree to format")
            .hint("clone it and run this in the clone")
    };
    let root = registry.repo().work_dir().ok_or_else(none)?;
    let wanted = args.paths.iter().map(|p| within(&registry, &session.path(p))).collect::<Result<Vec<_>, _>>()?;
    let files = registry.repo().work_files(registry.at())?.unwrap_or_default();
    let layout = registry.edited(|state| Ok(state.layout()?))?;
    let mut converter = registry.repo().converter()?;
    let (mut rewritten, mut faulty) = (Vec::new(), BTreeSet::new());
    for (path, file) in files {
        let asked = wanted.is_empty() || wanted.iter().any(|w| path.starts_with(w) || format!("{path}/") == *w);
        let (WorkFile::Recorded(kind, _) | WorkFile::Changed(kind, _)) = file;
        let Some(place) = path.strip_prefix(registry.at()).and_then(|p| Location::parse(p, layout).ok()) else {
            continue;
        };
        let file = root.join(&path);
        if !asked || kind != EntryKind::File || !file.metadata().is_ok_and(|m| m.len() <= MAX_FILE) {
            continue;
        }
        let Some(form) = form_of(&place) else { continue };
        let bytes = std::fs::read(&file)?;
        // In the work tree git may store the file in another form, for example with CRLF.
        let bytes = converter.to_git(&path, &bytes)?.unwrap_or(bytes);
        match std::str::from_utf8(&bytes).map(|text| (text, form(&path, text))) {
            Ok((text, Ok(new))) if new == text => {}
            Ok((_, Ok(new))) => {
                if !args.check {
                    std::fs::write(&file, converter.to_work_tree(&path, new.into_bytes())?)?;
                }
                rewritten.push(path);
            }
            Ok((_, Err(_))) | Err(_) => drop(faulty.insert(path)),
        }
    }
    // A file that cannot be read in full is not in canonical form.
    let exit = if args.check && !(rewritten.is_empty() && faulty.is_empty()) { Exit::Failed } else { Exit::Ok };
    if session.out.is_json() {
        session.out.json(&view::FormattedFiles { changed: &rewritten, faulty: &faulty, written: !args.check })?;
        return Ok(exit);
    }
    let verb = if args.check { "is not in canonical form:" } else { "rewrote" };
    rewritten.iter().for_each(|path| session.out.foreign(&format!("  {verb} {path}")));
    if rewritten.is_empty() && faulty.is_empty() {
        session.out.line("All files are in canonical form.");
    }
    session.out.flush()?;
    for path in &faulty {
        report::warn(&format!("{} has faults and stays as it is; `greenroom check` lists the faults", one_line(path)));
    }
    Ok(exit)
}

/// A formatter for one kind of file. Only records of the registry have one.
type Form = fn(&str, &str) -> Result<String, Vec<Problem>>;

fn form_of(place: &Location) -> Option<Form> {
    Some(match place {
        Location::Settings => canonical::<Settings>,
        Location::Access | Location::ModelAccess(_) => canonical::<Access>,
        Location::Person(_) => canonical::<Person>,
        Location::Webhook(_) => canonical::<Webhook>,
        Location::Model(_) => canonical::<Model>,
        Location::Stage(..) => canonical::<StagePointer>,
        Location::Alias(..) => canonical::<AliasPointer>,
        Location::Version(..) => canonical::<Version>,
        Location::Request(..) => canonical::<Request>,
        Location::Comment(..) => canonical::<Comment>,
        Location::Artifact(..) | Location::Attributes(..) | Location::Companion(_) => return None,
    })
}
