//! Finds the commit that closed a transition request: the rule and the permissions of the snapshot before that commit
//! decided.

use super::history::{HistoryEntry, HistorySubject, LogFilter};
use super::{Index, IndexError};
use crate::name::{Id, ModelName};

impl Index<'_> {
    /// Returns the commit that closed a request of a version; `None` if the index has none.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn closing_of(
        &mut self,
        model: &ModelName,
        version: u64,
        request: &Id,
    ) -> Result<Option<HistoryEntry>, IndexError> {
        let filter = LogFilter {
            subject: HistorySubject::Version(model.clone(), version),
            event: Some("request.*".to_owned()),
            ..LogFilter::default()
        };
        let closes = |name: &str| matches!(name, "request.approved" | "request.rejected" | "request.cancelled");
        let is_closing = |entry: &HistoryEntry| {
            entry.acts.iter().any(|act| closes(&act.name) && of(&act.json).as_ref() == Some(request))
        };
        Ok(self.log(&filter)?.into_iter().find(is_closing))
    }
}

/// Returns the id of the request in an event.
fn of(json: &str) -> Option<Id> {
    let event: serde_json::Value = serde_json::from_str(json).ok()?;
    Id::new(event["request"]["id"].as_str()?).ok()
}
