//! Everything a reader needs to decide about a transition request: the request, the evidence, the ways to answer.

use super::draft::word;
use super::topic::{Topic, open_request};
use crate::deliver::channel::{DeliverError, DeliveryContext};
use crate::deliver::notification::Notification;
use crate::entity::settings::{Evidence, StageRule};
use crate::entity::{Request, Version};
use crate::name::ModelName;
use crate::rules::approvals::ApprovalCount;
use crate::stage::Stage;
use crate::text::one_line;

/// The largest number of metrics that are listed although no rule demands them.
const OTHERS: usize = 10;

/// A request that the reader is asked to approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalPrompt {
    /// The request, as a sentence.
    pub what: String,
    /// The evidence that exists.
    pub has: Vec<String>,
    /// The evidence that the stage rule demands and that is missing.
    pub lacks: Vec<String>,
    /// The ways to approve or reject.
    pub ways: Vec<String>,
}

/// Returns how many approvals a request needs and has, as a sentence.
fn words(count: &ApprovalCount<'_>, from: &Stage) -> String {
    let why = if count.needs_more_to_leave() { format!(" to leave {from}") } else { String::new() };
    match (count.needed().max(1), count.by().len()) {
        (1, 0) => format!("One approval is needed{why}."),
        (needed, given) => format!("{needed} approvals are needed{why}, {given} given so far."),
    }
}

impl ApprovalPrompt {
    /// Describes the request that an event created. `None` if the request is no longer open. `url` is the address of
    /// the server.
    pub(super) fn of(
        notification: &Notification,
        topic: &Topic,
        moment: &DeliveryContext<'_>,
        url: Option<&str>,
    ) -> Result<Option<Self>, DeliverError> {
        let Some(request) = open_request(notification, topic, moment)? else { return Ok(None) };
        let Some(view) = moment.tip.model(&topic.name)? else { return Ok(None) };
        let from = view.stage_of(topic.version)?;
        let file = view.version(topic.version)?.map_or(Ok(None), |v| v.file())?.and_then(|f| f.value);
        let Some(version) = file else { return Ok(None) };
        let rule = moment.tip.settings()?.and_then(|s| s.rule(&request.to));
        let count = ApprovalCount::of(moment.tip, &view, (&topic.name, topic.version), &request)?;
        let about = (&version, rule, words(&count, &from));
        Ok(Some(Self::new(&topic.name, topic.version, (&from, &request), about, url)))
    }

    fn new(
        model: &ModelName,
        number: u64,
        (from, request): (&Stage, &Request),
        (version, rule, approvals): (&Version, Option<&StageRule>, String),
        url: Option<&str>,
    ) -> Self {
        let to = &request.to;
        let asked = rule.map(|r| r.require.clone()).unwrap_or_default();
        let lacks = crate::rules::lacking(version, &asked, true).into_iter().map(|(what, _)| what);
        Self {
            what: format!("{model} version {number} shall move from {from} to {to}. {approvals}"),
            has: has(version, &asked),
            lacks: lacks.collect(),
            ways: ways(model, number, to, asked.signed, url),
        }
    }
}

/// Lists the evidence that exists. Evidence that the rule demands comes first.
fn has(version: &Version, asked: &Evidence) -> Vec<String> {
    let mut out = Vec::new();
    out.extend((!version.description.is_empty()).then(|| "it has a description".to_owned()));
    out.extend(version.artifacts.as_ref().map(|a| format!("its files are in the registry, {} in all", a.files)));
    for key in asked.tags.keys() {
        out.extend(version.tags.get(key).map(|value| format!("the tag '{key}' is '{value}'")));
    }
    for (key, threshold) in &asked.metrics {
        let metric = version.metrics.get(key);
        out.extend(metric.map(|metric| format!("the metric '{key}' is {metric}; the rule requires {threshold}")));
    }
    let others = version.metrics.iter().filter(|(key, _)| !asked.metrics.contains_key(*key));
    out.extend(others.take(OTHERS).map(|(key, metric)| format!("the metric '{key}' is {metric}")));
    out
}

/// Lists the ways to approve and to reject: by command, by HTTP, by pull request.
fn ways(model: &ModelName, number: u64, to: &Stage, signed: bool, url: Option<&str>) -> Vec<String> {
    let words = format!("{} {number} {}", word(&one_line(model.as_str())), word(&one_line(to.as_str())));
    let sign = if signed { ", in a signed commit" } else { "" };
    let body = serde_json::json!({ "name": model, "version": number.to_string(), "stage": to });
    let base = url.unwrap_or("the server");
    vec![
        format!("greenroom request approve {words}{sign}"),
        format!("greenroom request reject {words} -m 'why'"),
        format!("POST {base}/api/2.0/mlflow/transition-requests/approve (or reject) with your token and {body}"),
        "if the registry is on a git host: review and merge the pull request of this transition request".to_owned(),
    ]
}
