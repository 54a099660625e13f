//! The part of the branch's first-parent history that some channel still has to process: positions and commits.

use std::collections::{HashSet, VecDeque};

use crate::git::{GitError, Repo};
use crate::tree::Oid;

/// A part of the first-parent history up to the newest commit, oldest first. The position of a commit stays the same
/// while the history grows.
#[derive(Debug, Default)]
pub(super) struct FirstParentLine {
    /// The position of the first commit in memory.
    first: u64,
    commits: VecDeque<Oid>,
}

impl FirstParentLine {
    /// Reads the history back from `tip` until all wanted commits are found, or to its beginning.
    pub(super) fn read(repo: &Repo, tip: Oid, wanted: &HashSet<Oid>) -> Result<Self, GitError> {
        let mut missing = wanted.clone();
        let (mut commits, mut useful) = (VecDeque::new(), 1);
        for step in repo.first_parents(tip)? {
            let commit = match step {
                Ok(step) => step.commit,
                // Commits that are missing in a shallow clone cannot be delivered.
                Err(GitError::Shallow) => break,
                Err(e) => return Err(e),
            };
            commits.push_front(commit);
            if missing.remove(&commit) {
                useful = commits.len();
            }
            if missing.is_empty() {
                break;
            }
        }
        // Commits before all wanted commits are not needed.
        let first = commits.len() - useful.min(commits.len());
        commits.drain(..first);
        Ok(Self { first: 0, commits })
    }

    /// Extends the history to a newer commit. Returns false, and changes nothing, if the known tip is not an ancestor
    /// of that commit by first parents.
    pub(super) fn extend(&mut self, repo: &Repo, tip: Oid) -> Result<bool, GitError> {
        let Some(old) = self.tip() else { return Ok(false) };
        let mut new = Vec::new();
        for step in repo.first_parents(tip)? {
            let commit = match step {
                Ok(step) => step.commit,
                Err(GitError::Shallow) => return Ok(false),
                Err(e) => return Err(e),
            };
            if commit == old {
                self.commits.extend(new.into_iter().rev());
                return Ok(true);
            }
            new.push(commit);
        }
        Ok(false)
    }

    /// Returns the newest commit.
    pub(super) fn tip(&self) -> Option<Oid> {
        self.commits.back().copied()
    }

    /// Returns the position of a commit. `None` if the commit is not in memory.
    pub(super) fn place(&self, commit: &Oid) -> Option<u64> {
        self.commits.iter().rposition(|c| c == commit).map(|n| self.first + n as u64)
    }

    /// Returns the position of a commit that is most likely the next one after a known position.
    pub(super) fn place_near(&self, commit: &Oid, before: Option<u64>) -> Option<u64> {
        let next = before.map(|b| b + 1).filter(|n| self.at(*n) == Some(*commit));
        next.or_else(|| self.place(commit))
    }

    /// Returns the commit at a position.
    pub(super) fn at(&self, place: u64) -> Option<Oid> {
        let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.commits.get(index).copied()
    }

    /// Drops the commits before a position. The newest commit always stays.
    pub(super) fn forget_before(&mut self, place: u64) {
        while self.first < place && self.commits.len() > 1 {
            self.commits.pop_front();
            self.first += 1;
        }
    }

    /// Returns the number of commits after a position.
    pub(super) fn after(&self, place: u64) -> u64 {
        (self.first + self.commits.len() as u64).saturating_sub(place + 1)
    }
}
