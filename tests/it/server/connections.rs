//! The server answers requests however many connections there are, and however slow they are.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{World, named};
use crate::support::server::{MLFLOW, Server};

/// More connections than the server accepts.
const FLOOD: usize = 1_300;

/// Lets this process have that many open connections.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < 4096) {
        let raised = limit.maximum.map_or(4096, |most| most.min(4096));
        setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).expect("it may be raised");
    }
}

/// Whether a connection is open and has no data.
fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    read.is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
}

/// Waits until the server closes a connection.
fn closed(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("it is not closed: {other:?}"),
    }
}

/// Sends a request on a connection that stays open, and returns the status.
fn ask(mut stream: &TcpStream, server: &Server, path: &str, token: &str) -> u16 {
    let host = server.address();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it takes bytes");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("it answers");
        text.extend_from_slice(&byte);
    }
    let text = String::from_utf8(text).expect("a head is text");
    let length = text.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.expect("its length is said")];
    stream.read_exact(&mut body).expect("it has a body");
    text.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status")
}

#[test]
fn idle_and_slow_connections_keep_nobody_out() {
    allow_files();
    let world = World::new(&[("bob", "CAN_READ")]);
    world.alice().greenroom(["model", "create", "wine"]).success();
    let server = world.serve(&["--require-token"]);
    let search = format!("{MLFLOW}/registered-models/search");
    // A known client, which keeps its connection open.
    let known = server.connect(b"");
    assert_eq!(ask(&known, &server, &search, world.token("bob")), 200);
    for begun in [&b""[..], b"GET /health HTTP/1.1\r\nHost: ", b"\r\n"] {
        let flood: Vec<TcpStream> = (0..FLOOD).map(|_| server.connect(begun)).collect();
        assert_eq!(server.get("/health").answer().status, 200);
        server.get(&search).by(world.token("alice")).json(200);
        server.post("registered-models/create", &named("wine")).by(world.token("bob")).json(400);
        assert_eq!(ask(&known, &server, &search, world.token("bob")), 200, "it kept its place");
        // The oldest connection was closed to make room.
        closed(&flood[0]);
    }
    let metrics = server.get("/metrics").by(world.token("alice")).answer();
    let text = String::from_utf8(metrics.body).expect("text");
    let evicted =
        text.lines().find_map(|l| l.strip_prefix("greenroom_connections_evicted_total ")?.parse::<usize>().ok());
    assert!(evicted.is_some_and(|n| n > 0), "{evicted:?}");
}

#[test]
fn one_caller_cannot_take_all_that_is_served_at_a_time() {
    allow_files();
    let world = World::new(&[("bob", "CAN_EDIT")]);
    let server = world.serve(&["--require-token"]);
    let head = format!(
        "POST {MLFLOW}/registered-models/create HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nContent-Length: 1000\r\n\r\n{{",
        server.address(),
        world.token("bob"),
    );
    // Bodies that do not come: the server waits for each.
    let slow: Vec<TcpStream> = (0..FLOOD).map(|_| server.connect(head.as_bytes())).collect();
    assert_eq!(server.get("/health").answer().status, 200);
    let search = format!("{MLFLOW}/registered-models/search");
    server.get(&search).by(world.token("alice")).json(200);
    server.post("registered-models/create", &named("wine")).by(world.token("alice")).json(200);
    let refused = server.get(&search).by(world.token("bob")).json(429);
    assert_eq!(refused["error_code"], "REQUEST_LIMIT_EXCEEDED");
    // The server still waits for the rest of these bodies.
    let open = slow.iter().filter(|stream| is_open(stream)).count();
    assert!(open >= 448, "{open}");
}
