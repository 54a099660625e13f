//! A mail with its headers, built with types that cannot hold a line break (SEC-49).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use sha2::{Digest as _, Sha256};

use super::letter::Letter;
use super::render;
use super::settings::MailSettings;
use crate::entity::Settings;
use crate::text::one_line;
use crate::time::Timestamp;

/// How much of a person's name is shown, in characters.
const NAME: usize = 100;

/// Builds the mail of a letter. `id` is the delivery's: a mail that is sent again has the same Message-ID, so that
/// whoever got it twice sees it once.
pub fn build(
    letter: &Letter,
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
        .subject(one_line(&letter.subject).into_owned())
        .message_id(Some(format!("<{id}@{domain}>")))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("Precedence", "bulk"))
        .raw_header(header("List-Id", &format!("<{}.greenroom.{domain}>", registry.id)));
    if let Some(thread) = &letter.thread {
        let root = format!("<{}@{domain}>", digest(thread));
        builder = builder.in_reply_to(root.clone()).references(root);
    }
    if let Some(link) = &letter.farewell.link {
        builder = builder.raw_header(exact("List-Unsubscribe", &format!("<{link}>")));
        // RFC 8058 allows one click over HTTPS alone.
        if link.starts_with("https://") {
            builder = builder.raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
    }
    let body = MultiPart::alternative_plain_html(render::text(letter), render::html(letter));
    builder.multipart(body).map(|m| m.formatted()).map_err(|e| e.to_string())
}

/// A mail that says that mail arrives.
pub fn test(to: &Address, mail: &MailSettings, registry: &Settings, now: Timestamp) -> Result<Vec<u8>, String> {
    let id = digest(&format!("test {to} {now}"));
    let name = one_line(registry.name.first_line());
    let text = format!("This is a test: the registry {name} can send you mail.\n");
    plain(("", to), "Test", text, &id, mail, (registry, now))
}

/// A mail of a few sentences that is no news of a model: with the name of its reader, and an id as in [`build`].
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

/// An address with the name of its owner in one line; Lettre would not survive another.
pub fn mailbox(name: &str, address: &Address) -> Mailbox {
    let name: String = one_line(name.trim()).chars().take(NAME).collect();
    Mailbox::new(Some(name).filter(|n| !n.is_empty()), address.clone())
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// A header whose value must not be folded: an address, which is ASCII without spaces by its grammar.
fn exact(name: &'static str, value: &str) -> HeaderValue {
    let plain: String = value.chars().filter(|c| c.is_ascii_graphic()).collect();
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.to_owned(), plain)
}

/// A short name for anything.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(at.as_seconds()).unwrap_or(0))
}
