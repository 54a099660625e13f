//! The rule of readiness: only READY versions enter active stages and take aliases.

use std::collections::BTreeSet;

use super::{Faults, StepContext};
use crate::entity::AliasPointer;
use crate::entity::settings::{Evidence, StageRule};
use crate::entity::version::VersionStatus;
use crate::event::{Event, TransitionCause};
use crate::name::ModelName;
use crate::tree::TreeError;

/// The hint for a version that is not READY.
const HELP: &str = "complete it or register it again first, or allow versions that are not READY: `greenroom settings \
                    set --unready allow`";

/// Checks that a version without files gets none while it is in a stage with approvals or evidence, or has a guarded
/// alias: the files would be neither approved nor checked.
pub(super) fn completed(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    // Steps before this rule existed stay valid.
    let Some(settings) = step.before.settings()?.filter(|_| !step.is_past) else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for event in &step.diff.events {
        let (Event::VersionAltered { model, version, .. } | Event::ArtifactsChanged { model, version, .. }) = event
        else {
            continue;
        };
        if !seen.insert((model, *version)) {
            continue;
        }
        let owner = step.before_name(model);
        let (Some(before), Some(after)) = (step.before.model(&owner)?, step.after.model(model)?) else { continue };
        let old = before.version(*version)?.map(|v| v.file()).transpose()?.flatten().and_then(|f| f.value);
        if old.is_none_or(|v| v.status == VersionStatus::Ready) {
            continue;
        }
        let path = step.after.full_path(&format!("{}/version.toml", step.after.paths()?.version(model, *version)));
        let stage = before.stage_of(*version)?;
        let asks = |rule: &StageRule| rule.needed() > 0 || rule.require != Evidence::default();
        // A version that leaves the stage in the same step is judged by the rules of its new stage.
        if settings.rule(&stage).is_some_and(asks) && after.stage_of(*version)? == stage {
            let message = format!(
                "version {version} of '{model}' is in {stage}, and these files were not there when it was approved and \
                 checked"
            );
            let help = "move it out of the stage, complete it, and have it approved with its files";
            faults.add(path.clone(), message, help);
        }
        for (alias, file) in before.aliases()? {
            let names = |f: Option<AliasPointer>| f.is_some_and(|p| p.version == *version);
            let Some(rule) = super::alias::rule(step, &alias)?.filter(|_| names(file.value)) else { continue };
            let stays = names(after.alias(&alias)?.and_then(|f| f.value));
            if stays && !super::alias::moves_alone(step, &owner, rule)? {
                let message = format!(
                    "the guarded alias '{alias}' names version {version} of '{model}', and these files were not there \
                     when it was set"
                );
                let help = "let a person who may move the alias delete it first and set it again afterwards";
                faults.add(path.clone(), message, help);
            }
        }
    }
    Ok(())
}

pub(super) fn ready(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let Some(settings) = step.before.settings()? else { return Ok(()) };
    // Steps before this rule existed are judged by it only if the settings name it.
    let implied = step.is_past && settings.rules.unready.is_none();
    if implied || !step.laws()?.iter().any(|law| law.wants_ready()) {
        return Ok(());
    }
    for event in &step.diff.events {
        match event {
            // A version that makes way enters Archived, which is not active.
            Event::Transitioned {
                model,
                version,
                to,
                cause: TransitionCause::Direct | TransitionCause::Request { .. },
                ..
            } if to.is_active() => {
                let path = step.after.full_path(&format!("{}/stages/{to}.toml", step.after.paths()?.model(model)));
                judge(step, model, *version, &format!("enter {to}"), path, faults)?;
            }
            Event::AliasSet { model, alias, version, .. } => {
                let file = crate::format::path::alias_file(alias);
                let path = step.after.full_path(&format!("{}/aliases/{file}", step.after.paths()?.model(model)));
                judge(step, model, *version, &format!("get the alias '{alias}'"), path, faults)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn judge(
    step: &StepContext<'_>,
    model: &ModelName,
    number: u64,
    what: &str,
    path: String,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let Some(version) = super::stage::version_of(step.after, model, number)? else { return Ok(()) };
    if version.status != VersionStatus::Ready {
        let status = version.status.as_str();
        faults.add(path, format!("version {number} of '{model}' may not {what}: it is {status}, not READY"), HELP);
    }
    Ok(())
}
