//! `greenroom compare`: parameters, metrics, tags, environment and schema of versions, side by side.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::version::{aliases_by_version, column_type, metric_text};
use crate::apply::Refusal;
use crate::cli::terminal::complete;
use crate::cli::terminal::output::{BOLD, local, styled};
use crate::cli::terminal::report::{CliError, Exit};
use crate::cli::terminal::session::Session;
use crate::cli::terminal::table::Table;
use crate::cli::terminal::version_argument;
use crate::entity::Version;
use crate::entity::version::{Column, Schema};
use crate::name::{InvalidName, ModelName};
use crate::reference::{InvalidRef, ModelRef, VersionPick};
use crate::snapshot::ModelView;
use crate::stage::Stage;
use crate::text::{one_line, quoted};
use crate::view::{Compared, Comparison, ModelVersion, Number};

/// Compare versions of a model: parameters, metrics, tags, environment and schema
///
/// Example: `greenroom compare churn 1 Production --only-differences`
#[derive(Debug, Args)]
pub(in crate::cli) struct CompareArgs {
    /// The model, then two or more of its versions: numbers, stages, @ALIAS or latest (churn 1 Production); or versions
    /// by references (churn/1 churn/Production); each with @{MOMENT} for the past
    #[arg(value_name = "NAME|VERSION", required = true, num_args = 2.., add = complete::version())]
    words: Vec<String>,
    /// Leave out values that are equal in all versions
    #[arg(long)]
    only_differences: bool,
    /// Show the state as of a time (2026-03-01) or git revision (HEAD~3)
    #[arg(long, value_name = "MOMENT")]
    at: Option<String>,
}

/// A version in the comparison.
pub(in crate::cli) struct ComparedVersion {
    number: u64,
    stage: Stage,
    version: Version,
    view: ModelVersion,
}

/// A key and its value in each version.
pub(in crate::cli) struct Row {
    pub(in crate::cli) key: String,
    /// The key in JSON.
    id: String,
    /// The value as text; `None` if the version has no such value.
    pub(in crate::cli) shown: Vec<Option<String>>,
    json: Vec<Value>,
}

impl Row {
    pub(in crate::cli) fn differs(&self) -> bool {
        self.shown.windows(2).any(|w| matches!(w, [a, b] if a != b))
    }
}

/// Rows under a title. The JSON key of the part is a field of its own.
pub(in crate::cli) struct CompareSection {
    pub(in crate::cli) title: &'static str,
    id: &'static str,
    pub(in crate::cli) rows: Vec<Row>,
}

pub(in crate::cli) fn run(args: &CompareArgs, session: &mut Session) -> Result<Exit, CliError> {
    let (name, sides, heads) = sides(args, session)?;
    let parts = parts(&sides);
    let kept = |row: &&Row| !args.only_differences || row.differs();
    if session.out.is_json() {
        let part = |id: &str| {
            let rows = parts.iter().filter(|p| p.id == id).flat_map(|p| p.rows.iter().filter(kept));
            rows.map(|r| Compared { key: &r.id, values: &r.json, differs: r.differs() }).collect()
        };
        let body = Comparison {
            model: &name,
            versions: sides.iter().map(|s| &s.view).collect(),
            about: part("about"),
            params: part("params"),
            metrics: part("metrics"),
            tags: part("tags"),
            environment: part("environment"),
            inputs: part("inputs"),
            outputs: part("outputs"),
            inference_params: part("inference_params"),
        };
        session.out.json(&body)?;
        return Ok(Exit::Ok);
    }
    let out = &mut session.out;
    let mut any = false;
    for part in parts {
        let rows: Vec<&Row> = part.rows.iter().filter(kept).collect();
        if rows.is_empty() {
            continue;
        }
        if any {
            out.line("");
        }
        any = true;
        out.line(styled(BOLD, part.title));
        let mut table = Table::with_head(std::iter::once(String::new()).chain(heads.iter().cloned()));
        for row in rows {
            let cells = row.shown.iter().map(|v| v.clone().unwrap_or_else(|| "-".to_owned()));
            // Marks a difference with a character, not only with a colour: some people cannot see colours.
            let mark = if !args.only_differences && row.differs() { "* " } else { "  " };
            table.row(std::iter::once(format!("{mark}{}", row.key)).chain(cells));
        }
        table.print(out);
    }
    if !any {
        let name = one_line(name.as_str()).into_owned();
        out.line(format!("The versions of {name} do not differ in parameters, metrics, tags, environment or schema."));
    }
    Ok(Exit::Ok)
}

