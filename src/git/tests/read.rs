//! Objects, revisions, people and history.

use super::*;
use crate::tree::{EntryKind, Objects as _, TreeError};

/// Creates an empty commit with a committer time, with git.
fn commit_at(sandbox: &Sandbox, dir: &Path, seconds: i64) -> Oid {
    let tree = sandbox.git(dir, &["mktree", "--missing"]);
    let head = sandbox.output(dir, &["rev-parse", "-q", "--verify", "HEAD"]);
    let parent = String::from_utf8(head.stdout).unwrap();
    let mut text = format!("tree {tree}\n");
    if head.status.success() {
        text.push_str(&format!("parent {parent}"));
    }
    text.push_str(&format!("author A <a@x> {seconds} +0100\ncommitter C <c@x> {seconds} +0100\n\nat {seconds}\n"));
    let file = sandbox.path("commit");
    std::fs::write(&file, text).unwrap();
    let id = sandbox.git(dir, &["hash-object", "-t", "commit", "-w", file.to_str().unwrap()]);
    sandbox.git(dir, &["update-ref", "HEAD", &id]);
    Oid::from_hex(&id).unwrap()
}

#[test]
fn revisions_are_those_of_git() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = open(&dir);
    let first = repo.head().unwrap().unwrap();
    let second = commit(&repo, &patch(&[("a", "1")]), "two");
    sandbox.git(&dir, &["tag", "-a", "-m", "tag", "v1", &first.to_string()]);
    for (rev, want) in [
        ("HEAD", second),
        ("main", second),
        ("main~1", first),
        ("v1", first),
        ("v1^{commit}", first),
        (&second.short(), second),
    ] {
        assert_eq!(repo.resolve(rev).unwrap(), want, "{rev}");
    }
    for rev in ["", "nope", "main~7", "HEAD:README.md", "main^{tree}", "--all", &"x".repeat(5000), "a\u{1b}[31mb"] {
        let unknown = repo.resolve(rev).unwrap_err();
        assert!(matches!(unknown, GitError::UnknownRevision { .. }), "{rev}: {unknown:?}");
        assert!(!unknown.to_string().contains('\u{1b}'));
    }
    let c = repo.commit(&second).unwrap();
    assert_eq!(c.tree, repo.tree_of(&second).unwrap());
    assert_eq!(c.parents, [first]);
}

#[test]
fn a_detached_head_is_read_but_has_no_branch() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    sandbox.git(&dir, &["checkout", "-q", "--detach"]);
    let repo = open(&dir);
    assert!(repo.head().unwrap().is_some());
    assert!(matches!(repo.branch(), Err(GitError::Detached)));
}

#[test]
fn people_who_appear_under_several_names_are_one() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    std::fs::write(dir.join(".mailmap"), "Grace Hopper <grace@navy.example> <grace@example.org>\n").unwrap();
    let found = open(&dir).resolve_ident(&who());
    assert_eq!((found.name.as_str(), found.email.as_str()), ("Grace Hopper", "grace@navy.example"));
    assert_eq!(found.time, who().time);
}

#[test]
fn git_must_know_who_commits() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r", &[]);
    assert!(matches!(open(&dir).identity(), Err(GitError::NoIdentity)));
    sandbox.git(&dir, &["config", "user.name", "Local"]);
    sandbox.git(&dir, &["config", "user.email", "local@example.org"]);
    let (author, committer) = open(&dir).identity().unwrap();
    assert_eq!((author.name.as_str(), committer.email.as_str()), ("Local", "local@example.org"));
}

#[test]
fn missing_damaged_swapped_and_huge_objects_are_told_apart() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let path_of = |id: &str| dir.join(".git/objects").join(&id[..2]).join(&id[2..]);
    let at = |rev: &str| sandbox.git(&dir, &["rev-parse", rev]);
    let (readme, model) = (at("HEAD:README.md"), at("HEAD:models/a/model.toml"));
    let id = |hex: &str| Oid::from_hex(hex).unwrap();
    let repo = open(&dir);
    assert!(matches!(repo.blob(&id(&readme), 3), Err(TreeError::TooLarge { size: 6, max: 3, .. })));
    assert_eq!(repo.blob(&id(&readme), 6).unwrap(), b"hello\n");
    let absent = id("0123456789012345678901234567890123456789");
    assert!(matches!(repo.blob(&absent, 9), Err(TreeError::Missing(_))));
    assert!(matches!(repo.tree(&absent), Err(TreeError::Missing(_))));
    assert!(matches!(repo.commit(&absent), Err(GitError::Object(TreeError::Missing(_)))));
    let other_hash = id(&"ab".repeat(32));
    assert!(matches!(repo.tree(&other_hash), Err(TreeError::Missing(_))));
    assert!(matches!(repo.tree(&id(&readme)), Err(TreeError::Damaged { .. })), "a file is no tree");
    assert!(matches!(repo.blob(&id(&at("HEAD^{tree}")), 999), Err(TreeError::Damaged { .. })));

    let write = |id: &str, bytes: &[u8]| {
        std::fs::remove_file(path_of(id)).unwrap();
        std::fs::write(path_of(id), bytes).unwrap();
    };
    let whole = std::fs::read(path_of(&readme)).unwrap();
    for wrong in [&b""[..], &b"garbage"[..], &whole[..whole.len() / 2], &std::fs::read(path_of(&model)).unwrap()] {
        write(&readme, wrong);
        let damaged = open(&dir).blob(&id(&readme), 999);
        assert!(matches!(damaged, Err(TreeError::Damaged { .. })), "{damaged:?}");
    }
    write(&readme, &whole);
    assert!(repo.blob(&id(&readme), 999).is_ok());
}

