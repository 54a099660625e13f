//! A folder for one test, and processes that see nothing of the machine's configuration.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A temporary folder with a home, a working folder, and git settings of its own; deleted when dropped.
#[derive(Debug)]
pub struct Sandbox {
    _guard: TempDir,
    root: PathBuf,
}

impl Sandbox {
    /// An empty sandbox: no repository, no git settings except the name of the first branch, `main`.
    pub fn new() -> Self {
        let guard = TempDir::with_prefix("greenroom-").expect("a temporary folder");
        // git prints paths without symbolic links, and so must tests.
        let root = guard.path().canonicalize().expect("the temporary folder is there");
        for folder in ["home", "tmp", "work"] {
            fs::create_dir(root.join(folder)).expect("the sandbox is writable");
        }
        fs::write(root.join("home/.gitconfig"), "[init]\n\tdefaultBranch = main\n").expect("the sandbox is writable");
        Self { _guard: guard, root }
    }

    /// A path within the working folder of commands; `""` is that folder itself.
    pub fn path(&self, inner: impl AsRef<Path>) -> PathBuf {
        self.root.join("work").join(inner)
    }

    /// Writes a file, and creates its parent folders.
    #[track_caller]
    pub fn write(&self, inner: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = self.path(inner);
        let folder = path.parent().expect("a file is in a folder");
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, bytes));
        written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// The text of a file.
    #[track_caller]
    pub fn read(&self, inner: impl AsRef<Path>) -> String {
        let path = self.path(inner);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// A shell for Alice, in the working folder.
    pub fn alice(&self) -> Shell<'_> {
        self.shell("Alice", "alice@example.org")
    }

    /// A shell for Bob.
    pub fn bob(&self) -> Shell<'_> {
        self.shell("Bob", "bob@example.org")
    }

    /// A shell for a person, whom git's environment variables name.
    pub fn shell(&self, name: &str, email: &str) -> Shell<'_> {
        let shell = Shell { sandbox: self, folder: self.path(""), vars: BTreeMap::new(), input: Vec::new() };
        ["AUTHOR", "COMMITTER"].into_iter().fold(shell, |shell, role| {
            shell.env(format!("GIT_{role}_NAME"), name).env(format!("GIT_{role}_EMAIL"), email)
        })
    }

    /// Runs greenroom as Alice.
    pub fn greenroom(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.alice().greenroom(args)
    }

    /// Runs git as Alice.
    pub fn git(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.alice().git(args)
    }
}

/// The person, folder, time and environment of commands in a sandbox.
#[derive(Debug, Clone)]
pub struct Shell<'a> {
    sandbox: &'a Sandbox,
    folder: PathBuf,
    vars: BTreeMap<OsString, OsString>,
    input: Vec<u8>,
}

impl Shell<'_> {
    /// Changes to a folder, relative to the current one.
    pub fn within(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder.push(folder);
        self
    }

    /// The folder that commands run in.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Sets git's dates to a time such as `2026-03-01T12:00:00Z`.
    pub fn at(self, time: &str) -> Self {
        self.env("GIT_AUTHOR_DATE", time).env("GIT_COMMITTER_DATE", time)
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }

    /// Sets the standard input, which is empty by default.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// A command with only the sandbox's environment, for the caller to start.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let home = self.sandbox.root.join("home");
        let binaries = Path::new(env!("CARGO_BIN_EXE_greenroom")).parent().map(Path::to_owned);
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(binaries.into_iter().chain(std::env::split_paths(&inherited)));
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", path.expect("no folder of PATH holds a colon"))
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("TMPDIR", self.sandbox.root.join("tmp"))
            .env("GIT_CONFIG_GLOBAL", home.join(".gitconfig"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CEILING_DIRECTORIES", &self.sandbox.root)
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("TERM", "dumb"), ("COLUMNS", "100"), ("NO_COLOR", "1")])
            .envs([("PAGER", "cat"), ("PYTHONDONTWRITEBYTECODE", "1"), ("MLFLOW_DISABLE_TELEMETRY", "true")])
            .envs(&self.vars)
            .stdin(Stdio::null());
        command
    }

    /// Runs greenroom to its end.
    #[track_caller]
    pub fn greenroom(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.run(env!("CARGO_BIN_EXE_greenroom"), args)
    }

    /// Runs git to its end.
    #[track_caller]
    pub fn git(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.run("git", args)
    }

    /// Runs a program to its end.
    #[track_caller]
    pub fn run(&self, program: impl AsRef<OsStr>, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        let mut command = self.command(&program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let shown = words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{shown}: {e}"));
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        let ended = std::thread::scope(|threads| {
            // A program may end without reading all of its input.
            threads.spawn(move || stdin.write_all(&self.input).ok());
            child.wait_with_output()
        });
        let ended = ended.unwrap_or_else(|e| panic!("{shown}: {e}"));
        Output { code: ended.status.code(), done: Done { shown, stdout: ended.stdout, stderr: ended.stderr } }
    }
}

