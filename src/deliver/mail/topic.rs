//! The topic of an event, in the current state: the model under its current name, and the people related to the
//! version.

use std::collections::{BTreeMap, HashMap};

use crate::audience::{self, MailCategory, MailOmission, MailRecipient, RecipientReason, VersionInvolvement};
use crate::deliver::channel::{DeliverError, DeliveryContext};
use crate::deliver::notification::{Notification, NotificationKind};
use crate::entity::settings::MailPolicy;
use crate::entity::{Model, PermissionLevel, Person, Request, RequestState};
use crate::event::Event;
use crate::index::Index;
use crate::name::{Id, ModelName, UserName};
use crate::snapshot::ModelView;
use crate::tree::Oid;

/// The topic of an event.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    /// The kind of activity.
    pub(super) activity: MailCategory,
    /// The model's id.
    pub(super) id: Id,
    /// The version's number.
    pub(super) version: u64,
    /// The model's current name.
    pub(super) name: ModelName,
    /// The model's current name, then its former names.
    names: Vec<ModelName>,
    /// The person who registered the model.
    maker: UserName,
}

/// A model in its current state.
#[derive(Debug, Clone)]
struct CurrentModel {
    id: Id,
    name: ModelName,
    names: Vec<ModelName>,
    maker: UserName,
}

/// Returns the request that an event created, in its current state. `None` if the event created no request, or the
/// request is no longer open.
pub(super) fn open_request(
    notification: &Notification,
    topic: &Topic,
    moment: &DeliveryContext<'_>,
) -> Result<Option<Request>, DeliverError> {
    let NotificationKind::Event(event) = &notification.what else { return Ok(None) };
    let Event::RequestCreated { request, .. } = event.as_ref() else { return Ok(None) };
    let view = moment.tip.model(&topic.name)?.map_or(Ok(None), |m| m.version(topic.version))?;
    let file = view.map_or(Ok(None), |v| v.request(&request.id))?;
    Ok(file.and_then(|f| f.value).filter(|r| r.state == RequestState::Pending))
}

/// Looks up the topics of events. The index is opened once and each result is kept.
pub(super) struct Topics<'m> {
    moment: &'m DeliveryContext<'m>,
    index: Option<Index<'m>>,
    mailing: Option<MailPolicy>,
    models: HashMap<(Oid, ModelName), Option<CurrentModel>>,
    ties: HashMap<(ModelName, u64, Oid), BTreeMap<UserName, VersionInvolvement>>,
}

impl<'m> Topics<'m> {
    /// Looks up topics at a moment.
    pub(super) fn new(moment: &'m DeliveryContext<'m>) -> Self {
        Self { moment, index: None, mailing: None, models: HashMap::new(), ties: HashMap::new() }
    }

