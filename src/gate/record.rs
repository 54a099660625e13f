//! Records accepted pushes.

use super::error::GateError;
use super::limits::GateLimits;
use super::refs::Update;
use super::{Gate, People, Pusher};
use crate::git::Repo;
use crate::name::UserName;
use crate::pushes::{self, MovedRef, PushedBy, PushesError};
use crate::snapshot::{self, Snapshot};
use crate::time::Timestamp;
use crate::tree::Oid;

/// Records durably who pushed what. Returns the push's number, or `None` if nothing moved. Concurrent calls are safe.
///
/// `person` is the pusher's id in the registry, if it is known.
///
/// # Errors
/// [`PushesError`] if the record cannot be written. The push remains accepted; `greenroom verify` reports the gap in
/// the record.
pub fn record(
    repo: &Repo,
    updates: &[Update],
    pusher: &Pusher,
    person: Option<UserName>,
    now: Timestamp,
    limits: &GateLimits,
) -> Result<Option<u64>, PushesError> {
    let moved = |u: &Update| MovedRef { name: u.name.clone(), old: u.old, new: u.new };
    // The deletion of a reference that did not exist moved nothing.
    let moved: Vec<MovedRef> = updates.iter().filter(|u| u.old.is_some() || u.new.is_some()).map(moved).collect();
    let Pusher { login, email, key, via, detail } = pusher.clone();
    pushes::record(repo, &moved, &PushedBy { person, login, email, key, via, detail }, now, limits.commits)
}

impl Gate {
    /// Returns the pusher's person in the registry, as of the snapshot before the push, like the verdict. For a new
    /// branch, as of the pushed snapshot.
    ///
    /// # Errors
    /// [`GateError`] if an object cannot be read.
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
