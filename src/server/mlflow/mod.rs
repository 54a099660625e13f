//! MLflow's registry API, as its Python client speaks it: addresses, defaults, messages and shapes are the client's
//! contract, not ours to choose.

mod models;
mod register;
mod schema;
mod search;
pub mod shapes;
mod source;
mod versions;

pub use search::{models as search_models, page_of_models, page_of_versions};
pub use versions::{named, named_version};

use axum::http::Method;

use super::args::Args;
use super::call::Call;
use super::error::ApiError;
use super::route::{Needs, Route};
use crate::entity::Level;
use crate::entity::Tags;
use crate::name::{Key, ModelName};
use crate::text::{InvalidText, Text};

/// Where MLflow's client, its pages, and older clients look for the API.
pub const PREFIXES: [&str; 4] =
    ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/2.0/preview/mlflow", "/ajax-api/2.0/preview/mlflow"];

/// The tag of a version in which MLflow keeps the text of a prompt.
const PROMPT_TEXT: &str = "mlflow.prompt.text";

/// The longest value of a tag, in characters.
const MAX_TAG: usize = 100_000;

/// The routes of this module.
pub fn routes() -> Vec<Route> {
    use Level::{CanEdit, CanManage, CanRead};
    let read = Needs::Model(CanRead);
    let edit = Needs::Model(CanEdit);
    let manage = Needs::Model(CanManage);
    let ask = |method, path: &str, needs, handler| Route::ask(method, path, needs, handler);
    let rows = vec![
        Route::act(Method::POST, "/registered-models/create", Needs::Caller, models::create),
        ask(Method::GET, "/registered-models/get", read, models::get),
        Route::act(Method::PATCH, "/registered-models/update", edit, models::update),
        Route::act(Method::POST, "/registered-models/rename", manage, models::rename),
        Route::act(Method::DELETE, "/registered-models/delete", manage, models::delete),
        ask(Method::GET, "/registered-models/search", Needs::Caller, search::models),
        ask(Method::POST, "/registered-models/get-latest-versions", read, models::latest_versions),
        ask(Method::GET, "/registered-models/get-latest-versions", read, models::latest_versions),
        Route::act(Method::POST, "/registered-models/set-tag", edit, models::set_tag),
        Route::act(Method::DELETE, "/registered-models/delete-tag", edit, models::delete_tag),
        // Whether an alias has a rule of its own is a matter of the settings.
        Route::act(Method::POST, "/registered-models/alias", read, models::set_alias),
        ask(Method::GET, "/registered-models/alias", read, models::get_by_alias),
        Route::act(Method::DELETE, "/registered-models/alias", read, models::delete_alias),
        Route::act(Method::POST, "/model-versions/create", edit, versions::create),
        ask(Method::GET, "/model-versions/get", read, versions::get),
        Route::act(Method::PATCH, "/model-versions/update", edit, versions::update),
        Route::act(Method::DELETE, "/model-versions/delete", manage, versions::delete),
        ask(Method::GET, "/model-versions/search", Needs::Caller, search::versions),
        ask(Method::GET, "/model-versions/get-download-uri", read, versions::download_uri),
        // Who may move what between which stages is a matter of the stage's rule.
        Route::act(Method::POST, "/model-versions/transition-stage", read, versions::transition),
        Route::act(Method::POST, "/model-versions/set-tag", edit, versions::set_tag),
        Route::act(Method::DELETE, "/model-versions/delete-tag", edit, versions::delete_tag),
    ];
    rows.into_iter().flat_map(|row| row.of_mlflow().under(&PREFIXES)).collect()
}

/// The name of a model that a request is about, whether there is one or not.
pub fn name(args: &Args) -> Result<ModelName, ApiError> {
    Ok(ModelName::new(args.text("name")?.unwrap_or_default())?)
}

/// The model that a request is about, which the caller must be able to read.
pub fn model_name(call: &Call) -> Result<ModelName, ApiError> {
    call.model(&name(&call.args)?).map(|model| model.name.clone())
}

/// The number of a version as MLflow reads it; what no version can have is none.
pub fn version_number(args: &Args) -> Result<Option<u64>, ApiError> {
    let text = args.text("version")?.unwrap_or_default();
    let wrong = || {
        let shown = crate::text::one_line(text);
        ApiError::invalid(format!("Parameter 'version' must be an integer, got '{shown}'."))
    };
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let plain = digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if !plain {
        return Err(wrong());
    }
    Ok(digits.replace('_', "").parse().ok().filter(|n| *n > 0 && !trimmed.starts_with('-')))
}

/// A description or comment; empty where it is absent.
pub fn text(args: &Args, name: &str) -> Result<Text, ApiError> {
    let given = args.text(name)?.unwrap_or_default();
    Text::new(given).map_err(|e| match e {
        InvalidText::TooLong { max, .. } => {
            ApiError::invalid(format!("'{name}' exceeds the maximum length of {max} bytes"))
        }
        InvalidText::Character { .. } => {
            ApiError::invalid(format!("Invalid value for parameter '{name}' supplied: {e}"))
        }
    })
}

/// The value of a tag of a version; a prompt keeps its text in one.
pub fn version_tag_value(key: &Key, given: &str) -> Result<Text, ApiError> {
    if key.as_str() == PROMPT_TEXT && given.chars().count() > MAX_TAG {
        return Err(ApiError::invalid(format!("Prompt text exceeds max length of {MAX_TAG} characters.")));
    }
    tag_value(given)
}

/// The value of a tag.
pub fn tag_value(given: &str) -> Result<Text, ApiError> {
    if given.chars().count() > MAX_TAG {
        return Err(ApiError::invalid(format!("'value' exceeds the maximum length of {MAX_TAG} characters")));
    }
    let wrong = |e| ApiError::invalid(format!("Invalid value for parameter 'value' supplied: {e}"));
    Text::new(given).map_err(wrong)
}

/// The key of a tag.
pub fn tag_key(args: &Args) -> Result<Key, ApiError> {
    Ok(Key::new(args.text("key")?.unwrap_or_default())?)
}

/// The tags of a new model.
pub fn tags(args: &Args) -> Result<Tags, ApiError> {
    args.tags("tags")?.into_iter().map(|(key, value)| Ok((Key::new(key)?, tag_value(&value)?))).collect()
}

/// The tags of a new version.
pub fn version_tags(args: &Args) -> Result<Tags, ApiError> {
    let tag = |(key, value): (String, String)| {
        let key = Key::new(key)?;
        let value = version_tag_value(&key, &value)?;
        Ok((key, value))
    };
    args.tags("tags")?.into_iter().map(tag).collect()
}
