//! The rule of a registry that moves to another folder: with all its files, and in a step without other changes.

use super::{Faults, StepContext};
use crate::event::Event;
use crate::format::path::Location;
use crate::phrase;
use crate::text::quoted;
use crate::tree::TreeError;

/// How many of the other changes are named at most.
const SHOWN: usize = 5;

const HELP: &str = "move it with `greenroom move`, and make the other changes in separate commits; each commit is judged \
                    alone, so all files move in one commit";

pub(super) fn alone(step: &StepContext<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    if !step.after.was_elsewhere(step.before)? {
        return Ok(());
    }
    let file = step.after.full_path("greenroom.toml");
    let others = step.diff.events.iter().filter(|event| !goes_with_move(event));
    let mut is_alone = true;
    for event in others.take(SHOWN) {
        is_alone = false;
        let message = format!("the step moves the registry, so it may not make other changes: {}", phrase::act(event));
        faults.add(file.clone(), message, HELP);
    }
    let layout = step.after.layout()?;
    let is_own = |path: &str| !matches!(Location::parse(path, layout), Ok(Location::Companion(_)) | Err(_));
    if let Some(other) = step.diff.files.iter().find(|f| is_alone && is_own(&f.path)) {
        let path = step.after.full_path(&other.path);
        faults.add(path, "the step moves the registry, but it also changes this file", HELP);
    }
    for left in step.after.left_at(step.before.at())? {
        let message =
            format!("{} is still in the old folder of the registry, although the registry is moved", quoted(&left));
        let help = "move all files of the registry in this commit, because each commit is judged alone (`greenroom move` \
                    does this)";
        faults.add(left.clone(), message, help);
    }
    Ok(())
}

/// Returns whether an event may accompany a move. CODEOWNERS names the owners of files by path, so it changes in the
/// same step.
fn goes_with_move(event: &Event) -> bool {
    match event {
        Event::RegistryMoved { .. } => true,
        Event::FileChanged { path, .. } => path.rsplit('/').next() == Some("CODEOWNERS"),
        _ => false,
    }
}
