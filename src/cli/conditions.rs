//! The conditions that stage rules and alias rules share: evidence that a version must have, and freeze windows.

use clap::Args;

use super::model::{pair, text};
use super::once::by_key;
use super::report::CliError;
use crate::entity::settings::{Day, Evidence, Freeze, Moment};
use crate::entity::version::Threshold;
use crate::name::Key;
use crate::text::Text;
use crate::time::Timestamp;

/// The options that change the conditions of a rule; a condition without an option stays as it is.
#[derive(Debug, Args)]
pub(super) struct ConditionArgs {
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
    /// Freeze: no version enters the stage, or the alias does not move, in this window (UTC), such as
    /// `2026-12-20..2027-01-03`; both days are part of the window; can be repeated
    #[arg(long, value_name = "FROM..TO", value_parser = window)]
    freeze: Vec<(Moment, Moment)>,
    /// The reason of the freeze
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
    /// One tag or metric has two conditions, or a condition to drop does not exist.
    pub(super) fn merge(self, evidence: &mut Evidence, frozen: &mut Vec<Freeze>) -> Result<(), CliError> {
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
        frozen.extend(self.freeze.into_iter().map(|(from, to)| Freeze { from, to, reason: reason.clone() }));
        Ok(())
    }
}

/// The error for a condition to drop that does not exist.
fn not_asked(what: &str, key: &Key) -> CliError {
    CliError::not_found(format!("the rule does not ask for the {what} '{key}'"))
}

/// Parses `auc>=0.85`. The comparison is the first `<`, `>` or `=` in the text.
pub(super) fn metric(s: &str) -> Result<(Key, Threshold), String> {
    let at = s.find(['<', '>', '=']).ok_or("write for example auc>=0.85")?;
    let (key, threshold) = s.split_at(at);
    let key = key.trim().parse().map_err(|e: crate::name::InvalidName| e.to_string())?;
    Ok((key, threshold.parse().map_err(|e: crate::entity::version::InvalidThreshold| e.to_string())?))
}

/// Parses `2026-12-20..2027-01-03`; each end is a day or a point in time.
pub(super) fn window(s: &str) -> Result<(Moment, Moment), String> {
    let (from, to) = s.split_once("..").ok_or("write FROM..TO, such as 2026-12-20..2027-01-03")?;
    let moment = |s: &str| {
        let time: Timestamp = s.parse().map_err(|e: crate::time::InvalidTime| e.to_string())?;
        Ok::<_, String>(if s.contains(':') { Moment::At(time) } else { Moment::Day(Day(time)) })
    };
    let (from, to) = (moment(from)?, moment(to)?);
    let window = Freeze { from, to, reason: Text::default() };
    if window.is_backwards() {
        return Err(format!("the window ends before it begins; write {}..{}", window.to, window.from));
    }
    Ok((window.from, window.to))
}

/// The conditions of a rule, each as a short text.
pub(super) fn in_words(evidence: &Evidence, frozen: &[Freeze]) -> Vec<String> {
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
        for bad in ["2026-12-20", "2026-12-20..soon", "..", "2026-12-20...", "2026-12-05..2026-12-01"] {
            assert!(window(bad).is_err(), "{bad}");
        }
    }
}
