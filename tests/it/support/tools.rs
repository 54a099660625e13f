//! The external tools that tests compare with. Each is installed on first use; a failure says what to do.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::provision::{locked, made_once, run, target};

/// Returns a tool, or fails every test that needs it with the same text: the missing tool and the reason.
#[track_caller]
fn had<T: Clone>(what: &str, result: &Result<T, String>) -> T {
    match result {
        Ok(value) => value.clone(),
        Err(why) => panic!("the tests need {what}, which could not be had.\n{why}"),
    }
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The folder of the models that MLflow wrote: `wine-v1`, `wine-v2`.
pub fn examples() -> PathBuf {
    file("examples/models")
}

/// A script of `tests/python/`, for [`python`].
pub fn python_script(name: &str) -> PathBuf {
    file("tests/python").join(name)
}

/// The Python of a virtual environment with `tests/python/requirements.txt`: MLflow, scikit-learn and their packages.
#[track_caller]
pub fn python() -> PathBuf {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| make_python("requirements.txt", "test-venv"));
    had("a Python environment with MLflow (Python 3.11 or newer, with venv)", made)
}

/// The same with `tests/python/requirements-2.txt`: the last MLflow 2.
#[track_caller]
pub fn python_of_mlflow_2() -> PathBuf {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| make_python("requirements-2.txt", "test-venv-2"));
    had("a Python environment with MLflow 2 (Python 3.11 or newer, with venv)", made)
}