#[test]
fn replacement_objects_are_not_followed() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let first = open(&dir).head().unwrap().unwrap();
    let second = commit(&open(&dir), &patch(&[("a", "1")]), "two");
    sandbox.git(&dir, &["replace", &second.to_string(), &first.to_string()]);
    assert_eq!(open(&dir).commit(&second).unwrap().subject, "two");
}

#[test]
fn entries_of_every_kind_are_read() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let head = sandbox.git(&dir, &["rev-parse", "HEAD"]);
    sandbox.git(&dir, &["update-index", "--add", "--cacheinfo", &format!("160000,{head},sub")]);
    let tree = Oid::from_hex(&sandbox.git(&dir, &["write-tree"])).unwrap();
    let kinds: Vec<EntryKind> = open(&dir).tree(&tree).unwrap().iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [EntryKind::File, EntryKind::Tree, EntryKind::Submodule]);
}

#[test]
fn the_first_parent_line_is_walked_with_and_without_a_commit_graph() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    sandbox.git(&dir, &["checkout", "-qb", "side"]);
    std::fs::write(dir.join("side"), "1").unwrap();
    sandbox.git(&dir, &["add", "."]);
    sandbox.git(&dir, &["commit", "-qm", "side"]);
    sandbox.git(&dir, &["checkout", "-q", "main"]);
    sandbox.git(&dir, &["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    commit(&open(&dir), &patch(&[("after", "1")]), "after");
    let lines = sandbox.git(&dir, &["log", "--first-parent", "--format=%H %T %ct"]);
    let check = |steps: Vec<Step>| {
        let seen: Vec<String> =
            steps.iter().map(|s| format!("{} {} {}", s.commit, s.tree, s.time.as_seconds())).collect();
        assert_eq!(seen.join("\n"), lines);
        assert_eq!(steps.last().unwrap().parent, None);
        assert!(steps.windows(2).all(|w| w[0].parent == Some(w[1].commit)));
    };
    for graph in [false, true] {
        if graph {
            sandbox.git(&dir, &["commit-graph", "write", "--reachable"]);
        }
        let repo = open(&dir);
        let tip = repo.head().unwrap().unwrap();
        check(repo.first_parents(tip).unwrap().collect::<Result<_, _>>().unwrap());
        check(repo.first_parents_checked(tip).unwrap().collect::<Result<_, _>>().unwrap());
        let old = repo.resolve("main~1^1").unwrap();
        let new: Vec<String> =
            repo.new_commits(tip, &[old], 10).unwrap().unwrap().iter().map(ToString::to_string).collect();
        let mut want: Vec<String> =
            sandbox.git(&dir, &["rev-list", "main", "^main~1^1"]).lines().map(str::to_owned).collect();
        let mut sorted = new.clone();
        sorted.sort();
        want.sort();
        assert_eq!(sorted, want);
        assert_eq!(repo.new_commits(tip, &[old], 2).unwrap(), None);
    }
}

#[test]
fn what_had_landed_by_a_time_does_not_go_back_when_a_clock_did() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r.git", &["--bare"]);
    let ids: Vec<Oid> = [100, 200, 150, 300].iter().map(|s| commit_at(&sandbox, &dir, *s)).collect();
    let repo = open(&dir);
    let at = |s| repo.landed_at(ids[3], Timestamp::from_seconds(s)).unwrap();
    for (time, want) in
        [(99, None), (100, Some(0)), (150, Some(0)), (199, Some(0)), (200, Some(2)), (299, Some(2)), (300, Some(3))]
    {
        assert_eq!(at(time), want.map(|i: usize| ids[i]), "at {time}");
    }
}

