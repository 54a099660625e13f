//! The conditions that stage rules and alias rules share: evidence that a version must have, and freeze windows.

use clap::Args;

use super::report::CliError;
use super::single_value::by_key;
use super::value_parser::{pair, text};
use crate::entity::settings::{Day, Evidence, Freeze, FreezeBound};
use crate::entity::version::Threshold;
use crate::name::Key;
use crate::text::{Text, quoted};
use crate::time::Calendar;

/// The options that change the conditions of a rule; a condition without an option stays as it is.
#[derive(Debug, Args)]
pub(in crate::cli) struct ConditionArgs {
    /// Require that the version has a description
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_description: Option<bool>,
    /// Require that the version's files are in the registry
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_artifacts: Option<bool>,
    /// Require that the commit is signed
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_signed: Option<bool>,
    /// Require this tag (`*` for any value); can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    require_tag: Vec<(Key, Text)>,
    /// Require that a metric reaches a value, such as `auc>=0.85`; can be repeated
    #[arg(long, value_name = "METRIC", value_parser = metric)]
    require_metric: Vec<(Key, Threshold)>,
    /// Drop the requirement of this tag; can be repeated
    #[arg(long, value_name = "KEY")]
    drop_tag: Vec<Key>,
    /// Drop the requirement of this metric; can be repeated
    #[arg(long, value_name = "METRIC")]
    drop_metric: Vec<Key>,
    /// A window in which nothing enters the stage or moves the alias, such as `2026-12-20..2027-01-03`, `today..2027-01` or
    /// '2026-12-24 12:00..2w'; days are whole days, and all of it is in UTC
    #[arg(long, value_name = "FROM..TO")]
    freeze: Vec<String>,
    /// The reason for the freeze
    #[arg(long, value_name = "TEXT", requires = "freeze", value_parser = text)]
    reason: Option<Text>,
    /// Delete all freeze windows
    #[arg(long)]
    thaw: bool,
}

impl ConditionArgs {
    /// Changes the evidence and the freeze windows of a rule by the options.
    ///
    /// # Errors
    /// A tag or metric has two conditions, a condition to delete does not exist, or a freeze window is not valid.
    pub(in crate::cli) fn merge(
        self,
        evidence: &mut Evidence,
        frozen: &mut Vec<Freeze>,
        calendar: &Calendar,
    ) -> Result<(), CliError> {
        evidence.description = self.require_description.unwrap_or(evidence.description);
        evidence.artifacts = self.require_artifacts.unwrap_or(evidence.artifacts);
        evidence.signed = self.require_signed.unwrap_or(evidence.signed);
        for key in &self.drop_tag {
            evidence.tags.remove(key).map(drop).ok_or_else(|| not_asked("tag", key))?;
        }
        for key in &self.drop_metric {
            evidence.metrics.remove(key).map(drop).ok_or_else(|| not_asked("metric", key))?;
        }
        evidence.tags.extend(by_key("--require-tag", self.require_tag)?);
        evidence.metrics.extend(by_key("--require-metric", self.require_metric)?);
        if self.thaw {
            frozen.clear();
        }
        let reason = self.reason.unwrap_or_default();
        for text in &self.freeze {
            let (from, to) = window(text, &calendar.in_utc())
                .map_err(|e| CliError::usage(format!("--freeze {}: {e}", quoted(text))))?;
            frozen.push(Freeze { from, to, reason: reason.clone() });
        }
        Ok(())
    }
}

/// The error for a condition to drop that does not exist.
fn not_asked(what: &str, key: &Key) -> CliError {
    CliError::not_found(format!("the rule does not require the {what} '{key}'"))
}

/// Parses `auc>=0.85`. The comparison is the first `<`, `>` or `=` in the text.
pub(in crate::cli) fn metric(s: &str) -> Result<(Key, Threshold), String> {
    let at = s.find(['<', '>', '=']).ok_or("write for example auc>=0.85")?;
    let (key, threshold) = s.split_at(at);
    let key = key.trim().parse().map_err(|e: crate::name::InvalidName| e.to_string())?;
    Ok((key, threshold.parse().map_err(|e: crate::entity::version::InvalidThreshold| e.to_string())?))
}

