//! Updates of the work tree and the index.

use super::*;

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
    sandbox.git(&dir, &["config", "core.trustctime", "false"]);
    let set_time = |file: &str, time| {
        std::fs::File::options().write(true).open(dir.join(file)).unwrap().set_modified(time).unwrap();
    };
    let now = std::fs::metadata(dir.join("README.md")).unwrap().modified().unwrap();
    // The index is written again within the same second, or a minute later.
    for time in [now, now - Duration::from_secs(60)] {
        std::fs::write(dir.join("README.md"), "hello\n").unwrap();
        set_time("README.md", time);
        sandbox.git(&dir, &["add", "README.md"]);
        // Same size, same time: only the second in which the index was written reveals the edit.
        std::fs::write(dir.join("README.md"), "HELLO\n").unwrap();
        set_time("README.md", time);
        set_time(".git/index", time);
        commit(&open(&dir), &patch(&[("other", &format!("{time:?}\n"))]), "other");
        assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), " M README.md");
    }
}

#[test]
fn a_linked_work_tree_follows_and_no_other_is_left_behind() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let linked = sandbox.path("linked");
    sandbox.git(&dir, &["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    let repo = open(&linked);
    assert_eq!(repo.branch().unwrap(), "refs/heads/side");
    assert_eq!(repo.common_dir().canonicalize().unwrap(), dir.join(".git").canonicalize().unwrap());
    commit(&repo, &patch(&[("models/a/model.toml", "side\n")]), "on the side");
    sandbox.clean(&linked);
    sandbox.clean(&dir);

    let (head, main) = (repo.head().unwrap(), open(&dir));
    for (other, branch) in [(&repo, "refs/heads/main"), (&main, "refs/heads/side")] {
        let mut lock = other.lock(WAIT).unwrap();
        let expected = other.reference(branch).unwrap();
        let tree = other.stage(None, &patch(&[("x", "y")])).unwrap();
        let refused = other.publish(&mut lock, branch, expected, &[draft(tree, "no")], Durability::Full);
        assert!(matches!(refused, Err(PublishError::Git(GitError::CheckedOut { .. }))), "{branch}: {refused:?}");
    }
    assert_eq!(repo.head().unwrap(), head);
    std::fs::remove_dir_all(&linked).unwrap();
    let mut lock = main.lock(WAIT).unwrap();
    let tree = main.stage(None, &patch(&[("x", "y")])).unwrap();
    let gone = main.publish(&mut lock, "refs/heads/side", head, &[draft(tree, "yes")], Durability::Full);
    assert!(gone.is_ok(), "a work tree that was deleted is in nobody's way: {gone:?}");
}

#[test]
fn modes_links_and_odd_places_are_followed() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    std::fs::write(dir.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("README.md", dir.join("link")).unwrap();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["update-index", "--chmod=+x", "run.sh"]);
    sandbox.git(&dir, &["commit", "-qm", "odd"]);
    sandbox.git(&dir, &["checkout", "-q", "--", "."]);
    let repo = open(&dir);
    let root = repo.tree_of(&repo.head().unwrap().unwrap()).unwrap();
    let mut moved = patch(&[("README.md/now/a/folder", "deep\n")]);
    moved.link("copy", crate::tree::EntryKind::Tree, root);
    moved.remove("run.sh");
    moved.remove("link");
    commit(&repo, &moved, "move");
    sandbox.clean(&dir);
    assert_eq!(std::fs::read_link(dir.join("copy/link")).unwrap(), Path::new("README.md"));
    assert_eq!(sandbox.git(&dir, &["ls-files", "-s", "copy/run.sh"]).split(' ').next(), Some("100755"));
    let mut back = patch(&[("README.md", "a file again\n")]);
    back.remove("README.md/now");
    back.remove("copy");
    commit(&repo, &back, "back");
    sandbox.clean(&dir);
    sandbox.sound(&dir);
}

#[test]
fn an_untracked_file_in_a_folder_that_becomes_a_file_is_not_lost() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    std::fs::write(dir.join("models/a/notes"), "mine\n").unwrap();
    let repo = open(&dir);
    let mut change = patch(&[("models/a", "now a file\n")]);
    change.remove("models/a/model.toml");
    let refused = try_commit(&repo, &change, "no");
    assert!(matches!(&refused, Err(PublishError::Dirty { paths }) if paths == &["models/a"]), "{refused:?}");
    assert!(dir.join("models/a/notes").exists());
}

