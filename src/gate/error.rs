//! Errors of the gate. Without a verdict a push is refused.

use crate::authority::AuthorityError;
use crate::git::GitError;
use crate::index::IndexError;
use crate::pushes::PushesError;
use crate::tree::TreeError;

/// Why a push could not be judged. The push is refused.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A setting of the served repository is invalid.
    #[error("the setting {key} is {value}: {why}; set it with `git config {key} …` in the served repository")]
    Setting {
        /// The name of the setting.
        key: &'static str,
        /// The value, quoted.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Judging exceeded the time limit.
    #[error(
        "the check of the push took longer than {seconds} s; push fewer commits at once, or raise greenroom.maxSeconds"
    )]
    Late {
        /// The limit in seconds.
        seconds: u64,
    },
    /// It cannot be determined whether ids are new.
    #[error("the gate could not determine whether the ids in the push are new")]
    Ids(#[from] IndexError),
    /// The record of pushes cannot be read.
    #[error(transparent)]
    Pushes(#[from] PushesError),
    /// A git operation failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// An object cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl From<AuthorityError> for GateError {
    fn from(e: AuthorityError) -> Self {
        match e {
            AuthorityError::Pushes(e) => Self::Pushes(*e),
            AuthorityError::Git(e) => Self::Git(e),
            AuthorityError::Tree(e) => Self::Tree(e),
        }
    }
}
