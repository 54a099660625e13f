//! Model versions, their tags and stages.

use super::schema::{check, flag, needs, takes};
use super::shapes::{Version, VersionBody};
use super::{register, schema, source};
use crate::action::{Action, NewVersion};
use crate::apply::Refusal;
use crate::entity::version::{VersionSource, VersionStatus};
use crate::event::Event;
use crate::name::ModelName;
use crate::server::api::artifacts;
use crate::server::api::parameters::{
    model_name, name, tag_key, text, version_number, version_tag_value, version_tags,
};
use crate::server::api::parameters::{named, named_version};
use crate::server::context::arguments::storable;
use crate::server::context::call::Call;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::import;
use crate::server::context::reply::{HandlerResult, Reply};
use crate::server::context::writer::ChangeResult;
use crate::stage::Stage;
use crate::text::Text;

use serde_json::json;

/// Returns a version after a change.
fn version_after(landed: &ChangeResult, name: &ModelName, number: u64) -> HandlerResult {
    let model = landed.catalog.model(name.as_str()).ok_or_else(|| ApiError::from(Refusal::no_model(name)))?;
    let version = model.version(number).ok_or_else(|| ApiError::from(Refusal::no_version(name, number)))?;
    Reply::json(&VersionBody { model_version: Version::of(model, version) })
}

/// Handles POST `model-versions/create`. A client that repeats the request because the response was lost does not
/// create a second version.
pub async fn create(call: Call) -> HandlerResult {
    call.once("model-versions/create", create_now).await
}

async fn create_now(call: Call) -> HandlerResult {
    let args = &call.args;
    let params = ["run_id", "run_link", "description", "model_id"].map(takes).into_iter().chain([schema::tags("tags")]);
    check(args, &[needs("name"), needs("source")].into_iter().chain(params).collect::<Vec<_>>())?;
    let named = args.text("source")?.unwrap_or_default();
    let upload = artifacts::Upload::named(named, &call.base)?;
    let uri = match &upload {
        Some(upload) => args.text("original_source")?.unwrap_or(&upload.uri),
        None => named,
    };
    let given = VersionSource {
        uri: storable(uri, "source")?,
        run_id: storable(args.text("run_id")?.unwrap_or_default(), "run_id")?,
        run_link: storable(args.text("run_link")?.unwrap_or_default(), "run_link")?,
        model_id: storable(args.text("model_id")?.unwrap_or_default(), "model_id")?,
        location: Text::default(),
    };
    let is_prompt = source::is_prompt(&args.tags("tags")?);
    let source = source::settled(&call, given, is_prompt)?;
    name(args)?;
    let (description, tags) = (text(args, "description")?, version_tags(args)?);
    let founding = founding(&call)?;
    let model = match &founding {
        Some((model, _)) => model.clone(),
        None => model_name(&call)?,
    };
    let mut new = NewVersion { description, tags, source, ..NewVersion::default() };
    if let Some(upload) = &upload {
        crate::artifact::record(upload.take(&call).await?, &mut new);
    }
    register::fill(&call, &mut new).await?;
    if new.status_message.is_empty() {
        new.status_message = import::findings(new.info.as_ref());
    }
    let is_pending = new.status == VersionStatus::PendingRegistration;
    let landed = write(&call, founding, Action::CreateVersion { model: model.clone(), new: Box::new(new) }).await?;
    let number = landed.events.iter().find_map(|event| match event {
        Event::VersionCreated { version, .. } => Some(*version),
        _ => None,
    });
    if let (true, Some(number), Some(card)) = (is_pending, number, landed.catalog.model(model.as_str())) {
        call.state.imports.add(card, number);
    }
    version_after(&landed, &model, number.unwrap_or(0))
}

