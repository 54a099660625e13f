//! Turns ingested files into a new version.

use super::findings::{self, findings};
use super::ingest::{IngestedFolder, add_to_patch, attributes};
use crate::action::NewVersion;
use crate::text::{Text, one_line};

/// Adds files and facts to a new version. Values that the version already has stay. Returns notes for people, one line
/// each.
pub fn record(taken: IngestedFolder, new: &mut NewVersion) -> Vec<String> {
    add_to_patch(&taken, "", &mut new.files);
    new.attributes = attributes(&taken);
    new.artifacts = Some(taken.artifacts);
    let facts = taken.facts;
    let or = |given: &mut Text, found: Text| {
        if given.is_empty() {
            *given = found;
        }
    };
    or(&mut new.source.uri, facts.artifact_uri);
    or(&mut new.source.run_id, facts.run_id);
    or(&mut new.source.model_id, facts.model_id);
    let found = findings(facts.model.as_ref(), facts.environment.as_ref());
    (new.schema, new.info, new.environment) = (facts.schema, facts.model, facts.environment);
    // Faults in the model's own files are already among the notes.
    let found = found.into_iter().filter(|f| f.id != findings::MODEL_FILE);
    facts.notes.into_iter().chain(found.map(|f| f.message)).map(|s| one_line(&s).into_owned()).collect()
}
