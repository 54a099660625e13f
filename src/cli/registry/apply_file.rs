//! `greenroom apply`: many actions from a file in one commit, all or nothing.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::apply_entry::{ApplyEntry, Entries, WORDS};
use super::settings::current;
use crate::action::Action;
use crate::cli::terminal::change::{self, ChangeArgs};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::format::Problem;
use crate::format::read::read;
use crate::format::strict_json::StrictJson;
use crate::text::{counted, quoted};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// The largest number of actions in one commit.
const MAX_ACTIONS: usize = 10_000;

/// The long help of `greenroom apply`.
const ABOUT: &str = r#"Make many changes in one commit, all or nothing

Example: `greenroom apply --file changes.toml`

The file is TOML, JSON or JSON Lines. Each action has a `do` and the fields of that action:

    [[action]]
    do = "model.create"
    model = "churn"

    [[action]]
    do = "version.create"
    model = "churn"
    source = "s3://models/churn/1"
    metrics = { auc = 0.91 }

In JSON the actions are an array, or one object per line:

    {"do": "model.create", "model": "churn"}"#;

/// Make many changes in one commit, all or nothing
#[derive(Debug, Args)]
#[command(long_about = ABOUT, after_long_help = after_help())]
pub(in crate::cli) struct ApplyArgs {
    /// The file with the actions; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
}

fn after_help() -> String {
    format!("Actions and their fields:\n{WORDS}")
}

pub(in crate::cli) fn run(args: &ApplyArgs, session: &mut Session) -> Result<Exit, CliError> {
    let name = if args.file == Path::new("-") { "standard input".to_owned() } else { args.file.display().to_string() };
    let text = contents(session, &args.file, &name)?;
    let entries = parse(&name, &text)?;
    if entries.is_empty() || entries.len() > MAX_ACTIONS {
        let count = counted(entries.len(), "action");
        let message = format!("{} has {count}; it must have 1 to {MAX_ACTIONS}", quoted(&name));
        return Err(CliError::new(Exit::Failed, message));
    }
    let words: Vec<String> = entries.iter().map(|e| e.word.clone()).collect();
    let mut settings = current(&session.registry()?, None)?;
    let actions: Vec<Action> = entries.into_iter().map(|e| e.action(&mut settings)).collect();
    change::apply(session, &args.change, &actions).map_err(|e| match e.action.and_then(|i| Some((i, words.get(i)?))) {
        Some((index, word)) => {
            let message = format!("action {} of {} ({word}): {}", index + 1, words.len(), e.message);
            CliError { message, ..e }
        }
        None => e,
    })
}

fn contents(session: &Session, file: &Path, name: &str) -> Result<String, CliError> {
    let failed = |e: std::io::Error| CliError {
        causes: vec![e.to_string()],
        ..CliError::new(Exit::Failed, format!("could not read {}", quoted(name)))
    };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let opened = std::fs::File::open(session.path(file)).map_err(failed)?;
        opened.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("{} is larger than {MAX_FILE} bytes; split it", quoted(name));
        return Err(CliError::new(Exit::Failed, message));
    }
    String::from_utf8(bytes).map_err(|_| CliError::new(Exit::Failed, format!("{} is not UTF-8", quoted(name))))
}

/// Reads the entries of a text in one of the three formats.
fn parse(name: &str, text: &str) -> Result<Vec<ApplyEntry>, CliError> {
    let (entries, problems) = if is_json(text) {
        let lines = json_as_toml(text).map_err(|why| {
            CliError::new(Exit::Failed, format!("{} is not JSON that can be applied: {why}", quoted(name)))
        })?;
        let (entries, problems) = read::<Entries>(name, lines.as_bytes());
        (entries, problems.into_iter().map(of_entry).collect())
    } else {
        read::<Entries>(name, text.as_bytes())
    };
    match entries {
        Some(Entries(entries)) if problems.is_empty() => Ok(entries),
        Some(_) | None => {
            let mut causes: Vec<String> = problems.iter().take(20).map(Problem::to_string).collect();
            if problems.len() > 20 {
                causes.push(format!("and {}", counted(problems.len() - 20, "more fault")));
            }
            Err(CliError { causes, ..CliError::new(Exit::Failed, format!("{} cannot be applied", quoted(name))) }
                .hint("greenroom apply --help shows the actions and their fields"))
        }
    }
}

/// Whether a text is JSON: an object, or an array of objects. A TOML file starts with a key or `[[action]]`.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    let array = text.strip_prefix('[').map(str::trim_start);
    text.starts_with('{') || array.is_some_and(|rest| rest.starts_with(['{', ']']))
}

