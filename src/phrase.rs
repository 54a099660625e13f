//! Events as sentences. The log, commit subjects, mails and pages use the same words.

use std::collections::BTreeSet;

use crate::entity::{Person, Settings};
use crate::event::{Event, TransitionCause};
use crate::name::{ModelName, UserName};
use crate::stage::Stage;
use crate::text::one_line;

/// Returns what an event does, without the person: `move 'churn' version 3 from Staging to Production`.
///
/// The text fits behind "may not" and "to"; with a capital first letter it is the subject of a commit.
pub fn act(event: &Event) -> String {
    let text = match event {
        Event::RegistryCreated { settings } => format!("create the registry {}", settings.name),
        Event::SettingsChanged { before, after } => settings(before, after),
        Event::RegistryMoved { from, to } => format!("move the registry from {} to {}", folder(from), folder(to)),
        Event::RegistryDeleted { .. } => "delete the registry's settings".to_owned(),
        Event::Granted { model, to, level, .. } => format!("grant {to} {level} {}", on(model.as_ref())),
        Event::Revoked { model, to, level } => format!("revoke {level} of {to} {}", on(model.as_ref())),
        Event::GroupCreated { group, .. } => format!("create the group {group}"),
        Event::GroupChanged { group, added, removed } => {
            let list = |verb: &str, names: &std::collections::BTreeSet<crate::name::UserName>| {
                let names: Vec<&str> = names.iter().map(crate::name::UserName::as_str).collect();
                if names.is_empty() { None } else { Some(format!("{verb} {}", names.join(", "))) }
            };
            let parts: Vec<String> = [list("add", added), list("remove", removed)].into_iter().flatten().collect();
            format!("change the group {group}: {}", parts.join("; "))
        }
        Event::GroupDeleted { group, .. } => format!("delete the group {group}"),
        Event::PersonAdded { user, .. } => person_added(user),
        Event::PersonChanged { user, before, after } => person(user, before, after),
        Event::PersonRemoved { user, .. } => format!("remove the person {user}"),
        Event::WebhookCreated { webhook } => format!("create the webhook {}", webhook.id),
        Event::WebhookChanged { after, .. } => format!("change the webhook {}", after.id),
        Event::WebhookDeleted { webhook } => format!("delete the webhook {}", webhook.id),
        Event::ModelCreated { model, .. } => format!("register the model {model}"),
        Event::ModelRenamed { model, from } => format!("rename the model {from} to {model}"),
        Event::ModelDescribed { model, .. } => format!("describe the model {model}"),
        Event::ModelTagSet { model, key, value, .. } => format!("tag {model}: {key} = {}", short(value.as_str())),
        Event::ModelTagDeleted { model, key, .. } => format!("delete the tag {key} of {model}"),
        Event::ModelAltered { model, .. } => format!("alter the record of {model}"),
        Event::ModelDeleted { model, .. } => format!("delete the model {model}"),
        Event::VersionCreated { model, version, .. } => format!("register {}", v(model, *version)),
        Event::VersionDescribed { model, version, .. } => format!("describe {}", v(model, *version)),
        Event::StatusChanged { model, version, status, .. } => {
            format!("mark {} {}", v(model, *version), status.as_str())
        }
        Event::VersionTagSet { model, version, key, value, .. } => {
            format!("tag {}: {key} = {}", v(model, *version), short(value.as_str()))
        }
        Event::VersionTagDeleted { model, version, key, .. } => {
            format!("delete the tag {key} of {}", v(model, *version))
        }
        Event::ParamAdded { model, version, key, value } => {
            format!("record the parameter {key} = {} of {}", short(value.as_str()), v(model, *version))
        }
        Event::MetricAdded { model, version, key, value } => {
            format!("record the metric {key} = {value} of {}", v(model, *version))
        }
        Event::VersionAltered { model, version, before, after } if after.completes(before) => {
            format!("complete the registration of {}", v(model, *version))
        }
        Event::VersionAltered { model, version, .. } => format!("alter the record of {}", v(model, *version)),
        Event::ArtifactsChanged { model, version, .. } => format!("change the files of {}", v(model, *version)),
        Event::Transitioned { model, version, from, to, cause } => transition(model, *version, from, to, cause),
        Event::VersionDeleted { model, version, .. } => format!("delete {}", v(model, *version)),
        Event::CommentCreated { model, version, .. } => format!("comment on {}", v(model, *version)),
        Event::CommentEdited { model, version, .. } => format!("edit a comment on {}", v(model, *version)),
        Event::CommentAltered { model, version, .. } => format!("alter a comment on {}", v(model, *version)),
        Event::CommentDeleted { model, version, .. } => format!("delete a comment on {}", v(model, *version)),
        Event::RequestCreated { model, version, request } => {
            format!("request {} for {}", request.to, v(model, *version))
        }
        Event::RequestReviewed { model, version, request, review } => {
            let verb = match review.verdict {
                crate::entity::ReviewVerdict::Approved => "approve",
                crate::entity::ReviewVerdict::Rejected => "reject",
            };
            format!("{verb} {} for {} (the request stays open)", request.to, v(model, *version))
        }
        Event::RequestApproved { model, version, request } => {
            format!("approve {} for {}", request.to, v(model, *version))
        }
        Event::RequestRejected { model, version, request } => {
            format!("reject {} for {}", request.to, v(model, *version))
        }
        Event::RequestCancelled { model, version, request, overtaken } => {
            let why = if *overtaken { " (overtaken)" } else { "" };
            format!("cancel the request of {} for {}{why}", request.to, v(model, *version))
        }
        Event::RequestAltered { model, version, .. } => format!("alter a request for {}", v(model, *version)),
        Event::RequestDeleted { model, version, .. } => format!("delete a request for {}", v(model, *version)),
        Event::AliasSet { model, alias, version, .. } => format!("point {model}@{alias} at version {version}"),
        Event::AliasDeleted { model, alias, .. } => format!("delete the alias {model}@{alias}"),
        Event::FileChanged { path, before, after } => match (before, after) {
            (None, _) => format!("add {path}"),
            (Some(_), None) => format!("delete {path}"),
            (Some(_), Some(_)) => format!("change {path}"),
        },
        Event::FileUnreadable { path } => format!("make {path} unreadable"),
        Event::FileRepaired { path } => format!("mend {path}"),
    };
    one_line(&text).into_owned()
}

