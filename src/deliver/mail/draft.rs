//! The content of a mail before it becomes text or HTML: events grouped by model and version, and the reasons why the
//! reader gets them.

use std::collections::BTreeMap;

use super::approval_prompt::ApprovalPrompt;
use super::token::{Scope, TokenKey};
use crate::audience::{Allowance, MailCategory, RecipientReason};
use crate::entity::Settings;
use crate::event::Event;
use crate::name::{Id, ModelName, UserName};
use crate::phrase;
use crate::text::{counted, one_line};
use crate::time::Timestamp;
use crate::tree::Oid;

/// The largest number of events that a mail lists.
const MOST: usize = 100;

/// The largest length of a quoted text, in characters.
const QUOTED: usize = 2_000;

/// The largest length of the registry's name in a subject, in characters.
const SHORT: usize = 60;

/// One event for the reader.
#[derive(Debug, Clone, PartialEq)]
pub struct MailNews {
    /// The model's current name.
    pub model: ModelName,
    /// The model's id.
    pub id: Id,
    /// The version's number.
    pub version: u64,
    /// The event.
    pub event: Event,
    /// The kind of activity.
    pub activity: MailCategory,
    /// The reason why the reader gets the event.
    pub reason: RecipientReason,
    /// The request that the reader is asked to decide, if there is one.
    pub ask: Option<ApprovalPrompt>,
    /// The author of the change.
    pub by: UserName,
    /// The comment on the change.
    pub comment: String,
    /// When the change reached the branch.
    pub at: Timestamp,
    /// The commit that put the change on the branch.
    pub commit: Oid,
    /// What the daily limit allows for this event.
    pub allowed: Allowance,
}

/// A mail to one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailDraft {
    /// The subject, the same for all mails of a thread.
    pub subject: String,
    /// The key of the thread. Mail programs show mails with the same key together.
    pub thread: Option<String>,
    /// The events, grouped by version.
    pub parts: Vec<MailSection>,
    /// The number of events that are not listed.
    pub more: usize,
    /// Notices that the daily limit is reached: a sentence for each kind of activity and model.
    pub notices: Vec<String>,
    /// The reasons why the reader gets the mail, a sentence for each.
    pub reasons: Vec<String>,
    /// How the reader can unsubscribe.
    pub farewell: UnsubscribeText,
    /// The registry's name.
    pub registry: String,
}

/// The events of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSection {
    /// The heading: model and version.
    pub heading: String,
    /// The `models:/` URI of the version, for greenroom commands.
    pub reference: String,
    /// The server's page about the version. `None` if the server's address is not set.
    pub link: Option<String>,
    /// The events, oldest first.
    pub items: Vec<MailLine>,
}

/// One listed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailLine {
    /// The event as a sentence.
    pub sentence: String,
    /// The comment or description that belongs to the event. It may have several lines.
    pub quote: String,
    /// The request that the reader is asked to decide, if there is one.
    pub ask: Option<ApprovalPrompt>,
    /// The time and the commit of the event.
    pub when: String,
}

/// How the reader can unsubscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubscribeText {
    /// The address of the page that unsubscribes. `None` if the server's address is not set.
    pub link: Option<String>,
    /// The mail that the page turns off, such as `mail about churn`.
    pub what: String,
    /// The command that does the same.
    pub command: String,
}

/// The registry and the reader, as far as a mail needs them.
pub struct MailContext<'f> {
    /// The reader.
    pub to: &'f UserName,
    /// The registry's settings.
    pub settings: &'f Settings,
    /// The server's address.
    pub url: Option<&'f str>,
    /// The key that makes the token in the link.
    pub key: &'f TokenKey,
    /// The daily limit.
    pub cap: Option<u64>,
    /// Whether the mail is a digest of a period rather than the mail of one commit.
    pub digest: bool,
}

/// Writes the mail about some events. The events are in order, and the daily limit allows at least one of them or a
/// notice.
pub fn write(news: &[MailNews], frame: &MailContext<'_>) -> MailDraft {
    let told: Vec<&MailNews> = news.iter().filter(|n| n.allowed == Allowance::Mail).collect();
    let models: BTreeMap<&Id, &ModelName> = news.iter().map(|n| (&n.id, &n.model)).collect();
    let registry: String = one_line(frame.settings.name.first_line()).chars().take(SHORT).collect();
    let topic = topic(&told, news, frame.digest);
    let subject = match &topic {
        Topic::Version(model, _, version) => format!("[{registry}] {model} version {version}"),
        Topic::Model(model, _) => format!("[{registry}] {model}"),
        Topic::Registry => format!("[{registry}] Digest"),
    };
    let thread = match &topic {
        Topic::Version(_, id, version) => Some(format!("{id}/{version}")),
        Topic::Model(_, id) => Some(id.to_string()),
        Topic::Registry => None,
    };
    let mut reasons: Vec<(String, RecipientReason)> = news.iter().map(|n| (n.model.to_string(), n.reason)).collect();
    reasons.sort();
    reasons.dedup();
    let several = models.len() > 1;
    let reason = |(model, reason): (String, RecipientReason)| {
        let of = if several { format!(" ({})", one_line(&model)) } else { String::new() };
        format!("{reason}{of}")
    };
    let one = if several { None } else { models.first_key_value().map(|(id, name)| (*id, *name)) };
    MailDraft {
        subject: one_line(&subject).into_owned(),
        thread: thread.map(|t| format!("{} {t}", frame.settings.id)),
        parts: parts(&told, frame.url),
        more: told.len().saturating_sub(MOST),
        notices: notices(news, frame.cap),
        reasons: reasons.into_iter().map(reason).collect(),
        farewell: farewell(one, frame),
        registry,
    }
}

