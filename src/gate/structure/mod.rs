//! Structural checks of every commit by itself, of every author and on every branch: its bytes, trees and files must
//! be what git and the registry expect.
//!
//! No other code has checked pushed objects. So this module reads the bytes of commits and trees before any other code
//! trusts them: first the headers of objects, then trees with new ids, then small files, but no large files. The
//! content of a commit's parents was judged with the parents.

mod commit;
mod content;
mod secret;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use self::commit::{CommitContext, CommitLinks, MAX_HEADERS, SKEW};
use self::content::SearchedFiles;
use self::walk::Trees;
use super::limits::GateLimits;
use crate::format::Problem;
use crate::git::{GitError, ObjectKind, Repo};
use crate::rules::{Fault, RuleClass};
use crate::snapshot::{Finder, Snapshot};
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

/// The names of the structural rules, and what each demands.
pub const RULES: &[(&str, &str)] = &[
    ("commit", "A commit has the headers that git writes, well-formed identities, and a message that can be shown."),
    (
        "commit-time",
        "Commits are made no earlier than those before them, and none in the future; clocks may differ by five minutes.",
    ),
    ("limit", "A push, its commits, trees, files and messages are no larger than the limits."),
    ("object", "Every object exists and has the type that the references to it require."),
    ("secret", "No file or message contains a key, token or password."),
    ("tree", "Trees are as git writes them, with names that mean the same on every system."),
];

/// The rules for files that apply to a commit here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleScope {
    /// The commit is a step of the first-parent history: all rules are applied elsewhere, so the rules for snapshots
    /// are not applied here.
    Line,
    /// The commit arrives with a merge, and no other code checks its snapshot: the rules for snapshots apply.
    Side,
}

/// The structural checks of the commits of one push.
pub struct Structure<'r> {
    repo: &'r Repo,
    folders: Vec<String>,
    limits: GateLimits,
    now: Timestamp,
    deadline: Instant,
    trees: Trees<'r>,
    searched: SearchedFiles,
    finder: Finder,
    known: HashMap<Oid, CommitLinks>,
    /// Commits with an invalid tree, and their descendants: no snapshot is read through them.
    broken: HashSet<Oid>,
}

impl<'r> Structure<'r> {
    /// Starts the checks for a push. `folders` are those of the registries before and after it (each empty, or ending
    /// in a slash). `now` is the time on the gate's clock. The time limit starts here.
    pub fn new(repo: &'r Repo, folders: &[String], limits: GateLimits, now: Timestamp) -> Self {
        let deadline = Instant::now() + limits.time;
        Self {
            repo,
            folders: folders.to_vec(),
            limits,
            now,
            deadline,
            trees: Trees::new(repo, folders, limits, deadline),
            searched: SearchedFiles::default(),
            finder: Finder::default(),
            known: HashMap::new(),
            broken: HashSet::new(),
        }
    }

    /// Whether the time limit is exceeded. Then every further commit is refused unread.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Judges a commit. Its parents must have been judged before, or be on the branch. Returns all faults, sorted by
    /// file.
    ///
    /// # Errors
    /// [`GitError`] if an existing object cannot be read. Then the push must be refused.
    pub fn commit(&mut self, id: &Oid, place: RuleScope) -> Result<Vec<Fault>, GitError> {
        if self.is_late() {
            return Ok(vec![fault("limit", late(self.limits), LATE_HELP)]);
        }
        let (parts, mut faults) = self.judge_bytes(id)?;
        if let Some(parts) = parts {
            faults.extend(self.judge_parts(id, &parts, place)?);
            self.known.insert(*id, parts);
        }
        faults.sort();
        faults.dedup();
        Ok(faults)
    }

    fn judge_bytes(&mut self, id: &Oid) -> Result<(Option<CommitLinks>, Vec<Fault>), GitError> {
        if let Some(fault) = self.missing("the commit", id, ObjectKind::Commit)? {
            return Ok((None, vec![fault]));
        }
        let max = MAX_HEADERS.saturating_add(self.limits.message_bytes);
        if self.trees.header(id)?.is_some_and(|h| h.size > max as u64) {
            let say = format!("the commit has more than {max} bytes of headers and message");
            return Ok((None, vec![fault("limit", say, "write long text to a file or a comment")]));
        }
        let bytes = self.repo.raw_commit(id)?;
        let terms = CommitContext { id_len: self.repo.id_len(), message: self.limits.message_bytes, now: self.now };
        let (parts, found) = commit::judge(&bytes, terms);
        Ok((parts, found.into_iter().map(|(rule, say, help)| fault(rule, say, help)).collect()))
    }

