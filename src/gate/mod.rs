//! The gate judges the effect of a push, a pull request or a merge before it happens.
//!
//! The hook ([`Gate::judge`]), the check of a pull request, and the audit of an existing history ([`Gate::judge_step`])
//! use the same code. Each step of the first-parent history is judged by the rules and permissions of the snapshot
//! before it. The gate fails closed: anything that cannot be read or decided is refused.

mod ahead;
mod branch_start;
mod error;
mod folders;
mod guard;
pub mod host;
mod ids;
mod judge;
pub mod limits;
mod lost;
pub mod merge;
pub mod namespace;
mod proposal;
pub mod pull;
mod push;
mod pushed_files;
pub mod record;
pub mod refs;
mod release;
mod report;
pub mod structure;
pub mod verify;

use crate::authority::{Assumption, PeopleKeys};
use crate::git::{GitError, Repo};
use crate::registry::named_folders;
use crate::time::Timestamp;

pub use crate::authority::{CommitterIdentity, People, Pusher};
pub use ahead::{Ahead, ahead};
pub use error::GateError;
pub use host::{Host, NoPusher};
pub use ids::IdLine;
pub use judge::StepJudgement;
pub use limits::GateLimits;
pub use push::{Judgement, PushFault};
pub use pushed_files::MissingPolicy;
pub use refs::{BadLine, Update};
pub use report::{ascii, plain};

/// The setting of protected branches.
const PROTECTED: &str = "greenroom.protected";

/// A served repository and its gate settings.
pub struct Gate {
    repo: Repo,
    limits: GateLimits,
    protected: Vec<String>,
    releases: Vec<String>,
    folders: Vec<String>,
    keys: PeopleKeys,
    missing: MissingPolicy,
}

/// How a step reaches the branch.
#[derive(Debug, Clone)]
pub struct StepArrival {
    /// The committer of the step.
    pub by: CommitterIdentity,
    /// The time at which the step reaches the branch.
    pub at: Timestamp,
    /// Whether the limits of a push apply; they do not apply to old steps.
    pub bounded: bool,
    /// What is assumed to be proven about the authors of the commits that a merge adds.
    pub assumption: Assumption,
}

impl Gate {
    /// Opens the gate of a repository. The protected branches are HEAD's branch and those in `greenroom.protected`.
    ///
    /// # Errors
    /// [`GateError::Setting`] if a setting is invalid; [`GateError::Git`] if HEAD is on no branch or unreadable.
    pub fn open(repo: Repo) -> Result<Self, GateError> {
        let branch = repo.branch()?;
        Self::of_branches(repo, vec![branch])
    }

    /// Opens the gate to judge steps that exist. HEAD may be on no branch, as in a CI job.
    ///
    /// # Errors
    /// [`GateError::Setting`] if a setting is invalid; [`GateError::Git`] if HEAD is unreadable.
    pub fn of_history(repo: Repo) -> Result<Self, GateError> {
        let branch = match repo.branch() {
            Err(GitError::Detached) => Vec::new(),
            other => vec![other?],
        };
        Self::of_branches(repo, branch)
    }

    fn of_branches(repo: Repo, mut protected: Vec<String>) -> Result<Self, GateError> {
        protected.extend(repo.own_settings(PROTECTED).iter().map(|name| full(name)));
        let releases = repo.own_settings(release::SETTING).iter().map(|name| full(name)).collect();
        let folders = named_folders(&repo);
        let limits = GateLimits::of(&repo)?;
        let host = repo.own_setting("greenroom.host").and_then(|text| text.parse().ok());
        let missing = MissingPolicy::of(&repo, host)?;
        Ok(Self { repo, limits, protected, releases, folders, keys: PeopleKeys::default(), missing })
    }

    /// Adds protected branches, for a repository whose settings cannot be changed.
    pub fn protecting(mut self, more: &[String]) -> Self {
        self.protected.extend(more.iter().map(|name| full(name)));
        self
    }

    /// Sets the kind of host, from the command line of the hook.
    ///
    /// # Errors
    /// [`GateError::Setting`] if a setting is invalid.
    pub fn behind(mut self, host: Host) -> Result<Self, GateError> {
        self.missing = MissingPolicy::of(&self.repo, Some(host))?;
        Ok(self)
    }

    /// Returns the repository.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Returns the limits of a push.
    pub fn limits(&self) -> &GateLimits {
        &self.limits
    }

    /// Returns the names that other references must not resemble.
    fn reserved(&self) -> namespace::Reserved<'_> {
        namespace::Reserved { protected: &self.protected, releases: &self.releases }
    }

    /// Whether a branch is protected. A `*` in a pattern matches any characters.
    pub fn protects(&self, name: &str) -> bool {
        self.protected.iter().any(|pattern| matches(pattern, name))
    }
}

/// Returns the full name of a branch.
fn full(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

/// Whether a name matches a pattern in which `*` matches any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("refs/heads/main", "refs/heads/main"));
        assert!(!matches("refs/heads/main", "refs/heads/main2"));
        assert!(matches("refs/heads/release/*", "refs/heads/release/1.0"));
        assert!(!matches("refs/heads/release/*", "refs/heads/release"));
        assert!(matches("refs/heads/*-prod", "refs/heads/eu-prod"));
        assert!(!matches("refs/heads/*-prod", "refs/heads/eu-prod-x"));
        assert!(matches("refs/heads/a*b*c", "refs/heads/axxbyyc"));
        assert!(!matches("refs/heads/ab*ba", "refs/heads/aba"));
    }
}
