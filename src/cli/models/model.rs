//! `greenroom model`: registered models.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

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
use crate::cli::terminal::version_argument;
use crate::entity::Tags;
use crate::name::{AliasName, Key, ModelName};
use crate::reference;
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::text::Text;
use crate::tree::TreeError;
use crate::view::RegisteredModel;

/// The text for a model without a readable record.
const UNREADABLE: &str = "its model.toml cannot be read; `greenroom check` says why";

/// Manage registered models
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ModelCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(NameArgs),
    Rename(RenameArgs),
    Delete(DeleteArgs),
    Describe(DescribeArgs),
}

/// Register a model; you get CAN_MANAGE on it
///
/// Example: `greenroom model create churn --description 'Predicts churn' --tag team=risk`
///
/// An administrator of the whole registry gets no grant on the model, so the permission ends with the administrator
/// role. To keep a permission on the model, grant it: `greenroom access grant WHO manage --model NAME`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The model's name
    #[arg(add = complete::model())]
    name: ModelName,
    /// What the model is for (Markdown)
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// A tag; can be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(Key, Text)>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// List the registered models
///
/// Example: `greenroom model list`
#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Show a model with its versions in stages and its aliases
///
/// Example: `greenroom model show churn`
#[derive(Debug, Args)]
pub(in crate::cli) struct NameArgs {
    /// The model's name; NAME@{MOMENT} shows an earlier state
    #[arg(add = complete::model())]
    name: String,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Rename a model; its versions must be in None or Archived
///
/// Example: `greenroom model rename churn churn-eu`
#[derive(Debug, Args)]
pub(in crate::cli) struct RenameArgs {
    /// The model's name
    #[arg(add = complete::model())]
    name: ModelName,
    /// The new name
    new_name: ModelName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete a model with all its versions, which must be in None or Archived
///
/// Example: `greenroom model delete churn`
#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    /// The model's name
    #[arg(add = complete::model())]
    name: ModelName,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Change a model's description
///
/// Example: `greenroom model describe churn 'Predicts churn of customers in the EU'`
#[derive(Debug, Args)]
pub(in crate::cli) struct DescribeArgs {
    /// The model's name
    #[arg(add = complete::model())]
    name: ModelName,
    /// The new description (Markdown); an empty text deletes it
    description: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(command: ModelCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        ModelCommand::Create(a) => {
            let tags: Tags = by_key("--tag", a.tags)?;
            let description = text(&a.description).map_err(CliError::usage)?;
            change::apply(session, &a.change, &[Action::CreateModel { model: a.name, description, tags }])
        }
        ModelCommand::List(a) => list(&a, session),
        ModelCommand::Show(a) => {
            let (name, at) = version_argument::model_at(&a.name, a.at.as_deref())?;
            page(&name, at.as_deref(), session)
        }
        ModelCommand::Rename(a) => {
            change::apply(session, &a.change, &[Action::RenameModel { model: a.name, to: a.new_name }])
        }
        ModelCommand::Delete(a) => {
            session.confirm_deletion(
                &format!("the model '{}' with all its versions", a.name),
                a.name.as_str(),
                a.yes || a.change.is_dry_run(),
            )?;
            change::apply(session, &a.change, &[Action::DeleteModel { model: a.name }])
        }
        ModelCommand::Describe(a) => {
            let description = text(&a.description).map_err(CliError::usage)?;
            change::apply(session, &a.change, &[Action::DescribeModel { model: a.name, description }])
        }
    }
}

/// The newest version for a list. An unreadable version does not hide the model.
enum NewestVersion {
    Version(u64),
    Nothing,
    /// The record of a version that may be the newest cannot be read.
    Unreadable,
}

impl NewestVersion {
    const fn number(&self) -> Option<u64> {
        match self {
            Self::Version(number) => Some(*number),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

impl std::fmt::Display for NewestVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(number) => number.fmt(f),
            Self::Nothing => f.write_str("-"),
            Self::Unreadable => f.write_str("?"),
        }
    }
}

fn newest(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    numbers: impl Iterator<Item = u64>,
) -> Result<NewestVersion, CliError> {
    match reference::newest(snapshot, view, numbers) {
        Ok(found) => Ok(found.map_or(NewestVersion::Nothing, NewestVersion::Version)),
        Err(TreeError::Missing(_) | TreeError::Damaged { .. }) => Ok(NewestVersion::Unreadable),
        Err(e) => Err(e.into()),
    }
}

/// A model for JSON output; `None` if its file cannot be read.
pub(in crate::cli) fn shown(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
) -> Result<Option<RegisteredModel>, CliError> {
    let Some(model) = view.file()?.and_then(|f| f.value) else { return Ok(None) };
    let aliases: Vec<(AliasName, u64)> =
        view.aliases()?.into_iter().filter_map(|(alias, file)| Some((alias, file.value?.version))).collect();
    let (mut latest, mut stages) = (Vec::new(), BTreeMap::new());
    for (stage, file) in view.stages()? {
        let versions = file.value.unwrap_or_default().versions;
        stages.extend(versions.iter().map(|n| (*n, stage.clone())));
        let newest = newest(snapshot, view, versions.iter().rev().copied())?;
        latest.extend(newest.number().map(|n| (stage, n)));
    }
    let stage_of = |version| stages.get(&version).cloned().unwrap_or(Stage::None);
    Ok(Some(RegisteredModel::new(model, &aliases, &latest, stage_of)))
}

fn list(args: &ListArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    session.note_edits(&registry, args.at.as_deref());
    let snapshot = registry.as_of(args.at.as_deref())?;
    let mut all = Vec::new();
    let mut unreadable = false;
    for view in snapshot.models()? {
        match shown(&snapshot, &view)? {
            Some(model) => all.push((view, model)),
            None => {
                unreadable = true;
                report::warn(&format!("the model in {} is left out: {UNREADABLE}", view.path));
            }
        }
    }
    all.sort_by(|a: &(_, RegisteredModel), b| a.1.name.cmp(&b.1.name));
    if session.out.is_json() {
        session.out.json(&all.into_iter().map(|(_, model)| model).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() && !unreadable {
        session.out.line("No models yet. Register one: greenroom register NAME PATH");
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["NAME", "LATEST", "STAGING", "PRODUCTION", "CREATED BY", "DESCRIPTION"]);
    for (view, m) in &all {
        let latest = newest(&snapshot, view, (1..=view.highest()?).rev())?;
        let of = |stage: &str| {
            let found = m.latest_versions.iter().find(|v| v.stage.as_str() == stage);
            found.map_or_else(|| "-".to_owned(), |v| v.version.to_string())
        };
        let (staging, production, latest) = (of("Staging"), of("Production"), latest.to_string());
        let cells =
            [m.name.as_str(), &latest, &staging, &production, m.created_by.as_str(), m.description.first_line()];
        table.row(cells);
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}

/// Shows a model as of a moment.
pub(in crate::cli) fn page(name: &ModelName, at: Option<&str>, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    session.note_edits(&registry, at);
    let snapshot = registry.as_of(at)?;
    let view = snapshot.model(name)?.ok_or_else(|| Refusal::no_model(name))?;
    let unreadable = || CliError::new(Exit::Failed, format!("{}: {UNREADABLE}", view.path));
    let found = shown(&snapshot, &view)?.ok_or_else(unreadable)?;
    change::file_faults(&view)?.iter().for_each(|doubt| report::warn(doubt));
    if session.out.is_json() {
        session.out.json(&found)?;
        return Ok(Exit::Ok);
    }
    let file = view.file()?.and_then(|f| f.value).ok_or_else(unreadable)?;
    let out = &mut session.out;
    out.foreign(&format!("Model:       {}", file.name));
    out.foreign(&format!("Id:          {}", file.id));
    out.foreign(&format!("Created:     {} by {}", local(file.created_at), file.created_by));
    for (key, value) in &file.tags {
        out.foreign(&format!("Tag:         {key} = {value}"));
    }
    for (stage, pointer) in view.stages()? {
        let versions: Vec<String> = pointer.value.unwrap_or_default().versions.iter().map(u64::to_string).collect();
        out.foreign(&format!("{:<12} {}", format!("In {stage}:"), versions.join(", ")));
    }
    for (alias, pointer) in view.aliases()? {
        out.foreign(&format!("Alias:       @{alias} is version {}", pointer.value.map_or(0, |p| p.version)));
    }
    if !file.description.is_empty() {
        out.line("");
        out.block(file.description.as_str(), "    ");
    }
    Ok(Exit::Ok)
}
