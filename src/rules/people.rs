//! Rules of people: user names, names, logins and e-mail addresses identify one person each.

use std::collections::BTreeMap;

use super::{Fault, Faults, RuleClass, StepContext};
use crate::diff::Diff;
use crate::entity::Person;
use crate::event::Event;
use crate::format::Problem;
use crate::format::path;
use crate::name::{UserName, fold};
use crate::signature::PublicKey;
use crate::tree::TreeError;

/// Returns the people whom a step adds.
pub fn added_people(diff: &Diff) -> impl Iterator<Item = &UserName> {
    diff.events.iter().filter_map(|event| match event {
        Event::PersonAdded { user, .. } => Some(user),
        _ => None,
    })
}

/// Returns whether two files are of the same person: they are equal, or share an e-mail address, login or key.
pub fn is_same_person(one: &Person, other: &Person) -> bool {
    let emails = |p: &Person| p.emails.iter().map(|e| e.as_str().to_lowercase()).collect::<Vec<_>>();
    let keys = |p: &Person| {
        let keys = p.keys.iter().filter_map(|k| PublicKey::parse(k.key.as_str()).ok());
        keys.map(|key| key.fingerprint().to_owned()).collect::<Vec<_>>()
    };
    let (emails, keys) = ((emails(one), emails(other)), (keys(one), keys(other)));
    one == other
        || emails.0.iter().any(|email| emails.1.contains(email))
        || keys.0.iter().any(|key| keys.1.contains(key))
        || one.logins.iter().any(|login| other.logins.contains(login))
}

/// Returns the finding for a user name that was another person's.
pub fn taken_over(user: &UserName, file: String) -> Fault {
    let message = format!(
        "the id {user} belonged to another person, and the requests, approvals and comments of that person name it"
    );
    let help = "choose an id that was never used; if it is the same person, add an e-mail address, login or key from \
                the removed file";
    Fault { problem: Problem::of_file(file, "person-id", message).help(help), class: RuleClass::Link }
}

/// Checks that a user name stays that of its person after removal: otherwise the person's requests, approvals and
/// comments would become another person's.
pub(super) fn one_holder(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    for (user, former) in &step.former.files {
        // A file that could not be read was there all the time.
        if step.before.entry(&path::person(user))?.is_some() {
            continue;
        }
        let Some(person) = step.after.person(user)?.and_then(|file| file.value) else { continue };
        if !former.as_ref().is_some_and(|former| is_same_person(former, &person)) {
            let fault = taken_over(user, step.after.full_path(&path::person(user)));
            faults.add(fault.problem.path, fault.problem.message, fault.problem.help);
        }
    }
    super::holders::former_handles(step, faults)
}

/// Checks that an e-mail address or login belongs to one person: with two owners it is unclear who acts.
pub(super) fn one_owner(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let touched = step.diff.events.iter().any(|e| matches!(e, Event::PersonAdded { .. } | Event::PersonChanged { .. }));
    if !touched {
        return Ok(());
    }
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (user, file) in step.after.people()? {
        let Some(person) = &file.value else { continue };
        let marks = person.emails.iter().map(|e| format!("e-mail address {}", e.as_str().to_lowercase()));
        for mark in marks.chain(person.logins.iter().map(|l| format!("login {l}"))) {
            if let Some(other) = owners.insert(mark.clone(), user.to_string()) {
                faults.add(
                    file.path.clone(),
                    format!("the {mark} already belongs to {other}"),
                    "keep it for one person only",
                );
            }
        }
    }
    Ok(())
}

/// The kind of a text that identifies a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum IdentityMark {
    /// The user name: the name of the file.
    Id,
    /// The display name.
    Name,
    /// A login at the git host.
    Login,
    /// An e-mail address.
    Email,
}

impl IdentityMark {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "display name",
            Self::Login => "login",
            Self::Email => "e-mail address",
        }
    }

    /// Returns whether a text of this kind and the same text of the other kind must belong to one person. [`one_owner`]
    /// compares logins with logins and addresses with addresses.
    const fn clashes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Id | Self::Name, _) | (_, Self::Id | Self::Name) => true,
            (Self::Login | Self::Email, Self::Login | Self::Email) => false,
        }
    }
}

/// Returns all texts that identify a person.
fn marks<'p>(user: &'p UserName, person: &'p Person) -> impl Iterator<Item = (IdentityMark, &'p str)> {
    let name = Some(person.name.as_str()).filter(|name| !name.trim().is_empty());
    let logins = person.logins.iter().map(|login| (IdentityMark::Login, login.as_str()));
    let emails = person.emails.iter().map(|email| (IdentityMark::Email, email.as_str()));
    [(IdentityMark::Id, user.as_str())]
        .into_iter()
        .chain(name.map(|n| (IdentityMark::Name, n)))
        .chain(logins)
        .chain(emails)
}

/// Returns a text in the form in which people and hosts compare it.
fn folded(text: &str) -> String {
    fold(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

pub(super) fn distinct(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    // Steps before this rule existed stay valid.
    if step.is_past {
        return Ok(());
    }
    let changed: Vec<(&UserName, &Person)> = step
        .diff
        .events
        .iter()
        .filter_map(|event| match event {
            Event::PersonAdded { user, person } => Some((user, person)),
            Event::PersonChanged { user, before, after } => {
                let same =
                    (&before.name, &before.emails, &before.logins) == (&after.name, &after.emails, &after.logins);
                Some((user, after)).filter(|_| !same)
            }
            _ => None,
        })
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut owners: BTreeMap<String, Vec<(&UserName, IdentityMark)>> = BTreeMap::new();
    for (user, file) in step.after.people()? {
        for (mark, text) in file.value.iter().flat_map(|person| marks(user, person)) {
            owners.entry(folded(text)).or_default().push((user, mark));
        }
    }
    for (user, person) in changed {
        for (mark, text) in marks(user, person) {
            let others = owners.get(&folded(text)).into_iter().flatten();
            let Some((other, theirs)) = others.filter(|(other, _)| *other != user).find(|(_, m)| mark.clashes(*m))
            else {
                continue;
            };
            let shown = crate::text::quoted(text);
            let message = format!("the {} {shown} of {user} is the {} of {other}", mark.as_str(), theirs.as_str());
            let help = "choose one that cannot be confused with the other person";
            faults.add(step.after.full_path(&crate::format::path::person(user)), message, help);
        }
    }
    Ok(())
}
