//! Comments on versions. A comment is named by its id only.

use serde_json::json;

use super::shapes::{ActivityBody, Viewer};
use crate::action::Action;
use crate::apply::{EntityKind, Refusal};
use crate::clock;
use crate::entity::Comment;
use crate::event::Event;
use crate::name::{Id, ModelName};
use crate::server::api::parameters::{named, text};
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::text::Text;

/// How long the same comment of the same person on the same version counts as a repetition, in milliseconds. People do
/// not write the same comment twice in a minute, but a client whose response was lost does.
const SAME: i64 = 60_000;

/// Handles POST `comments/create`.
pub async fn create(call: Call) -> HandlerResult {
    call.once("comments/create", create_now).await
}

async fn create_now(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let given = said(&call)?;
    if let Some(there) = again(&call, model.clone(), version, given.clone()).await? {
        return shown(&call, &model, &there);
    }
    let landed = call.write(vec![Action::AddComment { model: model.clone(), version, text: given }]).await?;
    let made = landed.events.iter().find_map(|event| match event {
        Event::CommentCreated { comment, .. } => Some(comment),
        _ => None,
    });
    shown(&call, &model, made.ok_or_else(|| ApiError::not_found("The comment no longer exists."))?)
}

/// Returns the comment's text. The registry checks that it is not blank.
fn said(call: &Call) -> Result<Text, ApiError> {
    call.args.required("comment")?;
    text(&call.args, "comment")
}

/// Returns the existing comment that this one repeats, if any.
async fn again(call: &Call, model: ModelName, version: u64, said: Text) -> Result<Option<Comment>, ApiError> {
    if call.caller.read_only {
        return Ok(None);
    }
    let (by, since) = (call.caller.user.clone(), clock::now().plus_millis(-SAME));
    let look = move |snapshot: &crate::snapshot::Snapshot<'_>| {
        let Some(view) = snapshot.model(&model)? else { return Ok(None) };
        let Some(view) = view.version(version)? else { return Ok(None) };
        let mut comments = view.comments()?.into_values().filter_map(|f| f.value);
        Ok(comments.find(|c| c.created_by == by && c.text == said && c.created_at >= since))
    };
    call.look(&call.catalog, look).await
}

/// Handles PATCH `comments/update`.
pub async fn update(call: Call) -> HandlerResult {
    let given = said(&call)?;
    let (model, version, id) = find(&call).await?;
    let action = Action::EditComment { model: model.clone(), version, id: id.clone(), text: given };
    let landed = call.write(vec![action]).await?;
    let name = model.clone();
    let look = move |snapshot: &crate::snapshot::Snapshot<'_>| {
        let view = snapshot.model(&name)?.ok_or_else(|| Refusal::no_model(&name))?;
        let view = view.version(version)?.ok_or_else(|| Refusal::no_version(&name, version))?;
        let file = view.comment(&id)?;
        file.and_then(|f| f.value).ok_or_else(|| none(id.as_str()))
    };
    let comment = call.look(&landed.catalog, look).await?;
    shown(&call, &model, &comment)
}

/// Handles DELETE `comments/delete`.
pub async fn delete(call: Call) -> HandlerResult {
    call.again("comments/delete", delete_now).await
}

async fn delete_now(call: Call) -> HandlerResult {
    let (model, version, id) = find(&call).await?;
    call.write(vec![Action::DeleteComment { model, version, id }]).await?;
    Ok(Reply::done())
}

/// Finds the comment of the argument `id`. A comment on a model that the caller may not read counts as not existing.
async fn find(call: &Call) -> Result<(ModelName, u64, Id), ApiError> {
    let given = call.args.required("id")?;
    let id = Id::new(given).map_err(|_| none(given))?;
    let wanted = id.clone();
    let place = call.find(move |_, places| Ok(places.comment(&wanted))).await?;
    let place = place.ok_or_else(|| none(given))?;
    let model = call.catalog.model_by_id(&place.model).filter(|m| call.standing.reads(m));
    Ok((model.ok_or_else(|| none(given))?.name.clone(), place.version, id))
}

fn none(id: &str) -> ApiError {
    let message = format!("There is no comment with the id {}.", crate::text::quoted(id));
    Refusal::NotFound { noun: EntityKind::Comment, name: String::new(), message }.into()
}

fn shown(call: &Call, model: &ModelName, comment: &Comment) -> HandlerResult {
    let level = call.catalog.model(model.as_str()).and_then(|m| call.standing.level(m));
    let doing = Viewer::of(call).about_comment(comment, level);
    Reply::json(&json!({ "comment": ActivityBody::comment(comment, doing) }))
}
