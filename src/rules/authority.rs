//! The rule of authority: after every step, at least one administrator can still act by the setting `authority`.

use super::{Faults, StepContext};
use crate::entity::person::SigningKey;
use crate::entity::settings::{Authority, IdentitySettings};
use crate::entity::{Access, PermissionLevel, Person};
use crate::event::Event;
use crate::name::{GroupName, Principal, UserName};
use crate::signature::PublicKey;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::TreeError;

pub(super) fn usable(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    proven_as_before(step, faults)?;
    // A past step that broke this rule did no harm: an administrator acted after it, or no step followed.
    if step.is_past || step.founds()? || !step.diff.events.iter().any(bears) {
        return Ok(());
    }
    let (before, after) = (authority(step.before)?, authority(step.after)?);
    let Some(identity) = after else { return Ok(()) };
    let is_switch = before.as_ref().is_none_or(|b| b.authority != identity.authority);
    let place = step.after.full_path("greenroom.toml");
    if is_switch && identity.authority == Authority::Signature && !step.actor.signed {
        let message = "the change to `authority = \"signature\"` is not signed, so it does not show that you can sign";
        let help = "add your key (`greenroom person set ID --key FILE`), configure git to sign (`git config \
                    commit.gpgSign true`, `gpg.format`, `user.signingKey`), and make the change again";
        faults.add(place.clone(), message, help);
    }
    let can = |state: &Snapshot<'_>, identity: &IdentitySettings| -> Result<bool, TreeError> {
        Ok(managers(state)?.any(|person| lacks(&person, identity, step.at).is_none()))
    };
    if can(step.after, &identity)? {
        return Ok(());
    }
    // If no administrator could act before, this step did not lock them out.
    if let Some(before) = before.filter(|b| b.authority == identity.authority)
        && !can(step.before, &before)?
    {
        return Ok(());
    }
    // The rule `manager` reports a registry without administrators.
    let Some(lacking) = managers(step.after)?.filter_map(|person| lacks(&person, &identity, step.at)).next() else {
        return Ok(());
    };
    let message = format!(
        "no administrator could change the registry any more: `authority = \"{}\"` requires {lacking}",
        identity.authority.as_str()
    );
    faults.add(
        place,
        message,
        "run `greenroom person set ID --email ADDRESS --key FILE` for an administrator of the registry",
    );
    Ok(())
}

/// Refuses the steps of a push after a commit that weakens how people are identified: they could be in the name of
/// anybody.
fn proven_as_before(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let Some((onto, now)) = step.onto.zip(step.before.settings()?).filter(|_| !step.is_past) else { return Ok(()) };
    let is_weaker = strength(now.identity.authority) < strength(onto.identity.authority)
        || !now.identity.servers.is_subset(&onto.identity.servers);
    if is_weaker && !step.diff.events.is_empty() {
        let message = "an earlier commit of this push weakens `authority`, or adds an account that acts for others";
        let help = "push that commit by itself first (`git push REMOTE COMMIT:BRANCH`), and the others then";
        faults.add(step.before.full_path("greenroom.toml"), message, help);
    }
    Ok(())
}

/// Returns the rank of a source of identity: a stronger proof has a higher rank.
const fn strength(authority: Authority) -> u8 {
    match authority {
        Authority::Author => 0,
        Authority::Pusher => 1,
        Authority::Signature => 2,
    }
}

/// Returns whether an event may change who can act.
fn bears(event: &Event) -> bool {
    matches!(
        event,
        Event::SettingsChanged { .. }
            | Event::PersonChanged { .. }
            | Event::PersonRemoved { .. }
            | Event::Granted { model: None, .. }
            | Event::Revoked { model: None, .. }
            | Event::GroupChanged { .. }
            | Event::GroupDeleted { .. }
    )
}

fn authority(state: &Snapshot<'_>) -> Result<Option<IdentitySettings>, TreeError> {
    Ok(state.settings()?.map(|settings| settings.identity.clone()))
}

/// Returns the administrators of the registry.
fn managers(state: &Snapshot<'_>) -> Result<impl Iterator<Item = Person>, TreeError> {
    let (access, people) = (state.access()?, state.people()?);
    let manages = |user: &UserName| {
        let level =
            |grant: &&crate::entity::Grant| grant.level == PermissionLevel::CanManage && holds(access, &grant.to, user);
        access.grants.iter().any(|grant| level(&grant))
    };
    let found: Vec<Person> =
        people.iter().filter(|(user, _)| manages(user)).filter_map(|(_, file)| file.value.clone()).collect();
    Ok(found.into_iter())
}

/// Returns whether a grant to a principal includes a person.
fn holds(access: &Access, to: &Principal, user: &UserName) -> bool {
    match to {
        Principal::User(granted) => granted == user,
        Principal::Group(group) if *group == GroupName::everyone() => true,
        Principal::Group(group) => access.groups.get(group).is_some_and(|members| members.contains(user)),
    }
}

/// Returns what a person lacks to put a change on the branch.
fn lacks(person: &Person, identity: &IdentitySettings, now: Timestamp) -> Option<&'static str> {
    let commits = !person.emails.is_empty() || !identity.web.is_empty();
    match identity.authority {
        Authority::Author => None,
        Authority::Pusher | Authority::Signature if !commits => Some("an e-mail address for commits"),
        Authority::Pusher => None,
        Authority::Signature => {
            let usable = |key: &SigningKey| {
                key.added_at.is_none_or(|t| t <= now)
                    && key.revoked_at.is_none_or(|t| t > now)
                    && PublicKey::parse(key.key.as_str()).is_ok_and(|key| key.vet().is_ok())
            };
            (!person.keys.iter().any(usable)).then_some("a valid signing key")
        }
    }
}
