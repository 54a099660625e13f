//! Webhooks: an event is posted to a URL, or starts a job.
//!
//! A webhook is a [`Channel`]. It determines the payloads of an event ([`crate::payload`]) and makes one attempt for
//! one of them. All its settings are in the registry, except its secrets ([`crate::secrets`]), which are read anew for
//! each attempt.

pub mod address;
pub(super) mod error;
mod job;
pub mod post;
pub mod sign;
mod test_delivery;

pub use error::OutgoingError;

use std::sync::Arc;

use address::{Allow, SETTING};
use post::{AddressLookup, Client, PostError, PostLimits, PostResponse, System};
use sign::SigningKeys;

pub use test_delivery::{TestDelivery, TrialError};

use super::channel::{AttemptOutcome, BatchOutcome, Channel, DeliverError, DeliveryContext, DeliveryJob, DueJob};
use super::notification::{Notification, NotificationKind};
use crate::entity::Webhook;
use crate::entity::webhook::{WebhookState, is_mail_secret};
use crate::event::Event;
use crate::format::path;
use crate::name::{Key, ModelName};
use crate::payload::{self, PayloadEvent, PayloadSubject};
use crate::registry::Registry;
use crate::search::IS_PROMPT;
use crate::secrets::{Secret, SecretError, SecretUser, Secrets, next_of};
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::tree::TreeError;

/// The parts that all webhooks of a registry share: the HTTP client and the secrets.
#[derive(Debug)]
pub struct Outgoing {
    client: Client,
    secrets: Secrets,
    allow: Allow,
}

impl Outgoing {
    /// Opens the client as the registry's repository and the environment configure it.
    ///
    /// # Errors
    ///
    /// [`OutgoingError`] when the setting that allows targets is wrong or the secrets cannot be opened.
    pub fn of(registry: &Registry) -> Result<Self, OutgoingError> {
        let allow = Allow::new(registry.repo().own_settings(SETTING))?;
        let secrets = Secrets::of(&registry.state_dir())?;
        Ok(Self::with(allow, secrets, Arc::new(System), PostLimits::default()))
    }

    /// Builds the client from its parts.
    pub fn with(allow: Allow, secrets: Secrets, names: Arc<dyn AddressLookup>, limits: PostLimits) -> Self {
        Self { client: Client::new(allow.clone(), names, limits), secrets, allow }
    }

    /// Returns the allowed targets.
    pub fn allow(&self) -> &Allow {
        &self.allow
    }

    /// Returns the secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Makes one attempt: sends the body to the webhook's URL, or as the parameter of its job, with all signatures.
    /// `extra` holds additional headers.
    fn attempt(
        &self,
        parcel: &WebhookRequest<'_>,
        extra: &[(&'static str, String)],
    ) -> Result<PostResponse, AttemptError> {
        let (user, webhook) = (parcel.user, parcel.user.webhook());
        let (url, media_type, started) = match (&webhook.url, &webhook.job) {
            (Some(url), _) => (url.as_str().to_owned(), parcel.body.media_type, None),
            (None, Some(job)) => {
                (job::url(job), "application/json", Some(job::body(job, parcel.id, &parcel.body.bytes)))
            }
            (None, None) => return Err(AttemptError::NoTarget),
        };
        let body = started.as_deref().unwrap_or(&parcel.body.bytes);
        let keys = match &webhook.secret {
            Some(name) => Some(SigningKeys { current: self.secret(name, user)?, next: self.next(name, user)? }),
            None => None,
        };
        let mut headers = vec![("content-type", media_type.to_owned())];
        headers.extend(sign::headers(parcel.id, parcel.seconds, body, keys.as_ref()));
        headers.extend_from_slice(extra);
        if let Some(name) = &webhook.authorization {
            let secret = self.secret(name, user)?;
            // A job needs a token; any other URL gets the authorization that the webhook configures.
            let value = if started.is_some() { bearer(&secret) } else { secret.reveal().to_owned() };
            headers.push(("authorization", value));
        }
        Ok(self.client.post(&url, &headers, body, webhook.insecure)?)
    }

    fn secret(&self, name: &Key, user: &SecretUser) -> Result<Secret, AttemptError> {
        // What the rules refuse may have come by a push that no gate saw.
        if is_mail_secret(name) {
            return Err(AttemptError::NotForWebhooks(name.clone()));
        }
        self.secrets.get_for(name, user)?.ok_or_else(|| AttemptError::NoSecret(name.clone()))
    }

    fn next(&self, name: &Key, user: &SecretUser) -> Result<Option<Secret>, AttemptError> {
        let Some(next) = next_of(name) else { return Ok(None) };
        Ok(self.secrets.get_for(&next, user)?)
    }
}

/// Returns a token as the value of the Authorization header of a job's workspace.
fn bearer(secret: &Secret) -> String {
    let text = secret.reveal();
    if text.contains(' ') { text.to_owned() } else { format!("Bearer {text}") }
}

/// The content of one attempt.
struct WebhookRequest<'p> {
    user: &'p SecretUser,
    /// The id of the delivery.
    id: &'p str,
    /// The time of the attempt, in seconds since the epoch.
    seconds: i64,
    body: &'p payload::Body,
}

/// Why an attempt failed, without any part of a secret.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("the secret '{0}' is not set; set it with `greenroom secret set {0}`")]
    NoSecret(Key),
    #[error("the secret '{0}' is never sent to a webhook; name another secret")]
    NotForWebhooks(Key),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Post(#[from] PostError),
    #[error("the webhook names neither a url nor a job")]
    NoTarget,
}

/// A webhook as a channel.
#[derive(Debug)]
struct Hook {
    user: SecretUser,
    out: Arc<Outgoing>,
}

/// Returns the channels of all webhooks that receive events: webhooks in state ACTIVE whose files can be read.
///
/// # Errors
///
/// [`TreeError`] when the folder of webhooks cannot be read.
pub fn channels(snapshot: &Snapshot<'_>, out: &Arc<Outgoing>) -> Result<Vec<Box<dyn Channel>>, TreeError> {
    let webhooks = snapshot.webhooks()?.into_values().filter_map(|file| file.value);
    let users = SecretUser::all(webhooks.collect());
    for user in &users {
        // Secrets are bound before anything is sent, so that a later commit finds them bound. An error is reported when a
        // delivery needs the secret: another owner or target, or a file that cannot be written.
        user.webhook().secrets().for_each(|name| drop(out.secrets.get_for(name, user)));
    }
    let active = users.into_iter().filter(|user| user.webhook().state == WebhookState::Active);
    Ok(active.map(|user| Box::new(Hook { user, out: Arc::clone(out) }) as Box<dyn Channel>).collect())
}

impl Channel for Hook {
    fn name(&self) -> &str {
        self.webhook().id.as_str()
    }

