//! What was said of and done to a version, to be read back.

use serde_json::{Map, Value, json};

use super::size;
use crate::entity::Comment;
use crate::index::{Index, IndexError};
use crate::server::call::Call;
use crate::server::databricks::activities;
use crate::server::databricks::shapes::{Activity, fields};
use crate::server::error::ApiError;
use crate::server::mlflow::named;
use crate::server::route::{Answer, Reply};
use crate::tree::Oid;

/// GET `comments/list`: all comments of a version, oldest first.
pub async fn comments(call: Call) -> Answer {
    let (model, version) = named(&call)?;
    let (viewer, level) = (call.viewer(), call.model(&model).map(|m| call.standing.level(m))?);
    let commit = call.catalog.commit();
    let look = move |registry: &crate::registry::Registry, places: &crate::server::places::Places| {
        let view = registry.snapshot_of(commit)?.model(&model)?.map_or(Ok(None), |m| m.version(version))?;
        let comments = view.map_or(Ok(Default::default()), |v| v.comments())?;
        let mut found: Vec<_> = comments.into_values().filter_map(|f| f.value).collect();
        found.sort_by_key(|c| (c.created_at, c.id.clone()));
        let shown = |c: &Comment| Activity {
            landed_by: places.lander(&c.id).map(str::to_owned),
            ..Activity::comment(c, viewer.about_comment(c, level))
        };
        Ok(found.iter().map(shown).collect::<Vec<_>>())
    };
    Reply::json(&json!({ "comments": call.find(look).await? }))
}

/// GET `activities/list`: what was done to a version, newest first, in pages.
pub async fn activities(call: Call) -> Answer {
    let ((model, version), size) = (named(&call)?, size(&call)?);
    let before = match call.args.text("page_token")?.filter(|t| !t.is_empty()) {
        Some(token) => Some(number(&call, token).await?),
        None => None,
    };
    let page = activities::read(&call, model, version, before, size).await?;
    let mut out: Map<String, Value> = Map::new();
    out.insert("activities".to_owned(), page.found.iter().map(|a| Value::Object(fields(a))).collect());
    if let Some(next) = page.next {
        let commit = call.look_up(move |_, index| Ok(index.commit(next)?)).await?;
        out.extend(commit.map(|c| ("next_page_token".to_owned(), c.to_string().into())));
    }
    Reply::json(&out)
}

/// The number of the commit that a page token names.
async fn number(call: &Call, token: &str) -> Result<u64, ApiError> {
    let wrong = || ApiError::invalid("The page_token is none that this listing gave.");
    let commit = Oid::from_hex(token).ok_or_else(wrong)?;
    let look = move |_: &_, index: &mut Index<'_>| match index.number(commit) {
        Err(IndexError::OffLine(_)) => Err(wrong()),
        other => Ok(other?),
    };
    call.look_up(look).await
}