/// Returns what a person did, as a sentence of a mail: `alice moved churn version 3 from Staging to Production.`
pub fn told(event: &Event, by: &UserName) -> String {
    let text = match event {
        Event::VersionCreated { model, version, .. } => format!("{by} registered {}.", v(model, *version)),
        Event::RequestCreated { model, version, request } => {
            format!("{by} requested that {} move to {}.", v(model, *version), request.to)
        }
        Event::CommentCreated { model, version, .. } => format!("{by} commented on {}.", v(model, *version)),
        Event::Transitioned { model, version, from, to, cause } => {
            let moved = format!("{} from {from} to {to}", v(model, *version));
            match cause {
                TransitionCause::Direct => format!("{by} moved {moved}."),
                TransitionCause::Request { .. } => format!("{by} approved a request and so moved {moved}."),
                TransitionCause::MadeWay { for_version } => {
                    format!("{by} moved {moved}: version {for_version} took its place.")
                }
            }
        }
        other => format!("{by}: {}.", act(other)),
    };
    one_line(&text).into_owned()
}

/// Returns details that [`act`] leaves out, one line each: the requester, the approvers, comments, the source.
pub fn details(event: &Event) -> Vec<String> {
    let lines = match event {
        Event::RequestApproved { request, .. } => approved(request),
        Event::RequestCreated { request, .. } => vec![said(&request.created_by, request.comment.as_str())],
        Event::RequestReviewed { review, .. } => vec![said(&review.by, review.comment.as_str())],
        Event::RequestRejected { request, .. } => {
            let by = format!("requested by {}", request.created_by);
            let reviews = request.review.last().map(|r| said(&r.by, r.comment.as_str()));
            [Some(by), reviews].into_iter().flatten().collect()
        }
        Event::RequestCancelled { request, .. } => {
            let why = request.closed_by.as_ref().map(|by| said(by, request.close_comment.as_str()));
            [Some(format!("requested by {}", request.created_by)), why].into_iter().flatten().collect()
        }
        Event::CommentCreated { comment, .. } | Event::CommentEdited { after: comment, .. } => {
            vec![said(&comment.created_by, comment.text.as_str())]
        }
        Event::VersionCreated { created, .. } => place(&created.source),
        Event::VersionAltered { before, after, .. } if before.source != after.source => place(&after.source),
        _ => Vec::new(),
    };
    lines.into_iter().filter(|l| !l.is_empty()).map(|l| one_line(&l).into_owned()).collect()
}

/// Returns the source and location of a version whose files clients load from another place than its source.
fn place(source: &crate::entity::version::VersionSource) -> Vec<String> {
    match source.location.as_str() {
        "" => Vec::new(),
        location => vec![format!("source: {}", source.uri), format!("location: {location}")],
    }
}

