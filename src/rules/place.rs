//! The file that an event is about, for findings.

use super::StepContext;
use crate::event::Event;
use crate::stage::Stage;
use crate::tree::TreeError;

/// Returns the path of the file that an event is about, for the finding.
pub(super) fn path_of(step: &StepContext<'_>, event: &Event) -> Result<String, TreeError> {
    let paths = step.after.paths()?;
    let at = match (event.model(), event.version()) {
        (Some(model), Some(version)) => match event {
            Event::Transitioned { to, from, .. } => {
                let stage = if *to == Stage::None { from } else { to };
                format!("{}/stages/{stage}.toml", paths.model(model))
            }
            Event::AliasSet { alias, .. } | Event::AliasDeleted { alias, .. } => {
                format!("{}/aliases/{}", paths.model(model), crate::format::path::alias_file(alias))
            }
            Event::CommentCreated { comment, .. } | Event::CommentDeleted { comment, .. } => {
                format!("{}/comments/{}.toml", paths.version(model, version), comment.id)
            }
            Event::CommentEdited { after, .. } | Event::CommentAltered { after, .. } => {
                format!("{}/comments/{}.toml", paths.version(model, version), after.id)
            }
            Event::RequestCreated { request, .. }
            | Event::RequestReviewed { request, .. }
            | Event::RequestApproved { request, .. }
            | Event::RequestRejected { request, .. }
            | Event::RequestCancelled { request, .. }
            | Event::RequestDeleted { request, .. }
            | Event::RequestAltered { after: request, .. } => {
                format!("{}/requests/{}.toml", paths.version(model, version), request.id)
            }
            _ => format!("{}/version.toml", paths.version(model, version)),
        },
        (Some(model), None) => match event {
            Event::Granted { .. } | Event::Revoked { .. } => format!("{}/access.toml", paths.model(model)),
            Event::WebhookCreated { webhook }
            | Event::WebhookDeleted { webhook }
            | Event::WebhookChanged { after: webhook, .. } => crate::format::path::webhook(&webhook.id),
            _ => format!("{}/model.toml", paths.model(model)),
        },
        (None, _) => match event {
            Event::FileChanged { path, .. } | Event::FileUnreadable { path } | Event::FileRepaired { path } => {
                return Ok(path.clone());
            }
            Event::PersonAdded { user, .. } | Event::PersonChanged { user, .. } | Event::PersonRemoved { user, .. } => {
                crate::format::path::person(user)
            }
            Event::WebhookCreated { webhook }
            | Event::WebhookDeleted { webhook }
            | Event::WebhookChanged { after: webhook, .. } => crate::format::path::webhook(&webhook.id),
            Event::Granted { .. }
            | Event::Revoked { .. }
            | Event::GroupCreated { .. }
            | Event::GroupChanged { .. }
            | Event::GroupDeleted { .. } => "access.toml".to_owned(),
            _ => "greenroom.toml".to_owned(),
        },
    };
    Ok(step.after.full_path(&at))
}
