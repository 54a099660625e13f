//! kill -9 of the watcher at any moment, while pushes go on and the receiver fails, stalls, hangs up, refuses and
//! dies: every event arrives, in order for each model, and a repeated delivery keeps its id.
//!
//! `GREENROOM_FULL=1` makes it 200 kills and 2,000 pushes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use greenroom::registry::Registry;

use crate::support::commits::tag;
use crate::support::receiver::{Received, Receiver, Reply};
use crate::support::{Sandbox, Shell};

/// The number of models of the events.
const MODELS: u32 = 5;

/// The id of the webhook.
const HOOK: &str = "01957a3e-7c00-7000-8000-000000000001";

/// Pseudo-random numbers, the same on each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Scene {
    sandbox: Sandbox,
    receiver: Receiver,
}

impl Scene {
    /// A client `r` with some models and a webhook, and the served repository that it pushes to.
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "r"]).success();
        let receiver = Receiver::start();
        let scene = Self { sandbox, receiver };
        for n in 0..MODELS {
            scene.client().greenroom(["model", "create", &format!("m{n}")]).success();
        }
        let hook = format!(
            "id = \"{HOOK}\"\ncreated_at = 2026-03-01T12:00:00.000Z\ncreated_by = \"alice\"\nevents = [\"*\"]\n\
             state = \"ACTIVE\"\nprofile = \"standard\"\nurl = \"{}/hook\"\n",
            scene.receiver.url()
        );
        scene.sandbox.write(format!("r/webhooks/{HOOK}.toml"), hook);
        scene.client().git(["add", "."]).success();
        scene.client().git(["commit", "--quiet", "-m", "A webhook"]).success();
        scene.sandbox.git(["clone", "--quiet", "--bare", "r", "served.git"]).success();
        for (key, value) in [("greenroom.webhookAllow", "127.0.0.1"), ("greenroom.retryScale", "0.0005")] {
            scene.served().git(["config", key, value]).success();
        }
        // Events from here on are delivered.
        scene.served().greenroom(["watch", "--once"]).success();
        scene
    }

    fn client(&self) -> Shell<'_> {
        self.sandbox.alice().within("r")
    }

    fn served(&self) -> Shell<'_> {
        self.sandbox.alice().within("served.git")
    }

    /// Makes commits in the client, each with a tag of a model; returns their ids.
    fn commits(&self, count: u32) -> Vec<String> {
        let registry = Registry::discover(&self.client().folder()).expect("a registry");
        (0..count).map(|n| tag(&registry, n, MODELS)).collect()
    }

    fn watch(&self) -> Child {
        let mut command = self.served().command(env!("CARGO_BIN_EXE_greenroom"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.sandbox.path("watch.log"));
        command.arg("watch").stdout(Stdio::null()).stderr(log.expect("writable"));
        command.spawn().expect("greenroom runs")
    }

    /// Resumes a webhook that answered 410, as an administrator would: by a change of its settings.
    fn settings_change(&self, n: u32) {
        self.served().git(["config", "greenroom.touched", &n.to_string()]).success();
    }
}

/// A receiver that accepts about two of three requests, and fails with the others in every way.
fn moody() -> impl Fn(&Received, usize) -> Reply + Send + Sync + 'static {
    let dice = Mutex::new(Dice(41));
    move |_, count| {
        // Rarely it answers that it is gone for good.
        if count % 331 == 150 {
            return Reply::Status(410);
        }
        match dice.lock().expect("no thread failed").roll(24) {
            0 | 1 => Reply::Status(500),
            2 => Reply::With(429, "Retry-After", "0".to_owned()),
            3 => Reply::With(503, "Retry-After", "1".to_owned()),
            4 | 5 => Reply::HangUp,
            6 => Reply::Late(Duration::from_millis(60)),
            7 => Reply::Status(302),
            _ => Reply::Status(200),
        }
    }
}

/// The number of an event and its model; `None` for events that are not of the test.
fn numbered(request: &Received) -> Option<(String, u32)> {
    let body = request.json();
    let event = &body["data"]["event"];
    (body["type"] == "model.tag_set").then(|| {
        let value = event["value"].as_str().expect("a value").parse().expect("a number");
        (event["model"].as_str().expect("a model").to_owned(), value)
    })
}

