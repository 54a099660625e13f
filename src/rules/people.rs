//! Rules of people: what stands for one person, or is shown as one, is nobody else's.

use std::collections::BTreeMap;

use super::{Faults, Step};
use crate::entity::Person;
use crate::event::Event;
use crate::name::{UserName, fold};
use crate::tree::TreeError;

/// An e-mail address or login belongs to one person: two owners would leave open who acts.
pub(super) fn one_owner(step: &Step<'_>, faults: &mut Faults) -> Result<(), TreeError> {
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
                faults.add(file.path.clone(), format!("the {mark} is {other}'s already"), "give it to one person only");
            }
        }
    }
    Ok(())
}

/// What a text is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// The name of the file.
    Id,
    /// The name that is shown.
    Name,
    /// A login at the git host.
    Login,
    /// An e-mail address.
    Email,
}

impl Mark {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "display name",
            Self::Login => "login",
            Self::Email => "e-mail address",
        }
    }

    /// Whether two people may have the same text, one as this and the other as that. Two logins or addresses are the
    /// matter of [`one_owner`].
    const fn clashes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Id | Self::Name, _) | (_, Self::Id | Self::Name) => true,
            (Self::Login | Self::Email, Self::Login | Self::Email) => false,
        }
    }
}

/// What stands for a person.
fn marks<'p>(user: &'p UserName, person: &'p Person) -> impl Iterator<Item = (Mark, &'p str)> {
    let name = Some(person.name.as_str()).filter(|name| !name.trim().is_empty());
    let logins = person.logins.iter().map(|login| (Mark::Login, login.as_str()));
    let emails = person.emails.iter().map(|email| (Mark::Email, email.as_str()));
    [(Mark::Id, user.as_str())].into_iter().chain(name.map(|n| (Mark::Name, n))).chain(logins).chain(emails)
}

/// A text as people and hosts compare it.
fn folded(text: &str) -> String {
    fold(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

pub(super) fn distinct(step: &Step<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    // What landed before there was this rule stays.
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
    let mut owners: BTreeMap<String, Vec<(&UserName, Mark)>> = BTreeMap::new();
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
            let help = "choose one that nobody takes for the other person";
            faults.add(step.after.full_path(&crate::format::path::person(user)), message, help);
        }
    }
    Ok(())
}