/// Reads the versions to compare, each as of its moment, and the heads of their columns.
fn sides(args: &CompareArgs, session: &Session) -> Result<(ModelName, Vec<ComparedVersion>, Vec<String>), CliError> {
    let (name, picks) = compared(&args.words)?;
    let registry = session.registry()?;
    let (mut out, mut heads) = (Vec::new(), Vec::new());
    for Operand { pick, moment } in picks {
        if moment.is_some() && args.at.is_some() {
            return Err(CliError::usage("the moment is given twice: in the reference and by --at"));
        }
        let snapshot = registry.as_of(moment.as_deref().or(args.at.as_deref()))?;
        let wanted = ModelRef { model: name.clone(), pick, moment: None };
        let (model, view) = version_argument::find(&snapshot, &wanted)?;
        let side = ComparedVersion::read(&name, &model, view.number)?;
        let then = moment.map_or_else(String::new, |m| format!("@{{{}}}", one_line(&m)));
        heads.push(format!("VERSION {}{then}", side.number));
        out.push(side);
    }
    Ok((name, out, heads))
}

/// A version named on the command line, and the moment to read it at.
struct Operand {
    pick: VersionPick,
    moment: Option<String>,
}

/// The model and the versions that the words name: references, or the name and then versions, each of which may be a
/// reference to the same model, too.
fn compared(words: &[String]) -> Result<(ModelName, Vec<Operand>), CliError> {
    let wrong = |e: InvalidRef| CliError::usage(e.to_string());
    let first = words.first().map(String::as_str).unwrap_or_default();
    let begins: ModelRef = first.parse().map_err(wrong)?;
    let name: Result<ModelName, InvalidName> = first.parse();
    let is_version = |word: &String| word.parse::<ModelRef>().is_ok_and(|r| r.pick != VersionPick::Model);
    // A name may hold `@`. If not all words are references, the first word is a name.
    let (name, versions) = match name {
        Ok(name) if begins.pick == VersionPick::Model || !words.iter().all(is_version) => {
            (name, words.get(1..).unwrap_or_default())
        }
        Ok(_) => (begins.model, words),
        Err(_) if begins.pick != VersionPick::Model => (begins.model, words),
        Err(e) => return Err(wrong(e.into())),
    };
    let picks = versions.iter().map(|word| operand(&name, word)).collect::<Result<Vec<Operand>, CliError>>()?;
    if picks.len() < 2 {
        return Err(CliError::usage("name at least two versions: NAME VERSION VERSION"));
    }
    Ok((name, picks))
}

/// Reads a version of a model: as it is named beside the model, or a reference to that model.
fn operand(name: &ModelName, word: &str) -> Result<Operand, CliError> {
    let (version, moment) = version_argument::moment_of(word, None)?;
    match (version_argument::pick(version), word.parse::<ModelRef>()) {
        (Ok(pick), _) => Ok(Operand { pick, moment }),
        (Err(e), Ok(ModelRef { pick: VersionPick::Model, .. }) | Err(_)) => {
            Err(CliError::usage(format!("{}: {e}", quoted(word))))
        }
        (Err(_), Ok(found)) if found.model == *name => Ok(Operand { pick: found.pick, moment: found.moment }),
        (Err(_), Ok(found)) => {
            let message = format!("all versions must be of one model, not of {name} and {}", found.model);
            Err(CliError::usage(message))
        }
    }
}

