//! Moving versions between stages.

use super::{ChangeDraft, Context, Refusal};
use crate::entity::{RequestState, StagePointer};
use crate::name::{Id, ModelName};
use crate::snapshot::Snapshot;
use crate::stage::Stage;

/// Returns the stage of the registry with this name, ignoring case.
///
/// # Errors
/// [`Refusal::Invalid`] with MLflow's text if the registry has no such stage; [`Refusal::Tree`] if the settings cannot
/// be read.
pub fn target(snapshot: &Snapshot<'_>, stage: &Stage) -> Result<Stage, Refusal> {
    let known = snapshot.settings()?.map_or_else(|| Stage::BUILT_IN.to_vec(), crate::entity::Settings::known_stages);
    Stage::among(stage.as_str(), &known).map_err(|e| Refusal::invalid(e.to_string()))
}

pub(super) fn transition(
    d: &mut ChangeDraft<'_, '_>,
    cx: &Context<'_>,
    model: &ModelName,
    number: u64,
    to: &Stage,
    archive_existing: bool,
) -> Result<(), Refusal> {
    let to = target(d.snapshot, to)?;
    may_archive(&to, archive_existing)?;
    enter(d, cx, model, number, &to, archive_existing, None)
}

/// Refuses `archive_existing` for a stage that is not active, as MLflow does.
pub(super) fn may_archive(to: &Stage, archive_existing: bool) -> Result<(), Refusal> {
    if !archive_existing || to.is_active() {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "Model version transition cannot archive existing model versions because '{to}' is not an Active stage. \
         Valid stages are ['Staging', 'Production']"
    )))
}

/// Moves a version into a stage. Archives the other versions of the stage if `archive_existing` is set or the stage is
/// exclusive. Cancels the other open requests of the version for the stage, because they are overtaken.
pub(super) fn enter(
    d: &mut ChangeDraft<'_, '_>,
    cx: &Context<'_>,
    model: &ModelName,
    number: u64,
    to: &Stage,
    archive_existing: bool,
    approved: Option<&Id>,
) -> Result<(), Refusal> {
    let (view, version) = d.version(model, number)?;
    let from = view.stage_of(number)?;
    if from == *to {
        return Ok(());
    }
    // A version with an unreadable record must not enter an active stage, but may leave one.
    if let Some(file) = version.file()?.filter(|_| to.is_active()) {
        super::usable(&file)?;
    }
    let exclusive = d.snapshot.settings()?.and_then(|s| s.rule(to)).is_some_and(|r| r.exclusive);
    let archive = (archive_existing || exclusive) && to.is_active();
    let stages = view.stages()?;
    let there = |stage: &Stage| stages.iter().find(|(s, _)| s == stage).map(|(_, file)| file);
    let others: Vec<u64> = match there(to).filter(|_| archive) {
        Some(file) => super::usable(file)?.versions.into_iter().filter(|v| *v != number).collect(),
        None => Vec::new(),
    };
    let mut affected = vec![from, to.clone()];
    if !others.is_empty() {
        affected.push(Stage::Archived);
    }
    affected.sort();
    affected.dedup();
    let folder = d.snapshot.paths()?.model(model);
    for stage in affected.into_iter().filter(|s| *s != Stage::None) {
        let change = |p: &mut StagePointer| {
            p.versions.remove(&number);
            if stage == *to {
                p.versions.retain(|v| !others.contains(v));
                p.versions.insert(number);
            }
            if stage == Stage::Archived {
                p.versions.extend(&others);
            }
        };
        match there(&stage) {
            Some(file) => super::version::repoint(d, file, change)?,
            None => {
                let mut pointer = StagePointer::default();
                change(&mut pointer);
                d.put(&format!("{folder}/stages/{stage}.toml"), &pointer);
            }
        }
    }
    for (id, file) in version.requests()? {
        let open = file.value.as_ref().is_some_and(|r| r.state == RequestState::Pending && r.to == *to);
        if open && Some(&id) != approved {
            d.edit_request(&file, |r| {
                r.state = RequestState::Cancelled;
                r.closed_by = Some(cx.actor.clone());
                r.closed_at = Some(cx.now);
            })?;
        }
    }
    Ok(())
}