/// The result of a command. A test gets its text by naming the expected outcome.
#[derive(Debug)]
#[must_use = "say which outcome is right, with .success() or .code(n)"]
pub struct Output {
    code: Option<i32>,
    done: Done,
}

impl Output {
    /// Demands exit code 0.
    #[track_caller]
    pub fn success(self) -> Done {
        self.code(0)
    }

    /// Stdout and stderr as text, whatever the exit code; for tests of output in any case.
    #[track_caller]
    pub fn any(self) -> (String, String) {
        assert!(self.code.is_some(), "killed: {}", self.done.shown);
        (self.done.stdout().to_owned(), self.done.stderr().to_owned())
    }

    /// Stdout, stderr and the exit code; `None` if a signal ended the command.
    pub fn ended(self) -> (String, String, Option<i32>) {
        (self.done.stdout().to_owned(), self.done.stderr().to_owned(), self.code)
    }

    /// Demands an exit code.
    #[track_caller]
    pub fn code(self, wanted: i32) -> Done {
        let Done { shown, stdout, stderr } = &self.done;
        assert_eq!(
            self.code,
            Some(wanted),
            "exit code of: {shown}\n--- stdout\n{}\n--- stderr\n{}",
            String::from_utf8_lossy(stdout),
            String::from_utf8_lossy(stderr)
        );
        self.done
    }
}

/// The output of a command.
#[derive(Debug)]
pub struct Done {
    shown: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Done {
    /// Standard output as text.
    #[track_caller]
    pub fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_else(|e| panic!("output of {}: {e}", self.shown))
    }

    /// Standard error as text.
    #[track_caller]
    pub fn stderr(&self) -> &str {
        std::str::from_utf8(&self.stderr).unwrap_or_else(|e| panic!("messages of {}: {e}", self.shown))
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        let text = self.stdout();
        serde_json::from_str(text).unwrap_or_else(|e| panic!("output of {} is not JSON: {e}\n{text}", self.shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_sees_only_the_sandbox() {
        let sandbox = Sandbox::new();
        let env = sandbox.alice().env("EXTRA", "1").run("env", [""; 0]).success();
        for line in ["EXTRA=1", "NO_COLOR=1", "GIT_AUTHOR_NAME=Alice", "GIT_CONFIG_NOSYSTEM=1", "TZ=UTC"] {
            assert!(env.stdout().lines().any(|l| l == line), "{line} is not in\n{}", env.stdout());
        }
        assert!(!env.stdout().contains("CARGO_MANIFEST_DIR"), "{}", env.stdout());
        sandbox.git(["rev-parse", "--git-dir"]).code(128);
    }

    #[test]
    fn commits_bear_who_and_when() {
        let sandbox = Sandbox::new();
        sandbox.git(["init", "--quiet", "repo"]).success();
        sandbox.write("repo/a/b.txt", "x");
        let bob = sandbox.bob().within("repo").at("2026-03-01T12:00:00Z");
        bob.git(["add", "."]).success();
        bob.clone().input("By Bob\n").git(["commit", "--quiet", "--file=-"]).success();
        let log = bob.git(["log", "--format=%an %ae %cn %ct %s", "main"]).success();
        assert_eq!(log.stdout(), "Bob bob@example.org Bob 1772366400 By Bob\n");
        assert_eq!(sandbox.read("repo/.git/HEAD"), "ref: refs/heads/main\n");
    }

    #[test]
    fn outcomes_are_demanded_and_texts_read() {
        let sandbox = Sandbox::new();
        let sh = |script: &str| sandbox.alice().run("sh", ["-c", script]);
        assert_eq!(sh("echo '[1]'").success().json(), serde_json::json!([1]));
        assert_eq!(sh("echo no >&2; exit 3").code(3).stderr(), "no\n");
        let other = std::panic::catch_unwind(|| sh("echo why >&2; exit 3").success()).unwrap_err();
        let said = other.downcast_ref::<String>().unwrap();
        assert!(said.contains("sh -c echo why") && said.contains("--- stderr\nwhy"), "{said}");
    }

    #[test]
    fn greenroom_is_the_program_just_built() {
        let sandbox = Sandbox::new();
        let named = sandbox.alice().run("sh", ["-c", "command -v greenroom"]).success();
        assert_eq!(named.stdout().trim_end(), env!("CARGO_BIN_EXE_greenroom"));
        let out = sandbox.greenroom(["--version"]).success();
        assert_eq!(out.stderr(), "");
    }
}
