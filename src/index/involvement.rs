//! Queries for notifications: the people who follow a version because of their actions, and the names of a model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::error::{Fault, damaged};
use super::head::LoadedIndex;
use super::history::{HistoryEntry, HistorySubject, Log, LogFilter, row};
use super::record::{EventText, Posting, short_key};
use super::{Index, IndexError};
use crate::audience::VersionInvolvement;
use crate::name::{ModelName, UserName};
use crate::tree::Oid;

impl Index<'_> {
    /// Returns the people who follow a version because of an action, as of a commit, each with their newest such
    /// action. A commit that is not in the first-parent history (the history was rewritten) means now.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn ties(
        &mut self,
        model: &ModelName,
        version: u64,
        at: Option<Oid>,
    ) -> Result<BTreeMap<UserName, VersionInvolvement>, IndexError> {
        let filter = LogFilter { subject: HistorySubject::Version(model.clone(), version), at, ..LogFilter::default() };
        let entries = match self.log(&filter) {
            Err(IndexError::OffLine(_)) => self.log(&LogFilter { at: None, ..filter })?,
            other => other?,
        };
        let mut out = BTreeMap::new();
        for entry in &entries {
            for (user, tie) in entry.acts.iter().filter_map(|act| tie(entry, act)) {
                out.entry(user).or_insert(tie);
            }
            // Older events belong to another version with the same number, of a model that was deleted.
            if entry.acts.iter().any(|act| act.name == "version.created") {
                break;
            }
        }
        Ok(out)
    }

    /// Returns the newest action of a person that makes them follow a version, by model and version. Models have their
    /// current names.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn ties_of(
        &mut self,
        user: &UserName,
    ) -> Result<BTreeMap<ModelName, BTreeMap<u64, VersionInvolvement>>, IndexError> {
        let mut out: BTreeMap<ModelName, BTreeMap<u64, VersionInvolvement>> = BTreeMap::new();
        // Reading backwards, a model appears under its newest name first, and a version appears last when it is
        // registered.
        let (mut now, mut begun) = (BTreeMap::<String, String>::new(), BTreeSet::new());
        for entry in self.log(&LogFilter::default())? {
            let newest = |now: &BTreeMap<String, String>, name: &String| now.get(name).unwrap_or(name).clone();
            for act in &entry.acts {
                let (Some(model), Some(version)) = (&act.model, act.version) else { continue };
                let model = newest(&now, model);
                if let Some((by, tie)) = tie(&entry, act).filter(|_| !begun.contains(&(model.clone(), version)))
                    && by == *user
                    && let Ok(model) = ModelName::new(model)
                {
                    out.entry(model).or_default().entry(version).or_insert(tie);
                }
            }
            for act in &entry.acts {
                let Some(model) = &act.model else { continue };
                if let Some(version) = act.version.filter(|_| act.name == "version.created") {
                    begun.insert((newest(&now, model), version));
                }
                if let Some(from) = &act.renamed_from {
                    let name = newest(&now, model);
                    now.remove(model);
                    now.insert(from.clone(), name);
                }
            }
        }
        Ok(out)
    }

    /// Returns the names of a model: the current one, then former names that no other model has now, newest first.
    ///
    /// # Errors
    /// [`IndexError`] if the index can neither be read nor built.
    pub fn names_of(&mut self, model: &ModelName) -> Result<Vec<ModelName>, IndexError> {
        let former = self.ask(|state| former_names(state, model))?;
        let tip = self.registry.snapshot_of(self.tip())?;
        let mut out = vec![model.clone()];
        for name in former {
            let is_free = tip.model(&name).map_err(crate::registry::RegistryError::from)?.is_none();
            if is_free && !out.contains(&name) {
                out.push(name);
            }
        }
        Ok(out)
    }
}

/// Returns the person and the tie that an event creates to its version. For a comment or request, the file names the
/// person; for a transition, it is the actor. A version that only made way for another one was not moved on purpose.
fn tie(entry: &HistoryEntry, act: &EventText) -> Option<(UserName, VersionInvolvement)> {
    let (tie, place) = match act.name.as_str() {
        "comment.created" => (VersionInvolvement::Commented, "comment"),
        "request.created" => (VersionInvolvement::Requested, "request"),
        "version.transitioned" => (VersionInvolvement::Moved, ""),
        _ => return None,
    };
    let json: Value = serde_json::from_str(&act.json).ok()?;
    let user = match tie {
        VersionInvolvement::Moved if json.pointer("/cause/by")? == "made_way" => return None,
        VersionInvolvement::Moved => entry.by.as_str(),
        VersionInvolvement::Commented | VersionInvolvement::Requested => {
            json.get(place)?.get("created_by")?.as_str()?
        }
    };
    Some((UserName::new(user).ok()?, tie))
}

fn former_names(state: &LoadedIndex, model: &ModelName) -> Result<Vec<ModelName>, Fault> {
    let mut out = Vec::new();
    if state.tip.is_none() {
        return Ok(out);
    }
    let mut log = Log::new(state)?;
    let postings = state.postings.whole()?;
    let mut name = model.as_str().to_owned();
    let mut key = short_key(&name);
    for posting in postings.chunks_exact(Posting::SIZE).rev() {
        if !Posting::is_of(posting, key) {
            continue;
        }
        let found = Posting::decode(posting).ok_or_else(|| damaged("the postings cannot be read"))?;
        if !found.renames {
            continue;
        }
        let record = log.record(&row(&log.steps, found.number)?)?;
        let renamed = record.acts.into_iter().find(|a| a.model.as_ref() == Some(&name) && a.renamed_from.is_some());
        if let Some(from) = renamed.and_then(|a| a.renamed_from) {
            key = short_key(&from);
            out.extend(ModelName::new(from.as_str()));
            name = from;
        }
    }
    Ok(out)
}
