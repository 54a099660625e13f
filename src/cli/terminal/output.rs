//! Output: text for people (with colours and a pager on a terminal), JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Child, Command, Stdio};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::options::{ColorChoice, Format, Global};
use crate::text::{many_lines, one_line};
use crate::time::{Calendar, Timestamp};
use crate::view;

/// The reason why output could not be written.
#[derive(Debug)]
pub(in crate::cli) enum OutputError {
    /// The reader closed the pipe; the program ends quietly.
    Closed,
    /// The write failed.
    Io(io::Error),
}

impl OutputError {
    fn of(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Io(e) }
    }
}

/// Collects output. Text from a registry never reaches the terminal unescaped.
pub(in crate::cli) struct Output {
    format: Format,
    text: String,
    pager: bool,
    /// Whether stdout is a terminal, so that prompts and progress make sense.
    pub(in crate::cli) terminal: bool,
}

impl Output {
    pub(in crate::cli) fn new(global: &Global) -> Self {
        let choice = match global.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let terminal = io::stdout().is_terminal();
        Self { format: global.output, text: String::new(), pager: !global.no_pager, terminal }
    }

    /// Another output of the same format, for a file.
    pub(in crate::cli) fn apart(&self) -> Self {
        Self { format: self.format, text: String::new(), pager: false, terminal: false }
    }

    /// The collected text, without colours.
    pub(in crate::cli) fn plain(self) -> String {
        anstream::adapter::strip_str(&self.text).to_string()
    }

    /// Whether the output is JSON.
    pub(in crate::cli) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a line of the program's own text. The caller escapes inserted text by [`one_line`].
    pub(in crate::cli) fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// Prints a line of text from the registry, escaped.
    pub(in crate::cli) fn foreign(&mut self, text: &str) {
        self.line(one_line(text));
    }

    /// Prints text of several lines from the registry, escaped and indented.
    pub(in crate::cli) fn block(&mut self, text: &str, indent: &str) {
        for line in many_lines(text).trim_end().lines() {
            let line = format!("{indent}{line}");
            self.line(line.trim_end());
        }
    }

    /// Prints a value as JSON.
    pub(in crate::cli) fn json<T: view::Output + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        self.report(value)
    }

    /// Prints a report in a JSON format that is not the program's own, such as SARIF.
    pub(in crate::cli) fn report(&mut self, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.line(text);
        Ok(())
    }

    /// Writes the collected text; through a pager if it is long and stdout is a terminal.
    pub(in crate::cli) fn finish(&mut self) -> io::Result<()> {
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
                // A user who quits the pager early closes the pipe; that is not an error.
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

    /// Writes the text collected so far, before a long wait or a prompt.
    pub(in crate::cli) fn flush(&mut self) -> Result<(), OutputError> {
        let text = std::mem::take(&mut self.text);
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(OutputError::of)
    }
}

/// The pager of the user's environment, in git's order. A repository can never choose the pager: git's own config may
/// come from an untrusted clone.
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

/// For headings and names.
pub(in crate::cli) const BOLD: Style = Style::new().bold();
/// For less important text.
pub(in crate::cli) const DIM: Style = Style::new().dimmed();
/// For ids of commits.
pub(in crate::cli) const YELLOW: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// For a passed check.
pub(in crate::cli) const GREEN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// For a refusal or a failure.
pub(in crate::cli) const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// A time in the local time zone, with its offset: `2026-03-01 12:00+01:00`; `Z` stands for UTC.
pub(in crate::cli) fn local(at: Timestamp) -> String {
    Calendar::new(at, jiff::tz::TimeZone::system()).show(at)
}

/// Escapes a text and puts a style around it.
pub(in crate::cli) fn styled(style: Style, text: &str) -> String {
    format!("{style}{}{style:#}", one_line(text))
}
