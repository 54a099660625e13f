//! `MLmodel`: MLflow's description of a model. Every field is optional, and old and new forms are read. A faulty field
//! does not affect the others.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fact_text::{small, text};
use super::yaml::{self, Document};
use super::{python_json, signature};
use crate::entity::version::{Column, ModelInfo, Schema};
use crate::name::Key;
use crate::text::{Text, quoted};

/// The largest number of recorded flavors.
const MAX_FLAVORS: usize = 64;

/// The largest number of recorded entries of a list.
const MAX_LISTED: usize = 200;

/// The key of the library version for flavors that do not use `<flavor>_version`.
const VERSION_KEYS: [(&str, &str); 5] = [
    ("crate", "version"),
    ("gluon", "mxnet_version"),
    ("lightgbm", "lgb_version"),
    ("spark", "pyspark_version"),
    ("xgboost", "xgb_version"),
];

/// The relevant content of `MLmodel`.
#[derive(Debug, Default)]
pub struct MlModel {
    /// MLflow 1 and 2: the path within the run. MLflow 3: the URI of the logged model's files.
    pub artifact_path: Option<String>,
    /// The id of the run that created the model.
    pub run_id: Option<String>,
    /// The id of the logged model (MLflow 3).
    pub model_id: Option<String>,
    mlflow_version: Option<String>,
    utc_time_created: Option<String>,
    /// The name of the same field before MLflow 1.0.
    time_created: Option<String>,
    flavors: BTreeMap<String, Map<String, Value>>,
    signature: Value,
    /// All fields, for those that are only recorded and not interpreted.
    fields: Map<String, Value>,
    /// Faults found while reading.
    faults: Vec<String>,
}

