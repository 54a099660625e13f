//! The rule of keys: what signs for a person must be a public key, strong enough, and that person's alone.

use std::collections::BTreeMap;

use super::{Faults, Step, line_of};
use crate::event::Event;
use crate::signature::PublicKey;
use crate::tree::TreeError;

/// What to do where a key cannot be used.
const HELP: &str = "greenroom person set <user> --key FILE takes a public key as it should be";

pub(super) fn keys(step: &Step<'_>, faults: &mut Faults) -> Result<(), TreeError> {
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
            // What was taken once stays, even if it would not be taken today: it tells who signed in the past.
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

/// A key signs for one person, and is there once as long as it counts: two entries would leave open which holds.
fn one_owner(step: &Step<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let mut owners = BTreeMap::new();
    for (user, file) in step.after.people()? {
        let Some(person) = &file.value else { continue };
        for given in &person.keys {
            let Ok(key) = PublicKey::parse(given.key.as_str()) else { continue };
            let live = given.revoked_at.is_none();
            let (owner, lives) = owners.entry(key.fingerprint().to_owned()).or_insert((user, false));
            if *owner != user {
                let message = format!("the key {} is {owner}'s already", key.fingerprint());
                faults.add(file.path.clone(), message, "give it to one person only");
            } else if live && *lives {
                let message = format!("the key {} is there twice", key.fingerprint());
                faults.add(file.path.clone(), message, "keep one of the two, or revoke one");
            }
            *lives |= live;
        }
    }
    Ok(())
}
