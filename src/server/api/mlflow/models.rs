//! Registered models, their tags and aliases.

use super::schema::{self, check, needs, takes};
use super::shapes::{Model, ModelBody, Version, VersionBody, Versions};
use crate::action::Action;
use crate::apply::Refusal;
use crate::name::{AliasName, InvalidName, ModelName};
use crate::search::IS_PROMPT;
use crate::server::api::parameters::{model_name, name, tag_key, tag_value, tags, text};
use crate::server::context::call::Call;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::context::writer::ChangeResult;
use crate::stage::Stage;

/// Returns a model after a change.
fn model_after(landed: &ChangeResult, name: &ModelName) -> HandlerResult {
    let model = landed.catalog.model(name.as_str()).ok_or_else(|| ApiError::from(Refusal::no_model(name)))?;
    Reply::json(&ModelBody { registered_model: Model::of(model) })
}

/// Handles POST `registered-models/create`. A client that repeats the request because the response was lost gets the
/// success again. The same is true for the other requests below that would fail the second time.
pub async fn create(call: Call) -> HandlerResult {
    call.again("registered-models/create", create_now).await
}

async fn create_now(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), schema::tags("tags"), takes("description")])?;
    let name = name(&call.args)?;
    let (description, tags) = (text(&call.args, "description")?, tags(&call.args)?);
    // Before the name is looked up: a caller who cannot create models learns nothing of those that there are.
    call.demand_writer()?;
    if let Some(there) = call.catalog.model(name.as_str()) {
        // MLflow checks only whether the tag exists, not its value.
        return Err(taken(&name, tags.contains_key(IS_PROMPT), there.tags.contains_key(IS_PROMPT)));
    }
    let landed = call.write(vec![Action::CreateModel { model: name.clone(), description, tags }]).await?;
    model_after(&landed, &name)
}

/// Returns MLflow's error for a name that is taken. Models and prompts share their names.
fn taken(name: &ModelName, is_prompt: bool, there: bool) -> ApiError {
    let quoted = crate::search::python::text(name.as_str());
    let both = "MLflow does not allow creating a model and a prompt with the same name.";
    let message = match (is_prompt, there) {
        (false, false) => format!("Registered Model (name={name}) already exists."),
        (true, true) => format!("Prompt (name={name}) already exists."),
        (false, true) => format!(
            "Tried to create a registered model with name {quoted}, but the name is already taken by a prompt. {both}"
        ),
        (true, false) => format!(
            "Tried to create a prompt with name {quoted}, but the name is already taken by a registered model. {both}"
        ),
    };
    ApiError::new(Code::ResourceAlreadyExists, message)
}

/// Handles GET `registered-models/get`.
pub fn get(call: &Call) -> HandlerResult {
    check(&call.args, &[needs("name")])?;
    Reply::json(&ModelBody { registered_model: Model::of(call.model(&name(&call.args)?)?) })
}

/// Handles PATCH `registered-models/update`.
pub async fn update(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), takes("description")])?;
    let (model, description) = (model_name(&call)?, text(&call.args, "description")?);
    let landed = call.write(vec![Action::DescribeModel { model: model.clone(), description }]).await?;
    model_after(&landed, &model)
}

/// Handles POST `registered-models/rename`.
pub async fn rename(call: Call) -> HandlerResult {
    call.again("registered-models/rename", rename_now).await
}

async fn rename_now(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("new_name")])?;
    let new_name = call.args.text("new_name")?.unwrap_or_default();
    if new_name.trim().is_empty() {
        return Err(ApiError::invalid("Missing value for required parameter 'new_name'."));
    }
    let to = ModelName::new(new_name)?;
    let model = model_name(&call)?;
    let landed = call.write(vec![Action::RenameModel { model, to: to.clone() }]).await?;
    model_after(&landed, &to)
}

/// Handles DELETE `registered-models/delete`.
pub async fn delete(call: Call) -> HandlerResult {
    call.again("registered-models/delete", delete_now).await
}

async fn delete_now(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name")])?;
    call.write(vec![Action::DeleteModel { model: model_name(&call)? }]).await?;
    Ok(Reply::done())
}

