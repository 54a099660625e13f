//! Why there is no verdict; then nothing may land.

use crate::authority::AuthorityError;
use crate::git::GitError;
use crate::index::IndexError;
use crate::pushes::PushesError;
use crate::tree::TreeError;

/// Why a push could not be judged. It is refused all the same.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A setting of the served repository is wrong.
    #[error("the setting {key} is {value}: {why}; set it with `git config {key} …` in the served repository")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Its value, quoted.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The judgement took too long.
    #[error("judging took longer than {seconds} s; push less at once, or raise greenroom.maxSeconds")]
    Late {
        /// The limit in seconds.
        seconds: u64,
    },
    /// Whether ids are new cannot be told.
    #[error("it cannot be told whether the ids that come are new")]
    Ids(#[from] IndexError),
    /// The record of pushes cannot be read.
    #[error(transparent)]
    Pushes(#[from] PushesError),
    /// Git's side failed.
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
