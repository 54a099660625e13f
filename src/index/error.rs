//! Errors of the index.

use std::path::PathBuf;

use crate::git::GitError;
use crate::registry::RegistryError;
use crate::tree::TreeError;

/// Why the index could not answer a query.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A part of the index is damaged. A damaged index is rebuilt, so this error means that the rebuilt index is
    /// damaged too: a failing disk.
    #[error("the index is damaged again after it was rebuilt ({what}); check the disk of {}", .folder.display())]
    Damaged {
        /// A description of the damage.
        what: String,
        /// The folder of the index.
        folder: PathBuf,
    },
    /// The index cannot be stored.
    #[error("the index cannot be written to {}", .folder.display())]
    Unwritable {
        /// The folder of the index.
        folder: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// Another process is writing the index.
    #[error("another process is writing the index in {}; try again when it is done", .folder.display())]
    Busy {
        /// The folder of the index.
        folder: PathBuf,
    },
    /// The registry changed between two pages of a search.
    #[error("the registry changed after the previous page; start the search again without a page token")]
    Moved,
    /// The commit is not in the first-parent history of the indexed branch.
    #[error("commit {} is not in the first-parent history of the registry's branch", .0.short())]
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

/// Why a part of the index could not be used: it is damaged, or the history cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// Truncated, changed or missing data: the index must be rebuilt.
    Damaged(String),
    /// Another error, which a rebuild does not fix.
    Other(IndexError),
}

impl<E: Into<IndexError>> From<E> for Fault {
    fn from(e: E) -> Self {
        Self::Other(e.into())
    }
}

/// Returns a [`Fault::Damaged`].
pub(super) fn damaged(what: impl Into<String>) -> Fault {
    Fault::Damaged(what.into())
}
