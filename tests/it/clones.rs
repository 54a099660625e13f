//! Clones: model files travel with a push, a clone succeeds without them, and parts that a partial clone left out are
//! fetched or reported.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::{Sandbox, Shell, tools, trees};

/// Sets up git-lfs for a user: the filters, no hook.
fn git_lfs_for_the_user(sandbox: &Sandbox) {
    tools::git_lfs();
    sandbox.git(["lfs", "install", "--skip-repo"]).success();
}

/// A registry `near` with one model of two stored files, and an empty remote `far.git` that it knows as `origin`.
fn near_and_far() -> Sandbox {
    let sandbox = Sandbox::new();
    git_lfs_for_the_user(&sandbox);
    sandbox.write("model/weights.bin", vec![7; 5000]);
    sandbox.write("model/more.bin", vec![8; 5000]);
    sandbox.git(["init", "--quiet", "--bare", "far.git"]).success();
    sandbox.greenroom(["init", "near"]).success();
    near(&sandbox).git(["remote", "add", "origin", "../far.git"]).success();
    sandbox
}

fn near(sandbox: &Sandbox) -> Shell<'_> {
    sandbox.alice().within("near")
}

fn register(shell: &Shell<'_>) -> String {
    shell.greenroom(["register", "churn", "../model"]).success().stdout().to_owned()
}

/// The number of objects in a store.
fn stored(folder: &Path) -> usize {
    let objects = folder.join("lfs/objects");
    if objects.is_dir() { trees::files(&objects).len() } else { 0 }
}

/// The state and message of one check of doctor.
#[track_caller]
fn doctor(shell: &Shell<'_>, name: &str) -> (String, String) {
    let (stdout, stderr) = shell.greenroom(["doctor", "-o", "json"]).any();
    let told: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}"));
    let mut checks = told["checks"].as_array().expect("checks").iter();
    let check = checks.rfind(|c| c["name"] == name).expect("the check is made");
    let text = |key: &str| check[key].as_str().expect("a text").to_owned();
    (text("state"), text("message"))
}

