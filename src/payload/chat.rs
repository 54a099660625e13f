//! Messages for people in a chat: one sentence, and details below it.

use serde_json::{Value, json};

use super::{PayloadEvent, PayloadSubject, standard, truncate};
use crate::phrase;
use crate::text::many_lines;

/// The longest message, in bytes. Slack accepts 3000 characters in a block.
const MAX_TEXT: usize = 2_600;

/// Returns the sentence of the event, and the lines below it: requester, approvers, comments.
fn lines(told: &PayloadEvent<'_>) -> (String, Vec<String>) {
    let head = format!("{}: {}", told.by, standard::text(told));
    let details = match told.what {
        PayloadSubject::Event(event) => phrase::details(event),
        PayloadSubject::RuleViolated(_) | PayloadSubject::HistoryRewritten(_) => Vec::new(),
    };
    let said = Some(many_lines(told.comment.trim()).into_owned()).filter(|text| !text.is_empty());
    (truncate::text(&head, MAX_TEXT / 2), details.into_iter().chain(said).collect())
}

/// Returns a Slack message: a block for Slack, and plain text for notifications and for programs that read Slack's
/// format.
pub(super) fn slack(told: &PayloadEvent<'_>) -> Value {
    let (head, details) = lines(told);
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let registry = escaped(&told.registry.name);
    let quoted: Vec<String> = details.iter().flat_map(|d| d.lines()).map(|l| format!("> {}", escaped(l))).collect();
    let text = format!("[{registry}] {}", escaped(&head));
    let whole = [format!("*{registry}* {}", escaped(&head))].into_iter().chain(quoted).collect::<Vec<_>>().join("\n");
    let block = json!({"type": "section", "text": {"type": "mrkdwn", "text": truncate::text(&whole, MAX_TEXT)}});
    json!({"text": text, "blocks": [block]})
}

/// Returns an Adaptive Card for a Teams workflow.
pub(super) fn teams(told: &PayloadEvent<'_>) -> Value {
    let (head, details) = lines(told);
    let block = |text: &str| json!({"type": "TextBlock", "text": plain(text), "wrap": true});
    let mut body = vec![block(&format!("[{}] {head}", told.registry.name))];
    if !details.is_empty() {
        body.push(block(&truncate::text(&details.join("\n\n"), MAX_TEXT / 2)));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    })
}

/// Escapes a text so that a card shows no Markdown in it: a comment must not bring a link of its own.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\*_[]()~`#".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