/// Reads `2026-12-20..2027-01-03`, of days or points in time.
pub(in crate::cli) fn window(s: &str, calendar: &Calendar) -> Result<(FreezeBound, FreezeBound), String> {
    let (from, to) = s.split_once("..").ok_or("write FROM..TO, such as 2026-12-20..2027-01-03")?;
    let window = Freeze { from: bounds(from, calendar)?.0, to: bounds(to, calendar)?.1, reason: Text::default() };
    if window.is_backwards() {
        return Err(format!("the window ends before it begins; write {}..{}", window.to, window.from));
    }
    Ok((window.from, window.to))
}

/// The two bounds that a text names: its first and its last day, or twice the same point in time. A length of time counts
/// on from now.
fn bounds(text: &str, calendar: &Calendar) -> Result<(FreezeBound, FreezeBound), String> {
    let days = calendar.days(text).map_err(|e| e.to_string())?;
    if let Some((first, last)) = days {
        return Ok((FreezeBound::Day(Day(first)), FreezeBound::Day(Day(last))));
    }
    let time = calendar.read_ahead(text).map_err(|e| e.to_string())?;
    Ok((FreezeBound::At(time), FreezeBound::At(time)))
}

/// The conditions of a rule, each as a short text.
pub(in crate::cli) fn in_words(evidence: &Evidence, frozen: &[Freeze]) -> Vec<String> {
    evidence_in_words(evidence).into_iter().chain(frozen.iter().map(freeze_in_words)).collect()
}

/// The evidence that a rule requires, as short texts.
fn evidence_in_words(asked: &Evidence) -> Vec<String> {
    let mut out = Vec::new();
    for (wanted, what) in
        [(asked.description, "a description"), (asked.artifacts, "its files"), (asked.signed, "a signed commit")]
    {
        out.extend(wanted.then(|| what.to_owned()));
    }
    out.extend(asked.tags.iter().map(|(k, v)| format!("tag {k} = {v}")));
    out.extend(asked.metrics.iter().map(|(k, t)| format!("metric {k} {t}")));
    out
}

/// A freeze window as a short text.
fn freeze_in_words(freeze: &Freeze) -> String {
    let reason = if freeze.reason.is_empty() { String::new() } else { format!(" ({})", freeze.reason) };
    format!("frozen {freeze}{reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_comparison_or_window_is_refused() {
        for bad in ["auc", "auc>=x", ">=1", "auc>="] {
            assert!(metric(bad).is_err(), "{bad}");
        }
        for bad in
            ["2026-12-20", "2026-12-20..soon", "..", "2026-12-20...", "2026-12-05..2026-12-01", "tomorrow..yesterday"]
        {
            assert!(window(bad, &calendar()).is_err(), "{bad}");
        }
    }

    /// Sunday, 1 March 2026, 12:30 UTC.
    fn calendar() -> Calendar {
        Calendar::utc("2026-03-01T12:30:00Z".parse().expect("a time"))
    }

    #[test]
    fn a_window_is_of_days_or_of_points_in_time() {
        let read = |text: &str| {
            let (from, to) = window(text, &calendar()).expect("a window");
            format!("{from}..{to}")
        };
        for (text, want) in [
            ("2026-12-20..2027-01-03", "2026-12-20..2027-01-03"),
            ("yesterday..tomorrow", "2026-02-28..2026-03-02"),
            ("today..2026-12", "2026-03-01..2026-12-31"),
            ("2026-12..2027-02", "2026-12-01..2027-02-28"),
            ("now..2w", "2026-03-01T12:30:00.000Z..2026-03-15T12:30:00.000Z"),
            ("2026-12-24 12:00..2026-12-26", "2026-12-24T12:00:00.000Z..2026-12-26"),
            ("2026-12-24T00:00:00Z..2026-12-26", "2026-12-24T00:00:00.000Z..2026-12-26"),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }
}