impl MlModel {
    /// Parses an `MLmodel` file.
    ///
    /// # Errors
    /// A message of one line that says why it cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Document { value, written, has_more } = yaml::document(bytes)?;
        let (fields, written) = match (value, written) {
            (Value::Null, _) => return Err("it is empty".to_owned()),
            (Value::Object(fields), Value::Object(written)) => (fields, written),
            _ => return Err("it is not a mapping of fields".to_owned()),
        };
        let mut out = Self { signature: fields.get("signature").cloned().unwrap_or_default(), ..Self::default() };
        if has_more {
            out.fault("it holds several documents; only the first is recorded, and MLflow cannot load such a file");
        }
        out.artifact_path = out.plain(&written, "artifact_path");
        out.run_id = out.plain(&written, "run_id");
        out.model_id = out.plain(&written, "model_id");
        out.mlflow_version = out.plain(&written, "mlflow_version");
        out.utc_time_created = out.plain(&written, "utc_time_created");
        out.time_created = out.plain(&written, "time_created");
        out.read_flavors(&written);
        out.fields = fields;
        Ok(out)
    }

    fn fault(&mut self, what: &str) {
        self.faults.push(format!("MLmodel: {what}"));
    }

    /// Returns a field that is a string, or a number as it is written.
    fn plain(&mut self, fields: &Map<String, Value>, key: &str) -> Option<String> {
        match fields.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                self.fault(&format!("{key} is not text"));
                None
            }
        }
    }

    fn read_flavors(&mut self, fields: &Map<String, Value>) {
        let flavors = match fields.get("flavors") {
            None | Some(Value::Null) => return,
            Some(Value::Object(flavors)) => flavors,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                self.fault("flavors is not a mapping of names");
                return;
            }
        };
        for (name, flavor) in flavors {
            let flavor = match flavor {
                Value::Object(flavor) => flavor.clone(),
                Value::Null => Map::new(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    self.fault(&format!("the flavor {} is not a mapping of fields", quoted(name)));
                    Map::new()
                }
            };
            self.flavors.insert(name.clone(), flavor);
        }
    }

    /// Returns the model's information for `version.toml`. Adds a note for each part that cannot be recorded.
    pub fn info(&self, notes: &mut Vec<String>) -> ModelInfo {
        notes.extend(self.faults.iter().cloned());
        let mut flavors = BTreeMap::new();
        if self.flavors.len() > MAX_FLAVORS {
            notes.push(format!("MLmodel: it has {} flavors, at most {MAX_FLAVORS} are recorded", self.flavors.len()));
        }
        for (name, flavor) in self.flavors.iter().take(MAX_FLAVORS) {
            let Ok(key) = Key::new(name.as_str()) else {
                notes.push(format!("MLmodel: the flavor {} has a name that cannot be recorded", quoted(name)));
                continue;
            };
            flavors.insert(key, text(library_version(name, flavor)));
        }
        let created = self.utc_time_created.as_deref().or(self.time_created.as_deref());
        let created_at = created.and_then(|t| t.parse().ok());
        if let (Some(t), None) = (created, created_at) {
            notes.push(format!("MLmodel: the time of creation {} cannot be read", quoted(t)));
        }
        let listed = |what: &str, found: Vec<String>, notes: &mut Vec<String>| -> Vec<Text> {
            let bytes = found.iter().map(|one| 8 + one.len()).sum();
            if found.len() > MAX_LISTED {
                notes.push(format!("MLmodel: {what} has {} entries, at most {MAX_LISTED} are recorded", found.len()));
            }
            let kept = if small(what, bytes, notes) { MAX_LISTED } else { 0 };
            found.iter().take(kept).map(|one| text(one)).collect()
        };
        ModelInfo {
            flavors,
            mlflow_version: text(self.mlflow_version.as_deref().unwrap_or_default()),
            python_version: text(self.pyfunc("python_version").and_then(Value::as_str).unwrap_or_default()),
            created_at,
            env_vars: listed("env_vars", self.names("env_vars", notes), notes),
            resources: listed("resources", self.resources(notes), notes),
            auth_policy: listed("auth_policy", self.auth_policy(notes), notes),
            prompts: listed("prompts", self.names("prompts", notes), notes),
            metadata: self.metadata(notes),
            findings: Vec::new(),
        }
    }

    /// Returns a list of strings: from YAML, or from JSON in a string.
    fn names(&self, field: &str, notes: &mut Vec<String>) -> Vec<String> {
        let given = self.fields.get(field);
        let parsed = given.and_then(Value::as_str).map(python_json::parse);
        let items = match (&parsed, given) {
            (_, None | Some(Value::Null)) | (Some(Ok(Value::Null)), _) => return Vec::new(),
            (Some(Ok(Value::Array(items))), _) | (None, Some(Value::Array(items))) => items,
            (Some(_), _) | (None, Some(_)) => {
                notes.push(format!("MLmodel: {field} is not a list"));
                return Vec::new();
            }
        };
        let mut out = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match item {
                Value::String(name) => out.push(name.clone()),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    notes.push(format!("MLmodel: {field}: number {} is not text", at + 1));
                }
            }
        }
        out
    }

    /// Returns the external resources that the model uses, one line each.
    fn resources(&self, notes: &mut Vec<String>) -> Vec<String> {
        self.fields.get("resources").map(|r| resources("resources", r, notes)).unwrap_or_default()
    }

    fn auth_policy(&self, notes: &mut Vec<String>) -> Vec<String> {
        let policy = match self.fields.get("auth_policy") {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Object(policy)) => policy,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                notes.push("MLmodel: auth_policy is not a mapping of fields".to_owned());
                return Vec::new();
            }
        };
        let system = policy.get("system_auth_policy").and_then(|p| p.get("resources"));
        let system = system.map(|r| resources("auth_policy", r, notes)).unwrap_or_default();
        let scopes = policy.get("user_auth_policy").and_then(|p| p.get("api_scopes")).and_then(Value::as_array);
        let scopes = scopes.into_iter().flatten().filter_map(Value::as_str);
        let system = system.into_iter().map(|one| format!("system: {one}"));
        system.chain(scopes.map(|scope| format!("user: {scope}"))).collect()
    }

    fn metadata(&self, notes: &mut Vec<String>) -> BTreeMap<Key, Text> {
        let given = match self.fields.get("metadata") {
            None | Some(Value::Null) => return BTreeMap::new(),
            Some(Value::Object(given)) => given,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                notes.push("MLmodel: metadata is not a mapping of fields".to_owned());
                return BTreeMap::new();
            }
        };
        let mut out = BTreeMap::new();
        if given.len() > MAX_LISTED {
            notes.push(format!("MLmodel: metadata has {} entries, at most {MAX_LISTED} are recorded", given.len()));
        }
        for (name, value) in given.iter().take(MAX_LISTED) {
            let shown = value.as_str().map_or_else(|| python_json::show(value), str::to_owned);
            match Key::new(name.as_str()) {
                Ok(key) => drop(out.insert(key, text(&shown))),
                Err(_) => notes.push(format!("MLmodel: metadata: the key {} cannot be recorded", quoted(name))),
            }
        }
        let bytes = out.iter().map(|(k, v)| 8 + k.as_str().len() + v.as_str().len()).sum();
        if small("metadata", bytes, notes) { out } else { BTreeMap::new() }
    }

    /// Returns the model's schema; `None` if it has no signature. A faulty part is left out and noted.
    pub fn schema(&self, notes: &mut Vec<String>) -> Option<Schema> {
        let spec = match &self.signature {
            Value::Null => return None,
            Value::Object(spec) => spec,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                notes.push("MLmodel: signature is not a mapping of fields".to_owned());
                return None;
            }
        };
        type Columns = fn(&Value, &mut Vec<String>) -> Result<Vec<Column>, String>;
        let mut read = |part: &str, columns: Columns| {
            let mut faults = Vec::new();
            let found = columns(spec.get(part).unwrap_or(&Value::Null), &mut faults);
            let all = faults.into_iter().chain(found.as_ref().err().cloned());
            notes.extend(all.map(|why| format!("MLmodel: signature.{part}: {why}")));
            found.unwrap_or_default()
        };
        let inputs = read("inputs", signature::columns);
        let outputs = read("outputs", signature::columns);
        let params = read("params", signature::params);
        let schema = Schema { inputs, outputs, params };
        if schema == Schema::default() { None } else { Some(schema) }
    }

    /// Returns the path of the conda file: `env.conda`, or `env` itself in models of MLflow 1, or else `conda.yaml`.
    pub fn conda_file(&self) -> &str {
        self.env("conda").unwrap_or("conda.yaml")
    }

    /// Returns the path of the Python environment file.
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
        self.flavors.get("python_function")?.get(key)
    }

    /// Returns the location of the logged model's files, if `artifact_path` is a URI; else an empty text.
    pub fn artifact_uri(&self) -> Text {
        text(self.artifact_path.as_deref().filter(|p| p.contains(":/")).unwrap_or_default())
    }
}

