//! What a mail says, before it is text or HTML: the news, grouped by model and version, and why the reader gets them.

use std::collections::BTreeMap;

use super::ask::Ask;
use super::token::{Scope, TokenKey};
use crate::audience::{Activity, Allowance, Reason};
use crate::entity::Settings;
use crate::event::Event;
use crate::name::{Id, ModelName, UserName};
use crate::phrase;
use crate::text::one_line;
use crate::time::Timestamp;
use crate::tree::Oid;

/// How many news a mail tells one by one.
const MOST: usize = 100;

/// How much of a text is quoted, in characters.
const QUOTED: usize = 2_000;

/// How much of the registry's name a subject holds, in characters.
const SHORT: usize = 60;

/// One thing that the reader is told.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// Of which model: its name now, and its id.
    pub model: ModelName,
    /// The model's id.
    pub id: Id,
    /// Of which version.
    pub version: u64,
    /// What happened.
    pub event: Event,
    /// Of which kind.
    pub activity: Activity,
    /// Why the reader is told.
    pub reason: Reason,
    /// What the reader is asked to decide.
    pub ask: Option<Ask>,
    /// Who did it.
    pub by: UserName,
    /// What was said besides.
    pub comment: String,
    /// When it landed.
    pub at: Timestamp,
    /// The commit that landed it.
    pub commit: Oid,
    /// What the daily cap leaves of it.
    pub allowed: Allowance,
}

/// A mail to one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The subject, the same for all mails of a thread.
    pub subject: String,
    /// What tells the thread from others; mails of the same are shown together.
    pub thread: Option<String>,
    /// What happened.
    pub parts: Vec<Part>,
    /// How many more things happened than are told.
    pub more: usize,
    /// That the daily limit is reached, a sentence for each kind and model.
    pub notices: Vec<String>,
    /// Why the reader gets it, a sentence for each reason.
    pub reasons: Vec<String>,
    /// How the reader gets no more of it.
    pub farewell: Farewell,
    /// The registry's name.
    pub registry: String,
}

/// What happened to one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The model and version, as a heading.
    pub heading: String,
    /// What to ask greenroom for.
    pub reference: String,
    /// Where the server shows the version, if it has an address.
    pub link: Option<String>,
    /// What happened, oldest first.
    pub items: Vec<Item>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// A sentence.
    pub sentence: String,
    /// What was said, of several lines perhaps.
    pub quote: String,
    /// What the reader is asked to decide.
    pub ask: Option<Ask>,
    /// When, and by which commit.
    pub when: String,
}

/// How the reader gets no more such mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// The page, where the server has an address.
    pub link: Option<String>,
    /// What that page turns off: `mail about churn`.
    pub what: String,
    /// The command that does the same.
    pub command: String,
}

/// What of the registry and the reader a mail needs to know.
pub struct Frame<'f> {
    /// The reader.
    pub to: &'f UserName,
    /// The registry's settings.
    pub settings: &'f Settings,
    /// The server's address.
    pub url: Option<&'f str>,
    /// What makes the token in the link.
    pub key: &'f TokenKey,
    /// The limit of a day.
    pub cap: Option<u64>,
    /// Whether it tells of a time rather than of a commit.
    pub digest: bool,
}

/// Writes the mail about some news, which are in their order and of which the cap leaves something.
pub fn write(news: &[News], frame: &Frame<'_>) -> Letter {
    let told: Vec<&News> = news.iter().filter(|n| n.allowed == Allowance::Mail).collect();
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
    let mut reasons: Vec<(String, Reason)> = news.iter().map(|n| (n.model.to_string(), n.reason)).collect();
    reasons.sort();
    reasons.dedup();
    let several = models.len() > 1;
    let reason = |(model, reason): (String, Reason)| {
        let of = if several { format!(" ({})", one_line(&model)) } else { String::new() };
        format!("{reason}{of}")
    };
    let one = if several { None } else { models.first_key_value().map(|(id, name)| (*id, *name)) };
    Letter {
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

/// What a mail is about as a whole.
enum Topic<'n> {
    Version(&'n ModelName, &'n Id, u64),
    Model(&'n ModelName, &'n Id),
    Registry,
}

/// The mail of a commit is about the version that the commit is about, not what made way for it. A mail of several
/// things is about the version or model that they have in common.
fn topic<'n>(told: &[&'n News], all: &'n [News], digest: bool) -> Topic<'n> {
    let Some(first) = told.first().copied().or_else(|| all.first()) else { return Topic::Registry };
    let news: Vec<&News> = if told.is_empty() { all.iter().collect() } else { told.to_vec() };
    if news.iter().any(|n| n.id != first.id) {
        return Topic::Registry;
    }
    let lead =
        if digest { first } else { news.iter().copied().find(|n| !phrase::is_side_effect(&n.event)).unwrap_or(first) };
    let same = |n: &&News| n.version == lead.version || (!digest && phrase::is_side_effect(&n.event));
    if !told.is_empty() && news.iter().all(same) {
        return Topic::Version(&lead.model, &lead.id, lead.version);
    }
    Topic::Model(&lead.model, &lead.id)
}

