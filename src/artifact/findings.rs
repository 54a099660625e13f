//! Findings: facts that people need to know about a model before they use it, derived from its recorded facts.

use std::fmt;

use crate::entity::version::{Environment, ModelInfo};
use crate::text::one_line;

/// A finding about a version. Findings never block anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFinding {
    /// The kind of finding, for machines.
    pub id: &'static str,
    /// The certainty and severity.
    pub level: FindingLevel,
    /// The fact and what to do, for people.
    pub message: String,
}

/// The certainty and severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingLevel {
    /// Information only.
    Info,
    /// The fact may hold, depending on settings elsewhere.
    Possible,
    /// The fact holds.
    Warning,
}

impl FindingLevel {
    /// Returns the name in output and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Possible => "possible",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for FindingLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The model uses a channel of Anaconda, whose terms of service demand a licence from larger organisations.
pub const CONDA_DEFAULTS: &str = "conda-defaults-channel";
/// The model's requirements tell pip to use other package indexes.
pub const PIP_INDEX: &str = "pip-index";

/// The model's description of itself is faulty. Found at registration and stored with the version.
pub const MODEL_FILE: &str = "model-file";

/// Returns the findings about a model: those stored at registration, and those that follow from its environment.
pub fn findings(model: Option<&ModelInfo>, environment: Option<&Environment>) -> Vec<ModelFinding> {
    let stored = model.into_iter().flat_map(|m| &m.findings);
    let stored = stored.map(|f| ModelFinding { id: MODEL_FILE, level: FindingLevel::Warning, message: f.to_string() });
    let derived = environment.map(|e| conda_defaults(model, e).into_iter().chain(pip_index(e)));
    stored.chain(derived.into_iter().flatten()).collect()
}

fn conda_defaults(model: Option<&ModelInfo>, environment: &Environment) -> Option<ModelFinding> {
    if environment.conda_file.is_empty() {
        return None;
    }
    let file = one_line(environment.conda_file.as_str());
    let (level, found) = if let Some(channel) = environment.channels.iter().find(|c| is_defaults(c.as_str())) {
        (
            FindingLevel::Warning,
            format!("{file} lists the channel '{}', which is Anaconda's", one_line(channel.as_str())),
        )
    } else if let Some(package) = environment.conda.iter().find(|d| from_defaults(d.as_str())) {
        (FindingLevel::Warning, format!("{file} takes '{}' from a channel of Anaconda", one_line(package.as_str())))
    } else if environment.channels.is_empty() && environment.conda.iter().any(|d| is_package(d.as_str())) {
        (
            FindingLevel::Possible,
            format!("{file} names no channel, so conda takes packages from its own setting, by default 'defaults'"),
        )
    } else {
        return None;
    };
    let old = age_hint(model);
    let message = format!(
        "{found}. Use of that channel may need a licence under Anaconda's terms of service.{old} Nothing forces you to \
         use it: to change the environment, log the model again with `conda_env` set to one whose channels are \
         ['conda-forge'], and register that as a new version."
    );
    Some(ModelFinding { id: CONDA_DEFAULTS, level, message })
}

const DEFAULTS: [&str; 8] = ["defaults", "anaconda", "main", "r", "msys2", "pkgs/main", "pkgs/r", "pkgs/msys2"];

/// Whether a channel belongs to Anaconda, by name or URL.
fn is_defaults(channel: &str) -> bool {
    let channel = channel.trim().to_lowercase();
    let Some((_, address)) = channel.split_once("://") else {
        let host_first = channel.split_once('/').is_some_and(|(host, path)| of_anaconda(host, path));
        return DEFAULTS.contains(&channel.as_str()) || host_first;
    };
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    of_anaconda(host.split(':').next().unwrap_or_default(), path)
}

fn of_anaconda(host: &str, path: &str) -> bool {
    // A token may precede the channel: `t/<token>/main`.
    let path = path.strip_prefix("t/").and_then(|p| p.split_once('/')).map_or(path, |(_, path)| path);
    let first = path.split('/').next().unwrap_or_default();
    match host {
        "repo.anaconda.com" | "repo.continuum.io" => true,
        "conda.anaconda.org" => matches!(first, "anaconda" | "main"),
        _ => false,
    }
}

/// Whether a dependency names such a channel: `defaults::numpy` does, `conda-forge/linux-64::x` does not.
fn from_defaults(dependency: &str) -> bool {
    dependency.split_once("::").is_some_and(|(channel, _)| {
        // A platform may follow the channel: `main/linux-64::numpy`.
        is_defaults(channel) || channel.rsplit_once('/').is_some_and(|(channel, _)| is_defaults(channel))
    })
}

/// Whether a dependency is a package other than Python and pip.
fn is_package(dependency: &str) -> bool {
    let name = dependency.split(|c: char| c.is_whitespace() || "=<>!~[".contains(c)).next().unwrap_or_default();
    !matches!(name.to_lowercase().as_str(), "python" | "pip" | "")
}

/// Returns a sentence for models whose MLflow version added the channel by default or is unknown; else an empty string.
fn age_hint(model: Option<&ModelInfo>) -> String {
    let version = model.map(|m| m.mlflow_version.as_str()).unwrap_or_default();
    let mut numbers = version.split('.').map(|n| n.parse::<u32>().ok());
    let age = match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) < (1, 18) => {
            format!("This model was logged with MLflow {}", one_line(version))
        }
        _ if version.is_empty() => "This model does not record its MLflow version".to_owned(),
        _ => return String::new(),
    };
    format!(" Models logged before MLflow 1.18 have the channel 'defaults' by default. {age}.")
}

