//! Versions with the fields that Databricks adds (open requests, the caller's level), and transitions with a comment.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::requests::open_requests;
use super::shapes::{self, ActivityBody, Viewer};
use crate::action::Action;
use crate::apply::Refusal;
use crate::name::{Id, ModelName};
use crate::search::PageLimits;
use crate::server::api::mlflow::page_of_versions;
use crate::server::api::parameters::{named, text};
use crate::server::context::call::Call;
use crate::server::context::catalog::{Catalog, ModelCard};
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};

/// Handles GET `databricks/model-versions/get`.
pub async fn get(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let catalog = Arc::clone(&call.catalog);
    answer(&call, &catalog, model, version).await
}

/// Handles POST `databricks/model-versions/transition-stage`.
pub async fn transition(call: Call) -> HandlerResult {
    let (model, version) = named(&call)?;
    let (to, comment) = (super::stage(&call)?, text(&call.args, "comment")?);
    let archive_existing = call.args.flag("archive_existing_versions")?;
    let action = Action::Transition { model: model.clone(), version, to, archive_existing };
    let landed = call.write_with(vec![action], comment.as_str().to_owned()).await?;
    answer(&call, &landed.catalog, model, version).await
}

/// Handles GET `databricks/model-versions/search`.
pub async fn search(call: Call) -> HandlerResult {
    let (catalog, found, next) = page_of_versions(&call, PageLimits::DATABRICKS_VERSIONS, |catalog, rows, next| {
        let found = rows.iter().map(|hit| (hit.model.name.clone(), hit.version.number));
        Ok((Arc::clone(catalog), found.collect::<Vec<_>>(), next))
    })?;
    let found = found.into_iter().filter_map(|(name, number)| Some((catalog.model(name.as_str())?, number)));
    let found: Vec<(&Arc<ModelCard>, u64)> = found.collect();
    let ids = found.iter().map(|(card, number)| ((card.id.clone(), *number), card.name.clone()));
    let (ids, viewer) = (ids.collect::<HashMap<_, _>>(), Viewer::of(&call));
    // Few versions have open requests. The table of locations knows them without reading each version.
    let open = call.find(move |registry, places| {
        let snapshot = registry.snapshot()?;
        let mut open: HashMap<(Id, u64), Vec<ActivityBody>> = HashMap::new();
        for (_, place) in places.requests(None) {
            let key = (place.model, place.version);
            if let Some(name) = ids.get(&key).filter(|_| !open.contains_key(&key)) {
                let requests = open_requests(&snapshot, &viewer, name, key.1)?;
                open.insert(key, requests);
            }
        }
        Ok(open)
    });
    let open = open.await?;
    let person = call.catalog.people().get(&call.caller.user);
    let rows = found.iter().filter_map(|(card, number)| {
        let open = open.get(&(card.id.clone(), *number)).cloned().unwrap_or_default();
        Some(shapes::version(card, card.version(*number)?, open, &call.standing, person, None))
    });
    let rows: Vec<Value> = rows.collect();
    let mut out = Map::new();
    if !rows.is_empty() {
        out.insert("model_versions_databricks".to_owned(), rows.into());
    }
    out.extend(next.map(|token| ("next_page_token".to_owned(), token.into())));
    Reply::json(&out)
}

/// Returns a version as of a catalog.
async fn answer(call: &Call, catalog: &Arc<Catalog>, model: ModelName, version: u64) -> HandlerResult {
    let (viewer, name): (Viewer, _) = (Viewer::of(call), model.clone());
    let open = call.look(catalog, move |s| open_requests(s, &viewer, &name, version)).await?;
    let card = catalog.model(model.as_str()).ok_or_else(|| ApiError::from(Refusal::no_model(&model)))?;
    let facts = card.version(version).ok_or_else(|| ApiError::from(Refusal::no_version(&model, version)))?;
    let person = catalog.people().get(&call.caller.user);
    let (name, user) = (model.clone(), call.caller.user.clone());
    let tie = call.look_up(move |_, index| Ok(index.ties(&name, version, None)?.get(&user).copied()));
    let standing = catalog.standing(&call.caller.user);
    let shown = shapes::version(card, facts, open, &standing, person, tie.await?);
    Reply::json(&json!({ "model_version_databricks": shown }))
}
