//! The first-parent line of the branch as far as somebody still has to be told of it: places and commits.

use std::collections::{HashSet, VecDeque};

use crate::git::{GitError, Repo};
use crate::tree::Oid;

/// A piece of the line up to the newest commit, oldest first. A commit's place stays the same while the line grows.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The place of the first commit that is held.
    first: u64,
    commits: VecDeque<Oid>,
}

impl Line {
    /// Reads the line back from `tip` until all wanted commits were met, or to its beginning.
    pub(super) fn read(repo: &Repo, tip: Oid, wanted: &HashSet<Oid>) -> Result<Self, GitError> {
        let mut missing = wanted.clone();
        let (mut commits, mut useful) = (VecDeque::new(), 1);
        for step in repo.first_parents(tip)? {
            let commit = match step {
                Ok(step) => step.commit,
                // What is not here cannot be told of.
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
        // What lies before all that is wanted is of no use.
        let first = commits.len() - useful.min(commits.len());
        commits.drain(..first);
        Ok(Self { first: 0, commits })
    }

    /// Goes on to a newer commit; false, and nothing is done, if the line does not lead there.
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

    /// The newest commit.
    pub(super) fn tip(&self) -> Option<Oid> {
        self.commits.back().copied()
    }

    /// The place of a commit; none if it is not held.
    pub(super) fn place(&self, commit: &Oid) -> Option<u64> {
        self.commits.iter().rposition(|c| c == commit).map(|n| self.first + n as u64)
    }

    /// The place of a commit that is most likely the next after a known place.
    pub(super) fn place_near(&self, commit: &Oid, before: Option<u64>) -> Option<u64> {
        let next = before.map(|b| b + 1).filter(|n| self.at(*n) == Some(*commit));
        next.or_else(|| self.place(commit))
    }

    /// The commit at a place.
    pub(super) fn at(&self, place: u64) -> Option<Oid> {
        let index = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.commits.get(index).copied()
    }

    /// Drops what lies before a place; the newest commit always stays.
    pub(super) fn forget_before(&mut self, place: u64) {
        while self.first < place && self.commits.len() > 1 {
            self.commits.pop_front();
            self.first += 1;
        }
    }

    /// How many commits come after a place.
    pub(super) fn after(&self, place: u64) -> u64 {
        (self.first + self.commits.len() as u64).saturating_sub(place + 1)
    }
}