fn make_python(requirements: &str, name: &str) -> Result<PathBuf, String> {
    let requirements = python_script(requirements);
    let wanted = std::fs::read(&requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
    let version = run(Command::new("python3").args(["-c", "import sys; print(sys.version, sys.base_prefix)"]))?;
    let mut hasher = DefaultHasher::new();
    (wanted, version).hash(&mut hasher);
    let name = format!("{name}-{:016x}", hasher.finish());
    let venv = made_once(target(), &name, |folder| {
        eprintln!("installing MLflow into {} (once, about a minute)", folder.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--retries", "5"];
        run(Command::new(folder.join("bin/python")).args(pip).arg("--requirement").arg(&requirements)).map(drop)
    })?;
    Ok(venv.join("bin/python"))
}

/// The folder with the plugin of `examples/mlflow-plugin` as pip installs it, for `PYTHONPATH`.
#[track_caller]
pub fn mlflow_plugin() -> PathBuf {
    static PLUGIN: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    had("the plugin for MLflow", PLUGIN.get_or_init(make_mlflow_plugin))
}

fn make_mlflow_plugin() -> Result<PathBuf, String> {
    let source = file("examples/mlflow-plugin");
    let python = python();
    let mut hasher = DefaultHasher::new();
    for path in super::trees::files(&source) {
        (&path, std::fs::read(source.join(&path)).map_err(|e| format!("{path}: {e}"))?).hash(&mut hasher);
    }
    let name = format!("test-mlflow-plugin-{:016x}", hasher.finish());
    made_once(target(), &name, |folder| {
        // pip builds in the folder of the source, which must not change.
        let copy = folder.with_extension("source");
        run(Command::new("rm").arg("-rf").arg(&copy))?;
        run(Command::new("cp").arg("-r").arg(&source).arg(&copy))?;
        let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"];
        run(Command::new(&python).args(pip).arg("--target").arg(folder).arg(&copy)).map(drop)
    })
}

/// Ensures that `git lfs` works.
#[track_caller]
pub fn git_lfs() {
    static GIT_LFS: OnceLock<Result<(), String>> = OnceLock::new();
    had("git-lfs", GIT_LFS.get_or_init(|| installed(&[&["git", "lfs", "version"]])));
}

/// Ensures that sshd, gitolite, nginx and fcgiwrap are installed.
#[track_caller]
pub fn git_hosts() {
    static HOSTS: OnceLock<Result<(), String>> = OnceLock::new();
    // Servers have no harmless option in common, and may lie outside of PATH: checking that they exist is enough.
    let found = "command -v gitolite && command -v openssl && test -x /usr/sbin/sshd && test -x /usr/sbin/nginx && \
                 test -x /usr/sbin/fcgiwrap";
    had("sshd, gitolite3, nginx, fcgiwrap and openssl", HOSTS.get_or_init(|| installed(&[&["sh", "-c", found]])));
}

/// Ensures that OpenSMTPD is installed.
#[track_caller]
pub fn opensmtpd() {
    static SMTPD: OnceLock<Result<(), String>> = OnceLock::new();
    had("opensmtpd, run by root", SMTPD.get_or_init(|| installed(&[&["sh", "-c", "command -v smtpd"]])));
}

/// Ensures that git can sign with `ssh-keygen` and `gpg`.
#[track_caller]
pub fn signing_tools() {
    static SIGNERS: OnceLock<Result<(), String>> = OnceLock::new();
    // ssh-keygen has no option that prints only its version: checking that it exists is enough.
    let checks: &[&[&str]] = &[&["gpg", "--version"], &["sh", "-c", "command -v ssh-keygen"]];
    had("ssh-keygen and gpg", SIGNERS.get_or_init(|| installed(checks)));
}

/// The option with which `unshare` gives a command mounts of its own: as an ordinary user, or as root.
#[track_caller]
pub fn own_mounts() -> &'static str {
    static MOUNTS: OnceLock<Result<&str, String>> = OnceLock::new();
    let tried = |option: &str| run(Command::new("unshare").args([option, "sh", "-c", "mount --bind /tmp /tmp"]));
    let found = MOUNTS.get_or_init(|| match tried("-rm") {
        Ok(_) => Ok("-rm"),
        Err(why) => tried("-m").map(|_| "-m").map_err(|as_root| format!("{why}\n{as_root}")),
    });
    had("mounts of their own (`unshare` in a user namespace, or as root)", found)
}

/// Runs `tests/setup-debian.sh` if one of the commands does not work.
fn installed(checks: &[&[&str]]) -> Result<(), String> {
    let work = || checks.iter().try_for_each(|check| run(Command::new(check[0]).args(&check[1..])).map(drop));
    if work().is_ok() {
        return Ok(());
    }
    locked(target(), "test-debian", || {
        run(&mut Command::new(file("tests/setup-debian.sh")))?;
        work()
    })
}

/// The `taplo` program, which checks TOML by JSON Schemas as editors do.
#[track_caller]
pub fn taplo() -> PathBuf {
    static TAPLO: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    had("the taplo program (npm)", TAPLO.get_or_init(make_taplo))
}

fn make_taplo() -> Result<PathBuf, String> {
    let folder = made_once(target(), "test-npm-taplo-0.7.0", |folder| {
        let options = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
        run(Command::new("npm").args(options).arg(folder).arg("@taplo/cli@0.7.0")).map(drop)
    })?;
    Ok(folder.join("node_modules/.bin/taplo"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::support::Sandbox;

    #[test]
    fn the_example_models_predict_with_a_real_mlflow() {
        let sandbox = Sandbox::new();
        let predict = |model: &str| {
            let (script, model) = (python_script("predict.py"), examples().join(model));
            sandbox.alice().run(python(), [script, model]).success().json()
        };
        assert_eq!(predict("wine-v1"), json!([0, 0, 0, 2, 1, 1, 1, 1, 1, 1, 0, 2]));
        assert_eq!(predict("wine-v2"), json!([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2]));
    }

    #[test]
    fn the_outside_tools_run() {
        let sandbox = Sandbox::new();
        git_lfs();
        signing_tools();
        assert!(sandbox.git(["lfs", "version"]).success().stdout().starts_with("git-lfs/"));
        sandbox.write("bad.toml", "a = \n");
        sandbox.write("good.toml", "a = 1\n");
        sandbox.alice().run(taplo(), ["lint", "bad.toml"]).code(1);
        sandbox.alice().run(taplo(), ["lint", "good.toml"]).success();
    }
}
