//! Registering, renaming and deleting models.

use super::{ChangeDraft, Context, EntityKind, Refusal};
use crate::entity::{Access, Model, PermissionLevel, Tags};
use crate::name::{ModelName, Principal};
use crate::text::Text;
use crate::tree::EntryKind;

pub(super) fn create(
    d: &mut ChangeDraft<'_, '_>,
    cx: &mut Context<'_>,
    name: &ModelName,
    description: &Text,
    tags: &Tags,
) -> Result<(), Refusal> {
    free(d, name)?;
    let model = Model {
        id: cx.id(),
        name: name.clone(),
        created_at: cx.now,
        created_by: cx.actor.clone(),
        description: description.clone(),
        retired: None,
        tags: tags.clone(),
    };
    let folder = d.snapshot.paths()?.model(name);
    d.put(&format!("{folder}/model.toml"), &model);
    // The person who registers a model becomes its manager. An administrator manages all models anyway and gets no
    // grant, or an import by an administrator would leave a lasting CAN_MANAGE on every model.
    if d.snapshot.registry_level(&cx.actor)? < Some(PermissionLevel::CanManage) {
        let mut access = Access::default();
        access.grant(Principal::User(cx.actor.clone()), PermissionLevel::CanManage);
        d.put(&format!("{folder}/access.toml"), &access);
    }
    Ok(())
}

/// Refuses a name that is taken.
fn free(d: &ChangeDraft<'_, '_>, name: &ModelName) -> Result<(), Refusal> {
    if d.snapshot.model(name)?.is_some() {
        return Err(Refusal::exists(EntityKind::Model, format!("Registered Model (name={name}) already exists.")));
    }
    Ok(())
}

/// Moves the folder of the model by object id. Only `model.toml` and the webhooks of the model change.
pub(super) fn rename(d: &mut ChangeDraft<'_, '_>, from: &ModelName, to: &ModelName) -> Result<(), Refusal> {
    let view = d.model(from)?;
    if from == to {
        return Ok(());
    }
    free(d, to)?;
    let file = view.file()?.ok_or_else(|| Refusal::no_model(from))?;
    let folder = d.snapshot.full_path(&d.snapshot.paths()?.model(to));
    d.patch.remove(view.path.clone());
    d.patch.link(folder.clone(), EntryKind::Tree, view.tree);
    let moved = crate::snapshot::File { path: format!("{folder}/model.toml"), ..file };
    d.edit(&moved, |m| m.name = to.clone())?;
    for webhook in d.snapshot.webhooks()?.values() {
        if webhook.value.as_ref().is_some_and(|w| w.model.as_ref() == Some(from)) {
            d.edit(webhook, |w| w.model = Some(to.clone()))?;
        }
    }
    Ok(())
}

pub(super) fn delete(d: &mut ChangeDraft<'_, '_>, name: &ModelName) -> Result<(), Refusal> {
    let view = d.model(name)?;
    d.patch.remove(view.path);
    for webhook in d.snapshot.webhooks()?.values() {
        if webhook.value.as_ref().is_some_and(|w| w.model.as_ref() == Some(name)) {
            d.patch.remove(webhook.path.clone());
        }
    }
    Ok(())
}
