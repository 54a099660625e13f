//! `greenroom alias`: aliases of model versions.

use clap::{Args, Subcommand};

use super::alias_rule::{self, GuardArgs, RulesArgs, UnguardArgs};
use crate::action::Action;
use crate::apply::Refusal;
use crate::cli::review::propose::{self, BranchArgs};
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::cli::terminal::version_argument;
use crate::name::{AliasName, InvalidName, ModelName};
use crate::reference::{InvalidRef, ModelRef, VersionPick};
use crate::text::one_line;
use crate::view;

/// Manage aliases: names that point to model versions
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AliasCommand {
    Set(SetArgs),
    Unset(UnsetArgs),
    List(ListArgs),
    Rules(RulesArgs),
    Guard(Box<GuardArgs>),
    Unguard(UnguardArgs),
}

/// Point an alias to a version; an existing alias moves to that version
///
/// Example: `greenroom alias set churn champion 3`
#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    /// The alias, as NAME ALIAS or NAME@ALIAS (churn champion, churn@champion), then the version: a number, a stage,
    /// @ALIAS or latest. Or the version as a reference, then the alias (churn/2 champion)
    #[arg(value_names = ["NAME", "ALIAS", "VERSION"], num_args = 2..=3, required = true, add = complete::version())]
    words: Vec<String>,
    #[command(flatten)]
    branch: BranchArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete an alias; no error if the alias does not exist
///
/// Example: `greenroom alias unset churn champion`
#[derive(Debug, Args)]
pub(in crate::cli) struct UnsetArgs {
    /// The alias, as NAME ALIAS or NAME@ALIAS (churn champion, churn@champion)
    #[arg(value_names = ["NAME", "ALIAS"], num_args = 1..=2, required = true, add = complete::version())]
    words: Vec<String>,
    #[command(flatten)]
    branch: BranchArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// List the aliases of a model
///
/// Example: `greenroom alias list churn`
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// The model's name; NAME@{MOMENT} shows an earlier state
    #[arg(add = complete::model())]
    name: String,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

pub(in crate::cli) fn run(command: AliasCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        AliasCommand::Set(a) => {
            let (model, alias, pick) = pointed(&a.words)?;
            let version = match pick {
                VersionPick::Number(number) => number,
                pick @ (VersionPick::Model | VersionPick::Stage(_) | VersionPick::Alias(_) | VersionPick::Latest) => {
                    let wanted = ModelRef { model: model.clone(), pick, moment: None };
                    version_argument::find(&a.branch.snapshot(&session.registry()?)?, &wanted)?.1.number
                }
            };
            apply(session, &a.branch, &a.change, Action::SetAlias { model, alias, version })
        }
        AliasCommand::Unset(a) => {
            let (model, alias, _) = leading(&a.words, 0)?;
            apply(session, &a.branch, &a.change, Action::DeleteAlias { model, alias })
        }
        AliasCommand::List(a) => list(&a, session),
        AliasCommand::Rules(a) => alias_rule::list(&a, session),
        AliasCommand::Guard(a) => alias_rule::set(*a, session),
        AliasCommand::Unguard(a) => alias_rule::unset(&a, session),
    }
}

/// Makes the change on the current branch, or creates a branch that makes the change.
fn apply(session: &mut Session, branch: &BranchArgs, change: &ChangeArgs, action: Action) -> Result<Exit, CliError> {
    match branch.name() {
        Some(_) => propose::run(session, change, branch, &action),
        None => change::apply(session, change, &[action]),
    }
}

/// Reads the alias and its new target from the words: first the alias, or first the version as a reference.
fn pointed(words: &[String]) -> Result<(ModelName, AliasName, VersionPick), CliError> {
    if let [reference, alias] = words
        && let Ok(ModelRef {
            model,
            pick: pick @ (VersionPick::Number(_) | VersionPick::Stage(_) | VersionPick::Latest),
            moment,
        }) = reference.parse()
    {
        if moment.is_some() {
            return Err(CliError::usage("an alias can only point to a version of the current state; leave out `@{…}`"));
        }
        let alias = alias.strip_prefix('@').unwrap_or(alias);
        return Ok((model, alias.parse().map_err(|e: InvalidName| CliError::usage(e.to_string()))?, pick));
    }
    let (model, alias, rest) = leading(words, 1)?;
    let word = rest.first().map(String::as_str).unwrap_or_default();
    let pick = version_argument::pick(word).map_err(|e| CliError::usage(format!("invalid version: {e}")))?;
    Ok((model, alias, pick))
}

/// Splits the words into the alias at their start (NAME ALIAS or NAME@ALIAS) and the `after` words that follow.
fn leading(words: &[String], after: usize) -> Result<(ModelName, AliasName, &[String]), CliError> {
    let wrong = |e: &dyn std::error::Error| CliError::usage(e.to_string());
    match words {
        [reference, rest @ ..] if rest.len() == after => {
            let form = "write NAME ALIAS or NAME@ALIAS";
            let found: ModelRef = reference.parse().map_err(|e: InvalidRef| wrong(&e))?;
            match found {
                ModelRef { model, pick: VersionPick::Alias(alias), moment: None } => Ok((model, alias, rest)),
                ModelRef { .. } => Err(CliError::usage("the name of the alias is missing").hint(form)),
            }
        }
        [name, alias, rest @ ..] if rest.len() == after => {
            let alias = alias.strip_prefix('@').unwrap_or(alias);
            let model = name.parse().map_err(|e: InvalidName| wrong(&e))?;
            Ok((model, alias.parse().map_err(|e: InvalidName| wrong(&e))?, rest))
        }
        [..] => Err(CliError::usage("write NAME ALIAS or NAME@ALIAS, then the version for the alias")),
    }
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let (name, at) = version_argument::model_at(&args.name, args.at.as_deref())?;
    session.note_edits(&registry, at.as_deref());
    let snapshot = registry.as_of(at.as_deref())?;
    let view = snapshot.model(&name)?.ok_or_else(|| Refusal::no_model(&name))?;
    let mut all = Vec::new();
    for (alias, file) in view.aliases()? {
        let Some(pointer) = file.value else { continue };
        all.push((alias, pointer.version, view.stage_of(pointer.version)?));
    }
    if session.out.is_json() {
        let rows: Vec<_> =
            all.into_iter().map(|(alias, version, stage)| view::Alias { alias, version, stage }).collect();
        session.out.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        session.out.line(format!("{} has no aliases.", one_line(name.as_str())));
    }
    let mut table = Table::new(&["ALIAS", "VERSION", "STAGE"]);
    for (alias, version, stage) in all {
        table.row([alias.to_string(), version.to_string(), stage.to_string()]);
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}
