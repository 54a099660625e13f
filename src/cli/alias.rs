//! `greenroom alias`: names that point at versions.

use clap::{Args, Subcommand};
use serde_json::json;

use super::alias_rule::{self, GuardArgs, RulesArgs, UnguardArgs};
use super::change::{self, ChangeArgs};
use super::propose::{self, BranchArgs};
use super::report::{CliError, Exit};
use super::session::Session;
use super::table::Table;
use crate::action::Action;
use crate::apply::Refusal;
use crate::name::{AliasName, ModelName};
use crate::text::one_line;

/// Point names at versions
#[derive(Debug, Subcommand)]
pub(super) enum AliasCommand {
    Set(SetArgs),
    Unset(UnsetArgs),
    List(ListArgs),
    Rules(RulesArgs),
    Guard(Box<GuardArgs>),
    Unguard(UnguardArgs),
}

/// Point an alias at a version, whether or not it points at another now
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The model's name
    name: ModelName,
    /// The alias, such as `champion`
    alias: AliasName,
    /// The version's number
    version: u64,
    #[command(flatten)]
    branch: BranchArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete an alias; one that is not there is passed over
#[derive(Debug, Args)]
pub(super) struct UnsetArgs {
    /// The model's name
    name: ModelName,
    /// The alias
    alias: AliasName,
    #[command(flatten)]
    branch: BranchArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// List the aliases of a model
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The model's name
    name: ModelName,
    /// As of a time or git revision
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

pub(super) fn run(command: AliasCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        AliasCommand::Set(a) => {
            let action = Action::SetAlias { model: a.name, alias: a.alias, version: a.version };
            apply(session, &a.branch, &a.change, action)
        }
        AliasCommand::Unset(a) => {
            apply(session, &a.branch, &a.change, Action::DeleteAlias { model: a.name, alias: a.alias })
        }
        AliasCommand::List(a) => list(&a, session),
        AliasCommand::Rules(a) => alias_rule::list(&a, session),
        AliasCommand::Guard(a) => alias_rule::set(*a, session),
        AliasCommand::Unguard(a) => alias_rule::unset(&a, session),
    }
}

/// Makes the change, or a branch that makes it.
fn apply(session: &mut Session, branch: &BranchArgs, change: &ChangeArgs, action: Action) -> Result<Exit, CliError> {
    match branch.name() {
        Some(_) => propose::run(session, change, branch, &action),
        None => change::apply(session, change, &[action]),
    }
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let snapshot = registry.as_of(args.at.as_deref())?;
    let view = snapshot.model(&args.name)?.ok_or_else(|| Refusal::no_model(&args.name))?;
    let mut all = Vec::new();
    for (alias, file) in view.aliases()? {
        let Some(pointer) = file.value else { continue };
        all.push((alias, pointer.version, view.stage_of(pointer.version)?));
    }
    if session.out.is_json() {
        let rows: Vec<_> = all.iter().map(|(a, v, s)| json!({"alias": a, "version": v, "current_stage": s})).collect();
        session.out.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        session.out.line(format!("{} has no aliases.", one_line(args.name.as_str())));
    }
    let mut table = Table::new(&["ALIAS", "VERSION", "STAGE"]);
    for (alias, version, stage) in all {
        table.row([alias.to_string(), version.to_string(), stage.to_string()]);
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}
