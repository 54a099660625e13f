//! `greenroom doctor`: checks the set-up and says how to fix it.

use clap::Args;

use super::check::RECENT;
use crate::cli::terminal::output::{GREEN, RED, YELLOW, styled};
use crate::cli::terminal::progress::ProgressBar;
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::clock;
use crate::deliver::mail::{self, MailSettings};
use crate::entity::settings::Authority;
use crate::gate;
use crate::hook;
use crate::hook::prepush::{self, LfsUpload};
use crate::index::{self, Health};
use crate::registry::Registry;
use crate::registry::health::{self, Check, CheckState};
use crate::registry::unsent_files::{LfsConfig, lfs_config};
use crate::text::{counted, listed, one_line, with_causes};
use crate::view;

/// The largest number of versions that a line names.
const LISTED: usize = 5;

/// Check the set-up, the repository and the stored files, and say how to fix each problem
///
/// Example: `greenroom doctor --verify`
///
/// Exit code 7: a check fails. Warnings do not change the exit code.
#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    /// Read every byte of the stored files and compare its SHA-256 with the record
    #[arg(long)]
    verify: bool,
}

pub(in crate::cli) fn run(args: &DoctorArgs, session: &mut Session) -> Result<Exit, CliError> {
    let mut checks = health::programs(&session.dir());
    let registry = session.registry()?;
    let progress = ProgressBar::new("Verifying");
    checks.extend(registry.health(args.verify, &|done, total| progress.seen(done, total))?);
    drop(progress);
    checks.extend(of_operation(&registry));
    checks.push(of_steps(session, &registry)?);
    checks.push(of_index(&index::status(&registry)?.health));
    checks.push(of_mail(&registry));
    checks.push(of_sending(&registry));
    checks.extend(of_pulling(&registry)?);
    checks.push(of_clones(&registry));
    checks.push(of_gate(&registry));
    let failed = checks.iter().any(|c| c.state == CheckState::Fail);
    if session.out.is_json() {
        session.out.json(&view::Checks { ok: !failed, checks: &checks })?;
    } else {
        for check in &checks {
            let (style, word) = match check.state {
                CheckState::Ok => (GREEN, "ok  "),
                CheckState::Warn => (YELLOW, "warn"),
                CheckState::Fail => (RED, "fail"),
            };
            session.out.line(format!("{}  {:<9} {}", styled(style, word), check.name, one_line(&check.message)));
            if !check.help.is_empty() {
                session.out.line(format!("      {}", one_line(&check.help)));
            }
        }
    }
    Ok(if failed { Exit::Unverified } else { Exit::Ok })
}

/// Warns of an unfinished merge, rebase or similar operation of git.
fn of_operation(registry: &Registry) -> Option<Check> {
    let operation = registry.repo().operation()?;
    let message = format!("{operation} is in progress; greenroom changes nothing until it is finished");
    Some(Check { name: "merge", state: CheckState::Warn, message, help: operation.way_out().to_owned() })
}

/// Checks the commits that are not pushed yet, and what recent commits did to the past: the files alone do not show it.
fn of_steps(session: &Session, registry: &Registry) -> Result<Check, CliError> {
    let check = |state, message: String, help: &str| Check { name: "steps", state, message, help: help.to_owned() };
    let Some(tip) = registry.head()? else {
        return Ok(check(CheckState::Ok, "recent commits keep the rules of history".to_owned(), ""));
    };
    let committer = session.identity(registry.repo()).ok().map(|(_, committer)| committer);
    let now = committer.as_ref().map_or_else(clock::now, |who| session.now(who));
    let ahead = gate::ahead(registry, committer.as_ref(), now)?;
    let help = "greenroom check lists all faults, with what to do";
    if let Some(first) = ahead.faults.first() {
        let many = counted(ahead.faults.len(), "fault");
        let message = format!("{many} of commits that are not pushed yet; the first: {first}");
        return Ok(check(CheckState::Fail, one_line(&message).into_owned(), help));
    }
    let recent = gate::verify::recent(registry, tip, RECENT)?;
    let mut found = recent.iter().filter(|(commit, _)| !ahead.steps.contains(commit));
    Ok(match (found.next(), ahead.warnings.first()) {
        (Some((commit, fault)), _) => {
            let many = counted(1 + found.count(), "fault");
            let message = format!("{many} of recent commits; the first, of {}: {fault}", commit.short());
            check(CheckState::Fail, one_line(&message).into_owned(), help)
        }
        (None, Some(first)) => check(CheckState::Warn, one_line(&first.message).into_owned(), &first.help),
        (None, None) => check(CheckState::Ok, "recent commits keep the rules of history".to_owned(), ""),
    })
}

