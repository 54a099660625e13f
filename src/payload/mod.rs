//! What webhooks say: an event becomes a body in the shape that a receiver expects. Pure; nothing is sent here.
//!
//! A webhook subscribes to names and has a [`Profile`], the shape. The names are Databricks' (`MODEL_VERSION_CREATED`),
//! MLflow's (`model_version.created`) and ours (`version.created`); [`carries`] says which a profile can tell of:
//!
//! - `databricks` and `mlflow` say what the receivers of those systems know, and take those names alone. An event with a
//!   general and a specific name (Databricks' `…TRANSITIONED_STAGE` and `…TO_PRODUCTION`) is told once for each that is
//!   subscribed to.
//! - `standard`, `cloudevents`, `slack` and `teams` tell every event of ours, once, whichever of its names is subscribed
//!   to.
//!
//! No body is larger than [`MAX_BODY`]: see [`fit`].

mod chat;
mod databricks;
pub mod fit;
mod mlflow;
pub mod sample;
pub mod schema;
mod standard;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::entity::webhook::{EventPattern, Profile};
use crate::event::Event;
use crate::name::UserName;
use crate::stage::Stage;
use crate::time::Timestamp;
use crate::tree::Oid;

/// The largest body, in bytes (SEC-78).
pub const MAX_BODY: usize = 20_000;

/// The names of events that Databricks' webhooks know.
pub const DATABRICKS: [&str; 12] = databricks::NAMES;

/// The names of events that MLflow's webhooks know, as `entity.action`.
pub const MLFLOW: [&str; 14] = mlflow::NAMES;

/// The watcher's own names, besides those of [`Event`].
pub const WATCHER: [&str; 2] = ["rule.violated", "history.rewritten"];

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'t> {
    /// An event of the registry.
    Event(&'t Event),
    /// A step landed that breaks rules: the name and sentence of each.
    RuleViolated(&'t [(String, String)]),
    /// The history was rewritten, and this commit is no longer part of it.
    HistoryRewritten(&'t Oid),
}

/// The registry that it happened to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registry {
    /// Its id; empty where its settings cannot be read.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What happened, with all that is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'t> {
    /// Its id: the same in every body and on every attempt.
    pub id: &'t str,
    /// When it landed.
    pub at: Timestamp,
    /// Who did it.
    pub by: &'t UserName,
    /// Who landed it, where that is somebody else.
    pub landed_by: Option<&'t UserName>,
    /// What was said besides.
    pub comment: &'t str,
    /// The registry.
    pub registry: &'t Registry,
    /// The commit that landed it.
    pub commit: &'t Oid,
    /// What it is.
    pub what: Subject<'t>,
    /// Whether the model is one of MLflow's prompts.
    pub is_prompt: bool,
    /// The stage that the version is in, for what speaks of a stage that it does not hold itself.
    pub stage: &'t Stage,
}

impl Told<'_> {
    /// Its own dotted name.
    pub const fn name(&self) -> &'static str {
        match self.what {
            Subject::Event(event) => event.name(),
            Subject::RuleViolated(_) => "rule.violated",
            Subject::HistoryRewritten(_) => "history.rewritten",
        }
    }
}

/// A body and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The `Content-Type`.
    pub media_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Whether a webhook of this profile can be told of what a subscription names.
pub fn carries(profile: Profile, pattern: &EventPattern) -> bool {
    let own = || sample::OWN.iter().chain(&WATCHER).any(|name| pattern.holds(name));
    let mlflow = || MLFLOW.iter().any(|name| pattern.holds(name));
    let databricks = || DATABRICKS.contains(&pattern.as_str()) || pattern.as_str() == "*";
    match profile {
        Profile::Databricks => databricks(),
        Profile::Mlflow => mlflow(),
        Profile::Standard | Profile::Cloudevents | Profile::Slack | Profile::Teams => own() || mlflow() || databricks(),
    }
}

/// Says why a webhook of this profile cannot be told of what a subscription names, and what would help.
pub fn why_not(profile: Profile, pattern: &EventPattern) -> Option<String> {
    if carries(profile, pattern) {
        return None;
    }
    let elsewhere: Vec<&str> = Profile::ALL.into_iter().filter(|p| carries(*p, pattern)).map(Profile::as_str).collect();
    Some(if elsewhere.is_empty() {
        format!("no event is named {pattern}")
    } else {
        let (profile, others) = (profile.as_str(), elsewhere.join(", "));
        format!("the profile {profile} cannot tell of {pattern}; these can: {others}")
    })
}

/// The names under which a webhook is told of what happened, in order: one body for each.
pub fn names(profile: Profile, events: &BTreeSet<EventPattern>, told: &Told<'_>) -> Vec<&'static str> {
    let held = |name: &str| events.iter().any(|e| e.holds(name));
    let exact = |name: &str| events.iter().any(|e| e.as_str() == name);
    match profile {
        Profile::Databricks => {
            let all = events.iter().any(|e| e.as_str() == "*");
            let wanted = |name: &&str| exact(name) || (all && databricks::is_general(name));
            databricks::names(told).into_iter().filter(wanted).collect()
        }
        Profile::Mlflow => mlflow::name(told).into_iter().filter(|name| held(name)).collect(),
        Profile::Standard | Profile::Cloudevents | Profile::Slack | Profile::Teams => {
            let wanted = held(told.name())
                || mlflow::name(told).is_some_and(held)
                || databricks::names(told).into_iter().any(exact);
            if wanted { vec![told.name()] } else { Vec::new() }
        }
    }
}

/// The body that tells of what happened under one of its [`names`]; none where it has no such name.
pub fn body(profile: Profile, name: &str, webhook: &str, told: &Told<'_>) -> Option<Body> {
    let json = "application/json";
    let (media_type, value) = match profile {
        Profile::Databricks => (json, databricks::body(name, webhook, told)?),
        Profile::Mlflow => (json, mlflow::body(name, told)?),
        Profile::Standard => (json, standard::body(told)),
        Profile::Cloudevents => ("application/cloudevents+json", standard::cloudevent(told)),
        Profile::Slack => (json, chat::slack(told)),
        Profile::Teams => (json, chat::teams(told)),
    };
    Some(Body { media_type, bytes: fit::within(value, MAX_BODY) })
}

/// A value as JSON; what these modules make can always be written.
fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}
