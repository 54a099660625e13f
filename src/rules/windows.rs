//! The rule of freezes: each freeze window of a stage or alias rule ends after it begins.

use super::{Faults, StepContext, line_of};
use crate::entity::settings::Freeze;
use crate::tree::TreeError;

/// Checks the windows that this step adds. Older windows stay.
pub(super) fn windows(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let Some(settings) = step.after.settings()?.filter(|_| !step.is_past) else { return Ok(()) };
    let path = step.after.full_path("greenroom.toml");
    let before = step.before.settings()?;
    let known = |window: &Freeze| {
        before.is_some_and(|b| {
            let mut windows =
                b.stages.values().flat_map(|r| &r.frozen).chain(b.aliases.values().flat_map(|r| &r.frozen));
            windows.any(|w| w == window)
        })
    };
    let stages =
        settings.stages.iter().map(|(stage, rule)| (stage.to_string(), format!("[stages.{stage}"), &rule.frozen));
    let aliases = settings
        .aliases
        .iter()
        .map(|(alias, rule)| (format!("the alias '{alias}'"), format!("[aliases.{alias}"), &rule.frozen));
    for (subject, table, frozen) in stages.chain(aliases) {
        for window in frozen.iter().filter(|w| w.is_backwards() && !known(w)) {
            let line = line_of(step.after, &path, &table)?;
            let message = format!("a freeze of {subject} ends before it begins: {window}");
            faults.at((path.clone(), line), message, "set `from` to the earlier time");
        }
    }
    Ok(())
}
