//! Renders a mail as plain text and as HTML. Each text is escaped when it is added; there is no way to add unescaped
//! text.

use super::approval_prompt::ApprovalPrompt;
use super::draft::{MailDraft, MailSection, UnsubscribeText};
use crate::text::{many_lines, one_line, to_html};

/// Renders the mail as plain text.
pub fn text(draft: &MailDraft) -> String {
    let mut out = Plain(String::new());
    let several = draft.parts.len() > 1;
    for part in &draft.parts {
        if several {
            out.line(&part.heading);
            out.line(&"=".repeat(part.heading.chars().count().min(72)));
            out.line("");
        }
        for item in &part.items {
            out.paragraph(&item.sentence);
            if !item.quote.is_empty() {
                many_lines(&item.quote).lines().for_each(|line| out.line(format!("> {line}").trim_end()));
                out.line("");
            }
            out.paragraph(&item.when);
            if let Some(ask) = &item.ask {
                out.paragraph(&ask.what);
                for (heading, lines) in lists(ask) {
                    out.line(heading);
                    lines.iter().for_each(|line| out.line(&format!("- {line}")));
                    out.line("");
                }
            }
        }
        match &part.link {
            Some(link) => out.paragraph(&format!("See {}: {link}", part.reference)),
            None => out.paragraph(&format!("See {}", part.reference)),
        }
    }
    if draft.more > 0 {
        out.paragraph(&format!("and {} more; `greenroom log` shows all.", draft.more));
    }
    draft.notices.iter().for_each(|notice| out.paragraph(notice));
    // Mail programs recognise a signature by this line.
    out.line("-- ");
    out.line(&format!("You get this because {}.", draft.reasons.join("; ")));
    let UnsubscribeText { link, what, command } = &draft.farewell;
    out.line(&format!("To get no more {what}: {}", link.as_ref().unwrap_or(command)));
    if link.is_some() {
        out.line(&format!("or: {command}"));
    }
    out.0
}

/// Returns the lists that belong to a request, with their headings. Empty lists are left out.
fn lists(ask: &ApprovalPrompt) -> impl Iterator<Item = (&'static str, &[String])> {
    let all = [("Evidence:", &ask.has), ("Missing:", &ask.lacks), ("To decide:", &ask.ways)];
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(heading, lines)| (heading, lines.as_slice()))
}

/// A plain text under construction.
struct Plain(String);

impl Plain {
    /// Adds one line. Line breaks in the words are replaced.
    fn line(&mut self, words: &str) {
        self.0.push_str(&one_line(words));
        self.0.push('\n');
    }

    /// Adds a line and an empty line.
    fn paragraph(&mut self, words: &str) {
        self.line(words);
        self.line("");
    }
}

/// An HTML text under construction.
struct Html(String);

impl Html {
    /// Adds tags, which are part of the program.
    fn raw(&mut self, tags: &'static str) {
        self.0.push_str(tags);
    }

    /// Adds text, escaped.
    fn text(&mut self, words: &str) {
        self.0.push_str(&to_html(words));
    }

    /// Adds an element with escaped text.
    fn element(&mut self, open: &'static str, words: &str, close: &'static str) {
        self.raw(open);
        self.text(words);
        self.raw(close);
    }
}

/// Renders the mail as HTML.
pub fn html(draft: &MailDraft) -> String {
    let mut out = Html(String::new());
    out.element("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>", &draft.subject, "</title>");
    out.raw("</head>\n<body style=\"font-family:sans-serif;line-height:1.4;max-width:44em\">\n");
    for part in &draft.parts {
        html_part(&mut out, part, draft.parts.len() > 1);
    }
    if draft.more > 0 {
        let more = format!("and {} more; greenroom log shows all.", draft.more);
        out.element("<p>", &more, "</p>\n");
    }
    for notice in &draft.notices {
        out.element("<p><strong>", notice, "</strong></p>\n");
    }
    out.raw("<hr>\n<p style=\"color:#555;font-size:small\">");
    out.text(&format!("You get this because {}.", draft.reasons.join("; ")));
    out.raw("<br>");
    if let Some(link) = &draft.farewell.link {
        out.element("<a href=\"", link, "\">");
        out.text(&format!("Get no more {}", draft.farewell.what));
        out.raw("</a>, or: ");
    } else {
        out.text(&format!("To get no more {}: ", draft.farewell.what));
    }
    out.element("<code>", &draft.farewell.command, "</code></p>\n</body></html>\n");
    out.0
}

fn html_part(out: &mut Html, part: &MailSection, several: bool) {
    if several {
        out.element("<h2 style=\"font-size:medium\">", &part.heading, "</h2>\n");
    }
    for item in &part.items {
        out.element("<p>", &one_line(&item.sentence), "</p>\n");
        if !item.quote.is_empty() {
            let style =
                "<blockquote style=\"white-space:pre-wrap;border-left:3px solid #ccc;margin:0;padding-left:1em\">";
            out.element(style, &item.quote, "</blockquote>\n");
        }
        out.element("<p style=\"color:#555;font-size:small\">", &item.when, "</p>\n");
        if let Some(ask) = &item.ask {
            out.element("<p><strong>", &one_line(&ask.what), "</strong></p>\n");
            for (heading, lines) in lists(ask) {
                out.element("<p>", heading, "</p>\n");
                out.raw("<ul>\n");
                lines.iter().for_each(|line| out.element("<li>", &one_line(line), "</li>\n"));
                out.raw("</ul>\n");
            }
        }
    }
    out.element("<p style=\"color:#555;font-size:small\">See <code>", &part.reference, "</code>");
    if let Some(link) = &part.link {
        out.element(": <a href=\"", link, "\">");
        out.text(link);
        out.raw("</a>");
    }
    out.raw("</p>\n");
}
