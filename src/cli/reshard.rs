//! `greenroom reshard`: changes the layout of the registry.

use clap::Args;

use super::change::{self, ChangeArgs};
use super::init::layout;
use super::report::{CliError, Exit};
use super::session::Session;
use crate::action::Action;
use crate::entity::settings::Layout;

/// Change the layout of models and versions, in a commit of its own
///
/// Example: `greenroom reshard sharded`
///
/// In the flat layout a model lies in models/<name>, which is easy to browse. In the sharded layout it lies in
/// models/<2 hex digits>/<name>, and its versions in folders of a hundred. This keeps commits small with ten thousand
/// models.
#[derive(Debug, Args)]
pub(super) struct ReshardArgs {
    /// `flat` or `sharded`
    #[arg(value_parser = layout)]
    layout: Layout,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(args: &ReshardArgs, session: &mut Session) -> Result<Exit, CliError> {
    change::apply(session, &args.change, &[Action::Reshard { layout: args.layout }])
}
