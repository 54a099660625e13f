//! Records a push after it was accepted.
//!
//! Several pushes may be recorded concurrently. The lock orders them, but not necessarily in the order in which git
//! accepted them, so readers must rely on the object ids and not on the numbers. An interrupted recording leaves the
//! record unchanged. If two pushes add the same commit at the same moment, each may find it in the other's branch and
//! treat it as old. Then no note proves its author, but the moved references are recorded all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use super::push::{self, MAX_TABLES, Push, word};
use super::read::{self, Pushes};
use super::{PushesError, REFERENCE};
use crate::git::{CommitDraft, Durability, GitError, Ident, PublishError, Repo};
use crate::name::UserName;
use crate::time::Timestamp;
use crate::tree::{Oid, Patch, Stage as _, TreeError};

/// How long to wait for other writers.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// How often writing is retried because the record changed without our lock.
const ATTEMPTS: usize = 10;

/// The largest note, in bytes; a commit that was pushed more often keeps its first pushes only.
const MAX_NOTE: usize = 64 << 10;

/// The identity that commits the record.
const SERVICE: (&str, &str) = ("greenroom", "greenroom@localhost");

/// The pusher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedBy {
    /// The person of the registry, if known.
    pub person: Option<UserName>,
    /// The login at the host, if there is one.
    pub login: Option<String>,
    /// The e-mail address, if the host gives it; it is recorded only if there is no login.
    pub email: Option<String>,
    /// How the host identified the pusher.
    pub via: String,
    /// The public key of the connection, if nothing else identifies the pusher.
    pub key: Option<String>,
    /// Further details from the host.
    pub detail: Option<String>,
}

/// A reference that a push moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedRef {
    /// The full name of the reference.
    pub name: String,
    /// The old object; `None` if the reference was created.
    pub old: Option<Oid>,
    /// The new object; `None` if the reference was deleted.
    pub new: Option<Oid>,
}

/// Records an accepted push durably. Returns its number, or `None` if nothing moved.
///
/// Each commit that the push adds gets a note. If there are more than `max` such commits, only the newest one gets a
/// note. The service commits the record, with a signature if the repository's settings demand it.
///
/// # Errors
/// [`PushesError::TooMany`] for too many references; [`PushesError::Contended`] if concurrent writers kept changing the
/// record; other [`PushesError`]s if the repository cannot be read or written.
pub fn record(
    repo: &Repo,
    moved: &[MovedRef],
    by: &PushedBy,
    now: Timestamp,
    max: usize,
) -> Result<Option<u64>, PushesError> {
    if moved.is_empty() {
        return Ok(None);
    }
    if moved.len() > MAX_TABLES {
        return Err(PushesError::TooMany { given: moved.len(), max: MAX_TABLES });
    }
    let mut lock = repo.lock(LOCK_WAIT)?;
    let touched = touched(repo, moved, max)?;
    for _ in 0..ATTEMPTS {
        let (expected, number, draft) = draft(repo, moved, &touched, by, now)?;
        match repo.publish(&mut lock, REFERENCE, expected, &[draft], Durability::Full) {
            Ok(_) => return Ok(Some(number)),
            Err(PublishError::Moved { .. }) => {}
            Err(e) => return Err(PushesError::Publish(e)),
        }
    }
    Err(PushesError::Contended)
}

/// Returns the commits that get a note, for each moved reference.
fn touched(repo: &Repo, moved: &[MovedRef], max: usize) -> Result<Vec<BTreeSet<Oid>>, PushesError> {
    let others =
        repo.tips()?.into_iter().filter(|(name, _)| name != REFERENCE && moved.iter().all(|m| m.name != *name));
    let mut known: Vec<Oid> = others.map(|(_, id)| id).collect();
    for old in moved.iter().filter_map(|m| m.old).filter(|old| repo.has(old)) {
        known.extend(repo.commit_of(&old)?);
    }
    known.sort_unstable();
    known.dedup();
    moved.iter().map(|m| touched_by(repo, m, &known, max)).collect()
}

