//! Runs a hook: reads the input from git and its host, lets the gate judge, and returns the message for the client.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use super::alarm::Alarm;
use super::client_message::to_client;
use super::install::HOST;
use crate::gate::host::NoHost;
use crate::gate::record::record;
use crate::gate::{BadLine, Gate, GateError, Host, NoPusher, Pusher, Update};
use crate::git::{GitError, HookEnv, Repo};
use crate::outbox;
use crate::pushes::PushesError;
use crate::time::Timestamp;

/// The result of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAnswer {
    /// The push is accepted.
    Accept,
    /// The push is accepted, with this message for the client.
    Warn(String),
    /// The push is refused, with this message for the client.
    Refuse(String),
}

/// Why there is no verdict. The push is refused in that case.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Git's input cannot be read.
    #[error("git's list of references cannot be read")]
    Input(#[source] std::io::Error),
    /// A line does not have git's format.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// The push has more references than allowed.
    #[error("the push has more than {0} references; push fewer at once, or raise greenroom.maxRefs")]
    TooMany(usize),
    /// The kind of host is not set.
    #[error(
        "no setting says how this server names the pusher; the administrator of the server runs `greenroom hook \
         install --host ...`"
    )]
    Unset,
    /// The hook's command line and the repository name different kinds of host.
    #[error("the hook is for a host of the kind {flag}, but the repository says {HOST} = {setting}; make them equal")]
    Twice {
        /// The kind of host on the hook's command line.
        flag: Host,
        /// The kind of host in the repository's config.
        setting: Host,
    },
    /// The config names an unknown kind of host.
    #[error("{HOST} is wrong: {0}")]
    Host(#[from] NoHost),
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The gate cannot judge.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The push cannot be recorded.
    #[error(transparent)]
    Record(#[from] PushesError),
}

/// Settings on a hook's command line, for hosts that hide the repository's settings from hooks.
#[derive(Debug, Clone, Default)]
pub struct HookOptions {
    /// The kind of host.
    pub host: Option<Host>,
    /// Branches that are judged in addition to the branch of HEAD.
    pub protected: Vec<String>,
}

/// The longest list of references that is read, in bytes. A line may have 4096 bytes.
const MAX_INPUT: u64 = 4 << 20;

/// The longest file of sshd about the login that is read, in bytes.
const MAX_AUTH_INFO: u64 = 64 << 10;

/// Opens the repository that git runs this hook for.
fn repository() -> Result<Repo, GitError> {
    match HookEnv::read() {
        Some(env) => Repo::open_quarantined(&env),
        None => Repo::open(&git_dir()),
    }
}

fn git_dir() -> PathBuf {
    std::env::var_os("GIT_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// Reads git's input of a hook: a line for each reference. One bad line makes the whole input invalid.
///
/// # Errors
///
/// [`HookError::Input`] when the input cannot be read, and [`HookError::Line`] when a line does not have git's format.
pub fn updates(input: impl Read) -> Result<Vec<Update>, HookError> {
    let mut lines = BufReader::new(input.take(MAX_INPUT));
    let (mut out, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line).map_err(HookError::Input)?;
        if read == 0 {
            break;
        }
        // A line without an end was cut off.
        let line = line.strip_suffix(b"\n").ok_or(BadLine("the last line is not complete"))?;
        out.push(Update::parse(line)?);
    }
    Ok(out)
}

/// Judges a push before any part of it is accepted. `input` is git's input of the hook.
pub fn pre_receive(input: impl Read, given: &HookOptions, now: Timestamp) -> HookAnswer {
    let host = known_host(given);
    answer(host, judge(|| updates(input), given, now))
}

/// Judges one reference right before it moves, for hosts that leave only this hook free. Refused objects stay in the
/// object store until git collects them.
pub fn update(name: &str, old: &str, new: &str, given: &HookOptions, now: Timestamp) -> HookAnswer {
    let host = known_host(given);
    answer(host, judge(|| Ok(vec![Update::of(old, new, name)?]), given, now))
}

/// Records a push that was accepted. `input` is git's input of the hook.
///
/// The push is valid even if the record fails. In that case, a sentence for the client is returned. `greenroom verify`
/// finds what is missing in the record.
pub fn post_receive(input: impl Read, given: &HookOptions, now: Timestamp) -> Option<String> {
    let e = updates(input).and_then(|updates| write_down(&updates, given, now)).err()?;
    let text = explained("greenroom: the push was accepted, but the record of it could not be written", &e);
    Some(to_client(&text, known_host(given)))
}

fn write_down(updates: &[Update], given: &HookOptions, now: Timestamp) -> Result<(), HookError> {
    let repo = Repo::open(&git_dir())?;
    let host = host(&repo, given)?;
    let gate = Gate::open(repo)?.protecting(&given.protected);
    // A change without a pusher is recorded, too, because it moved a reference.
    let pusher = pusher(host).unwrap_or_else(|_| Pusher { via: host.to_string(), ..Pusher::default() });
    let recorded = gate
        .person(&pusher, updates)
        .map_err(HookError::from)
        .and_then(|person| Ok(record(gate.repo(), updates, &pusher, person, now, gate.limits())?));
    // Recorded or not, the branch has moved, so the watcher must look.
    outbox::wake(&gate.repo().common_dir().join("greenroom"));
    recorded.map(drop)
}

/// Returns the kind of host as far as it is known. It determines the format of messages.
fn known_host(given: &HookOptions) -> Option<Host> {
    given.host.or_else(|| Repo::open(&git_dir()).ok()?.own_setting(HOST)?.parse().ok())
}

fn answer(host: Option<Host>, judged: Result<HookAnswer, HookError>) -> HookAnswer {
    match judged {
        Ok(HookAnswer::Accept) => HookAnswer::Accept,
        Ok(HookAnswer::Warn(text)) => HookAnswer::Warn(to_client(&text, host)),
        Ok(HookAnswer::Refuse(text)) => HookAnswer::Refuse(to_client(&text, host)),
        Err(e) => {
            let text = explained("greenroom: the push is refused, because it cannot be judged", &e);
            HookAnswer::Refuse(to_client(&text, host))
        }
    }
}

/// Describes a failure: a sentence, the error and its causes.
fn explained(what: &str, e: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{what}\n\n    {e}\n");
    let mut cause = e.source();
    while let Some(e) = cause {
        text.push_str(&format!("      because {e}\n"));
        cause = e.source();
    }
    text
}

/// Judges a push and returns the result with its message.
fn judge(
    read: impl FnOnce() -> Result<Vec<Update>, HookError>,
    given: &HookOptions,
    now: Timestamp,
) -> Result<HookAnswer, HookError> {
    let repo = repository()?;
    let host = host(&repo, given)?;
    let gate = Gate::open(repo)?.protecting(&given.protected).behind(host)?;
    let _alarm = Alarm::after(gate.limits().time, host);
    let updates = read()?;
    if updates.len() > gate.limits().refs {
        return Err(HookError::TooMany(gate.limits().refs));
    }
    // Without a pusher, a registry may still rely on signatures. A registry that relies on the pusher refuses.
    let pusher = pusher(host);
    let judgement = gate.judge(&updates, pusher.as_ref().ok(), now)?;
    if judgement.passes() {
        let told: Vec<String> = judgement.warnings().map(|w| format!("    {w}\n      {}\n", w.problem.help)).collect();
        return Ok(match told.is_empty() {
            true => HookAnswer::Accept,
            false => HookAnswer::Warn(format!("greenroom: the push is accepted, with warnings:\n\n{}", told.concat())),
        });
    }
    let mut text = judgement.render();
    if let (Err(nobody), true) = (pusher, judgement.faults().any(|f| f.fault.problem.rule == "identity")) {
        text.push_str(&format!("\n  Besides, {nobody}\n"));
    }
    Ok(HookAnswer::Refuse(text))
}

/// Returns the kind of host, from the repository's own settings or from the hook's command line.
///
/// # Errors
///
/// [`HookError::Twice`] when the two differ, [`HookError::Unset`] when neither is set, and [`HookError::Host`] when the
/// setting is not a known kind.
pub fn host(repo: &Repo, given: &HookOptions) -> Result<Host, HookError> {
    let set = repo.own_setting(HOST).map(|s| s.parse::<Host>()).transpose()?;
    match (set, given.host) {
        (Some(setting), Some(flag)) if setting != flag => Err(HookError::Twice { flag, setting }),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(HookError::Unset),
    }
}

/// Returns the pusher, from the environment of this process.
///
/// # Errors
///
/// [`NoPusher`] when the host does not name a pusher.
pub fn pusher(host: Host) -> Result<Pusher, NoPusher> {
    let env = |name: &str| std::env::var_os(name);
    let auth_info = match host {
        Host::SshKey => env("SSH_USER_AUTH").and_then(|file: OsString| auth_info(Path::new(&file))),
        _ => None,
    };
    host.pusher(&env, auth_info.as_deref())
}

/// Returns the text of the file in which sshd describes the login, or `None` if the file cannot be read.
fn auth_info(file: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(file).ok()?.take(MAX_AUTH_INFO).read_to_string(&mut text).ok()?;
    Some(text)
}