/// Returns the requester and the approvers of an approved request.
fn approved(request: &crate::entity::Request) -> Vec<String> {
    use crate::entity::{Review, ReviewVerdict};
    let mut out = vec![format!("requested by {}", request.created_by)];
    let approvals: Vec<&Review> = request.review.iter().filter(|r| r.verdict == ReviewVerdict::Approved).collect();
    // The last approval completed the request, so the subject of that approval entered the stage.
    let entered = approvals.last().map(|r| &r.subject);
    let by_others = approvals.iter().any(|r| r.by != request.created_by && Some(&r.subject) == entered);
    out.extend(approvals.iter().map(|r| {
        let note = if Some(&r.subject) != entered {
            " (void: it was for a different state than the one that entered)"
        } else if by_others && r.by == request.created_by {
            " (the request was theirs)"
        } else {
            ""
        };
        match r.comment.first_line() {
            "" => format!("approved by {}{note}", r.by),
            why => format!("approved by {}{note}: {}", r.by, short(why)),
        }
    }));
    out
}

/// Returns the first line of a comment with the name of its author; empty if there is no comment.
fn said(who: &crate::name::UserName, text: &str) -> String {
    match text.lines().next() {
        None | Some("") => String::new(),
        Some(line) => format!("{who}: {line}"),
    }
}

/// Returns a folder of the repository as people read it.
pub fn folder(at: &str) -> String {
    if at.is_empty() { "the root folder".to_owned() } else { one_line(at).into_owned() }
}

/// Returns the phrase for a change of a person. A change of mail settings alone has its own phrase.
fn person(user: &UserName, before: &Person, after: &Person) -> String {
    let rest = Person { notifications: after.notifications.clone(), ..before.clone() };
    if rest == *after { format!("change what mail {user} gets") } else { format!("change the person {user}") }
}

/// Returns the phrase for a change of settings. A change of the layout alone, or of stage or alias rules alone, is
/// named.
fn settings(before: &Settings, after: &Settings) -> String {
    let stages: BTreeSet<_> = before.stages.keys().chain(after.stages.keys()).collect();
    let changed: Vec<_> = stages.into_iter().filter(|s| before.rule(s) != after.rule(s)).map(Stage::as_str).collect();
    if before.layout != after.layout && (Settings { layout: after.layout, ..before.clone() }) == *after {
        return format!("move the files into the {} layout", after.layout.as_str());
    }
    let rest = Settings { stages: after.stages.clone(), ..before.clone() };
    if changed.is_empty() {
        let aliases: BTreeSet<_> = before.aliases.keys().chain(after.aliases.keys()).collect();
        let changed: Vec<_> = aliases
            .into_iter()
            .filter(|a| before.aliases.get(*a) != after.aliases.get(*a))
            .map(|a| one_line(a.as_str()))
            .collect();
        if !changed.is_empty() && (Settings { aliases: after.aliases.clone(), ..before.clone() }) == *after {
            return format!("change the rule of the alias {}", changed.join(", "));
        }
    }
    if changed.is_empty() || rest != *after {
        return "change the registry's settings".to_owned();
    }
    let known = before.known_stages();
    let (new, old): (Vec<&str>, Vec<&str>) = changed.into_iter().partition(|s| !known.iter().any(|k| k.as_str() == *s));
    let told = [("declare the stage", new), ("change the stage rule of", old)];
    let told = told.into_iter().filter(|(_, stages)| !stages.is_empty());
    told.map(|(what, stages)| format!("{what} {}", stages.join(", "))).collect::<Vec<_>>().join(", ")
}

fn v(model: &ModelName, version: u64) -> String {
    format!("{model} version {version}")
}

fn on(model: Option<&ModelName>) -> String {
    model.map_or_else(|| "registry-wide".to_owned(), |m| format!("on {m}"))
}

fn short(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    if line.chars().count() > 40 || line.len() < value.len() {
        format!("{}…", line.chars().take(40).collect::<String>())
    } else {
        line.to_owned()
    }
}

fn transition(model: &ModelName, version: u64, from: &Stage, to: &Stage, cause: &TransitionCause) -> String {
    let why = match cause {
        TransitionCause::Direct => String::new(),
        TransitionCause::Request { .. } => " (approved)".to_owned(),
        TransitionCause::MadeWay { for_version } => format!(" (version {for_version} took its place)"),
    };
    format!("move {} from {from} to {to}{why}", v(model, version))
}

/// Returns the phrase for a new person.
pub fn person_added(user: &UserName) -> String {
    format!("add the person {user}")
}

