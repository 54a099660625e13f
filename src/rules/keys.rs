//! The rule of keys: a signing key must be a public key, be strong enough, and belong to one person alone.

use std::collections::BTreeMap;

use super::{Faults, StepContext, line_of};
use crate::event::Event;
use crate::signature::PublicKey;
use crate::tree::TreeError;

/// The hint for a key that cannot be used.
const HELP: &str = "`greenroom person set <user> --key FILE` adds a valid public key";

pub(super) fn keys(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let mut touched = false;
    for event in &step.diff.events {
        let (user, person, before) = match event {
            Event::PersonAdded { user, person } => (user, person, &[][..]),
            Event::PersonChanged { user, before, after } => (user, after, before.keys.as_slice()),
            _ => continue,
        };
        touched |= person.keys != before;
        let path = step.after.full_path(&crate::format::path::person(user));
        for (i, key) in person.keys.iter().enumerate() {
            // An accepted key stays, even if it would not be accepted today: it shows who signed in the past.
            if before.iter().any(|k| k.key == key.key) {
                continue;
            }
            if let Err(why) = PublicKey::parse(key.key.as_str()).and_then(|k| k.vet()) {
                let line = line_of(step.after, &path, &format!("key = \"{}", key.key.first_line()))?;
                faults.at((path.clone(), line), format!("key {}: {why}", i + 1), HELP);
            }
        }
    }
    if touched { one_owner(step, faults) } else { Ok(()) }
}

/// Checks that a key belongs to one person and is listed once while it is valid. With two valid entries it would be
/// unclear which one holds.
fn one_owner(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let mut owners = BTreeMap::new();
    for (user, file) in step.after.people()? {
        let Some(person) = &file.value else { continue };
        for given in &person.keys {
            let Ok(key) = PublicKey::parse(given.key.as_str()) else { continue };
            let live = given.revoked_at.is_none();
            let (owner, lives) = owners.entry(key.fingerprint().to_owned()).or_insert((user, false));
            if *owner != user {
                let message = format!("the key {} already belongs to {owner}", key.fingerprint());
                faults.add(file.path.clone(), message, "keep the key for one person only");
            } else if live && *lives {
                let message = format!("the key {} is listed twice", key.fingerprint());
                faults.add(file.path.clone(), message, "remove or revoke one of the two");
            }
            *lives |= live;
        }
    }
    Ok(())
}
