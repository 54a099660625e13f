//! `greenroom watch`: delivers the events of repositories to webhooks and by mail.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::clock;
use crate::git::Repo;
use crate::outbox::OutboxError;
use crate::registry::Registry;
use crate::server::stop_signals;
use crate::supervisor::Supervisor;
use crate::text::one_line;
use crate::view;
use crate::watch::{Message, MessageLevel, Reporter, Summary, WatchError, WatchOptions, WatchedBranch, Watcher};

/// Watch registries and deliver their events to webhooks and by mail
///
/// Example: `greenroom watch /srv/git/models.git`
///
/// The watcher follows the branch of HEAD, however commits reach it: by push, merge or command. Events before the
/// first start are not sent. A failed delivery is repeated for three days, with the same id. The next process sends
/// whatever is unsent when this one ends. You can run several watchers: one delivers, the others stand by.
#[derive(Debug, Args)]
pub(in crate::cli) struct WatchArgs {
    /// The repositories; by default that of the current folder
    #[arg(value_name = "REPO")]
    repos: Vec<PathBuf>,
    /// Deliver what is due now, then exit; exit code 1 if a delivery failed
    #[arg(long)]
    once: bool,
    /// Fetch from upstream at this interval (`30s`, `5m`, `1h`), and move the branch forward: for a mirror of a remote
    #[arg(long, value_name = "EVERY", value_parser = every)]
    fetch: Option<Duration>,
}

/// Parses a duration.
fn every(given: &str) -> Result<Duration, String> {
    let unit = |suffix: &str, seconds: u64| {
        given.strip_suffix(suffix).and_then(|n| n.parse::<u64>().ok()).and_then(|n| n.checked_mul(seconds))
    };
    let seconds = unit("s", 1).or_else(|| unit("m", 60)).or_else(|| unit("h", 3600));
    let usable = seconds.filter(|s| (1..=86_400).contains(s)).map(Duration::from_secs);
    usable.ok_or_else(|| format!("{given:?} is not a time between 1s and 24h; write for example 30s or 5m"))
}

