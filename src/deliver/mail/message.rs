//! Builds mails with their headers, with types that cannot hold a line break.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::message::MultiPart;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::{Address, Message};
use sha2::{Digest as _, Sha256};

use super::draft::MailDraft;
use super::render;
use super::settings::{MailSettings, mailbox};
use crate::entity::Settings;
use crate::text::one_line;
use crate::time::Timestamp;

/// Builds the MIME message of a mail. `id` is the id of the delivery. A mail that is sent again has the same
/// Message-ID, so that mail programs show it once.
///
/// # Errors
///
/// When Lettre cannot build the message; the text says why.
pub fn build(
    draft: &MailDraft,
    id: &str,
    to: (&str, &Address),
    mail: &MailSettings,
    registry: &Settings,
    now: Timestamp,
) -> Result<Vec<u8>, String> {
    let domain = mail.domain();
    let mut builder = Message::builder()
        .from(mail.from.clone())
        .to(mailbox(to.0, to.1))
        .date(time(now))
        .subject(one_line(&draft.subject).into_owned())
        .message_id(Some(format!("<{id}@{domain}>")))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("Precedence", "bulk"))
        .raw_header(header("List-Id", &format!("<{}.greenroom.{domain}>", registry.id)));
    if let Some(thread) = &draft.thread {
        let root = format!("<{}@{domain}>", digest(thread));
        builder = builder.in_reply_to(root.clone()).references(root);
    }
    if let Some(link) = &draft.farewell.link {
        builder = builder.raw_header(exact("List-Unsubscribe", &format!("<{link}>")));
        // RFC 8058 allows one-click unsubscription over HTTPS only.
        if link.starts_with("https://") {
            builder = builder.raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
    }
    let body = MultiPart::alternative_plain_html(render::text(draft), render::html(draft));
    builder.multipart(body).map(|m| m.formatted()).map_err(|e| e.to_string())
}

/// Builds a test mail, which shows that mail arrives.
///
/// # Errors
///
/// When Lettre cannot build the message; the text says why.
pub fn test(to: &Address, mail: &MailSettings, registry: &Settings, now: Timestamp) -> Result<Vec<u8>, String> {
    let id = digest(&format!("test {to} {now}"));
    let name = one_line(registry.name.first_line());
    let text = format!("This is a test: the registry {name} can send you mail.\n");
    plain(("", to), "Test", text, &id, mail, (registry, now))
}

/// Builds a mail of a few sentences that is not about an event of a model. `to` is the recipient's name and address,
/// and `id` the delivery's id as in [`build`].
///
/// # Errors
///
/// When Lettre cannot build the message; the text says why.
pub fn plain(
    to: (&str, &Address),
    subject: &str,
    text: String,
    id: &str,
    mail: &MailSettings,
    (registry, now): (&Settings, Timestamp),
) -> Result<Vec<u8>, String> {
    Message::builder()
        .from(mail.from.clone())
        .to(mailbox(to.0, to.1))
        .date(time(now))
        .subject(format!("[{}] {subject}", one_line(registry.name.first_line())))
        .message_id(Some(format!("<{id}@{}>", mail.domain())))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .body(text)
        .map(|m| m.formatted())
        .map_err(|e| e.to_string())
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Makes a header whose value is not folded: a URL, which is ASCII without spaces by its grammar.
fn exact(name: &'static str, value: &str) -> HeaderValue {
    let plain: String = value.chars().filter(|c| c.is_ascii_graphic()).collect();
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.to_owned(), plain)
}

/// Returns a short hash of a text.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(at.as_seconds()).unwrap_or(0))
}
