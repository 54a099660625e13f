//! `greenroom transition`: moves a version to a stage.

use clap::Args;

use crate::action::Action;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::complete;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::shell::shell;
use crate::cli::terminal::version_argument::{self, VersionArgument};
use crate::rules::RuleClass;

/// Move a version to a stage
///
/// Example: `greenroom transition churn 3 Production --archive-existing`
///
/// You need CAN_MANAGE_STAGING_VERSIONS, or CAN_MANAGE_PRODUCTION_VERSIONS if the version enters or leaves Production.
/// The version must meet the rule of the stage. If you may not move a version, request it: `greenroom request create`.
/// The transition closes open requests of the version for the same stage.
#[derive(Debug, Args)]
pub(in crate::cli) struct TransitionArgs {
    /// The version, as NAME VERSION or NAME/VERSION (churn 3, churn/3, churn/Staging, churn@champion), then the stage:
    /// None, Staging, Production, Archived, or a stage that the registry declares
    #[arg(value_names = ["NAME", "VERSION", "STAGE"], num_args = 2..=3, required = true, add = complete::version())]
    words: Vec<String>,
    /// Archive the other versions in the stage
    #[arg(long)]
    archive_existing: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(args: TransitionArgs, session: &mut Session) -> Result<Exit, CliError> {
    let (target, rest) = VersionArgument::leading(&args.words, 1..=1)?;
    let registry = session.registry()?;
    let snapshot = registry.snapshot()?;
    let to = version_argument::stage(&snapshot, rest)?;
    let (model, version) = target.of_now(&snapshot)?;
    let TransitionArgs { archive_existing, change, .. } = args;
    let ask = format!("request it: greenroom request create {} {version} {to}", shell(model.as_str()));
    let action = Action::Transition { model, version, to, archive_existing };
    change::apply(session, &change, &[action]).map_err(|e| {
        let faults = e.denied.iter().flat_map(|o| &o.verdict.faults);
        if faults.clone().any(|f| f.class == RuleClass::Permission) { e.hint(ask) } else { e }
    })
}
