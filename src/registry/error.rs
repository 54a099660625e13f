//! What can go wrong with a registry as a whole.

use std::path::PathBuf;

use super::Outcome;
use crate::apply::Refusal;
use crate::authority::AuthorityError;
use crate::git::{GitError, Operation, PublishError};
use crate::pushes::PushesError;
use crate::tree::{StageError, TreeError};

/// Why something could not be done with a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The repository holds no registry.
    #[error("the repository at {} holds no registry; make one with `greenroom init`", .path.display())]
    NotARegistry {
        /// Where the search began.
        path: PathBuf,
    },
    /// The repository holds several, and nothing says which is meant.
    #[error("the repository holds several registries: {}; go into one, or name it with -C", .folders.join(", "))]
    SeveralRegistries {
        /// Their folders.
        folders: Vec<String>,
    },
    /// The branch that is followed was deleted, or renamed so that nobody can tell to what.
    #[error(
        "the branch {} is gone, and HEAD ({}) does not go on from its last commit; bring the branch back, or put HEAD on \
         the branch that holds the registry",
        short(.branch), short(.head)
    )]
    BranchGone {
        /// The branch, in full.
        branch: String,
        /// Where HEAD is.
        head: String,
    },
    /// The newest commit does not hold the registry that was there.
    #[error(
        "the newest commit of {} does not hold the registry any more, which was in {}; revert what removed it, or start \
         again where it is",
        short(.branch), if .at.is_empty() { "the root folder" } else { .at.as_str() }
    )]
    RegistryGone {
        /// The branch, in full.
        branch: String,
        /// The folder it was in.
        at: String,
    },
    /// An e-mail address cannot stand for a person.
    #[error("the address {} is nobody's in this registry; `greenroom person add ID --email {email}` adds someone", crate::text::quoted(.email))]
    NoPerson {
        /// The address.
        email: String,
    },
    /// Neither a time nor a revision.
    #[error("{0} is neither a time (2026-03-01, 2026-03-01T12:00:00Z, yesterday, 7d) nor a revision of the repository")]
    NoMoment(String),
    /// An entry of git's reflog: each clone has another one, and none has the registry's past.
    #[error(
        "{0} would be an entry of git's reflog, which is this clone's own; write a time, or a revision such as HEAD~1"
    )]
    Reflog(String),
    /// A length of time that is the start of a commit's id, too.
    #[error(
        "{0} is a length of time, and the start of a commit's id; write '{0} ago' with a unit in full, or more of the id"
    )]
    AmbiguousMoment(String),
    /// A time that is still to come.
    #[error("{0} is still to come, and nobody knows the registry of then; leave the moment out for the newest state")]
    Ahead(String),
    /// The registry has no commit of that time or before.
    #[error("the history begins after {0}")]
    BeforeHistory(String),
    /// Git has begun something in the work tree that a commit would get in the way of.
    #[error("{0} is in progress in the work tree; finish it or give it up first: {way}", way = .0.way_out())]
    InProgress(Operation),
    /// The action cannot be applied.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// One of several actions cannot be applied.
    #[error("{refusal}")]
    RefusedAt {
        /// Which of them, counted from 0.
        index: usize,
        /// Why.
        refusal: Refusal,
    },
    /// The rules refuse the change.
    #[error("the change breaks {} rule(s)", .outcome.verdict.faults.len())]
    Denied {
        /// What would have happened, and the verdict.
        outcome: Box<Outcome>,
    },
    /// A branch that was to be made is there already.
    #[error("the branch {} exists already", crate::text::quoted(.branch))]
    BranchExists {
        /// Its name, without `refs/heads/`.
        branch: String,
    },
    /// A pull request is too large to be judged.
    #[error("the branch brings more than {max} commits; split it, or merge its target into it first")]
    TooManyCommits {
        /// How many are judged.
        max: usize,
    },
    /// Which ids were used before cannot be told.
    #[error("it cannot be told whether an id is new")]
    Ids(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Others were faster again and again.
    #[error("others changed the registry again and again meanwhile; try again")]
    Contended,
    /// The commit could not be made.
    #[error(transparent)]
    Publish(PublishError),
    /// The record of pushes cannot be read.
    #[error(transparent)]
    Pushes(Box<PushesError>),
    /// Git's side failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The change cannot be written as a tree.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// An object cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// A branch as people name it.
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