/// Returns resources as MLflow writes them: by platform, then by kind, then a list of objects with a name.
fn resources(field: &str, given: &Value, notes: &mut Vec<String>) -> Vec<String> {
    let mut out = Vec::new();
    let Some(platforms) = given.as_object() else {
        if !given.is_null() {
            notes.push(format!("MLmodel: {field} is not a mapping of fields"));
        }
        return out;
    };
    for (platform, kinds) in platforms.iter().filter(|(key, _)| *key != "api_version") {
        let Some(kinds) = kinds.as_object() else {
            notes.push(format!("MLmodel: {field}: {} is not a mapping of kinds", quoted(platform)));
            continue;
        };
        for (kind, items) in kinds {
            for item in items.as_array().into_iter().flatten() {
                let named = item.get("name").and_then(Value::as_str);
                match named.or_else(|| item.as_object()?.values().find_map(Value::as_str)).or(item.as_str()) {
                    Some(name) => out.push(format!("{platform}/{kind}: {name}")),
                    None => notes.push(format!("MLmodel: {field}: one of {} has no name", quoted(kind))),
                }
            }
        }
    }
    out
}

/// Returns the version of a flavor's library: the value of the flavor's version key, or else of its only key that ends
/// in `_version`. Versions of Python, MLflow, APIs and formats do not count.
fn library_version<'f>(name: &str, flavor: &'f Map<String, Value>) -> &'f str {
    // Any library may be behind a Python function; the library that pickled it is not the model's library.
    if name == "python_function" {
        return "";
    }
    let known = VERSION_KEYS.iter().find(|(flavor, _)| *flavor == name).and_then(|(_, key)| flavor.get(*key));
    let own = known.or_else(|| flavor.get(&format!("{name}_version")));
    let other = || {
        let of_library = |key: &str| {
            key.ends_with("_version")
                && !matches!(key, "python_version" | "mlflow_version" | "api_version")
                && !key.ends_with("format_version")
        };
        let mut found = flavor.iter().filter(|(key, _)| of_library(key)).map(|(_, version)| version);
        found.next().filter(|_| found.next().is_none())
    };
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
    fn each_faulty_part_costs_only_itself() {
        let (model, info, schema, notes) = read(
            "run_id: [1]\nmodel_id: m-1\nflavors: {sklearn: {sklearn_version: 1.10}, onnx: [], keras: {keras_version: 3.0}}\n\
             env_vars: [A, 7]\nresources: 3\nmetadata: {n: 1.5, t: x, '': y}\nprompts: {}\n\
             signature: {inputs: '[{\"type\": \"double\", \"name\": \"x\"}, {\"name\": \"y\"}]', outputs: '[{', params: \
             '[{\"name\": \"clip\", \"default\": Infinity, \"shape\": null, \"type\": \"double\"}]'}\n",
        );
        assert_eq!((model.run_id, model.model_id.as_deref()), (None, Some("m-1")));
        let flavors: Vec<_> = info.flavors.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(flavors, [("keras", "3.0"), ("onnx", ""), ("sklearn", "1.10")]);
        let schema = schema.unwrap_or_default();
        let shown = |columns: &[Column]| {
            columns.iter().map(|c| format!("{} {} {}", c.name, c.kind, c.default)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&schema.inputs), ["x double ", "y unknown "]);
        assert_eq!(shown(&schema.params), ["clip double Infinity"]);
        assert_eq!(schema.outputs, []);
        assert_eq!(info.env_vars.iter().map(Text::as_str).collect::<Vec<_>>(), ["A"]);
        let metadata: Vec<_> = info.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(metadata, [("n", "1.5"), ("t", "x")]);
        for part in
            ["run_id", "onnx", "env_vars: number 2", "resources", "prompts", "metadata", "inputs: number 2", "outputs"]
        {
            assert!(notes.iter().any(|n| n.starts_with("MLmodel: ") && n.contains(part)), "{part}: {notes:?}");
        }
        assert_eq!(notes.len(), 8, "{notes:?}");
    }

    #[test]
    fn what_a_model_of_today_says_is_recorded() {
        let (_, info, _, notes) = read(
            "env_vars: [OPENAI_API_KEY]\nprompts: ['prompts:/qa/3']\nmetadata: {task: chat, nested: {a: [1]}}\n\
             resources:\n  api_version: '1'\n  databricks:\n    serving_endpoint: [{name: chat, on_behalf_of_user: false}]\n    \
             table: [{name: main.t}]\nauth_policy:\n  system_auth_policy:\n    resources: {api_version: '1', databricks: \
             {function: [{name: f}]}}\n  user_auth_policy: {api_scopes: [serving.serving-endpoints]}\n",
        );
        let shown = |list: &[Text]| list.iter().map(Text::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&info.env_vars), ["OPENAI_API_KEY"]);
        assert_eq!(shown(&info.prompts), ["prompts:/qa/3"]);
        assert_eq!(shown(&info.resources), ["databricks/serving_endpoint: chat", "databricks/table: main.t"]);
        assert_eq!(shown(&info.auth_policy), ["system: databricks/function: f", "user: serving.serving-endpoints"]);
        assert_eq!(info.metadata.get("nested").map(Text::as_str), Some("{\"a\":[1]}"));
        assert_eq!(notes, Vec::<String>::new());
    }

    /// Flavors of MLflow 1.0 to 3.18 with the keys that they write, and the library version.
    const FLAVORS: &str = include_str!("flavors.txt");

    #[test]
    fn each_flavor_has_the_version_of_its_own_library() {
        let rows = FLAVORS.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
        let mut count = 0;
        for row in rows {
            let columns: Vec<&str> = row.split('|').map(str::trim).collect();
            let [name, want, fields] = <[&str; 3]>::try_from(columns).expect("three columns");
            let (_, info, _, notes) = read(&format!("flavors: {{{name}: {{{fields}}}}}\n"));
            assert_eq!(info.flavors.get(name).map(Text::as_str), Some(want), "{row}");
            assert_eq!(notes, Vec::<String>::new(), "{row}");
            count += 1;
        }
        assert!(count >= 40, "{count}");
    }

    #[test]
    fn what_is_no_mlmodel_is_an_error() {
        for bad in ["", "just text", "- a\n- b\n", "{"] {
            assert!(MlModel::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
