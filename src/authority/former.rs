//! What a step gives to people and was another's before it: ids, e-mail addresses, logins, keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::Diff;
use crate::entity::{Person, Settings};
use crate::format::{self, path};
use crate::git::{GitError, Repo};
use crate::name::{Id, UserName, fold};
use crate::rules::{FormerPeople, added_people, former_holders, former_secrets};
use crate::snapshot::{Finder, Snapshot};
use crate::tree::{Objects as _, Oid, TreeError};

/// Returns what a step gives to people and was another's before it. `parent` is the commit before the step, with the
/// registry in folder `at`; `onto` are the settings before the push; `used` says which marks the history knows.
///
/// # Errors
/// Those of `used`, and when the history cannot be read, as in a shallow clone.
pub fn former_people<E: From<GitError> + From<TreeError>>(
    repo: &Repo,
    (at, parent): (&str, Oid),
    (before, onto): (&Snapshot<'_>, Option<&Settings>),
    diff: &Diff,
    used: impl Fn(&BTreeSet<Id>) -> Result<BTreeSet<Id>, E>,
) -> Result<FormerPeople, E> {
    let used = |ids: &BTreeSet<Id>| if ids.is_empty() { Ok(BTreeSet::new()) } else { used(ids) };
    let marks: BTreeMap<Id, &UserName> = added_people(diff).map(|user| (user.arrival_mark(), user)).collect();
    let found = used(&marks.keys().cloned().collect())?;
    let back: Vec<&UserName> =
        marks.into_iter().filter(|(mark, _)| found.contains(mark)).map(|(_, user)| user).collect();
    let mut out = former_holders((before, onto), diff, &back, used)?;
    out.secrets = former_secrets(diff, used)?;
    for user in back {
        out.files.insert(user.clone(), former_person(repo, at, parent, user)?);
    }
    Ok(out)
}

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
