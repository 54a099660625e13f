//! `greenroom alias rules|guard|unguard`: rules about who may move an alias, and to which versions.

use clap::Args;

use crate::action::Action;
use crate::cli::registry::settings::current;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::conditions::{self, ConditionArgs};
use crate::cli::terminal::output::{BOLD, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::value_parser::level;
use crate::entity::PermissionLevel;
use crate::entity::settings::AliasRule;
use crate::name::{AliasName, Principal};
use crate::stage::Stage;
use crate::time::Calendar;
use crate::view;

/// List the guarded aliases with their rules
///
/// Example: `greenroom alias rules`
#[derive(Debug, Args)]
pub(in crate::cli) struct RulesArgs {
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Guard an alias in all models, or change its rule
///
/// Example: `greenroom alias guard champion --approver group:leads --approvals 1`
///
/// Options that you leave out keep their value.
#[derive(Debug, Args)]
pub(in crate::cli) struct GuardArgs {
    /// The alias, such as `champion`
    alias: AliasName,
    /// The permission level needed to move the alias; by default CAN_MANAGE_PRODUCTION_VERSIONS, or none with approvers
    #[arg(long, value_parser = level)]
    level: Option<PermissionLevel>,
    /// A person or `group:NAME` that may move the alias; can be repeated; replaces the list
    #[arg(long = "approver", value_name = "WHO")]
    approvers: Vec<Principal>,
    /// 1: the alias moves only by the merge of a branch that another person made; 0: a permitted person moves it alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1))]
    approvals: Option<u64>,
    /// A stage that the version must be in; can be repeated; replaces the list
    #[arg(long, value_name = "STAGE")]
    from: Vec<Stage>,
    #[command(flatten)]
    conditions: ConditionArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete the rule of an alias; then everyone who may edit a model may move it
///
/// Example: `greenroom alias unguard champion`
#[derive(Debug, Args)]
pub(in crate::cli) struct UnguardArgs {
    /// The alias
    alias: AliasName,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn set(args: GuardArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let mut settings = current(&registry, None)?;
    let seen = Some(Box::new(settings.clone()));
    let change = args.change.clone();
    let calendar = session.calendar(registry.repo());
    merge(settings.aliases.entry(args.alias.clone()).or_default(), args, &calendar)?;
    change::apply(session, &change, &[Action::ChangeSettings { settings, seen }])
}

pub(in crate::cli) fn unset(args: &UnguardArgs, session: &mut Session) -> Result<Exit, CliError> {
    let mut settings = current(&session.registry()?, None)?;
    let seen = Some(Box::new(settings.clone()));
    if settings.aliases.remove(&args.alias).is_none() {
        return Err(CliError::not_found(format!("the alias '{}' has no rule", args.alias)));
    }
    change::apply(session, &args.change, &[Action::ChangeSettings { settings, seen }])
}

/// Changes a rule by the given options.
fn merge(rule: &mut AliasRule, args: GuardArgs, calendar: &Calendar) -> Result<(), CliError> {
    rule.approvals = args.approvals.unwrap_or(rule.approvals);
    rule.level = args.level.or(rule.level);
    if !args.approvers.is_empty() {
        rule.approvers = Some(args.approvers);
    }
    if !args.from.is_empty() {
        rule.from = Some(args.from);
    }
    args.conditions.merge(&mut rule.require, &mut rule.frozen, calendar)
}

/// The people or the level that may move an alias, as a short text.
fn mover(rule: &AliasRule) -> String {
    let named = rule.approvers.iter().flatten().map(Principal::to_string).collect::<Vec<_>>().join(", ");
    match (rule.needed_level(), named.is_empty()) {
        (Some(level), true) => format!("moved by {level}"),
        (Some(level), false) => format!("moved by {named}, with {level}"),
        (None, _) => format!("moved by {named}"),
    }
}

/// A rule as short texts, one for each condition.
fn in_words(rule: &AliasRule) -> Vec<String> {
    let mut out = Vec::new();
    if rule.approvals > 0 {
        out.push("by the merge of another person's proposal".to_owned());
    }
    if let Some(from) = &rule.from {
        out.push(format!("versions in {}", from.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ")));
    }
    out.extend(conditions::in_words(&rule.require, &rule.frozen));
    out
}

pub(in crate::cli) fn list(args: &RulesArgs, session: &mut Session) -> Result<Exit, CliError> {
    let settings = current(&session.registry()?, args.at.as_deref())?;
    let out = &mut session.out;
    if out.is_json() {
        let rows: Vec<_> = settings.aliases.iter().map(|(alias, rule)| view::GuardedAlias { alias, rule }).collect();
        out.json(&rows)?;
        return Ok(Exit::Ok);
    }
    if settings.aliases.is_empty() {
        out.line("No alias has a rule: every person who may edit a model may move its aliases.");
    }
    for (alias, rule) in &settings.aliases {
        out.line(format!("{}: {}", styled(BOLD, alias.as_str()), mover(rule)));
        for asked in in_words(rule) {
            out.foreign(&format!("    {asked}"));
        }
    }
    Ok(Exit::Ok)
}
