//! Who pushed what: the record of pushes of a served repository, stored in git itself.
//!
//! The record is at [`REFERENCE`] in the form of git's notes. So `git notes --ref=greenroom/pushes show <commit>` and
//! `git log --notes=greenroom/pushes` show who pushed a commit. Each push adds one commit to that reference, on top of
//! the previous one:
//!
//! - its message is the record of the push: one `[[push]]` table for each reference that moved, including deletions and
//!   rewinds;
//! - its tree has a note for each commit that the push added to the repository or to the first-parent history of a
//!   branch. Notes are never changed; later pushes append to them.
//!
//! Pushing to the reference is forbidden. The numbers of the pushes have no gaps, and each record names the commits
//! before and after. So missing records are detected ([`Pushes::in_order`] and `greenroom verify`).

mod push;
mod read;
mod write;

pub use push::Push;
pub use read::{OrderedPushes, PushEntry, Pushes};
pub use write::{MovedRef, PushedBy, record};

use crate::format::Problem;
use crate::git::{GitError, PublishError};
use crate::tree::{StageError, TreeError};

/// The reference of the record.
pub const REFERENCE: &str = "refs/notes/greenroom/pushes";

/// The command that fetches the host's record into a clone.
pub const FETCH: &str = "git fetch origin 'refs/notes/greenroom/*:refs/notes/greenroom/*'";

/// Why the record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PushesError {
    /// A note or message differs from what was recorded.
    #[error("the record of pushes is damaged: {}; fetch it from the server again, or restore it from a \
             backup", .problem)]
    Damaged {
        /// The location, and what is wrong.
        problem: Problem,
    },
    /// A push moved more references than one record can hold.
    #[error("the push moved {given} references; a record holds at most {max}")]
    TooMany {
        /// The number of moved references.
        given: usize,
        /// The largest number of references in one record.
        max: usize,
    },
    /// Concurrent writers kept changing the record.
    #[error("other writers kept changing the record of pushes while it was written; the last push is not recorded")]
    Contended,
    /// The record could not be published.
    #[error(transparent)]
    Publish(PublishError),
    /// The repository could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The notes could not be staged.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// An object could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl PushesError {
    /// Returns an error for a damaged text, with the first of its problems.
    fn damaged(place: &str, problems: Vec<Problem>) -> Self {
        let unknown = || Problem::of_file(place, "record", "it cannot be read");
        Self::Damaged { problem: problems.into_iter().next().unwrap_or_else(unknown) }
    }

    /// Returns an error for a damaged text, with a message.
    fn wrong(place: &str, why: impl Into<String>) -> Self {
        Self::Damaged { problem: Problem::of_file(place, "record", why) }
    }
}
