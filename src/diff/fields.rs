//! Events of the fields of models, versions, requests and comments.

use crate::entity::{Comment, Model, Request, RequestState, Tags, Version};
use crate::event::Event;
use crate::name::{Key, ModelName};
use crate::stage::Stage;
use crate::text::Text;

/// The version that events name.
#[derive(Clone, Copy)]
pub(super) struct EventVersion<'a> {
    pub(super) model: &'a ModelName,
    pub(super) version: u64,
}

impl EventVersion<'_> {
    fn names(self) -> (ModelName, u64) {
        (self.model.clone(), self.version)
    }
}

/// Returns the events between two states of a model. A changed name is an alteration unless the folder was `renamed`
/// too.
pub(super) fn model(old: &Model, new: &Model, renamed: bool) -> Vec<Event> {
    let name = &new.name;
    let mut out = Vec::new();
    let mut same = Model { description: new.description.clone(), tags: new.tags.clone(), ..old.clone() };
    if renamed {
        same.name = new.name.clone();
    }
    if same != *new {
        out.push(Event::ModelAltered { model: name.clone(), before: old.clone(), after: new.clone() });
    }
    if old.description != new.description {
        let (description, before) = (new.description.clone(), old.description.clone());
        out.push(Event::ModelDescribed { model: name.clone(), description, before });
    }
    tags(&old.tags, &new.tags, |key, value, before| {
        out.push(Event::ModelTagSet { model: name.clone(), key, value, before });
    });
    for (key, value) in gone(&old.tags, &new.tags) {
        out.push(Event::ModelTagDeleted { model: name.clone(), key, value });
    }
    out
}

/// Returns the events between two states of a version.
pub(super) fn version(s: EventVersion<'_>, old: &Version, new: &Version) -> Vec<Event> {
    let (model, version) = s.names();
    let mut out = Vec::new();
    let added = |key: &Key| !old.params.contains_key(key);
    let params: Vec<_> = new.params.iter().filter(|(k, _)| added(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
    let metrics: Vec<_> =
        new.metrics.iter().filter(|(k, _)| !old.metrics.contains_key(*k)).map(|(k, v)| (k.clone(), *v)).collect();
    // The old state with all permitted changes of the new one: any remaining difference is an alteration.
    let mut same = old.clone();
    same.status = new.status;
    same.status_message = new.status_message.clone();
    same.description = new.description.clone();
    same.tags = new.tags.clone();
    same.params.extend(params.iter().cloned());
    same.metrics.extend(metrics.iter().cloned());
    if same != *new {
        let (before, after) = (Box::new(old.clone()), Box::new(new.clone()));
        out.push(Event::VersionAltered { model: model.clone(), version, before, after });
    }
    if old.status != new.status || old.status_message != new.status_message {
        let (status, message, before) = (new.status, new.status_message.clone(), old.status);
        out.push(Event::StatusChanged { model: model.clone(), version, status, message, before });
    }
    if old.description != new.description {
        let (description, before) = (new.description.clone(), old.description.clone());
        out.push(Event::VersionDescribed { model: model.clone(), version, description, before });
    }
    tags(&old.tags, &new.tags, |key, value, before| {
        out.push(Event::VersionTagSet { model: model.clone(), version, key, value, before });
    });
    for (key, value) in gone(&old.tags, &new.tags) {
        out.push(Event::VersionTagDeleted { model: model.clone(), version, key, value });
    }
    out.extend(params.into_iter().map(|(key, value)| Event::ParamAdded { model: model.clone(), version, key, value }));
    out.extend(metrics.into_iter().map(|(key, value)| Event::MetricAdded {
        model: model.clone(),
        version,
        key,
        value,
    }));
    out
}

fn tags(old: &Tags, new: &Tags, mut set: impl FnMut(Key, Text, Option<Text>)) {
    for (key, value) in new {
        let before = old.get(key);
        if before != Some(value) {
            set(key.clone(), value.clone(), before.cloned());
        }
    }
}

fn gone(old: &Tags, new: &Tags) -> Vec<(Key, Text)> {
    old.iter().filter(|(k, _)| !new.contains_key(*k)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Returns the events between two states of a comment.
pub(super) fn comment(s: EventVersion<'_>, before: Comment, after: Comment) -> Vec<Event> {
    let (model, version) = s.names();
    let same = Comment { text: after.text.clone(), edited_at: after.edited_at, ..before.clone() };
    if same == after {
        vec![Event::CommentEdited { model, version, before, after }]
    } else {
        vec![Event::CommentAltered { model, version, before, after }]
    }
}

/// Returns the events between two states of a request. `entered` is the stage that the version entered in the same
/// step.
pub(super) fn request(s: EventVersion<'_>, before: Request, after: Request, entered: Option<&Stage>) -> Vec<Event> {
    let (model, version) = s.names();
    let reviews = before.review.len();
    let same = Request {
        state: after.state,
        review: after.review.clone(),
        closed_by: after.closed_by.clone(),
        closed_at: after.closed_at,
        close_comment: after.close_comment.clone(),
        ..before.clone()
    };
    let kept = after.review.get(..reviews) == Some(before.review.as_slice());
    if same != after || !kept || before.state != RequestState::Pending {
        return vec![Event::RequestAltered { model, version, before, after }];
    }
    let closed = after.closed_by.is_some() || after.closed_at.is_some() || !after.close_comment.is_empty();
    let request = after;
    match request.state {
        RequestState::Approved => vec![Event::RequestApproved { model, version, request }],
        RequestState::Rejected => vec![Event::RequestRejected { model, version, request }],
        RequestState::Cancelled => {
            let overtaken = entered == Some(&request.to);
            vec![Event::RequestCancelled { model, version, overtaken, request }]
        }
        RequestState::Pending if closed || request.review.len() == reviews => {
            vec![Event::RequestAltered { model, version, before, after: request }]
        }
        RequestState::Pending => {
            let new = request.review.iter().skip(reviews).cloned();
            let event =
                |review| Event::RequestReviewed { model: model.clone(), version, review, request: request.clone() };
            new.map(event).collect()
        }
    }
}
