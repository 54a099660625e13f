//! `greenroom webhook`: who is told of what happens.

use clap::Subcommand;

use super::report::{CliError, Exit};
use super::session::Session;
use super::webhook_deliveries::{self, DeliveriesArgs};
use super::webhook_replay::{self, ReplayArgs};

/// See and repeat what is delivered
#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    Deliveries(DeliveriesArgs),
    Replay(ReplayArgs),
}

pub(super) fn run(command: &WebhookCommand, session: &mut Session) -> Result<Exit, CliError> {
    match command {
        WebhookCommand::Deliveries(args) => webhook_deliveries::run(args, session),
        WebhookCommand::Replay(args) => webhook_replay::run(args, session),
    }
}