    fn jobs(
        &self,
        notification: &Notification,
        moment: &DeliveryContext<'_>,
    ) -> Result<Vec<DeliveryJob>, DeliverError> {
        if !self.concerns(notification, moment)? {
            return Ok(Vec::new());
        }
        let facts = BodyContext::of(notification, moment)?;
        let Some(payload_event) = facts.payload_event(notification) else { return Ok(Vec::new()) };
        let lane = match payload_event.what {
            PayloadSubject::Event(event) => event.model().map_or("", ModelName::as_str).to_owned(),
            PayloadSubject::RuleViolated(_) | PayloadSubject::HistoryRewritten(_) => String::new(),
        };
        let names = payload::names(self.webhook().profile, &self.webhook().events, &payload_event).into_iter();
        Ok(names.map(|name| DeliveryJob { lane: lane.clone(), key: name.to_owned(), not_before: None }).collect())
    }

    fn most(&self) -> usize {
        1
    }

    fn send(&self, due: &[DueJob<'_>], moment: &DeliveryContext<'_>) -> BatchOutcome {
        let outcome = match due.first() {
            Some(due) => self.send_one(due, moment),
            None => AttemptOutcome::Refused { why: "there is nothing to send".to_owned() },
        };
        BatchOutcome { taken: 1, outcome }
    }
}

impl Hook {
    fn webhook(&self) -> &Webhook {
        self.user.webhook()
    }

    fn send_one(&self, due: &DueJob<'_>, moment: &DeliveryContext<'_>) -> AttemptOutcome {
        let facts = match BodyContext::of(due.notification, moment) {
            Ok(facts) => facts,
            Err(e) => return AttemptOutcome::Retry { why: crate::text::with_causes(&e), after: None },
        };
        let webhook = self.webhook();
        let body = facts.payload_event(due.notification);
        let body = body.and_then(|payload_event| {
            payload::body(webhook.profile, &due.job.key, webhook.id.as_str(), &payload_event)
        });
        let Some(body) = body else {
            let (event, profile) = (due.notification.what.name(), webhook.profile.as_str());
            let why = format!("{event} cannot be sent as {} with the profile {profile}", due.job.key);
            return AttemptOutcome::Refused { why };
        };
        let parcel = WebhookRequest { user: &self.user, id: due.id, seconds: moment.now.as_seconds(), body: &body };
        match self.out.attempt(&parcel, &[]) {
            Ok(answer) => outcome(&answer),
            Err(e) => AttemptOutcome::Retry { why: e.to_string(), after: None },
        }
    }

