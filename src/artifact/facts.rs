//! What a model folder says about itself, in the words of `version.toml`.

use super::environment::{conda_python, environment, file, python};
use super::mlmodel::MlModel;
use crate::entity::version::{Column, Environment, ModelInfo, Schema};
use crate::text::{Text, one_line};

/// A text longer than this many bytes is cut when it is taken over.
const MAX_FACT: usize = 4096;
/// A schema or environment with more text than this is not taken over: `version.toml` is to stay small.
const MAX_PART: usize = 96 * 1024;

/// Facts about a model, as far as its folder tells. Faults are notes: any folder can be registered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// What it takes and gives.
    pub schema: Option<Schema>,
    /// What made it; none without a readable `MLmodel`.
    pub model: Option<ModelInfo>,
    /// What it needs to run.
    pub environment: Option<Environment>,
    /// The MLflow run that made it; empty if unknown.
    pub run_id: Text,
    /// The MLflow logged model; empty if unknown.
    pub model_id: Text,
    /// Where the logged model's files were; empty if unknown.
    pub artifact_uri: Text,
    /// What people should know: left out, unreadable, suspicious.
    pub notes: Vec<String>,
}

/// Reads a file of the model folder by its path, of at most so many bytes; none if it is not there. The error is one
/// line that says why not.
pub type Read<'r> = &'r dyn Fn(&str, u64) -> Result<Option<Vec<u8>>, String>;

/// Gathers the facts from `MLmodel` and the environment files.
pub fn gather(read: Read<'_>) -> Facts {
    let mut notes = Vec::new();
    let parsed = file("MLmodel", read, &mut notes).and_then(|bytes| {
        let parsed = MlModel::parse(&bytes);
        parsed.map_err(|why| notes.push(format!("MLmodel cannot be read: {why}"))).ok()
    });
    let known = parsed.is_some();
    let mlmodel = parsed.unwrap_or_default();
    let mut info = mlmodel.info(&mut notes);
    let schema = mlmodel.schema(&mut notes);
    let environment = environment(mlmodel.conda_file(), read, &mut notes);
    if known && info.python_version.is_empty() {
        let found = python(mlmodel.python_env_file(), read, &mut notes);
        let found = found.or_else(|| environment.as_ref().and_then(conda_python).map(str::to_owned));
        info.python_version = text(found.as_deref().unwrap_or_default());
    }
    Facts {
        schema: schema.filter(|s| small("the schema", schema_text(s), &mut notes)),
        environment: environment.filter(|e| small("the environment", environment_text(e), &mut notes)),
        model: known.then_some(info),
        run_id: text(mlmodel.run_id.as_deref().unwrap_or_default()),
        model_id: text(mlmodel.model_id.as_deref().unwrap_or_default()),
        artifact_uri: mlmodel.artifact_uri(),
        notes,
    }
}

/// Text from a model folder as it may be stored: one line, escaped, cut.
pub(super) fn text(s: &str) -> Text {
    let mut end = s.len().min(MAX_FACT);
    while !s.is_char_boundary(end) {
        end -= 1;
    }
    Text::new(&one_line(s.get(..end).unwrap_or_default())).unwrap_or_default()
}

fn small(what: &str, bytes: usize, notes: &mut Vec<String>) -> bool {
    if bytes > MAX_PART {
        notes.push(format!(
            "{what} has {bytes} bytes of text, more than the {MAX_PART} that are recorded; it is in the model's own files"
        ));
    }
    bytes <= MAX_PART
}

/// The bytes that a schema takes in `version.toml`, about.
fn schema_text(schema: &Schema) -> usize {
    let column = |c: &Column| 32 + c.name.as_str().len() + c.kind.as_str().len() + c.default.as_str().len();
    [&schema.inputs, &schema.outputs, &schema.params].into_iter().flatten().map(column).sum()
}

fn environment_text(e: &Environment) -> usize {
    [&e.channels, &e.conda, &e.pip].into_iter().flatten().map(|t| 8 + t.as_str().len()).sum()
}
