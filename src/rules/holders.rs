//! Former holders of e-mail addresses and logins: if approvals count, an address or login of a person who stays may not
//! go to another person. Otherwise one human could act as both people, and approve their own requests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, StepContext};
use crate::diff::Diff;
use crate::entity::{Person, Settings};
use crate::event::Event;
use crate::format::path;
use crate::name::{Id, UserName};
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

/// The ids, addresses and logins that a step gives to people and that belonged to other people earlier in the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerPeople {
    /// Added people whose id belonged to a person before, each with the last file of that person; `None` if that file
    /// cannot be read.
    pub files: BTreeMap<UserName, Option<Person>>,
    /// The e-mail addresses and logins that a person gets, and the current person who had them before.
    pub holders: BTreeMap<(UserName, String), UserName>,
}

/// Returns the e-mail addresses and logins of a person as text.
fn handles(person: &Person) -> BTreeSet<String> {
    let emails = person.emails.iter().map(|e| format!("e-mail address {}", e.as_str().to_lowercase()));
    emails.chain(person.logins.iter().map(|l| format!("login {l}"))).collect()
}

/// Returns the addresses and logins that an event gives to a person.
fn given(event: &Event) -> Option<(&UserName, BTreeSet<String>)> {
    match event {
        Event::PersonAdded { user, person } => Some((user, handles(person))),
        Event::PersonChanged { user, before, after } => Some((user, &handles(after) - &handles(before))),
        _ => None,
    }
}

/// Returns the key by which the history knows whether any person had an address or login.
fn mark(handle: &str) -> Id {
    Id::of_text("person.handle", handle)
}

/// Returns the key by which the history knows whether this person had it.
fn mark_of(user: &UserName, handle: &str) -> Id {
    Id::of_text("person.holder", &format!("{user} {handle}"))
}

/// Returns the keys by which the history finds the addresses and logins that an event gives to a person.
pub fn holder_marks(event: &Event) -> Vec<Id> {
    let Some((user, given)) = given(event) else { return Vec::new() };
    given.iter().flat_map(|handle| [mark(handle), mark_of(user, handle)]).collect()
}

/// Returns whether a rule requires an approval by another person.
fn asks_approvals(settings: &Settings) -> bool {
    let stages = settings.stages.values().any(|rule| rule.needed() > 0 || rule.approvals_to_leave > 0);
    !settings.identity.self_approval && (stages || settings.aliases.values().any(|rule| rule.approvals > 0))
}

/// Returns the addresses and logins that a step gives to people and that another person had. `used` returns the known
/// keys of some keys.
///
/// # Errors
/// The errors of `used`, or if an object cannot be read.
pub fn former_holders<E: From<TreeError>>(
    before: &Snapshot<'_>,
    diff: &Diff,
    used: impl Fn(&BTreeSet<Id>) -> Result<BTreeSet<Id>, E>,
) -> Result<BTreeMap<(UserName, String), UserName>, E> {
    let mut out = BTreeMap::new();
    let all: Vec<_> = diff.events.iter().filter_map(given).filter(|(_, given)| !given.is_empty()).collect();
    if all.is_empty() || !before.settings()?.is_some_and(asks_approvals) {
        return Ok(out);
    }
    let known = used(&all.iter().flat_map(|(_, given)| given.iter().map(|handle| mark(handle))).collect())?;
    for (user, given) in all {
        for handle in given.into_iter().filter(|handle| known.contains(&mark(handle))) {
            let others: Vec<&UserName> = before.people()?.keys().filter(|other| *other != user).collect();
            let marks: BTreeMap<Id, &UserName> = others.into_iter().map(|o| (mark_of(o, &handle), o)).collect();
            let found = used(&marks.keys().cloned().collect())?;
            if let Some(other) = found.iter().find_map(|mark| marks.get(mark)) {
                out.insert((user.clone(), handle), (*other).clone());
            }
        }
    }
    Ok(out)
}

/// Checks that no e-mail address or login of a person who stays goes to another person.
pub(super) fn kept(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    // Steps before this rule existed stay valid.
    if step.is_past || !step.before.settings()?.is_some_and(asks_approvals) {
        return Ok(());
    }
    for (user, given) in step.diff.events.iter().filter_map(given) {
        for handle in given {
            let had = |person: &Person| handles(person).contains(&handle);
            let people = step.before.people()?;
            let now = people.iter().find(|(other, file)| *other != user && file.value.as_ref().is_some_and(had));
            let former = step.former.holders.get(&(user.clone(), handle.clone()));
            let Some(other) = now.map(|(other, _)| other).or(former) else { continue };
            // Another rule refuses that two people have it at the same time.
            let stays = step.after.person(other)?.is_some_and(|file| !file.value.as_ref().is_some_and(had));
            if !stays {
                continue;
            }
            let message = format!(
                "the {handle} belonged to {other}: its holder could approve as {user} the requests that were made as \
                 {other}"
            );
            let help = format!(
                "give {user} a different one. If {other} and {user} are the same human, remove {other} (`greenroom \
                 person remove {other}`); if {other} had it by mistake, remove {other}, give it to {user}, and add \
                 {other} again"
            );
            faults.add(step.after.full_path(&path::person(user)), message, help);
        }
    }
    Ok(())
}
