//! `greenroom comment`: comments on versions.

use std::io::Read as _;

use crate::action::Action;
use crate::apply::Refusal;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::committers::{History, landed_by};
use crate::cli::terminal::complete;
use crate::cli::terminal::id_prefix;
use crate::cli::terminal::output::{YELLOW, local, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::version_argument::{self, VersionArgument};
use crate::entity::Comment;
use crate::name::ModelName;
use crate::registry::Registry;
use crate::text::{MAX_TEXT, Text, one_line};
use crate::view;
use clap::{Args, Subcommand};

/// Manage comments on versions
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CommentCommand {
    Add(AddArgs),
    List(ListArgs),
    Edit(EditArgs),
    Delete(DeleteArgs),
}

/// Comment on a version
///
/// Example: `greenroom comment add churn 3 'AUC is stable on the new data'`
#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// The version, as NAME VERSION or NAME/VERSION (churn 3, churn/3, churn/Staging, churn@champion), then the text
    /// (Markdown); `-` reads the text from standard input, and -m TEXT works as well
    #[arg(value_names = ["NAME", "VERSION", "TEXT"], num_args = 1..=3, required = true, add = complete::version())]
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// List the comments on a version, oldest first
///
/// Example: `greenroom comment list churn 3`
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    target: VersionArgument,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Edit your own comment
///
/// Example: `greenroom comment edit churn 3 4f2a 'AUC is stable'`
#[derive(Debug, Args)]
pub(in crate::cli) struct EditArgs {
    /// The version, as NAME VERSION or NAME/VERSION (churn 3, churn/3, churn/Staging, churn@champion), then the
    /// comment's id (or a unique start or end of the id), then the new text (Markdown). `-` reads the text from
    /// standard input, and -m TEXT works as well
    #[arg(value_names = ["NAME", "VERSION", "ID", "TEXT"], num_args = 2..=4, required = true, add = complete::version())]
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete a comment: your own, or any comment if you manage the model
///
/// Example: `greenroom comment delete churn 3 4f2a`
#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    /// The version, as NAME VERSION or NAME/VERSION (churn 3, churn/3, churn/Staging, churn@champion), then the
    /// comment's id, or a unique start or end of the id
    #[arg(value_names = ["NAME", "VERSION", "ID"], num_args = 2..=3, required = true, add = complete::version())]
    words: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(command: CommentCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        CommentCommand::Add(a) => {
            let (target, rest) = VersionArgument::leading(&a.words, 0..=1)?;
            let text = said(rest.first().map(String::as_str), &a.change)?;
            let (model, version) = target.of_now(&session.registry()?.snapshot()?)?;
            let action = Action::AddComment { model, version, text };
            change::apply_stored(session, &a.change, &[action])
        }
        CommentCommand::List(a) => list(&a, session),
        CommentCommand::Edit(a) => {
            let (target, rest) = VersionArgument::leading(&a.words, 1..=2)?;
            let text = said(rest.get(1).map(String::as_str), &a.change)?;
            let (model, version, comment) = find(&session.registry()?, &target, rest)?;
            let action = Action::EditComment { model, version, id: comment.id, text };
            change::apply_stored(session, &a.change, &[action])
        }
        CommentCommand::Delete(a) => {
            let (target, rest) = VersionArgument::leading(&a.words, 1..=1)?;
            let (model, version, comment) = find(&session.registry()?, &target, rest)?;
            let what = format!("the comment {} by {}", id_prefix::short(&comment.id), comment.created_by);
            session.confirm_deletion(&what, id_prefix::short(&comment.id), a.yes || a.change.is_dry_run())?;
            let action = Action::DeleteComment { model, version, id: comment.id };
            change::apply(session, &a.change, &[action])
        }
    }
}

/// The text of the comment: the argument, standard input for `-`, or the message of `-m`.
fn said(given: Option<&str>, change: &ChangeArgs) -> Result<Text, CliError> {
    let message = change.text()?;
    match given {
        Some(_) if !message.is_empty() => Err(CliError::usage("give the text as an argument or with -m, not both")),
        Some("-") => {
            let mut text = String::new();
            // Reads one byte more than a text may have, so that a longer text is refused and not cut.
            let limit = u64::try_from(MAX_TEXT * 4 + 1).unwrap_or(u64::MAX);
            std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
            Text::new(text.trim_end()).map_err(|e| CliError::usage(e.to_string()))
        }
        Some(text) => Text::new(text).map_err(|e| CliError::usage(e.to_string())),
        None if message.is_empty() => {
            Err(CliError::usage("the text is missing: give a text, -m TEXT, or `-` for standard input"))
        }
        None => Ok(message),
    }
}

/// Finds the comment of a version whose id, or a part of it, is the first word of `rest`.
fn find(registry: &Registry, target: &VersionArgument, rest: &[String]) -> Result<(ModelName, u64, Comment), CliError> {
    let snapshot = registry.snapshot()?;
    let (model, version) = target.of_now(&snapshot)?;
    let id = rest.first().map(String::as_str).unwrap_or_default();
    let view = snapshot.model(&model)?.ok_or_else(|| Refusal::no_model(&model))?;
    let view = view.version(version)?.ok_or_else(|| Refusal::no_version(&model, version))?;
    let mut all = view.comments()?;
    let id = id_prefix::by_part("comment", id, all.keys())?.clone();
    let file = all.remove(&id).and_then(|f| f.value);
    let comment = file.ok_or_else(|| {
        CliError::new(Exit::Failed, format!("the comment {id} cannot be read")).hint("greenroom check")
    })?;
    Ok((model, version, comment))
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let wanted = args.target.reference_at(args.at.as_deref())?;
    let snapshot = registry.as_of(wanted.moment.as_deref())?;
    let (_, view) = version_argument::find(&snapshot, &wanted)?;
    let comments: Vec<Comment> = view.comments()?.into_values().filter_map(|f| f.value).collect();
    let landers = History::open(session, &registry, wanted.moment.as_deref()).landers(&wanted.model, view.number);
    let (out, number) = (&mut session.out, view.number);
    if out.is_json() {
        let shown = |c: &Comment| view::Comment::new(&wanted.model, number, c, landers.of(&c.id));
        out.json(&comments.iter().map(shown).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    if comments.is_empty() {
        out.line(format!("No comments on {} version {} yet.", one_line(wanted.model.as_str()), view.number));
    }
    for (i, c) in comments.iter().enumerate() {
        if i > 0 {
            out.line("");
        }
        let edited = c.edited_at.map_or(String::new(), |t| format!(", edited {}", local(t)));
        let landed = landed_by(landers.of(&c.id));
        let id = styled(YELLOW, id_prefix::short(&c.id));
        out.line(format!("{id} {}, {}{edited}{landed}", c.created_by, local(c.created_at)));
        out.block(c.text.as_str(), "    ");
    }
    Ok(Exit::Ok)
}
