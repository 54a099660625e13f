//! `greenroom apply`: many actions from a file in one commit, all or nothing.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::apply_entry::{Entries, Entry, WORDS};
use super::change::{self, ChangeArgs};
use super::report::{CliError, Exit};
use super::session::Session;
use super::settings::current;
use crate::action::Action;
use crate::format::Problem;
use crate::format::read::read;
use crate::text::quoted;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// How many actions one commit may hold.
const MAX_ACTIONS: usize = 10_000;

/// Make many changes in one commit, all or nothing
///
/// The file is TOML, JSON or JSON Lines. Each action says what to `do`, and the fields that belong to it:
///
///     [[action]]
///     do = "model.create"
///     model = "churn"
///
///     [[action]]
///     do = "version.create"
///     model = "churn"
///     source = "s3://models/churn/1"
///     metrics = { auc = 0.91 }
///
/// In JSON the actions are an array, or one object a line:
///
///     {"do": "model.create", "model": "churn"}
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = after_help())]
pub(super) struct ApplyArgs {
    /// The file with the actions; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
}

fn after_help() -> String {
    format!("Actions and their fields:\n{WORDS}")
}

pub(super) fn run(args: &ApplyArgs, session: &mut Session) -> Result<Exit, CliError> {
    let name = if args.file == Path::new("-") { "standard input".to_owned() } else { args.file.display().to_string() };
    let text = contents(session, &args.file, &name)?;
    let entries = parse(&name, &text)?;
    if entries.is_empty() || entries.len() > MAX_ACTIONS {
        let message = format!("{} holds {} actions; it must be 1 to {MAX_ACTIONS}", quoted(&name), entries.len());
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

/// Reads the entries of a text in one of the three forms.
fn parse(name: &str, text: &str) -> Result<Vec<Entry>, CliError> {
    let (entries, problems) = if is_json(text) {
        let lines = json_as_toml(text).map_err(|why| {
            CliError::new(Exit::Failed, format!("{} is no JSON that can be applied: {why}", quoted(name)))
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
                causes.push(format!("and {} faults more", problems.len() - 20));
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

/// Says which action of a JSON file a fault is in, for there is one to a line of what was made of it.
fn of_entry(problem: Problem) -> Problem {
    let path = format!("{} action {}", problem.path, problem.line.saturating_sub(1).max(1));
    Problem { path, line: 0, column: 0, ..problem }
}

/// Writes JSON as TOML that says the same, an action a line, so that one reader serves both.
fn json_as_toml(text: &str) -> Result<String, String> {
    let mut out = "action = [\n".to_owned();
    let mut line = |value: &Value| {
        put(value, "", &mut out)?;
        out.push_str(",\n");
        Ok::<_, String>(())
    };
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match value.map_err(|e| e.to_string())? {
            Value::Array(entries) => entries.iter().try_for_each(&mut line)?,
            Value::Object(entry) => match entry.get("action") {
                Some(Value::Array(entries)) if entry.len() == 1 => entries.iter().try_for_each(&mut line)?,
                Some(_) | None => line(&Value::Object(entry))?,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err("an action is an object".to_owned());
            }
        }
    }
    out.push_str("]\n");
    Ok(out)
}

/// Writes a value; `within` is the key of the entry that it lies in, which says where strings are points in time.
fn put(value: &Value, within: &str, out: &mut String) -> Result<(), String> {
    match value {
        Value::Null => return Err("null stands for nothing within an array".to_owned()),
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

/// A TOML basic string; JSON escapes all that TOML wants escaped but DEL.
fn basic(s: &str) -> String {
    Value::from(s).to_string().replace('\u{7f}', "\\u007f")
}
