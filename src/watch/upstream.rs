//! Follows the upstream of a clone: fetches, then moves the branch by fast-forward only.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::reporter::{Message, MessageLevel};
use super::{Signal, WatchError, WatchOptions, WatchedBranch};
use crate::git::{Repo, program};
use crate::tree::Oid;

/// The fetching of new commits. Its thread ends when this is dropped; a run that watches once has none.
pub(super) struct Upstream {
    #[expect(dead_code, reason = "dropping it ends the thread")]
    alive: Sender<()>,
    /// Whether the one fetch of a run that watches once failed.
    pub(super) is_behind: bool,
}

/// Starts to fetch at this interval, on its own thread, so that a network that hangs delays nothing.
pub(super) fn start(
    home: &WatchedBranch,
    every: Duration,
    options: &WatchOptions,
    signals: Sender<Signal>,
) -> Result<Upstream, WatchError> {
    let (alive, dropped) = channel::<()>();
    let (home, reporter) = (home.clone(), options.reporter.clone());
    if options.once {
        // New commits must be delivered in this run.
        let fetched = fetch(&home);
        if let Err(why) = &fetched {
            let text = "new commits of the upstream could not be fetched";
            reporter(&Message::new(MessageLevel::Error, text).with("error", why));
        }
        return Ok(Upstream { alive, is_behind: fetched.is_err() });
    }
    let run = move || {
        let mut last = None;
        loop {
            match fetch(&home) {
                Ok(moved) => {
                    last = None;
                    if moved && signals.send(Signal::Look).is_err() {
                        return;
                    }
                }
                Err(why) if last.as_ref() != Some(&why) => {
                    let text = "new commits of the upstream could not be fetched; the watcher tries again";
                    reporter(&Message::new(MessageLevel::Error, text).with("error", &why));
                    last = Some(why);
                }
                Err(_) => {}
            }
            if dropped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    options.supervisor.spawn("fetch", run).map_err(WatchError::Start)?;
    Ok(Upstream { alive, is_behind: false })
}

/// Fetches once. Returns whether the branch moved. The error is a sentence that says why not.
fn fetch(home: &WatchedBranch) -> Result<bool, String> {
    let repo = Repo::open_beside(&home.git_dir).map_err(|e| crate::text::with_causes(&e))?;
    let short = home.branch.strip_prefix("refs/heads/").ok_or("HEAD names no branch")?;
    let setting = |key: &str| repo.own_setting(&format!("branch.{short}.{key}"));
    let remote = setting("remote").unwrap_or_else(|| "origin".to_owned());
    let theirs = setting("merge").unwrap_or_else(|| home.branch.clone());
    if remote.starts_with('-') || theirs.starts_with('-') {
        return Err(format!("the git config branch.{short} names no valid remote"));
    }
    let got = format!("refs/greenroom/upstream/{short}");
    let branch = format!("+{theirs}:{got}");
    // The record of pushes belongs to the history.
    let record = "+refs/notes/greenroom/*:refs/notes/greenroom/*";
    let fetch =
        ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", &remote, &branch, record];
    program::ask(&home.git_dir, fetch)?;
    let repo = Repo::open_beside(&home.git_dir).map_err(|e| crate::text::with_causes(&e))?;
    let at = |name: &str| repo.reference(name).map_err(|e| crate::text::with_causes(&e));
    let (Some(new), Some(old)) = (at(&got)?, at(&home.branch)?) else { return Ok(false) };
    if new == old {
        return Ok(false);
    }
    let bases = repo.merge_bases(&old, &new).map_err(|e| crate::text::with_causes(&e))?;
    match bases.as_slice() {
        [base] if *base == old => forward(&repo, home, &got, old, new).map(|()| true),
        // Local commits that are not upstream yet: they may be pushed later.
        [base] if *base == new => Ok(false),
        _ => Err(format!("the branch {short} has diverged between {remote} and this clone; merge or reset by hand")),
    }
}

/// Moves the branch. If the branch is checked out, the files follow; files with local changes stop the move.
fn forward(repo: &Repo, home: &WatchedBranch, got: &str, old: Oid, new: Oid) -> Result<(), String> {
    let is_on = repo.branch().is_ok_and(|b| b == home.branch);
    let (new_id, old_id) = (new.to_string(), old.to_string());
    match repo.work_dir().filter(|_| is_on) {
        // Without filters, large files stay pointers.
        Some(dir) => {
            let plain = ["-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"];
            program::ask(&dir, plain.into_iter().chain(["merge", "--quiet", "--ff-only", got])).map(drop)
        }
        None => {
            let update = ["update-ref", "-m", "greenroom: follow upstream", home.branch.as_str(), &new_id, &old_id];
            program::ask(&home.git_dir, update).map(drop)
        }
    }
}
