//! Recording a push, after it was taken.
//!
//! Several pushes may be recorded at once: the lock puts them in order, not necessarily in that in which git took them,
//! so who reads the record goes by its ids and not by its numbers. A recording that is killed leaves the record as it
//! was. Where two pushes bring one commit at the same moment, each may find it in the other's branch and take it for
//! old: then no note vouches for its author, while what moved is recorded all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use super::push::{self, MAX_TABLES, Push, word};
use super::read::{self, Pushes};
use super::{PushesError, REFERENCE};
use crate::git::{Draft, Durability, GitError, Ident, PublishError, Repo};
use crate::name::UserName;
use crate::time::Timestamp;
use crate::tree::{Oid, Patch, Stage as _, TreeError};

/// How long other writers are waited for.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// How often the record is written anew because it changed without our lock.
const ATTEMPTS: usize = 10;

/// The most bytes of a note; a commit that came and went more often keeps its first pushes.
const MAX_NOTE: usize = 64 << 10;

/// Who commits the record.
const SERVICE: (&str, &str) = ("greenroom", "greenroom@localhost");

/// Who pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// The person of the registry, if known.
    pub person: Option<UserName>,
    /// The login at the host, if it has one.
    pub login: Option<String>,
    /// The e-mail address, if the host tells it; it is recorded where there is no login.
    pub email: Option<String>,
    /// How the host knew who pushed.
    pub via: String,
    /// What else the host said.
    pub detail: Option<String>,
}

/// A reference that a push moved: what it named before, and what it names since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Its name in full.
    pub name: String,
    /// What it named; none if it was created.
    pub old: Option<Oid>,
    /// What it names; none if it was deleted.
    pub new: Option<Oid>,
}

/// Records a push that was taken, durably; gives its number, or none if nothing moved.
///
/// Each commit that is new with the push gets a note, unless there are more than `max`: then the newest alone does.
/// The commit is by the service, and signed if the repository's settings ask for signatures.
pub fn record(repo: &Repo, moved: &[Moved], by: &By, now: Timestamp, max: usize) -> Result<Option<u64>, PushesError> {
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

/// For each reference that moved the commits that get a note.
fn touched(repo: &Repo, moved: &[Moved], max: usize) -> Result<Vec<BTreeSet<Oid>>, PushesError> {
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

fn touched_by(repo: &Repo, moved: &Moved, known: &[Oid], max: usize) -> Result<BTreeSet<Oid>, PushesError> {
    let Some(new) = moved.new else { return Ok(BTreeSet::new()) };
    // A push that came after may have moved it on, and what this one brought may be gone already.
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

/// The first-parent line from a new tip to the old one; only the tip where that is not on it within `max` steps.
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

/// The commit that adds the push to the record as it is now: on top of what, with which number, and what.
fn draft(
    repo: &Repo,
    moved: &[Moved],
    touched: &[BTreeSet<Oid>],
    by: &By,
    now: Timestamp,
) -> Result<(Option<Oid>, u64, Draft), PushesError> {
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
    let draft = Draft { tree, merged: Vec::new(), author: ident.clone(), committer: ident, message };
    Ok((pushes.tip(), number, draft))
}

fn table(moved: &Moved, number: u64, by: &By, at: Timestamp) -> Push {
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
        detail: word_of(&by.detail),
    }
}

/// What `git log` shows of a push.
fn subject(tables: &[Push]) -> String {
    let Some(first) = tables.first() else { return String::new() };
    let who = first
        .by
        .as_ref()
        .map(UserName::as_str)
        .or(first.login.as_deref())
        .or(first.email.as_deref())
        .unwrap_or("somebody");
    let more = match tables.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    format!("Push {} by {who} via {}: {}{more}", first.number, first.via, first.reference)
}
