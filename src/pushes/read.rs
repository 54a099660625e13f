//! Reads the record of pushes: the pushes of a commit, and all pushes in order.

use super::push::{self, Push};
use super::{PushesError, REFERENCE};
use crate::format::MAX_FILE;
use crate::git::Repo;
use crate::tree::{self, CompareLimits, EntryKind, FileChange, Objects as _, Oid};

/// The current record of pushes.
#[derive(Debug)]
pub struct Pushes<'r> {
    repo: &'r Repo,
    tip: Option<Oid>,
    root: Option<Oid>,
}

/// One commit of the record: the references that one push moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEntry {
    /// The commit of the record, not of the branch.
    pub commit: Oid,
    /// The parent; `None` for the first.
    pub parent: Option<Oid>,
    /// The moved references, at least one. All have the same number, time and pusher.
    pub pushes: Vec<Push>,
}

/// The path of a note in the tree, and its bytes if it exists.
pub(super) struct NoteEntry {
    pub(super) path: String,
    pub(super) bytes: Option<Vec<u8>>,
}

impl<'r> Pushes<'r> {
    /// Opens the record of a repository. A missing record is not an error: then no commit has a recorded push.
    ///
    /// # Errors
    /// [`PushesError`] if the reference cannot be read.
    pub fn open(repo: &'r Repo) -> Result<Self, PushesError> {
        let tip = repo.reference(REFERENCE)?;
        let root = tip.map(|t| repo.tree_of(&t)).transpose()?;
        Ok(Self { repo, tip, root })
    }

    /// Returns the newest commit of the record; `None` if there is no record.
    pub fn tip(&self) -> Option<Oid> {
        self.tip
    }

    /// Returns the pushes that added a commit to the repository or to a branch, oldest first; empty if none was
    /// recorded.
    ///
    /// # Errors
    /// [`PushesError`] if a note exists and cannot be read. Such a note never counts as missing.
    pub fn of(&self, commit: &Oid) -> Result<Vec<Push>, PushesError> {
        let place = place_of(commit);
        match self.find(commit)?.bytes {
            Some(bytes) => push::parse(&place, &bytes).map_err(|p| PushesError::damaged(&place, p)),
            None => Ok(Vec::new()),
        }
    }

    /// Returns the recorded push that first added a commit to the repository.
    ///
    /// # Errors
    /// The same as [`Self::of`].
    pub fn first(&self, commit: &Oid) -> Result<Option<Push>, PushesError> {
        Ok(self.of(commit)?.into_iter().min_by_key(|p| p.number))
    }

    /// Returns the push that added a commit to a branch (full name).
    ///
    /// # Errors
    /// The same as [`Self::of`].
    pub fn landing(&self, commit: &Oid, branch: &str) -> Result<Option<Push>, PushesError> {
        Ok(self.of(commit)?.into_iter().find(|p| p.reference == branch))
    }

    /// Iterates over all pushes, newest first.
    pub fn in_order(&self) -> OrderedPushes<'r> {
        OrderedPushes { repo: self.repo, next: self.tip, number: None }
    }

    /// Finds a note under any of the paths that git's own commands may have given it.
    pub(super) fn find(&self, commit: &Oid) -> Result<NoteEntry, PushesError> {
        let hex = commit.to_string();
        let mut rest = hex.as_str();
        let mut folder = String::new();
        let mut tree = self.root;
        while let Some(id) = tree {
            let entries = self.repo.tree(&id)?;
            if let Some(note) = entries.iter().find(|e| e.name == rest) {
                if !note.kind.is_file() {
                    let why = format!("there is a {} in the place of a note", note.kind.as_str());
                    return Err(PushesError::wrong(&place_of(commit), why));
                }
                let bytes = self.repo.blob(&note.id, MAX_FILE)?;
                return Ok(NoteEntry { path: format!("{folder}{rest}"), bytes: Some(bytes) });
            }
            let Some((two, tail)) = rest.split_at_checked(2).filter(|(_, tail)| !tail.is_empty()) else { break };
            tree = entries.iter().find(|e| e.name == two && e.kind == EntryKind::Tree).map(|e| e.id);
            if tree.is_some() {
                folder.push_str(two);
                folder.push('/');
                rest = tail;
            }
        }
        let (two, tail) = hex.split_at(2);
        Ok(NoteEntry { path: format!("{two}/{tail}"), bytes: None })
    }
}