#[test]
fn a_shallow_clone_says_so_where_its_history_ends() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    commit(&open(&dir), &patch(&[("a", "1")]), "two");
    let (from, to) = (format!("file://{}", dir.display()), sandbox.path("shallow"));
    sandbox.git(sandbox.dir.path(), &["clone", "-q", "--depth=1", &from, to.to_str().unwrap()]);
    let repo = open(&to);
    assert!(repo.is_shallow().unwrap());
    assert!(!open(&dir).is_shallow().unwrap());
    let tip = repo.head().unwrap().unwrap();
    let steps: Vec<_> = repo.first_parents(tip).unwrap().collect();
    assert!(matches!(steps.as_slice(), [Ok(_), Err(GitError::Shallow)]), "{steps:?}");
    commit(&repo, &patch(&[("a", "2")]), "writing needs no history");
    sandbox.clean(&to);
}

#[test]
fn a_hook_sees_what_is_being_pushed_and_cannot_write() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let bare = sandbox.init("bare.git", &["--bare"]);
    sandbox.git(&dir, &["push", "-q", bare.to_str().unwrap(), "main"]);
    let new = commit(&open(&dir), &patch(&[("pushed", "new\n")]), "pushed");
    // The objects of the push lie in a separate folder, as in git's quarantine.
    let apart = sandbox.path("incoming");
    let old = sandbox.git(&bare, &["rev-parse", "main"]);
    for line in sandbox.git(&dir, &["rev-list", "--objects", "main", &format!("^{old}")]).lines() {
        let id = line.split(' ').next().unwrap();
        std::fs::create_dir_all(apart.join(&id[..2])).unwrap();
        std::fs::copy(dir.join(".git/objects").join(&id[..2]).join(&id[2..]), apart.join(&id[..2]).join(&id[2..]))
            .unwrap();
    }
    assert!(matches!(open(&bare).commit(&new), Err(GitError::Object(TreeError::Missing(_)))));
    let env = HookEnv {
        git_dir: bare.clone(),
        objects: vec![apart.clone()],
        alternates: bare.join("objects").into_os_string(),
    };
    let repo = Repo::open_quarantined(&env).unwrap();
    let tree = repo.tree_of(&new).unwrap();
    let blob = repo.tree(&tree).unwrap().iter().find(|e| e.name == "pushed").unwrap().id;
    assert_eq!(repo.blob(&blob, 9).unwrap(), b"new\n");
    assert_eq!(repo.new_commits(new, &[Oid::from_hex(&old).unwrap()], 9).unwrap(), Some(vec![new]));
    assert!(!apart.join("info").exists());

    let mut lock = repo.lock(WAIT).unwrap();
    let refused =
        repo.publish(&mut lock, "refs/heads/main", repo.head().unwrap(), &[draft(tree, "no")], Durability::Full);
    assert!(matches!(refused, Err(PublishError::Git(GitError::Quarantined))), "{refused:?}");
    let gone = HookEnv { objects: vec![sandbox.path("gone")], ..env };
    assert!(Repo::open_quarantined(&gone).is_err(), "half a push is not judged");
}

#[test]
fn common_ancestors_are_found_where_the_library_finds_them_and_beside_odd_commits() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let empty = |name: &str| sandbox.git(&dir, &["commit", "-q", "--allow-empty", "-m", name]);
    sandbox.git(&dir, &["switch", "-q", "-c", "side"]);
    empty("one");
    sandbox.git(&dir, &["switch", "-q", "main"]);
    empty("two");
    sandbox.git(&dir, &["branch", "before"]);
    sandbox.git(&dir, &["merge", "-q", "--no-edit", "side"]);
    sandbox.git(&dir, &["switch", "-q", "side"]);
    sandbox.git(&dir, &["merge", "-q", "--no-edit", "before"]);
    let repo = open(&dir);
    let at = |rev: &str| repo.resolve(rev).unwrap();
    for (one, other, count) in
        [("main", "side", 2), ("main", "before", 1), ("main~1", "side~1", 1), ("main", "main", 1)]
    {
        let mut found = repo.merge_bases(&at(one), &at(other)).unwrap();
        found.sort();
        assert_eq!((found.len(), &repo.best_common(at(one), at(other)).unwrap()), (count, &found), "{one} {other}");
    }
    // A commit without an author and without a time.
    let odd = dir.join("odd");
    std::fs::write(&odd, format!("tree {}\nparent {}\n\nodd\n", repo.tree_of(&at("main")).unwrap(), at("main")))
        .unwrap();
    let id = sandbox.git(&dir, &["hash-object", "-t", "commit", "-w", "--literally", "odd"]);
    let odd = Oid::from_hex(&id).unwrap();
    assert_eq!(repo.merge_bases(&odd, &at("before")).unwrap(), [at("before")]);
    assert_eq!(
        repo.commit(&odd).unwrap().oddities,
        [CommitOddity::Missing(Role::Author), CommitOddity::Missing(Role::Committer)]
    );
}