/// Names the action of a JSON file that a fault is in. The converted TOML has one action on each line.
fn of_entry(problem: Problem) -> Problem {
    let path = format!("{} action {}", problem.path, problem.line.saturating_sub(1).max(1));
    Problem { path, line: 0, column: 0, ..problem }
}

/// Converts JSON to equivalent TOML with one action on each line, so that one reader serves both formats.
fn json_as_toml(text: &str) -> Result<String, String> {
    let mut out = "action = [\n".to_owned();
    let mut line = |value: &Value| {
        put(value, "", &mut out)?;
        out.push_str(",\n");
        Ok::<_, String>(())
    };
    for value in serde_json::Deserializer::from_str(text).into_iter::<StrictJson>() {
        match value.map_err(|e| e.to_string())?.0 {
            Value::Array(entries) => entries.iter().try_for_each(&mut line)?,
            Value::Object(entry) => match entry.get("action") {
                Some(Value::Array(entries)) if entry.len() == 1 => entries.iter().try_for_each(&mut line)?,
                Some(_) | None => line(&Value::Object(entry))?,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err("each action must be an object".to_owned());
            }
        }
    }
    out.push_str("]\n");
    Ok(out)
}

/// Writes a value. `within` is the enclosing key of the entry; it decides which strings are points in time.
fn put(value: &Value, within: &str, out: &mut String) -> Result<(), String> {
    match value {
        Value::Null => return Err("null is not allowed in an array".to_owned()),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) => out.push_str(&basic(s)),
        Value::Array(elements) => {
            out.push('[');
            for element in elements {
                put(element, within, out)?;
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            let mut first = true;
            for (key, field) in fields.iter().filter(|(_, v)| !v.is_null()) {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                out.push_str(&basic(key));
                out.push('=');
                match field {
                    Value::String(s) if is_time(within, key) && s.parse::<crate::time::Timestamp>().is_ok() => {
                        out.push_str(s);
                    }
                    _ => put(field, if within.is_empty() { key } else { within }, out)?,
                }
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Whether a key within a field of an action holds a point in time.
fn is_time(within: &str, key: &str) -> bool {
    match within {
        "metrics" => key == "timestamp",
        "keys" => key == "added_at" || key == "revoked_at",
        "frozen" => key == "from" || key == "to",
        _ => false,
    }
}

/// A TOML basic string. JSON escapes every character that TOML requires to be escaped, except DEL.
fn basic(s: &str) -> String {
    Value::from(s).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::settings::{FORMAT, IdentitySettings, Layout, Rules};
    use crate::entity::{Person, Settings};

    fn settings() -> Settings {
        Settings {
            id: crate::name::Id::from_parts(0, [0; 10]),
            name: crate::text::Text::default(),
            format: FORMAT,
            layout: Layout::Flat,
            identity: IdentitySettings::default(),
            notifications: crate::entity::settings::MailPolicy::default(),
            rules: Rules::default(),
            sources: Default::default(),
            acknowledged: Vec::new(),
            stages: std::collections::BTreeMap::new(),
            aliases: std::collections::BTreeMap::new(),
        }
    }

    fn actions(text: &str) -> Result<Vec<Action>, Vec<String>> {
        let mut settings = settings();
        match parse("f", text) {
            Ok(entries) => Ok(entries.into_iter().map(|e| e.action(&mut settings)).collect()),
            Err(e) => Err(if e.causes.is_empty() { vec![e.message] } else { e.causes }),
        }
    }

    const ID: &str = "0199a000-0000-7000-8000-00000000aaaa";

    /// A complete entry for each action of the help, without `do`.
    fn sample(word: &str) -> String {
        let version = r#""model": "m", "version": 1"#;
        let rest = match word {
            "settings.change" => r#""authority": "signature", "self_approval": true, "removal": "any""#.to_owned(),
            "stage.set" => r#""stage": "Canary", "approvals": 2, "require": {"metrics": {"auc": ">= 0.9"}},
                "frozen": [{"from": "2026-12-20", "to": "2027-01-03T00:00:00Z"}]"#
                .to_owned(),
            "stage.unset" => r#""stage": "Canary""#.to_owned(),
            "alias.guard" => r#""alias": "champion", "approvers": ["group:risk"],
                "frozen": [{"from": "2026-12-20", "to": "2027-01-03"}]"#
                .to_owned(),
            "alias.unguard" => r#""alias": "champion""#.to_owned(),
            "model.create" | "model.delete" => r#""model": "m""#.to_owned(),
            "model.describe" => r#""model": "m", "description": "x""#.to_owned(),
            "model.rename" => r#""model": "m", "to": "n""#.to_owned(),
            "model.set_tag" => r#""model": "m", "key": "k", "value": "v""#.to_owned(),
            "model.delete_tag" => r#""model": "m", "key": "k""#.to_owned(),
            "version.create" => r#""model": "m", "source": "s3://b/1", "params": {"timestamp": "2026-01-01T00:00:00Z"},
                "metrics": {"auc": 0.9, "f1": {"value": 1, "step": 3, "timestamp": "2026-01-01T00:00:00Z"}}"#
                .to_owned(),
            "version.describe" => format!(r#"{version}, "description": "a \"b\"\né \u00e9""#),
            "version.set_status" => format!(r#"{version}, "status": "READY""#),
            "version.add_evidence" => format!(r#"{version}, "params": {{"depth": "3"}}"#),
            "version.set_tag" => format!(r#"{version}, "key": "k", "value": "v""#),
            "version.delete_tag" => format!(r#"{version}, "key": "k""#),
            "version.transition" | "request.create" => {
                format!(r#"{version}, "to": "staging", "archive_existing": true"#)
            }
            "alias.set" => format!(r#"{version}, "alias": "a""#),
            "alias.delete" => r#""model": "m", "alias": "a""#.to_owned(),
            "version.delete" | "request.approve" => version.to_owned(),
            "request.reject" => format!(r#"{version}, "stage": "Staging", "by": "bob", "comment": null"#),
            "request.cancel" | "comment.delete" => format!(r#"{version}, "id": "{ID}""#),
            "comment.add" => format!(r#"{version}, "text": "x""#),
            "comment.edit" => format!(r#"{version}, "id": "{ID}", "text": "x""#),
            "access.grant" => r#""to": "group:risk", "level": "CAN_READ", "model": "m""#.to_owned(),
            "access.revoke" => r#""to": "bob""#.to_owned(),
            "group.change" => r#""group": "risk", "add": ["bob"]"#.to_owned(),
            "group.delete" => r#""group": "risk""#.to_owned(),
            "person.add" | "person.change" => r#""user": "bob", "emails": ["bob@example.org"],
                "keys": [{"key": "ssh-ed25519 AAAA", "added_at": "2026-01-01T00:00:00Z"}]"#
                .to_owned(),
            "person.remove" => r#""user": "bob""#.to_owned(),
            "webhook.create" => r#""url": "https://example.org", "events": ["version.*"]"#.to_owned(),
            "webhook.change" => format!(r#""id": "{ID}", "url": "https://example.org", "events": ["*"]"#),
            "webhook.delete" => format!(r#""id": "{ID}""#),
            other => panic!("{other} has no sample"),
        };
        format!(r#"{{"do": "{word}", {rest}}}"#)
    }

    /// The `do` of an action; `None` for an action that a file cannot contain.
    fn word_of(action: &Action) -> Option<&'static str> {
        Some(match action {
            Action::CreateRegistry { .. }
            | Action::Reshard { .. }
            | Action::MoveRegistry { .. }
            | Action::CompleteVersion { .. }
            | Action::SetGrants { .. } => return None,
            Action::ChangeSettings { .. } => "settings.change",
            Action::CreateModel { .. } => "model.create",
            Action::DescribeModel { .. } => "model.describe",
            Action::RenameModel { .. } => "model.rename",
            Action::DeleteModel { .. } => "model.delete",
            Action::SetModelTag { .. } => "model.set_tag",
            Action::DeleteModelTag { .. } => "model.delete_tag",
            Action::CreateVersion { .. } => "version.create",
            Action::DescribeVersion { .. } => "version.describe",
            Action::SetStatus { .. } => "version.set_status",
            Action::AddEvidence { .. } => "version.add_evidence",
            Action::DeleteVersion { .. } => "version.delete",
            Action::SetVersionTag { .. } => "version.set_tag",
            Action::DeleteVersionTag { .. } => "version.delete_tag",
            Action::SetAlias { .. } => "alias.set",
            Action::DeleteAlias { .. } => "alias.delete",
            Action::Transition { .. } => "version.transition",
            Action::CreateRequest { .. } => "request.create",
            Action::ApproveRequest { .. } => "request.approve",
            Action::RejectRequest { .. } => "request.reject",
            Action::CancelRequest { .. } => "request.cancel",
            Action::AddComment { .. } => "comment.add",
            Action::EditComment { .. } => "comment.edit",
            Action::DeleteComment { .. } => "comment.delete",
            Action::Grant { .. } => "access.grant",
            Action::Revoke { .. } => "access.revoke",
            Action::ChangeGroup { .. } => "group.change",
            Action::DeleteGroup { .. } => "group.delete",
            Action::AddPerson { .. } => "person.add",
            Action::ChangePerson { .. } => "person.change",
            Action::RemovePerson { .. } => "person.remove",
            Action::CreateWebhook { .. } => "webhook.create",
            Action::ChangeWebhook { .. } => "webhook.change",
            Action::DeleteWebhook { .. } => "webhook.delete",
        })
    }

    fn words() -> Vec<&'static str> {
        WORDS.lines().filter_map(|l| l.split_whitespace().next()).filter(|w| w.contains('.')).collect()
    }

    #[test]
    fn each_action_of_the_help_is_read_as_what_it_says() {
        assert_eq!(words().len(), 38);
        for word in words() {
            let read = actions(&sample(word)).unwrap_or_else(|e| panic!("{word}: {e:?}"));
            let rule = word.starts_with("stage.") || word.ends_with("guard");
            let wanted = if rule { "settings.change" } else { word };
            assert_eq!(read.iter().map(word_of).collect::<Vec<_>>(), [Some(wanted)], "{word}");
        }
    }

    #[test]
    fn toml_json_and_json_lines_say_the_same() {
        let lines: Vec<String> = words().into_iter().map(|w| sample(w).replace('\n', " ")).collect();
        let array = actions(&format!("[{}]", lines.join(",\n"))).unwrap();
        assert_eq!(array.len(), words().len());
        assert_eq!(actions(&lines.join("\n")), Ok(array.clone()));
        assert_eq!(actions(&format!(r#"{{"action": [{}]}}"#, lines.join(","))), Ok(array));

        let toml = "[[action]]\ndo = \"comment.add\"\nmodel = \"m\"\nversion = 2\ntext = '''\nover\nlines'''\n";
        let json = r#"{"do": "comment.add", "model": "m", "version": 2, "text": "over\nlines"}"#;
        assert_eq!(actions(toml), actions(json));
    }

    #[test]
    fn changes_of_settings_build_on_those_before() {
        let text = format!("{}\n{}\n{}", sample("settings.change"), sample("stage.set"), sample("stage.unset"));
        let read = actions(&text).unwrap();
        let Some(Action::ChangeSettings { settings, .. }) = read.get(1) else { panic!("{read:?}") };
        assert!(settings.identity.self_approval);
        assert_eq!(settings.rules.removal, crate::entity::settings::Removal::Any);
        assert_eq!(settings.stages.values().map(|r| r.approvals).collect::<Vec<_>>(), [2]);
        let Some(Action::ChangeSettings { settings, .. }) = read.get(2) else { panic!("{read:?}") };
        assert!(settings.stages.is_empty());
    }

    #[test]
    fn a_person_is_read_whole() {
        let read = actions(&sample("person.add")).unwrap();
        let Some(Action::AddPerson { person: Person { keys, emails, .. }, .. }) = read.first() else {
            panic!("{read:?}")
        };
        assert_eq!((keys.len(), emails.len()), (1, 1));
        assert_eq!(keys[0].added_at.map(|t| t.to_string()), Some("2026-01-01T00:00:00.000Z".to_owned()));
    }

    #[test]
    fn all_faults_are_listed_with_their_place() {
        let toml = "[[action]]\ndo = \"model.create\"\nname = \"m\"\n\n[[action]]\ndo = \"model.make\"\n";
        assert_eq!(
            actions(toml),
            Err(vec![
                "f:1:1: `model` is missing in `action` [missing-key]".to_owned(),
                "f:3:1: `name` is not a key of this table [unknown-key]".to_owned(),
                "f:5:1: 'model.make' is not an action; `greenroom apply --help` lists the actions [value]".to_owned(),
            ])
        );
        let json = "{\"do\": \"model.delete\", \"model\": \"m\"}\n{\"do\": \"model.delete\", \"model\": \"a/b\"}";
        let faults = actions(json).unwrap_err();
        assert!(faults.len() == 1 && faults[0].starts_with("f action 2: "), "{faults:?}");
    }

    #[test]
    fn what_is_no_list_of_actions_is_refused() {
        for bad in ["{", "[1]", "{} 1", "[null]", "{\"do\": 1}", "action = 1", "", "do = 'model.create'", "[[[]]]"] {
            assert!(actions(bad).is_err(), "{bad}");
        }
        let deep = format!("{}{}", "[{\"a\":".repeat(5000), "}]".repeat(5000));
        assert!(actions(&deep).is_err());
    }
}