/// Returns the name of the model that a request creates together with its first version, and the action that creates it:
/// the request has the field `registered_model`, and there is no model of that name.
fn founding(call: &Call) -> Result<Option<(ModelName, Action)>, ApiError> {
    let Some(given) = call.args.object("registered_model")? else { return Ok(None) };
    check(&given, &[schema::tags("tags"), takes("description")])?;
    let (model, description, tags) =
        (name(&call.args)?, text(&given, "description")?, crate::server::api::parameters::tags(&given)?);
    call.demand_writer()?;
    if call.catalog.model(model.as_str()).is_some() {
        return Ok(None);
    }
    Ok(Some((model.clone(), Action::CreateModel { model, description, tags })))
}

/// Creates a version, and its model in the same commit. If another caller created the model meanwhile, the version is
/// added to that one.
async fn write(call: &Call, founding: Option<(ModelName, Action)>, version: Action) -> Result<ChangeResult, ApiError> {
    let Some((_, model)) = founding else { return call.write(vec![version]).await };
    match call.write(vec![model, version.clone()]).await {
        Err(e) if e.code == Code::ResourceAlreadyExists => call.write(vec![version]).await,
        written => written,
    }
}

/// Handles GET `model-versions/get`.
pub fn get(call: &Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("version")])?;
    let (model, version) = named_version(call)?;
    Reply::json(&VersionBody { model_version: Version::of(model, version) })
}

/// Handles PATCH `model-versions/update`.
pub async fn update(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("version"), takes("description")])?;
    let ((model, version), description) = (named(&call)?, text(&call.args, "description")?);
    let landed = call.write(vec![Action::DescribeVersion { model: model.clone(), version, description }]).await?;
    version_after(&landed, &model, version)
}

/// Handles DELETE `model-versions/delete`.
pub async fn delete(call: Call) -> HandlerResult {
    call.again("model-versions/delete", delete_now).await
}

async fn delete_now(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("version")])?;
    version_number(&call.args)?;
    let (model, version) = named(&call)?;
    call.write(vec![Action::DeleteVersion { model, version }]).await?;
    Ok(Reply::done())
}

/// Handles GET `model-versions/get-download-uri`.
pub fn download_uri(call: &Call) -> HandlerResult {
    let (model, version) = named_version(call)?;
    Reply::json(&json!({ "artifact_uri": source::location(call, model, version) }))
}

/// Handles POST `model-versions/transition-stage`.
pub async fn transition(call: Call) -> HandlerResult {
    let archive = "archive_existing_versions";
    check(&call.args, &[needs("name"), needs("version"), needs("stage"), flag(archive)])?;
    let given = call.args.text("stage")?.unwrap_or_default();
    let to = Stage::among(given, &call.catalog.stages())?;
    let archive_existing = call.args.flag(archive)?;
    if archive_existing && !to.is_active() {
        return Err(ApiError::invalid(format!(
            "Model version transition cannot archive existing model versions because '{}' is not an Active stage. \
             Valid stages are ['Staging', 'Production']",
            crate::text::one_line(given)
        )));
    }
    let (model, version) = named(&call)?;
    let landed = call.write(vec![Action::Transition { model: model.clone(), version, to, archive_existing }]).await?;
    version_after(&landed, &model, version)
}

/// Handles POST `model-versions/set-tag`.
pub async fn set_tag(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("version"), needs("key"), takes("value")])?;
    let (_, _, key) = (name(&call.args)?, version_number(&call.args)?, tag_key(&call.args)?);
    let value = version_tag_value(&key, call.args.text("value")?.unwrap_or_default())?;
    let (model, version) = named(&call)?;
    call.write(vec![Action::SetVersionTag { model, version, key, value }]).await?;
    Ok(Reply::done())
}

/// Handles DELETE `model-versions/delete-tag`.
pub async fn delete_tag(call: Call) -> HandlerResult {
    check(&call.args, &[needs("name"), needs("version"), needs("key")])?;
    let (_, _, key) = (name(&call.args)?, version_number(&call.args)?, tag_key(&call.args)?);
    let (model, version) = named(&call)?;
    call.write(vec![Action::DeleteVersionTag { model, version, key }]).await?;
    Ok(Reply::done())
}
