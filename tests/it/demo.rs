//! `greenroom demo` on a machine where git knows nobody; its transcript is `tests/cmd/demo.md`.

use serde_json::json;

use crate::support::Sandbox;

/// Runs greenroom with no identity in the environment or the settings.
#[track_caller]
fn demo(sandbox: &Sandbox, args: &[&str]) -> (bool, String) {
    let mut command = sandbox.alice().command(env!("CARGO_BIN_EXE_greenroom"));
    for role in ["AUTHOR", "COMMITTER"] {
        command.env_remove(format!("GIT_{role}_NAME")).env_remove(format!("GIT_{role}_EMAIL"));
    }
    let out = command.args(args).output().expect("greenroom starts");
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

#[test]
fn the_demo_needs_no_identity_and_leaves_a_sound_registry() {
    let sandbox = Sandbox::new();
    let (passed, said) = demo(&sandbox, &["demo", "shown"]);
    assert!(passed, "{said}");
    let registry = sandbox.alice().within("shown/registry");
    let versions = registry.greenroom(["version", "list", "wine", "-o", "json"]).success().json();
    let stages: Vec<_> = versions.as_array().into_iter().flatten().map(|v| v["current_stage"].clone()).collect();
    assert_eq!(stages, [json!("Production"), json!("Archived")]);
    registry.git(["fsck", "--strict"]).success();
    assert_eq!(registry.git(["status", "--porcelain"]).success().stdout(), "");
    let people = registry.git(["log", "--format=%an <%ae>"]).success();
    assert!(people.stdout().lines().all(|l| l == "Alice <alice@example.org>" || l == "Bob <bob@example.org>"));
    assert_eq!(sandbox.read("shown/then/MLmodel"), sandbox.read("shown/models/wine-v1/MLmodel"));
    assert_eq!(sandbox.read("shown/now/MLmodel"), sandbox.read("shown/models/wine-v2/MLmodel"));
}

#[test]
fn settings_of_the_user_do_not_reach_the_people_of_the_demo() {
    let sandbox = Sandbox::new();
    sandbox.git(["config", "--global", "commit.gpgSign", "true"]).success();
    sandbox.git(["config", "--global", "user.signingKey", "no such key"]).success();
    sandbox.greenroom(["init", "mine"]).code(1);
    let (passed, said) = demo(&sandbox, &["demo", "shown"]);
    assert!(passed && said.contains("config commit.gpgSign false"), "{said}");
}

#[test]
fn without_a_folder_the_demo_takes_one_that_is_free() {
    let sandbox = Sandbox::new();
    for folder in ["greenroom-demo", "greenroom-demo-2"] {
        let (passed, said) = demo(&sandbox, &["demo"]);
        assert!(passed && said.contains(&format!("cd {folder}/registry")), "{said}");
    }
    sandbox.write("mine/notes.txt", "x");
    let (passed, said) = demo(&sandbox, &["demo", "mine"]);
    assert!(!passed && said.contains("not an empty folder"), "{said}");
    assert_eq!(std::fs::read_dir(sandbox.path("mine")).expect("it is there").count(), 1);
}
