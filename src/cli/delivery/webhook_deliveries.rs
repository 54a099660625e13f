//! `greenroom webhook deliveries`: deliveries that are sent, waiting or dead.

use std::collections::BTreeSet;

use clap::Args;

use crate::cli::terminal::id_prefix;
use crate::cli::terminal::output::local;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::deliver::mail;
use crate::name::Id;
use crate::outbox::{ChannelState, Outbox, PendingJob};
use crate::registry::Registry;
use crate::text::one_line;
use crate::time::Timestamp;
use crate::view;

/// List pending and dead deliveries, and the latest delivered ones
///
/// Example: `greenroom webhook deliveries --failed`
///
/// `greenroom watch` or `greenroom serve` make the deliveries. Mail is listed under the name `mail`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DeliveriesArgs {
    /// A webhook's id, or a unique start or end of the id, or `mail`; by default all
    #[arg(value_name = "WEBHOOK")]
    webhook: Option<String>,
    /// Only deliveries that failed at least once and will be tried again
    #[arg(long, conflicts_with_all = ["pending", "dead"])]
    failed: bool,
    /// Only deliveries that wait to be sent
    #[arg(long, conflicts_with = "dead")]
    pending: bool,
    /// Only dead letters: deliveries that were given up
    #[arg(long)]
    dead: bool,
}

/// A delivery in the list.
struct Row<'s> {
    channel: &'s str,
    job: &'s PendingJob,
    state: &'static str,
    at: Option<i64>,
    said: &'s str,
}

pub(in crate::cli) fn run(args: &DeliveriesArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let outbox = Outbox::of(&registry);
    let named = args.webhook.as_deref().map(|given| channel(&registry, &outbox, given)).transpose()?;
    let states = states(&outbox, named.as_deref())?;
    let rows: Vec<Row<'_>> = states.iter().flat_map(|(name, state)| rows(args, name, state)).collect();
    if session.out.is_json() {
        let channels = states.iter().map(|(name, state)| view::Channel {
            channel: name,
            commit: state.cursor().origin.commit,
            delivered: state.delivered(),
            pending: state.waiting(),
            dead: state.dead().count(),
            suspended: state.suspended().map(|s| view::Suspension { why: &s.why, at: time(s.at) }),
        });
        let deliveries = rows.iter().map(delivery).collect();
        session.out.json(&view::Deliveries { channels: channels.collect(), deliveries })?;
        return Ok(Exit::Ok);
    }
    for (name, state) in &states {
        if let Some(suspended) = state.suspended() {
            let since = local(Timestamp::from_millis(suspended.at));
            session.out.line(format!("{name} is suspended since {since}: {}", one_line(&suspended.why)));
        }
    }
    let mut table = Table::new(&["CHANNEL", "DELIVERY", "EVENT", "QUEUE", "STATE", "ATTEMPTS", "WHEN", "RESPONSE"]);
    for row in &rows {
        let when = row.at.map_or_else(String::new, |at| local(Timestamp::from_millis(at)));
        let tries = row.job.attempts.to_string();
        let cells = [row.channel, &row.job.id, &row.job.event, &row.job.lane, row.state, &tries, &when, row.said];
        table.row(cells);
    }
    if table.is_empty() {
        session.out.line("No deliveries.");
    }
    table.print(&mut session.out);
    Ok(Exit::Ok)
}

/// The name of a channel: `mail`, or the id of the webhook that a part of the id names.
pub(in crate::cli) fn channel(registry: &Registry, outbox: &Outbox, given: &str) -> Result<String, CliError> {
    let stored = outbox.channels()?;
    if given == mail::CHANNEL || stored.iter().any(|name| name == given) {
        return Ok(given.to_owned());
    }
    let stored = stored.iter().filter_map(|name| name.parse().ok());
    let ids: BTreeSet<Id> = registry.snapshot()?.webhooks()?.into_keys().chain(stored).collect();
    Ok(id_prefix::by_part("webhook", given, &ids)?.to_string())
}

/// The stored state of a channel, or of all channels.
pub(in crate::cli) fn states(outbox: &Outbox, named: Option<&str>) -> Result<Vec<(String, ChannelState)>, CliError> {
    let names = match named {
        Some(name) => vec![name.to_owned()],
        None => outbox.channels()?,
    };
    let mut out = Vec::new();
    for name in names {
        match outbox.look(&name)? {
            Some(state) => out.push((name, state)),
            None if named.is_some() => {
                let message = format!("there are no deliveries to {}", crate::text::quoted(&name));
                return Err(CliError::not_found(message).hint("greenroom watch"));
            }
            None => {}
        }
    }
    Ok(out)
}

fn rows<'s>(args: &DeliveriesArgs, channel: &'s str, state: &'s ChannelState) -> Vec<Row<'s>> {
    let all = !args.failed && !args.pending && !args.dead;
    let waits = all || args.pending || args.failed;
    let mut out = Vec::new();
    for job in state.pending().filter(|j| waits && (!args.failed || j.attempts > 0)) {
        let state = if job.attempts > 0 { "failed" } else { "pending" };
        let at = job.next.or(job.not_before);
        out.push(Row { channel, job, state, at, said: job.error.as_deref().unwrap_or_default() });
    }
    for dead in state.dead().filter(|_| all || args.dead) {
        let said = dead.job.error.as_deref().unwrap_or_default();
        out.push(Row { channel, job: &dead.job, state: "dead", at: Some(dead.died), said });
    }
    for past in state.recent().filter(|_| all) {
        out.push(Row { channel, job: &past.job, state: "delivered", at: Some(past.at), said: &past.said });
    }
    out
}

fn delivery<'r>(row: &'r Row<'_>) -> view::Delivery<'r> {
    let job = row.job;
    view::Delivery {
        channel: row.channel,
        id: &job.id,
        event: &job.event,
        commit: job.origin.commit,
        before: job.origin.before,
        ordinal: job.ordinal,
        lane: &job.lane,
        key: &job.key,
        state: row.state,
        attempts: job.attempts,
        landed_at: time(job.landed),
        at: row.at.map(time),
        said: row.said,
    }
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
