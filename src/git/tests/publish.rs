//! Staging and publishing.

use std::time::SystemTime;

use super::*;
use crate::tree::{EntryKind, Objects as _, StageError, TreeError};

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
    changes.link("y", EntryKind::Tree, moved);
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
fn the_commits_are_announced_before_the_branch_names_them() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    let mut lock = repo.lock(WAIT).unwrap();
    let tree = repo.stage(None, &patch(&[("a", "1")])).unwrap();
    let (drafts, mut announced) = ([draft(tree, "one"), draft(tree, "two")], Vec::new());
    let mut announce = |commits: &[Oid]| {
        assert_eq!(repo.reference("refs/heads/main").unwrap(), None, "the branch names nothing yet");
        announced = commits.to_vec();
    };
    let done = repo.publish_announced(&mut lock, "refs/heads/main", None, &drafts, Durability::Full, &mut announce);
    assert_eq!(done.unwrap().commits, announced);
    assert_eq!(repo.reference("refs/heads/main").unwrap(), announced.last().copied());
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
                        // Every second writer reads without the lock, like a foreign program.
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
    // A process that another test starts holds a copy of the descriptor for a moment.
    assert!(repo.lock(Duration::from_secs(5)).is_ok());
}

#[test]
fn locks_of_a_killed_writer_are_removed_and_others_are_named() {
    use super::super::lock::LockFile;
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]).canonicalize().unwrap();
    let repo = open(&dir);
    let first = commit(&repo, &patch(&[("a", "1")]), "one");
    let main = dir.join("refs/heads/main.lock");
    let file = dir.join("greenroom/lock");
    // What a killed writer leaves: its note stays, because nothing clears it.
    let note = |held: Option<LockFile>| {
        let mut lock = repo.lock(WAIT).unwrap();
        lock.note(held.as_slice(), None).unwrap();
        let text = std::fs::read(&file).unwrap();
        drop(lock);
        std::fs::write(&file, text).unwrap();
    };
    let planned = || note(Some(LockFile::planned(main.clone(), Some(first))));

    // Killed between the lock and the move: the lock contains the id that was to be published.
    planned();
    std::fs::write(&main, format!("{first}\n")).unwrap();
    commit(&repo, &patch(&[("a", "2")]), "healed");
    // Killed right after the lock was created, before anything was in it.
    planned();
    std::fs::write(&main, "").unwrap();
    commit(&repo, &patch(&[("a", "3")]), "healed");
    // The same file as the writer noted, whatever its content.
    std::fs::write(&main, "whatever").unwrap();
    note(LockFile::taken(main.clone()));
    commit(&repo, &patch(&[("a", "4")]), "healed");

    let refused = || match try_commit(&repo, &patch(&[("a", "5")]), "no") {
        Err(PublishError::Git(e @ GitError::Locked { .. })) => assert!(e.to_string().contains("main.lock"), "{e}"),
        other => panic!("{other:?}"),
    };
    // Another process's lock: it contains another id.
    planned();
    std::fs::write(&main, "0123456789012345678901234567890123456789\n").unwrap();
    refused();
    // Another process's lock: empty, but created much later than the note, or long before it.
    for age in [-60, 60] {
        planned();
        std::fs::write(&main, "").unwrap();
        let now = SystemTime::now();
        let time = if age > 0 { now - Duration::from_secs(60) } else { now + Duration::from_secs(60) };
        std::fs::File::options().write(true).open(&main).unwrap().set_modified(time).unwrap();
        refused();
    }
    // Another file than the noted one.
    note(LockFile::taken(main.clone()));
    std::fs::remove_file(&main).unwrap();
    std::fs::write(dir.join("in the way of the same inode"), "").unwrap();
    std::fs::write(&main, "").unwrap();
    refused();
    // Files outside the repository are never touched, whatever the note says.
    let outside = sandbox.path("precious.lock");
    std::fs::write(&outside, format!("{first}\n")).unwrap();
    note(Some(LockFile::planned(outside.clone(), Some(first))));
    drop(repo.lock(WAIT).unwrap());
    assert!(outside.exists());
}

#[test]
fn a_torn_object_left_by_a_power_cut_is_written_again() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    let id = sandbox.path("blob");
    std::fs::write(&id, "content\n").unwrap();
    let id = sandbox.git(&dir, &["hash-object", "-w", id.to_str().unwrap()]);
    let object = dir.join("objects").join(&id[..2]).join(&id[2..]);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, "").unwrap();
    commit(&repo, &patch(&[("file", "content\n")]), "again");
    sandbox.sound(&dir);
    assert_eq!(sandbox.git(&dir, &["show", "main:file"]), "content");
}

#[test]
fn an_old_object_that_is_used_again_is_young_again() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    let file = sandbox.path("blob");
    std::fs::write(&file, "content\n").unwrap();
    let id = sandbox.git(&dir, &["hash-object", "-w", file.to_str().unwrap()]);
    let object = dir.join("objects").join(&id[..2]).join(&id[2..]);
    let year_ago = SystemTime::now() - Duration::from_secs(365 * 86_400);
    std::fs::File::open(&object).unwrap().set_modified(year_ago).unwrap();
    commit(&repo, &patch(&[("file", "content\n")]), "again");
    assert!(std::fs::metadata(&object).unwrap().modified().unwrap() > year_ago + Duration::from_secs(86_400));
}

