//! Many writers at once: no write is lost, no number is used twice, and git finds no fault in the repository.

use std::collections::BTreeSet;
use std::process::Stdio;

use greenroom::action::{Action, NewVersion};
use greenroom::git::{Ident, Repo};
use greenroom::name::{ModelName, UserName};
use greenroom::registry::{ChangeAuthor, ChangeOptions, Registry};
use greenroom::time::Timestamp;

use crate::support::Sandbox;

const WRITERS: usize = 8;
const EACH: usize = 100;

fn sound(sandbox: &Sandbox, repo: &str) {
    let fsck = sandbox.alice().within(repo).git(["fsck", "--strict", "--no-dangling", "--no-progress"]).success();
    assert_eq!((fsck.stdout(), fsck.stderr()), ("", ""));
}

fn commits(sandbox: &Sandbox, repo: &str) -> usize {
    let count = sandbox.alice().within(repo).git(["rev-list", "--count", "--first-parent", "HEAD"]).success();
    count.stdout().trim().parse().expect("a number")
}

#[test]
fn eight_processes_of_a_hundred_changes_each_lose_none() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    // One shell per writer; each starts one process after the other, and stops at the first failure.
    let script =
        "for i in $(seq $EACH); do greenroom --no-pager model create model-$WRITER-$i --relaxed || exit 1; done";
    let writer = |n: usize| {
        let shell = sandbox.alice().within("r").env("WRITER", n.to_string()).env("EACH", EACH.to_string());
        shell.command("sh").args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("sh runs")
    };
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    for writer in writers {
        let ended = writer.wait_with_output().expect("it ends");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    let list = sandbox.alice().within("r").greenroom(["model", "list", "-o", "json"]).success().json();
    let names: BTreeSet<String> =
        list.as_array().expect("a list").iter().map(|m| m["name"].as_str().expect("a name").to_owned()).collect();
    let wanted: BTreeSet<String> =
        (0..WRITERS).flat_map(|w| (1..=EACH).map(move |i| format!("model-{w}-{i}"))).collect();
    assert_eq!(names, wanted);
    assert_eq!(commits(&sandbox, "r"), 1 + WRITERS * EACH);
    sound(&sandbox, "r");
    let status = sandbox.alice().within("r").git(["status", "--porcelain"]).success();
    assert_eq!(status.stdout(), "", "the work tree follows");
}

#[test]
fn eight_writers_of_versions_never_get_one_number_twice() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "--bare", "r.git"]).success();
    sandbox.alice().within("r.git").greenroom(["model", "create", "churn"]).success();
    let folder = sandbox.path("r.git");
    let model = ModelName::new("churn").expect("a name");
    let each = 25;
    let mut given: Vec<u64> = std::thread::scope(|threads| {
        let writer = || {
            // Each thread has a repository of its own, as a process has.
            let registry = Registry::with(Repo::open(&folder).expect("it opens"), "").expect("a registry");
            let now = Timestamp::from_millis(registry_now());
            let who = Ident { name: "Alice".into(), email: "alice@example.org".into(), time: now, offset: 0 };
            let asker =
                ChangeAuthor { user: UserName::new("alice").expect("a user"), author: who.clone(), committer: who };
            let options = ChangeOptions { relaxed: true, ..ChangeOptions::default() };
            let mut numbers = Vec::new();
            for _ in 0..each {
                let action = Action::CreateVersion { model: model.clone(), new: Box::new(NewVersion::default()) };
                let outcome = registry.change(&asker, &[action], now, &options).expect("the change is committed");
                numbers.extend(outcome.diff.events.iter().filter_map(|e| e.version()));
            }
            numbers
        };
        let handles: Vec<_> = (0..WRITERS).map(|_| threads.spawn(writer)).collect();
        handles.into_iter().flat_map(|h| h.join().expect("no writer panics")).collect()
    });
    given.sort_unstable();
    assert_eq!(given, (1..=(WRITERS * each) as u64).collect::<Vec<_>>());
    assert_eq!(commits(&sandbox, "r.git"), 2 + WRITERS * each);
    sound(&sandbox, "r.git");
}

fn registry_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 200 million")
}

#[test]
fn settings_that_changed_meanwhile_are_not_written_over() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "--bare", "r.git"]).success();
    let registry = Registry::with(Repo::open(&sandbox.path("r.git")).expect("the repository"), "").expect("a registry");
    let seen = registry.snapshot().expect("a snapshot").settings().expect("settings").expect("a registry").clone();
    // Another writer is faster.
    sandbox.alice().within("r.git").greenroom(["stage", "set", "Production", "--approvals", "2"]).success();
    let now = Timestamp::from_millis(registry_now());
    let who = Ident::new("Alice", "alice@example.org", now);
    let asker = ChangeAuthor { user: UserName::new("alice").expect("a user"), author: who.clone(), committer: who };
    let mut settings = seen.clone();
    settings.identity.self_approval = true;
    let change = Action::ChangeSettings { settings, seen: Some(Box::new(seen)) };
    let refused = registry.change(&asker, &[change], now, &ChangeOptions::default()).expect_err("it is outdated");
    assert_eq!(refused.to_string(), "greenroom.toml changed meanwhile; review the change, then try again");
    let kept = registry.snapshot().expect("a snapshot");
    let rule = kept.settings().expect("settings").and_then(|s| s.rule(&greenroom::stage::Stage::Production).cloned());
    assert_eq!(rule.map(|r| r.approvals), Some(2));
}
