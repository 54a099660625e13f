//! HTTP is parsed in one way only, and a slow client cannot hold a connection.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{World, named, said};
use crate::support::server::{MLFLOW, Server};

/// Sends bytes on a connection of their own and reads the whole answer.
fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    let _ = stream.write_all(bytes);
    // If the last request closes the connection, the client waits for that; otherwise it closes its side itself.
    if !bytes.windows(17).any(|w| w == b"Connection: close") {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_request_that_two_programs_read_differently_is_refused_and_the_connection_closed() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let host = server.address();
    let post = format!(
        "POST {MLFLOW}/registered-models/create HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    );
    let smuggled = format!("{post}Content-Length: 21\r\n\r\n{{\"name\": \"smuggled\"}} ");
    let body = format!("0\r\n\r\n{smuggled}");
    for headers in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", body.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length : {}\r\n", body.len()),
        format!("Content-Length: {}\r\nTransfer-Encoding: identity\r\n", body.len()),
        "Content-Length: 5\r\nContent-Length: 5\r\n".to_owned(),
        "Content-Length: 5\r\nContent-Length: 0\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: -5\r\n".to_owned(),
        "Content-Length: 5, 5\r\n".to_owned(),
        "Content-Length: 0x5\r\n".to_owned(),
        "X: a\r\n folded: yes\r\nContent-Length: 0\r\n".to_owned(),
        "X: a\nContent-Length: 5\r\n".to_owned(),
        "X: a\rContent-Length: 5\r\n".to_owned(),
        "X: a\0b\r\n".to_owned(),
        "\0: b\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
    ] {
        let answer = raw(&server, format!("{post}{headers}\r\n{body}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{headers:?}: {answer}");
    }
    let bare = raw(&server, format!("GET /health HTTP/1.1\nHost: {host}\n\n").as_bytes());
    assert!(bare.starts_with("HTTP/1.1 400"), "{bare}");
    server.get(&format!("{MLFLOW}/registered-models/get?name=smuggled")).json(404);
}

#[test]
fn after_a_body_of_no_known_length_nothing_more_is_read() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let host = server.address();
    let head = format!(
        "POST {MLFLOW}/registered-models/create HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    );
    let body = "10\r\n{\"name\": \"wine\"}\r\n0\r\n\r\n";
    let next = format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answer = raw(&server, format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}{next}").as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.to_ascii_lowercase().contains("connection: close"),
        "{answer}"
    );
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).json(200);
}

#[test]
fn requests_one_after_the_other_share_a_connection() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let host = server.address();
    let create = |name: &str| {
        let body = json!({ "name": name, "description": "a\n\nb\r\n\r\nc" }).to_string();
        format!(
            "POST {MLFLOW}/registered-models/create HTTP/1.1\r\nHost: {host}\r\nContent-Type: \
             application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let end = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = raw(&server, format!("{}{}{end}", create("one"), create("two")).as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
}

#[test]
fn who_sends_a_head_byte_by_byte_is_cut_off_and_keeps_nobody_waiting() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.address()).expect("it listens");
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ").expect("it reads");
        slow.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(server.get("/health").answer().status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "others are served meanwhile");
    let cut = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
        let _ = stream.write_all(b"a");
        match stream.read(&mut [0; 16]) {
            Ok(n) => n == 0,
            Err(e) => !matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    };
    while begun.elapsed() < Duration::from_secs(25) && !slow.iter().all(cut) {
        thread::sleep(Duration::from_millis(200));
    }
    assert!(slow.iter().all(cut), "a head takes at most ten seconds");
    assert_eq!(server.get("/health").answer().status, 200);
}

#[test]
fn many_headers_are_refused() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let mut request = server.get("/health");
    for n in 0..200 {
        request = request.header(&format!("X-{n}"), "v");
    }
    assert_eq!(request.answer().status, 431);
}

