//! Registered models with the fields that Databricks adds: the id that permissions use, and the caller's level.

use serde_json::{Value, json};

use super::shapes;
use crate::name::ModelName;
use crate::server::api::mlflow::page_of_models;
use crate::server::context::call::Call;
use crate::server::context::error::ApiError;
use crate::server::context::reply::{HandlerResult, Reply};

/// Handles GET `databricks/registered-models/get`.
pub fn get(call: &Call) -> HandlerResult {
    let name = ModelName::new(call.args.required("name")?)?;
    let gone = |_| ApiError::not_found(format!("RegisteredModel '{name}' does not exist. It might have been deleted."));
    let model = call.model(&name).map_err(gone)?;
    Reply::json(&json!({ "registered_model_databricks": shapes::model(model, &call.standing) }))
}

/// Handles GET `databricks/registered-models/list` and `…/search`.
pub fn search(call: &Call) -> HandlerResult {
    page_of_models(call, |rows, next| {
        let mut out = serde_json::Map::new();
        let rows: Vec<Value> = rows.iter().map(|card| shapes::model(card, &call.standing)).collect();
        if !rows.is_empty() {
            out.insert("registered_models_databricks".to_owned(), rows.into());
        }
        out.extend(next.map(|token| ("next_page_token".to_owned(), token.into())));
        Reply::json(&out)
    })
}