/// Checks the index. An old or missing index is no problem, because the next query updates it; a damaged one is.
fn of_index(found: &Health) -> Check {
    let (state, message) = match found {
        Health::Absent => (CheckState::Ok, "there is no index yet; the next query builds it".to_owned()),
        Health::Current => (CheckState::Ok, "up to date".to_owned()),
        Health::Behind => (CheckState::Ok, "behind; the next query brings it up to date".to_owned()),
        Health::Damaged(what) => (CheckState::Warn, format!("damaged: {what}")),
    };
    let help = if state == CheckState::Ok { String::new() } else { "greenroom index rebuild".to_owned() };
    Check { name: "index", state, message, help }
}

/// Checks whether a push sends the model files, and lists files that were not sent.
fn of_sending(registry: &Registry) -> Check {
    let check = |state, message: String, help: &str| Check { name: "push", state, message, help: help.to_owned() };
    let sending = prepush::sending(registry.repo());
    let unsent = match registry.unsent(matches!(sending, Ok(LfsUpload::Others))) {
        Ok(Some(unsent)) => unsent,
        Ok(None) => return check(CheckState::Ok, "there is no remote to push to".to_owned(), ""),
        Err(e) => return check(CheckState::Fail, with_causes(&e), "git fsck"),
    };
    let remote = one_line(&unsent.remote).into_owned();
    if unsent.files > 0 {
        let versions = listed(&unsent.versions, LISTED);
        let files = counted(unsent.files, "stored file");
        let message = format!("{files} not sent to {remote} yet: those of {versions}");
        let help = format!("git push {remote}; if its commits are there already: git lfs push --all {remote}");
        return check(CheckState::Warn, message, &help);
    }
    match sending {
        Ok(LfsUpload::Ours | LfsUpload::Others) => {
            check(CheckState::Ok, format!("all stored files were sent to {remote}"), "")
        }
        Ok(LfsUpload::Nothing(why)) => {
            let message = format!("a push leaves the files of models behind: {why}");
            let own = "greenroom register puts the hook there, and so does git lfs install --local";
            let foreign = prepush::foreign_hooks(registry.repo());
            check(CheckState::Warn, message, foreign.as_deref().unwrap_or(own))
        }
        Err(e) => check(CheckState::Fail, with_causes(&e), "see the permissions of the folder of hooks"),
    }
}

/// Warns if a gate judges pushes and `git pull` does not rebase: the gate refuses a merge whose second parent is the
/// remote's branch. Returns `None` without a remote, or with authority `author`.
fn of_pulling(registry: &Registry) -> Result<Option<Check>, CliError> {
    let settings = registry.snapshot()?.settings()?.cloned();
    let is_gated = settings.is_some_and(|s| s.identity.authority != Authority::Author);
    let repo = registry.repo();
    if !is_gated || !repo.is_own_clone() || repo.rebases_on_pull(registry.branch()) {
        return Ok(None);
    }
    let message = "`git pull` does not rebase here; if another person pushed in the meantime, the gate refuses a merge of \
                   their commits";
    let help = "git config pull.rebase true".to_owned();
    Ok(Some(Check { name: "pull", state: CheckState::Warn, message: message.to_owned(), help }))
}

