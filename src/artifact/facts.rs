//! Facts that a model folder states about itself, in the terms of `version.toml`.

use super::environment::{conda_python, environment, file, python};
use super::fact_text::{FileReader, small, text};
use super::mlmodel::MlModel;
use super::yaml;
use crate::entity::version::{Column, Environment, ModelInfo, Schema};
use crate::rules::sources::is_run_or_model_id;
use crate::text::Text;

/// The largest number of notes; more are of no use to a person.
const MAX_NOTES: usize = 50;

/// The facts that a model's folder states. Faults become notes, because any folder can be registered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelFacts {
    /// The inputs, outputs and parameters of the model.
    pub schema: Option<Schema>,
    /// The flavors, versions and metadata from `MLmodel`. `None` if there is no readable `MLmodel` and no note.
    pub model: Option<ModelInfo>,
    /// The packages that the model needs.
    pub environment: Option<Environment>,
    /// The MLflow run that created the model; empty if unknown.
    pub run_id: Text,
    /// The id of the MLflow logged model; empty if unknown.
    pub model_id: Text,
    /// The location of the logged model's files; empty if unknown.
    pub artifact_uri: Text,
    /// Notes for people: excluded, unreadable or suspicious parts.
    pub notes: Vec<String>,
}

/// Collects the facts from `MLmodel` and the environment files.
pub fn gather(read: FileReader<'_>) -> ModelFacts {
    let mut notes = Vec::new();
    let parsed = file("MLmodel", yaml::MAX_MLMODEL, read, &mut notes).and_then(|bytes| {
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
    let run_id = id("run_id", mlmodel.run_id.as_deref(), &mut notes);
    let model_id = id("model_id", mlmodel.model_id.as_deref(), &mut notes);
    let schema = schema.filter(|s| small("the schema", schema_text(s), &mut notes));
    let environment = environment.filter(|e| small("the environment", environment_text(e), &mut notes));
    notes.truncate(MAX_NOTES);
    // Faults stay with the version, even if nothing else is known.
    info.findings = notes.iter().map(|note| text(note)).collect();
    ModelFacts {
        schema,
        environment,
        model: (known || !info.findings.is_empty()).then_some(info),
        run_id,
        model_id,
        artifact_uri: mlmodel.artifact_uri(),
        notes,
    }
}

/// Returns the id of a run or logged model. A text that cannot be an id is left out, with a note.
fn id(key: &str, given: Option<&str>, notes: &mut Vec<String>) -> Text {
    let given = given.filter(|id| !id.is_empty());
    if given.is_some_and(|id| !is_run_or_model_id(id)) {
        notes.push(format!("the {key} of MLmodel is not a valid id, and is left out"));
        return Text::default();
    }
    text(given.unwrap_or_default())
}

/// Returns the approximate size of a schema in `version.toml`, in bytes.
fn schema_text(schema: &Schema) -> usize {
    let column = |c: &Column| 32 + c.name.as_str().len() + c.kind.as_str().len() + c.default.as_str().len();
    [&schema.inputs, &schema.outputs, &schema.params].into_iter().flatten().map(column).sum()
}

fn environment_text(e: &Environment) -> usize {
    [&e.channels, &e.conda, &e.pip].into_iter().flatten().map(|t| 8 + t.as_str().len()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::artifact::fact_text::MAX_FACT;

    fn from(files: &[(&str, &str)]) -> ModelFacts {
        gather(&|name, _| Ok(files.iter().find(|(n, _)| *n == name).map(|(_, text)| text.as_bytes().to_vec())))
    }

    #[test]
    fn the_version_of_python_is_looked_for_in_three_places() {
        let python = |files: &[(&str, &str)]| from(files).model.map(|m| m.python_version.to_string());
        let conda = ("conda.yaml", "dependencies: ['python=3.8.8=h1', pip]");
        let env = ("python_env.yaml", "python: 3.10");
        assert_eq!(
            python(&[("MLmodel", "flavors: {python_function: {python_version: 3.11.7}}"), env]).as_deref(),
            Some("3.11.7")
        );
        assert_eq!(python(&[("MLmodel", "flavors: {}"), env, conda]).as_deref(), Some("3.10"), "as it is written");
        assert_eq!(python(&[("MLmodel", "flavors: {}"), conda]).as_deref(), Some("3.8.8"));
        assert_eq!(python(&[env]), None, "without MLmodel there is no information about the model");
    }

    #[test]
    fn the_conda_file_that_mlmodel_names_is_read() {
        let mlmodel = "flavors: {python_function: {env: {conda: env/c.yaml}}}";
        let facts = from(&[("MLmodel", mlmodel), ("env/c.yaml", "channels: [a]"), ("conda.yaml", "channels: [b]")]);
        let environment = facts.environment.unwrap_or_default();
        assert_eq!((environment.conda_file.as_str(), environment.channels.len()), ("env/c.yaml", 1));
        let away = from(&[("MLmodel", "flavors: {python_function: {env: ../../c.yaml}}")]);
        assert_eq!(away.environment, None);
    }

    #[test]
    fn what_would_swell_the_version_is_noted_instead() {
        let column = r#"{"type": "double", "name": "a column with a name", "required": true}"#;
        let wide = format!("signature: {{inputs: '[{}]'}}", vec![column; 5000].join(","));
        let facts = from(&[("MLmodel", &wide), ("requirements.txt", &"package==1.0 --hash=sha256:0\n".repeat(3))]);
        assert_eq!(facts.schema, None);
        assert!(facts.notes.iter().any(|n| n.starts_with("the schema has")), "{:?}", facts.notes);
        assert_eq!(facts.environment.map(|e| e.pip.len()), Some(1));
        assert_eq!(text(&"ä".repeat(5000)).as_str().len(), MAX_FACT + '…'.len_utf8());
    }

    proptest! {
        #[test]
        fn any_bytes_give_facts(mlmodel in yaml_like(), conda in yaml_like(), pip in yaml_like()) {
            let facts = from(&[("MLmodel", &mlmodel), ("conda.yaml", &conda), ("requirements.txt", &pip)]);
            prop_assert!(facts.notes.len() <= MAX_NOTES);
            prop_assert!(facts.notes.iter().all(|n| n.chars().all(crate::text::is_plain)), "{:?}", facts.notes);
        }
    }

    /// Generates pieces of these files, and noise, in any order.
    fn yaml_like() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "flavors:",
            "\n",
            "  ",
            "- ",
            "python_function:",
            "env: ",
            "signature:",
            "inputs: ",
            "'[{\"type\": ",
            "\"tensor\"}]'",
            "{",
            "}",
            "[",
            "]",
            "channels:",
            "dependencies:",
            "pip:",
            "defaults",
            "&a ",
            "*a",
            "<<: ",
            "!!binary ",
            "://",
            "u:p@h/",
            "run_id: ",
            "1e999",
            "null",
            "\u{202e}",
            "|",
            "\"",
            "'",
            ": ",
            "# ",
        ]);
        prop_oneof![prop::collection::vec(pieces, 0..30).prop_map(|p| p.concat()), any::<String>(),]
    }

    #[test]
    fn ids_that_cannot_be_ids_are_left_out() {
        let facts = from(&[("MLmodel", "run_id: \"a\\e[31m\\nb\"\nmodel_id: 'x\u{202e}y'")]);
        assert_eq!((facts.run_id.as_str(), facts.model_id.as_str()), ("", ""));
        assert_eq!(
            facts.notes.iter().filter(|note| note.contains("is not a valid id")).count(),
            2,
            "{:?}",
            facts.notes
        );
    }
}
