//! Transition requests of a version: create, list, approve, reject, withdraw. Requests are not named by id, but by
//! their target stage, and for a withdrawal also by their requester.

use serde_json::json;

use super::activities::of_decision;
use super::shapes::{ActivityBody, Viewer};
use crate::action::{Action, Hindered, RequestSelector};
use crate::apply::{EntityKind, Refusal};
use crate::clock;
use crate::entity::RequestState;
use crate::event::Event;
use crate::name::ModelName;
use crate::rules::obstacles;
use crate::server::api::parameters::{named, text};
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::context::writer::ChangeResult;
use crate::snapshot::Snapshot;
use crate::stage::Stage;

/// Returns the open requests of a version, oldest first, with the actions that the viewer may take.
///
/// # Errors
///
/// When the registry cannot be read.
pub fn open_requests(
    snapshot: &Snapshot<'_>,
    viewer: &Viewer,
    model: &ModelName,
    number: u64,
) -> Result<Vec<ActivityBody>, ApiError> {
    let Some(view) = snapshot.model(model)? else { return Ok(Vec::new()) };
    let Some(version) = view.version(number)? else { return Ok(Vec::new()) };
    let from = view.stage_of(number)?;
    let mut out = Vec::new();
    let requests = version.requests()?.into_values().filter_map(|f| f.value);
    for request in requests.filter(|r| r.state == RequestState::Pending) {
        let doing = viewer.about_request(snapshot, model, &view, number, &request)?;
        out.push(ActivityBody::request(&request, &from, doing));
    }
    out.sort_by(|a, b| (a.creation_timestamp, &a.id).cmp(&(b.creation_timestamp, &b.id)));
    Ok(out)
}

/// Handles GET `transition-requests/list`.
///
/// # Errors
///
/// `RESOURCE_DOES_NOT_EXIST` when the caller cannot see the version.
pub async fn list(call: Call) -> HandlerResult {
    let (model, number) = named(&call)?;
    let viewer = Viewer::of(&call);
    let commit = call.catalog.commit();
    let look = move |registry: &crate::registry::Registry, places: &crate::server::context::id_lookup::IdLookup| {
        let mut open = open_requests(&registry.snapshot_of(commit)?, &viewer, &model, number)?;
        for request in &mut open {
            let id = crate::name::Id::new(request.id.as_str());
            request.landed_by = id.ok().and_then(|id| places.committer(&id).map(str::to_owned));
        }
        Ok(open)
    };
    let open = call.find(look).await?;
    if open.is_empty() { Ok(Reply::done()) } else { Reply::json(&json!({ "requests": open })) }
}

/// Handles POST `transition-requests/create`.
///
/// # Errors
///
/// `RESOURCE_DOES_NOT_EXIST` when the caller cannot see the version, `INVALID_PARAMETER_VALUE` when the stage or
/// comment is invalid, and the reason when the rules refuse the request.
pub async fn create(call: Call) -> HandlerResult {
    call.again("transition-requests/create", create_now).await
}

async fn create_now(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let (to, comment) = (super::stage(&call)?, text(&call.args, "comment")?);
    let action = Action::CreateRequest { model: model.clone(), version, to, archive_existing: false, comment };
    let landed = call.write(vec![action]).await?;
    let made = landed.events.iter().find_map(|event| match event {
        Event::RequestCreated { request, .. } => Some(request.clone()),
        _ => None,
    });
    let made = made.ok_or_else(|| ApiError::not_found("The request no longer exists."))?;
    let viewer = Viewer::of(&call);
    let look = move |snapshot: &Snapshot<'_>| {
        let view = snapshot.model(&model)?.ok_or_else(|| Refusal::no_model(&model))?;
        let doing = viewer.about_request(snapshot, &model, &view, version, &made)?;
        let from = view.stage_of(version)?;
        let mut warnings = obstacles::missing(snapshot, &view, version, &made.to, clock::now())?;
        warnings.extend(obstacles::own_approval(snapshot, viewer.standing.user(), &model, &from, &made.to)?);
        Ok((ActivityBody::request(&made, &from, doing), warnings))
    };
    let (mut shown, warnings) = call.look(&landed.catalog, look).await?;
    if warnings.is_empty() {
        return Reply::json(&json!({ "request": shown }));
    }
    shown.system_comment = Some(warnings.join(". "));
    Reply::json(&json!({ "request": shown, "warnings": warnings }))
}

