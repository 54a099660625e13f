//! `greenroom reshard`: another layout of the same registry.

use clap::Args;

use super::change::{self, ChangeArgs};
use super::init::layout;
use super::report::{CliError, Exit};
use super::session::Session;
use crate::action::Action;
use crate::entity::settings::Layout;

/// Change where models and versions lie, in one commit in which nothing else happens
///
/// In the flat layout a model lies in models/<name>, which is pleasant to browse. In the sharded one it lies in
/// models/<2 hex digits>/<name> and its versions by the hundred: a commit stays small with ten thousand models.
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