fn parts(told: &[&News], url: Option<&str>) -> Vec<Part> {
    let mut groups: Vec<((String, u64), Vec<&News>)> = Vec::new();
    for news in told.iter().take(MOST) {
        let key = (news.model.to_string(), news.version);
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, group)) => group.push(news),
            None => groups.push((key, vec![news])),
        }
    }
    // By model and version; within one, oldest first, which is the order they came in.
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    let part = |((model, version), group): ((String, u64), Vec<&News>)| Part {
        heading: one_line(&format!("{model} version {version}")).into_owned(),
        reference: one_line(&format!("models:/{model}/{version}")).into_owned(),
        link: url.map(|url| version_link(url, &model, version)),
        items: group.into_iter().map(item).collect(),
    };
    groups.into_iter().map(part).collect()
}

fn item(news: &News) -> Item {
    let said = match &news.event {
        Event::CommentCreated { comment, .. } => comment.text.as_str(),
        Event::RequestCreated { request, .. } => request.comment.as_str(),
        Event::VersionCreated { created, .. } => created.description.as_str(),
        _ => "",
    };
    let said = if said.trim().is_empty() { news.comment.as_str() } else { said };
    Item {
        sentence: phrase::told(&news.event, &news.by),
        quote: cut(said.trim()),
        ask: news.ask.clone(),
        when: format!("{}, commit {}", news.at.short(), news.commit.short()),
    }
}

/// Where the server tells all about a version.
fn version_link(url: &str, model: &str, version: u64) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    let name = model.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") });
    format!("{url}/api/greenroom/versions/get?name={}&version={version}", name.collect::<String>())
}

/// A text, or its beginning.
fn cut(text: &str) -> String {
    let mut chars = text.char_indices();
    match chars.nth(QUOTED) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A sentence for each kind and model whose limit is reached.
fn notices(news: &[News], cap: Option<u64>) -> Vec<String> {
    let reached = news.iter().filter(|n| n.allowed == Allowance::Notice);
    let mut reached: Vec<(String, Activity)> = reached.map(|n| (n.model.to_string(), n.activity)).collect();
    reached.sort();
    reached.dedup();
    let sentence = |(model, activity): (String, Activity)| {
        let (words, cap) = (activity.words(), cap.unwrap_or_default());
        let text = format!(
            "The daily limit is reached: you got {cap} mails about {words} of {model} today. There is more, of which you \
             get no mail; tomorrow (UTC) mails begin again."
        );
        one_line(&text).into_owned()
    };
    reached.into_iter().map(sentence).collect()
}

/// How the reader gets no more: of the one model that the mail is about, or of the registry.
fn farewell(one: Option<(&Id, &ModelName)>, frame: &Frame<'_>) -> Farewell {
    let (scope, what, command) = match one {
        Some((id, model)) => {
            let shown = one_line(model.as_str()).into_owned();
            (Scope::Model(id.clone()), format!("mail about {shown}"), format!("greenroom mute {}", word(&shown)))
        }
        None => (Scope::Registry, "mail of this registry".to_owned(), "greenroom notify off".to_owned()),
    };
    let token = frame.key.token(frame.to, &scope);
    let link = frame.url.map(|url| format!("{url}/api/greenroom/unsubscribe?token={token}"));
    Farewell { link, what, command }
}

/// A word for a shell, in quotes where it needs them.
pub(super) fn word(text: &str) -> String {
    if text.contains([' ', '\'', '"', '$', '`', '\\']) {
        format!("'{}'", text.replace('\'', "'\\''"))
    } else {
        text.to_owned()
    }
}
