//! The repository against stock `git`: what we write, git reads; what git writes, we read.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use super::*;
use crate::time::Timestamp;
use crate::tree::{Kind, Objects as _, Patch, Stage as _, StageError, TreeError};

/// A folder of its own with a home of its own, gone afterwards.
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

    /// Runs git and gives what it prints; it must succeed.
    #[track_caller]
    fn git(&self, dir: &Path, args: &[&str]) -> String {
        let out = self.output(dir, args);
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    /// A repository that git made.
    fn init(&self, name: &str, args: &[&str]) -> PathBuf {
        let dir = self.path(name);
        std::fs::create_dir_all(&dir).unwrap();
        self.git(&dir, &[&["init", "-q"], args].concat());
        dir
    }

    /// A work tree with one commit that git made.
    fn with_commit(&self, name: &str) -> PathBuf {
        let dir = self.init(name, &[]);
        std::fs::create_dir_all(dir.join("models/a")).unwrap();
        std::fs::write(dir.join("models/a/model.toml"), "name = \"a\"\n").unwrap();
        std::fs::write(dir.join("README.md"), "hello\n").unwrap();
        self.git(&dir, &["add", "."]);
        self.git(&dir, &["commit", "-qm", "begin"]);
        dir
    }

    /// What git has to say against the repository: nothing.
    #[track_caller]
    fn sound(&self, dir: &Path) {
        assert_eq!(self.git(dir, &["fsck", "--strict", "--no-dangling"]), "");
    }

    #[track_caller]
    fn clean(&self, dir: &Path) {
        assert_eq!(self.git(dir, &["status", "--porcelain"]), "");
    }
}

/// Opens a repository without the settings of whoever runs the tests.
fn open(dir: &Path) -> Repo {
    let options = options().permissions(gix::open::Permissions::isolated());
    Repo::new(options.open(dir).unwrap().to_thread_local()).unwrap()
}

fn who() -> Ident {
    Ident::new("Grace", "grace@example.org", Timestamp::from_seconds(1_772_000_000))
}

fn draft(tree: Oid, message: &str) -> Draft {
    Draft { tree, merged: Vec::new(), author: who(), committer: who(), message: message.to_owned() }
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
fn try_commit(repo: &Repo, patch: &Patch, message: &str) -> Result<Published, PublishError> {
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

#[test]
fn a_bare_repository_takes_its_first_and_next_commits() {
    let sandbox = Sandbox::new();
    for (name, format) in [("one.git", "sha1"), ("two.git", "sha256")] {
        let dir = sandbox.init(name, &["--bare", "--object-format", format]);
        let repo = open(&dir);
        assert_eq!(repo.head().unwrap(), None);
        assert_eq!(repo.branch().unwrap(), "refs/heads/main");
        let first = commit(&repo, &patch(&[("models/a/model.toml", "x = 1\n"), ("b.txt", "b\n")]), "first");
        let second = commit(&repo, &patch(&[("models/a/model.toml", "x = 2\n")]), "second\n\nwith a body\n");
        assert_eq!(repo.head().unwrap(), Some(second));
        assert_eq!(sandbox.git(&dir, &["rev-parse", "main", "main^"]), format!("{second}\n{first}"));
        assert_eq!(sandbox.git(&dir, &["show", "main:models/a/model.toml"]), "x = 2");
        assert_eq!(
            sandbox.git(&dir, &["log", "-1", "--format=%an %ae %ct %s|%b"]),
            "Grace grace@example.org 1772000000 second|with a body"
        );
        sandbox.sound(&dir);
        let read = repo.commit(&second).unwrap();
        assert_eq!((read.subject.as_str(), read.body.as_str(), read.parents), ("second", "with a body", vec![first]));
        assert!(!read.signed);
        assert_eq!(read.author, who());
    }
}

#[test]
fn staging_gives_the_trees_that_git_gives() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r", &[]);
    for path in ["a/b/c", "a.txt", "a-b", "a0", "z/deep/er/file", "run.sh"] {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "1\n").unwrap();
    }
    std::os::unix::fs::symlink("a.txt", dir.join("link")).unwrap();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["update-index", "--chmod=+x", "run.sh"]);
    let tree = Oid::from_hex(&sandbox.git(&dir, &["write-tree"])).unwrap();
    let repo = open(&dir);

    let names: Vec<String> =
        repo.tree(&tree).unwrap().iter().map(|e| format!("{} {}", e.kind.as_str(), e.name)).collect();
    let want =
        ["file a-b", "file a.txt", "folder a", "file a0", "symbolic link link", "executable file run.sh", "folder z"];
    assert_eq!(names, want);

    let moved = repo.tree(&tree).unwrap().iter().find(|e| e.name == "z").unwrap().id;
    let mut changes = patch(&[("a", "now a file\n"), ("y/added", "2\n"), ("a-b/c", "3\n")]);
    changes.remove("a/b/c");
    changes.remove("a-b");
    changes.remove("z");
    changes.remove("not/there");
    changes.link("y", Kind::Tree, moved);
    let staged = repo.stage(Some(tree), &changes).unwrap();

    sandbox.git(&dir, &["rm", "-rqf", "--cached", "a", "a-b", "z"]);
    std::fs::remove_dir_all(dir.join("a")).unwrap();
    std::fs::remove_file(dir.join("a-b")).unwrap();
    std::fs::rename(dir.join("z"), dir.join("y")).unwrap();
    std::fs::create_dir(dir.join("a-b")).unwrap();
    for (path, text) in [("a", "now a file\n"), ("y/added", "2\n"), ("a-b/c", "3\n")] {
        std::fs::write(dir.join(path), text).unwrap();
    }
    sandbox.git(&dir, &["add", "a", "a-b", "y"]);
    assert_eq!(staged.to_string(), sandbox.git(&dir, &["write-tree"]));

    assert_eq!(repo.blob(&staged_blob(&repo, &staged, "a"), 100).unwrap(), b"now a file\n");
    repo.discard_staged();
    let other = repo.stage(None, &patch(&[("unseen", "only in memory")])).unwrap();
    assert!(repo.tree(&other).is_ok());
    repo.discard_staged();
    assert!(matches!(repo.tree(&other), Err(TreeError::Missing(_))));
    assert!(!sandbox.output(&dir, &["cat-file", "-e", &other.to_string()]).status.success());
}

