//! A merge, rebase or similar operation that is in progress in a work tree.

use std::fmt;

use gix::state::InProgress;

use super::Repo;

/// An operation that git has started in a work tree and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `git merge`, or `git pull` that merges.
    Merge,
    /// `git rebase`, or `git pull --rebase`.
    Rebase,
    /// `git am`.
    Mailbox,
    /// `git cherry-pick`.
    CherryPick,
    /// `git revert`.
    Revert,
}

impl Operation {
    /// Returns advice on how to finish or abort the operation.
    pub const fn way_out(self) -> &'static str {
        match self {
            Self::Merge => {
                "settle the conflicts, `git add` the files, then `git merge --continue`; or `git merge --abort`"
            }
            Self::Rebase => {
                "settle the conflicts, `git add` the files, then `git rebase --continue`; or `git rebase --abort`"
            }
            Self::Mailbox => "settle the conflicts, `git add` the files, then `git am --continue`; or `git am --abort`",
            Self::CherryPick => {
                "settle the conflicts, `git add` the files, then `git cherry-pick --continue`; or `--abort`"
            }
            Self::Revert => "settle the conflicts, `git add` the files, then `git revert --continue`; or `--abort`",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Merge => "a merge",
            Self::Rebase => "a rebase",
            Self::Mailbox => "the application of patches (git am)",
            Self::CherryPick => "a cherry-pick",
            Self::Revert => "a revert",
        })
    }
}

impl Repo {
    /// Returns the operation in progress in the work tree; `None` in a bare repository. A bisection does not count,
    /// because it changes nothing.
    pub fn operation(&self) -> Option<Operation> {
        self.work_dir()?;
        Some(match self.inner.state()? {
            InProgress::Merge => Operation::Merge,
            InProgress::Rebase | InProgress::RebaseInteractive => Operation::Rebase,
            InProgress::ApplyMailbox | InProgress::ApplyMailboxRebase => Operation::Mailbox,
            InProgress::CherryPick | InProgress::CherryPickSequence => Operation::CherryPick,
            InProgress::Revert | InProgress::RevertSequence => Operation::Revert,
            InProgress::Bisect => return None,
        })
    }
}