pub(in crate::cli) fn run(args: &WatchArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registries = registries(args, session)?;
    let json = session.out.is_json();
    let several = registries.len() > 1;
    let supervisor: Arc<Supervisor> = Arc::default();
    let mut watchers = Vec::new();
    for registry in &registries {
        crate::cli::git_host::hook::warn_without_gate(registry.repo())?;
        let home = WatchedBranch::of(registry);
        let shown = home.git_dir.display().to_string();
        let reporter = reporter(json, several.then(|| shown.clone()), args.once);
        let supervisor = Arc::clone(&supervisor);
        let options = WatchOptions { once: args.once, fetch: args.fetch, supervisor, ..WatchOptions::new(reporter) };
        if !args.once && !json {
            session.out.line(format!("Watching {} of {}", one_line(short(&home.branch)), one_line(&shown)));
        }
        watchers.push((shown, Watcher::start(home, options)?));
    }
    session.out.flush()?;
    // If one thread fails, the others would wait for it. All end, and the supervisor of the process starts it again.
    let stops: Vec<_> = watchers.iter().map(|(_, w)| w.stopper()).collect();
    supervisor.on_failure(move || stops.iter().for_each(|stop| stop()));
    if !args.once {
        let stops: Vec<_> = watchers.iter().map(|(_, w)| w.stopper()).collect();
        let waits = move || {
            if stop_signals::stopped().is_ok() {
                stops.iter().for_each(|stop| stop());
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(waits)?;
    }
    let mut ended = Vec::new();
    for (shown, watcher) in watchers {
        let came = watcher.join();
        if let Some(failure) = supervisor.failure() {
            return Err(CliError::of(Exit::Failed, &failure));
        }
        ended.push((shown, came?));
    }
    if args.once { report(&ended, session) } else { Ok(Exit::Ok) }
}

fn registries(args: &WatchArgs, session: &Session) -> Result<Vec<Registry>, CliError> {
    if args.repos.is_empty() {
        return Ok(vec![session.registry()?]);
    }
    let open = |path: &PathBuf| {
        let path = session.path(path);
        // GIT_DIR names one repository, but there may be several here.
        match Repo::open(&path) {
            Ok(repo) => Ok(Registry::with(repo, "")?),
            Err(_) => Registry::discover(&path),
        }
    };
    let found = args.repos.iter().map(|path| {
        let registry = open(path)?;
        // Searches for the registry if it lies in a folder.
        let at_root = registry.snapshot()?.settings_file()?.is_some();
        Ok(if at_root { registry } else { Registry::discover(&session.path(path))? })
    });
    found.collect()
}

fn short(branch: &str) -> &str {
    branch.strip_prefix("refs/heads/").unwrap_or(branch)
}

/// Prints the watcher's messages to standard error: one line each, as text or as JSON.
fn reporter(json: bool, of: Option<String>, quiet: bool) -> Reporter {
    Arc::new(move |message: &Message| {
        if quiet && message.level == MessageLevel::Info {
            return;
        }
        let level = match message.level {
            MessageLevel::Info => "info",
            MessageLevel::Warn => "warning",
            MessageLevel::Error => "error",
        };
        let line = if json {
            let line = view::WatchMessage {
                at: clock::now(),
                level,
                message: &message.text,
                repository: of.as_deref(),
                details: message.details.iter().map(|(name, value)| (*name, value.as_str())).collect(),
            };
            one_line(&serde_json::to_string(&line).unwrap_or_default()).into_owned()
        } else {
            let details = message.details.iter().map(|(name, value)| format!("{name}={value}"));
            let words: Vec<String> = of.iter().cloned().chain([message.text.clone()]).chain(details).collect();
            format!("{level}: {}", one_line(&words.join(" ")))
        };
        // A failed write to stderr cannot be reported anywhere.
        let _ = writeln!(anstream::stderr().lock(), "{line}");
    })
}

/// Prints the result of a run with `--once`.
fn report(ended: &[(String, Summary)], session: &mut Session) -> Result<Exit, CliError> {
    if let Some((shown, _)) = ended.iter().find(|(_, s)| s.elsewhere) {
        let message = format!("another process already delivers for {}", one_line(shown));
        return Err(CliError::new(Exit::Conflict, message));
    }
    if session.out.is_json() {
        let rows = ended.iter().map(|(shown, s)| view::WatchSummary {
            repository: shown,
            delivered: s.delivered,
            failed: s.failed,
            pending: s.pending,
            dead: s.dead,
            suspended: s.suspended,
        });
        session.out.json(&rows.collect::<Vec<_>>())?;
    } else {
        for (shown, s) in ended {
            let of = if ended.len() > 1 { format!("{}: ", one_line(shown)) } else { String::new() };
            let suspended = if s.suspended > 0 { format!(", {} suspended", s.suspended) } else { String::new() };
            let (delivered, failed, pending, dead) = (s.delivered, s.failed, s.pending, s.dead);
            session
                .out
                .line(format!("{of}{delivered} delivered, {failed} failed; {pending} pending, {dead} dead{suspended}"));
        }
    }
    Ok(if ended.iter().all(|(_, s)| s.failed == 0 && !s.is_behind) { Exit::Ok } else { Exit::Failed })
}

impl From<WatchError> for CliError {
    fn from(e: WatchError) -> Self {
        match e {
            WatchError::Registry(e) => e.into(),
            WatchError::Git(e) => e.into(),
            WatchError::Tree(e) => e.into(),
            WatchError::Pushes(e) => e.into(),
            WatchError::Outbox(e) => e.into(),
            WatchError::NoChannel(_) => Self::of(Exit::NotFound, &e).hint("greenroom webhook deliveries"),
            WatchError::Gate(_) | WatchError::Deliver(_) | WatchError::Start(_) | WatchError::Panicked => {
                Self::of(Exit::Failed, &e)
            }
        }
    }
}

impl From<OutboxError> for CliError {
    fn from(e: OutboxError) -> Self {
        match &e {
            OutboxError::Damaged { .. } => Self::of(Exit::Unverified, &e),
            OutboxError::Name(_) => Self::of(Exit::NotFound, &e),
            OutboxError::Io { .. } => Self::of(Exit::Failed, &e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        for (given, wanted) in [("30s", Some(30)), ("5m", Some(300)), ("1h", Some(3600)), ("0s", None), ("2d", None)] {
            assert_eq!(every(given).ok().map(|d| d.as_secs()), wanted, "{given}");
        }
        assert!(every("25h").is_err() && every("").is_err() && every("s").is_err() && every("-1s").is_err());
    }
}
