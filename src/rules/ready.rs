//! The rule of readiness: only READY versions enter active stages and take aliases.

use super::{Faults, Step};
use crate::entity::version::Status;
use crate::event::{Cause, Event};
use crate::name::ModelName;
use crate::tree::TreeError;

/// What to do where a version is not READY.
const HELP: &str = "complete or register it again first, or allow it: `greenroom settings set --unready allow`";

pub(super) fn ready(step: &Step<'_>, faults: &mut Faults) -> Result<(), TreeError> {
    let Some(settings) = step.before.settings()? else { return Ok(()) };
    // What landed before there was this rule is judged by it only where the settings name it.
    let implied = step.is_past && settings.rules.unready.is_none();
    if implied || !settings.wants_ready() {
        return Ok(());
    }
    for event in &step.diff.events {
        match event {
            // What makes way goes to Archived, which is not active.
            Event::Transitioned { model, version, to, cause: Cause::Direct | Cause::Request { .. }, .. }
                if to.is_active() =>
            {
                let path = step.after.full_path(&format!("{}/stages/{to}.toml", step.after.paths()?.model(model)));
                judge(step, model, *version, &format!("enter {to}"), path, faults)?;
            }
            Event::AliasSet { model, alias, version, .. } => {
                let file = crate::format::path::alias_file(alias);
                let path = step.after.full_path(&format!("{}/aliases/{file}", step.after.paths()?.model(model)));
                judge(step, model, *version, &format!("take the alias '{alias}'"), path, faults)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn judge(
    step: &Step<'_>,
    model: &ModelName,
    number: u64,
    what: &str,
    path: String,
    faults: &mut Faults,
) -> Result<(), TreeError> {
    let Some(version) = super::stage::version_of(step.after, model, number)? else { return Ok(()) };
    if version.status != Status::Ready {
        let status = version.status.as_str();
        faults.add(path, format!("version {number} of '{model}' may not {what}: it is {status}, not READY"), HELP);
    }
    Ok(())
}
