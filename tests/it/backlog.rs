//! A backlog for a dead endpoint needs little memory, delays no other endpoint, and survives a restart (REL-13 in
//! `tests/security.toml`). `GREENROOM_FULL=1` makes the backlog 10,000 events.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use greenroom::registry::Registry;

use crate::support::commits::tag;
use crate::support::receiver::Receiver;
use crate::support::{Sandbox, Shell};

/// The allowed growth of memory, in KiB.
const GROWTH: u64 = 64 * 1024;

/// The webhook of the dead endpoint, and one whose endpoint accepts everything.
const HOOKS: [&str; 2] = ["01957a3e-7c00-7000-8000-000000000001", "01957a3e-7c00-7000-8000-000000000002"];

/// A served repository with ten models and both webhooks, before any delivery.
fn scene(urls: [&str; 2]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    for (id, url) in HOOKS.iter().zip(urls) {
        let text = format!(
            "id = \"{id}\"\ncreated_at = 2026-03-01T12:00:00.000Z\ncreated_by = \"alice\"\nevents = [\"*\"]\n\
             state = \"ACTIVE\"\nprofile = \"standard\"\nurl = \"{url}/hook\"\n"
        );
        sandbox.write(format!("r/webhooks/{id}.toml"), text);
    }
    let client = sandbox.alice().within("r");
    for n in 0..10 {
        client.greenroom(["model", "create", &format!("m{n}")]).success();
    }
    client.git(["add", "."]).success();
    client.git(["commit", "--quiet", "-m", "Webhooks"]).success();
    sandbox.git(["clone", "--quiet", "--bare", "r", "served.git"]).success();
    served(&sandbox).git(["config", "greenroom.webhookAllow", "127.0.0.1"]).success();
    served(&sandbox).greenroom(["watch", "--once"]).success();
    sandbox
}

fn served(sandbox: &Sandbox) -> Shell<'_> {
    sandbox.alice().within("served.git")
}

/// A `greenroom watch` process that ends when its value is dropped.
struct Watching(Child);

impl Watching {
    fn start(sandbox: &Sandbox) -> Self {
        let mut command = served(sandbox).command(env!("CARGO_BIN_EXE_greenroom"));
        let mut child = command.arg("watch").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it says that it watches");
        Self(child)
    }

    /// Its resident memory, in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("the kernel says so");
        line.split_whitespace().next().and_then(|k| k.parse().ok()).expect("a number")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_backlog_for_a_dead_endpoint_costs_little_and_delays_nobody() {
    let count: u32 = if std::env::var_os("GREENROOM_FULL").is_some() { 10_000 } else { 2_000 };
    let all = usize::try_from(count).expect("small");
    let (dead, live) = (Receiver::start(), Receiver::start());
    dead.die();
    let sandbox = scene([&dead.url(), &live.url()]);
    let registry = Registry::discover(&served(&sandbox).folder()).expect("a registry");
    let watching = Watching::start(&sandbox);
    tag(&registry, 0, 10);
    live.wait("the first event", |seen| !seen.is_empty());
    let before = watching.memory();
    let mut latest = Duration::ZERO;
    for n in 1..count {
        let (seen, begun) = (live.count(), Instant::now());
        tag(&registry, n, 10);
        if n % 100 == 0 {
            live.wait("the event", |now| now.len() > seen);
            latest = latest.max(begun.elapsed());
        }
    }
    live.wait("all events", |seen| seen.len() >= all);
    let grown = watching.memory().saturating_sub(before);
    eprintln!("{count} events wait: {} MiB more; the other endpoint heard within {latest:?}", grown / 1024);
    assert!(grown <= GROWTH, "{grown} KiB");
    // Deliveries to the other endpoint are slow on a busy machine; a minute would be a retry.
    assert!(latest < Duration::from_secs(10), "{latest:?}");

    // A restart reads the backlog, and continues with new events.
    drop(watching);
    let begun = Instant::now();
    let _watching = Watching::start(&sandbox);
    tag(&registry, count, 10);
    live.wait("one more", |seen| seen.len() > all);
    eprintln!("after a restart it goes on within {:?}", begun.elapsed());
    let listed = served(&sandbox).greenroom(["webhook", "deliveries", HOOKS[0], "--pending", "-o", "json"]).success();
    let listed: serde_json::Value = serde_json::from_str(listed.stdout()).expect("JSON");
    let waiting = listed.as_array().or_else(|| listed["deliveries"].as_array()).expect("a list").len();
    assert_eq!(waiting, all + 1, "nothing is lost");
}