fn touched_by(repo: &Repo, moved: &MovedRef, known: &[Oid], max: usize) -> Result<BTreeSet<Oid>, PushesError> {
    let Some(new) = moved.new else { return Ok(BTreeSet::new()) };
    // A later push may have moved the reference on, and this push's objects may be gone already.
    let tip = match repo.commit_of(&new) {
        Ok(Some(tip)) => tip,
        Ok(None) => return Ok(BTreeSet::new()),
        Err(_) if !repo.has(&new) => return Ok(BTreeSet::new()),
        Err(e) => return Err(e.into()),
    };
    let mut out: BTreeSet<Oid> = match repo.new_commits(tip, known, max)? {
        Some(new) => new.into_iter().collect(),
        None => BTreeSet::from([tip]),
    };
    if let Some(old) = moved.old {
        out.extend(line(repo, tip, old, max)?);
    }
    Ok(out)
}

/// Returns the first-parent history from a new tip to the old one; only the tip if the old one is not within `max`
/// steps.
fn line(repo: &Repo, tip: Oid, old: Oid, max: usize) -> Result<Vec<Oid>, PushesError> {
    let mut out = Vec::new();
    for step in repo.first_parents(tip)?.take(max.saturating_add(1)) {
        match step {
            Ok(step) if step.commit == old => return Ok(out),
            Ok(step) => out.push(step.commit),
            Err(GitError::Shallow | GitError::Object(TreeError::Missing(_))) => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(vec![tip])
}

/// Drafts the commit that adds the push to the current record. Returns its parent, the push's number and the draft.
fn draft(
    repo: &Repo,
    moved: &[MovedRef],
    touched: &[BTreeSet<Oid>],
    by: &PushedBy,
    now: Timestamp,
) -> Result<(Option<Oid>, u64, CommitDraft), PushesError> {
    let pushes = Pushes::open(repo)?;
    let last = pushes.tip().map(|tip| read::entry(repo, tip)).transpose()?;
    let number = last.and_then(|e| e.pushes.first().map(|p| p.number)).unwrap_or(0).saturating_add(1);
    let tables: Vec<Push> = moved.iter().map(|m| table(m, number, by, now)).collect();
    let mut added = std::collections::BTreeMap::<Oid, String>::new();
    for (push, commits) in tables.iter().zip(touched) {
        for commit in commits {
            let text = added.entry(*commit).or_default();
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&push::print(std::slice::from_ref(push)));
        }
    }
    let mut patch = Patch::default();
    for (commit, text) in added {
        let note = pushes.find(&commit)?;
        let mut bytes = note.bytes.unwrap_or_default();
        if !bytes.is_empty() {
            bytes.push(b'\n');
        }
        if bytes.len() + text.len() <= MAX_NOTE {
            bytes.extend_from_slice(text.as_bytes());
            patch.write(note.path, bytes);
        }
    }
    let root = pushes.tip().map(|t| repo.tree_of(&t)).transpose()?;
    let tree = match root {
        Some(root) if patch.is_empty() => root,
        root => repo.stage(root, &patch)?,
    };
    let ident = Ident::new(SERVICE.0, SERVICE.1, now);
    let message = format!("{}\n\n{}", subject(&tables), push::print(&tables));
    let draft = CommitDraft { tree, merged: Vec::new(), author: ident.clone(), committer: ident, message };
    Ok((pushes.tip(), number, draft))
}

fn table(moved: &MovedRef, number: u64, by: &PushedBy, at: Timestamp) -> Push {
    let word_of = |w: &Option<String>| w.as_deref().map(word).filter(|w| !w.is_empty());
    Push {
        number,
        reference: word(&moved.name),
        old: moved.old,
        new: moved.new,
        at,
        by: by.person.clone(),
        login: word_of(&by.login),
        email: word_of(&by.email).filter(|_| by.login.is_none()),
        via: word_of(&Some(by.via.clone())).unwrap_or_else(|| "unknown".to_owned()),
        key: word_of(&by.key),
        detail: word_of(&by.detail),
    }
}

/// Returns the subject of the commit, for `git log`.
fn subject(tables: &[Push]) -> String {
    let Some(first) = tables.first() else { return String::new() };
    let who = first
        .by
        .as_ref()
        .map(UserName::as_str)
        .or(first.login.as_deref())
        .or(first.email.as_deref())
        .unwrap_or("a person");
    let more = match tables.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    format!("Push {} by {who} via {}: {}{more}", first.number, first.via, first.reference)
}