fn staged_blob(repo: &Repo, tree: &Oid, name: &str) -> Oid {
    repo.tree(tree).unwrap().iter().find(|e| e.name == name).unwrap().id
}

#[test]
fn removing_everything_leaves_the_empty_tree() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    commit(&repo, &patch(&[("a/b", "1")]), "one");
    let mut all = Patch::default();
    all.remove("a");
    commit(&repo, &all, "none");
    assert_eq!(sandbox.git(&dir, &["ls-tree", "-r", "main"]), "");
    sandbox.sound(&dir);
    commit(&repo, &patch(&[("c", "2")]), "again");
    assert_eq!(sandbox.git(&dir, &["ls-tree", "-r", "--name-only", "main"]), "c");
}

#[test]
fn names_that_are_unsafe_somewhere_are_refused_and_bad_ones_can_go() {
    let sandbox = Sandbox::new();
    let repo = open(&sandbox.init("r.git", &["--bare"]));
    for path in [
        "",
        "/",
        "a//b",
        "a/",
        "/a",
        ".",
        "a/..",
        "..",
        ".git",
        "x/.GIT/config",
        "git~1",
        ".git.",
        ".g\u{200c}it",
        "a\\b",
        "C:x",
        "CON",
        "aux.txt",
        "a\0b",
        "a\nb",
        "trailing.",
        "trailing ",
        "q?",
        "a:b",
    ] {
        let refused = repo.stage(None, &patch(&[(path, "x")]));
        assert!(matches!(refused, Err(StageError::Path { .. })), "{path:?}: {refused:?}");
    }
    for path in ["a", ".gitattributes", "models/%2e/ü", "x.y-z_0"] {
        assert!(repo.stage(None, &patch(&[(path, "x")])).is_ok(), "{path:?}");
    }
    let mut bad = Patch::default();
    bad.remove("CON");
    assert!(repo.stage(None, &bad).is_ok());
}