/// The pushes of a record, newest first. The iterator ends after the first error.
#[derive(Debug)]
pub struct OrderedPushes<'r> {
    repo: &'r Repo,
    next: Option<Oid>,
    /// The number that the next entry must have; `None` before the first.
    number: Option<u64>,
}

impl OrderedPushes<'_> {
    fn entry(&mut self, commit: Oid) -> Result<PushEntry, PushesError> {
        let entry = entry(self.repo, commit)?;
        let place = place_of_entry(&commit);
        let number = entry.pushes.first().map_or(0, |p| p.number);
        if self.number.is_some_and(|wanted| wanted != number) {
            let why = format!("there is push {number} in the place of push {}", self.number.unwrap_or(0));
            return Err(PushesError::wrong(&place, why));
        }
        if entry.parent.is_none() != (number == 1) {
            return Err(PushesError::wrong(
                &place,
                format!("the record does not begin with push 1: at push {number}, its parent is missing or unexpected"),
            ));
        }
        self.number = Some(number.saturating_sub(1));
        Ok(entry)
    }
}

impl Iterator for OrderedPushes<'_> {
    type Item = Result<PushEntry, PushesError>;

    fn next(&mut self) -> Option<Self::Item> {
        let commit = self.next.take()?;
        let entry = self.entry(commit);
        if let Ok(entry) = &entry {
            self.next = entry.parent;
        }
        Some(entry)
    }
}

/// Reads one commit of the record.
pub(super) fn entry(repo: &Repo, commit: Oid) -> Result<PushEntry, PushesError> {
    let place = place_of_entry(&commit);
    let info = repo.commit(&commit)?;
    let pushes = push::parse(&place, info.body.as_bytes()).map_err(|p| PushesError::damaged(&place, p))?;
    if pushes.windows(2).any(|w| matches!(w, [a, b] if !a.is_of_same_push(b))) {
        return Err(PushesError::wrong(&place, "it records more than one push"));
    }
    let parent = match info.parents.as_slice() {
        [] => None,
        [one] => Some(*one),
        _ => return Err(PushesError::wrong(&place, "it is a merge")),
    };
    Ok(PushEntry { commit, parent, pushes })
}

impl PushEntry {
    /// Checks that the push only appended its own tables to notes, and changed or removed nothing else.
    ///
    /// # Errors
    /// [`PushesError::Damaged`] if it did; other [`PushesError`]s if an object cannot be read.
    pub fn check_notes(&self, repo: &Repo) -> Result<(), PushesError> {
        let before = self.parent.map(|p| repo.tree_of(&p)).transpose()?;
        let after = repo.tree_of(&self.commit)?;
        for change in tree::changes((repo, before), (repo, Some(after)), CompareLimits::default())? {
            self.check_note(repo, &change)?;
        }
        Ok(())
    }

    fn check_note(&self, repo: &Repo, change: &FileChange) -> Result<(), PushesError> {
        let number = self.pushes.first().map_or(0, |p| p.number);
        let place = format!("the note {} of push {number}", crate::text::one_line(&change.path));
        let wrong = |why: &str| Err(PushesError::wrong(&place, why));
        let is_note = Oid::from_hex(&change.path.replace('/', "")).is_some();
        let Some(after) = change.after.as_ref().filter(|e| is_note && e.kind == EntryKind::File) else {
            return wrong("a file that is not a note was added, or a note was removed");
        };
        let bytes = repo.blob(&after.id, MAX_FILE)?;
        let old = match &change.before {
            Some(before) => repo.blob(&before.id, MAX_FILE)?,
            None => Vec::new(),
        };
        let Some(added) = bytes.strip_prefix(old.as_slice()) else { return wrong("its content was changed") };
        let added = push::parse(&place, added).map_err(|p| PushesError::damaged(&place, p))?;
        if added.iter().all(|p| self.pushes.contains(p)) { Ok(()) } else { wrong("it records a different push") }
    }
}

/// Returns the name of a note for problems.
fn place_of(commit: &Oid) -> String {
    format!("{REFERENCE}: the note of {commit}")
}

/// Returns the name of a commit of the record for problems.
fn place_of_entry(commit: &Oid) -> String {
    format!("{REFERENCE}: the message of {commit}")
}
