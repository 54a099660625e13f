//! After a push was taken: it is written down.

use super::{GateLimits, Pusher, Update};
use crate::git::Repo;
use crate::name::UserName;
use crate::pushes::{self, By, Moved, Push, PushesError};
use crate::time::Timestamp;

/// Records who pushed what, durably; gives the push's number, or none if nothing moved. Any two may run at once.
///
/// `person` is who the pusher is in the registry, if that is known.
///
/// # Errors
/// The push stands all the same; what is missing of the record is seen by `greenroom verify`.
pub fn record(
    repo: &Repo,
    updates: &[Update],
    pusher: &Pusher,
    person: Option<UserName>,
    now: Timestamp,
    limits: &GateLimits,
) -> Result<Option<u64>, PushesError> {
    let moved = |u: &Update| Moved { name: u.name.clone(), old: u.old, new: u.new };
    let moved: Vec<Moved> = updates.iter().map(moved).collect();
    let Pusher { login, email, via, detail } = pusher.clone();
    pushes::record(repo, &moved, &By { person, login, email, via, detail }, now, limits.commits)
}

impl From<&Push> for Pusher {
    /// Who pushed, as the record says what the host said.
    fn from(push: &Push) -> Self {
        let Push { login, email, via, detail, .. } = push.clone();
        Self { login, email, via, detail }
    }
}
