//! `greenroom diff`: the differences between two moments, as events of the registry.

use clap::Args;
use serde_json::Value;

use crate::cli::terminal::output::{BOLD, GREEN, Output, RED, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::event::Event;
use crate::name::ModelName;
use crate::phrase;
use crate::registry::RegistryError;
use crate::text::one_line;
use crate::view;

/// Show what changed between two moments: versions, stages, requests, access, not lines of files
///
/// Examples: `greenroom diff 2026-03-01`; `greenroom diff v1 v2`
#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The earlier moment: a time such as 2026-03-01, or a git revision
    #[arg(value_name = "MOMENT")]
    before: String,
    /// The later moment; by default now
    #[arg(value_name = "MOMENT")]
    after: Option<String>,
}

pub(in crate::cli) fn run(args: &DiffArgs, session: &mut Session) -> Result<Exit, CliError> {
    let registry = session.registry()?;
    // A moment before the first commit is an empty registry.
    let moment = |m: &str| match registry.moment(m) {
        Ok(commit) => Ok(Some(commit)),
        Err(RegistryError::BeforeHistory(_)) => Ok(None),
        Err(e) => Err(e),
    };
    let before = moment(&args.before)?;
    let after = args.after.as_deref().map_or_else(|| registry.head(), moment)?;
    let diff = registry.diff(before, after)?;
    if session.out.is_json() {
        session.out.json(&view::Difference { before, after, events: &diff.events })?;
        return Ok(Exit::Ok);
    }
    if diff.events.is_empty() {
        session.out.line("There are no differences.");
    }
    print(&mut session.out, &diff.events);
    Ok(Exit::Ok)
}

/// Prints events grouped by model, each with the earlier value where that helps.
pub(in crate::cli) fn print(out: &mut Output, events: &[Event]) {
    // The events of a model need not follow each other; the first one gives the place of its group.
    let mut groups: Vec<(Option<&ModelName>, Vec<&Event>)> = Vec::new();
    for event in events {
        match groups.iter_mut().find(|(model, _)| *model == event.model()) {
            Some((_, group)) => group.push(event),
            None => groups.push((event.model(), vec![event])),
        }
    }
    for (number, (model, group)) in groups.into_iter().enumerate() {
        if number > 0 {
            out.line("");
        }
        out.line(styled(BOLD, model.map_or("registry", |m| m.as_str())));
        for event in group {
            out.foreign(&format!("  {}", phrase::act(event)));
            for detail in phrase::details(event) {
                out.foreign(&format!("      {detail}"));
            }
            for FieldChange { field, old, new } in changes(event) {
                field_change(out, &field, &old, &new);
            }
        }
    }
}

/// A changed field.
#[derive(Debug, PartialEq, Eq)]
struct FieldChange {
    field: String,
    old: String,
    new: String,
}

fn field_change(out: &mut Output, field: &str, old: &str, new: &str) {
    let is_short = |s: &str| !s.contains('\n') && s.chars().count() <= 60;
    if !field.is_empty() && is_short(old) && is_short(new) {
        let shown = |s: &str| if s.is_empty() { "(nothing)".to_owned() } else { s.to_owned() };
        out.foreign(&format!("      {field}: {} → {}", shown(old), shown(new)));
        return;
    }
    if !field.is_empty() {
        out.foreign(&format!("      {field}:"));
    }
    for (sign, style, text) in [("-", RED, old), ("+", GREEN, new)] {
        for line in text.lines() {
            out.line(format!("      {}", styled(style, &one_line(&format!("{sign} {line}")))));
        }
    }
}

/// The earlier values that an event holds, beside the new ones.
fn changes(event: &Event) -> Vec<FieldChange> {
    let one = |field: &str, old: String, new: String| vec![FieldChange { field: field.to_owned(), old, new }];
    match event {
        Event::ModelDescribed { description, before, .. } | Event::VersionDescribed { description, before, .. } => {
            one("", before.to_string(), description.to_string())
        }
        Event::ModelTagSet { key, value, before: Some(before), .. }
        | Event::VersionTagSet { key, value, before: Some(before), .. } => {
            one(key.as_str(), before.to_string(), value.to_string())
        }
        Event::AliasSet { alias, version, before: Some(before), .. } => {
            one(&format!("@{alias}"), before.to_string(), version.to_string())
        }
        Event::Granted { to, level, before: Some(before), .. } => {
            one(&to.to_string(), before.to_string(), level.to_string())
        }
        other => fields(&serde_json::to_value(other).unwrap_or(Value::Null)),
    }
}

/// The fields in which the two sides of an event differ, if the event has two sides.
fn fields(event: &Value) -> Vec<FieldChange> {
    let (Some(before @ Value::Object(_)), Some(after @ Value::Object(_))) = (event.get("before"), event.get("after"))
    else {
        return Vec::new();
    };
    let mut out = Vec::new();
    compare("", before, after, &mut out);
    out
}

fn compare(at: &str, old: &Value, new: &Value, out: &mut Vec<FieldChange>) {
    if old == new {
        return;
    }
    let nothing = serde_json::Map::new();
    match (old, new) {
        (Value::Object(_) | Value::Null, Value::Object(_) | Value::Null) => {
            let (old, new) = (old.as_object().unwrap_or(&nothing), new.as_object().unwrap_or(&nothing));
            let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                compare(&at, old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null), out);
            }
        }
        _ => out.push(FieldChange { field: at.to_owned(), old: shown(old), new: shown(new) }),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_sides_differ_field_by_field() {
        let event = json!({
            "before": {"name": "a", "stages": {"Production": {"approvals": 1}}, "same": [1]},
            "after": {"name": "a", "stages": {"Production": {"approvals": 2}, "Gone": null}, "same": [1], "tags": {"k": "v"}},
        });
        let change =
            |field: &str, old: &str, new: &str| FieldChange { field: field.into(), old: old.into(), new: new.into() };
        assert_eq!(fields(&event), [change("stages.Production.approvals", "1", "2"), change("tags.k", "", "v")]);
        assert_eq!(fields(&json!({"before": 1, "after": 2})), []);
    }
}
