//! `greenroom webhook replay`: sends events again.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::Args;

use super::webhook_deliveries::{channel, states};
use crate::cli::terminal::complete;
use crate::cli::terminal::report::{CliError, Exit, warn};
use crate::cli::terminal::session::Session;
use crate::deliver::mail;
use crate::name::ModelName;
use crate::outbox::{ChannelState, Outbox, OutboxRequest};
use crate::registry::{Registry, RegistryError};
use crate::text::one_line;
use crate::tree::Oid;
use crate::view;
use crate::watch::{Failure, Replay, Replayed, WatchError, WatchOptions, WatchedBranch};

/// How long to wait until the delivering process takes the dead letters.
const TAKE_UP: Duration = Duration::from_secs(10);

/// Send the events of a part of the history again, with their original ids
///
/// Example: `greenroom webhook replay 4f2a --from 2026-03-01`
///
/// This process sends the events itself, in order, and ends when all are sent. A receiver that remembers ids drops the
/// repeated ones. With `--dead`, the command hands dead letters back to `greenroom watch` instead.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReplayArgs {
    /// A webhook's id, or a unique start or end of the id, or `mail`; by default all active webhooks and mail
    #[arg(value_name = "WEBHOOK")]
    webhook: Option<String>,
    /// Send events after this commit or time
    #[arg(long, value_name = "REV|TIME", required_unless_present = "dead")]
    from: Option<String>,
    /// Send events up to this commit or time; by default up to now
    #[arg(long, value_name = "REV|TIME", requires = "from")]
    until: Option<String>,
    /// Only events of this name; `*` stands for any text: version.transitioned, request.*
    #[arg(long, value_name = "EVENT", requires = "from")]
    filter: Option<String>,
    /// Only events of this model
    #[arg(long, value_name = "MODEL", requires = "from", add = complete::model())]
    model: Option<ModelName>,
    /// List what would be sent, and send nothing
    #[arg(long, requires = "from")]
    dry_run: bool,
    /// Try dead letters once more, and resume suspended webhooks
    #[arg(long, conflicts_with = "from")]
    dead: bool,
}

