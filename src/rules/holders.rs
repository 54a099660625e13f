//! Whose an e-mail address or login was: while its former holder is a person, it goes to nobody else where approvals count.
//! Who acts by it would be another person from then on, and could approve what the same human asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, StepContext};
use crate::diff::Diff;
use crate::entity::{Person, Settings};
use crate::event::Event;
use crate::format::path;
use crate::name::{Id, UserName};
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

/// What by the history belonged to others, of what a step gives to people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerPeople {
    /// People who come under an id that was a person's before, each with the person's file as it was last; none where that
    /// cannot be read.
    pub files: BTreeMap<UserName, Option<Person>>,
    /// The e-mail addresses and logins that a person gets and another one had who is a person still.
    pub holders: BTreeMap<(UserName, String), UserName>,
}

/// The e-mail addresses and logins of a person, in words.
fn handles(person: &Person) -> BTreeSet<String> {
    let emails = person.emails.iter().map(|e| format!("e-mail address {}", e.as_str().to_lowercase()));
    emails.chain(person.logins.iter().map(|l| format!("login {l}"))).collect()
}

/// What an event gives to a person.
fn given(event: &Event) -> Option<(&UserName, BTreeSet<String>)> {
    match event {
        Event::PersonAdded { user, person } => Some((user, handles(person))),
        Event::PersonChanged { user, before, after } => Some((user, &handles(after) - &handles(before))),
        _ => None,
    }
}

/// Under which the history is asked whether somebody had an address or login.
fn mark(handle: &str) -> Id {
    Id::of_text("person.handle", handle)
}

/// Under which it is asked whether this person had it.
fn mark_of(user: &UserName, handle: &str) -> Id {
    Id::of_text("person.holder", &format!("{user} {handle}"))
}

/// Under which ids the history finds what an event gives to a person.
pub fn holder_marks(event: &Event) -> Vec<Id> {
    let Some((user, given)) = given(event) else { return Vec::new() };
    given.iter().flat_map(|handle| [mark(handle), mark_of(user, handle)]).collect()
}

/// Whether some rule asks for an approval by another person.
fn asks_approvals(settings: &Settings) -> bool {
    let stages = settings.stages.values().any(|rule| rule.needed() > 0 || rule.approvals_to_leave > 0);
    !settings.identity.self_approval && (stages || settings.aliases.values().any(|rule| rule.approvals > 0))
}

/// Of what a step gives to people, what another person had by the history; `used` says which marks it knows.
///
/// # Errors
/// Those of `used`, and where an object cannot be read.
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

/// An e-mail address or login of a person who stays goes to nobody else.
pub(super) fn former_handles(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    // What landed before there was this rule stays.
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
            // That two have it at once is refused by another rule.
            let stays = step.after.person(other)?.is_some_and(|file| !file.value.as_ref().is_some_and(had));
            if !stays {
                continue;
            }
            let message = format!(
                "the {handle} was {other}'s: whoever has it could approve as {user} what was asked for as {other}"
            );
            let help = format!(
                "give {user} another one. If {other} and {user} are one human, remove {other} \
                 (`greenroom person remove {other}`); if it was {other}'s by mistake, remove {other}, give it to {user}, and \
                 add {other} again"
            );
            faults.add(step.after.full_path(&path::person(user)), message, help);
        }
    }
    Ok(())
}