impl ComparedVersion {
    /// Reads a version of a model.
    pub(in crate::cli) fn read(name: &ModelName, model: &ModelView<'_>, number: u64) -> Result<Self, CliError> {
        let faulty = || {
            let message = format!("the record of {name} version {number} cannot be read");
            CliError::new(Exit::Failed, message).hint("greenroom check")
        };
        let view = model.version(number)?.ok_or_else(|| Refusal::no_version(name, number))?;
        let version = view.file()?.and_then(|f| f.value).ok_or_else(faulty)?;
        let stage = model.stage_of(number)?;
        let aliases = aliases_by_version(model)?.remove(&number).unwrap_or_default();
        let view = ModelVersion::new(name, number, &version, &stage, &aliases);
        Ok(Self { number, stage, version, view })
    }
}

/// Compares the versions in every part.
pub(in crate::cli) fn parts(sides: &[ComparedVersion]) -> Vec<CompareSection> {
    let about = vec![
        row(("stage", "stage"), sides, |s| Some((s.stage.to_string(), json!(s.stage)))),
        row(("created", "created_at"), sides, |s| Some((local(s.version.created_at), json!(s.version.created_at)))),
        row(("created by", "created_by"), sides, |s| {
            Some((s.version.created_by.to_string(), json!(s.version.created_by)))
        }),
        row(("run", "run_id"), sides, |s| {
            let run = &s.version.source.run_id;
            (!run.is_empty()).then(|| (run.to_string(), json!(run)))
        }),
        row(("files", "digest"), sides, |s| {
            let digest = &s.version.artifacts.as_ref()?.digest;
            Some((digest.as_str().get(..16).unwrap_or_default().to_owned(), json!(digest)))
        }),
    ];
    let params =
        rows(sides, |s| s.version.params.iter().map(|(k, v)| (k.to_string(), (v.to_string(), json!(v)))).collect());
    let metrics = rows(sides, |s| {
        let one = |m: &crate::entity::version::Metric| (metric_text(m), json!(Number(m.value())));
        s.version.metrics.iter().map(|(k, m)| (k.to_string(), one(m))).collect()
    });
    let tags =
        rows(sides, |s| s.version.tags.iter().map(|(k, v)| (k.to_string(), (v.to_string(), json!(v)))).collect());
    let columns = |of: fn(&Schema) -> &Vec<Column>| {
        rows(sides, move |s| s.version.schema.as_ref().map_or_else(BTreeMap::new, |schema| named(of(schema))))
    };
    vec![
        CompareSection { title: "Versions", id: "about", rows: about },
        CompareSection { title: "Parameters", id: "params", rows: params },
        CompareSection { title: "Metrics", id: "metrics", rows: metrics },
        CompareSection { title: "Tags", id: "tags", rows: tags },
        CompareSection { title: "Environment", id: "environment", rows: environment(sides) },
        CompareSection { title: "Inputs", id: "inputs", rows: columns(|s| &s.inputs) },
        CompareSection { title: "Outputs", id: "outputs", rows: columns(|s| &s.outputs) },
        CompareSection { title: "Inference parameters", id: "inference_params", rows: columns(|s| &s.params) },
    ]
}

/// The environment of a version, from its model folder: one row for each package.
fn environment(sides: &[ComparedVersion]) -> Vec<Row> {
    rows(sides, |s| {
        let told = |text: &crate::text::Text| (text.to_string(), json!(text));
        let mut out: BTreeMap<String, Cell> = BTreeMap::new();
        if let Some(model) = &s.version.model {
            let versions = [("mlflow", &model.mlflow_version), ("python", &model.python_version)];
            out.extend(versions.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_owned(), told(v))));
        }
        if let Some(environment) = &s.version.environment {
            for package in environment.conda.iter().chain(&environment.pip) {
                let (name, version) = package_of(package.as_str());
                out.insert(name.to_owned(), (version.to_owned(), json!(version)));
            }
        }
        out
    })
}

