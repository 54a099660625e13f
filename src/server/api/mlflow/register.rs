//! The files and evidence of a version that is registered by its source.
//!
//! If the source is another version of this registry, both share the files. If the source is at a place that the
//! administrator allows, the files are copied later, and the version is pending until then. Any other source stays a
//! reference, which the server never opens.

use crate::action::NewVersion;
use crate::artifact::evidence::Evidence;
use crate::entity::Version;
use crate::entity::version::VersionStatus;
use crate::format::MAX_FILE;
use crate::name::ModelName;
use crate::reference::{ModelRef, VersionPick};
use crate::registry::Registry;
use crate::server::context::call::Call;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::import;
use crate::tree::{EntryKind, Oid};

use super::source::registered;

/// Adds to a new version the files and facts of its source, and the evidence that the caller sends.
///
/// # Errors
///
/// `INVALID_PARAMETER_VALUE` when the evidence cannot be recorded, `INVALID_STATE` when the source is a version that is
/// not READY, and an error when the registry cannot be read.
pub async fn fill(call: &Call, new: &mut NewVersion) -> Result<(), ApiError> {
    let (params, metrics) = (call.args.value("params")?, call.args.value("metrics")?);
    let given = Evidence::strict(params, metrics).map_err(|e| ApiError::invalid(sentence(&e.to_string())))?;
    (new.params, new.metrics) = (given.params, given.metrics);
    if new.artifacts.is_none() {
        share(call, new).await?;
    }
    if new.artifacts.is_none() && call.state.imports.takes(new.source.uri.as_str()) {
        // The evidence of the tracking server comes with the files.
        new.status = VersionStatus::PendingRegistration;
        return Ok(());
    }
    if new.params.is_empty() && new.metrics.is_empty() {
        let source = &new.source;
        let (found, why) = call.state.imports.evidence(source.run_id.as_str(), source.model_id.as_str()).await?;
        (new.params, new.metrics) = (found.params, found.metrics);
        new.status_message = import::message(why.as_deref().unwrap_or_default());
    }
    Ok(())
}

fn sentence(text: &str) -> String {
    format!("Invalid value for the evidence supplied: {text}.")
}

/// If the version is a copy of another version, gives it the same files and facts.
async fn share(call: &Call, new: &mut NewVersion) -> Result<(), ApiError> {
    let Some(Ok(reference)) = registered(new.source.uri.as_str()).map(str::parse::<ModelRef>) else { return Ok(()) };
    let VersionPick::Number(number) = reference.pick else { return Ok(()) };
    // The check of the source has verified that the caller may read it.
    let (name, commit) = (reference.model.clone(), call.catalog.commit());
    let Some(found) = call.read(move |registry| read(registry, commit, &name, number)).await? else {
        return Ok(());
    };
    if found.record.status != VersionStatus::Ready {
        let (status, name) = (found.record.status.as_str(), &reference.model);
        let message = format!("Model Version (name={name}, version={number}) is {status} and cannot be copied.");
        return Err(ApiError::new(Code::InvalidState, message));
    }
    let record = found.record;
    (new.schema, new.info, new.environment) = (record.schema, record.model, record.environment);
    let mut evidence = Evidence { params: std::mem::take(&mut new.params), metrics: std::mem::take(&mut new.metrics) };
    evidence.fill(Evidence { params: record.params, metrics: record.metrics });
    (new.params, new.metrics) = (evidence.params, evidence.metrics);
    if let (Some(artifacts), Some(tree)) = (record.artifacts, found.files) {
        new.artifacts = Some(artifacts);
        new.files.link("", EntryKind::Tree, tree);
        new.attributes = found.attributes;
    }
    Ok(())
}

/// The parts of the other version.
struct SourceVersionFields {
    record: Version,
    files: Option<Oid>,
    attributes: Option<String>,
}

fn read(
    registry: &Registry,
    commit: Option<Oid>,
    name: &ModelName,
    number: u64,
) -> Result<Option<SourceVersionFields>, ApiError> {
    let snapshot = registry.snapshot_of(commit)?;
    let Some(model) = snapshot.model(name)? else { return Ok(None) };
    let Some(version) = model.version(number)? else { return Ok(None) };
    let Some(record) = version.file()?.and_then(|f| f.value) else { return Ok(None) };
    let attributes = match version.attributes()? {
        Some(entry) => Some(String::from_utf8_lossy(&snapshot.objects().blob(&entry.id, MAX_FILE)?).into_owned()),
        None => None,
    };
    Ok(Some(SourceVersionFields { record, files: version.artifacts()?, attributes }))
}
