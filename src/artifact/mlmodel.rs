//! `MLmodel`: what MLflow wrote down about a model. Every field is optional, old and new forms are read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::facts::text;
use super::{signature, yaml};
use crate::entity::version::{Column, ModelInfo, Schema};
use crate::name::Key;
use crate::text::{Text, quoted};

/// More flavors than this are not recorded.
const MAX_FLAVORS: usize = 64;

/// What is of interest in `MLmodel`.
///
/// The plain fields are read as text whatever they look like, so that an id of digits stays as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MlModel {
    /// MLflow 1 and 2: the path within the run; MLflow 3: the address of the logged model's files.
    pub artifact_path: Option<String>,
    /// The run that made the model.
    pub run_id: Option<String>,
    /// The logged model (MLflow 3).
    pub model_id: Option<String>,
    mlflow_version: Option<String>,
    utc_time_created: Option<String>,
    /// Its name before MLflow 1.0.
    time_created: Option<String>,
    flavors: BTreeMap<String, Option<Map<String, Value>>>,
    signature: Option<Signature>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Signature {
    inputs: Value,
    outputs: Value,
    params: Value,
}

impl MlModel {
    /// Reads `MLmodel`; the error is one line that says why not.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        yaml::parse::<Option<Self>>(bytes)?.ok_or_else(|| "it is empty".to_owned())
    }

    /// What made the model; what cannot be taken over is noted.
    pub fn info(&self, notes: &mut Vec<String>) -> ModelInfo {
        let mut flavors = BTreeMap::new();
        if self.flavors.len() > MAX_FLAVORS {
            notes.push(format!("MLmodel: it names {} flavors, {MAX_FLAVORS} are recorded", self.flavors.len()));
        }
        for (name, flavor) in self.flavors.iter().take(MAX_FLAVORS) {
            let Ok(key) = Key::new(name.as_str()) else {
                notes.push(format!("MLmodel: the flavor {} has a name that cannot be recorded", quoted(name)));
                continue;
            };
            flavors.insert(key, text(flavor.as_ref().map_or("", |f| library_version(name, f))));
        }
        let created = self.utc_time_created.as_deref().or(self.time_created.as_deref());
        let created_at = created.and_then(|t| t.parse().ok());
        if let (Some(t), None) = (created, created_at) {
            notes.push(format!("MLmodel: the time of creation {} cannot be read", quoted(t)));
        }
        ModelInfo {
            flavors,
            mlflow_version: text(self.mlflow_version.as_deref().unwrap_or_default()),
            python_version: text(self.pyfunc("python_version").and_then(Value::as_str).unwrap_or_default()),
            created_at,
        }
    }

    /// What the model takes and gives; none without a signature or with a faulty one, which is noted.
    pub fn schema(&self, notes: &mut Vec<String>) -> Option<Schema> {
        let signature = self.signature.as_ref()?;
        let mut read = |part: &str, columns: Result<Vec<Column>, String>| {
            columns.map_err(|why| notes.push(format!("MLmodel: signature.{part}: {why}"))).ok()
        };
        let inputs = read("inputs", signature::columns(&signature.inputs));
        let outputs = read("outputs", signature::columns(&signature.outputs));
        let params = read("params", signature::params(&signature.params));
        let schema = Schema { inputs: inputs?, outputs: outputs?, params: params? };
        if schema == Schema::default() { None } else { Some(schema) }
    }

    /// The conda file: `env.conda`, or `env` itself in models of MLflow 1, or the usual name.
    pub fn conda_file(&self) -> &str {
        self.env("conda").unwrap_or("conda.yaml")
    }

    /// The file of the Python environment.
    pub fn python_env_file(&self) -> &str {
        self.env("virtualenv").unwrap_or("python_env.yaml")
    }

    fn env(&self, manager: &str) -> Option<&str> {
        match self.pyfunc("env")? {
            Value::String(path) if manager == "conda" => Some(path),
            Value::Object(env) => env.get(manager).and_then(Value::as_str),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
        }
    }

    fn pyfunc(&self, key: &str) -> Option<&Value> {
        self.flavors.get("python_function")?.as_ref()?.get(key)
    }

    /// Where the files of the logged model are, where `artifact_path` is an address.
    pub fn artifact_uri(&self) -> Text {
        text(self.artifact_path.as_deref().filter(|p| p.contains(":/")).unwrap_or_default())
    }
}

