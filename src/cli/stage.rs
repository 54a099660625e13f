//! `greenroom stage`: the stages of the registry and their rules.

use clap::{Args, Subcommand};
use serde_json::json;

use super::access::level;
use super::change::{self, ChangeArgs};
use super::model::{pair, text};
use super::output::{BOLD, styled};
use super::report::{CliError, Exit};
use super::session::Session;
use super::settings::current;
use crate::action::Action;
use crate::entity::Level;
use crate::entity::settings::{Day, Evidence, Freeze, Moment, StageRule};
use crate::entity::version::Threshold;
use crate::name::{Key, Principal};
use crate::stage::Stage;
use crate::text::Text;
use crate::time::Timestamp;

/// Manage stages and their rules; greenroom.toml may as well be edited by hand
#[derive(Debug, Subcommand)]
pub(super) enum StageCommand {
    List(ListArgs),
    Set(Box<SetArgs>),
    Unset(UnsetArgs),
}

/// List the stages with their rules
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// As of a time or git revision
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Declare a stage, or change the rule of one; what is not given stays
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The stage
    stage: Stage,
    /// Approvals needed besides the requester's; 0: who has the level may act alone
    #[arg(long, value_name = "N")]
    approvals: Option<u64>,
    /// Whose approvals count: a person or `group:NAME`; may be given several times and replaces the list
    #[arg(long = "approver", value_name = "WHO")]
    approvers: Vec<Principal>,
    /// Approvals needed to leave the stage, by the same approvers; 0: who has the level may act alone
    #[arg(long, value_name = "N")]
    approvals_to_leave: Option<u64>,
    /// The stages that a version may come from; may be given several times and replaces the list
    #[arg(long, value_name = "STAGE")]
    from: Vec<Stage>,
    /// The level that moves versions in and out
    #[arg(long, value_parser = level)]
    level: Option<Level>,
    /// Whether entering archives the versions that are there
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    exclusive: Option<bool>,
    /// Whether the version must have a description
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_description: Option<bool>,
    /// Whether the version's files must be in the registry
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_artifacts: Option<bool>,
    /// Whether the commit must be signed
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_signed: Option<bool>,
    /// A tag that the version must have (`*` for any value); may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    require_tag: Vec<(Key, Text)>,
    /// A metric that the version must reach, such as `auc>=0.85`; may be given several times
    #[arg(long, value_name = "METRIC", value_parser = metric)]
    require_metric: Vec<(Key, Threshold)>,
    /// A window in which nothing enters, such as `2026-12-20..2027-01-03`; both days are in it
    #[arg(long, value_name = "FROM..TO", value_parser = window)]
    freeze: Vec<(Moment, Moment)>,
    /// Why the stage is frozen then
    #[arg(long, value_name = "TEXT", requires = "freeze", value_parser = text)]
    reason: Option<Text>,
    /// Take all windows away
    #[arg(long)]
    thaw: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Take the rule of a stage away; a declared stage, in which no version may be, goes
