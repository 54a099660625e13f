//! `greenroom version`: model versions.

mod show;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::register::metric;
use crate::action::Action;
use crate::apply::Refusal;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::output::local;
use crate::cli::terminal::report::{self, CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::single_value::by_key;
use crate::cli::terminal::table::Table;
use crate::cli::terminal::value_parser::{pair, text};
use crate::cli::terminal::version_argument::{self, VersionArgument};
use crate::entity::version::Metric;
use crate::name::{AliasName, Key};
use crate::snapshot::ModelView;
use crate::stage::Stage;
use crate::text::Text;
use crate::view::ModelVersion;

pub(in crate::cli) use show::{column_type, metric as metric_text};

/// Manage model versions; `greenroom register` creates them
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum VersionCommand {
    List(ListArgs),
    Show(ShowArgs),
    Describe(DescribeArgs),
    Delete(DeleteArgs),
    Record(RecordArgs),
}

/// List the versions of a model, newest first
///
/// Example: `greenroom version list churn`
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// The model's name; NAME@{MOMENT} shows an earlier state
    #[arg(add = complete::model())]
    name: String,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Show all details of a version
///
/// Example: `greenroom version show churn 3`
#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    #[command(flatten)]
    target: VersionArgument,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Change a version's description
///
/// Example: `greenroom version describe churn 3 'Trained on data of February'`
#[derive(Debug, Args)]
pub(in crate::cli) struct DescribeArgs {
    /// The version, as NAME VERSION or NAME/VERSION (churn 3, churn/3, churn/Staging, churn@champion), then the new
    /// description (Markdown); an empty text deletes it
    #[arg(value_names = ["NAME", "VERSION", "TEXT"], num_args = 2..=3, required = true, add = complete::version())]
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete a version with its comments, requests and aliases; it must be in None or Archived
///
/// Example: `greenroom version delete churn 3`
#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    #[command(flatten)]
    target: VersionArgument,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Add parameters and metrics to a version; recorded values never change
///
/// Example: `greenroom version record churn 3 --metric auc=0.91`
#[derive(Debug, Args)]
pub(in crate::cli) struct RecordArgs {
    #[command(flatten)]
    target: VersionArgument,
    /// A parameter; can be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = pair, required_unless_present = "metrics")]
    params: Vec<(Key, Text)>,
    /// A metric; can be repeated
    #[arg(long = "metric", value_name = "KEY=NUMBER", value_parser = metric)]
    metrics: Vec<(Key, Metric)>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(command: VersionCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        VersionCommand::List(a) => list(&a, session),
        VersionCommand::Show(a) => show::run(&a.target, a.at.as_deref(), session),
        VersionCommand::Describe(a) => {
            let (target, rest) = VersionArgument::leading(&a.words, 1..=1)?;
            let description = text(rest.first().map(String::as_str).unwrap_or_default()).map_err(CliError::usage)?;
            let (model, version) = target.of_now(&session.registry()?.snapshot()?)?;
            let action = Action::DescribeVersion { model, version, description };
            change::apply(session, &a.change, &[action])
        }
        VersionCommand::Delete(a) => {
            let (model, version) = a.target.of_now(&session.registry()?.snapshot()?)?;
            let what = format!("version {version} of '{model}' with its comments and requests");
            session.confirm_deletion(&what, &format!("{model}/{version}"), a.yes || a.change.is_dry_run())?;
            change::apply(session, &a.change, &[Action::DeleteVersion { model, version }])
        }
        VersionCommand::Record(a) => {
            let (model, version) = a.target.of_now(&session.registry()?.snapshot()?)?;
            let params = by_key("--param", a.params)?;
            let metrics = by_key("--metric", a.metrics)?;
            change::apply(session, &a.change, &[Action::AddEvidence { model, version, params, metrics }])
        }
    }
}

/// Shows all details of a version.
pub(in crate::cli) fn page(
    target: &VersionArgument,
    at: Option<&str>,
    session: &mut Session,
) -> Result<Exit, CliError> {
    show::run(target, at, session)
}

/// The aliases of each version of a model.
pub(in crate::cli) fn aliases_by_version(view: &ModelView<'_>) -> Result<BTreeMap<u64, Vec<AliasName>>, CliError> {
    let mut out: BTreeMap<u64, Vec<AliasName>> = BTreeMap::new();
    for (alias, file) in view.aliases()? {
        if let Some(pointer) = file.value {
            out.entry(pointer.version).or_default().push(alias);
        }
    }
    Ok(out)
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let (name, at) = version_argument::model_at(&args.name, args.at.as_deref())?;
    session.note_edits(&registry, at.as_deref());
    let snapshot = registry.as_of(at.as_deref())?;
    let view = snapshot.model(&name)?.ok_or_else(|| Refusal::no_model(&name))?;
    let stages = view.stage_map()?;
    let aliases = aliases_by_version(&view)?;
    let mut json = Vec::new();
    let mut table = Table::new(&["VERSION", "STAGE", "STATUS", "CREATED", "BY", "ALIASES", "DESCRIPTION"]);
    for version in view.versions()?.iter().rev() {
        let number = version.number;
        let stage = stages.get(&number).unwrap_or(&Stage::None);
        let names = aliases.get(&number).map_or(&[][..], Vec::as_slice);
        let Some(v) = version.file()?.and_then(|f| f.value) else {
            if session.out.is_json() {
                let message = "is left out, because its version.toml cannot be read; `greenroom check` says why";
                report::warn(&format!("version {number} {message}"));
            }
            table.row([&number.to_string(), stage.as_str(), "unreadable"]);
            continue;
        };
        if session.out.is_json() {
            json.push(ModelVersion::new(&name, number, &v, stage, names));
            continue;
        }
        let names: Vec<String> = names.iter().map(|a| format!("@{a}")).collect();
        table.row([
            &number.to_string(),
            stage.as_str(),
            v.status.as_str(),
            &local(v.created_at),
            v.created_by.as_str(),
            &names.join(" "),
            v.description.first_line(),
        ]);
    }
    if session.out.is_json() {
        session.out.json(&json)?;
    } else if table.is_empty() {
        session.out.line(format!("No versions yet. Register one: greenroom register {name} PATH"));
    } else {
        table.print(&mut session.out);
    }
    Ok(Exit::Ok)
}
