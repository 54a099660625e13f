//! `greenroom settings`: the registry's own settings. Those of stages are in `greenroom stage`.

use clap::{Args, Subcommand};

use super::change::{self, ChangeArgs};
use super::model::text;
use super::report::{CliError, Exit};
use super::session::Session;
use crate::action::Action;
use crate::apply::Refusal;
use crate::entity::Settings;
use crate::entity::settings::Authority;
use crate::registry::Registry;
use crate::text::Text;

/// Show and change the registry's settings; greenroom.toml may as well be edited by hand
#[derive(Debug, Subcommand)]
pub(super) enum SettingsCommand {
    Show(ShowArgs),
    Set(SetArgs),
}

/// Show the settings
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// As of a time or git revision
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// Change settings; what is not given stays
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The registry's name
    #[arg(long = "name", value_name = "TEXT", value_parser = text)]
    shown: Option<Text>,
    /// What proves who acts: `author` (the commit's author, for local registries), `pusher` (the git host's word) or
    /// `signature` (the signature of each commit)
    #[arg(long, value_name = "WHAT", value_parser = authority)]
    authority: Option<Authority>,
    /// Whether one's own approval counts for one's own request: only for a registry of one person
    #[arg(long, value_name = "BOOL")]
    self_approval: Option<bool>,
    #[command(flatten)]
    change: ChangeArgs,
}

fn authority(s: &str) -> Result<Authority, String> {
    let found = Authority::ALL.into_iter().find(|a| a.as_str() == s);
    found.ok_or_else(|| "must be author, pusher or signature".to_owned())
}

/// The settings as they are.
pub(super) fn current(registry: &Registry, at: Option<&str>) -> Result<Settings, CliError> {
    let snapshot = registry.as_of(at)?;
    match snapshot.settings_file()? {
        Some(file) => match (&file.value, file.problems.first()) {
            (Some(settings), _) => Ok(settings.clone()),
            (None, Some(problem)) => Err(Refusal::Faulty { problem: problem.clone() }.into()),
            (None, None) => Err(CliError::new(Exit::Failed, "greenroom.toml cannot be read")),
        },
        None => Err(CliError::not_found("there was no registry then")),
    }
}

pub(super) fn run(command: SettingsCommand, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    match command {
        SettingsCommand::Show(a) => show(&current(&registry, a.at.as_deref())?, session),
        SettingsCommand::Set(a) => {
            if a.shown.is_none() && a.authority.is_none() && a.self_approval.is_none() {
                return Err(CliError::usage("say what to change: --name, --authority or --self-approval"));
            }
            let mut settings = current(&registry, None)?;
            let seen = Some(Box::new(settings.clone()));
            if let Some(name) = a.shown {
                settings.name = name;
            }
            settings.identity.authority = a.authority.unwrap_or(settings.identity.authority);
            settings.identity.self_approval = a.self_approval.unwrap_or(settings.identity.self_approval);
            change::apply(session, &a.change, &[Action::ChangeSettings { settings, seen }])
        }
    }
}

fn show(settings: &Settings, session: &mut Session) -> Result<Exit, CliError> {
    let out = &mut session.out;
    if out.is_json() {
        out.json(settings)?;
        return Ok(Exit::Ok);
    }
    out.foreign(&format!("Name:           {}", settings.name));
    out.line(format!("Id:             {}", settings.id));
    out.line(format!("Format:         {}", settings.format));
    out.line(format!("Layout:         {}", settings.layout.as_str()));
    out.line(format!("Authority:      {}", settings.identity.authority.as_str()));
    out.line(format!("Self-approval:  {}", if settings.identity.self_approval { "yes" } else { "no" }));
    let ruled: Vec<&str> = settings.stages.keys().map(crate::stage::Stage::as_str).collect();
    if !ruled.is_empty() {
        out.line(format!("Stages ruled:   {} (greenroom stage list)", ruled.join(", ")));
    }
    Ok(Exit::Ok)
}