    fn index(&mut self) -> Result<&mut Index<'m>, DeliverError> {
        match &mut self.index {
            Some(index) => Ok(index),
            empty => Ok(empty.insert(Index::open(self.moment.registry, &mut |_| {})?)),
        }
    }

    /// Returns the topic of an event. `None` if the event causes no mail, or the model no longer exists, so that no
    /// person may read it.
    pub(super) fn of(&mut self, notification: &Notification) -> Result<Option<Topic>, DeliverError> {
        let NotificationKind::Event(event) = &notification.what else { return Ok(None) };
        let (Some(activity), Some(model), Some(version)) = (MailCategory::of(event), event.model(), event.version())
        else {
            return Ok(None);
        };
        let key = (notification.commit, model.clone());
        if !self.models.contains_key(&key) {
            let now = self.model(notification.commit, model)?;
            self.models.insert(key.clone(), now);
        }
        let found = self.models.get(&key).cloned().flatten();
        Ok(found.map(|CurrentModel { id, name, names, maker }| Topic { activity, id, version, name, names, maker }))
    }

    /// Returns the current state of the model that had a name at a commit.
    fn model(&mut self, commit: Oid, name: &ModelName) -> Result<Option<CurrentModel>, DeliverError> {
        let read = |view: Option<ModelView<'_>>| -> Result<Option<Model>, DeliverError> {
            Ok(view.map_or(Ok(None), |v| v.file())?.and_then(|f| f.value))
        };
        let tip = self.moment.tip;
        let then = read(self.moment.registry.snapshot_of(Some(commit))?.model(name)?)?;
        let Some(then) = then else { return Ok(None) };
        let mut now = read(tip.model(name)?)?.filter(|m| m.id == then.id);
        if now.is_none() {
            // The model was renamed or deleted since.
            for view in tip.models()? {
                now = read(Some(view))?.filter(|m| m.id == then.id);
                if now.is_some() {
                    break;
                }
            }
        }
        let Some(now) = now else { return Ok(None) };
        let names = self.index()?.names_of(&now.name)?;
        Ok(Some(CurrentModel { id: now.id, name: now.name, names, maker: now.created_by }))
    }

    /// Returns how a person was related to a version at the time of the event.
    fn tie(
        &mut self,
        notification: &Notification,
        topic: &Topic,
        user: &UserName,
    ) -> Result<Option<VersionInvolvement>, DeliverError> {
        let key = (topic.name.clone(), topic.version, notification.commit);
        if !self.ties.contains_key(&key) {
            let ties = self.index()?.ties(&topic.name, topic.version, Some(notification.commit))?;
            self.ties.insert(key.clone(), ties);
        }
        Ok(self.ties.get(&key).and_then(|ties| ties.get(user)).copied())
    }

    /// Returns whether an event is a request that is still open, and a person's approval of it would count.
    fn may_approve(&self, notification: &Notification, topic: &Topic, user: &UserName) -> Result<bool, DeliverError> {
        let Some(request) = open_request(notification, topic, self.moment)? else { return Ok(false) };
        let is_done = request.review.iter().any(|r| r.by == *user);
        if request.created_by == *user || is_done {
            return Ok(false);
        }
        let Some(view) = self.moment.tip.model(&topic.name)? else { return Ok(false) };
        let from = view.stage_of(topic.version)?;
        Ok(self.moment.tip.may_approve(user, &topic.name, &from, &request.to)?)
    }

    /// Returns why a person gets mail about an event. `None` if the person gets none.
    pub(super) fn reason(
        &mut self,
        notification: &Notification,
        topic: &Topic,
        user: &UserName,
        person: &Person,
    ) -> Result<Option<RecipientReason>, DeliverError> {
        if self.mailing.is_none() {
            self.mailing = Some(self.moment.tip.settings()?.map(|s| s.notifications.clone()).unwrap_or_default());
        }
        let mailing = self.mailing.clone().unwrap_or_default();
        let actors: Vec<&UserName> = [&notification.by].into_iter().chain(&notification.landed_by).collect();
        let news = audience::MailEvent {
            activity: topic.activity,
            version: topic.version,
            actors: &actors,
            names: &topic.names,
        };
        // The permission level is looked up last, because few people are left by then. The relation to the version is
        // looked up only if it decides, because that reads all events of the version.
        let may_approve = self.may_approve(notification, topic, user)?;
        let (registered, level) = (topic.maker == *user, Some(PermissionLevel::CanManage));
        let mut reader = MailRecipient { user, person, registered, tie: None, level, may_approve };
        match audience::decide(&news, &reader, &mailing) {
            Ok(_) => {}
            Err(MailOmission::NotFollowed) => {
                reader.tie = self.tie(notification, topic, user)?;
                if audience::decide(&news, &reader, &mailing).is_err() {
                    return Ok(None);
                }
            }
            Err(_) => return Ok(None),
        }
        let level = self.moment.tip.level(user, &topic.name)?;
        Ok(audience::decide(&news, &MailRecipient { level, ..reader }, &mailing).ok())
    }
}
