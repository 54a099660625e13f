//! Makes a change and prints the result, in the same way for every command that changes the registry.

use std::collections::BTreeSet;

use clap::Args;

use super::complete;
use super::output::{DIM, GREEN, RED, YELLOW, styled};
use super::report::{CliError, Exit};
use super::session::Session;
use crate::action::Action;
use crate::event::Event;
use crate::name::{ModelName, UserName};
use crate::phrase;
use crate::registry::{ChangeOptions, ChangeOutcome, Registry};
use crate::snapshot::ModelView;
use crate::text::{Text, one_line};
use crate::tree::TreeError;
use crate::view;

/// The largest number of changed models whose files are checked for faults after a change.
const MAX_DOUBTED: usize = 20;

/// Options of every command that changes the registry.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ChangeArgs {
    /// Show the verdict and the commit, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Give the reason for the change; it is recorded in the commit
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Act as this person of the registry instead of git's identity
    #[arg(long = "as", value_name = "PERSON", add = complete::person())]
    named: Option<UserName>,
    /// Do not wait until the disk confirms the write (fsync)
    #[arg(long, hide_short_help = true)]
    relaxed: bool,
}

impl ChangeArgs {
    /// Whether the command must change nothing.
    pub(in crate::cli) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Whether the command does not wait for the disk.
    pub(in crate::cli) fn is_relaxed(&self) -> bool {
        self.relaxed
    }

    /// The person of `--as`.
    pub(in crate::cli) fn person(&self) -> Option<&UserName> {
        self.named.as_ref()
    }

    /// The message as a text that can be stored; empty without a message.
    ///
    /// # Errors
    /// The message is not a valid [`Text`], for example because it is too long.
    pub(in crate::cli) fn text(&self) -> Result<Text, CliError> {
        let given = self.message.as_deref().unwrap_or_default();
        Text::new(given).map_err(|e| CliError::usage(format!("--message: {e}")))
    }
}

/// Makes the change as one commit and prints the events.
///
/// The message goes into the commit. Commands that store the message in a file of the registry call [`apply_stored`].
pub(in crate::cli) fn apply(session: &mut Session, args: &ChangeArgs, actions: &[Action]) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let comment = args.text()?.as_str().to_owned();
    run(session, &registry, args, actions, comment, &[])
}

/// Makes the change without the message in the commit, for actions that store the message themselves.
pub(in crate::cli) fn apply_stored(
    session: &mut Session,
    args: &ChangeArgs,
    actions: &[Action],
) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    run(session, &registry, args, actions, String::new(), &[])
}

/// Makes the change with a comment for the commit, and prints `warnings` with the result.
pub(in crate::cli) fn run(
    session: &mut Session,
    registry: &Registry,
    args: &ChangeArgs,
    actions: &[Action],
    comment: String,
    warnings: &[String],
) -> Result<Exit, CliError> {
    let change_author = session.change_author(registry, args.named.as_ref())?;
    let now = session.now(&change_author.committer);
    let options = ChangeOptions { comment, dry_run: args.dry_run, relaxed: args.relaxed };
    let outcome = registry.change(&change_author, actions, now, &options)?;
    let warnings: Vec<String> = warnings.iter().cloned().chain(doubts(registry, &outcome)?).collect();
    print_with(session, &outcome, args.dry_run, &warnings)
}

/// The faults in the files of the changed models.
fn doubts(registry: &Registry, outcome: &ChangeOutcome) -> Result<Vec<String>, CliError> {
    let names: BTreeSet<&ModelName> = outcome.diff.events.iter().filter_map(Event::model).collect();
    let (state, mut out) = (registry.snapshot()?, Vec::new());
    for name in names.into_iter().take(MAX_DOUBTED) {
        if let Some(view) = state.model(name)? {
            out.extend(file_faults(&view)?);
        }
    }
    Ok(out)
}

/// Prints what a change did, or would do.
pub(in crate::cli) fn print(session: &mut Session, outcome: &ChangeOutcome, dry_run: bool) -> Result<Exit, CliError> {
    print_with(session, outcome, dry_run, &[])
}

fn print_with(
    session: &mut Session,
    outcome: &ChangeOutcome,
    dry_run: bool,
    warnings: &[String],
) -> Result<Exit, CliError> {
    let exit = if outcome.verdict.passes() { Exit::Ok } else { Exit::Refused };
    if session.out.is_json() {
        session.out.json(&view::Change {
            commit: outcome.commit,
            dry_run,
            events: &outcome.diff.events,
            faults: &outcome.verdict.faults,
            message: &outcome.message,
            warnings,
        })?;
    } else {
        as_text(session, outcome, dry_run);
        session.out.flush()?;
        warnings.iter().for_each(|w| super::report::warn(w));
    }
    if let Some(why) = &outcome.left_behind {
        let hint = "the commit was made; `git status` shows the work tree, and `git restore .` updates it";
        return Err(CliError::new(Exit::Conflict, format!("the work tree was not updated: {why}")).hint(hint));
    }
    Ok(exit)
}

fn as_text(session: &mut Session, outcome: &ChangeOutcome, dry_run: bool) {
    let out = &mut session.out;
    if outcome.diff.is_empty() {
        out.line("Nothing to do: the registry already has this state.");
        return;
    }
    if dry_run {
        out.line("Would make this commit:");
        out.line("");
        out.block(&outcome.message, "    ");
        out.line("");
    }
    // Changes of files beside the data are listed one by one only if there are few.
    let beside = outcome.diff.events.iter().filter(|e| matches!(e, Event::FileChanged { .. })).count();
    let few = beside <= 3;
    for event in outcome.diff.events.iter().filter(|e| few || !matches!(e, Event::FileChanged { .. })) {
        out.line(format!("  {}", one_line(&phrase::act(event))));
    }
    if !few {
        out.line(format!("  write {beside} files for git and editors"));
    }
    if outcome.diff.events.is_empty() {
        out.line(format!("  rearrange {} files", outcome.diff.files.len()));
    }
    if dry_run {
        out.line("");
        if outcome.verdict.passes() {
            out.line(styled(GREEN, "The rules allow it."));
        } else {
            out.line(styled(RED, "The rules refuse it:"));
            for fault in &outcome.verdict.faults {
                out.line(format!("  {fault}"));
                if !fault.problem.help.is_empty() {
                    out.line(format!("    {}", one_line(&fault.problem.help)));
                }
            }
        }
    }
    if let Some(commit) = outcome.commit {
        out.line(format!(
            "{} {}",
            styled(YELLOW, &commit.short()),
            styled(DIM, outcome.message.lines().next().unwrap_or_default())
        ));
    }
}

/// The faults of a model's own files, each with a hint.
pub(in crate::cli) fn file_faults(view: &ModelView<'_>) -> Result<Vec<String>, TreeError> {
    let told = |problem: &crate::format::Problem| format!("{problem}; `greenroom check` lists every fault");
    let mut out: Vec<String> = view.file()?.iter().filter_map(|file| file.problems.first()).map(told).collect();
    out.extend(view.stages()?.iter().filter_map(|(_, file)| file.problems.first()).map(told));
    out.extend(view.aliases()?.iter().filter_map(|(_, file)| file.problems.first()).map(told));
    Ok(out)
}
