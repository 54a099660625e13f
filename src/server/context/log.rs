//! The server's log: one JSON object per line on standard error. It never gets a secret, and JSON escapes characters
//! that would control a terminal.

use std::io::Write as _;

use crate::clock;
use serde_json::{Map, Value, json};

/// The options of the log.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// Whether each request is logged.
    pub requests: bool,
}

impl Log {
    /// Logs a warning with its cause.
    pub fn warn(self, what: &str, why: &dyn std::error::Error) {
        self.line("warn", json!({ "message": what, "error": why.to_string() }));
    }

    /// Logs a failure.
    pub fn error(self, fields: Value) {
        self.line("error", fields);
    }

    /// Logs an event.
    pub fn info(self, fields: Value) {
        self.line("info", fields);
    }

    /// Logs each panic as a line, in place of Rust's own panic message.
    pub fn tell_panics(self) {
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current().name().map(str::to_owned);
            let at = panic.location().map(ToString::to_string);
            let error = crate::supervisor::message(panic.payload());
            self.error(json!({ "message": "a thread panicked (a bug)", "thread": thread, "at": at, "error": error }));
        }));
    }

    /// Writes a line.
    pub(in crate::server) fn line(self, level: &str, fields: Value) {
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(clock::now()));
        line.insert("level".to_owned(), json!(level));
        if let Value::Object(fields) = fields {
            line.extend(fields.into_iter().filter(|(_, v)| !v.is_null()));
        }
        let mut text = escape(&Value::Object(line).to_string());
        text.push('\n');
        // A failure to log cannot be logged.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Escapes characters that JSON leaves as they are and that would control a terminal.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        if crate::text::is_plain(c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line_and_stays_json() {
        let text = json!({ "message": "a\nb\u{9b}31m\u{202e}c" }).to_string();
        let escaped = escape(&text);
        assert!(escaped.chars().all(crate::text::is_plain), "{escaped}");
        let read: Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read["message"], "a\nb\u{9b}31m\u{202e}c");
    }
}
