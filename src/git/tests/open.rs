//! Finding, refusing and creating repositories.

use super::*;

#[test]
fn a_repository_is_found_from_below_and_its_absence_is_said() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    let repo = Repo::discover(&dir.join("models/a")).unwrap();
    assert_eq!(repo.work_dir().unwrap().canonicalize().unwrap(), dir.canonicalize().unwrap());
    let nowhere = sandbox.path("nowhere");
    std::fs::create_dir(&nowhere).unwrap();
    assert!(matches!(Repo::discover(&nowhere), Err(GitError::NotARepository { .. })));
    assert!(matches!(Repo::open(&nowhere), Err(GitError::NotARepository { .. })));
    assert!(matches!(Repo::open(&sandbox.path("not there")), Err(GitError::NotARepository { .. })));
}

#[test]
fn a_bare_repository_is_found_unless_it_came_inside_a_work_tree() {
    let sandbox = Sandbox::new();
    let bare = sandbox.init("bare.git", &["--bare"]);
    let found = Repo::discover(&bare.join("refs")).unwrap();
    assert_eq!(found.work_dir(), None);
    let dir = sandbox.with_commit("r");
    let inner = dir.join("vendor");
    std::fs::create_dir(&inner).unwrap();
    sandbox.git(&inner, &["init", "-q", "--bare"]);
    assert!(matches!(Repo::discover(&inner), Err(GitError::Embedded { .. })));
    assert!(Repo::open(&inner).is_ok(), "who names it means it");
}

#[test]
fn reftable_is_refused_with_the_way_out() {
    let sandbox = Sandbox::new();
    let dir = sandbox.init("r", &["--ref-format=reftable"]);
    let refused = Repo::open(&dir).unwrap_err();
    assert!(matches!(refused, GitError::RefFormat { .. }), "{refused:?}");
    assert!(refused.to_string().contains("refs migrate"));
}

#[test]
fn the_repository_of_another_user_is_refused_as_git_does() {
    let sandbox = Sandbox::new();
    let dir = sandbox.with_commit("r");
    if std::os::unix::fs::chown(&dir, Some(4_242), None).is_err() {
        // Only the superuser can change the owner of a folder.
        return;
    }
    std::os::unix::fs::chown(dir.join(".git"), Some(4_242), None).unwrap();
    let refused = Repo::open(&dir).unwrap_err();
    assert!(matches!(refused, GitError::Untrusted { .. }), "{refused:?}");
    assert!(refused.to_string().contains("safe.directory"));
    let refused = Repo::discover(&dir.join("models")).unwrap_err();
    assert!(matches!(refused, GitError::Untrusted { .. }), "{refused:?}");
}

#[test]
fn init_makes_a_repository_that_git_likes_and_keeps_what_is_set() {
    let sandbox = Sandbox::new();
    for bare in [false, true] {
        let dir = sandbox.path(if bare { "new.git" } else { "new" });
        let repo = Repo::init(&dir, bare).unwrap();
        assert_eq!(repo.work_dir().is_none(), bare);
        let get = |key: &str| sandbox.git(&dir, &["config", "--get", key]);
        assert_eq!(get("core.logAllRefUpdates"), "true");
        commit(&open(&dir), &patch(&[("a", "1")]), "one");
        sandbox.sound(&dir);
        assert!(!sandbox.git(&dir, &["reflog", "HEAD"]).is_empty());
        if bare {
            assert_eq!(get("receive.fsckObjects"), "true");
            assert_eq!(get("receive.fsck.hasDotgit"), "error");
            sandbox.git(&dir, &["config", "receive.maxInputSize", "1g"]);
            Repo::init(&dir, bare).unwrap();
            assert_eq!(get("receive.maxInputSize"), "1g");
        } else {
            sandbox.clean(&dir);
        }
        let settings = std::fs::read_to_string(repo.common_dir().join("config")).unwrap();
        Repo::init(&dir, bare).unwrap();
        let again = std::fs::read_to_string(repo.common_dir().join("config")).unwrap();
        assert_eq!(again.lines().count() - settings.lines().count(), 0, "{again}");
    }
    let dir = sandbox.with_commit("there");
    assert!(Repo::init(&dir, false).unwrap().head().unwrap().is_some());
}
