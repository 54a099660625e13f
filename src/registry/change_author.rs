//! Determines the actor of a change that is made here: the gate's own check, before the commit exists.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::{ChangeAuthor, Registry, RegistryError};
use crate::authority::{self, Assumption, CommitNames, CommitterIdentity, People, PeopleKeys, StepIdentities};
use crate::entity::settings::Authority;
use crate::format::Problem;
use crate::git::{Ident, Signed};
use crate::name::UserName;
use crate::rules::{Actor, Fault, RuleClass};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::Oid;

/// Cached data for determining the actor of later changes.
#[derive(Default)]
pub(super) struct ProofCache {
    keys: PeopleKeys,
    /// A specimen of the signatures that commits get here, and the address of the committer it was made for.
    specimen: RefCell<Option<(String, Option<Signed>)>>,
}

impl Registry {
    /// Returns the person of an identity in a snapshot: the person with its e-mail address (after the snapshot's own
    /// `.mailmap`, as the gate reads it), else the address.
    ///
    /// # Errors
    /// [`RegistryError::NoPerson`] if the address cannot be a person's id; other [`RegistryError`]s if an object cannot
    /// be read.
    pub fn person_of(&self, snapshot: &Snapshot<'_>, who: &Ident) -> Result<UserName, RegistryError> {
        if let Some(user) = People::of(snapshot)?.by_ident(who)? {
            return Ok(user);
        }
        let email = &who.email;
        UserName::new(email.to_lowercase()).map_err(|_| RegistryError::NoPerson { email: email.clone() })
    }

    /// Returns the actor of `change_author`'s commit, or the faults that prevent it from being determined later. The local
    /// committer counts as the pusher, because the gate accepts the commit from no other person.
    pub(super) fn actor(
        &self,
        (before, after): (&Snapshot<'_>, &Snapshot<'_>),
        change_author: &ChangeAuthor,
        is_authenticated: bool,
        now: Timestamp,
    ) -> Result<Result<Actor, Vec<Fault>>, RegistryError> {
        self.acting((before, after), change_author, now, |inquiry, names| {
            if inquiry.identity.authority != Authority::Signature && !self.repo.signs() {
                return Ok(None);
            }
            match self.specimen(&change_author.committer)? {
                Some(specimen) => Ok(inquiry.signer_of(&specimen, names)?),
                None => Ok(None),
            }
        })
        .map(|found| {
            found.and_then(|actor| match is_authenticated && actor.user != change_author.user {
                true => Err(vec![not_the_callers(change_author, &actor.user)]),
                false => Ok(actor),
            })
        })
    }

    /// Returns the actor of edits that are not committed yet. The signature of their commit is not known, so the
    /// committer counts as the signer.
    pub(super) fn presumed_actor(
        &self,
        (before, after): (&Snapshot<'_>, &Snapshot<'_>),
        change_author: &ChangeAuthor,
        now: Timestamp,
    ) -> Result<Result<Actor, Vec<Fault>>, RegistryError> {
        self.acting((before, after), change_author, now, |inquiry, names| {
            let person = inquiry.people.by_ident(names.committer)?;
            if person.is_none() && inquiry.identity.authority == Authority::Signature {
                let shown = crate::text::quoted(&names.committer.email);
                let message = format!(
                    "its committer {shown} is not a person in people/, so the signer will be a different person"
                );
                let help = "set user.email to one of your addresses in people/; or let an administrator of the \
                            registry add your address (`greenroom person add ID --email ADDRESS`)";
                inquiry.fault("committer", None, message, help);
            }
            Ok(person)
        })
    }

    /// Returns whether the signer of a commit is the actor in this registry.
    pub(super) fn wants_signatures(&self, before: &Snapshot<'_>, after: &Snapshot<'_>) -> Result<bool, RegistryError> {
        Ok(authority::identity(before, after)?.is_some_and(|i| i.authority == Authority::Signature))
    }

    fn acting(
        &self,
        (before, after): (&Snapshot<'_>, &Snapshot<'_>),
        change_author: &ChangeAuthor,
        now: Timestamp,
        signer: impl FnOnce(&mut StepIdentities<'_, '_>, &CommitNames<'_>) -> Result<Option<UserName>, RegistryError>,
    ) -> Result<Result<Actor, Vec<Fault>>, RegistryError> {
        let with = (&self.repo, &self.proofs.keys);
        let Some(mut inquiry) = StepIdentities::new(with, (before, after), None, now, Assumption::None)? else {
            // Without a registry before or after the change, the rules are applied without an authority.
            return Ok(Ok(Actor { signed: self.repo.signs(), ..Actor::of(change_author.user.clone()) }));
        };
        let names = CommitNames {
            commit: None,
            author: &change_author.author,
            committer: &change_author.committer,
            is_merge: false,
        };
        let signer = signer(&mut inquiry, &names)?;
        let actor = inquiry.actor(&names, &CommitterIdentity::Committer, signer.as_ref(), &[])?;
        Ok(match actor {
            Some(actor) if inquiry.faults.is_empty() => Ok(actor),
            Some(_) | None => Err(inquiry.faults),
        })
    }

    /// Returns the authors of merged commits for whom there is no proof that they made these commits.
    ///
    /// # Errors
    /// [`RegistryError`] if the history cannot be read, as in a shallow clone.
    pub fn unproven_askers(&self, commit: Oid, parent: Option<Oid>) -> Result<BTreeSet<UserName>, RegistryError> {
        let info = self.repo.commit(&commit)?;
        let (Some(parent), [_, merged @ ..]) = (parent, info.parents.as_slice()) else { return Ok(BTreeSet::new()) };
        let (before, after) = (self.snapshot_of(Some(parent))?, self.snapshot_in(Some(info.tree))?);
        let with = (&self.repo, &self.proofs.keys);
        let time = info.committer.time;
        let inquiry = StepIdentities::new(with, (&before, &after), Some(commit), time, Assumption::None)?;
        let (Some(mut inquiry), mut out) = (inquiry, BTreeSet::new()) else { return Ok(BTreeSet::new()) };
        for id in self.brought(merged, parent)? {
            let commit = self.repo.commit(&id)?;
            if !inquiry.contribution(&commit)?.proven {
                out.insert(self.name_of(&after, &commit.author)?);
            }
        }
        Ok(out)
    }

    /// Returns a signature like the one that the committer's commits get here; `None` if they are not signed. It is made
    /// once.
    fn specimen(&self, committer: &Ident) -> Result<Option<Signed>, RegistryError> {
        if let Some((_, known)) = self.proofs.specimen.borrow().as_ref().filter(|(of, _)| *of == committer.email) {
            return Ok(known.clone());
        }
        let made = self.repo.specimen(committer)?;
        *self.proofs.specimen.borrow_mut() = Some((committer.email.clone(), made.clone()));
        Ok(made)
    }
}

/// Returns the fault of an authenticated caller's commit that would count as another person's action, with that
/// person's permissions.
fn not_the_callers(change_author: &ChangeAuthor, actor: &UserName) -> Fault {
    let message = format!(
        "{} requested it, but the commit would count as an action of {actor}: the account that commits is not in \
         identity.servers",
        change_author.user
    );
    let help = format!(
        "let the server commit with its own account, which acts for its callers: a person with the address in its \
         user.email, added by `greenroom settings set --add-server {actor}`"
    );
    Fault { problem: Problem::of_file("", "identity", message).help(help), class: RuleClass::Permission }
}
