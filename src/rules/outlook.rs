//! What stands against a transition as things are, told to who asks for it before anybody reviews it.

use super::stage::lacking;
use crate::entity::Settings;
use crate::entity::settings::StageRule;
use crate::entity::version::Status;
use crate::name::{ModelName, Principal, UserName};
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::time::Timestamp;
use crate::tree::TreeError;

/// What a version lacks to enter a stage, approvals aside; a sentence for each. Whether a commit will be signed is not
/// known before it is made.
pub fn missing(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    number: u64,
    to: &Stage,
    now: Timestamp,
) -> Result<Vec<String>, TreeError> {
    let Some(settings) = snapshot.settings()? else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    let version = view.version(number)?.map(|v| v.file()).transpose()?.flatten().and_then(|f| f.value);
    let status = version.as_ref().map(|v| v.status).filter(|status| *status != Status::Ready);
    if let Some(status) = status.filter(|_| to.is_active() && settings.wants_ready()) {
        out.push(format!("version {number} may not enter {to}: it is {}, not READY", status.as_str()));
    }
    let Some(rule) = settings.rule(to) else { return Ok(out) };
    let from = view.stage_of(number)?;
    if let Some(allowed) = rule.from.as_ref().filter(|allowed| !allowed.contains(&from)) {
        let list = allowed.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ");
        out.push(format!("version {number} may enter {to} only from {list}; it is in {from}"));
    }
    if let Some(freeze) = rule.frozen.iter().find(|f| f.holds_at(now)) {
        let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
        out.push(format!("{to} is frozen now{reason}"));
    }
    for (what, help) in version.iter().flat_map(|v| lacking(v, &rule.require, true)) {
        out.push(format!("version {number} may not enter {to}: {what}; {help}"));
    }
    Ok(out)
}

/// Why a person's own approval of an own request will not count; none where it is not asked for, or would count.
pub fn own_approval(
    snapshot: &Snapshot<'_>,
    user: &UserName,
    model: &ModelName,
    from: &Stage,
    to: &Stage,
) -> Result<Option<String>, TreeError> {
    let Some(settings) = snapshot.settings()?.filter(|s| !s.identity.self_approval) else { return Ok(None) };
    let needed = settings.rule(to).map_or(0, StageRule::needed);
    let many = settings.approvals_between(from, to);
    if many == 0 || !snapshot.may_approve(user, model, from, to)? {
        return Ok(None);
    }
    let who = if needed > 0 { named(settings, to) } else { named(settings, from) };
    let others = if many == 1 { "1 approval".to_owned() } else { format!("{many} approvals") };
    Ok(Some(format!("your own approval does not count: it takes {others} by others{who}")))
}

/// The approvers that a stage's rule names.
fn named(settings: &Settings, stage: &Stage) -> String {
    let list = settings.rule(stage).and_then(|rule| rule.approvers.as_ref());
    list.map_or_else(String::new, |list| {
        format!(" ({})", list.iter().map(Principal::to_string).collect::<Vec<_>>().join(", "))
    })
}
