//! Tests a webhook: sends an invented event like a real one and returns the response.

use super::post::PostResponse;
use super::{AttemptError, Outgoing, WebhookRequest, registry};
use crate::entity::Webhook;
use crate::entity::webhook::{EventPattern, PayloadProfile, WebhookState};
use crate::name::{ModelName, UserName};
use crate::payload::sample::{OWN, SampleEvent};
use crate::payload::{self, DATABRICKS, MLFLOW, PayloadEvent, WATCHER};
use crate::secrets::SecretUser;
use crate::snapshot::Snapshot;
use crate::stage::Stage;
use crate::time::Timestamp;
use crate::tree::{Oid, TreeError};

/// A test delivery.
#[derive(Debug)]
pub struct TestDelivery {
    user: SecretUser,
    name: &'static str,
    body: payload::Body,
    id: String,
    now: Timestamp,
}

/// Why a webhook cannot be tested, or why no response came.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The webhook is switched off.
    #[error("the webhook is DISABLED; set it to ACTIVE or TEST_MODE to test it")]
    Disabled,
    /// The webhook does not receive such an event.
    #[error("{0}")]
    NoEvent(String),
    /// The registry cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// No response came.
    #[error("{0}")]
    NoAnswer(String),
}

impl TestDelivery {
    /// Invents an event for a webhook: an event of this name, or of the first name that the webhook subscribes to.
    ///
    /// # Errors
    ///
    /// [`TrialError`] when the webhook is DISABLED, does not receive such an event, or the registry cannot be read.
    pub fn new(
        webhook: &Webhook,
        event: Option<&str>,
        by: &UserName,
        now: Timestamp,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self, TrialError> {
        if webhook.state == WebhookState::Disabled {
            return Err(TrialError::Disabled);
        }
        let name = name(webhook, event)?;
        let none = || TrialError::NoEvent(format!("there is no example of {name}"));
        let model =
            webhook.model.clone().or_else(|| ModelName::new(SampleEvent::model_name(name)).ok()).ok_or_else(none)?;
        let sample = SampleEvent::of(name, &model, by, now).ok_or_else(none)?;
        let registry = registry(snapshot)?;
        let random: String = crate::registry::random_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let id = format!("test_{random}");
        let told = PayloadEvent {
            id: &id,
            at: now,
            by,
            landed_by: None,
            comment: "",
            registry: &registry,
            commit: &Oid::from_bytes(&[0; 20]).ok_or_else(none)?,
            what: sample.subject(),
            is_prompt: sample.is_prompt,
            stage: &Stage::None,
        };
        // An event that is sent once, under its greenroom name, can be requested under any of its names.
        let key = if matches!(webhook.profile, PayloadProfile::Databricks | PayloadProfile::Mlflow) {
            name
        } else {
            told.name()
        };
        let body = payload::body(webhook.profile, key, webhook.id.as_str(), &told).ok_or_else(none)?;
        let all: Vec<Webhook> = snapshot.webhooks()?.into_values().filter_map(|file| file.value).collect();
        Ok(Self { user: SecretUser::among(webhook, &all), name: key, body, id, now })
    }

    /// Returns the name of the event.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Sends the event and returns the response. Secrets of the webhook that the response repeats are removed.
    ///
    /// # Errors
    ///
    /// [`TrialError::NoAnswer`] when no response came.
    pub fn send(&self, out: &Outgoing) -> Result<PostResponse, TrialError> {
        let seconds = self.now.as_seconds();
        let parcel = WebhookRequest { user: &self.user, id: &self.id, seconds, body: &self.body };
        let answer = out.attempt(&parcel, &[("x-greenroom-test", "true".to_owned())]);
        let mut answer = answer.map_err(|e: AttemptError| TrialError::NoAnswer(e.to_string()))?;
        for secret in self.user.webhook().secrets().filter_map(|name| out.secrets().get(name).ok().flatten()) {
            answer.body = without(&answer.body, secret.reveal());
            // For `Bearer TOKEN`, remove the token alone, too.
            if let Some((_, token)) = secret.reveal().rsplit_once(' ') {
                answer.body = without(&answer.body, token);
            }
        }
        Ok(answer)
    }
}

/// Returns the event name to test: the requested one, or the first name that matches a subscription.
fn name(webhook: &Webhook, event: Option<&str>) -> Result<&'static str, TrialError> {
    let profile = webhook.profile;
    let (databricks, mlflow) = (DATABRICKS.into_iter(), MLFLOW.into_iter());
    let all: Vec<&'static str> = match profile {
        PayloadProfile::Databricks => databricks.collect(),
        PayloadProfile::Mlflow => mlflow.collect(),
        PayloadProfile::Standard | PayloadProfile::Cloudevents | PayloadProfile::Slack | PayloadProfile::Teams => {
            OWN.into_iter().chain(WATCHER).chain(databricks).chain(mlflow).collect()
        }
    };
    let wanted = |name: &&&'static str| match event {
        Some(event) => **name == event,
        None => webhook.events.iter().any(|e: &EventPattern| e.holds(name)),
    };
    all.iter().find(wanted).copied().ok_or_else(|| {
        let shown = event.map_or_else(|| "its events".to_owned(), |e| crate::text::one_line(e).into_owned());
        TrialError::NoEvent(format!("the profile {} cannot send {shown}", profile.as_str()))
    })
}

/// Returns bytes with each occurrence of a text replaced by `***`.
fn without(bytes: &[u8], text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    // So short a text occurs anywhere by chance.
    if text.len() < 4 {
        return bytes.to_vec();
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(text.len()).position(|w| w == text) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(b"***");
        rest = rest.get(at + text.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_of_an_answer() {
        assert_eq!(without(b"a whsec_x b whsec_x", "whsec_x"), b"a *** b ***");
        assert_eq!(without(b"nothing", "whsec_x"), b"nothing");
        assert_eq!(without(b"abc", "a"), b"abc");
    }
}
