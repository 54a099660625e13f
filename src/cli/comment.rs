//! `greenroom comment`: comments on versions.

use std::io::Read as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::change::{self, ChangeArgs};
use super::landed::{History, landed_by, with_lander};
use super::output::{YELLOW, styled};
use super::pick;
use super::report::{CliError, Exit};
use super::session::Session;
use crate::action::Action;
use crate::apply::Refusal;
use crate::entity::Comment;
use crate::index::Landers;
use crate::name::ModelName;
use crate::registry::Registry;
use crate::text::{MAX_TEXT, Text, one_line};

/// Discuss versions
#[derive(Debug, Subcommand)]
pub(super) enum CommentCommand {
    Add(AddArgs),
    List(ListArgs),
    Edit(EditArgs),
    Delete(DeleteArgs),
}

/// Comment on a version
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The model's name
    name: ModelName,
    /// The version's number
    version: u64,
    /// What to say (Markdown); `-` reads it from standard input, and -m does as well
    text: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// List the comments on a version, oldest first
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The model's name
    name: ModelName,
    /// The version's number
    version: u64,
    /// As of a time or git revision
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Edit a comment; its author may
#[derive(Debug, Args)]
pub(super) struct EditArgs {
    /// The model's name
    name: ModelName,
    /// The version's number
    version: u64,
    /// The comment's id, or a start or end of it that is unique
    id: String,
    /// The new text (Markdown); `-` reads it from standard input, and -m does as well
    text: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete a comment; its author and who manages the model may
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// The model's name
    name: ModelName,
    /// The version's number
    version: u64,
    /// The comment's id, or a start or end of it that is unique
    id: String,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(command: CommentCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        CommentCommand::Add(a) => {
            let text = said(a.text.as_deref(), &a.change)?;
            let action = Action::AddComment { model: a.name, version: a.version, text };
            change::apply_stored(session, &a.change, &[action])
        }
        CommentCommand::List(a) => list(&a, session),
        CommentCommand::Edit(a) => {
            let text = said(a.text.as_deref(), &a.change)?;
            let id = find(&session.registry()?, &a.name, a.version, &a.id)?.id;
            let action = Action::EditComment { model: a.name, version: a.version, id, text };
            change::apply_stored(session, &a.change, &[action])
        }
        CommentCommand::Delete(a) => {
            let comment = find(&session.registry()?, &a.name, a.version, &a.id)?;
            let what = format!("the comment {} by {}", pick::short(&comment.id), comment.created_by);
            session.confirm_deletion(&what, pick::short(&comment.id), a.yes)?;
            let action = Action::DeleteComment { model: a.name, version: a.version, id: comment.id };
            change::apply(session, &a.change, &[action])
        }
    }
}

/// What is to be said: the argument, standard input for `-`, or the message.
fn said(given: Option<&str>, change: &ChangeArgs) -> Result<Text, CliError> {
    let message = change.text()?;
    match given {
        Some(_) if !message.is_empty() => Err(CliError::usage("give the text as an argument or with -m, not both")),
        Some("-") => {
            let mut text = String::new();
            // One byte more than a text may have, so that a longer one is refused and not cut.
            let limit = u64::try_from(MAX_TEXT * 4 + 1).unwrap_or(u64::MAX);
            std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
            Text::new(text.trim_end()).map_err(|e| CliError::usage(e.to_string()))
        }
        Some(text) => Text::new(text).map_err(|e| CliError::usage(e.to_string())),
        None if message.is_empty() => {
            Err(CliError::usage("say something: give a text, -m TEXT, or `-` for standard input"))
        }
        None => Ok(message),
    }
}

fn find(registry: &Registry, model: &ModelName, version: u64, id: &str) -> Result<Comment, CliError> {
    let snapshot = registry.snapshot()?;
    let view = snapshot.model(model)?.ok_or_else(|| Refusal::no_model(model))?;
    let view = view.version(version)?.ok_or_else(|| Refusal::no_version(model, version))?;
    let mut all = view.comments()?;
    let id = pick::by_part("comment", id, all.keys())?.clone();
    let file = all.remove(&id).and_then(|f| f.value);
    file.ok_or_else(|| CliError::new(Exit::Failed, format!("the comment {id} cannot be read")).hint("greenroom check"))
}

/// A comment with the field names of the REST contract.
pub(super) fn as_json(model: &ModelName, version: u64, c: &Comment, landers: &Landers) -> Value {
    let shown = json!({
        "id": c.id,
        "name": model,
        "version": version,
        "user_id": c.created_by,
        "creation_timestamp": c.created_at.as_millis(),
        "last_updated_timestamp": c.edited_at.unwrap_or(c.created_at).as_millis(),
        "comment": c.text,
    });
    with_lander(shown, landers.of(&c.id))
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let snapshot = registry.as_of(args.at.as_deref())?;
    let view = snapshot.model(&args.name)?.ok_or_else(|| Refusal::no_model(&args.name))?;
    let view = view.version(args.version)?.ok_or_else(|| Refusal::no_version(&args.name, args.version))?;
    let comments: Vec<Comment> = view.comments()?.into_values().filter_map(|f| f.value).collect();
    let landers = History::open(session, &registry, args.at.as_deref()).landers(&args.name, args.version);
    let out = &mut session.out;
    if out.is_json() {
        out.json(&comments.iter().map(|c| as_json(&args.name, args.version, c, &landers)).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    if comments.is_empty() {
        out.line(format!("No comments on {} version {} yet.", one_line(args.name.as_str()), args.version));
    }
    for (i, c) in comments.iter().enumerate() {
        if i > 0 {
            out.line("");
        }
        let edited = c.edited_at.map_or(String::new(), |t| format!(", edited {}", t.short()));
        let landed = landed_by(landers.of(&c.id));
        let id = styled(YELLOW, pick::short(&c.id));
        out.line(format!("{id} {}, {}{edited}{landed}", c.created_by, c.created_at.short()));
        out.block(c.text.as_str(), "    ");
    }
    Ok(Exit::Ok)
}