/// Handles POST and GET `registered-models/get-latest-versions`.
pub fn latest_versions(call: &Call) -> HandlerResult {
    check(&call.args, &[needs("name"), schema::texts("stages")])?;
    let model = call.model(&name(&call.args)?)?;
    let known = call.catalog.stages();
    let wanted: Vec<Stage> =
        call.args.texts("stages")?.iter().map(|s| Stage::among(s, &known)).collect::<Result<_, _>>()?;
    let is_wanted = |stage: &str| wanted.is_empty() || wanted.iter().any(|w| w.as_str() == stage);
    let found = model.latest_by_stage().into_iter().filter(|v| is_wanted(&v.stage));
    Reply::json(&Versions { model_versions: found.map(|v| Version::of(model, v)).collect(), next_page_token: None })
}

/// Handles POST `registered-models/set-tag`.
pub async fn set_tag(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("key"), takes("value")])?;
    let (_, key) = (name(&call.args)?, tag_key(&call.args)?);
    let value = tag_value(call.args.text("value")?.unwrap_or_default())?;
    let model = model_name(&call)?;
    call.write(vec![Action::SetModelTag { model, key, value }]).await?;
    Ok(Reply::done())
}

/// Handles DELETE `registered-models/delete-tag`.
pub async fn delete_tag(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("key")])?;
    let (_, key) = (name(&call.args)?, tag_key(&call.args)?);
    let model = model_name(&call)?;
    call.write(vec![Action::DeleteModelTag { model, key }]).await?;
    Ok(Reply::done())
}

/// Handles POST `registered-models/alias`.
pub async fn set_alias(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("alias"), needs("version")])?;
    name(&call.args)?;
    let alias = alias_name(call.args.text("alias")?.unwrap_or_default())?;
    let (model, version) = crate::server::api::parameters::named(&call)?;
    call.write(vec![Action::SetAlias { model, alias, version }]).await?;
    Ok(Reply::done())
}

/// Handles GET `registered-models/alias`.
pub fn get_by_alias(call: &Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("alias")])?;
    let name = name(&call.args)?;
    let alias = call.args.text("alias")?.unwrap_or_default();
    readable_alias(alias)?;
    let model = call.model(&name)?;
    let version = if alias.eq_ignore_ascii_case("latest") {
        let none = || ApiError::not_found(format!("Latest version not found for model {}.", model.name));
        model.latest().ok_or_else(none)?
    } else {
        let number = model.aliases.get(alias);
        let found = number.and_then(|n| model.version(*n));
        let shown = crate::text::one_line(alias);
        found.ok_or_else(|| ApiError::from(Refusal::no_alias(&shown)))?
    };
    Reply::json(&VersionBody { model_version: Version::of(model, version) })
}

/// Handles DELETE `registered-models/alias`.
pub async fn delete_alias(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("alias")])?;
    name(&call.args)?;
    let alias = readable_alias(call.args.text("alias")?.unwrap_or_default())?;
    let model = model_name(&call)?;
    // A reserved alias never exists, so it counts as deleted.
    let Some(alias) = alias else { return Ok(Reply::done()) };
    call.write(vec![Action::DeleteAlias { model, alias }]).await?;
    Ok(Reply::done())
}

/// Parses an alias, with MLflow's error message.
fn alias_name(given: &str) -> Result<AliasName, ApiError> {
    AliasName::new(given).map_err(|e| match e {
        InvalidName::Characters { .. } | InvalidName::Blank { .. } => ApiError::invalid(format!(
            "Invalid alias name: '{}'. Names may only contain alphanumerics, underscores (_), and dashes (-).",
            crate::text::one_line(given)
        )),
        other => other.into(),
    })
}

/// Parses an alias for reading. `None` for a reserved alias, which can never be set.
pub(super) fn readable_alias(given: &str) -> Result<Option<AliasName>, ApiError> {
    match AliasName::new(given) {
        Err(InvalidName::AliasLatest | InvalidName::AliasVersion(_)) => Ok(None),
        Ok(_) | Err(_) => alias_name(given).map(Some),
    }
}
