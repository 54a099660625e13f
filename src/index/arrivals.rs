//! When people were added: the time since which a person's file exists without a break.

use std::collections::BTreeMap;

use super::error::Fault;
use super::history::{Log, row};
use super::record::StepRow;
use super::{Index, IndexError};
use crate::name::UserName;
use crate::time::Timestamp;

impl Index<'_> {
    /// Returns when each of these people was added for the last time. People in no commit are left out. The history is
    /// searched only for people who were removed before.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn arrivals<'u>(
        &mut self,
        users: impl Iterator<Item = &'u UserName> + Clone,
    ) -> Result<BTreeMap<UserName, Timestamp>, IndexError> {
        self.ask(|state| {
            let mut out = BTreeMap::new();
            if state.tip.is_none() {
                return Ok(out);
            }
            let mut log = Log::new(state)?;
            for user in users.clone() {
                let Some(first) = state.ids.find(user.arrival_mark().to_bytes())? else { continue };
                let number = match state.ids.find(user.removal_mark().to_bytes())? {
                    None => first,
                    Some(_) => last_addition(&mut log, state.count, user)?.unwrap_or(first),
                };
                out.extend(landed(&log, number).map(|at| (user.clone(), at)));
            }
            Ok(out)
        })
    }
}

/// Returns the time of a step.
fn landed(log: &Log<'_>, number: u64) -> Option<Timestamp> {
    let place = usize::try_from(number).ok()?;
    StepRow::landed(&log.steps, place).map(Timestamp::from_millis)
}

/// Returns the number of the newest commit that added a person.
fn last_addition(log: &mut Log<'_>, count: u64, user: &UserName) -> Result<Option<u64>, Fault> {
    let text = crate::phrase::person_added(user);
    for number in (0..count).rev() {
        let row = row(&log.steps, number)?;
        if log.record(&row)?.acts.iter().any(|act| act.name == "person.added" && act.text == text) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
