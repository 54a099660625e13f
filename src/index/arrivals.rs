//! When people came: the commit since which the file of a person is there without a break.

use std::collections::BTreeMap;

use super::error::Fault;
use super::history::{Log, row};
use super::record::StepRow;
use super::{Index, IndexError};
use crate::name::UserName;
use crate::time::Timestamp;

impl Index<'_> {
    /// When each of these people came who are there now: when the commit landed that added the person last. Nobody who
    /// is in no commit. Only for people who were removed before the history is searched.
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

/// When a commit landed.
fn landed(log: &Log<'_>, number: u64) -> Option<Timestamp> {
    let place = usize::try_from(number).ok()?;
    StepRow::landed(&log.steps, place).map(Timestamp::from_millis)
}

/// The newest commit that added a person.
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