fn hook(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    fs::write(path, text).expect("writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("writable");
}

#[test]
fn a_push_takes_the_files_of_models_along() {
    let sandbox = near_and_far();
    let near = near(&sandbox);
    let said = register(&near);
    assert!(said.contains("Not sent to origin yet: 2 files. Run `git push`."), "{said}");
    let (state, message) = doctor(&near, "push");
    assert_eq!((state.as_str(), message.as_str()), ("warn", "2 stored files not sent to origin yet: those of churn/1"));
    near.git(["push", "--quiet", "-u", "origin", "main"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 2);
    assert_eq!(doctor(&near, "push"), ("ok".to_owned(), "all stored files were sent to origin".to_owned()));
    sandbox.git(["clone", "--quiet", "far.git", "clone"]).success();
    let clone = sandbox.alice().within("clone");
    assert_eq!(clone.git(["status", "--porcelain"]).success().stdout(), "");
    assert_eq!(fs::read(sandbox.path("clone/models/churn/versions/1/artifacts/weights.bin")).unwrap(), vec![7; 5000]);

    // The first use of a clone sets it up; files registered in it are pushed as well.
    clone.greenroom(["model", "list"]).success();
    assert!(sandbox.path("clone/.git/hooks/pre-push").exists());
    assert_eq!(doctor(&clone, "push").0, "ok");
    sandbox.write("model/weights.bin", vec![9; 5000]);
    register(&clone);
    clone.git(["push", "--quiet"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 3);
    assert_eq!(clone.git(["status", "--porcelain"]).success().stdout(), "");
}

#[test]
fn hooks_that_are_there_run_as_well() {
    for (folder, scope) in [(".git/hooks", None), ("own hooks", Some("--local"))] {
        let sandbox = near_and_far();
        let near = near(&sandbox);
        let dir = near.folder().join(folder);
        hook(&dir.join("pre-push"), "#!/bin/sh\ncat >>seen\n[ ! -e stop ] || { echo 'not on Fridays' >&2; exit 7; }\n");
        if let Some(scope) = scope {
            near.git(["config", scope, "core.hooksPath", folder]).success();
        }
        register(&near);
        sandbox.write("near/stop", "");
        let refused = near.git(["push", "origin", "main"]).code(1);
        assert!(refused.stderr().contains("not on Fridays"), "{folder}: {}", refused.stderr());
        assert_eq!(stored(&sandbox.path("far.git")), 0, "{folder}");
        fs::remove_file(sandbox.path("near/stop")).expect("it is there");
        near.git(["push", "--quiet", "origin", "main"]).success();
        assert_eq!(stored(&sandbox.path("far.git")), 2, "{folder}");
        let tip = near.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
        let zeros = "0".repeat(tip.len());
        let line = format!("refs/heads/main {tip} refs/heads/main {zeros}\n");
        assert_eq!(sandbox.read("near/seen"), line.repeat(2), "{folder}: it read what git writes, each time");
        assert!(dir.join("pre-push.d/00-existing").exists() && dir.join("pre-push.d/greenroom").exists());
    }
}

#[test]
fn hooks_outside_of_the_repository_are_left_alone() {
    let sandbox = near_and_far();
    let shared = sandbox.path("shared");
    hook(&shared.join("pre-push"), "#!/bin/sh\nexit 0\n");
    let before = (trees::files(&shared), sandbox.read("shared/pre-push"));
    sandbox.git(["config", "--global", "core.hooksPath", shared.to_str().expect("UTF-8")]).success();
    let said = sandbox.greenroom(["init", "another"]).success();
    assert!(said.stderr().contains("core.hooksPath names a folder outside of this repository"), "{}", said.stderr());
    let near = near(&sandbox);
    let said = near.greenroom(["register", "churn", "../model"]).success();
    assert!(said.stderr().contains("git config core.hooksPath"), "{}", said.stderr());
    assert_eq!((trees::files(&shared), sandbox.read("shared/pre-push")), before);
    let told = near.greenroom(["doctor"]).any().0;
    assert!(told.contains("not sent to origin yet"), "{told}");
    near.git(["push", "--quiet", "origin", "main"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 0);
    // The hint of the warning works.
    near.git(["config", "core.hooksPath", ".git/hooks"]).success();
    near.greenroom(["register", "churn", "../model"]).success();
    near.git(["push", "--quiet", "origin", "main"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 2);
    assert_eq!((trees::files(&shared), sandbox.read("shared/pre-push")), before);
}

#[test]
fn a_hook_of_git_lfs_is_left_alone() {
    let sandbox = near_and_far();
    let near = near(&sandbox);
    near.git(["lfs", "install", "--local", "--force"]).success();
    let text = sandbox.read("near/.git/hooks/pre-push");
    register(&near);
    assert_eq!(sandbox.read("near/.git/hooks/pre-push"), text);
    near.git(["push", "--quiet", "origin", "main"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 2);
    assert_eq!(doctor(&near, "push").0, "ok");
}

#[test]
fn a_folder_of_hooks_that_is_committed_is_left_alone() {
    let sandbox = near_and_far();
    let near = near(&sandbox);
    hook(&sandbox.path("near/docs/hooks/pre-push"), "#!/bin/sh\nexit 0\n");
    near.git(["add", "docs"]).success();
    near.git(["commit", "--quiet", "-m", "Hooks"]).success();
    near.git(["config", "core.hooksPath", "docs/hooks"]).success();
    let said = near.greenroom(["register", "churn", "../model"]).success();
    assert!(said.stderr().contains("docs/hooks is committed with the work tree"), "{}", said.stderr());
    assert_eq!(near.git(["status", "--porcelain"]).success().stdout(), "");
    near.git(["push", "--quiet", "origin", "main"]).success();
    let (state, message) = doctor(&near, "push");
    assert!(state == "warn" && message.contains("2 stored files not sent"), "{message}");
}

#[test]
fn without_git_lfs_a_push_says_so() {
    let sandbox = near_and_far();
    let near = near(&sandbox);
    near.git(["push", "--quiet", "origin", "main"]).success();
    let before = near.git(["ls-remote", "origin"]).success().stdout().to_owned();
    register(&near);
    // All programs of the system except git-lfs.
    fs::create_dir(sandbox.path("bin")).expect("writable");
    for name in ["sh", "git", "find", "head", "cat", "grep", "printf", "ssh"] {
        let found = near.run("sh", ["-c", &format!("command -v {name} || true")]).success().stdout().trim().to_owned();
        if found.starts_with('/') {
            std::os::unix::fs::symlink(&found, sandbox.path("bin").join(name)).expect("writable");
        }
    }
    let without = near.clone().env("PATH", sandbox.path("bin"));
    let refused = without.git(["push", "origin", "main"]).code(1);
    assert!(refused.stderr().contains("git-lfs is not installed"), "{}", refused.stderr());
    assert_eq!(near.git(["ls-remote", "origin"]).success().stdout(), before);
    without.git(["push", "--quiet", "--no-verify", "origin", "main"]).success();
    // Without model files, no warning comes.
    sandbox.greenroom(["init", "small"]).success();
    sandbox.git(["init", "--quiet", "--bare", "small.git"]).success();
    let small = sandbox.alice().within("small").env("PATH", sandbox.path("bin"));
    small.git(["push", "--quiet", "../small.git", "main"]).success();
}

#[test]
fn a_push_that_is_told_to_send_no_files_sends_none_and_is_not_noted_as_complete() {
    let sandbox = near_and_far();
    let near = near(&sandbox);
    register(&near);
    let skipping = near.clone().env("GIT_LFS_SKIP_PUSH", "1");
    skipping.git(["push", "--quiet", "-u", "origin", "main"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 0);
    assert_eq!(doctor(&near, "push").0, "warn");
    near.git(["push", "--quiet"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 2);
    assert_eq!(doctor(&near, "push").0, "ok");
}

#[test]
fn what_earlier_pushes_left_behind_goes_with_the_next_one() {
    let sandbox = near_and_far();
    let near = near(&sandbox);
    register(&near);
    fs::remove_file(sandbox.path("near/.git/hooks/pre-push")).expect("it is there");
    near.git(["push", "--quiet", "-u", "origin", "main"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 0);
    let (state, message) = doctor(&near, "push");
    assert!(state == "warn" && message.contains("2 stored files not sent to origin yet"), "{message}");
    // The commits are on the remote already.
    near.git(["push", "--quiet"]).success();
    assert_eq!(stored(&sandbox.path("far.git")), 2);
    assert_eq!(doctor(&near, "push").0, "ok");
}

#[test]
fn what_was_sent_to_a_server_is_known_by_the_note_of_the_hook() {
    let sandbox = near_and_far();
    let near = near(&sandbox);
    near.git(["remote", "set-url", "origin", "https://models.invalid/r.git"]).success();
    register(&near);
    assert_eq!(doctor(&near, "push").0, "warn");
    let key = near.clone().input("https://models.invalid/r.git").git(["hash-object", "--stdin"]).success();
    let tip = near.git(["rev-parse", "HEAD"]).success().stdout().to_owned();
    sandbox.write("near/.git/greenroom/sent", format!("{} {tip}", key.stdout().trim()));
    assert_eq!(doctor(&near, "push").0, "ok");
    sandbox.write("model/weights.bin", vec![9; 5000]);
    register(&near);
    assert_eq!(doctor(&near, "push").1, "2 stored files not sent to origin yet: those of churn/2");
}

#[test]
fn a_clone_ends_well_where_files_are_missing() {
    let sandbox = near_and_far();
    let near = near(&sandbox);
    register(&near);
    near.git(["push", "--quiet", "--no-verify", "origin", "main"]).success();
    sandbox.git(["clone", "--quiet", "far.git", "clone"]).success();
    let clone = sandbox.alice().within("clone");
    assert_eq!(clone.git(["status", "--porcelain"]).success().stdout(), "");
    let pointer = sandbox.read("clone/models/churn/versions/1/artifacts/weights.bin");
    assert!(pointer.starts_with("version https://git-lfs.github.com/spec/v1\n"), "{pointer}");
    let (state, message) = doctor(&clone, "files");
    assert!(state == "warn" && message.contains("not on this machine: 2 of the stored files"), "{message}");
    assert_eq!(doctor(&clone, "clones").0, "ok");
    clone.greenroom(["tag", "set", "churn", "a=1"]).success();
    clone.git(["push", "--quiet"]).success();

    // A registry in a folder of a repository cannot change settings at its root, and says so.
    sandbox.git(["init", "--quiet", "product"]).success();
    let product = sandbox.alice().within("product");
    let said = product.greenroom(["init", ".", "--at", "registry"]).success();
    assert!(said.stderr().contains("lfs.skipdownloaderrors"), "{}", said.stderr());
    assert_eq!(doctor(&product, "clones").0, "warn");
    product.git(["config", "-f", ".lfsconfig", "lfs.skipdownloaderrors", "true"]).success();
    product.git(["add", ".lfsconfig"]).success();
    product.git(["commit", "--quiet", "-m", "Clones end well"]).success();
    assert_eq!(doctor(&product, "clones").0, "ok");
}

/// A registry with some history, served to partial clones.
fn with_history() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "near"]).success();
    let near = near(&sandbox);
    near.greenroom(["model", "create", "churn", "--description", "first"]).success();
    near.greenroom(["model", "describe", "churn", "second"]).success();
    near.greenroom(["register", "churn", "--source", "s3://models/1"]).success();
    sandbox.git(["clone", "--quiet", "--bare", "near", "far.git"]).success();
    let far = sandbox.alice().within("far.git");
    far.git(["config", "uploadpack.allowFilter", "true"]).success();
    far.git(["config", "uploadpack.allowAnySHA1InWant", "true"]).success();
    sandbox
}

#[test]
fn what_a_partial_clone_left_out_is_fetched_at_once() {
    // A tidied remote sends its objects from packs, and omits those that it expects in the clone.
    let ways = ["blob:none", "tree:0"].into_iter().flat_map(|filter| [(filter, false), (filter, true)]);
    for (filter, is_tidy) in ways {
        let (sandbox, name) = (with_history(), "clone");
        if is_tidy {
            sandbox.alice().within("far.git").git(["gc", "--quiet", "--prune=now"]).success();
        }
        let url = format!("file://{}", sandbox.path("far.git").display());
        sandbox.git(["clone", "--quiet", "--filter", filter, "--no-checkout", &url, name]).success();
        let clone = sandbox.alice().within(name);
        let log = clone.greenroom(["log"]).success();
        assert!(log.stdout().contains("register churn version 1"), "{}", log.stdout());
        assert_eq!(log.stderr(), "");
        clone.greenroom(["verify"]).success();
        // Now nothing is missing, even without the remote.
        fs::rename(sandbox.path("far.git"), sandbox.path("away.git")).expect("it is there");
        let listed = clone.git(["rev-list", "--objects", "--missing=print", "--all"]).success();
        assert!(!listed.stdout().contains('?'), "{filter}: {}", listed.stdout());
        clone.greenroom(["log"]).success();
        assert_eq!(doctor(&clone, "history").0, "ok");
    }
}

#[test]
fn what_cannot_be_fetched_is_told_and_not_checked() {
    let sandbox = with_history();
    let url = format!("file://{}", sandbox.path("far.git").display());
    sandbox.git(["clone", "--quiet", "--filter=blob:none", &url, "blobs"]).success();
    sandbox.git(["clone", "--quiet", "--filter=tree:0", "--no-checkout", &url, "trees"]).success();
    fs::rename(sandbox.path("far.git"), sandbox.path("away.git")).expect("it is there");
    let clone = sandbox.alice().within("blobs");
    let verified = clone.greenroom(["verify"]).success();
    let said = verified.stdout();
    assert!(
        said.contains("because the clone is partial") && said.contains("Everything that could be checked is valid"),
        "{said}"
    );
    assert!(verified.stderr().contains("this is a partial clone"), "{}", verified.stderr());
    // The checked-out state is enough for commands about the present.
    clone.greenroom(["model", "list"]).success();
    assert!(doctor(&clone, "history").1.contains("the clone is partial"));
    let empty = sandbox.alice().within("trees").greenroom(["model", "list"]).code(1);
    assert!(empty.stderr().contains("this is a partial clone, and"), "{}", empty.stderr());
    assert!(empty.stderr().contains("git fetch --refetch --no-filter origin"), "{}", empty.stderr());
    // If the user forbids git to fetch, greenroom does not fetch either.
    fs::rename(sandbox.path("away.git"), sandbox.path("far.git")).expect("it is there");
    let forbidden = sandbox.alice().within("trees").env("GIT_NO_LAZY_FETCH", "1").greenroom(["model", "list"]).code(1);
    assert!(forbidden.stderr().contains("GIT_NO_LAZY_FETCH"), "{}", forbidden.stderr());
    sandbox.alice().within("trees").greenroom(["model", "list"]).success();
}
