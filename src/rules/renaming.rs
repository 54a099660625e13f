//! The rule of renames: a new name must not lead stage references to versions that were approved under the old name.

use super::stage::source;
use super::{Faults, StepContext};
use crate::entity::settings::StageRule;
use crate::event::Event;
use crate::tree::TreeError;

/// Returns whether a stage rule demands something of an entry that a renamed model does not bring along.
fn asks_for_entry(rule: &StageRule) -> bool {
    rule.needed() > 0 || !rule.frozen.is_empty()
}

/// Checks versions that a reference `models:/NAME/STAGE` reaches only because their model takes the name. Their
/// approvals name the model by its old name.
pub(super) fn renamed(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let Some(settings) = step.before.settings()?.filter(|s| s.stages.values().any(asks_for_entry)) else {
        return Ok(());
    };
    for event in &step.diff.events {
        let Event::ModelRenamed { model, from } = event else { continue };
        // A name without a former owner misleads nobody, so such a rename in the past stays valid.
        if step.is_past && step.before.model(model)?.is_none() {
            continue;
        }
        let Some(view) = step.before.model(from)? else { continue };
        for (version, stage) in view.stage_map()? {
            let Some(rule) = settings.rule(&stage) else { continue };
            let path = format!("{}/stages/{stage}.toml", view.path);
            let place = source(step, &stage)?;
            if let Some(freeze) = rule.frozen.iter().find(|f| f.holds_at(step.at)) {
                let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
                let message = format!(
                    "{stage} is frozen at {}{reason}: version {version} of '{from}' may not be in it under the name \
                     '{model}'",
                    step.at.short()
                );
                faults.add(path.clone(), message, format!("wait until the freeze ends (the window is in {place})"));
            }
            if rule.needed() > 0 {
                let message = format!(
                    "version {version} of '{from}' was approved for {stage} under that name: it may not be in it under \
                     the name '{model}'"
                );
                let help = format!(
                    "move it to Archived, rename the model, and have the version approved under its new name (the rule \
                     is in {place})"
                );
                faults.add(path, message, help);
            }
        }
    }
    Ok(())
}
