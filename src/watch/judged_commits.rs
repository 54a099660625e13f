//! Commits that this process judged before it put them on the branch: they are not judged again.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::tree::Oid;

/// The number of commits that are kept. A commit that is dropped is judged again, which does no harm.
const REMEMBERED: usize = 4096;

/// The newest commits that this process judged and put on the branch.
#[derive(Debug, Default)]
pub struct JudgedCommits(Mutex<NewestCommits>);

#[derive(Debug, Default)]
struct NewestCommits {
    known: HashSet<Oid>,
    order: VecDeque<Oid>,
}

impl JudgedCommits {
    /// Records commits that were judged and that the branch is about to name.
    pub fn judged(&self, commits: &[Oid]) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for commit in commits {
            if newest.known.insert(*commit) {
                newest.order.push_back(*commit);
            }
        }
        while newest.order.len() > REMEMBERED {
            if let Some(oldest) = newest.order.pop_front() {
                newest.known.remove(&oldest);
            }
        }
    }

    /// Returns whether this process has judged a commit.
    pub(super) fn has(&self, commit: &Oid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).known.contains(commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_no_more() {
        let oid = |n: usize| Oid::from_hex(&format!("{n:040x}")).unwrap();
        let judged_commits = JudgedCommits::default();
        for n in 0..REMEMBERED + 10 {
            judged_commits.judged(&[oid(n), oid(n)]);
        }
        assert!(judged_commits.has(&oid(10)) && judged_commits.has(&oid(REMEMBERED + 9)));
        assert!(!judged_commits.has(&oid(9)) && !judged_commits.has(&oid(REMEMBERED + 10)));
    }
}