#[test]
fn a_symbolic_link_in_place_of_a_folder_is_never_followed() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let outside = sandbox.path("outside");
    std::fs::rename(dir.join("models"), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, dir.join("models")).unwrap();
    let repo = open(&dir);
    for change in [patch(&[("models/a/model.toml", "ours\n")]), patch(&[("models/new", "ours\n")])] {
        let refused = try_commit(&repo, &change, "no");
        assert!(matches!(refused, Err(PublishError::Dirty { .. })), "{refused:?}");
    }
    assert_eq!(std::fs::read_to_string(outside.join("a/model.toml")).unwrap(), "name = \"a\"\n");
    assert!(!outside.join("new").exists());
}

#[test]
fn what_a_sparse_checkout_leaves_out_stays_out() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    sandbox.git(&dir, &["sparse-checkout", "set", "--no-cone", "/README.md"]);
    assert!(!dir.join("models").exists());
    commit(&open(&dir), &patch(&[("models/a/model.toml", "ours\n"), ("README.md", "seen\n")]), "both");
    assert!(!dir.join("models").exists());
    sandbox.clean(&dir);
    sandbox.git(&dir, &["sparse-checkout", "disable"]);
    assert_eq!(std::fs::read_to_string(dir.join("models/a/model.toml")).unwrap(), "ours\n");
    sandbox.clean(&dir);
}

#[test]
fn an_index_that_another_git_holds_stops_the_change() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = open(&dir);
    let head = repo.head().unwrap();
    let index_lock = dir.join(".git/index.lock");
    std::fs::write(&index_lock, "").unwrap();
    match try_commit(&repo, &patch(&[("a", "b")]), "no") {
        Err(PublishError::Git(GitError::Locked { path })) => assert!(path.ends_with("index.lock")),
        other => panic!("{other:?}"),
    }
    assert_eq!(repo.head().unwrap(), head);
    assert!(index_lock.exists(), "it is not ours to remove");
}

#[test]
fn the_check_before_work_agrees_with_the_one_that_counts() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = open(&dir);
    let old = repo.tree_of(&repo.head().unwrap().unwrap()).unwrap();
    let new = repo.stage(Some(old), &patch(&[("README.md", "ours\n")])).unwrap();
    assert!(repo.check_clean(Some(&old), &new).is_ok());
    std::fs::write(dir.join("README.md"), "mine\n").unwrap();
    assert!(matches!(repo.check_clean(Some(&old), &new), Err(PublishError::Dirty { .. })));
}

#[test]
fn the_work_tree_of_a_writer_that_was_killed_is_brought_after() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r").canonicalize().unwrap();
    let repo = open(&dir);
    let mut all = patch(&[("models/a/model.toml", "new\n"), ("added/file", "new\n"), ("later", "new\n")]);
    all.remove("README.md");
    let old = repo.tree_of(&repo.head().unwrap().unwrap()).unwrap();
    let new = repo.tree_of(&commit(&repo, &all, "all")).unwrap();
    // As if a writer was killed after it updated some files, but not the others and not the index.
    sandbox.git(&dir, &["read-tree", &old.to_string()]);
    std::fs::write(dir.join("README.md"), "hello\n").unwrap();
    std::fs::remove_file(dir.join("later")).unwrap();
    std::fs::write(dir.join("models/a/model.toml"), "by hand, meanwhile\n").unwrap();
    let left = super::super::lock::WorkTreeMove { git_dir: dir.join(".git"), old: Some(old), new };
    let mut lock = repo.lock(WAIT).unwrap();
    lock.note(&[], Some(&left)).unwrap();
    let note = std::fs::read(dir.join(".git/greenroom/lock")).unwrap();
    drop(lock);
    std::fs::write(dir.join(".git/greenroom/lock"), note).unwrap();

    drop(repo.lock(WAIT).unwrap());
    assert_eq!(sandbox.git(&dir, &["status", "--porcelain"]), "MM models/a/model.toml", "only what is edited is left");
    assert!(!dir.join("README.md").exists());
    assert_eq!(std::fs::read_to_string(dir.join("later")).unwrap(), "new\n");
}

#[test]
fn a_work_tree_that_cannot_follow_says_so_and_is_brought_after_by_the_next() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = open(&dir);
    // The folder is not writable. For the superuser, who can write everywhere, a folder stands at the path of the
    // temporary file, so the file cannot be replaced.
    let folder = dir.join("models/a");
    std::fs::create_dir(folder.join(".greenroom-new")).unwrap();
    let set = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    let change = patch(&[("models/a/model.toml", "new\n")]);
    let done = try_commit(&repo, &change, "lands").unwrap();
    set(0o755);
    assert!(done.left_behind.is_some());
    assert_eq!(repo.head().unwrap(), done.commits.last().copied());
    std::fs::remove_dir(folder.join(".greenroom-new")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("model.toml")).unwrap(), "name = \"a\"\n");
    commit(&repo, &patch(&[("models/a/model.toml", "newer\n")]), "next");
    sandbox.clean(&dir);
}
