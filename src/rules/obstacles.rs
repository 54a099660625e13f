//! Obstacles of a transition in the current state, shown to the requester before anyone reviews the request.

use super::approvals::ApprovalCount;
use super::stage::lacking;
use crate::entity::settings::StageRule;
use crate::entity::version::VersionStatus;
use crate::entity::{Request, RequestState, Settings};
use crate::name::{ModelName, Principal, UserName};
use crate::snapshot::{ModelView, Snapshot};
use crate::stage::Stage;
use crate::time::Timestamp;
use crate::tree::TreeError;

/// A reason against a transition, except missing approvals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    kind: ObstacleKind,
    /// The reason as a sentence.
    pub message: String,
}

/// What has to change before the version may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ObstacleKind {
    /// The stage that it is in.
    Stage,
    /// The version itself.
    Version,
    /// Nothing: it takes time.
    Time,
}

impl Obstacle {
    /// Returns its kind in one word, for lists.
    pub const fn word(&self) -> &'static str {
        match self.kind {
            ObstacleKind::Stage => "stage",
            ObstacleKind::Version => "evidence",
            ObstacleKind::Time => "freeze",
        }
    }

    /// Returns the reason for an approver, with the effect of its removal on the approval.
    pub fn to_reviewer(&self) -> String {
        let what = match self.kind {
            ObstacleKind::Stage => "moving it there voids this approval",
            ObstacleKind::Version => "changing that voids this approval",
            ObstacleKind::Time => {
                "the approval counts when that is over, and an approver can then complete the request"
            }
        };
        format!("{}; {what}", self.message)
    }
}

/// Returns the obstacles of a version for a stage, a sentence for each.
pub fn missing(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    number: u64,
    to: &Stage,
    now: Timestamp,
) -> Result<Vec<String>, TreeError> {
    Ok(obstacles(snapshot, view, number, to, now)?.into_iter().map(|obstacle| obstacle.message).collect())
}

/// Returns whether a version has no obstacle for a stage.
pub fn may_enter(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    number: u64,
    to: &Stage,
    now: Timestamp,
) -> Result<bool, TreeError> {
    Ok(obstacles(snapshot, view, number, to, now)?.is_empty())
}

/// Returns the obstacles of a transition. Whether a commit will be signed is not known before it is made.
pub fn obstacles(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    number: u64,
    to: &Stage,
    now: Timestamp,
) -> Result<Vec<Obstacle>, TreeError> {
    let Some(settings) = snapshot.settings()? else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    let mut add = |kind, message| out.push(Obstacle { kind, message });
    let version = view.version(number)?.map(|v| v.file()).transpose()?.flatten().and_then(|f| f.value);
    let status = version.as_ref().map(|v| v.status).filter(|status| *status != VersionStatus::Ready);
    if let Some(status) = status.filter(|_| to.is_active() && settings.wants_ready()) {
        let message = format!("version {number} may not enter {to}: it is {}, not READY", status.as_str());
        add(ObstacleKind::Version, message);
    }
    let Some(rule) = settings.rule(to) else { return Ok(out) };
    let from = view.stage_of(number)?;
    if let Some(allowed) = rule.from.as_ref().filter(|allowed| !allowed.contains(&from)) {
        let list = allowed.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ");
        add(ObstacleKind::Stage, format!("version {number} may enter {to} only from {list}; it is in {from}"));
    }
    if let Some(freeze) = rule.frozen.iter().find(|f| f.holds_at(now)) {
        let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
        add(ObstacleKind::Time, format!("{to} is frozen now{reason}"));
    }
    for (what, help) in version.iter().flat_map(|v| lacking(v, &rule.require, true)) {
        add(ObstacleKind::Version, format!("version {number} may not enter {to}: {what}; {help}"));
    }
    Ok(out)
}

/// Returns whether a request has all required approvals and is still open, as after a review that was added by hand.
/// The next approval by command makes the transition.
///
/// # Errors
/// If an object of the tree cannot be read.
pub fn is_approved_and_open(
    snapshot: &Snapshot<'_>,
    view: &ModelView<'_>,
    about: (&ModelName, u64),
    request: &Request,
) -> Result<bool, TreeError> {
    if request.state != RequestState::Pending {
        return Ok(false);
    }
    let count = ApprovalCount::of(snapshot, view, about, request)?;
    Ok(count.needed() > 0 && count.is_complete())
}

/// Returns why a person's approval of their own request would not count. Returns `None` if it would count, if no
/// approval is required, or if the person is not an approver.
///
/// # Errors
/// If an object of the tree cannot be read.
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
    Ok(Some(format!("your own approval does not count: the request needs {others} by other people{who}")))
}

/// Returns the approvers that a stage rule names.
fn named(settings: &Settings, stage: &Stage) -> String {
    let list = settings.rule(stage).and_then(|rule| rule.approvers.as_ref());
    list.map_or_else(String::new, |list| {
        format!(" ({})", list.iter().map(Principal::to_string).collect::<Vec<_>>().join(", "))
    })
}
