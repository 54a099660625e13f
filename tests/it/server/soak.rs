//! Under long load, the server needs no more memory, descriptors or threads than after its warm-up (REL-22 in
//! `tests/security.toml`).
//!
//! The test takes seconds by default; `GREENROOM_SOAK=60` makes it that many minutes.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::World;
use crate::support::receiver::{Receiver, Reply};
use crate::support::server::Server;

/// The allowed growth of descriptors and threads, for connections that are just open.
const SPARE: usize = 12;

/// The resources of a process.
#[derive(Debug, Clone, Copy)]
struct Taken {
    memory: u64,
    descriptors: usize,
    threads: usize,
}

impl Taken {
    fn by(server: &Server) -> Self {
        let at = |name: &str| format!("/proc/{}/{name}", server.id());
        let count = |name: &str| fs::read_dir(at(name)).expect("it runs").count();
        let status = fs::read_to_string(at("status")).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("the kernel says so");
        let memory = line.split_whitespace().next().and_then(|k| k.parse().ok()).expect("a number");
        Self { memory, descriptors: count("fd"), threads: count("task") }
    }
}

/// Sends all kinds of requests, again and again, to a registry of constant size.
fn load(server: &Server, who: u64, done: &AtomicBool, asked: &AtomicU64) {
    for n in 0_u64.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        let model = format!("m{}", (who + n) % 8);
        let ask = |method: &'static str, path: &str, body: &serde_json::Value| {
            let answer = server.send(method, path, body).answer();
            assert!(answer.status < 500, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        };
        let mlflow = |path: &str| format!("/api/2.0/mlflow/{path}");
        match n % 8 {
            0 => ask(
                "POST",
                &mlflow("model-versions/set-tag"),
                &json!({"name": model, "version": "1", "key": format!("k{who}"), "value": n.to_string()}),
            ),
            1 => ask("GET", &mlflow("registered-models/search?filter=name%20ILIKE%20%27%25m%25%27"), &json!({})),
            2 => ask("GET", &mlflow(&format!("model-versions/get?name={model}&version=1")), &json!({})),
            3 => {
                ask("GET", &format!("/api/greenroom/activities/list?name={model}&version=1&max_results=5"), &json!({}));
            }
            4 => ask("GET", &format!("/api/greenroom/models/get?name={model}&as_of=2026-03-01"), &json!({})),
            5 => ask(
                "PUT",
                &format!("/api/2.0/mlflow-artifacts/artifacts/uploads/{:032x}/weights", u128::from(who) + 1),
                &json!({"weights": n % 7}),
            ),
            6 => ask(
                "DELETE",
                &format!("/api/2.0/mlflow-artifacts/artifacts/uploads/{:032x}", u128::from(who) + 1),
                &json!({}),
            ),
            _ => ask("GET", "/metrics", &json!({})),
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn under_load_for_long_it_takes_no_more_than_after_a_while() {
    let minutes = std::env::var("GREENROOM_SOAK").ok().and_then(|m| m.parse::<u64>().ok());
    // The allowed growth of memory, in KiB: in the first seconds the caches are still filling.
    let (warm, length, growth) = match minutes {
        Some(minutes) => (Duration::from_secs(60), Duration::from_secs(minutes * 60), 24 * 1024),
        None => (Duration::from_secs(4), Duration::from_secs(6), 96 * 1024),
    };
    // An endpoint that fails now and then.
    let receiver = Receiver::scripted(|_, count| Reply::Status(if count % 9 == 4 { 500 } else { 200 }));
    let world = World::new(&[]);
    world.alice().git(["config", "greenroom.webhookAllow", "127.0.0.1"]).success();
    world.alice().git(["config", "greenroom.retryScale", "0.001"]).success();
    for n in 0..8 {
        world.alice().greenroom(["register", "--source", "s3://bucket/m", &format!("m{n}")]).success();
    }
    world.alice().greenroom(["webhook", "create", "--event", "*", "--url", &receiver.url()]).success();
    let server = world.serve(&["--max-rate", "100000"]);
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let (before, after) = thread::scope(|threads| {
        for who in 0..4 {
            let (server, done, asked) = (&server, &done, &asked);
            threads.spawn(move || load(server, who, done, asked));
        }
        thread::sleep(warm);
        let before = Taken::by(&server);
        let begun = Instant::now();
        while begun.elapsed() < length {
            thread::sleep(Duration::from_secs(1));
        }
        let after = Taken::by(&server);
        done.store(true, Ordering::Relaxed);
        (before, after)
    });
    eprintln!("{} requests, {} deliveries: {before:?}, then {after:?}", asked.into_inner(), receiver.count());
    assert!(receiver.count() > 0, "nothing was delivered");
    assert!(after.memory <= before.memory + growth, "memory grows: {before:?}, then {after:?}");
    assert!(after.descriptors <= before.descriptors + SPARE, "descriptors leak: {before:?}, then {after:?}");
    assert!(after.threads <= before.threads + SPARE, "threads leak: {before:?}, then {after:?}");
}
