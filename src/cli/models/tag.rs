//! `greenroom tag`: tags of models and versions.

use clap::{Args, Subcommand};

use crate::action::Action;
use crate::apply::Refusal;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::single_value::by_key;
use crate::cli::terminal::value_parser::pair;
use crate::cli::terminal::version_argument::{self, VersionArgument};
use crate::name::{InvalidName, Key, ModelName};
use crate::reference::{self, InvalidRef, ModelRef, ReferenceTarget, VersionPick};
use crate::text::{Text, quoted};

/// Manage tags of models and versions
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TagCommand {
    Set(SetArgs),
    Unset(UnsetArgs),
}

/// Set tags, in one commit
///
/// Examples: `greenroom tag set churn team=risk`; `greenroom tag set churn/3 validated=yes data=2026-02`
#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    /// The model (churn), or one of its versions (churn 3, churn/3, churn/Production, churn@champion), then the tags
    #[arg(value_names = ["NAME", "VERSION", "KEY=VALUE"], num_args = 2.., required = true, add = complete::version())]
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Delete tags, in one commit; no error if a tag does not exist
///
/// Example: `greenroom tag unset churn/3 validated`
#[derive(Debug, Args)]
pub(in crate::cli) struct UnsetArgs {
    /// The model (churn), or one of its versions (churn 3, churn/3, churn/Production, churn@champion), then the keys
    /// of the tags. If several words follow a bare name, the first is a version if it is a number, @ALIAS or latest
    #[arg(value_names = ["NAME", "VERSION", "KEY"], num_args = 2.., required = true, add = complete::version())]
    words: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(command: TagCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        TagCommand::Set(a) => {
            let (reference, rest) = leading(&a.words, |word| !word.contains('='))?;
            let tags = rest.iter().map(|w| pair(w).map_err(|e| CliError::usage(format!("{}: {e}", quoted(w)))));
            let tags = tags.collect::<Result<Vec<(Key, Text)>, CliError>>()?;
            // Refuses a key that occurs twice; the tags are written in the given order.
            by_key("tag set", tags.clone())?;
            let (model, version) = subject(session, reference)?;
            let set = |(key, value)| match version {
                Some(version) => Action::SetVersionTag { model: model.clone(), version, key, value },
                None => Action::SetModelTag { model: model.clone(), key, value },
            };
            let actions: Vec<Action> = tags.into_iter().map(set).collect();
            change::apply(session, &a.change, &actions)
        }
        TagCommand::Unset(a) => {
            let (reference, rest) =
                leading(&a.words, |word| !matches!(version_argument::pick(word), Ok(VersionPick::Stage(_)) | Err(_)))?;
            let keys = rest.iter().map(|w| w.parse().map_err(|e: InvalidName| CliError::usage(e.to_string())));
            let keys = keys.collect::<Result<Vec<Key>, CliError>>()?;
            let (model, version) = subject(session, reference)?;
            let unset = |key| match version {
                Some(version) => Action::DeleteVersionTag { model: model.clone(), version, key },
                None => Action::DeleteModelTag { model: model.clone(), key },
            };
            let actions: Vec<Action> = keys.into_iter().map(unset).collect();
            change::apply(session, &a.change, &actions)
        }
    }
}

/// Splits the words into the model or version at their start and the words that follow, at least one. `is_version`
/// tells whether the second of several words names a version.
fn leading(words: &[String], is_version: impl Fn(&str) -> bool) -> Result<(ModelRef, &[String]), CliError> {
    let wrong = |e: InvalidRef| CliError::usage(e.to_string());
    let [first, rest @ ..] = words else { return Err(CliError::usage("name a model or version, then tags")) };
    let found: ModelRef = first.parse().map_err(wrong)?;
    match rest {
        [version, _, ..] if found.pick == VersionPick::Model && is_version(version) => {
            let (target, rest) = VersionArgument::leading(words, 1..=usize::MAX - 2)?;
            Ok((target.reference()?, rest))
        }
        [_, ..] => Ok((found, rest)),
        [] => Err(CliError::usage("a tag is missing after the model or version")),
    }
}

/// The model, and the version if the reference names one.
fn subject(session: &Session, given: ModelRef) -> Result<(ModelName, Option<u64>), CliError> {
    if given.moment.is_some() {
        return Err(CliError::usage("an earlier state cannot be changed; leave out `@{…}`"));
    }
    let version = match &given.pick {
        VersionPick::Model => return Ok((given.model, None)),
        VersionPick::Number(n) => *n,
        VersionPick::Stage(_) | VersionPick::Alias(_) | VersionPick::Latest => {
            let registry = session.registry()?;
            match reference::resolve(&registry.snapshot()?, &given.model, &given.pick)? {
                ReferenceTarget::Version(n) => n,
                ReferenceTarget::Nothing => return Err(CliError::not_found(format!("there is no version {given}"))),
                ReferenceTarget::NoModel => return Err(Refusal::no_model(&given.model).into()),
            }
        }
    };
    Ok((given.model, Some(version)))
}
