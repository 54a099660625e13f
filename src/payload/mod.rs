//! The payloads of webhooks: an event becomes a body in the shape that the recipient expects. Pure; nothing is sent
//! here.
//!
//! A webhook subscribes to event names and has a [`PayloadProfile`], the shape. Names are Databricks'
//! (`MODEL_VERSION_CREATED`), MLflow's (`model_version.created`) or Greenroom's (`version.created`). [`carries`] tells
//! which names a profile can send:
//!
//! - `databricks` and `mlflow` send the events that those systems have, and accept only their names. An event with a
//!   general and a specific name (Databricks' `…TRANSITIONED_STAGE` and `…TO_PRODUCTION`) is sent once for each
//!   subscribed name.
//! - `standard`, `cloudevents`, `slack` and `teams` send every event of Greenroom once, whichever of its names is
//!   subscribed.
//!
//! No body is larger than [`MAX_BODY`]: see [`truncate`].

mod chat;
mod databricks;
mod mlflow;
pub mod sample;
pub mod schema;
mod standard;
pub mod truncate;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::entity::webhook::{EventPattern, PayloadProfile};
use crate::event::Event;
use crate::name::UserName;
use crate::stage::Stage;
use crate::time::Timestamp;
use crate::tree::Oid;

/// The largest body, in bytes.
pub const MAX_BODY: usize = 20_000;

/// The event names of Databricks' webhooks.
pub const DATABRICKS: [&str; 12] = databricks::NAMES;

/// The event names of MLflow's webhooks, as `entity.action`.
pub const MLFLOW: [&str; 14] = mlflow::NAMES;

/// The watcher's own event names, besides those of [`Event`].
pub const WATCHER: [&str; 2] = ["rule.violated", "history.rewritten"];

/// The content of a delivery.
#[derive(Debug, Clone, Copy)]
pub enum PayloadSubject<'t> {
    /// An event of the registry.
    Event(&'t Event),
    /// A step on the branch breaks rules: the name and the sentence of each finding.
    RuleViolated(&'t [(String, String)]),
    /// The history was rewritten. This commit is no longer part of it.
    HistoryRewritten(&'t Oid),
}

/// The registry in which the event happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registry {
    /// The id of the registry; empty if its settings cannot be read.
    pub id: String,
    /// The name of the registry.
    pub name: String,
}

/// An event with everything that a payload says about it.
#[derive(Debug, Clone, Copy)]
pub struct PayloadEvent<'t> {
    /// The id of the event: the same in every body and on every attempt.
    pub id: &'t str,
    /// When the commit reached the branch.
    pub at: Timestamp,
    /// The person who did it.
    pub by: &'t UserName,
    /// The committer, if that is another person.
    pub landed_by: Option<&'t UserName>,
    /// The body of the commit message, without trailers.
    pub comment: &'t str,
    /// The registry in which the event happened.
    pub registry: &'t Registry,
    /// The commit that made the change.
    pub commit: &'t Oid,
    /// The event itself.
    pub what: PayloadSubject<'t>,
    /// Whether the model is an MLflow prompt.
    pub is_prompt: bool,
    /// The current stage of the version, for events that do not hold it themselves.
    pub stage: &'t Stage,
}

impl PayloadEvent<'_> {
    /// Returns the dotted name of the event.
    pub const fn name(&self) -> &'static str {
        match self.what {
            PayloadSubject::Event(event) => event.name(),
            PayloadSubject::RuleViolated(_) => "rule.violated",
            PayloadSubject::HistoryRewritten(_) => "history.rewritten",
        }
    }
}

/// The body of an HTTP request and its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The value of `Content-Type`.
    pub media_type: &'static str,
    /// The content of the body.
    pub bytes: Vec<u8>,
}

/// Returns whether a webhook with this profile can send the events that a subscription names.
pub fn carries(profile: PayloadProfile, pattern: &EventPattern) -> bool {
    let own = || sample::OWN.iter().chain(&WATCHER).any(|name| pattern.holds(name));
    let mlflow = || MLFLOW.iter().any(|name| pattern.holds(name));
    let databricks = || DATABRICKS.contains(&pattern.as_str()) || pattern.as_str() == "*";
    match profile {
        PayloadProfile::Databricks => databricks(),
        PayloadProfile::Mlflow => mlflow(),
        PayloadProfile::Standard | PayloadProfile::Cloudevents | PayloadProfile::Slack | PayloadProfile::Teams => {
            own() || mlflow() || databricks()
        }
    }
}

/// Returns why a webhook with this profile cannot send the events that a subscription names, and what would help.
pub fn why_not(profile: PayloadProfile, pattern: &EventPattern) -> Option<String> {
    if carries(profile, pattern) {
        return None;
    }
    let elsewhere: Vec<&str> =
        PayloadProfile::ALL.into_iter().filter(|p| carries(*p, pattern)).map(PayloadProfile::as_str).collect();
    Some(if elsewhere.is_empty() {
        format!("there is no event named {pattern}")
    } else {
        let (profile, others) = (profile.as_str(), elsewhere.join(", "));
        format!("the profile {profile} cannot send {pattern}; these profiles can: {others}")
    })
}

/// Returns the names under which a webhook gets the event, in order; each name makes one body.
pub fn names(profile: PayloadProfile, events: &BTreeSet<EventPattern>, told: &PayloadEvent<'_>) -> Vec<&'static str> {
    let held = |name: &str| events.iter().any(|e| e.holds(name));
    let exact = |name: &str| events.iter().any(|e| e.as_str() == name);
    match profile {
        PayloadProfile::Databricks => {
            let all = events.iter().any(|e| e.as_str() == "*");
            let wanted = |name: &&str| exact(name) || (all && databricks::is_general(name));
            databricks::names(told).into_iter().filter(wanted).collect()
        }
        PayloadProfile::Mlflow => mlflow::name(told).into_iter().filter(|name| held(name)).collect(),
        PayloadProfile::Standard | PayloadProfile::Cloudevents | PayloadProfile::Slack | PayloadProfile::Teams => {
            let wanted = held(told.name())
                || mlflow::name(told).is_some_and(held)
                || databricks::names(told).into_iter().any(exact);
            if wanted { vec![told.name()] } else { Vec::new() }
        }
    }
}

/// Returns the body of an event under one of its [`names`]; `None` if the event does not have that name.
pub fn body(profile: PayloadProfile, name: &str, webhook: &str, told: &PayloadEvent<'_>) -> Option<Body> {
    let json = "application/json";
    let (media_type, value) = match profile {
        PayloadProfile::Databricks => (json, databricks::body(name, webhook, told)?),
        PayloadProfile::Mlflow => (json, mlflow::body(name, told)?),
        PayloadProfile::Standard => (json, standard::body(told)),
        PayloadProfile::Cloudevents => ("application/cloudevents+json", standard::cloudevent(told)),
        PayloadProfile::Slack => (json, chat::slack(told)),
        PayloadProfile::Teams => (json, chat::teams(told)),
    };
    Some(Body { media_type, bytes: truncate::within(value, MAX_BODY) })
}

/// Returns a value as JSON. The types of these modules can always be written as JSON.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
