//! External input has limits, and no request makes the server fail.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{World, named, said};
use crate::support::server::MLFLOW;

#[test]
fn a_body_is_at_most_a_mebibyte() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let of = |size: usize| json!({ "name": "wine", "description": "x".repeat(size) });
    let refused = server.post("registered-models/create", &of(1 << 20)).json(413);
    assert_eq!(said(&refused), ("BAD_REQUEST", "The body is larger than 1048576 bytes."));
    // The server still works afterwards.
    server.post("registered-models/create", &named("wine")).json(200);
}

#[test]
fn a_head_is_at_most_sixteen_kibibytes() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let answer = server.get("/health").header("X-Long", &"x".repeat(20_000)).answer();
    assert_eq!(answer.status, 431);
    assert_eq!(server.get("/health").answer().status, 200);
}

#[test]
fn bytes_that_are_no_http_end_the_connection_and_nothing_else() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address()).expect("it listens");
        stream.write_all(bytes).expect("it takes bytes");
        stream.shutdown(std::net::Shutdown::Write).expect("we can end");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.get("/health").answer().status, 200);
}

#[test]
fn no_argument_makes_the_server_fail() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    server.post("registered-models/create", &named("wine")).json(200);
    server.post("model-versions/create", &json!({ "name": "wine", "source": "s3://b/m" })).json(200);
    let odd = [
        json!(null),
        json!(""),
        json!("  "),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(true),
        json!([]),
        json!({}),
        json!("\u{0}"),
        json!("\u{202e}x"),
        json!("a".repeat(5000)),
        json!("../../etc/passwd"),
        json!("99999999999999999999"),
        json!("-1"),
        json!("'"),
        json!("name = "),
        json!("NaN"),
        json!([[[]]]),
        json!({"a": {"b": 1}}),
        json!("\u{1F600}"),
    ];
    let paths = [
        ("POST", "registered-models/create"),
        ("PATCH", "registered-models/update"),
        ("POST", "registered-models/rename"),
        ("POST", "registered-models/get-latest-versions"),
        ("POST", "registered-models/set-tag"),
        ("DELETE", "registered-models/delete-tag"),
        ("POST", "registered-models/alias"),
        ("DELETE", "registered-models/alias"),
        ("POST", "model-versions/create"),
        ("PATCH", "model-versions/update"),
        ("POST", "model-versions/transition-stage"),
        ("POST", "model-versions/set-tag"),
        ("DELETE", "model-versions/delete-tag"),
        ("DELETE", "model-versions/delete"),
    ];
    let good = json!({ "name": "wine", "version": "1", "key": "k", "value": "v", "alias": "a", "stage": "Staging",
        "source": "s3://b/m", "new_name": "beer", "stages": [], "tags": [], "description": "" });
    for (method, path) in paths {
        for (key, _) in good.as_object().expect("an object") {
            for value in &odd {
                if key == "version" && path.ends_with("model-versions/delete") {
                    continue;
                }
                let mut body = good.clone();
                body[key.as_str()] = value.clone();
                // Requests that must fail, so that the model stays; all others name things that do not exist.
                if matches!(path, "registered-models/rename" | "model-versions/delete") && key != "name" {
                    body["name"] = json!("none");
                }
                let answer = server.send(method, &format!("{MLFLOW}/{path}"), &body).answer();
                assert!(answer.status < 500, "{method} {path} {body}: {}", String::from_utf8_lossy(&answer.body));
                let parsed: Value = serde_json::from_slice(&answer.body).expect("JSON");
                assert!(answer.status == 200 || parsed["error_code"].is_string(), "{parsed}");
            }
        }
    }
    let queries = [
        "filter=%00",
        "filter=name+IS+NULL",
        "order_by=name&order_by=name",
        "max_results=0",
        "max_results=x",
        "max_results=-1",
        "max_results=99999999999999999999",
        "page_token=evilhax",
        "page_token=e30%3D",
        "filter=%ff",
        "filter=%",
    ];
    for query in queries {
        for path in ["registered-models/search", "model-versions/search"] {
            let answer = server.get(&format!("{MLFLOW}/{path}?{query}")).answer();
            assert!(answer.status < 500, "{path}?{query}: {}", String::from_utf8_lossy(&answer.body));
        }
    }
    world.is_sound();
    world.alice().greenroom(["check"]).success();
}
