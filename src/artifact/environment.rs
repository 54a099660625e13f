//! The environment that a model needs: `conda.yaml`, `python_env.yaml` and `requirements.txt`, read as data.

use serde::Deserialize;
use serde_json::Value;

use super::fact_text::{FileReader, text};
use super::yaml;
use crate::entity::version::Environment;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conda {
    channels: Option<Channels>,
    dependencies: Option<Vec<Value>>,
}

/// A list of channels. A single string is one channel.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Channels {
    Many(Vec<String>),
    One(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PythonEnv {
    python: Option<String>,
}

/// Reads the conda file and `requirements.txt`. Returns `None` if neither exists. Adds a note for each part that cannot
/// be read.
///
/// Secrets in the URLs of channels and package indexes are replaced by `***`.
pub fn environment(conda_file: &str, read: FileReader<'_>, notes: &mut Vec<String>) -> Option<Environment> {
    let conda: Option<Option<Conda>> = yaml_file(conda_file, read, notes);
    let requirements = file("requirements.txt", yaml::MAX_YAML, read, notes);
    if conda.is_none() && requirements.is_none() {
        return None;
    }
    let mut environment = Environment::default();
    let mut secrets = false;
    let mut open = |line: &str| {
        let (shown, had_secret) = without_secrets(line);
        secrets |= had_secret;
        text(&shown)
    };
    if let Some(conda) = conda {
        let conda = conda.unwrap_or_default();
        environment.conda_file = text(conda_file);
        let channels = match conda.channels {
            Some(Channels::Many(channels)) => channels,
            Some(Channels::One(channel)) => vec![channel],
            None => Vec::new(),
        };
        environment.channels = channels.iter().map(|c| open(c.trim())).collect();
        for dependency in conda.dependencies.unwrap_or_default() {
            match dependency {
                Value::String(package) => environment.conda.push(open(package.trim())),
                Value::Object(map) => {
                    let pip = map.get("pip").and_then(Value::as_array).into_iter().flatten();
                    environment.pip.extend(pip.filter_map(Value::as_str).map(|line| open(line.trim())));
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                    notes.push(format!("{conda_file}: a dependency is not text"));
                }
            }
        }
    }
    for line in requirements.iter().flat_map(|bytes| requirement_lines(&String::from_utf8_lossy(bytes))) {
        let line = open(&line);
        if !environment.pip.contains(&line) {
            environment.pip.push(line);
        }
    }
    if secrets {
        notes.push(
            "the URL of a package index or channel holds a password or token; it was not recorded, but the file itself \
             is part of the model: take the secret out of the file, make a new secret, and log the model again"
                .to_owned(),
        );
    }
    Some(environment)
}

/// Reads the Python version from `python_env.yaml`.
pub fn python(python_env_file: &str, read: FileReader<'_>, notes: &mut Vec<String>) -> Option<String> {
    yaml_file::<Option<PythonEnv>>(python_env_file, read, notes)??.python
}

/// Returns the Python version among conda dependencies: `python=3.11.7`.
pub fn conda_python(environment: &Environment) -> Option<&str> {
    environment.conda.iter().find_map(|dependency| {
        let pinned = dependency.as_str().strip_prefix("python")?.trim_start().strip_prefix('=')?;
        let version = pinned.trim_start_matches('=').split('=').next()?.trim();
        if version.is_empty() { None } else { Some(version) }
    })
}

fn yaml_file<T: serde::de::DeserializeOwned>(name: &str, read: FileReader<'_>, notes: &mut Vec<String>) -> Option<T> {
    let parsed = yaml::parse(&file(name, yaml::MAX_YAML, read, notes)?);
    parsed.map_err(|why| notes.push(format!("{} cannot be read: {why}", crate::text::one_line(name)))).ok()
}

/// Reads a file of at most `max` bytes. Returns `None` if it does not exist or cannot be read; the latter adds a note.
pub(super) fn file(name: &str, max: u64, read: FileReader<'_>, notes: &mut Vec<String>) -> Option<Vec<u8>> {
    let bytes = read(name, max);
    bytes.map_err(|why| notes.push(format!("{} cannot be read: {why}", crate::text::one_line(name)))).ok()?
}

/// Returns the lines of a requirements file: continued lines joined, comments and blank lines dropped.
fn requirement_lines(file: &str) -> Vec<String> {
    let joined = file.replace("\\\r\n", " ").replace("\\\n", " ");
    let code = |line: &str| {
        let line = if line.trim_start().starts_with('#') { "" } else { line };
        line.split(" #").next().unwrap_or_default().trim().to_owned()
    };
    joined.lines().map(code).filter(|l| !l.is_empty()).collect()
}

/// Returns a line without user and password in URLs and without conda's `/t/<token>/`, and whether it had any of these.
fn without_secrets(line: &str) -> (String, bool) {
    let mut out = String::new();
    let mut rest = line;
    let mut found = false;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',')).unwrap_or(after.len());
        let (address, tail) = after.split_at(end);
        let authority = address.find(['/', '?', '#']).unwrap_or(address.len());
        let (authority, path) = address.split_at(authority);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // The user in `git+ssh://git@host` is the same for everyone.
        let user = authority.strip_suffix(host).unwrap_or_default();
        let secret = !matches!(user, "" | "git@");
        let (path, token) = without_token(path);
        found |= secret || token;
        out.push_str(before);
        out.push_str(if secret { "://***@" } else { "://" });
        out.push_str(if secret { host } else { authority });
        out.push_str(&path);
        rest = tail;
    }
    out.push_str(rest);
    (out, found)
}