/// The subject of a mail as a whole.
enum Topic<'n> {
    Version(&'n ModelName, &'n Id, u64),
    Model(&'n ModelName, &'n Id),
    Registry,
}

/// Chooses the topic of a mail. The mail of one commit is about the version that the commit changes, not about versions
/// that made way for it. A mail about several events is about the version or model that they have in common.
fn topic<'n>(told: &[&'n MailNews], all: &'n [MailNews], digest: bool) -> Topic<'n> {
    let Some(first) = told.first().copied().or_else(|| all.first()) else { return Topic::Registry };
    let news: Vec<&MailNews> = if told.is_empty() { all.iter().collect() } else { told.to_vec() };
    if news.iter().any(|n| n.id != first.id) {
        return Topic::Registry;
    }
    let lead =
        if digest { first } else { news.iter().copied().find(|n| !phrase::is_side_effect(&n.event)).unwrap_or(first) };
    let same = |n: &&MailNews| n.version == lead.version || (!digest && phrase::is_side_effect(&n.event));
    if !told.is_empty() && news.iter().all(same) {
        return Topic::Version(&lead.model, &lead.id, lead.version);
    }
    Topic::Model(&lead.model, &lead.id)
}

fn parts(told: &[&MailNews], url: Option<&str>) -> Vec<MailSection> {
    let mut groups: Vec<((String, u64), Vec<&MailNews>)> = Vec::new();
    for news in told.iter().take(MOST) {
        let key = (news.model.to_string(), news.version);
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, group)) => group.push(news),
            None => groups.push((key, vec![news])),
        }
    }
    // Sort by model and version. The sort is stable, so the events of a version stay in order, oldest first.
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    let part = |((model, version), group): ((String, u64), Vec<&MailNews>)| MailSection {
        heading: one_line(&format!("{model} version {version}")).into_owned(),
        reference: one_line(&format!("models:/{model}/{version}")).into_owned(),
        link: url.map(|url| version_link(url, &model, version)),
        items: group.into_iter().map(item).collect(),
    };
    groups.into_iter().map(part).collect()
}

fn item(news: &MailNews) -> MailLine {
    let said = match &news.event {
        Event::CommentCreated { comment, .. } => comment.text.as_str(),
        Event::RequestCreated { request, .. } => request.comment.as_str(),
        Event::VersionCreated { created, .. } => created.description.as_str(),
        _ => "",
    };
    let said = if said.trim().is_empty() { news.comment.as_str() } else { said };
    MailLine {
        sentence: phrase::told(&news.event, &news.by),
        quote: cut(said.trim()),
        ask: news.ask.clone(),
        when: format!("{}, commit {}", news.at.short(), news.commit.short()),
    }
}

/// Returns the address of the server's page about a version.
fn version_link(url: &str, model: &str, version: u64) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    let name = model.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    format!("{url}/api/greenroom/versions/get?name={}&version={version}", name.collect::<String>())
}

/// Returns a text, cut to the length of a quotation.
fn cut(text: &str) -> String {
    let mut chars = text.char_indices();
    match chars.nth(QUOTED) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Returns a sentence for each kind of activity and model whose limit is reached.
fn notices(news: &[MailNews], cap: Option<u64>) -> Vec<String> {
    let reached = news.iter().filter(|n| n.allowed == Allowance::Notice);
    let mut reached: Vec<(String, MailCategory)> = reached.map(|n| (n.model.to_string(), n.activity)).collect();
    reached.sort();
    reached.dedup();
    let sentence = |(model, activity): (String, MailCategory)| {
        let words = activity.words();
        let cap = counted(usize::try_from(cap.unwrap_or_default()).unwrap_or(usize::MAX), "mail");
        let text = format!(
            "The daily limit is reached: you got {cap} about {words} of {model} today. You get no mail about further \
             ones until tomorrow (UTC)."
        );
        one_line(&text).into_owned()
    };
    reached.into_iter().map(sentence).collect()
}

/// Describes how to unsubscribe: from the one model that the mail is about, or from the registry.
fn farewell(one: Option<(&Id, &ModelName)>, frame: &MailContext<'_>) -> UnsubscribeText {
    let (scope, what, command) = match one {
        Some((id, model)) => {
            let shown = one_line(model.as_str()).into_owned();
            (Scope::Model(id.clone()), format!("mail about {shown}"), format!("greenroom mute {}", word(&shown)))
        }
        None => (Scope::Registry, "mail of this registry".to_owned(), "greenroom notify off".to_owned()),
    };
    let token = frame.key.token(frame.to, &scope);
    let link = frame.url.map(|url| format!("{url}/api/greenroom/unsubscribe?token={token}"));
    UnsubscribeText { link, what, command }
}

/// Returns a word for a shell, in quotes if necessary.
pub(super) fn word(text: &str) -> String {
    if text.contains([' ', '\'', '"', '$', '`', '\\']) {
        format!("'{}'", text.replace('\'', "'\\''"))
    } else {
        text.to_owned()
    }
}
