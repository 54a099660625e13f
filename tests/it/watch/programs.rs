//! The programs around it: the command, the hook that wakes it, a clone that follows another.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use greenroom::watch::Level;

use super::World;
use crate::support::channel::{Running, always, delivered, home};
use crate::support::{Sandbox, Shell};

/// Starts `greenroom watch` and waits until it says that it watches.
fn watching(shell: &Shell<'_>, options: &[&str]) -> Child {
    let mut command = shell.command(env!("CARGO_BIN_EXE_greenroom"));
    command.arg("watch").args(options).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("greenroom runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says what it watches");
    assert!(line.starts_with("Watching "), "{line:?}");
    child
}

#[test]
fn told_to_stop_the_command_ends_well_and_soon() {
    let world = World::new();
    for signal in ["TERM", "INT"] {
        let mut child = watching(&world.alice(), &[]);
        world.begun();
        std::thread::sleep(Duration::from_millis(200));
        let sent = std::process::Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let start = Instant::now();
        assert!(child.wait().expect("it ends").success());
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn once_says_what_was_done_and_gives_way_to_one_that_runs() {
    let world = World::new();
    let once = world.alice().greenroom(["watch", "--once"]).success();
    assert_eq!(once.stdout(), "0 delivered, 0 failed; 0 wait, 0 given up\n");
    let json = world.alice().greenroom(["watch", "--once", "-o", "json"]).success().json();
    assert_eq!((&json[0]["delivered"], &json[0]["pending"]), (&0.into(), &0.into()));
    let mut child = watching(&world.alice(), &[]);
    let end = Instant::now() + Duration::from_secs(20);
    let said = loop {
        let said = world.alice().greenroom(["watch", "--once"]);
        let (_, errors) = said.any();
        if errors.contains("already") || Instant::now() > end {
            break errors;
        }
    };
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(said.contains("another process delivers for"), "{said}");
    // The lock of the dead is free.
    world.alice().greenroom(["watch", "--once"]).success();
}

#[test]
fn a_push_to_a_served_repository_is_told_at_once_and_judged_by_its_record() {
    let world = World::new();
    let alice = world.alice();
    alice.git(["clone", "--quiet", "--bare", ".", "../served.git"]).success();
    let server = world.sandbox.alice().within("served.git");
    server.greenroom(["hook", "install", "--host", "unix"]).success();
    let channel = world.book.channel("x", |_| delivered());
    let running = Running::start(&home(&server), world.options(always(vec![channel])));
    std::thread::sleep(Duration::from_millis(300));
    for n in 0..5 {
        world.model(&format!("m{n}"));
        alice.clone().env("LOGNAME", "alice").git(["push", "--quiet", "../served.git", "main"]).success();
        let pushed = Instant::now();
        let lane = format!("m{n}");
        let told = world.book.wait("the push", |t| t.iter().any(|t| t.lane == lane));
        let at = told.iter().find(|t| t.lane == lane).expect("it came").at;
        assert!(at.saturating_duration_since(pushed) < Duration::from_secs(1));
    }
    assert!(world.sandbox.path("served.git/greenroom/outbox/wake").exists(), "the hook woke it");
    // What came by no push is judged, after a moment.
    land_by_no_push(&world, "served.git", "access.toml", "grants = []\n");
    let told = world.book.wait("the violation", |t| t.iter().any(|t| t.event == "rule.violated"));
    running.end();
    assert_eq!(told.iter().filter(|t| t.event == "rule.violated").count(), 1, "the pushes were judged by the gate");
}

/// Bob writes a file into a bare repository of Alice's, past all gates.
fn land_by_no_push(world: &World, to: &str, path: &str, text: &str) {
    let bob = world.sandbox.bob().within(to).env("GIT_INDEX_FILE", "tmp-index");
    let blob = bob.clone().input(text.to_owned()).git(["hash-object", "-w", "--stdin"]).success();
    bob.git(["read-tree", "main"]).success();
    let entry = format!("100644,{},{path}", blob.stdout().trim());
    bob.git(["update-index", "--add", "--cacheinfo", &entry]).success();
    let tree = bob.git(["write-tree"]).success().stdout().trim().to_owned();
    let commit = bob.clone().input("Mine\n").git(["commit-tree", &tree, "-p", "main"]).success();
    bob.git(["update-ref", "refs/heads/main", commit.stdout().trim()]).success();
}

#[test]
fn steps_that_keep_coming_put_off_no_verdict() {
    let world = World::new();
    let alice = world.alice();
    alice.git(["clone", "--quiet", "--bare", ".", "../served.git"]).success();
    let server = world.sandbox.alice().within("served.git");
    server.greenroom(["hook", "install", "--host", "unix"]).success();
    world.model("m");
    alice.clone().env("LOGNAME", "alice").git(["push", "--quiet", "../served.git", "main"]).success();
    let running = Running::start(&home(&server), world.options(always(vec![])));
    std::thread::sleep(Duration::from_millis(300));
    land_by_no_push(&world, "served.git", "access.toml", "grants = []\n");
    let landed = Instant::now();
    let mut n = 0;
    while !world.book.has_said(Level::Error, "breaks rules") {
        assert!(landed.elapsed() < Duration::from_secs(10), "{n} more steps: {:?}", world.book.said());
        land_by_no_push(&world, "served.git", "README.md", &format!("{n}\n"));
        n += 1;
        std::thread::sleep(Duration::from_millis(300));
    }
    running.end();
}

#[test]
fn a_clone_that_follows_upstream_moves_forward_only() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let upstream = sandbox.alice().within("r");
    sandbox.git(["clone", "--quiet", "r", "tree"]).success();
    sandbox.git(["clone", "--quiet", "--bare", "r", "bare.git"]).success();
    let head = |dir: &str| sandbox.alice().within(dir).git(["rev-parse", "main"]).success().stdout().to_owned();
    for n in 0..2 {
        upstream.greenroom(["model", "create", &format!("m{n}")]).success();
        for clone in ["tree", "bare.git"] {
            let shell = sandbox.alice().within(clone);
            shell.greenroom(["watch", "--once", "--fetch", "1m"]).success();
            assert_eq!(head(clone), head("r"), "{clone}");
        }
    }
    assert!(sandbox.path("tree/models/m1/model.toml").exists(), "the files follow");
    let status = sandbox.alice().within("tree").git(["status", "--porcelain"]).success();
    assert_eq!(status.stdout(), "");
    // Another history is not taken.
    let mine = head("tree");
    upstream.git(["reset", "--quiet", "--hard", "HEAD~1"]).success();
    upstream.greenroom(["model", "create", "other"]).success();
    for clone in ["tree", "bare.git"] {
        let said = sandbox.alice().within(clone).greenroom(["watch", "--once", "--fetch", "1m"]).success();
        assert!(said.stderr().contains("another history of main"), "{}", said.stderr());
        assert_eq!(head(clone), mine, "{clone}");
    }
    // Files with changes of their own stop it.
    upstream.git(["reset", "--quiet", "--hard", mine.trim()]).success();
    upstream.greenroom(["model", "describe", "m1", "new"]).success();
    sandbox.write("tree/models/m1/model.toml", "mine\n");
    let said = sandbox.alice().within("tree").greenroom(["watch", "--once", "--fetch", "1m"]).success();
    assert!(said.stderr().contains("could not be had"), "{}", said.stderr());
    assert_eq!(sandbox.read("tree/models/m1/model.toml"), "mine\n");
    // One that runs fetches by itself.
    let mut child = watching(&sandbox.alice().within("bare.git"), &["--fetch", "1s"]);
    let end = Instant::now() + Duration::from_secs(20);
    while head("bare.git") != head("r") {
        assert!(Instant::now() < end, "it does not follow");
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
