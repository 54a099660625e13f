//! `greenroom reshard`: changes the layout of the registry.

use clap::Args;

use super::init::layout;
use crate::action::Action;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::entity::settings::Layout;

/// Change the layout of models and versions, in a commit of its own
///
/// Example: `greenroom reshard sharded`
///
/// In the flat layout a model lies in models/<name>, which is easy to browse. In the sharded layout it lies in
/// models/<2 hex digits>/<name>, and its versions in folders of a hundred. This keeps commits small with ten thousand
/// models.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReshardArgs {
    /// `flat` or `sharded`
    #[arg(value_parser = layout)]
    layout: Layout,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(in crate::cli) fn run(args: &ReshardArgs, session: &mut Session) -> Result<Exit, CliError> {
    change::apply(session, &args.change, &[Action::Reshard { layout: args.layout }])
}