/// The version of a flavor's library: `<flavor>_version`, or else its one key that ends so (`xgb_version`,
/// `pyspark_version`). Python's own version does not count.
fn library_version<'f>(name: &str, flavor: &'f Map<String, Value>) -> &'f str {
    let own = flavor.get(&format!("{name}_version"));
    let other = || flavor.iter().find(|(k, _)| k.ends_with("_version") && *k != "python_version").map(|(_, v)| v);
    own.or_else(other).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (MlModel, ModelInfo, Option<Schema>, Vec<String>) {
        let mut notes = Vec::new();
        let model = MlModel::parse(yaml.as_bytes()).unwrap_or_default();
        let (info, schema) = (model.info(&mut notes), model.schema(&mut notes));
        (model, info, schema, notes)
    }

    #[test]
    fn the_first_form_of_2018_is_read() {
        let yaml = "time_created: 2018-05-25T17:28:53.35\nflavors:\n  sklearn:\n    sklearn_version: 0.19.1\n    \
                    pickled_model: model.pkl\n  python_function:\n    loader_module: mlflow.sklearn\n";
        let (model, info, schema, notes) = read(yaml);
        let flavors: Vec<_> = info.flavors.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(flavors, [("python_function", ""), ("sklearn", "0.19.1")]);
        assert_eq!(info.created_at.map(|t| t.to_string()).as_deref(), Some("2018-05-25T17:28:53.350Z"));
        assert_eq!((model.conda_file(), schema, notes), ("conda.yaml", None, Vec::new()));
    }

    #[test]
    fn the_form_of_mlflow_1_names_the_conda_file_directly() {
        let (model, info, ..) = read(
            "artifact_path: model\nflavors:\n  python_function:\n    env: my-conda.yaml\n    python_version: 3.8.8\n  \
             xgboost:\n    xgb_version: 1.5.0\nrun_id: 12345678901234567890123456789012\n\
             utc_time_created: '2021-06-01 10:00:00.123456'\n",
        );
        assert_eq!(model.conda_file(), "my-conda.yaml");
        assert_eq!(model.run_id.as_deref(), Some("12345678901234567890123456789012"));
        assert_eq!(info.python_version.as_str(), "3.8.8");
        assert_eq!(info.flavors.get("xgboost").map(Text::as_str), Some("1.5.0"));
        assert!(model.artifact_uri().is_empty());
    }

    #[test]
    fn an_id_that_looks_like_a_number_stays_text() {
        let (model, ..) = read("run_id: 1234567890123456789012345678e012\nmodel_id: 007\n");
        assert_eq!(model.run_id.as_deref(), Some("1234567890123456789012345678e012"));
        assert_eq!(model.model_id.as_deref(), Some("007"));
    }

    #[test]
    fn faults_are_noted_and_the_rest_is_read() {
        let (_, info, schema, notes) = read(
            "flavors: {'bad@name': {}, onnx: null}\nutc_time_created: yesterday\nsignature: {inputs: '[{', params: null}\n",
        );
        assert_eq!(info.flavors.len(), 1);
        assert_eq!(schema, None);
        assert_eq!(notes.len(), 3, "{notes:?}");
    }

    #[test]
    fn what_is_no_mlmodel_is_an_error() {
        for bad in ["", "just text", "- a\n- b\n", "flavors: [a]\n", "{", "run_id: [1]\n"] {
            assert!(MlModel::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
