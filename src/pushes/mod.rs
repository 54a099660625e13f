//! Who pushed what: the record of a served repository, kept in git itself.
//!
//! It lies under [`REFERENCE`] in the form of git's notes, so that `git notes --ref=greenroom/pushes show <commit>` and
//! `git log --notes=greenroom/pushes` tell who pushed a commit. Each push adds one commit to that reference, on top of
//! the one before:
//!
//! - its message is the record of the push: one `[[push]]` table for each reference that moved, deletions and rewinds
//!   included;
//! - its tree has a note for each commit that the push brought to the repository, and for each one that it put on the
//!   first-parent line of a branch. What a note says is never changed; later pushes add to it.
//!
//! Nobody may push to the reference. The numbers of the pushes leave no gap, and each record names the commits before
//! and after, so what is missing shows ([`Pushes::in_order`] and `greenroom verify`).

mod push;
mod read;
mod write;

pub use push::Push;
pub use read::{Entry, InOrder, Pushes};
pub use write::{By, Moved, record};

use crate::format::Problem;
use crate::git::{GitError, PublishError};
use crate::tree::{StageError, TreeError};

/// Where the record lies.
pub const REFERENCE: &str = "refs/notes/greenroom/pushes";

/// The command that brings a clone the record that the host keeps.
pub const FETCH: &str = "git fetch origin 'refs/notes/greenroom/*:refs/notes/greenroom/*'";

/// Why the record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PushesError {
    /// A note or message is not what was recorded.
    #[error("the record of pushes is damaged: {}; fetch it from the server anew, or restore it from a backup", .problem)]
    Damaged {
        /// Where, and what is wrong.
        problem: Problem,
    },
    /// A push moved more references than one record holds.
    #[error("the push moved {given} references; a record holds at most {max}")]
    TooMany {
        /// How many it moved.
        given: usize,
        /// The limit.
        max: usize,
    },
    /// Other writers were faster again and again.
    #[error("the record of pushes changed again and again while it was written; its last push is not recorded")]
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
    /// Damage at a place, by the first of its problems.
    fn damaged(place: &str, problems: Vec<Problem>) -> Self {
        let unknown = || Problem::of_file(place, "record", "it cannot be read");
        Self::Damaged { problem: problems.into_iter().next().unwrap_or_else(unknown) }
    }

    /// Damage at a place, in words.
    fn wrong(place: &str, why: impl Into<String>) -> Self {
        Self::Damaged { problem: Problem::of_file(place, "record", why) }
    }
}