#[test]
fn who_expects_the_wrong_commit_loses_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    let first = commit(&repo, &patch(&[("a", "1")]), "one");
    let second = commit(&repo, &patch(&[("a", "2")]), "two");
    let objects = || sandbox.git(&dir, &["count-objects"]);
    let before = objects();
    let mut lock = repo.lock(WAIT).unwrap();
    for expected in [Some(first), None] {
        let tree = repo.stage(None, &patch(&[("lost", "unique")])).unwrap();
        let lost = repo.publish(&mut lock, "refs/heads/main", expected, &[draft(tree, "lost")], Durability::Full);
        assert!(matches!(lost, Err(PublishError::Moved { actual: Some(a) }) if a == second), "{lost:?}");
        assert!(matches!(repo.tree(&tree), Err(TreeError::Missing(_))));
    }
    let tree = repo.stage(None, &patch(&[("lost", "unique")])).unwrap();
    let gone = repo.publish(&mut lock, "refs/heads/gone", Some(first), &[draft(tree, "lost")], Durability::Full);
    assert!(matches!(gone, Err(PublishError::Moved { actual: None })), "{gone:?}");
    assert_eq!(objects(), before);
    assert_eq!(repo.head().unwrap(), Some(second));
}

#[test]
fn a_chain_of_commits_lands_together_with_only_the_objects_it_needs() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    let mut lock = repo.lock(WAIT).unwrap();
    let one = repo.stage(None, &patch(&[("a", "1")])).unwrap();
    let refused = repo.stage(Some(one), &patch(&[("refused", "never to be seen")])).unwrap();
    let two = repo.stage(Some(one), &patch(&[("b", "2")])).unwrap();
    let drafts = [draft(one, "one"), draft(two, "two")];
    let done = repo.publish(&mut lock, "refs/heads/main", None, &drafts, Durability::Relaxed).unwrap();
    assert_eq!(done.commits.len(), 2);
    assert_eq!(sandbox.git(&dir, &["log", "--format=%s"]), "two\none");
    assert_eq!(sandbox.git(&dir, &["fsck", "--strict", "--unreachable"]), "");
    assert!(!sandbox.output(&dir, &["cat-file", "-e", &refused.to_string()]).status.success());
}

