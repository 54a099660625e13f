//! Starting, following changes in git, and stopping.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{World, named};
use crate::support::server::MLFLOW;

#[test]
fn it_says_that_it_is_up_and_which_version_it_is() {
    let world = World::new(&[]);
    let server = world.serve(&["--require-token"]);
    let health = server.get("/health").answer();
    assert_eq!((health.status, health.body), (200, b"OK".to_vec()));
    let version = server.get("/version").answer();
    assert_eq!((version.status, version.body), (200, env!("CARGO_PKG_VERSION").as_bytes().to_vec()));
    assert_eq!(server.get("/metrics").answer().status, 401);
    let metrics = server.get("/metrics").by(world.token("alice")).answer();
    let text = String::from_utf8(metrics.body).expect("text");
    assert!(text.contains("greenroom_connections_total") && text.contains("route=\"/health\""), "{text}");
}

#[test]
fn an_address_that_others_reach_needs_a_proxy_and_tokens() {
    let world = World::new(&[]);
    let open = world.alice().greenroom(["serve", "--bind", "0.0.0.0:0"]).code(5);
    assert!(open.stderr().contains("--behind-proxy"), "{}", open.stderr());
    let bare = crate::support::Sandbox::new();
    bare.greenroom(["init", "r"]).success();
    let none = bare.alice().within("r").greenroom(["serve", "--bind", "0.0.0.0:0", "--behind-proxy"]).code(5);
    assert!(none.stderr().contains("greenroom token create"), "{}", none.stderr());
}

#[test]
fn what_git_lands_is_seen_at_once() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    for n in 0..20 {
        world.alice().greenroom(["model", "create", &format!("model-{n}")]).success();
        server.get(&format!("{MLFLOW}/registered-models/get?name=model-{n}")).json(200);
    }
    world.alice().git(["reset", "--quiet", "--hard", "HEAD~5"]).success();
    server.get(&format!("{MLFLOW}/registered-models/get?name=model-19")).json(404);
    world.alice().git(["pack-refs", "--all"]).success();
    server.get(&format!("{MLFLOW}/registered-models/get?name=model-14")).json(200);
    server.post("registered-models/create", &named("after")).json(200);
    world.is_sound();
}

#[test]
fn every_answer_is_as_new_as_what_anybody_was_told() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    server.post("registered-models/create", &named("wine")).json(200);
    thread::scope(|threads| {
        for writer in 0..4 {
            let server = &server;
            threads.spawn(move || {
                for n in 0..15 {
                    let key = format!("k{writer}");
                    let set = json!({ "name": "wine", "key": key, "value": n.to_string() });
                    server.post("registered-models/set-tag", &set).json(200);
                    let read = server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(200);
                    let tags = read["registered_model"]["tags"].as_array().expect("tags").clone();
                    let mine = tags.iter().find(|t| t["key"] == key.as_str()).expect("my tag");
                    assert_eq!(mine["value"], n.to_string());
                }
            });
        }
    });
    let count = world.alice().git(["rev-list", "--count", "HEAD"]).success().stdout().trim().to_owned();
    assert_eq!(count, "62", "init, create, and one commit for each of the 60 changes");
    world.is_sound();
}

#[test]
fn an_unchanged_answer_need_not_be_sent_again() {
    let world = World::new(&[("bob", "CAN_READ")]);
    let server = world.serve(&[]);
    server.post("registered-models/create", &named("wine")).json(200);
    let get = server.get(&format!("{MLFLOW}/registered-models/get?name=wine"));
    let tag = get.answer().header("etag").expect("a tag").to_owned();
    let again = get.clone().header("If-None-Match", &tag).answer();
    assert_eq!((again.status, again.body.len()), (304, 0));
    get.clone().by(world.token("bob")).header("If-None-Match", &tag).json(200);
    server.post("registered-models/set-tag", &json!({ "name": "wine", "key": "k", "value": "v" })).json(200);
    get.clone().header("If-None-Match", &tag).json(200);
}