#[derive(Debug, Args)]
pub(super) struct UnsetArgs {
    /// The stage
    stage: Stage,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Reads `auc>=0.85`. The comparison is the first of its kind in the text.
pub(super) fn metric(s: &str) -> Result<(Key, Threshold), String> {
    let at = s.find(['<', '>', '=']).ok_or("write for example auc>=0.85")?;
    let (key, threshold) = s.split_at(at);
    let key = key.trim().parse().map_err(|e: crate::name::InvalidName| e.to_string())?;
    Ok((key, threshold.parse().map_err(|e: crate::entity::version::InvalidThreshold| e.to_string())?))
}

/// Reads `2026-12-20..2027-01-03`, of days or points in time.
pub(super) fn window(s: &str) -> Result<(Moment, Moment), String> {
    let (from, to) = s.split_once("..").ok_or("write FROM..TO, such as 2026-12-20..2027-01-03")?;
    let moment = |s: &str| {
        let time: Timestamp = s.parse().map_err(|e: crate::time::InvalidTime| e.to_string())?;
        Ok::<_, String>(if s.contains(':') { Moment::At(time) } else { Moment::Day(Day(time)) })
    };
    Ok((moment(from)?, moment(to)?))
}

pub(super) fn run(command: StageCommand, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    match command {
        StageCommand::List(a) => list(a.at.as_deref(), session),
        StageCommand::Set(a) => {
            let mut settings = current(&registry, None)?;
            let seen = Some(Box::new(settings.clone()));
            let stage = Stage::among(a.stage.as_str(), &settings.known_stages()).unwrap_or_else(|_| a.stage.clone());
            let change = a.change.clone();
            merge(settings.stages.entry(stage).or_default(), *a);
            change::apply(session, &change, &[Action::ChangeSettings { settings, seen }])
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

/// Changes a rule by what is given.
fn merge(rule: &mut StageRule, args: SetArgs) {
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
    let asked = &mut rule.require;
    asked.description = args.require_description.unwrap_or(asked.description);
    asked.artifacts = args.require_artifacts.unwrap_or(asked.artifacts);
    asked.signed = args.require_signed.unwrap_or(asked.signed);
    asked.tags.extend(args.require_tag);
    asked.metrics.extend(args.require_metric);
    if args.thaw {
        rule.frozen.clear();
    }
    let reason = args.reason.unwrap_or_default();
    rule.frozen.extend(args.freeze.into_iter().map(|(from, to)| Freeze { from, to, reason: reason.clone() }));
}

/// A rule in few words.
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
    out.extend(evidence_in_words(&rule.require));
    out.extend(rule.frozen.iter().map(freeze_in_words));
    out
}

/// What a rule asks a version to have, in few words.
pub(super) fn evidence_in_words(asked: &Evidence) -> Vec<String> {
    let mut out = Vec::new();
    for (wanted, what) in
        [(asked.description, "a description"), (asked.artifacts, "its files"), (asked.signed, "a signed commit")]
    {
        out.extend(wanted.then(|| what.to_owned()));
    }
    out.extend(asked.tags.iter().map(|(k, v)| format!("tag {k} = {v}")));
    out.extend(asked.metrics.iter().map(|(k, t)| format!("metric {k} {t}")));
    out
}

/// A window in few words.
pub(super) fn freeze_in_words(freeze: &Freeze) -> String {
    let moment = |m: &Moment| match m {
        Moment::Day(day) => day.to_string(),
        Moment::At(t) => t.to_string(),
    };
    let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
    format!("frozen {}..{}{reason}", moment(&freeze.from), moment(&freeze.to))
}

fn list(at: Option<&str>, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let settings = current(&registry, at)?;
    if session.out.is_json() {
        let row =
            |stage: &Stage| json!({"stage": stage, "level": settings.level_for(stage), "rule": settings.rule(stage)});
        session.out.json(&settings.known_stages().iter().map(row).collect::<Vec<_>>())?;
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

    #[test]
    fn a_rule_is_said_in_few_words() {
        let mut rule = StageRule { approvals: 2, exclusive: true, ..StageRule::default() };
        let (key, threshold) = metric("auc >= 0.85").expect("a comparison");
        rule.require.metrics.insert(key, threshold);
        let (from, to) = window("2026-12-20..2027-01-03").expect("a window");
        rule.frozen.push(Freeze { from, to, reason: Text::default() });
        assert_eq!(
            in_words(&rule),
            ["2 approvals", "one version at a time", "metric auc >= 0.85", "frozen 2026-12-20..2027-01-03"]
        );
    }

    #[test]
    fn what_is_no_comparison_or_window_is_refused() {
        for bad in ["auc", "auc>=x", ">=1", "auc>="] {
            assert!(metric(bad).is_err(), "{bad}");
        }
        for bad in ["2026-12-20", "2026-12-20..soon", "..", "2026-12-20..."] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }
}