#[test]
fn a_caller_may_ask_so_often_and_others_are_served_meanwhile() {
    let world = World::new(&[("bob", "CAN_READ")]);
    let server = world.serve(&["--require-token", "--max-rate", "5"]);
    let search = server.get(&format!("{MLFLOW}/registered-models/search"));
    let statuses: Vec<u16> = (0..40).map(|_| search.clone().by(world.token("alice")).answer().status).collect();
    assert!(statuses[..10].iter().all(|s| *s == 200), "a burst is fine: {statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    search.clone().by(world.token("bob")).json(200);
    let refused = std::iter::repeat_with(|| search.clone().by(world.token("alice")).answer()).find(|a| a.status == 429);
    let refused = refused.expect("it goes on");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let error = serde_json::from_slice(&refused.body).expect("JSON");
    assert_eq!(
        said(&error),
        ("REQUEST_LIMIT_EXCEEDED", "You sent more than 5 requests per second; wait a moment and slow down.")
    );
    server.get("/health").answer();
}

#[test]
fn json_is_read_strictly() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let create = server.post("registered-models/create", &named("x"));
    let deep = format!(r#"{{"name": "x", "tags": {}{}}}"#, "[".repeat(40), "]".repeat(40));
    for body in [
        r#"{"name": "x", "name": "y"}"#,
        r#"{"name": "x", "tags": [{"key": "a", "key": "b"}]}"#,
        r#"{"name": "\ud800"}"#,
        r#"{"name": "\udc00x"}"#,
        r#"{"name": "\u0000"}"#,
        r#"{"name": "x", "description": "\u0000"}"#,
        r#"{"name": "x"} {"name": "y"}"#,
        r#"{"name": "x",}"#,
        r#"{name: "x"}"#,
        r#"{"name": NaN}"#,
        "[]",
        "null",
        "5",
        &deep,
        &"[".repeat(100_000),
    ] {
        let refused = create.clone().body(body).json(400);
        assert!(said(&refused).1.len() < 500, "{refused}");
    }
    create.clone().body(&b"{\"name\": \"\xff\xfe\"}"[..]).json(400);
    create.clone().body(&b"\xef\xbb\xbf{\"name\": \"x\"}"[..]).json(400);
    server
        .get(&format!("{MLFLOW}/registered-models/search"))
        .json(200)
        .as_object()
        .filter(|o| o.is_empty())
        .expect("none");
    create.clone().body(r#"{"name": "x", "unknown": {"a": [1]}}"#).json(200);
}

#[test]
fn a_page_token_is_the_servers_own_and_belongs_to_its_search() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    for n in 0..4 {
        server.post("registered-models/create", &named(&format!("m{n}"))).json(200);
    }
    let search = |rest: &str| server.get(&format!("{MLFLOW}/registered-models/search?max_results=2{rest}"));
    let token = search("").json(200)["next_page_token"].as_str().expect("there is more").to_owned();
    assert_eq!(
        search(&format!("&page_token={token}")).json(200)["registered_models"].as_array().map(Vec::len),
        Some(2)
    );
    let mut bad: Vec<String> =
        vec!["evilhax".into(), "eyJvZmZzZXQiOiAyfQ==".into(), "e30=".into(), token[1..].to_owned()];
    for at in [0, token.len() / 2, token.len() - 3] {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        bad.push(format!("{}{other}{}", &token[..at], &token[at + 1..]));
    }
    for token in bad {
        let refused = search(&format!("&page_token={token}")).json(400);
        assert!(said(&refused).1.starts_with("Invalid page token"), "{refused}");
    }
    let other = search(&format!("&filter=name%20LIKE%20%27m%25%27&page_token={token}")).json(400);
    assert!(said(&other).1.starts_with("Invalid page token"), "{other}");
    drop(server);
    // The key belongs to one run: a token of another server is invalid here.
    let again = world.serve(&[]);
    again.get(&format!("{MLFLOW}/registered-models/search?max_results=2&page_token={token}")).json(400);
}

#[test]
fn no_filter_takes_long() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    for n in 0..50 {
        server.post("registered-models/create", &named(&format!("{}{n}", "a".repeat(200)))).json(200);
    }
    let percent = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let hostile = [
        format!("name LIKE '{}b'", "%a".repeat(100)),
        format!("name ILIKE '{}'", "%_".repeat(2_000)),
        (0..50).map(|_| "name LIKE '%a%a%a%a%b'").collect::<Vec<_>>().join(" AND "),
        format!("name LIKE '{}'", "_".repeat(8_000)),
        "(".repeat(8_000),
        "'".repeat(8_000),
        format!("name IN ({})", "'a',".repeat(1_500)),
        "name LIKE 'a' AND ".repeat(400),
        "x".repeat(9_000),
    ];
    for filter in hostile {
        let begun = Instant::now();
        // A head may have 16 KiB: a larger one is refused even before it is read.
        let query: String =
            if filter.len() * 3 > 15_000 { filter.replace(' ', "+").replace('%', "%25") } else { percent(&filter) };
        let answer = server.get(&format!("{MLFLOW}/registered-models/search?filter={query}")).answer();
        assert!(matches!(answer.status, 200 | 400 | 414 | 431), "{}", answer.status);
        // The budget is 100 ms; tests run on busy machines and in debug builds.
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?} for {}",
            begun.elapsed(),
            &filter[..40.min(filter.len())]
        );
    }
}

#[test]
fn a_log_line_is_one_line_of_json_with_request_and_commit_and_holds_no_secret() {
    let world = World::new(&[]);
    let server = world.serve(&["--require-token"]);
    let token = world.token("alice");
    let made = server.post("registered-models/create", &named("wine")).by(token).answer();
    let id = made.header("x-request-id").expect("an id").to_owned();
    let evil = "x\n{\"level\":\"info\",\"user\":\"mallory\"}\u{1b}[31m";
    server.post("registered-models/create", &named(evil)).by(token).json(400);
    server.get(&format!("/a%0a%1b%5b31m?token={token}")).by(token).answer();
    server.get(&format!("{MLFLOW}/registered-models/search")).by("grm_canarycanarycanary").answer();
    server
        .post("registered-models/set-tag", &json!({ "name": "wine", "key": "k", "value": "canary-of-a-body" }))
        .by(token)
        .json(200);
    let head = world.alice().git(["rev-parse", "HEAD~1"]).success().stdout().trim().to_owned();
    let log = server.log();
    for line in log.lines() {
        let read: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_ne!(read["user"], "mallory");
        assert!(line.chars().all(|c| !c.is_control()), "{line}");
    }
    assert!(!log.contains(token) && !log.contains("canary"), "{log}");
    let line = log.lines().find(|l| l.contains(&format!("\"request\":\"{id}\""))).expect("the request has its line");
    let read: serde_json::Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&read["user"], &read["commit"], &read["status"]), (&json!("alice"), &json!(head), &json!(200)));
}

#[test]
fn an_error_tells_nothing_of_the_inside() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    server.post("registered-models/create", &named("wine")).json(200);
    // The repository is damaged while the server runs.
    world.sandbox.write("r/.git/refs/heads/main", "0123456789012345678901234567890123456789\n");
    let answer = server.get(&format!("{MLFLOW}/registered-models/get?name=wine")).answer();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 500, "{text}");
    for inside in ["/r/", ".git", "objects", "src/", ".rs", "panicked", "0123456789", "gix"] {
        assert!(!text.contains(inside), "{inside} is in {text}");
    }
    assert!(text.contains("X-Request-Id"), "{text}");
    assert!(server.log().contains("\"level\":\"error\""), "the log says why");
    assert_eq!(server.get("/health").answer().status, 200);
}