#[test]
fn many_writers_lose_no_update() {
    const WRITERS: usize = 4;
    const EACH: usize = 12;
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let dir = &dir;
            scope.spawn(move || {
                let repo = open(dir);
                for i in 0..EACH {
                    loop {
                        // Every other writer holds no lock while it reads, as a foreign program would.
                        let head = repo.head().unwrap();
                        let root = head.map(|h| repo.tree_of(&h).unwrap());
                        let tree = repo.stage(root, &patch(&[(&format!("w{writer}/{i}"), "x")])).unwrap();
                        let mut lock = repo.lock(Duration::from_secs(60)).unwrap();
                        let drafts = [draft(tree, "write")];
                        match repo.publish(&mut lock, "refs/heads/main", head, &drafts, Durability::Relaxed) {
                            Ok(_) => break,
                            Err(PublishError::Moved { .. }) => {}
                            Err(e) => panic!("{e}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(sandbox.git(&dir, &["rev-list", "--count", "main"]), (WRITERS * EACH).to_string());
    assert_eq!(sandbox.git(&dir, &["ls-tree", "-r", "--name-only", "main"]).lines().count(), WRITERS * EACH);
    sandbox.sound(&dir);
    assert_eq!(sandbox.git(&dir, &["fsck", "--unreachable"]), "", "who lost a race left nothing");
}

#[test]
fn the_lock_is_waited_for_and_says_who_holds_it() {
    let sandbox = Sandbox::new();
    let repo = open(&sandbox.init("r.git", &["--bare"]));
    let held = repo.lock(WAIT).unwrap();
    match repo.lock(Duration::from_millis(20)) {
        Err(GitError::Busy { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(held);
    assert!(repo.lock(Duration::ZERO).is_ok());
}

#[test]
fn the_work_tree_and_index_follow() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = open(&dir);
    let mut changes =
        patch(&[("models/a/model.toml", "name = \"b\"\n"), ("models/b/versions/1/version.toml", "v = 1\n")]);
    commit(&repo, &changes, "change and add");
    sandbox.clean(&dir);
    assert_eq!(std::fs::read_to_string(dir.join("models/b/versions/1/version.toml")).unwrap(), "v = 1\n");
    changes = Patch::default();
    changes.remove("models/b");
    commit(&repo, &changes, "remove");
    sandbox.clean(&dir);
    assert!(!dir.join("models/b").exists(), "folders that are empty go too");
    std::fs::write(dir.join("README.md"), "by hand\n").unwrap();
    sandbox.git(&dir, &["commit", "-qam", "by hand"]);
    assert_eq!(
        sandbox.git(&dir, &["show", "--stat", "--format=", "HEAD"]).lines().count(),
        2,
        "git commits only its own"
    );
    commit(&repo, &patch(&[("README.md", "again\n")]), "after git");
    sandbox.clean(&dir);
    sandbox.sound(&dir);
    assert_eq!(sandbox.git(&dir, &["reflog", "--format=%gs", "HEAD"]).lines().next(), Some("greenroom: after git"));
    assert_eq!(sandbox.git(&dir, &["rev-parse", "HEAD@{1}"]), sandbox.git(&dir, &["rev-parse", "HEAD~1"]));
}

#[test]
fn an_unborn_branch_with_a_work_tree_is_filled() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r", &[]);
    let repo = open(&dir);
    commit(&repo, &patch(&[("greenroom.toml", "format = 1\n"), ("models/x/model.toml", "")]), "init");
    sandbox.clean(&dir);
    assert!(dir.join("models/x/model.toml").exists());
    sandbox.sound(&dir);
}

#[test]
fn dirty_files_that_are_touched_stop_the_change_and_others_do_not() {
    type Spoil = fn(&Sandbox, &Path);
    let spoils: [(&str, Spoil); 6] = [
        ("models/a/model.toml", |_, d| std::fs::write(d.join("models/a/model.toml"), "mine\n").unwrap()),
        ("models/a/model.toml", |s, d| {
            std::fs::write(d.join("models/a/model.toml"), "mine\n").unwrap();
            s.git(d, &["add", "."]);
        }),
        ("models/a/model.toml", |_, d| std::fs::remove_file(d.join("models/a/model.toml")).unwrap()),
        ("new/file", |_, d| {
            std::fs::create_dir(d.join("new")).unwrap();
            std::fs::write(d.join("new/file"), "untracked\n").unwrap();
        }),
        ("new/file", |_, d| std::fs::write(d.join("new"), "a file where a folder must be\n").unwrap()),
        ("new/file", |_, d| std::os::unix::fs::symlink("/tmp", d.join("new")).unwrap()),
    ];
    for (i, (path, spoil)) in spoils.into_iter().enumerate() {
        let sandbox = Sandbox::new();
        let dir = sandbox.with_commit("r");
        let repo = open(&dir);
        std::fs::write(dir.join("README.md"), "also dirty, but not touched\n").unwrap();
        std::fs::write(dir.join("untracked"), "x").unwrap();
        spoil(&sandbox, &dir);
        let before = (
            repo.head().unwrap(),
            sandbox.git(&dir, &["status", "--porcelain"]),
            sandbox.git(&dir, &["count-objects"]),
        );
        let changes = patch(&[("models/a/model.toml", "ours\n"), ("new/file", "ours\n")]);
        match try_commit(&repo, &changes, "no") {
            Err(PublishError::Dirty { paths }) => assert_eq!(paths, [path], "case {i}"),
            other => panic!("case {i}: {other:?}"),
        }
        let after = (
            repo.head().unwrap(),
            sandbox.git(&dir, &["status", "--porcelain"]),
            sandbox.git(&dir, &["count-objects"]),
        );
        assert_eq!(before, after, "case {i}");
        assert!(!dir.join(".git/index.lock").exists());
    }
}

#[test]
fn untouched_dirty_files_stay_as_they_are() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = open(&dir);
    std::fs::write(dir.join("README.md"), "staged\n").unwrap();
    sandbox.git(&dir, &["add", "README.md"]);
    std::fs::write(dir.join("README.md"), "edits!\n").unwrap();
    std::fs::write(dir.join("same"), "identical\n").unwrap();
    commit(&repo, &patch(&[("models/a/model.toml", "ours\n"), ("same", "identical\n")]), "yes");
    assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), "MM README.md");
    assert_eq!(sandbox.git(&dir, &["show", ":README.md"]), "staged");
}

#[test]
fn an_edit_within_the_second_of_the_index_is_not_overlooked() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = open(&dir);
    let file = dir.join("README.md");
    let time = std::fs::metadata(&file).unwrap().modified().unwrap();
    // Same size, same time: only the second in which the index was written gives the edit away.
    std::fs::write(&file, "HELLO\n").unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    sandbox.git(&dir, &["config", "core.trustctime", "false"]);
    let index = std::fs::File::options().write(true).open(dir.join(".git/index")).unwrap();
    index.set_modified(time).unwrap();
    assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), " M README.md");
    index.set_modified(time).unwrap();
    commit(&open(&dir), &patch(&[("other", "1\n")]), "other");
    drop(repo);
    let index = std::fs::File::options().write(true).open(dir.join(".git/index")).unwrap();
    index.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), " M README.md");
}
