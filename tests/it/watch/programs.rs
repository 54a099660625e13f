//! The programs around the watcher: the command, the hook that wakes it, a clone that follows another.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use greenroom::outbox::{Cursor, EventOrigin, Outbox, PendingJob, delivery_id};
use greenroom::registry::Registry;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;
use greenroom::watch::MessageLevel;

use super::World;
use super::follow::webhook;
use crate::support::channel::{Running, always, delivered, home};
use crate::support::{Sandbox, Shell};

/// Starts `greenroom watch` and waits until it reports that it watches.
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
    assert_eq!(once.stdout(), "0 delivered, 0 failed; 0 pending, 0 dead\n");
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
    assert!(said.contains("another process already delivers for"), "{said}");
    // The lock of the dead process is free.
    world.alice().greenroom(["watch", "--once"]).success();
}

/// Makes a dead letter of a channel.
fn give_up(outbox: &Outbox, channel: &str, commit: Oid) {
    let lead = outbox.lead().expect("a lock").expect("no other process holds it");
    let origin = EventOrigin { commit, before: None };
    let job = PendingJob {
        id: delivery_id(channel, &origin, 0, "k"),
        lane: "m".to_owned(),
        key: "k".to_owned(),
        origin,
        ordinal: 0,
        event: "model.created".to_owned(),
        landed: 0,
        not_before: None,
        attempts: 0,
        next: None,
        wait: None,
        error: None,
    };
    let mut ledger = outbox.begin(channel, Cursor::after(commit), &lead).expect("it is begun");
    ledger.add(vec![job.clone()]).expect("it is added");
    ledger.died(&job.id, Timestamp::from_millis(0), "500").expect("it is noted");
}

#[test]
fn a_webhook_is_named_by_a_part_of_its_id_and_one_that_is_off_is_not_said_to_be_tried_again() {
    let world = World::new();
    let alice = world.alice();
    let ids = ["01957a3e-7c00-7000-8000-0000000000a1", "01957a3e-7c00-7000-8000-0000000000b2"];
    for (id, state) in ids.into_iter().zip(["ACTIVE", "DISABLED"]) {
        world.sandbox.write(format!("r/webhooks/{id}.toml"), webhook(id, state));
    }
    alice.git(["add", "."]).success();
    alice.git(["commit", "--quiet", "-m", "Webhooks"]).success();
    let registry = Registry::discover(&alice.folder()).expect("a registry");
    let (outbox, head) = (Outbox::of(&registry), registry.head().expect("a branch").expect("a commit"));
    outbox.prepare().expect("folders");
    ids.iter().for_each(|id| give_up(&outbox, id, head));

    let listed = alice.greenroom(["webhook", "deliveries", "000000b2"]).success();
    assert!(listed.stdout().contains(ids[1]) && !listed.stdout().contains(ids[0]), "{}", listed.stdout());
    let said = alice.greenroom(["webhook", "deliveries", "01957a3e"]).code(1);
    assert!(said.stderr().contains("matches 2 webhooks"), "{}", said.stderr());
    for what in [["--dead"].as_slice(), &["--from", "HEAD", "--dry-run"]] {
        let refused = alice.greenroom(["webhook", "replay", "000000b2"].iter().chain(what)).code(1);
        assert!(refused.stderr().contains("is switched off"), "{}", refused.stderr());
        assert!(refused.stderr().contains("--state ACTIVE"), "{}", refused.stderr());
    }
    let all = alice.greenroom(["webhook", "replay", "--dead"]).success();
    assert_eq!(
        all.stdout(),
        "1 delivery will be tried again by `greenroom watch`\n1 delivery to channels that are switched off stays as it is\n"
    );
    let one = alice.greenroom(["webhook", "replay", "000000a1", "--dead", "-o", "json"]).success().json();
    assert_eq!((&one["dead"], &one["switched_off"]), (&1.into(), &0.into()));
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
    // A commit that came by no push is judged, after a moment.
    land_by_no_push(&world, "served.git", "access.toml", "grants = []\n");
    let told = world.book.wait("the violation", |t| t.iter().any(|t| t.event == "rule.violated"));
    running.end();
    assert_eq!(told.iter().filter(|t| t.event == "rule.violated").count(), 1, "the pushes were judged by the gate");
}

/// Bob writes a file into a bare repository of Alice's, without any gate.
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
    while !world.book.has_said(MessageLevel::Error, "breaks rules") {
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
    // An unrelated history is not fetched.
    let mine = head("tree");
    upstream.git(["reset", "--quiet", "--hard", "HEAD~1"]).success();
    upstream.greenroom(["model", "create", "other"]).success();
    for clone in ["tree", "bare.git"] {
        let said = sandbox.alice().within(clone).greenroom(["watch", "--once", "--fetch", "1m"]).code(1);
        assert!(said.stderr().contains("has diverged between"), "{}", said.stderr());
        assert_eq!(head(clone), mine, "{clone}");
    }
    // Uncommitted changes stop the fetch.
    upstream.git(["reset", "--quiet", "--hard", mine.trim()]).success();
    upstream.greenroom(["model", "describe", "m1", "new"]).success();
    sandbox.write("tree/models/m1/model.toml", "mine\n");
    let said = sandbox.alice().within("tree").greenroom(["watch", "--once", "--fetch", "1m"]).code(1);
    assert!(said.stderr().contains("could not be fetched"), "{}", said.stderr());
    assert_eq!(sandbox.read("tree/models/m1/model.toml"), "mine\n");
    // A watcher that fetches by itself.
    let mut child = watching(&sandbox.alice().within("bare.git"), &["--fetch", "1s"]);
    let end = Instant::now() + Duration::from_secs(20);
    while head("bare.git") != head("r") {
        assert!(Instant::now() < end, "it does not follow");
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}