pub(in crate::cli) fn run(args: &ReplayArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    let outbox = Outbox::of(&registry);
    let named = args.webhook.as_deref().map(|given| channel(&registry, &outbox, given)).transpose()?;
    let on = those_that_are_on(&registry)?;
    if let Some(name) = named.as_ref().filter(|name| !on.contains(*name)) {
        return Err(is_off(name));
    }
    if args.dead {
        return revive(named, &on, &outbox, session);
    }
    let wanted = Replay {
        after: moment(&registry, args.from.as_deref())?,
        until: args.until.as_deref().map(|m| registry.moment(m)).transpose()?,
        channel: named,
        event: args.filter.clone(),
        model: args.model.clone(),
        dry_run: args.dry_run,
    };
    let options = WatchOptions::new(std::sync::Arc::new(|message| warn(&message.text)));
    let (mut sent, mut failed) = (0_u64, 0_u64);
    let (json, listed) = (session.out.is_json(), args.dry_run);
    let start = Instant::now();
    let mut told = Ok(());
    let mut hear = |one: Replayed| {
        let arrived = matches!(one.outcome, Some(Ok(_)) | None);
        sent += u64::from(arrived);
        failed += u64::from(!arrived);
        // There may be many events, so each line is printed at once.
        if told.is_ok() && (json || listed || !arrived) {
            let line = if json { as_json(&one) } else { as_text(&one) };
            told = writeln!(anstream::stdout().lock(), "{line}");
        }
    };
    crate::watch::replay(&WatchedBranch::of(&registry), &options, &wanted, &mut hear)?;
    told?;
    if !json {
        let what = if args.dry_run { "would be sent" } else { "sent" };
        let seconds = start.elapsed().as_secs_f64();
        let rate = if sent > 1000 && !args.dry_run {
            format!(", {:.0} a second", sent as f64 / seconds)
        } else {
            String::new()
        };
        let lost = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        session.out.line(format!("{sent} {what}{rate}{lost}"));
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
}

/// The commit to start after; `None` for a time before the history.
fn moment(registry: &Registry, given: Option<&str>) -> Result<Option<Oid>, CliError> {
    match given.map(|m| registry.moment(m)).transpose() {
        Ok(commit) => Ok(commit),
        Err(RegistryError::BeforeHistory(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn as_text(one: &Replayed) -> String {
    let job = &one.job;
    let said = match &one.outcome {
        None | Some(Ok(_)) => String::new(),
        Some(Err(Failure::Tried(why))) => format!(": {why}"),
        Some(Err(Failure::Behind)) => ": not sent, because an earlier delivery failed".to_owned(),
    };
    one_line(&format!("{} {} {} {}{said}", one.channel, job.id, job.event, job.lane)).into_owned()
}

fn as_json(one: &Replayed) -> String {
    let job = &one.job;
    let (state, said) = match &one.outcome {
        None => ("listed", None),
        Some(Ok(said)) => ("delivered", Some(said.as_str())),
        Some(Err(Failure::Tried(why))) => ("failed", Some(why.as_str())),
        Some(Err(Failure::Behind)) => ("behind", None),
    };
    let line = view::Replay {
        channel: &one.channel,
        id: &job.id,
        event: &job.event,
        commit: job.origin.commit,
        ordinal: job.ordinal,
        lane: &job.lane,
        key: &job.key,
        state,
        said,
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// The names of the active channels.
fn those_that_are_on(registry: &Registry) -> Result<BTreeSet<String>, CliError> {
    let channels = crate::deliver::channels(registry, &registry.snapshot()?).map_err(WatchError::from)?;
    Ok(channels.iter().map(|channel| channel.name().to_owned()).collect())
}

fn is_off(name: &str) -> CliError {
    let off = CliError::new(Exit::Failed, format!("{} is switched off, so nothing is sent to it", one_line(name)));
    if name == mail::CHANNEL { off } else { off.hint(format!("greenroom webhook update {name} --state ACTIVE")) }
}

/// Hands dead letters back to the delivering process, and waits a little until it takes them.
fn revive(
    named: Option<String>,
    on: &BTreeSet<String>,
    outbox: &Outbox,
    session: &mut Session,
) -> Result<Exit, CliError> {
    let (states, off): (Vec<_>, Vec<_>) =
        states(outbox, named.as_deref())?.into_iter().partition(|(name, _)| on.contains(name));
    let dead = |of: &[(String, ChannelState)]| of.iter().map(|(_, s)| s.dead().count()).sum::<usize>();
    let (dead, left) = (dead(&states), dead(&off));
    let suspended = states.iter().filter(|(_, s)| s.suspended().is_some()).count();
    outbox.ask(&OutboxRequest::Revive { channel: named, ids: Vec::new() })?;
    // If the lock is free, no process delivers; then the next one takes the dead letters.
    let runs = || Ok::<_, CliError>(outbox.lead()?.is_none());
    let end = Instant::now() + TAKE_UP;
    while outbox.is_asked() && runs()? && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    let taken = !outbox.is_asked();
    if session.out.is_json() {
        session.out.json(&view::Revival { dead, switched_off: left, suspended, taken_up: taken })?;
        return Ok(Exit::Ok);
    }
    let when = if taken { "are tried again now" } else { "will be tried again by `greenroom watch`" };
    session.out.line(format!("{} {when}", deliveries(dead)));
    if left > 0 {
        let stays = if left == 1 { "stays as it is" } else { "stay as they are" };
        session.out.line(format!("{} to channels that are switched off {stays}", deliveries(left)));
    }
    Ok(Exit::Ok)
}

fn deliveries(n: usize) -> String {
    format!("{n} {}", if n == 1 { "delivery" } else { "deliveries" })
}
