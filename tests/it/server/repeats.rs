//! A client repeats its request after a broken connection; nothing is created twice.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use greenroom::git::Repo;
use serde_json::json;

use super::World;
use crate::support::server::MLFLOW;

#[test]
fn a_version_whose_answer_was_lost_is_not_made_again() {
    let world = World::new(&[]);
    world.alice().greenroom(["model", "create", "wine"]).success();
    let server = world.serve(&[]);
    let body = json!({ "name": "wine", "source": "s3://bucket/model" });
    let head = format!("POST {MLFLOW}/model-versions/create HTTP/1.1\r\nHost: {}\r\n", server.address());
    let length = body.to_string().len();
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    // During another write the request waits, and its client gives up.
    let repo = Repo::open(&world.sandbox.path("r/.git")).expect("the repository opens");
    let lock = repo.lock(Duration::from_secs(10)).expect("no other process writes");
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    thread::sleep(Duration::from_millis(500));
    drop(stream);
    thread::sleep(Duration::from_millis(500));
    drop(lock);

    let create = server.post("model-versions/create", &body);
    assert_eq!(create.json(200)["model_version"]["version"], "1", "the answer that was lost");
    assert_eq!(create.json(200)["model_version"]["version"], "2", "who got an answer wants another version");
    let found = server.get(&format!("{MLFLOW}/model-versions/search")).json(200);
    assert_eq!(found["model_versions"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_same_request_by_somebody_else_is_another() {
    let world = World::new(&[("bob", "CAN_EDIT")]);
    world.alice().greenroom(["model", "create", "wine"]).success();
    let server = world.serve(&[]);
    let create = server.post("model-versions/create", &json!({ "name": "wine", "source": "s3://bucket/model" }));
    let numbers: Vec<_> = thread::scope(|threads| {
        let started: Vec<_> = [world.token("alice"), world.token("bob"), world.token("bob")]
            .map(|token| threads.spawn(|| create.clone().by(token).json(200)["model_version"]["version"].clone()))
            .into();
        started.into_iter().map(|t| t.join().expect("it ends")).collect()
    });
    let mut numbers: Vec<&str> = numbers.iter().filter_map(|n| n.as_str()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["1", "2", "3"]);
}
