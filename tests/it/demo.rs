//! `greenroom demo` on a machine without a git identity; its transcript is `tests/cmd/demo.md`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Sandbox, tools};

/// The demo without an identity in the environment or in git's config.
fn command(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = sandbox.alice().command(env!("CARGO_BIN_EXE_greenroom"));
    for role in ["AUTHOR", "COMMITTER"] {
        command.env_remove(format!("GIT_{role}_NAME")).env_remove(format!("GIT_{role}_EMAIL"));
    }
    command.arg("demo").args(args);
    command
}

/// Runs the demo without its server.
#[track_caller]
fn demo(sandbox: &Sandbox, args: &[&str]) -> (bool, String) {
    let out = command(sandbox, args).arg("--no-serve").output().expect("greenroom starts");
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

#[test]
fn the_demo_needs_no_identity_and_leaves_a_sound_registry() {
    let sandbox = Sandbox::new();
    let (passed, said) = demo(&sandbox, &["shown"]);
    assert!(passed, "{said}");
    let registry = sandbox.alice().within("shown/registry");
    let versions = registry.greenroom(["version", "list", "wine", "-o", "json"]).success().json();
    let stages: Vec<_> = versions.as_array().into_iter().flatten().map(|v| v["stage"].clone()).collect();
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
    let (passed, said) = demo(&sandbox, &["shown"]);
    assert!(passed && said.contains("config commit.gpgSign false"), "{said}");
}

#[test]
fn the_demo_touches_no_hooks_of_the_user() {
    let sandbox = Sandbox::new();
    let hooks = sandbox.path("hooks");
    sandbox.write("hooks/pre-push", "#!/bin/sh\nexit 0\n");
    sandbox.git(["config", "--global", "core.hooksPath", hooks.to_str().expect("UTF-8")]).success();
    let (passed, said) = demo(&sandbox, &["shown"]);
    assert!(passed && !said.contains("core.hooksPath"), "{said}");
    assert_eq!(std::fs::read_dir(&hooks).expect("it is there").count(), 1);
    assert_eq!(sandbox.read("hooks/pre-push"), "#!/bin/sh\nexit 0\n");
    assert!(sandbox.path("shown/registry/.git/hooks/pre-push").is_file());
}

#[test]
fn without_a_folder_the_demo_takes_one_that_is_free() {
    let sandbox = Sandbox::new();
    for folder in ["greenroom-demo", "greenroom-demo-2"] {
        let (passed, said) = demo(&sandbox, &[]);
        assert!(passed && said.contains(&format!("cd {folder}/registry")), "{said}");
    }
    sandbox.write("mine/notes.txt", "x");
    let (passed, said) = demo(&sandbox, &["mine"]);
    assert!(!passed && said.contains("not an empty folder"), "{said}");
    assert_eq!(std::fs::read_dir(sandbox.path("mine")).expect("it is there").count(), 1);
}

#[test]
fn the_demo_ends_with_a_server_that_the_real_client_can_use_until_it_is_told_to_stop() {
    let sandbox = Sandbox::new();
    let mut demo = command(&sandbox, &["shown"]).stdout(Stdio::piped()).spawn().expect("greenroom starts");
    let mut said = BufReader::new(demo.stdout.take().expect("a pipe"));
    let lines = said.by_ref().lines().map(|line| line.expect("text"));
    let (mut python, mut commit) = (String::new(), String::new());
    for line in lines.skip_while(|line| !line.starts_with("The registry is served at http://127.0.0.1:")) {
        if let Some(code) = line.strip_prefix("  ") {
            python.push_str(&format!("{code}\n"));
        } else if let Some(command) = line.strip_prefix("Each such call is a commit: ") {
            commit.push_str(command);
            break;
        }
    }
    assert_eq!(python.lines().count(), 3, "{python}");
    sandbox.alice().run(tools::python(), ["-c", &python]).success();
    let log = sandbox.alice().run("sh", ["-c", &format!("{commit} --format='%an <%ae> %cn %s'")]).success();
    assert_eq!(log.stdout(), "Alice <alice@example.org> Alice Point wine@champion at version 2\n");

    let told = Command::new("kill").args(["-INT", &demo.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    assert!(demo.wait().expect("it ends").success(), "{rest}");
    sandbox.alice().within("shown/registry").greenroom(["check"]).success();
}