/// Returns the subject of the commit that makes these events: the phrase of the main event, and how many more there
/// are.
///
/// An approval comes before its transition, and a registration before the events that belong to it.
pub fn subject(events: &[Event]) -> String {
    let weight = |e: &&Event| match e {
        Event::RegistryCreated { .. } => 0,
        Event::ModelRenamed { .. } | Event::ModelDeleted { .. } | Event::VersionDeleted { .. } => 1,
        Event::RequestApproved { .. } | Event::VersionCreated { .. } => 2,
        Event::Transitioned { cause: TransitionCause::Direct | TransitionCause::Request { .. }, .. } => 3,
        Event::ModelCreated { .. } | Event::VersionAltered { .. } => 4,
        Event::RequestCancelled { overtaken: true, .. } | Event::Transitioned { .. } => 9,
        Event::Granted { .. } | Event::FileChanged { .. } | Event::ModelAltered { .. } | Event::AliasDeleted { .. } => {
            8
        }
        _ => 5,
    };
    let Some(first) = events.iter().min_by_key(weight) else { return "Change nothing".to_owned() };
    let text = act(first);
    let mut chars = text.chars();
    let head = chars.next().map(|c| c.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default();
    let belongs = |e: &Event| match (first, e) {
        (Event::RegistryCreated { .. }, _) => true,
        (Event::VersionCreated { model, version, .. }, _) | (Event::RequestApproved { model, version, .. }, _) => {
            e.model() == Some(model) && (e.version() == Some(*version) || e.version().is_none() || is_side_effect(e))
        }
        (Event::VersionAltered { model, version, before, after }, _) if after.completes(before) => {
            e.model() == Some(model) && e.version() == Some(*version)
        }
        (Event::Transitioned { model, .. } | Event::VersionDeleted { model, .. }, _) => {
            e.model() == Some(model)
                && (is_side_effect(e) || matches!(e, Event::ModelAltered { .. } | Event::AliasDeleted { .. }))
        }
        (
            Event::ModelCreated { model, .. } | Event::ModelRenamed { model, .. } | Event::ModelDeleted { model, .. },
            _,
        ) => e.model() == Some(model) && e.version().is_none(),
        _ => false,
    };
    let more = events.iter().filter(|e| !std::ptr::eq(*e, first) && !belongs(e)).count();
    if more == 0 { head } else { format!("{head} and {more} more") }
}

/// Returns whether an event only follows from another event of the same step.
pub fn is_side_effect(event: &Event) -> bool {
    matches!(
        event,
        Event::Transitioned { cause: TransitionCause::MadeWay { .. }, .. }
            | Event::RequestCancelled { overtaken: true, .. }
    )
}

/// A commit has at most this many trailers.
const MAX_TRAILERS: usize = 24;

/// Returns the `Greenroom-` trailers of a message that do not match the events of its step. Any committer can write
/// such lines by hand. At most 24 are returned.
pub fn false_trailers(message: &str, events: &[Event]) -> Vec<String> {
    let written = |line: &&str| line.starts_with("Greenroom-Event: ") || line.starts_with("Greenroom-Subject: ");
    let mut claimed = message.lines().map(str::trim_end).filter(written).peekable();
    if claimed.peek().is_none() {
        return Vec::new();
    }
    let mut subjects = std::collections::BTreeSet::new();
    for event in events {
        subjects.insert(format!("Greenroom-Event: {}", event.name()));
        subjects.extend(subject_trailer(event));
    }
    claimed.filter(|line| !subjects.contains(*line)).take(MAX_TRAILERS).map(str::to_owned).collect()
}

/// Returns the trailer that names the model or version of an event.
fn subject_trailer(event: &Event) -> Option<String> {
    let model = one_line(event.model()?.as_str()).into_owned();
    Some(match event.version() {
        Some(version) => format!("Greenroom-Subject: {model}/{version}"),
        None => format!("Greenroom-Subject: {model}"),
    })
}

/// Returns the trailers of a commit for people who read `git log`: models, versions and event names, each line once.
///
/// They are hints. No rule reads them.
pub fn trailers(events: &[Event]) -> String {
    let mut lines: Vec<String> = events.iter().filter_map(subject_trailer).collect();
    for event in events {
        lines.push(format!("Greenroom-Event: {}", event.name()));
    }
    let mut seen = std::collections::BTreeSet::new();
    lines.retain(|l| seen.insert(l.clone()));
    // A very large commit names its first subjects only; `greenroom log` shows all.
    lines.truncate(MAX_TRAILERS);
    lines.join("\n")
}
