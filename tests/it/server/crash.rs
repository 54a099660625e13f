//! Killed at any moment, the server has what it acknowledged: all of it, and nothing twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{World, named};
use crate::support::server::{MLFLOW, Server};

const WRITERS: usize = 8;

/// Registers versions until the server is gone; gives the sources and numbers that were acknowledged.
fn write(server: &Server, round: usize, writer: usize, gone: &AtomicBool) -> Vec<(String, String)> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let source = format!("s3://bucket/{round}/{writer}/{n}");
        let create = server.post("model-versions/create", &json!({ "name": "wine", "source": source }));
        match create.try_answer() {
            Ok(answer) => {
                let made: Value = serde_json::from_slice(&answer.body).expect("JSON");
                assert_eq!(answer.status, 200, "{made}");
                let number = made["model_version"]["version"].as_str().expect("a version").to_owned();
                acknowledged.push((source, number));
            }
            Err(_) => {
                assert!(gone.load(Ordering::SeqCst), "the server went away by itself:\n{}", server.log());
                return acknowledged;
            }
        }
    }
    acknowledged
}

#[test]
fn killed_under_eight_writers_it_loses_no_acknowledged_write_and_makes_none_twice() {
    let world = World::new(&[]);
    world.alice().greenroom(["model", "create", "wine"]).success();
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    for (round, millis) in [150, 400, 800, 1200, 700].into_iter().enumerate() {
        let server = world.serve(&[]);
        let gone = AtomicBool::new(false);
        let known = thread::scope(|threads| {
            let (server, gone) = (&server, &gone);
            let writers: Vec<_> = (0..WRITERS).map(|w| threads.spawn(move || write(server, round, w, gone))).collect();
            thread::sleep(Duration::from_millis(millis));
            gone.store(true, Ordering::SeqCst);
            server.signal("KILL");
            writers.into_iter().flat_map(|w| w.join().expect("a writer ends")).collect::<Vec<_>>()
        });
        acknowledged.extend(known);
    }
    assert!(acknowledged.len() > WRITERS, "too little was written to say anything: {}", acknowledged.len());
    let server = world.serve(&[]);
    let found = server.get(&format!("{MLFLOW}/model-versions/search?filter=name%3D%27wine%27")).json(200);
    let mut stored: BTreeMap<String, String> = BTreeMap::new();
    for version in found["model_versions"].as_array().expect("a list") {
        let text = |key: &str| version[key].as_str().expect("text").to_owned();
        let twice = stored.insert(text("source"), text("version"));
        assert_eq!(twice, None, "{version}");
    }
    for (source, number) in &acknowledged {
        assert_eq!(stored.get(source), Some(number), "{source} was acknowledged");
    }
    server.post("registered-models/create", &named("after")).json(200);
    world.is_sound();
    world.alice().greenroom(["check"]).success();
    let status = world.alice().git(["status", "--porcelain", "--untracked-files=no"]).success();
    assert_eq!(status.stdout(), "", "the work tree follows");
}
