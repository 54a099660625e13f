//! What can go wrong with the index.

use std::path::PathBuf;

use crate::git::GitError;
use crate::registry::RegistryError;
use crate::tree::TreeError;

/// Why the index could not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A part of the index is not what was written. It is rebuilt when that is noticed, so this is seen only where the
    /// rebuilt one is damaged again: a failing disk.
    #[error("the index is damaged again after it was rebuilt ({what}); check the disk of {}", .folder.display())]
    Damaged {
        /// What was found.
        what: String,
        /// Where the index lies.
        folder: PathBuf,
    },
    /// The index cannot be stored.
    #[error("the index cannot be written to {}", .folder.display())]
    Unwritable {
        /// Where it would lie.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process is writing the index.
    #[error("another process is writing the index in {}; try again when it is done", .folder.display())]
    Busy {
        /// Where it lies.
        folder: PathBuf,
    },
    /// The registry changed between two pages of a search.
    #[error("the registry changed since the page before this one; start the search again without a page token")]
    Moved,
    /// A commit is not on the line that the index follows.
    #[error("commit {} is not on the first-parent line of the registry's branch", .0.short())]
    OffLine(crate::tree::Oid),
    /// The history cannot be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl From<GitError> for IndexError {
    fn from(e: GitError) -> Self {
        Self::Registry(e.into())
    }
}

impl From<TreeError> for IndexError {
    fn from(e: TreeError) -> Self {
        Self::Registry(e.into())
    }
}

/// Why a part of the index could not be used: it is damaged, or the history behind it cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// Truncated, changed, missing: build it anew.
    Damaged(String),
    /// Not the index's fault.
    Other(IndexError),
}

impl<E: Into<IndexError>> From<E> for Fault {
    fn from(e: E) -> Self {
        Self::Other(e.into())
    }
}

/// A shorthand for damage.
pub(super) fn damaged(what: impl Into<String>) -> Fault {
    Fault::Damaged(what.into())
}
