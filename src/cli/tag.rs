//! `greenroom tag`: tags of models and versions.

use clap::{Args, Subcommand};

use super::change::{self, ChangeArgs};
use super::model::pair;
use super::report::{CliError, Exit};
use super::session::Session;
use crate::action::Action;
use crate::apply::Refusal;
use crate::name::{Key, ModelName};
use crate::reference::{self, Found, ModelRef, Pick};
use crate::text::Text;

/// Tag models and versions
#[derive(Debug, Subcommand)]
pub(super) enum TagCommand {
    Set(SetArgs),
    Unset(UnsetArgs),
}

/// Set tags in one commit
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The model (`churn`), or one of its versions (`churn/3`, `churn/Production`, `churn@champion`)
    #[arg(value_name = "MODEL[/VERSION]")]
    subject: ModelRef,
    /// The tags
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = pair)]
    tags: Vec<(Key, Text)>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete tags in one commit; those that are not there are passed over
#[derive(Debug, Args)]
pub(super) struct UnsetArgs {
    /// The model (`churn`), or one of its versions (`churn/3`, `churn/Production`, `churn@champion`)
    #[arg(value_name = "MODEL[/VERSION]")]
    subject: ModelRef,
    /// The keys of the tags
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<Key>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(command: TagCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        TagCommand::Set(a) => {
            let (model, version) = subject(session, a.subject)?;
            let set = |(key, value)| match version {
                Some(version) => Action::SetVersionTag { model: model.clone(), version, key, value },
                None => Action::SetModelTag { model: model.clone(), key, value },
            };
            let actions: Vec<Action> = a.tags.into_iter().map(set).collect();
            change::apply(session, &a.change, &actions)
        }
        TagCommand::Unset(a) => {
            let (model, version) = subject(session, a.subject)?;
            let unset = |key| match version {
                Some(version) => Action::DeleteVersionTag { model: model.clone(), version, key },
                None => Action::DeleteModelTag { model: model.clone(), key },
            };
            let actions: Vec<Action> = a.keys.into_iter().map(unset).collect();
            change::apply(session, &a.change, &actions)
        }
    }
}

/// The model, and the version if one is meant.
fn subject(session: &Session, given: ModelRef) -> Result<(ModelName, Option<u64>), CliError> {
    if given.moment.is_some() {
        return Err(CliError::usage("the past cannot be tagged; leave out `@{…}`"));
    }
    let version = match &given.pick {
        Pick::Model => return Ok((given.model, None)),
        Pick::Number(n) => *n,
        Pick::Stage(_) | Pick::Alias(_) | Pick::Latest => {
            let registry = session.registry()?;
            match reference::resolve(&registry.snapshot()?, &given.model, &given.pick)? {
                Found::Version(n) => n,
                Found::Nothing => return Err(CliError::not_found(format!("there is no version {given}"))),
                Found::NoModel => return Err(Refusal::no_model(&given.model).into()),
            }
        }
    };
    Ok((given.model, Some(version)))
}