#[test]
fn a_watcher_that_is_killed_again_and_again_loses_nothing() {
    let full = std::env::var_os("GREENROOM_FULL").is_some();
    let (kills, pushes) = if full { (200, 2_000) } else { (20, 200) };
    let scene = Scene::new();
    let commits = scene.commits(pushes);
    scene.receiver.script(moody());
    let (done, killed) = (AtomicBool::new(false), AtomicU32::new(0));
    let start = Instant::now();
    thread::scope(|threads| {
        threads.spawn(|| {
            for commit in &commits {
                let target = format!("{commit}:refs/heads/main");
                scene.client().git(["push", "--quiet", "../served.git", &target]).success();
            }
            done.store(true, Ordering::SeqCst);
        });
        threads.spawn(|| {
            let mut dice = Dice(7);
            while !done.load(Ordering::SeqCst) || killed.load(Ordering::SeqCst) < kills {
                thread::sleep(Duration::from_millis(700 + dice.roll(800)));
                scene.receiver.die();
                thread::sleep(Duration::from_millis(dice.roll(300)));
                scene.receiver.rise();
            }
        });
        let mut dice = Dice(3);
        while killed.load(Ordering::SeqCst) < kills {
            let mut watcher = scene.watch();
            thread::sleep(Duration::from_millis(20 + dice.roll(500)));
            watcher.kill().expect("it runs until it is killed");
            watcher.wait().expect("it ends");
            let n = killed.fetch_add(1, Ordering::SeqCst);
            scene.settings_change(n);
        }
    });
    let (under_fire, took) = (scene.receiver.count(), start.elapsed());
    scene.receiver.script(|_, _| Reply::Status(200));
    scene.settings_change(kills);
    let mut watcher = scene.watch();
    let arrived = |seen: &[Received]| {
        let taken = seen.iter().filter(|r| r.status == 200).filter_map(numbered);
        taken.collect::<BTreeSet<_>>().len()
    };
    let wanted = usize::try_from(pushes).expect("small");
    let end = Instant::now() + Duration::from_secs(120);
    while arrived(&scene.receiver.seen()) < wanted {
        assert!(Instant::now() < end, "not all came\n{}", scene.sandbox.read("watch.log"));
        thread::sleep(Duration::from_millis(300));
    }
    let seen = scene.receiver.seen();
    watcher.kill().expect("it runs");
    watcher.wait().expect("it ends");
    let log = scene.sandbox.read("watch.log");
    is_right(&seen, pushes, &log);
    let twice = seen.iter().filter(|r| r.status == 200).count() - wanted;
    eprintln!(
        "{kills} kills, {pushes} pushes in {:.0} s: {} requests ({under_fire} under fire), {twice} taken twice",
        took.as_secs_f64(),
        seen.len()
    );
    let listed = scene.served().greenroom(["webhook", "deliveries", "--dead", "-o", "json"]).success().json();
    assert_eq!(listed["deliveries"], serde_json::json!([]), "nothing was given up");
}

/// All events came, in order for each model, and each id stands for one event.
#[track_caller]
fn is_right(seen: &[Received], pushes: u32, log: &str) {
    let mut first: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut known: BTreeSet<(String, u32)> = BTreeSet::new();
    let mut ids: BTreeMap<String, (String, u32)> = BTreeMap::new();
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for request in seen {
        let id = request.header("webhook-id").to_owned();
        assert!(!id.is_empty(), "{request:?}");
        let body = bodies.entry(id.clone()).or_insert_with(|| request.body.clone());
        assert_eq!(body, &request.body, "what comes again is the same");
        let Some(event) = numbered(request) else { continue };
        assert_eq!(ids.entry(id).or_insert_with(|| event.clone()), &event, "one id for two events");
        // Accepted by the receiver, as far as it knows: then it may come again, but nothing older may follow.
        if request.status == 200 && known.insert(event.clone()) {
            first.entry(event.0).or_default().push(event.1);
        }
    }
    let by_event: BTreeSet<_> = ids.values().collect();
    assert_eq!(by_event.len(), ids.len(), "two ids for one event");
    for n in 0..MODELS {
        let wanted: Vec<u32> = (0..pushes).filter(|p| p % MODELS == n).collect();
        assert_eq!(first.get(&format!("m{n}")), Some(&wanted), "m{n}\n{log}");
    }
}

#[test]
fn of_two_watchers_one_is_killed_and_the_other_goes_on() {
    let scene = Scene::new();
    let commits = scene.commits(30);
    let mut first = scene.watch();
    let mut second = scene.watch();
    let push = |commit: &String| {
        let target = format!("{commit}:refs/heads/main");
        scene.client().git(["push", "--quiet", "../served.git", &target]).success();
    };
    let (early, late) = commits.split_at(13);
    early.iter().for_each(push);
    scene.receiver.wait("the first few", |seen| seen.iter().filter_map(numbered).count() >= 5);
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    late.iter().for_each(push);
    let seen = scene
        .receiver
        .wait("all events", |seen| seen.iter().filter_map(numbered).collect::<BTreeSet<_>>().len() >= commits.len());
    second.kill().expect("it runs");
    second.wait().expect("it ends");
    is_right(&seen, 30, &scene.sandbox.read("watch.log"));
    let again = seen.iter().filter_map(numbered).count() - commits.len();
    assert!(again <= 4, "{again} came twice; at most what the first was sending when it was killed");
}
