//! After a push was taken: it is written down.

use super::{Gate, GateError, GateLimits, People, Pusher, Update};
use crate::git::Repo;
use crate::name::UserName;
use crate::pushes::{self, By, Moved, PushesError};
use crate::snapshot::{self, Snapshot};
use crate::time::Timestamp;
use crate::tree::Oid;

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
    let Pusher { login, email, key, via, detail } = pusher.clone();
    pushes::record(repo, &moved, &By { person, login, email, key, via, detail }, now, limits.commits)
}

impl Gate {
    /// Who the pusher of a taken push is in the registry: by the state before, as when it was judged; for a branch
    /// that was not there, by the one that came.
    pub fn person(&self, pusher: &Pusher, updates: &[Update]) -> Result<Option<UserName>, GateError> {
        let update = updates.iter().find(|u| self.protects(&u.name));
        let commit = match update.and_then(|u| u.old.or(u.new)) {
            Some(commit) => Some(commit),
            None => self.repo.reference(&self.repo.branch()?)?,
        };
        let tree = |c: Oid| self.repo.tree_of(&c);
        let root = commit.map(tree).transpose()?;
        let mut all = snapshot::folders(&self.repo, root, &self.folders)?;
        if let Some(new) = update.and_then(|u| u.new).map(tree).transpose()? {
            let (there, come) = snapshot::changed_registries(&self.repo, root.filter(|r| *r != new), Some(new))?;
            all.extend(if there.is_empty() { come } else { there });
        }
        if all.is_empty() {
            all = snapshot::registries(&self.repo, root)?;
        }
        for at in all {
            let state = Snapshot::new(&self.repo, root, &at)?;
            if let Some(person) = People::of(&state)?.by_pusher(pusher)? {
                return Ok(Some(person));
            }
        }
        Ok(None)
    }
}
