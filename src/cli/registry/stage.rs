//! `greenroom stage`: the stages of the registry and their rules.

use clap::{Args, Subcommand};

use super::settings::current;
use crate::action::Action;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::conditions::{self, ConditionArgs};
use crate::cli::terminal::output::{BOLD, styled};
use crate::cli::terminal::report::{self, CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::suggest;
use crate::cli::terminal::value_parser::level;
use crate::entity::PermissionLevel;
use crate::entity::Settings;
use crate::entity::settings::StageRule;
use crate::name::Principal;
use crate::registry::Registry;
use crate::rules::approvals;
use crate::stage::Stage;
use crate::time::Calendar;
use crate::view;

/// Manage stages and their rules; you can also edit greenroom.toml by hand
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StageCommand {
    List(ListArgs),
    Set(Box<SetArgs>),
    Unset(UnsetArgs),
}

/// List the stages with their rules
///
/// Example: `greenroom stage list`
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Declare a stage, or change the rule of a stage
///
/// Example: `greenroom stage set Production --approvals 2 --approver group:leads --from Staging`
///
/// Options that you leave out keep their value.
#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    /// The stage
    stage: Stage,
    /// The number of approvals, not counting the requester's; 0: a person with the level may act alone
    #[arg(long, value_name = "N")]
    approvals: Option<u64>,
    /// A person or `group:NAME` whose approval counts; can be repeated; replaces the list
    #[arg(long = "approver", value_name = "WHO")]
    approvers: Vec<Principal>,
    /// The number of approvals to leave the stage, by the same approvers; 0: a person with the level may act alone
    #[arg(long, value_name = "N")]
    approvals_to_leave: Option<u64>,
    /// A stage that a version may come from; can be repeated; replaces the list
    #[arg(long, value_name = "STAGE")]
    from: Vec<Stage>,
    /// The permission level that moves versions in and out
    #[arg(long, value_parser = level)]
    level: Option<PermissionLevel>,
    /// Whether a version that enters the stage archives the versions in it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    exclusive: Option<bool>,
    #[command(flatten)]
    conditions: ConditionArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete the rule of a stage; a declared stage is deleted, too; it must be empty
///
/// Example: `greenroom stage unset Canary`
#[derive(Debug, Args)]
pub(in crate::cli) struct UnsetArgs {
    /// The stage
    stage: Stage,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(command: StageCommand, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    match command {
        StageCommand::List(a) => list(a.at.as_deref(), session),
        StageCommand::Set(a) => {
            let mut settings = current(&registry, None)?;
            let seen = Some(Box::new(settings.clone()));
            let known = settings.known_stages();
            let stage = Stage::among(a.stage.as_str(), &known).unwrap_or_else(|_| {
                if let Some(other) = suggest::nearest(a.stage.as_str(), known.iter().map(Stage::as_str)) {
                    report::warn(&format!("{} is a new stage; if {other} was meant, name that", a.stage));
                }
                a.stage.clone()
            });
            let change = a.change.clone();
            let calendar = session.calendar(registry.repo());
            let is_about_approvals = a.approvals.is_some() || a.approvals_to_leave.is_some() || !a.approvers.is_empty();
            merge(settings.stages.entry(stage.clone()).or_default(), *a, &calendar)?;
            let warnings = if is_about_approvals { too_few(&registry, &settings, &stage)? } else { Vec::new() };
            let comment = change.text()?.as_str().to_owned();
            change::run(session, &registry, &change, &[Action::ChangeSettings { settings, seen }], comment, &warnings)
        }
        StageCommand::Unset(a) => {
            let mut settings = current(&registry, None)?;
            let seen = Some(Box::new(settings.clone()));
            let named = settings.stages.keys().find(|s| s.as_str().eq_ignore_ascii_case(a.stage.as_str())).cloned();
            let Some(stage) = named else {
                return Err(CliError::not_found(format!("'{}' has no rule", a.stage)));
            };
            settings.stages.remove(&stage);
            change::apply(session, &a.change, &[Action::ChangeSettings { settings, seen }])
        }
    }
}

/// Returns a warning if a stage asks for more approvals than people could give.
fn too_few(registry: &Registry, settings: &Settings, stage: &Stage) -> Result<Vec<String>, CliError> {
    let Some(rule) = settings.rule(stage) else { return Ok(Vec::new()) };
    let needed = rule.needed().max(rule.approvals_to_leave);
    if needed == 0 {
        return Ok(Vec::new());
    }
    let able = approvals::able(&registry.snapshot()?, settings, stage)?;
    let others = if settings.identity.self_approval { 0 } else { 1 };
    if able.len() as u64 >= needed.saturating_add(others) {
        return Ok(Vec::new());
    }
    let who = match able.len() {
        0 => "nobody could approve registry-wide".to_owned(),
        1 => format!("only 1 person could approve registry-wide ({})", approvals::names(&able)),
        many => format!("only {many} people could approve registry-wide ({})", approvals::names(&able)),
    };
    let many = if needed == 1 { "1 approval".to_owned() } else { format!("{needed} approvals") };
    let besides = if others > 0 { " by people other than the requester" } else { "" };
    let help = match rule.approvers {
        Some(_) => format!("`greenroom stage set {stage} --approver WHO` names approvers"),
        None => format!("`greenroom access grant WHO {}` makes an approver", settings.level_for(stage)),
    };
    Ok(vec![format!("{who}, and {stage} takes {many}{besides}; {help}")])
}

/// Changes a rule by the given options.
fn merge(rule: &mut StageRule, args: SetArgs, calendar: &Calendar) -> Result<(), CliError> {
    rule.approvals = args.approvals.unwrap_or(rule.approvals);
    rule.approvals_to_leave = args.approvals_to_leave.unwrap_or(rule.approvals_to_leave);
    rule.level = args.level.or(rule.level);
    rule.exclusive = args.exclusive.unwrap_or(rule.exclusive);
    if !args.approvers.is_empty() {
        rule.approvers = Some(args.approvers);
    }
    if !args.from.is_empty() {
        rule.from = Some(args.from);
    }
    args.conditions.merge(&mut rule.require, &mut rule.frozen, calendar)
}

/// A rule as short texts, one for each condition.
fn in_words(rule: &StageRule) -> Vec<String> {
    let mut out = Vec::new();
    if rule.needed() > 0 {
        let by = rule.approvers.as_ref().map_or(String::new(), |list| {
            format!(" by {}", list.iter().map(Principal::to_string).collect::<Vec<_>>().join(", "))
        });
        let many = if rule.needed() == 1 { "" } else { "s" };
        out.push(format!("{} approval{many}{by}", rule.needed()));
    }
    if let Some(from) = &rule.from {
        out.push(format!("from {}", from.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ")));
    }
    if rule.exclusive {
        out.push("one version at a time".to_owned());
    }
    if rule.approvals_to_leave > 0 {
        let many = if rule.approvals_to_leave == 1 { "" } else { "s" };
        out.push(format!("{} approval{many} to leave", rule.approvals_to_leave));
    }
    out.extend(conditions::in_words(&rule.require, &rule.frozen));
    out
}

fn list(at: Option<&str>, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let settings = current(&registry, at)?;
    if session.out.is_json() {
        let stages = settings.known_stages();
        let row = |stage| view::StageSetting { stage, level: settings.level_for(stage), rule: settings.rule(stage) };
        session.out.json(&stages.iter().map(row).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    for stage in settings.known_stages() {
        session.out.line(format!("{}: moved by {}", styled(BOLD, stage.as_str()), settings.level_for(&stage)));
        for asked in settings.rule(&stage).map(in_words).unwrap_or_default() {
            session.out.foreign(&format!("    {asked}"));
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::conditions::{metric, window};
    use crate::entity::settings::Freeze;
    use crate::text::Text;

    #[test]
    fn a_rule_is_said_in_few_words() {
        let mut rule = StageRule { approvals: 2, exclusive: true, ..StageRule::default() };
        let (key, threshold) = metric("auc >= 0.85").expect("a comparison");
        rule.require.metrics.insert(key, threshold);
        let calendar = Calendar::utc(crate::time::Timestamp::from_millis(0));
        let (from, to) = window("2026-12-20..2027-01-03", &calendar).expect("a window");
        rule.frozen.push(Freeze { from, to, reason: Text::default() });
        assert_eq!(
            in_words(&rule),
            ["2 approvals", "one version at a time", "metric auc >= 0.85", "frozen 2026-12-20..2027-01-03"]
        );
    }
}