/// Handles POST `transition-requests/approve`.
///
/// # Errors
///
/// `RESOURCE_DOES_NOT_EXIST` when the caller cannot see the version, or no request for the stage is open, and the
/// reason when the rules refuse the approval.
pub async fn approve(call: Call) -> HandlerResult {
    call.once("transition-requests/approve", approve_now).await
}

async fn approve_now(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let (to, comment) = (super::stage(&call)?, text(&call.args, "comment")?);
    let archive_existing = call.args.flag("archive_existing_versions")?;
    let which = RequestSelector::Stage(to.clone(), None);
    let (name, stage) = (model.clone(), to);
    // The caller expects that the version is in the stage, and would read any successful response that way.
    let hindered = Hindered::Refuse;
    let action = Action::ApproveRequest { model, version, which, archive_existing, comment, hindered };
    let landed = call.write(vec![action]).await?;
    let is_open = !landed.events.iter().any(|event| matches!(event, Event::RequestApproved { .. }));
    let look = move |snapshot: &Snapshot<'_>| match snapshot.model(&name)? {
        Some(view) if is_open => Ok(obstacles::obstacles(snapshot, &view, version, &stage, clock::now())?),
        Some(_) | None => Ok(Vec::new()),
    };
    let obstacles = call.look(&landed.catalog, look).await?;
    let warnings: Vec<String> = obstacles.iter().map(obstacles::Obstacle::to_reviewer).collect();
    let activity = of_decision(&landed, version, call.caller.user.as_str());
    if warnings.is_empty() {
        return Reply::json(&json!({ "activity": activity }));
    }
    Reply::json(&json!({ "activity": activity, "warnings": warnings }))
}

/// Handles POST `transition-requests/reject`.
///
/// # Errors
///
/// `RESOURCE_DOES_NOT_EXIST` when the caller cannot see the version, or no request for the stage is open, and the
/// reason when the rules refuse the rejection.
pub async fn reject(call: Call) -> HandlerResult {
    call.once("transition-requests/reject", reject_now).await
}

async fn reject_now(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let (to, comment) = (super::stage(&call)?, text(&call.args, "comment")?);
    let action = Action::RejectRequest { model, version, which: RequestSelector::Stage(to, None), comment };
    decided(&call, call.write(vec![action]).await?, version)
}

/// Handles DELETE `transition-requests/delete`.
///
/// # Errors
///
/// `RESOURCE_DOES_NOT_EXIST` when the caller cannot see the version, or the person has no open request for the stage,
/// and the reason when the rules refuse the withdrawal.
pub async fn delete(call: Call) -> HandlerResult {
    call.again("transition-requests/delete", delete_now).await
}

async fn delete_now(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let (to, comment) = (super::stage(&call)?, text(&call.args, "comment")?);
    let given = call.args.required("creator")?;
    let creator = super::person(&call.catalog, given).or_else(|| given.parse().ok());
    let creator = creator.ok_or_else(|| none_by(&model, version, &to, given))?;
    let action = Action::CancelRequest { model, version, which: RequestSelector::Stage(to, Some(creator)), comment };
    decided(&call, call.write(vec![action]).await?, version)
}

fn none_by(model: &ModelName, version: u64, to: &Stage, given: &str) -> ApiError {
    let shown = crate::text::quoted(given);
    let message = format!("version {version} of '{model}' has no open request to {to} by {shown}");
    Refusal::NotFound { noun: EntityKind::Request, name: String::new(), message }.into()
}

/// Returns the response to a decision.
fn decided(call: &Call, landed: ChangeResult, version: u64) -> HandlerResult {
    let activity = of_decision(&landed, version, call.caller.user.as_str());
    Reply::json(&json!({ "activity": activity }))
}
