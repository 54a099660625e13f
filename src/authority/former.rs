//! The former holder of a person's id: their file before it was removed.

use crate::entity::Person;
use crate::format::{self, path};
use crate::git::{GitError, Repo};
use crate::name::{UserName, fold};
use crate::snapshot::{Finder, Snapshot};
use crate::tree::{Objects as _, Oid};

/// Returns the file of the last person with an id, compared without case, in the first-parent history up to a commit.
/// Returns `None` if no person had the id, or if the file cannot be read. `at` is the folder of the registry at that
/// commit; the registry may have been in another folder earlier.
///
/// # Errors
/// When the history cannot be read, as in a shallow clone.
pub fn former_person(repo: &Repo, at: &str, tip: Oid, user: &UserName) -> Result<Option<Person>, GitError> {
    let wanted = fold(user.as_str());
    let id = Snapshot::new(repo, Some(repo.tree_of(&tip)?), at)?.id()?.cloned();
    let (mut seen, finder) = (None, Finder::default());
    for step in repo.first_parents(tip)? {
        let step = step?;
        let state = Snapshot::follow(repo, Some(step.tree), at, (id.as_ref(), &finder))?;
        // Another registry was in this folder before this one was made.
        if state.id()?.is_some_and(|found| id.as_ref().is_some_and(|id| id != found)) {
            return Ok(None);
        }
        let people = state.entry("people")?.map(|entry| entry.id);
        if people.is_none() || people == seen {
            continue;
        }
        seen = people;
        let Some(folder) = people else { continue };
        let entries = repo.tree(&folder)?;
        let is_wanted = |name: &str| path::person_of(name).is_some_and(|user| fold(user.as_str()) == wanted);
        let Some(entry) = entries.iter().find(|e| e.kind.is_file() && is_wanted(&e.name)) else { continue };
        let bytes = repo.blob(&entry.id, format::MAX_FILE)?;
        return Ok(format::parse::<Person>(&state.full_path(&format!("people/{}", entry.name)), &bytes).0);
    }
    Ok(None)
}