fn without_token(path: &str) -> (String, bool) {
    let Some(after) = path.strip_prefix("/t/") else { return (path.to_owned(), false) };
    let rest = after.find('/').and_then(|at| after.get(at..)).unwrap_or_default();
    (format!("/t/***{rest}"), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(files: &[(&str, &str)]) -> (Option<Environment>, Vec<String>) {
        let mut notes = Vec::new();
        let read = |name: &str, _: u64| {
            Ok(files.iter().find(|(n, _)| *n == name).map(|(_, content)| content.as_bytes().to_vec()))
        };
        (environment("conda.yaml", &read, &mut notes), notes)
    }

    fn shown(list: &[crate::text::Text]) -> Vec<&str> {
        list.iter().map(|t| t.as_str()).collect()
    }

    #[test]
    fn conda_and_pip_files_are_one_environment() {
        let conda =
            "channels: [conda-forge]\ndependencies:\n- python=3.11.7\n- pip<=23.2.1\n- pip:\n  - mlflow==3.17.2\n";
        let pip = "# made by hand\nmlflow==3.17.2\n\nnumpy==2.4.6 # pinned\ntorch \\\n  --hash=sha256:ab\n";
        let (environment, notes) = read_from(&[("conda.yaml", conda), ("requirements.txt", pip)]);
        let environment = environment.unwrap_or_default();
        assert_eq!(shown(&environment.channels), ["conda-forge"]);
        assert_eq!(shown(&environment.conda), ["python=3.11.7", "pip<=23.2.1"]);
        assert_eq!(shown(&environment.pip), ["mlflow==3.17.2", "numpy==2.4.6", "torch    --hash=sha256:ab"]);
        assert_eq!(conda_python(&environment), Some("3.11.7"));
        assert_eq!(notes, Vec::<String>::new());
    }

    #[test]
    fn either_file_alone_is_an_environment_and_none_is_none() {
        assert_eq!(read_from(&[]).0, None);
        let pip = read_from(&[("requirements.txt", "mlflow")]).0.unwrap_or_default();
        assert_eq!((pip.conda_file.as_str(), shown(&pip.pip)), ("", vec!["mlflow"]));
        let empty = read_from(&[("conda.yaml", "")]).0.unwrap_or_default();
        assert_eq!((empty.conda_file.as_str(), empty.channels.len()), ("conda.yaml", 0));
    }

    #[test]
    fn faults_are_noted() {
        let (environment, notes) = read_from(&[("conda.yaml", "channels: {a: 1}")]);
        assert_eq!(environment, None);
        assert_eq!(notes.len(), 1);
        let (environment, notes) = read_from(&[("conda.yaml", "dependencies: [1.5, python]\nchannels: defaults")]);
        assert_eq!(shown(&environment.unwrap_or_default().channels), ["defaults"]);
        assert_eq!(notes, ["conda.yaml: a dependency is not text"]);
    }

    #[test]
    fn secrets_in_addresses_are_taken_out() {
        for (given, want, had) in [
            ("--extra-index-url https://u:p@pypi.corp/simple", "--extra-index-url https://***@pypi.corp/simple", true),
            ("https://conda.anaconda.org/t/tk-123/corp", "https://conda.anaconda.org/t/***/corp", true),
            ("pkg @ git+https://tok@h/r --hash=1", "pkg @ git+https://***@h/r --hash=1", true),
            ("pkg @ git+ssh://git@h/r@main", "pkg @ git+ssh://git@h/r@main", false),
            ("https://h/a@b", "https://h/a@b", false),
            ("mlflow==3.17.2", "mlflow==3.17.2", false),
        ] {
            assert_eq!(without_secrets(given), (want.to_owned(), had), "{given}");
        }
        let (_, notes) = read_from(&[("requirements.txt", "-i https://u:p@h/simple\n")]);
        assert!(notes.iter().any(|n| n.contains("password or token")), "{notes:?}");
    }
}