/// Checks whether a clone succeeds when model files are missing on the remote.
fn of_clones(registry: &Registry) -> Check {
    let check = |state, message: &str, help: &str| Check {
        name: "clones",
        state,
        message: message.to_owned(),
        help: help.to_owned(),
    };
    match lfs_config(registry) {
        Ok(LfsConfig::Lenient) => check(CheckState::Ok, "a clone with missing files of models ends well", ""),
        Ok(LfsConfig::Strict) => {
            let help = "git config -f .lfsconfig lfs.skipdownloaderrors true, at the root of the repository; commit it";
            check(CheckState::Warn, "a clone fails to check out where a file of a model is missing on the remote", help)
        }
        Err(e) => check(CheckState::Fail, &with_causes(&e), "git fsck"),
    }
}

/// Checks whether git starts the gate, if the settings say that the repository has one.
fn of_gate(registry: &Registry) -> Check {
    let check = |state, message: String| Check { name: "gate", state, message, help: String::new() };
    let repo = registry.repo();
    let found = match super::hook::program().map(|program| hook::gap(repo, &program)) {
        Ok(Ok(found)) => found,
        Ok(Err(e)) => return check(CheckState::Fail, with_causes(&e)),
        Err(_) => {
            return check(
                CheckState::Warn,
                "the path of greenroom is unknown, so the hooks were not checked".to_owned(),
            );
        }
    };
    match found {
        Some((name, gap)) => {
            let state = if gap == hook::HookGap::Other { CheckState::Warn } else { CheckState::Fail };
            let (message, help) = super::hook::ungated(repo, name, gap);
            Check { help, ..check(state, message) }
        }
        None if repo.own_setting(hook::install::HOST).is_some() => match super::hook::judged_folders(repo) {
            Ok(folders) => {
                check(CheckState::Ok, format!("it judges each push; the registry in {}", super::hook::places(&folders)))
            }
            Err(e) => check(CheckState::Fail, format!("it cannot find the registries: {}", e.message)),
        },
        None => match registry.snapshot().and_then(|state| Ok(state.settings()?.map(|s| s.identity.authority))) {
            Ok(Some(authority @ (Authority::Pusher | Authority::Signature))) if repo.work_dir().is_none() => {
                let message =
                    format!("no gate judges pushes to this repository, and its authority is {}", authority.as_str());
                let help = "greenroom hook install --bare . --host KIND, unless nobody pushes here".to_owned();
                Check { help, ..check(CheckState::Warn, message) }
            }
            Ok(_) => check(CheckState::Ok, "none is set up here".to_owned()),
            Err(e) => check(CheckState::Fail, with_causes(&e)),
        },
    }
}

/// Checks how mail is sent, and lists people whose mail does not arrive.
fn of_mail(registry: &Registry) -> Check {
    let check = |state, message: String, help: &str| Check { name: "mail", state, message, help: help.to_owned() };
    let settings = match MailSettings::of(registry.repo()) {
        Ok(Some(settings)) => settings,
        Ok(None) => return check(CheckState::Ok, "no mail server is set, so no mail is sent".to_owned(), ""),
        Err(e) => return check(CheckState::Fail, e.to_string(), "git config KEY VALUE, in the repository"),
    };
    if settings.server.user.is_some() {
        let message = match mail::password(registry) {
            Ok(Some(_)) => None,
            Ok(None) => Some(format!("{} wants a login, and the secret {} is missing", settings.server, mail::SECRET)),
            Err(e) => Some(e.to_string()),
        };
        if let Some(message) = message {
            return check(CheckState::Warn, message, "set it where mail is sent; greenroom notify test tries it");
        }
    }
    let failing = mail::failing(&mail::folder(registry));
    let Some((address, first)) = failing.first_key_value() else {
        return check(CheckState::Ok, format!("sent by {} from {}", settings.server, settings.from.email), "");
    };
    let more = match failing.len() {
        1 => String::new(),
        several => format!(", and {} more addresses", several - 1),
    };
    let message = format!("mail to {address} is refused ({} times): {}{more}", first.times, first.why);
    check(CheckState::Warn, message, "greenroom person set ID --email … --remove-email …, or repair the mailbox")
}
