//! The server on a full disk, on a read-only one, beside other writers, and during git's housekeeping.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{World, named, said};
use crate::bad_repo::disk::{Mount, leave};
use crate::bad_repo::need_root;
use crate::support::Sandbox;
use crate::support::server::{MLFLOW, Server};

/// The names of all models, as the server lists them.
fn models(server: &Server) -> Vec<String> {
    let found = server.get(&format!("{MLFLOW}/registered-models/search?max_results=1000")).json(200);
    let all = found["registered_models"].as_array().cloned().unwrap_or_default();
    all.iter().map(|m| m["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_full_disk_refuses_writes_and_answers_reads_and_all_is_well_with_room_again() {
    let sandbox = Sandbox::new();
    need_root(&sandbox, "mount a small disk");
    let disk = sandbox.path("disk");
    let _mount = Mount::new(&disk, &["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
    sandbox.greenroom(["init", "disk/r"]).success();
    let shell = sandbox.alice().within("disk/r");
    let server = Server::start(&shell, sandbox.path("server.log"), &[]);
    server.post("registered-models/create", &named("first")).json(200);
    let (mut known, mut refused) = (vec!["first".to_owned()], 0);
    for pages in 0..24 {
        leave(&disk.join("filler"), pages);
        let name = format!("m-{pages:02}");
        let answer = server.post("registered-models/create", &named(&name)).answer();
        let reply: Value = serde_json::from_slice(&answer.body).expect("JSON");
        match answer.status {
            200 => known.push(name),
            500 => {
                assert_eq!(said(&reply).0, "INTERNAL_ERROR");
                assert!(!reply.to_string().contains("disk/"), "{reply}");
                refused += 1;
            }
            status => panic!("{pages} pages: {status} {reply}"),
        }
        assert_eq!(models(&server), known, "{pages} pages: only acknowledged changes are there");
    }
    assert!(refused > 3, "the disk was full at times: {refused}");
    std::fs::remove_file(disk.join("filler")).expect("it is there");
    server.post("registered-models/create", &named("zz-after")).json(200);
    known.push("zz-after".to_owned());
    assert_eq!(models(&server), known);
    drop(server);
    let again = Server::start(&shell, sandbox.path("server.log"), &[]);
    assert_eq!(models(&again), known, "a restart finds the same");
    shell.git(["fsck", "--strict", "--no-dangling", "--no-progress"]).success();
    shell.greenroom(["check"]).success();
}

#[test]
fn a_read_only_repository_is_served_and_writes_are_refused() {
    let world = World::new(&[]);
    need_root(&world.sandbox, "mount a folder read-only");
    world.alice().greenroom(["model", "create", "wine"]).success();
    let at = world.sandbox.path("locked");
    let source = world.sandbox.path("r");
    let _mount = Mount::new(&at, &["--bind", source.to_str().expect("UTF-8")]);
    world.sandbox.alice().run("mount", ["-o", "remount,bind,ro", at.to_str().expect("UTF-8")]).success();
    let server = Server::start(&world.sandbox.alice().within("locked"), world.log(), &[]);
    assert_eq!(models(&server), ["wine"]);
    server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(200);
    let refused = server.post("registered-models/create", &named("beer")).json(500);
    assert_eq!(said(&refused).0, "INTERNAL_ERROR");
    assert_eq!(models(&server), ["wine"]);
    assert!(server.log().to_ascii_lowercase().contains("read-only"), "the log says why");
}

#[test]
fn the_server_the_command_line_and_git_write_at_once_and_none_loses_anything() {
    let world = World::new(&[]);
    world.alice().greenroom(["model", "create", "wine"]).success();
    let server = world.serve(&[]);
    let acknowledged: Vec<String> = thread::scope(|threads| {
        let (server, world) = (&server, &world);
        let by_server = (0..4).map(|w| {
            threads.spawn(move || {
                let create = |n| {
                    let source = format!("s3://server/{w}/{n}");
                    let body = json!({ "name": "wine", "source": source });
                    let answer = server.post("model-versions/create", &body).answer();
                    // A writer that loses too often may be told to retry later; that is not an acknowledgement.
                    assert!(matches!(answer.status, 200 | 409 | 429), "{}", String::from_utf8_lossy(&answer.body));
                    (answer.status == 200).then_some(source)
                };
                (0..15).filter_map(create).collect::<Vec<_>>()
            })
        });
        let by_hand = (0..2).map(|w| {
            threads.spawn(move || {
                let register = |n| {
                    let source = format!("s3://hand/{w}/{n}");
                    world.alice().greenroom(["register", "wine", "--source", &source]).success();
                    source
                };
                (0..8).map(register).collect::<Vec<_>>()
            })
        });
        let started: Vec<_> = by_server.chain(by_hand).collect();
        started.into_iter().flat_map(|t| t.join().expect("it ends")).collect()
    });
    let found = server.get(&format!("{MLFLOW}/model-versions/search")).json(200);
    let all = found["model_versions"].as_array().expect("versions");
    let text = |v: &Value, key: &str| v[key].as_str().expect("text").to_owned();
    let mut sources: Vec<String> = all.iter().map(|v| text(v, "source")).collect();
    let mut numbers: Vec<u64> = all.iter().map(|v| text(v, "version").parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=acknowledged.len() as u64).collect::<Vec<_>>(), "no number is missing or there twice");
    let mut wanted = acknowledged;
    wanted.sort();
    sources.sort();
    assert_eq!(sources, wanted);
    world.is_sound();
}

/// Runs a housekeeping command of git. If it fails on a lock that a writer holds, it is started again, as with any two
/// of git's own processes.
#[track_caller]
fn keep_house(world: &World, chore: &[&str]) {
    for _ in 0..100 {
        let (stdout, stderr, code) = world.alice().git(chore).ended();
        if code == Some(0) {
            return;
        }
        assert!(stderr.contains(".lock': File exists"), "{chore:?}: {stdout}{stderr}");
        thread::sleep(Duration::from_millis(3));
    }
    panic!("{chore:?} never gets the lock");
}

#[test]
fn git_keeps_house_under_load_and_no_answer_is_stale_or_wrong() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    server.post("registered-models/create", &named("wine")).json(200);
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        let (server, world, done) = (&server, &world, &done);
        let house = threads.spawn(move || {
            let mut rounds = 0;
            while !done.load(Ordering::SeqCst) || rounds == 0 {
                for chore in [
                    &["pack-refs", "--all"][..],
                    &["repack", "-a", "-d", "-q"],
                    &["prune", "--expire=1.hour.ago"],
                    &["gc", "--quiet", "--prune=1.hour.ago"],
                    &["commit-graph", "write"],
                ] {
                    keep_house(world, chore);
                }
                rounds += 1;
            }
            rounds
        });
        let writers: Vec<_> = (0..3)
            .map(|w| {
                threads.spawn(move || {
                    for n in 0..40 {
                        let set = json!({ "name": "wine", "key": format!("k{w}"), "value": n.to_string() });
                        server.post("registered-models/set-tag", &set).json(200);
                        let read = server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(200);
                        let tags = read["registered_model"]["tags"].as_array().expect("tags").clone();
                        let mine = tags.iter().find(|t| t["key"] == format!("k{w}").as_str()).expect("my tag");
                        assert_eq!(mine["value"], n.to_string(), "an acknowledged change is read");
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|w| w.join().expect("it ends"));
        done.store(true, Ordering::SeqCst);
        assert!(house.join().expect("it ends") > 0);
    });
    let failed: Vec<_> =
        server.log().lines().filter(|l| l.contains("\"level\":\"error\"")).map(str::to_owned).collect();
    assert_eq!(failed, Vec::<String>::new());
    world.is_sound();
}