/// Splits a requirement such as `numpy==2.1.0` into name and version; without a version, all of it is the name.
fn package_of(requirement: &str) -> (&str, &str) {
    let end = requirement.find(|c: char| "=<>!~; @[".contains(c)).unwrap_or(requirement.len());
    let (name, rest) = requirement.split_at(end);
    let version = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')).unwrap_or(rest).trim();
    (name, if version.is_empty() { "any" } else { version })
}

/// The value of one version: as text, and as JSON.
type Cell = (String, Value);

/// The columns of a schema by name; a column without a name goes by its position.
fn named(columns: &[Column]) -> BTreeMap<String, Cell> {
    let key = |(i, c): (usize, &Column)| if c.name.is_empty() { format!("#{}", i + 1) } else { c.name.to_string() };
    columns.iter().enumerate().map(|(i, c)| (key((i, c)), (column_type(c), json!(column_type(c))))).collect()
}

fn row((key, id): (&str, &str), sides: &[ComparedVersion], cell: impl Fn(&ComparedVersion) -> Option<Cell>) -> Row {
    let cells: Vec<Option<Cell>> = sides.iter().map(cell).collect();
    Row {
        key: key.to_owned(),
        id: id.to_owned(),
        shown: cells.iter().map(|c| c.as_ref().map(|(text, _)| text.clone())).collect(),
        json: cells.into_iter().map(|c| c.map_or(Value::Null, |(_, json)| json)).collect(),
    }
}

/// One row for each key that any version has, sorted.
fn rows(sides: &[ComparedVersion], cells: impl Fn(&ComparedVersion) -> BTreeMap<String, Cell>) -> Vec<Row> {
    let all: Vec<BTreeMap<String, Cell>> = sides.iter().map(cells).collect();
    let keys: std::collections::BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let one = |key: &String| Row {
        key: key.clone(),
        id: key.clone(),
        shown: all.iter().map(|m| m.get(key).map(|(text, _)| text.clone())).collect(),
        json: all.iter().map(|m| m.get(key).map_or(Value::Null, |(_, json)| json.clone())).collect(),
    };
    keys.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The model and its versions as references, or the exit code.
    fn read(words: &str) -> Result<String, Exit> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let (model, operands) = compared(&words).map_err(|e| e.exit)?;
        let shown = operands.into_iter().map(|Operand { pick, moment }| {
            ModelRef { model: model.clone(), pick, moment }.to_string().replace("models:/", "")
        });
        Ok(shown.collect::<Vec<String>>().join(" "))
    }

    #[test]
    fn versions_are_named_beside_their_model_or_by_references_in_any_mixture() {
        for (words, want) in [
            ("churn 1 Production", "churn/1 churn/Production"),
            ("churn 3 Production@{2026-03-01}", "churn/3 churn/Production@{2026-03-01}"),
            ("churn/1@{2026-03-01} churn/3", "churn/1@{2026-03-01} churn/3"),
            ("churn/1@{2026-03-01} 3 @champion", "churn/1@{2026-03-01} churn/3 churn@champion"),
            ("churn 3 churn/1@{2026-03-01}", "churn/3 churn/1@{2026-03-01}"),
            ("churn models:/churn/1 latest", "churn/1 churn/latest"),
            ("churn@a churn@b", "churn@a churn@b"),
            ("a@b 1 2", "a@b/1 a@b/2"),
            ("a@b 1 a@b/2", "a@b/1 a@b/2"),
        ] {
            assert_eq!(read(words).as_deref(), Ok(want), "{words}");
        }
        for wrong in ["churn 1", "churn/1", "churn/1 wine/2", "churn 1 wine/2", "a:b 1 2", "churn/1 @{x}"] {
            assert_eq!(read(wrong), Err(Exit::Usage), "{wrong}");
        }
    }
}
