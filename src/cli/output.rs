//! What is printed: text for people (with colours and a pager on a terminal), JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Child, Command, Stdio};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::{Format, Global, When};
use crate::text::{many_lines, one_line};
use crate::time::{Calendar, Timestamp};
use crate::view;

/// Why output could not be written.
#[derive(Debug)]
pub(super) enum OutputError {
    /// Whoever read it reads no more; there is nothing left to be done for them.
    Closed,
    /// It could not be written.
    Io(io::Error),
}

impl OutputError {
    fn of(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Io(e) }
    }
}

/// Collects output. Nothing that comes from a registry reaches the terminal unescaped.
pub(super) struct Output {
    format: Format,
    text: String,
    pager: bool,
    /// Whether stdout is a terminal, so that prompts and progress make sense.
    pub(super) terminal: bool,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let choice = match global.color {
            When::Auto => anstream::ColorChoice::Auto,
            When::Always => anstream::ColorChoice::Always,
            When::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let terminal = io::stdout().is_terminal();
        Self { format: global.output, text: String::new(), pager: !global.no_pager, terminal }
    }

    /// Another output of the same format, for a file.
    pub(super) fn apart(&self) -> Self {
        Self { format: self.format, text: String::new(), pager: false, terminal: false }
    }

    /// What was collected, without colours.
    pub(super) fn plain(self) -> String {
        anstream::adapter::strip_str(&self.text).to_string()
    }

    /// Whether the output is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a line of our own words; what is put into it must be escaped by [`one_line`].
    pub(super) fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// Prints a line of foreign words, escaped.
    pub(super) fn foreign(&mut self, text: &str) {
        self.line(one_line(text));
    }

    /// Prints foreign text of several lines, escaped and indented.
    pub(super) fn block(&mut self, text: &str, indent: &str) {
        for line in many_lines(text).trim_end().lines() {
            let line = format!("{indent}{line}");
            self.line(line.trim_end());
        }
    }

    /// Prints a value as JSON.
    pub(super) fn json<T: view::Output + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        self.report(value)
    }

    /// Prints a report whose JSON is a format of others, such as SARIF.
    pub(super) fn report(&mut self, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(text);
        Ok(())
    }

    /// Writes what was collected; through a pager when it is long and somebody looks.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return Ok(());
        }
        if self.pager
            && self.terminal
            && !self.is_json()
            && text.lines().count() > height()
            && let Some(mut pager) = pager()
        {
            let colours = !matches!(anstream::ColorChoice::global(), anstream::ColorChoice::Never);
            let plain = anstream::adapter::strip_str(&text).to_string();
            if let Some(mut input) = pager.stdin.take() {
                // Who leaves the pager early closes the pipe; that is no error.
                let _ = input.write_all(if colours { text.as_bytes() } else { plain.as_bytes() });
            }
            pager.wait()?;
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes what was collected so far, before a long wait or a prompt.
    pub(super) fn flush(&mut self) -> Result<(), OutputError> {
        let text = std::mem::take(&mut self.text);
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(OutputError::of)
    }
}

/// The pager of the user's environment, as git chooses it: never one that a repository names (SEC-63).
fn pager() -> Option<Child> {
    let chosen = ["GREENROOM_PAGER", "GIT_PAGER", "PAGER"].iter().find_map(|v| std::env::var(v).ok());
    let words = chosen.unwrap_or_else(|| "less".to_owned());
    let mut words = words.split_whitespace();
    let program = words.next().filter(|p| *p != "cat")?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    command.spawn().ok()
}

fn height() -> usize {
    std::env::var("LINES").ok().and_then(|l| l.parse().ok()).unwrap_or(40)
}

/// The styles of the words that stand out.
pub(super) const BOLD: Style = Style::new().bold();
/// For what matters less.
pub(super) const DIM: Style = Style::new().dimmed();
/// For ids of commits.
pub(super) const YELLOW: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// For what passes.
pub(super) const GREEN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// For what is refused.
pub(super) const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// A time in the local time zone, with its offset: `2026-03-01 12:00+01:00`; `Z` stands for UTC.
pub(super) fn local(at: Timestamp) -> String {
    Calendar::new(at, jiff::tz::TimeZone::system()).show(at)
}

/// Puts a style around escaped words.
pub(super) fn styled(style: Style, text: &str) -> String {
    format!("{style}{}{style:#}", one_line(text))
}
