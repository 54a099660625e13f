//! Tests the repository against stock `git`: each reads what the other writes.

mod disk;
mod follow;
mod open;
mod publish;
mod read;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::*;
use crate::time::Timestamp;
use crate::tree::{Patch, Stage as _};

/// A temporary folder with its own home folder.
struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn output(&self, dir: &Path, args: &[&str]) -> Output {
        let mut git = Command::new("git");
        for (key, _) in std::env::vars_os().filter(|(k, _)| k.to_string_lossy().starts_with("GIT_")) {
            git.env_remove(key);
        }
        git.current_dir(dir)
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_GLOBAL", self.path("gitconfig"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LC_ALL", "C")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"])
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs git, which must succeed, and returns its output.
    #[track_caller]
    fn git(&self, dir: &Path, args: &[&str]) -> String {
        let out = self.output(dir, args);
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    /// Creates a repository with git.
    fn init(&self, name: &str, args: &[&str]) -> PathBuf {
        let dir = self.path(name);
        std::fs::create_dir_all(&dir).unwrap();
        self.git(&dir, &[&["init", "-q"], args].concat());
        dir
    }

    /// Creates a work tree with one commit, with git.
    fn with_commit(&self, name: &str) -> PathBuf {
        let dir = self.init(name, &[]);
        std::fs::create_dir_all(dir.join("models/a")).unwrap();
        std::fs::write(dir.join("models/a/model.toml"), "name = \"a\"\n").unwrap();
        std::fs::write(dir.join("README.md"), "hello\n").unwrap();
        self.git(&dir, &["add", "."]);
        self.git(&dir, &["commit", "-qm", "begin"]);
        dir
    }

    /// Asserts that `git fsck` finds nothing.
    #[track_caller]
    fn sound(&self, dir: &Path) {
        assert_eq!(self.git(dir, &["fsck", "--strict", "--no-dangling"]), "");
    }

    #[track_caller]
    fn clean(&self, dir: &Path) {
        assert_eq!(self.git(dir, &["status", "--porcelain"]), "");
    }
}

/// Opens a repository without the settings of the user who runs the tests.
fn open(dir: &Path) -> Repo {
    let options = options().permissions(gix::open::Permissions::isolated());
    Repo::new(options.open(dir).unwrap().to_thread_local(), super::object_cache::WHOLE).unwrap()
}

fn who() -> Ident {
    Ident::new("Grace", "grace@example.org", Timestamp::from_seconds(1_772_000_000))
}

fn draft(tree: Oid, message: &str) -> CommitDraft {
    CommitDraft { tree, merged: Vec::new(), author: who(), committer: who(), message: message.to_owned() }
}

fn patch(files: &[(&str, &str)]) -> Patch {
    let mut patch = Patch::default();
    for (path, text) in files {
        patch.write(*path, *text);
    }
    patch
}

const WAIT: Duration = Duration::from_secs(10);

/// Stages a patch on top of HEAD and publishes it there.
fn try_commit(repo: &Repo, patch: &Patch, message: &str) -> Result<PublishedCommits, PublishError> {
    let mut lock = repo.lock(WAIT)?;
    let head = repo.head()?;
    let root = head.map(|h| repo.tree_of(&h)).transpose()?;
    let tree = repo.stage(root, patch).map_err(GitError::from)?;
    repo.publish(&mut lock, &repo.branch()?, head, &[draft(tree, message)], Durability::Full)
}

#[track_caller]
fn commit(repo: &Repo, patch: &Patch, message: &str) -> Oid {
    let published = try_commit(repo, patch, message).unwrap();
    assert!(published.left_behind.is_none(), "{:?}", published.left_behind);
    *published.commits.last().unwrap()
}
