//! Addresses that the mail server refuses, so that `greenroom doctor` can say whose mail does not arrive.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files;
use crate::time::Timestamp;

/// The largest number of addresses that are kept.
const MOST: usize = 10_000;

/// The number of refusals after which an address is tried only once a day.
const PATIENCE: u64 = 5;

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// The record of an address that the mail server refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// When the address was first refused, in milliseconds since the epoch.
    pub since: i64,
    /// When the address was last tried, in milliseconds since the epoch.
    pub last: i64,
    /// How often the address was refused.
    pub times: u64,
    /// The last message of the server.
    pub why: String,
}

impl Failing {
    /// Returns whether the address is not tried at this time.
    pub fn rests(&self, now: Timestamp) -> bool {
        self.times >= PATIENCE && now.as_millis() < self.last.saturating_add(DAY)
    }
}

/// Returns all addresses that are refused. A file that cannot be read counts as empty.
pub fn list(folder: &Path) -> BTreeMap<String, Failing> {
    let text = fs::read(folder.join("failing.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Records that an address was refused, with the reason, or (without a reason) that it accepts mail again.
///
/// # Errors
///
/// When the file of refused addresses cannot be locked or written.
pub fn note(folder: &Path, address: &str, refused: Option<&str>, now: Timestamp) -> io::Result<()> {
    if refused.is_none() && !list(folder).contains_key(address) {
        return Ok(());
    }
    let _held = files::lock(folder)?;
    let mut all = list(folder);
    match refused {
        None => drop(all.remove(address)),
        Some(why) => {
            let now = now.as_millis();
            let new = || Failing { since: now, last: now, times: 0, why: String::new() };
            let entry = all.entry(address.to_owned()).or_insert_with(new);
            (entry.last, entry.times, entry.why) = (now, entry.times.saturating_add(1), why.to_owned());
        }
    }
    while all.len() > MOST {
        all.pop_first();
    }
    files::replace(&folder.join("failing.json"), &serde_json::to_vec_pretty(&all).map_err(io::Error::other)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_address_is_remembered_until_it_takes_mail() {
        let folder = tempfile::tempdir().unwrap();
        let at = Timestamp::from_millis;
        for n in 0..5 {
            assert!(!list(folder.path()).get("bob@x.org").is_some_and(|f| f.rests(at(n))));
            note(folder.path(), "bob@x.org", Some("550 no such user"), at(n)).unwrap();
        }
        let failing = list(folder.path())["bob@x.org"].clone();
        assert_eq!((failing.since, failing.last, failing.times), (0, 4, 5));
        assert!(failing.rests(at(5)) && !failing.rests(at(4 + DAY)));
        note(folder.path(), "bob@x.org", None, at(6)).unwrap();
        assert!(list(folder.path()).is_empty());
    }
}
