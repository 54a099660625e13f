//! Lists of the comments and activities of a version.

use super::size;
use crate::entity;
use crate::index::{Index, IndexError};
use crate::name::ModelName;
use crate::server::api::databricks::activities;
use crate::server::api::databricks::shapes as databricks;
use crate::server::api::parameters::named;
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::time::Timestamp;
use crate::tree::Oid;
use crate::view::{Activity, ActivityPage, Comment, CommentList};

/// Handles GET `comments/list`: all comments of a version, oldest first.
pub async fn comments(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let (viewer, level) = (databricks::Viewer::of(&call), call.model(&model).map(|m| call.standing.level(m))?);
    let commit = call.catalog.commit();
    let look = move |registry: &crate::registry::Registry, places: &crate::server::context::id_lookup::IdLookup| {
        let view = registry.snapshot_of(commit)?.model(&model)?.map_or(Ok(None), |m| m.version(version))?;
        let comments = view.map_or(Ok(Default::default()), |v| v.comments())?;
        let mut found: Vec<_> = comments.into_values().filter_map(|f| f.value).collect();
        found.sort_by_key(|c| (c.created_at, c.id.clone()));
        let shown = |c: &entity::Comment| Comment {
            available_actions: viewer.about_comment(c, level),
            ..Comment::new(&model, version, c, places.committer(&c.id))
        };
        Ok(found.iter().map(shown).collect::<Vec<_>>())
    };
    Reply::output(&CommentList { comments: call.find(look).await? })
}

/// Converts an activity of Databricks' API to the keys of this API.
fn shown(model: &ModelName, version: u64, activity: &databricks::ActivityBody) -> Activity {
    Activity {
        id: activity.id.clone(),
        activity_type: activity.activity_type,
        model: model.clone(),
        version,
        at: Timestamp::from_millis(activity.creation_timestamp),
        updated_at: Timestamp::from_millis(activity.last_updated_timestamp),
        by: activity.user_id.clone(),
        landed_by: activity.landed_by.clone(),
        comment: activity.comment.clone(),
        from: activity.from_stage.clone(),
        to: activity.to_stage.clone(),
        system_comment: activity.system_comment.clone(),
        available_actions: activity.available_actions.clone(),
    }
}

/// Handles GET `activities/list`: the activities of a version, newest first, in pages.
pub async fn activities(call: Call) -> HandlerResult {
    let ((model, version), size) = (named(&call)?, size(&call)?);
    let before = match call.args.text("page_token")?.filter(|t| !t.is_empty()) {
        Some(token) => Some(number(&call, token).await?),
        None => None,
    };
    let page = activities::read(&call, model.clone(), version, before, size).await?;
    let next = match page.next {
        Some(next) => call.look_up(move |_, index| Ok(index.commit(next)?)).await?,
        None => None,
    };
    let activities = page.found.iter().map(|a| shown(&model, version, a)).collect();
    Reply::output(&ActivityPage { activities, next_page_token: next.map(|c| c.to_string()) })
}

/// Returns the number of the commit that a page token names.
async fn number(call: &Call, token: &str) -> Result<u64, ApiError> {
    let wrong = || ApiError::invalid("The page_token is not one that this list returned.");
    let commit = Oid::from_hex(token).ok_or_else(wrong)?;
    let look = move |_: &_, index: &mut Index<'_>| match index.number(commit) {
        Err(IndexError::OffLine(_)) => Err(wrong()),
        other => Ok(other?),
    };
    call.look_up(look).await
}
