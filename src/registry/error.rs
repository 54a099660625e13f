//! Errors of registry operations.

use std::path::PathBuf;

use super::ChangeOutcome;
use crate::apply::Refusal;
use crate::authority::AuthorityError;
use crate::git::{GitError, Operation, PublishError};
use crate::pushes::PushesError;
use crate::tree::{StageError, TreeError};

/// Why an operation on a registry failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The repository has no registry.
    #[error("the repository at {} has no registry; make one with `greenroom init`", .path.display())]
    NotARegistry {
        /// Where the search began.
        path: PathBuf,
    },
    /// The repository has several registries, and none was named.
    #[error("the repository has several registries: {}; change to the folder of one, or name it with \
             -C", .folders.join(", "))]
    SeveralRegistries {
        /// The folders of the registries.
        folders: Vec<String>,
    },
    /// The branch was deleted, or renamed in a way that cannot be followed.
    #[error(
        "the branch {} no longer exists, and HEAD ({}) does not continue from its last commit; restore the branch, or \
         switch HEAD to the branch with the registry",
        short(.branch), short(.head)
    )]
    BranchGone {
        /// The full name of the branch.
        branch: String,
        /// HEAD's branch.
        head: String,
    },
    /// The newest commit no longer contains the registry.
    #[error(
        "the newest commit of {} no longer contains the registry, which was in {}; revert the commit that removed it, \
         or run the command in its new folder",
        short(.branch), if .at.is_empty() { "the root folder" } else { .at.as_str() }
    )]
    RegistryGone {
        /// The full name of the branch.
        branch: String,
        /// The folder that the registry was in.
        at: String,
    },
    /// An e-mail address does not belong to a person and cannot be an id.
    #[error("the address {} does not belong to a person in this registry; to add a person, run `greenroom person add \
             ID --email {email}`", crate::text::quoted(.email))]
    NoPerson {
        /// The address as git has it.
        email: String,
    },
    /// The text is neither a time nor a revision.
    #[error("{0} is neither a time (2026-03-01, 2026-03-01T12:00:00Z, yesterday, 7d) nor a revision of the repository")]
    NoMoment(String),
    /// The text is an entry of git's reflog: the reflog is local to each clone and does not have the registry's past.
    #[error("{0} refers to git's reflog, which exists in this clone only; write a time, or a revision such as HEAD~1")]
    Reflog(String),
    /// The text is a length of time and also the prefix of a commit id.
    #[error(
        "{0} is both a duration and the start of a commit id; write '{0} ago' with the full name of the unit, or more \
         digits of the id"
    )]
    AmbiguousMoment(String),
    /// The time is in the future.
    #[error("{0} is in the future; omit the time to get the newest state")]
    Ahead(String),
    /// The registry has no commit as of that time.
    #[error("the history begins after {0}")]
    BeforeHistory(String),
    /// Git has an unfinished operation in the work tree, which a commit would disturb.
    #[error("{0} is in progress in the work tree; finish or abort it first: {way}", way = .0.way_out())]
    InProgress(Operation),
    /// The action cannot be applied.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// One of several actions cannot be applied.
    #[error("{refusal}")]
    RefusedAt {
        /// The index of the action, from 0.
        index: usize,
        /// Why that action cannot be applied.
        refusal: Refusal,
    },
    /// The rules refuse the change.
    #[error("the change breaks {}", crate::text::counted(.outcome.verdict.faults.len(), "rule"))]
    Denied {
        /// The effect of the change, and the verdict.
        outcome: Box<ChangeOutcome>,
    },
    /// The branch to be created exists already.
    #[error("the branch {} already exists", crate::text::quoted(.branch))]
    BranchExists {
        /// The branch name without `refs/heads/`.
        branch: String,
    },
    /// A pull request has too many commits to be judged.
    #[error("the branch adds more than {max} commits; split it, or merge its target into it first")]
    TooManyCommits {
        /// The largest number of commits.
        max: usize,
    },
    /// It cannot be determined which ids were used before.
    #[error("greenroom could not determine whether an id is new")]
    Ids(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Concurrent writers kept changing the registry.
    #[error("other writers kept changing the registry; try again")]
    Contended,
    /// The commit could not be published.
    #[error(transparent)]
    Publish(PublishError),
    /// The record of pushes cannot be read.
    #[error(transparent)]
    Pushes(Box<PushesError>),
    /// A git operation failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The change cannot be written as a tree.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// An object cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Returns the short name of a branch.
fn short(branch: &str) -> String {
    crate::text::one_line(branch.strip_prefix("refs/heads/").unwrap_or(branch)).into_owned()
}

impl From<PublishError> for RegistryError {
    fn from(e: PublishError) -> Self {
        Self::Publish(e)
    }
}

impl From<PushesError> for RegistryError {
    fn from(e: PushesError) -> Self {
        Self::Pushes(Box::new(e))
    }
}

impl From<AuthorityError> for RegistryError {
    fn from(e: AuthorityError) -> Self {
        match e {
            AuthorityError::Pushes(e) => Self::Pushes(e),
            AuthorityError::Git(e) => Self::Git(e),
            AuthorityError::Tree(e) => Self::Tree(e),
        }
    }
}