#[test]
fn packed_branches_move_and_git_packs_beside_us() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    commit(&repo, &patch(&[("a", "1")]), "one");
    sandbox.git(&dir, &["gc", "-q"]);
    assert!(dir.join("packed-refs").exists());
    commit(&repo, &patch(&[("a", "2")]), "two");
    sandbox.git(&dir, &["pack-refs", "--all"]);
    let third = commit(&repo, &patch(&[("a", "3")]), "three");
    assert_eq!(sandbox.git(&dir, &["rev-parse", "main"]), third.to_string());
    assert!(!dir.join("packed-refs.lock").exists());
    sandbox.sound(&dir);
}

#[test]
fn other_references_than_the_branch_can_be_written() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = open(&dir);
    let mut lock = repo.lock(WAIT).unwrap();
    let notes = "refs/notes/greenroom/pushes";
    let tree = repo.stage(None, &patch(&[("one", "1")])).unwrap();
    let first = repo.publish(&mut lock, notes, None, &[draft(tree, "note")], Durability::Full).unwrap();
    let tree = repo.stage(Some(tree), &patch(&[("two", "2")])).unwrap();
    let tip = first.commits.last().copied();
    let second = repo.publish(&mut lock, notes, tip, &[draft(tree, "note")], Durability::Full).unwrap();
    assert_eq!(repo.reference(notes).unwrap(), second.commits.last().copied());
    sandbox.clean(&dir);
    sandbox.sound(&dir);
    let bad = repo.publish(&mut lock, "refs/heads/../x", None, &[draft(tree, "no")], Durability::Full);
    assert!(matches!(bad, Err(PublishError::Git(GitError::Git { .. }))), "{bad:?}");
}

#[test]
fn commits_are_signed_as_git_is_configured_and_git_verifies_them() {
    let sandbox = Sandbox::new();
    for (name, format) in [("one", "sha1"), ("two", "sha256")] {
        let dir = sandbox.init(name, &["--object-format", format]);
        let key = sandbox.path(&format!("key-{name}"));
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
        assert!(made.success());
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let signers = sandbox.path("signers");
        std::fs::write(&signers, format!("grace@example.org {public}")).unwrap();
        for (setting, value) in [
            ("commit.gpgSign", "true"),
            ("gpg.format", "ssh"),
            ("user.signingKey", key.to_str().unwrap()),
            ("gpg.ssh.allowedSignersFile", signers.to_str().unwrap()),
            // A repository cannot choose the program: this one would fail.
            ("gpg.ssh.program", "/bin/false"),
        ] {
            sandbox.git(&dir, &["config", setting, value]);
        }
        let repo = open(&dir);
        let first = commit(&repo, &patch(&[("a", "1")]), "signed");
        let second = commit(&repo, &patch(&[("a", "2")]), "signed");
        for id in [first, second] {
            assert!(repo.commit(&id).unwrap().signed);
            sandbox.git(&dir, &["-c", "gpg.ssh.program=ssh-keygen", "verify-commit", &id.to_string()]);
        }
        sandbox.sound(&dir);
        sandbox.git(&dir, &["config", "user.signingKey", "/no/such/key"]);
        let head = repo.head().unwrap();
        let failed = try_commit(&open(&dir), &patch(&[("a", "3")]), "no");
        assert!(matches!(failed, Err(PublishError::Git(GitError::Signing { .. }))), "{failed:?}");
        assert_eq!(repo.head().unwrap(), head);
        sandbox.clean(&dir);
    }
}

#[test]
fn hostile_names_and_messages_cannot_forge_a_header() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    let mut lock = repo.lock(WAIT).unwrap();
    let tree = repo.stage(None, &patch(&[("a", "1")])).unwrap();
    let evil = Ident::new("Eve\nparent 0 <x>", " <eve@example.org>\0", Timestamp::from_seconds(1));
    let draft = CommitDraft { author: evil.clone(), committer: evil, ..draft(tree, "sub\0ject  \r\n\r\nbody\n\n\n") };
    let id = repo.publish(&mut lock, "refs/heads/main", None, &[draft], Durability::Full).unwrap().commits[0];
    sandbox.sound(&dir);
    let read = repo.commit(&id).unwrap();
    assert_eq!((read.author.name.as_str(), read.author.email.as_str()), ("Eveparent 0 x", "eve@example.org"));
    assert_eq!((read.subject.as_str(), read.body.as_str()), ("subject", "body"));
    assert!(read.parents.is_empty());
}

#[test]
fn a_repository_that_is_read_only_says_so() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let repo = open(&dir);
    commit(&repo, &patch(&[("a", "1")]), "one");
    std::fs::remove_dir_all(dir.join("greenroom")).unwrap();
    let set = |mode| std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    if std::fs::write(dir.join("probe"), "").is_ok() {
        // The superuser can write anywhere, so there is nothing to test.
        set(0o755);
        return;
    }
    let refused = repo.lock(WAIT);
    set(0o755);
    assert!(matches!(refused, Err(GitError::ReadOnly { .. })), "{refused:?}");
}
