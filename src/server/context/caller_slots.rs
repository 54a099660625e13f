//! Slots for work of one kind. One caller gets at most half of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::name::UserName;

/// The slots of all callers.
#[derive(Debug)]
pub struct CallerSlots {
    all: Arc<Semaphore>,
    of_one: usize,
    callers: Mutex<HashMap<UserName, Arc<Semaphore>>>,
}

/// A slot, until it is dropped.
#[derive(Debug)]
#[must_use = "the slot is free again when the value is dropped"]
pub struct CallerSlot {
    _all: OwnedSemaphorePermit,
    /// Dropped last: a caller who takes a slot of the whole must have a slot of the caller's own share, too.
    _own: OwnedSemaphorePermit,
}

impl CallerSlots {
    /// Makes this number of slots, half of them for one caller.
    pub fn new(places: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(places)), of_one: places.div_ceil(2), callers: Mutex::default() }
    }

    /// Returns the share of a caller. Shares of callers who hold no slot are removed.
    fn own(&self, caller: &UserName) -> Arc<Semaphore> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|_, places| Arc::strong_count(places) > 1);
        let places = callers.entry(caller.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.of_one)));
        Arc::clone(places)
    }

    /// Waits for a slot.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] when the slots are closed, which never happens.
    pub async fn take(&self, caller: &UserName) -> Result<CallerSlot, AcquireError> {
        let own = self.own(caller).acquire_owned().await?;
        let all = Arc::clone(&self.all).acquire_owned().await?;
        Ok(CallerSlot { _all: all, _own: own })
    }

    /// Returns a slot if one is free now.
    pub fn try_take(&self, caller: &UserName) -> Option<CallerSlot> {
        let own = self.own(caller).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(CallerSlot { _all: all, _own: own })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_gets_half_and_what_is_given_back_is_there_again() {
        let (shares, names) = (CallerSlots::new(4), ["alice", "bob", "carol"].map(|n| n.parse::<UserName>().unwrap()));
        let [alice, bob, carol] = &names;
        let mut held: Vec<CallerSlot> = (0..2).map(|_| shares.try_take(alice).unwrap()).collect();
        assert!(shares.try_take(alice).is_none());
        held.extend((0..2).map(|_| shares.try_take(bob).unwrap()));
        assert!(shares.try_take(carol).is_none(), "there is no slot at all");
        drop(held);
        assert!(shares.try_take(carol).is_some());
        assert_eq!(shares.callers.lock().unwrap().len(), 1, "a caller without a slot is removed");
    }
}
