//! The former holders of e-mail addresses, logins and keys. Where approvals count, such a handle goes to no other person
//! while its former holder is a person: the human who has it would act as another person from then on, and could approve
//! what the same human asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Faults, StepContext};
use crate::diff::Diff;
use crate::entity::{Person, RequestState, Settings};
use crate::event::Event;
use crate::format::path;
use crate::name::{Id, Key, UserName};
use crate::signature::PublicKey;
use crate::snapshot::Snapshot;
use crate::tree::TreeError;

/// What a step gives to people and webhooks and belonged to others earlier in the history: ids, addresses, logins, keys,
/// secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerPeople {
    /// Added people whose id belonged to a person before, each with the last file of that person; `None` if that file
    /// cannot be read.
    pub files: BTreeMap<UserName, Option<Person>>,
    /// The e-mail addresses, logins and keys that a person gets and another one had who is a person still.
    pub holders: BTreeMap<(UserName, String), UserName>,
    /// Of people who come back after their removal: another person, and what that person has and they had.
    pub successors: BTreeMap<UserName, (UserName, String)>,
    /// Webhooks, each with an own secret that another webhook, target or use had before.
    pub secrets: BTreeSet<(Id, Key)>,
}

/// The e-mail addresses, logins and keys of a person, in words.
fn handles(person: &Person) -> BTreeSet<String> {
    let emails = person.emails.iter().map(|e| format!("e-mail address {}", e.as_str().to_lowercase()));
    let keys = person.keys.iter().filter_map(|key| PublicKey::parse(key.key.as_str()).ok());
    let keys = keys.map(|key| format!("key {}", key.fingerprint()));
    emails.chain(person.logins.iter().map(|l| format!("login {l}"))).chain(keys).collect()
}

/// Returns the addresses and logins that an event gives to a person.
fn given(event: &Event) -> Option<(&UserName, BTreeSet<String>)> {
    match event {
        Event::PersonAdded { user, person } => Some((user, handles(person))),
        Event::PersonChanged { user, before, after } => Some((user, &handles(after) - &handles(before))),
        _ => None,
    }
}

/// Returns the mark under which the history knows that a person had a handle.
fn mark(handle: &str) -> Id {
    Id::of_text("person.handle", handle)
}

/// Returns the mark under which the history knows that this person had a handle.
fn mark_of(user: &UserName, handle: &str) -> Id {
    Id::of_text("person.holder", &format!("{user} {handle}"))
}

/// Returns the marks under which the history finds what an event gives to a person.
pub fn holder_marks(event: &Event) -> Vec<Id> {
    let Some((user, given)) = given(event) else { return Vec::new() };
    given.iter().flat_map(|handle| [mark(handle), mark_of(user, handle)]).collect()
}

/// Returns whether the history can say that a step gives a person or a webhook what belonged to another: the step adds a person, or
/// gives an address, a login, a key or an own secret.
pub fn needs_history(diff: &Diff) -> bool {
    let gives = |event: &Event| !holder_marks(event).is_empty() || !super::secret_marks(event).is_empty();
    super::added_people(diff).next().is_some() || diff.events.iter().any(gives)
}

/// Returns whether some rule asks for an approval by another person.
fn asks_approvals(settings: &Settings) -> bool {
    let stages = settings.stages.values().any(|rule| rule.needed() > 0 || rule.approvals_to_leave > 0);
    !settings.identity.self_approval && (stages || settings.aliases.values().any(|rule| rule.approvals > 0))
}

/// Returns whether approvals count by the settings before a step, by those before its push, or by those that the step
/// makes.
fn counts_approvals(before: &Snapshot<'_>, onto: Option<&Settings>, diff: &Diff) -> Result<bool, TreeError> {
    let made = diff.events.iter().find_map(|event| match event {
        Event::SettingsChanged { after, .. } => Some(after),
        _ => None,
    });
    Ok(before.settings()?.into_iter().chain(onto).chain(made).any(asks_approvals))
}

/// Returns what another person had, by the history, of what a step gives to people; and what other people have of what
/// the people of `back`, who come back after their removal, had. `used` says which marks the history knows; it is asked
/// at most three times. `onto` are the settings before the push.
///
/// # Errors
/// The errors of `used`, or if an object cannot be read.
pub fn former_holders<E: From<TreeError>>(
    (before, onto): (&Snapshot<'_>, Option<&Settings>),
    diff: &Diff,
    back: &[&UserName],
    used: impl Fn(&BTreeSet<Id>) -> Result<BTreeSet<Id>, E>,
) -> Result<FormerPeople, E> {
    let mut out = FormerPeople::default();
    let all: Vec<_> = diff.events.iter().filter_map(given).filter(|(_, given)| !given.is_empty()).collect();
    if all.is_empty() || !counts_approvals(before, onto, diff)? {
        return Ok(out);
    }
    let known = used(&all.iter().flat_map(|(_, given)| given.iter().map(|handle| mark(handle))).collect())?;
    let mut asked = BTreeMap::new();
    for (user, given) in all {
        for handle in given.into_iter().filter(|handle| known.contains(&mark(handle))) {
            for other in before.people()?.keys().filter(|other| *other != user) {
                asked.insert(mark_of(other, &handle), (user, handle.clone(), other));
            }
        }
    }
    if !asked.is_empty() {
        for (user, handle, other) in used(&asked.keys().cloned().collect())?.iter().filter_map(|mark| asked.get(mark)) {
            out.holders.insert(((*user).clone(), handle.clone()), (*other).clone());
        }
    }
    let mut asked = BTreeMap::new();
    for user in back {
        for (other, file) in before.people()? {
            for handle in file.value.iter().flat_map(handles) {
                asked.insert(mark_of(user, &handle), (*user, other, handle));
            }
        }
    }
    if !asked.is_empty() {
        for (user, other, handle) in used(&asked.keys().cloned().collect())?.iter().filter_map(|mark| asked.get(mark)) {
            out.successors.insert((*user).clone(), ((*other).clone(), handle.clone()));
        }
    }
    Ok(out)
}

/// Checks that an e-mail address, login or key of a person who stays goes to no other person.
pub(super) fn former_handles(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    // Steps before this rule existed stay valid.
    if step.is_past || !counts_approvals(step.before, step.onto, step.diff)? {
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
                "the {handle} belonged to {other}: its holder could approve as {user} what was requested as {other}"
            );
            let help = format!(
                "give {user} a different one. If {other} and {user} are the same human, remove {other} \
                 (`greenroom person remove {other}`). If {other} had it by mistake, cancel the open requests of {other}, \
                 remove {other}, give it to {user}, and add {other} again"
            );
            faults.add(step.after.full_path(&path::person(user)), message, help);
        }
    }
    unfinished(step, faults)
}

/// Checks that a person comes back without open requests if another person has what was theirs: the human who has it
/// could approve these requests.
fn unfinished(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for (user, (other, handle)) in &step.former.successors {
        if step.after.person(user)?.is_none() {
            continue;
        }
        for view in step.before.models()? {
            for version in view.versions()? {
                let open = version.requests()?.into_values().filter_map(|f| f.value);
                let open = open.filter(|r| r.state == RequestState::Pending && r.created_by == *user);
                for request in open {
                    let message = format!(
                        "the request {} of {user} is open, and the {handle} is now {other}'s: a human who has it could \
                         approve as {other} what was asked for as {user}",
                        request.id
                    );
                    let help = format!("cancel it first: `greenroom request cancel {}`", request.id);
                    faults.add(step.after.full_path(&path::person(user)), message, help);
                }
            }
        }
    }
    Ok(())
}
