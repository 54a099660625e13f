//! How much a push may bring, checked before the costly step.

use std::time::Duration;

/// The limits of one push. They are settings of the served repository (`greenroom.maxCommits` and so on), never of
/// the tree that is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimits {
    /// The most references in one push.
    pub refs: usize,
    /// The most commits that are new to a protected branch.
    pub commits: usize,
    /// The most files that may change over all these commits.
    pub files: usize,
    /// The largest model file that lies in git itself, in bytes; larger ones belong to Git LFS.
    pub file_bytes: u64,
    /// The most tree entries looked at for one commit.
    pub entries: usize,
    /// The deepest folder.
    pub depth: usize,
    /// The longest commit message, in bytes.
    pub message_bytes: usize,
    /// How long the judgement may take.
    pub time: Duration,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            refs: 50,
            commits: 5_000,
            files: 15_000,
            file_bytes: 1 << 20,
            entries: 60_000,
            depth: 32,
            message_bytes: 64 << 10,
            time: Duration::from_secs(20),
        }
    }
}