#[test]
fn told_to_stop_it_answers_what_is_open_and_ends() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    // A request whose body is still in transit when the signal comes.
    let body = r#"{"name": "late"}"#;
    let mut open = TcpStream::connect(server.address()).expect("it listens");
    let head = format!(
        "POST {MLFLOW}/registered-models/create HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.address(),
        body.len()
    );
    open.write_all(head.as_bytes()).expect("it reads");
    thread::sleep(Duration::from_millis(300));
    let idle = TcpStream::connect(server.address()).expect("it listens");
    server.signal("TERM");
    thread::sleep(Duration::from_millis(300));
    assert!(TcpStream::connect(server.address()).is_err(), "no new connection is accepted");
    open.write_all(body.as_bytes()).expect("it still reads");
    let mut answer = String::new();
    open.read_to_string(&mut answer).expect("it answers and closes");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let begun = Instant::now();
    assert!(server.ended().success());
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(idle);
    assert_eq!(world.subjects(1), ["Alice: Register the model late"]);
    world.is_sound();
}

#[test]
fn told_twice_it_ends_at_once() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let mut open = TcpStream::connect(server.address()).expect("it listens");
    let head = format!("POST {MLFLOW}/registered-models/create HTTP/1.1\r\nHost: {}\r\n", server.address());
    open.write_all(format!("{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n").as_bytes())
        .expect("it reads");
    thread::sleep(Duration::from_millis(300));
    server.signal("TERM");
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn it_says_in_the_repository_where_it_serves() {
    let world = World::new(&[]);
    let notice = world.sandbox.path("r/.git/greenroom/server.json");
    let read = || std::fs::read(&notice).ok().map(|b| serde_json::from_slice::<serde_json::Value>(&b).expect("JSON"));
    let first = world.serve(&[]);
    let told = read().expect("a notice");
    assert_eq!((&told["url"], &told["pid"]), (&json!(format!("http://{}", first.address())), &json!(first.id())));
    let second = world.serve(&[]);
    assert_eq!(read(), Some(told.clone()), "the first keeps its notice");
    second.signal("TERM");
    assert!(second.ended().success());
    assert_eq!(read(), Some(told));
    let mut killed = first;
    killed.kill();
    assert!(read().is_some());
    let third = world.serve(&[]);
    assert_eq!(read().expect("a notice")["pid"], third.id(), "what a killed server left is replaced");
    third.signal("TERM");
    assert!(third.ended().success());
    assert_eq!(read(), None);
}

#[test]
fn nobody_asks_and_it_ends() {
    let world = World::new(&[]);
    let server = world.serve(&["--idle-exit", "2"]);
    let begun = Instant::now();
    // A running request does not count as idle, and each finished request restarts the time.
    let mut open = TcpStream::connect(server.address()).expect("it listens");
    let head = format!(
        "POST {MLFLOW}/registered-models/create HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n",
        server.address()
    );
    open.write_all(head.as_bytes()).expect("it reads");
    thread::sleep(Duration::from_secs(3));
    open.write_all(br#"{"name": "late"}"#).expect("it still reads");
    let mut answer = [0; 12];
    open.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(server.ended().success());
    assert!((5..30).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(!world.sandbox.path("r/.git/greenroom/server.json").exists());
}

#[test]
fn the_index_follows_what_lands_so_that_the_next_start_is_quick() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let health = || {
        let status = world.alice().greenroom(["index", "status", "-o", "json"]).success().json();
        (status["health"].as_str().expect("text").to_owned(), status["commit"].clone())
    };
    let newest = || json!(world.alice().git(["rev-parse", "HEAD"]).success().stdout().trim_end());
    server.post("registered-models/create", &named("wine")).json(200);
    let begun = Instant::now();
    while health() != ("current".to_owned(), newest()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the index does not follow: {:?}", health());
        thread::sleep(Duration::from_millis(50));
    }
    server.post("registered-models/create", &named("beer")).json(200);
    server.signal("TERM");
    assert!(server.ended().success());
    assert_eq!(health(), ("current".to_owned(), newest()));
}
