//! Killed at any moment, the server has every acknowledged change, and none twice.
//!
//! With `GREENROOM_FULL=1` it is killed 120 times instead of a few.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{World, named};
use crate::support::server::{MLFLOW, Server};

const WRITERS: usize = 8;

/// The stages that each version goes through, one request each.
const STAGES: [&str; 2] = ["Staging", "Archived"];

/// The acknowledged state of one version, in the order of the requests.
#[derive(Debug, Default)]
struct Known {
    /// Its number, once acknowledged; then it has its source, too.
    number: Option<String>,
    tagged: bool,
    commented: bool,
    /// The number of [`STAGES`] that it has reached.
    moved: usize,
}

/// Sends one kind of request after the other until the server is gone; returns the acknowledged state by source. The
/// last, unanswered request may be stored or not.
fn write(server: &Server, round: usize, writer: usize, gone: &AtomicBool) -> Vec<(String, Known)> {
    let ask = |path: &str, body: &Value| -> Option<Value> {
        match server.post(path, body).try_answer() {
            Ok(answer) => {
                let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
                assert_eq!(answer.status, 200, "{path} {body}: {said}");
                Some(said)
            }
            Err(_) => {
                assert!(gone.load(Ordering::SeqCst), "the server went away by itself:\n{}", server.log());
                None
            }
        }
    };
    let model = model(writer);
    let mut all = Vec::new();
    for n in 0.. {
        let source = format!("s3://bucket/{round}/{writer}/{n}");
        all.push((source.clone(), Known::default()));
        let known = &mut all.last_mut().expect("it was just added").1;
        let mut steps = || -> Option<()> {
            let made = ask("model-versions/create", &json!({ "name": model, "source": source }))?;
            let number = made["model_version"]["version"].as_str().expect("a version").to_owned();
            known.number = Some(number.clone());
            let tag = json!({ "name": model, "version": number, "key": "source", "value": source });
            ask("model-versions/set-tag", &tag)?;
            known.tagged = true;
            let comment = json!({ "name": model, "version": number, "comment": source });
            ask("comments/create", &comment)?;
            known.commented = true;
            for stage in STAGES {
                let to =
                    json!({ "name": model, "version": number, "stage": stage, "archive_existing_versions": false });
                ask("model-versions/transition-stage", &to)?;
                known.moved += 1;
            }
            Some(())
        };
        if steps().is_none() {
            return all;
        }
    }
    all
}

fn model(writer: usize) -> String {
    format!("wine-{writer}")
}

/// An unpredictable number below `end`.
fn random(end: u64) -> u64 {
    RandomState::new().hash_one(0) % end
}

/// Demands that every version has its acknowledged state; nothing else exists, and nothing twice.
fn has_all(server: &Server, known: &BTreeMap<String, Known>) {
    let mut stored: BTreeMap<String, Value> = BTreeMap::new();
    for writer in 0..WRITERS {
        let found =
            server.get(&format!("{MLFLOW}/model-versions/search?filter=name%3D%27{}%27", model(writer))).json(200);
        for version in found["model_versions"].as_array().into_iter().flatten() {
            let source = version["source"].as_str().expect("text").to_owned();
            assert!(known.contains_key(&source), "no request asked for {version}");
            let twice = stored.insert(source, version.clone());
            assert_eq!(twice, None, "twice: {version}");
        }
    }
    for (source, known) in known {
        let Some(number) = &known.number else { continue };
        let version = stored.get(source).unwrap_or_else(|| panic!("{source} was acknowledged as version {number}"));
        assert_eq!(version["version"], json!(number), "{source}");
        if known.tagged {
            assert_eq!(version["tags"], json!([{ "key": "source", "value": source }]), "the tag was acknowledged");
        }
        let reached = version["current_stage"].as_str().expect("text");
        let order = |stage: &str| STAGES.iter().position(|s| *s == stage).map_or(0, |at| at + 1);
        // The request after the last answered one may be stored.
        let may_be = known.moved..=known.moved + usize::from(known.commented);
        assert!(may_be.contains(&order(reached)), "{version} against {known:?}");
    }
}

/// Demands that every version has the one acknowledged comment, or at most the requested one.
fn has_comments(server: &Server, known: &BTreeMap<String, Known>) {
    for (source, known) in known {
        let (Some(number), Some(writer)) = (&known.number, source.split('/').nth(4)) else { continue };
        let path = format!("/api/greenroom/comments/list?name=wine-{writer}&version={number}");
        let found = server.get(&path).json(200);
        let texts: Vec<&str> =
            found["comments"].as_array().into_iter().flatten().filter_map(|c| c["text"].as_str()).collect();
        let may_be = if known.commented { texts == [source] } else { texts.is_empty() || texts == [source] };
        assert!(may_be, "{source}: {texts:?} against {known:?}");
    }
}

#[test]
fn killed_under_eight_writers_it_loses_no_acknowledged_write_and_makes_none_twice() {
    let kills = if std::env::var_os("GREENROOM_FULL").is_some() { 120 } else { 6 };
    let world = World::new(&[]);
    for writer in 0..WRITERS {
        world.alice().greenroom(["model", "create", &model(writer)]).success();
    }
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for round in 0..kills {
        let server = world.serve(&[]);
        has_all(&server, &known);
        let gone = AtomicBool::new(false);
        let asked = thread::scope(|threads| {
            let (server, gone) = (&server, &gone);
            let writers: Vec<_> = (0..WRITERS).map(|w| threads.spawn(move || write(server, round, w, gone))).collect();
            thread::sleep(Duration::from_micros(random(1_200_000)));
            gone.store(true, Ordering::SeqCst);
            server.signal("KILL");
            writers.into_iter().flat_map(|w| w.join().expect("a writer ends")).collect::<Vec<_>>()
        });
        known.extend(asked);
    }
    let acknowledged = known.values().filter(|k| k.number.is_some()).count();
    let moved: usize = known.values().map(|k| k.moved).sum();
    eprintln!("{kills} kills; {acknowledged} versions and {moved} transitions were acknowledged");
    assert!(acknowledged > WRITERS, "too little was written to say anything: {acknowledged}");
    let server = world.serve(&[]);
    has_all(&server, &known);
    has_comments(&server, &known);
    server.post("registered-models/create", &named("after")).json(200);
    world.is_sound();
    world.alice().greenroom(["check"]).success();
    world.alice().greenroom(["verify"]).success();
    // Each request has a different commit subject, so a repeated commit would show.
    let mut seen = HashSet::new();
    let log = world.alice().git(["log", "--format=%s"]).success();
    let twice: Vec<_> = log.stdout().lines().filter(|subject| !seen.insert(*subject)).collect();
    assert_eq!(twice, [""; 0]);
    assert!(seen.len() > acknowledged + moved, "each acknowledged request has its commit");
    let status = world.alice().git(["status", "--porcelain", "--untracked-files=no"]).success();
    assert_eq!(status.stdout(), "", "the work tree follows");
}