fn pip_index(environment: &Environment) -> Option<ModelFinding> {
    let options = ["--extra-index-url", "--index-url", "-i", "--find-links", "-f"];
    let names = |line: &&str| {
        let word = line.split(|c: char| c.is_whitespace() || c == '=').next().unwrap_or_default();
        options.contains(&word)
    };
    let lines: Vec<&str> = environment.pip.iter().map(|l| l.as_str()).filter(names).collect();
    let first = lines.first()?;
    let more = if lines.len() > 1 { format!(" and {} more", lines.len() - 1) } else { String::new() };
    let message = format!(
        "The pip requirements use another package index ('{}'{more}). Everyone who loads the model must be able to \
         reach it, and must trust it; with an extra index, a public package may be installed instead of a private one \
         of the same name.",
        one_line(first)
    );
    Some(ModelFinding { id: PIP_INDEX, level: FindingLevel::Info, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;

    fn environment(channels: &[&str], conda: &[&str], pip: &[&str]) -> Environment {
        let texts = |list: &[&str]| list.iter().filter_map(|s| Text::new(s).ok()).collect();
        Environment {
            conda_file: Text::new("conda.yaml").unwrap_or_default(),
            channels: texts(channels),
            conda: texts(conda),
            pip: texts(pip),
        }
    }

    fn level(channels: &[&str], conda: &[&str]) -> Option<FindingLevel> {
        conda_defaults(None, &environment(channels, conda, &[])).map(|f| f.level)
    }

    #[test]
    fn channels_of_anaconda_are_warned_of() {
        for bad in [
            "defaults",
            " Defaults ",
            "anaconda",
            "main",
            "r",
            "msys2",
            "pkgs/main",
            "pkgs/r",
            "pkgs/msys2",
            "https://repo.anaconda.com/pkgs/main",
            "http://repo.continuum.io/pkgs/free",
            "https://conda.anaconda.org/anaconda/linux-64",
            "https://conda.anaconda.org/t/***/main",
            "conda.anaconda.org/main",
            "https://REPO.anaconda.com:443/x",
        ] {
            assert_eq!(level(&["conda-forge", bad], &["python"]), Some(FindingLevel::Warning), "{bad}");
        }
        for good in ["conda-forge", "nodefaults", "pytorch", "https://conda.anaconda.org/conda-forge", "bioconda/main"]
        {
            assert_eq!(level(&[good], &["python", "numpy"]), None, "{good}");
        }
    }

    #[test]
    fn a_dependency_may_name_its_channel() {
        assert_eq!(level(&["conda-forge"], &["defaults::numpy=1.2"]), Some(FindingLevel::Warning));
        assert_eq!(level(&["conda-forge"], &["main/linux-64::numpy"]), Some(FindingLevel::Warning));
        assert_eq!(level(&["conda-forge"], &["conda-forge::numpy"]), None);
    }

    #[test]
    fn no_channel_is_a_possible_use_of_defaults() {
        assert_eq!(level(&[], &["python=3.8", "pip", "scikit-learn"]), Some(FindingLevel::Possible));
        assert_eq!(level(&[], &["python=3.8", "pip<=23"]), None);
        assert_eq!(level(&["nodefaults"], &["scikit-learn"]), None);
    }

    #[test]
    fn the_message_says_what_to_do() {
        let model = |version: &str| ModelInfo {
            mlflow_version: Text::new(version).unwrap_or_default(),
            ..ModelInfo::default()
        };
        let say = |version: &str| {
            let found = findings(Some(&model(version)), Some(&environment(&["defaults"], &[], &[])));
            found.into_iter().map(|f| f.message).collect::<String>()
        };
        let old = say("1.17.0");
        for part in
            ["conda.yaml", "licence", "Nothing forces", "conda_env", "conda-forge", "new version", "MLflow 1.18"]
        {
            assert!(old.contains(part), "{part}: {old}");
        }
        assert!(say("").contains("before MLflow 1.18") && say("0.9.1").contains("before MLflow 1.18"));
        assert!(
            !say("1.18.0").contains("before")
                && !say("3.17.2").contains("before")
                && !say("2.0.0rc1").contains("before")
        );
    }

    #[test]
    fn what_was_found_at_registration_is_found_again() {
        let findings_of = |m: &ModelInfo| findings(Some(m), None);
        let info = ModelInfo { findings: vec![Text::new("MLmodel: x").unwrap_or_default()], ..ModelInfo::default() };
        let shown: Vec<_> = findings_of(&info).into_iter().map(|f| (f.id, f.message)).collect();
        assert_eq!(shown, [(MODEL_FILE, "MLmodel: x".to_owned())]);
    }

    #[test]
    fn other_package_indexes_are_told_of() {
        let of = |pip: &[&str]| findings(None, Some(&environment(&["conda-forge"], &[], pip)));
        let found = of(&["mlflow", "--extra-index-url https://pypi.corp/simple", "--index-url=https://x/"]);
        assert_eq!(found.iter().map(|f| (f.id, f.level)).collect::<Vec<_>>(), [(PIP_INDEX, FindingLevel::Info)]);
        assert!(found.iter().all(|f| f.message.contains("pypi.corp") && f.message.contains("and 1 more")));
        assert_eq!(of(&["mlflow", "flask"]), Vec::new());
    }
}
