//! What a signature proves: the person of a snapshot who made it.

use std::cell::RefCell;
use std::rc::Rc;

use super::{AuthorityError, People};
use crate::entity::Person;
use crate::entity::person::SigningKey;
use crate::git::{Ident, Repo, Signed};
use crate::name::UserName;
use crate::signature::{KeyRing, SignatureFinding, check};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

/// The result of a signature check.
pub(super) enum Proof {
    /// A person signed.
    Signed(UserName),
    /// An unknown key signed; the text names the key.
    Unknown(String),
    /// The signature is invalid; the text says why.
    Bad(String),
}

/// The keys of all people of one snapshot, cached for the next commit, because people rarely change.
#[derive(Default)]
pub struct PeopleKeys(RefCell<Option<(Oid, Rc<KeyRing>)>>);

impl PeopleKeys {
    /// Checks the signature of a commit with the keys of the snapshot before.
    pub(super) fn check_commit(
        &self,
        repo: &Repo,
        commit: &Oid,
        idents: [&Ident; 2],
        (people, before): (&People<'_, '_>, &Snapshot<'_>),
        at: Timestamp,
    ) -> Result<Proof, AuthorityError> {
        match repo.signature_of(commit)? {
            Some(signed) => Ok(self.check(&signed, idents, (people, before), at)?),
            None => Ok(Proof::Bad("it cannot be read".to_owned())),
        }
    }

    /// Checks a signature with the keys of the snapshot before. Usually one of `idents`, the identities on the commit,
    /// made it; then no other keys are read.
    pub(super) fn check(
        &self,
        signed: &Signed,
        idents: [&Ident; 2],
        (people, before): (&People<'_, '_>, &Snapshot<'_>),
        at: Timestamp,
    ) -> Result<Proof, TreeError> {
        let (payload, signature) = (&signed.payload, &signed.signature);
        for ident in idents {
            let Some(user) = people.by_ident(ident)? else { continue };
            let Some(person) = before.person(&user)?.and_then(|f| f.value) else { continue };
            match check(payload, signature, keys(&user, &person), at) {
                SignatureFinding::Unknown { .. } => {}
                found => return Ok(proof(found)),
            }
        }
        Ok(proof(self.ring(before)?.check(payload, signature, at)))
    }

    fn ring(&self, state: &Snapshot<'_>) -> Result<Rc<KeyRing>, TreeError> {
        let Some(folder) = state.entry("people")?.map(|e| e.id) else { return Ok(Rc::default()) };
        if let Some((_, ring)) = self.0.borrow().as_ref().filter(|(of, _)| *of == folder) {
            return Ok(Rc::clone(ring));
        }
        let people = state.people()?;
        let known = people.iter().filter_map(|(user, file)| Some((user, file.value.as_ref()?)));
        let ring = Rc::new(KeyRing::new(known.flat_map(|(user, person)| keys(user, person))));
        *self.0.borrow_mut() = Some((folder, Rc::clone(&ring)));
        Ok(ring)
    }
}

fn keys<'p>(user: &'p UserName, person: &'p Person) -> impl Iterator<Item = (&'p UserName, &'p SigningKey)> {
    person.keys.iter().map(move |key| (user, key))
}

fn proof(found: SignatureFinding) -> Proof {
    match found {
        SignatureFinding::Good { user, .. } => Proof::Signed(user),
        SignatureFinding::Unknown { key } => Proof::Unknown(key),
        SignatureFinding::Void { user, why, .. } => Proof::Bad(format!("it was made with a key of {user}: {why}")),
        SignatureFinding::Bad(why) => Proof::Bad(why.to_string()),
    }
}