    fn judge_parts(&mut self, id: &Oid, parts: &CommitLinks, place: RuleScope) -> Result<Vec<Fault>, GitError> {
        let mut faults: Vec<Fault> =
            self.missing("the commit's tree", &parts.tree, ObjectKind::Tree)?.into_iter().collect();
        for parent in &parts.parents {
            faults.extend(self.missing("the commit's parent", parent, ObjectKind::Commit)?);
        }
        if !faults.is_empty() {
            self.broken.insert(*id);
            return Ok(faults);
        }
        let parents: Vec<(Oid, Timestamp)> = parts.parents.iter().map(|p| self.parent(p)).collect::<Result<_, _>>()?;
        let early = |(_, before): &&(Oid, Timestamp)| parts.committed.as_seconds() < before.as_seconds() - SKEW;
        if parents.first().as_ref().is_some_and(early) {
            let say = "the time of the commit is earlier than the time of its parent";
            faults.push(fault("commit-time", say, "correct the clock, and make the commit again"));
        }
        let trees: Vec<Oid> = parents.iter().map(|(tree, _)| *tree).collect();
        let brought = self.trees.bring(&parts.tree, &trees)?;
        if !brought.faults.is_empty() {
            self.broken.insert(*id);
            faults.extend(brought.faults);
            return Ok(faults);
        }
        let follows_broken = parts.parents.iter().any(|p| self.broken.contains(p));
        if follows_broken {
            self.broken.insert(*id);
        }
        for at in &self.folders {
            let after = Snapshot::new(self.repo, Some(parts.tree), at)?;
            // A registry within another registry's folder owns its files.
            let nearest =
                |path: &str| self.folders.iter().filter(|f| path.starts_with(f.as_str())).max_by_key(|f| f.len());
            let files = brought.files.iter().filter(|file| nearest(&file.path) == Some(at));
            faults.extend(self.searched.judge(&after, files, self.limits, self.deadline)?);
            if place == RuleScope::Side && faults.is_empty() && !follows_broken {
                let before = Snapshot::new(self.repo, trees.first().copied(), at)?;
                // A branch may move the registry; then its new folder contains all of it.
                let known = (before.id()?, &self.finder);
                let after = Snapshot::follow(self.repo, Some(parts.tree), at, known)?;
                faults.extend(content::judge_state(&before, &after, self.limits.depth)?);
            }
        }
        Ok(faults)
    }

    /// Returns the tree and the committer time of a parent.
    fn parent(&self, id: &Oid) -> Result<(Oid, Timestamp), GitError> {
        match self.known.get(id) {
            Some(parts) => Ok((parts.tree, parts.committed)),
            None => self.repo.commit(id).map(|c| (c.tree, c.committer.time)),
        }
    }

    fn missing(&mut self, what: &str, id: &Oid, want: ObjectKind) -> Result<Option<Fault>, TreeError> {
        let say = match self.trees.header(id)? {
            Some(header) if header.kind == want => return Ok(None),
            Some(header) => format!("{what} {} is a {}", id.short(), header.kind.as_str()),
            None => format!("{what} {} is missing: neither the push nor the repository has it", id.short()),
        };
        Ok(Some(fault("object", say, "push from a complete clone, and run `git fsck` in it")))
    }
}

impl std::fmt::Debug for Structure<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Structure")
            .field("folders", &self.folders)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

const LATE_HELP: &str = "push in parts, or raise greenroom.maxSeconds in the settings of the served repository";

fn late(limits: GateLimits) -> String {
    format!("the push could not be judged within {} s", limits.time.as_secs())
}

/// Returns a fault that belongs to no file.
fn fault(rule: &'static str, say: impl Into<String>, help: &str) -> Fault {
    Fault { problem: Problem::of_file("", rule, say).help(help), class: RuleClass::Format }
}