    /// Returns whether the webhook receives an event: one of its model, under the name that the model had at that time,
    /// or any event.
    fn concerns(&self, notification: &Notification, moment: &DeliveryContext<'_>) -> Result<bool, TreeError> {
        let Some(mine) = &self.webhook().model else { return Ok(true) };
        let NotificationKind::Event(event) = &notification.what else { return Ok(false) };
        let Some(model) = event.model() else { return Ok(false) };
        if model == mine || matches!(&**event, Event::ModelRenamed { from, .. } if from == mine) {
            return Ok(true);
        }
        let then = moment.after.file::<Webhook>(&path::webhook(&self.webhook().id))?;
        Ok(then.and_then(|file| file.value).is_some_and(|w| w.model.as_ref() == Some(model)))
    }
}

/// Returns the outcome for a response. The response body is not repeated, because it may quote the request.
fn outcome(answer: &PostResponse) -> AttemptOutcome {
    let said = format!("HTTP {}", answer.status);
    match answer.status {
        200..300 => AttemptOutcome::Delivered(said),
        410 => AttemptOutcome::Gone { why: said },
        300..400 => AttemptOutcome::Retry { why: format!("{said}: redirects are not followed"), after: None },
        429 | 503 => AttemptOutcome::Retry { why: said, after: answer.after },
        _ => AttemptOutcome::Retry { why: said, after: None },
    }
}

/// The facts that a payload needs besides the event itself.
struct BodyContext {
    id: String,
    registry: payload::Registry,
    is_prompt: bool,
    stage: Stage,
    faults: Vec<(String, String)>,
}

impl BodyContext {
    fn of(notification: &Notification, moment: &DeliveryContext<'_>) -> Result<Self, TreeError> {
        let event = match &notification.what {
            NotificationKind::Event(event) => Some(&**event),
            NotificationKind::RuleViolated { .. }
            | NotificationKind::HistoryRewritten { .. }
            | NotificationKind::WebhookSuspended { .. } => None,
        };
        Ok(Self {
            id: notification.id(),
            registry: registry(moment.after)?,
            is_prompt: match event {
                Some(event) => is_prompt(event, moment)?,
                None => false,
            },
            stage: match event {
                Some(Event::RequestCreated { model, version, .. }) => match moment.after.model(model)? {
                    Some(view) => view.stage_of(*version)?,
                    None => Stage::None,
                },
                Some(_) | None => Stage::None,
            },
            faults: match &notification.what {
                NotificationKind::RuleViolated { faults } => faults.clone(),
                NotificationKind::Event(_)
                | NotificationKind::HistoryRewritten { .. }
                | NotificationKind::WebhookSuspended { .. } => Vec::new(),
            },
        })
    }

    /// Returns the input of a payload. `None` for an event that webhooks do not receive: another webhook is switched
    /// off.
    fn payload_event<'t>(&'t self, notification: &'t Notification) -> Option<PayloadEvent<'t>> {
        Some(PayloadEvent {
            id: &self.id,
            at: notification.at,
            by: &notification.by,
            landed_by: notification.landed_by.as_ref(),
            comment: &notification.comment,
            registry: &self.registry,
            commit: &notification.commit,
            what: match &notification.what {
                NotificationKind::Event(event) => PayloadSubject::Event(event),
                NotificationKind::RuleViolated { .. } => PayloadSubject::RuleViolated(&self.faults),
                NotificationKind::HistoryRewritten { before } => PayloadSubject::HistoryRewritten(before),
                NotificationKind::WebhookSuspended { .. } => return None,
            },
            is_prompt: self.is_prompt,
            stage: &self.stage,
        })
    }
}

fn registry(snapshot: &Snapshot<'_>) -> Result<payload::Registry, TreeError> {
    let settings = snapshot.settings()?;
    Ok(payload::Registry {
        id: settings.map(|s| s.id.to_string()).unwrap_or_default(),
        name: settings.map(|s| s.name.to_string()).unwrap_or_default(),
    })
}

/// Returns whether the event is about one of MLflow's prompts. Only events that MLflow sends are looked up.
fn is_prompt(event: &Event, moment: &DeliveryContext<'_>) -> Result<bool, TreeError> {
    let (Event::VersionCreated { model, .. }
    | Event::VersionTagSet { model, .. }
    | Event::VersionTagDeleted { model, .. }
    | Event::ModelTagSet { model, .. }
    | Event::ModelTagDeleted { model, .. }
    | Event::AliasSet { model, .. }
    | Event::AliasDeleted { model, .. }) = event
    else {
        return Ok(false);
    };
    for state in [moment.after, moment.before] {
        if let Some(model) = state.model(model)?.map(|view| view.file()).transpose()?.flatten().and_then(|f| f.value) {
            return Ok(model.tags.get(IS_PROMPT).is_some_and(|v| v.as_str().eq_ignore_ascii_case("true")));
        }
    }
    Ok(false)
}
