//! The published vulnerabilities of MLflow's server, request by request: each attack is refused or does no harm here.
//!
//! A source is only text to this server. So an attack by a source is harmless if no answer holds the file's content.

use std::fs;

use serde_json::{Value, json};

use super::{World, named, said};
use crate::support::server::{MLFLOW, Server};

/// The content of the file that attacks want to read.
const CANARY: &str = "canary-of-the-machine";

/// A served registry with a model, beside a file that must stay secret, and the file's path.
fn victim() -> (World, Server, String) {
    let world = World::new(&[("bob", "CAN_EDIT"), ("carol", "")]);
    world.alice().greenroom(["model", "create", "wine"]).success();
    world.sandbox.write("secret.txt", CANARY);
    let path = world.sandbox.path("secret.txt").to_str().expect("UTF-8").to_owned();
    let server = world.serve(&[]);
    (world, server, path)
}

/// Registers a version from a source; if that succeeds, no request that reads the version reveals the file.
fn attack(server: &Server, source: &str) -> u16 {
    let made = server.post("model-versions/create", &json!({ "name": "wine", "source": source })).answer();
    let reply: Value = serde_json::from_slice(&made.body).expect("JSON");
    assert!(made.status == 200 || made.status == 400, "{source}: {} {reply}", made.status);
    if let Some(version) = reply["model_version"]["version"].as_str() {
        let of = format!("name=wine&version={version}");
        for path in [
            format!("{MLFLOW}/model-versions/get?{of}"),
            format!("{MLFLOW}/model-versions/get-download-uri?{of}"),
            format!("/model-versions/get-artifact?{of}&path=secret.txt"),
            format!("/model-versions/get-artifact?{of}&path="),
            format!("{MLFLOW}/model-versions/list-artifacts?{of}"),
            format!("{MLFLOW}/model-versions/get-signed-download-uri?{of}&path=secret.txt"),
        ] {
            let read = server.get(&path).answer();
            let text = String::from_utf8_lossy(&read.body).into_owned();
            assert!(!text.contains(CANARY) && !text.contains("root:"), "{source} at {path}: {text}");
            assert!(read.status < 500, "{source} at {path}: {text}");
        }
    }
    made.status
}

/// CVE-2023-1176, 2023-1177, 2023-2356, 2023-2780, 2023-6018, 2023-6975, 2025-11201: the source is a file of the
/// server.
#[test]
fn a_source_opens_no_file_of_the_server() {
    let (_world, server, path) = victim();
    let folder = path.strip_suffix("/secret.txt").expect("it lies in a folder");
    for source in
        [folder.to_owned(), format!("file://{folder}"), format!("file:{folder}"), format!("file://localhost{folder}")]
    {
        attack(&server, &source);
    }
    let climbing = [
        format!("s3://bucket/../../../../{folder}"),
        format!("http://host:1/api/2.0/mlflow-artifacts/artifacts/../../../..{folder}"),
        format!("mlflow-artifacts://host:1/../../../..{folder}"),
        format!("file://{folder}/../../etc"),
        "mlflow-artifacts://host:1/..%2f..%2f..%2fetc".to_owned(),
        "file://\\..\\..\\..\\etc".to_owned(),
        "file:///a\\..\\..\\etc".to_owned(),
        "..".to_owned(),
        "a/../../etc".to_owned(),
    ];
    for source in climbing {
        assert_eq!(attack(&server, &source), 400, "{source}");
    }
}

/// CVE-2023-6909, 2024-1483, 2024-1558, 2024-1593, 2024-2928, 2024-3848, 2023-6831, 2024-1560: the path hidden in a
/// fragment, in parameters, in a query, or encoded more than once.
#[test]
fn a_path_hides_in_no_other_part_of_a_source() {
    let (_world, server, _) = victim();
    for source in [
        "http://host/a#/../../../etc/passwd",
        "http://host/a#/../../../etc/passwd?x=1",
        "s3://bucket/a#../..",
        "http://host/a;/../../../etc/passwd",
        "s3://bucket/a;x=/../../..",
        "http://host/a?x=/../../../etc/passwd",
        "s3://bucket/%2e%2e/%2e%2e/etc",
        "s3://bucket/%252e%252e/%252e%252e/etc",
        "s3://bucket/%25252e%25252e/etc",
        "s3://bucket/..%2fetc",
        "s3://bucket/%2e%2e%5cetc",
        "s3://bucket/a%00b/../c",
    ] {
        assert_eq!(attack(&server, source), 400, "{source}");
    }
}

/// CVE-2023-6977, 2024-3573, 2024-8859, 2023-6974, 2023-30172: schemes that a check takes for remote and a reader for
/// local.
#[test]
fn no_spelling_of_a_scheme_makes_a_source_local() {
    let (_world, server, path) = victim();
    for source in [
        "//proc/self/root/etc".to_owned(),
        "///etc".to_owned(),
        ":///etc".to_owned(),
        "file:etc".to_owned(),
        "FILE:///etc".to_owned(),
        "File:///etc".to_owned(),
        "local:///etc".to_owned(),
        "dbfs:/../../etc".to_owned(),
        "dbfs:///%2e%2e/etc".to_owned(),
        "dbfs:/etc".to_owned(),
        format!("dbfs:{path}"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://127.0.0.1:1/".to_owned(),
        "gopher://127.0.0.1:6379/x".to_owned(),
        "models://host/wine/1".to_owned(),
        "runs://host/x".to_owned(),
    ] {
        attack(&server, &source);
    }
}

/// CVE-2026-2614: a tag that switched the check of sources off, and a reader that served the accepted source.
#[test]
fn no_tag_switches_the_check_of_a_source_off() {
    let (_world, server, path) = victim();
    for value in ["true", "True", "TRUE"] {
        for source in [path.as_str(), "file:///etc", "s3://bucket/../x", "/etc"] {
            let tags = json!([{ "key": "mlflow.prompt.is_prompt", "value": value }]);
            let body = json!({ "name": "wine", "source": source, "tags": tags });
            let refused = server.post("model-versions/create", &body).json(400);
            assert!(said(&refused).1.starts_with("Invalid prompt source: "), "{refused}");
        }
    }
    // The last of two equal tags counts, and says that this is not a prompt: then the source is checked as any other.
    let tags = json!([{ "key": "mlflow.prompt.is_prompt", "value": "true" }, { "key": "mlflow.prompt.is_prompt", "value": "false" }]);
    server.post("model-versions/create", &json!({ "name": "wine", "source": "s3://b/../x", "tags": tags })).json(400);
    // Set later, or by hand in git, the tag has no effect either.
    server.post("model-versions/create", &json!({ "name": "wine", "source": path })).json(200);
    let tag = json!({ "name": "wine", "version": "1", "key": "mlflow.prompt.is_prompt", "value": "true" });
    server.post("model-versions/set-tag", &tag).json(200);
    let read = server.get("/model-versions/get-artifact?name=wine&version=1&path=").answer();
    assert!(!String::from_utf8_lossy(&read.body).contains(CANARY));
}

/// Checked on write and on read: a version written into git by hand is only text to the server, too.
#[test]
fn a_source_that_came_by_git_is_not_opened_either() {
    let (world, server, path) = victim();
    server.post("model-versions/create", &json!({ "name": "wine", "source": "s3://bucket/model" })).json(200);
    let file = "r/models/wine/versions/1/version.toml";
    let text = world.sandbox.read(file).replace("s3://bucket/model", &format!("file://{path}/../secret.txt#x"));
    world.sandbox.write(file, text);
    world.alice().git(["commit", "--quiet", "--all", "-m", "By hand"]).success();
    for path in [
        "/model-versions/get-artifact?name=wine&version=1&path=secret.txt",
        "/model-versions/get-artifact?name=wine&version=1&path=.",
    ] {
        let read = server.get(path).answer();
        assert!(!String::from_utf8_lossy(&read.body).contains(CANARY), "{path}");
    }
    server.get(&format!("{MLFLOW}/model-versions/get?name=wine&version=1")).json(200);
}

/// CVE-2023-30172, 2023-6015, 2023-6976, 2023-6831: paths of artifacts with `..`, to read, write and delete.
#[test]
fn a_path_of_an_artifact_does_not_climb() {
    let (world, server, _) = victim();
    server.post("model-versions/create", &json!({ "name": "wine", "source": "s3://bucket/model" })).json(200);
    let climbs = [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "%252e%252e%252fsecret.txt",
        "..\\secret.txt",
        "..%5csecret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a/../../secret.txt",
        ".git/config",
        "a%00b",
        "C:%5cx",
    ];
    for path in climbs {
        for asked in [
            format!("/get-artifact?run_id=x&path={path}"),
            format!("/model-versions/get-artifact?name=wine&version=1&path={path}"),
            format!("/api/2.0/mlflow-artifacts/artifacts/{path}"),
            format!("/api/2.0/mlflow-artifacts/artifacts?path={path}"),
            format!("{MLFLOW}/artifacts/list?run_id=x&path={path}"),
            format!("/static-files/{path}"),
        ] {
            let answer = server.get(&asked).answer();
            let text = String::from_utf8_lossy(&answer.body);
            assert!(!text.contains(CANARY) && !text.contains("root:") && !text.contains("[core]"), "{asked}: {text}");
            assert!(answer.status < 500, "{asked}: {text}");
        }
        for method in ["PUT", "DELETE"] {
            let asked = format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
            let answer = server.get(&asked).method(method).header("Content-Type", "text/plain").body("x").answer();
            assert!((400..500).contains(&answer.status), "{method} {asked}: {}", answer.status);
        }
    }
    assert_eq!(world.sandbox.read("secret.txt"), CANARY);
    world.is_sound();
}

/// CVE-2023-43472, 2025-1473, 2025-14279: requests that a page of another site makes a browser send, and host names
/// that resolve to this server.
#[test]
fn a_page_of_another_site_acts_and_reads_nothing() {
    let (world, server, _) = victim();
    let before = world.subjects(1);
    let create = server.get(&format!("{MLFLOW}/registered-models/create")).method("POST").body(r#"{"name": "pwned"}"#);
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "text/plain; application/json"]
    {
        assert_eq!(create.clone().header("Content-Type", kind).answer().status, 400, "{kind}");
    }
    let json = create.header("Content-Type", "application/json");
    for (name, value) in [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Host", "evil.example"),
        ("Host", "evil.example:5050"),
        ("Host", "127.0.0.1.nip.example"),
    ] {
        assert_eq!(json.clone().header(name, value).answer().status, 403, "{name}: {value}");
    }
    let search = server.get(&format!("{MLFLOW}/registered-models/search")).header("Host", "rebound.example");
    assert_eq!(search.answer().status, 403);
    let preflight = server.get(&format!("{MLFLOW}/registered-models/create")).method("OPTIONS");
    let answer =
        preflight.header("Origin", "http://evil.example").header("Access-Control-Request-Method", "POST").answer();
    assert!(answer.status >= 400 && answer.header("access-control-allow-origin").is_none());
    assert_eq!(world.subjects(1), before);
}

/// CVE-2023-6568, 2024-27132, 2024-27133: input comes back as markup.
#[test]
fn nothing_that_is_sent_comes_back_as_markup() {
    let (_world, server, _) = victim();
    let script = "<script>alert(1)</script>";
    let answers = [
        server.post("registered-models/create", &named("x")).header("Content-Type", script).answer(),
        server.post("registered-models/create", &named(script)).answer(),
        server.get(&format!("{MLFLOW}/registered-models/get?name=%3Cscript%3Ealert(1)%3C/script%3E")).answer(),
        server.get("/%3Cscript%3Ealert(1)%3C/script%3E").answer(),
        server.get(&format!("{MLFLOW}/registered-models/search?filter=%3Cscript%3E")).answer(),
        server.get(&format!("{MLFLOW}/registered-models/search")).header("Authorization", script).answer(),
    ];
    for answer in answers {
        let kind = answer.header("content-type").expect("a type");
        assert!(kind.starts_with("application/json"), "{kind}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("content-security-policy").is_some_and(|p| p.contains("default-src 'none'")));
    }
}

/// CVE-2024-3099: another spelling of a model's name shadows it.
#[test]
fn no_spelling_of_a_name_reaches_another_model() {
    let (_world, server, _) = victim();
    server.post("model-versions/create", &json!({ "name": "wine", "source": "s3://bucket/good" })).json(200);
    for name in ["win%65", "wine%20", "WINE", "ｗｉｎｅ", "wine\u{200b}", "./wine", "wine/", "%77ine"] {
        let made = server.post("registered-models/create", &named(name)).answer();
        if made.status == 200 {
            server.post("model-versions/create", &json!({ "name": name, "source": "s3://bucket/bad" })).json(200);
        }
        let query = name.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
        let read = server.get(&format!("{MLFLOW}/registered-models/get?name={query}")).answer();
        assert_eq!(read.status == 200, made.status == 200, "{name} is what it is and nothing else");
    }
    for query in ["wine", "win%65", "%77%69%6E%65"] {
        let read = server.get(&format!("{MLFLOW}/model-versions/get-download-uri?name={query}&version=1")).json(200);
        assert_eq!(read["artifact_uri"], "s3://bucket/good");
    }
}

/// CVE-2024-6838, 2025-0453: huge names, and many queries in one request.
#[test]
fn nothing_huge_is_stored() {
    let (world, server, _) = victim();
    let before = world.subjects(1);
    for body in [
        named(&"x".repeat(257)),
        named(&"x".repeat(500_000)),
        json!({ "name": "ok", "description": "x".repeat(100_001) }),
        json!({ "name": "ok", "tags": [{ "key": "k", "value": "x".repeat(100_001) }] }),
        json!({ "name": "ok", "tags": [{ "key": "x".repeat(251), "value": "" }] }),
        // Together too large for one file.
        json!({ "name": "ok", "tags": (0..5).map(|n| json!({ "key": n.to_string(), "value": "x".repeat(90_000) })).collect::<Vec<_>>() }),
    ] {
        let refused = server.post("registered-models/create", &body).json(400);
        assert!(said(&refused).1.len() < 2_000, "{}", said(&refused).1.len());
    }
    assert_eq!(server.post("registered-models/create", &named(&"x".repeat(2 << 20))).answer().status, 413);
    assert_eq!(
        server.get("/graphql").method("POST").header("Content-Type", "application/json").body("[]").answer().status,
        404
    );
    assert_eq!(world.subjects(1), before);
}

/// CVE-2023-6014, 2024-4263, 2025-14297, 2025-15381, 2026-0545, 2026-2635, 2026-2651: routes without authentication,
/// unchecked permission levels, and a well-known default password.
#[test]
fn every_door_asks_who_it_is() {
    let (world, server, _) = victim();
    drop(server);
    let server = world.serve(&["--require-token"]);
    for (method, path) in [
        ("POST", "/api/2.0/mlflow/users/create"),
        ("POST", "/signup"),
        ("GET", "/signup"),
        ("POST", "/graphql"),
        ("GET", "/api/3.0/mlflow/traces/search"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/x"),
        ("POST", "/gateway/chat"),
        ("GET", "/api/2.0/mlflow/experiments/search"),
        ("GET", "/static-files/index.html"),
        ("GET", "/ajax-api/2.0/mlflow/registered-models/search"),
        ("GET", "/api/2.0/preview/mlflow/registered-models/search"),
        ("GET", "/get-artifact?path=x"),
    ] {
        let asked = server.get(path).method(method).header("Content-Type", "application/json").body("{}");
        assert_eq!(asked.answer().status, 401, "{method} {path}");
        use base64::Engine as _;
        for default in ["admin:password", "admin:password1234", "admin:admin", ":", "admin:", "mlflow:mlflow"] {
            let basic = base64::engine::general_purpose::STANDARD.encode(default);
            let answer = asked.clone().header("Authorization", &format!("Basic {basic}")).answer();
            assert!(matches!(answer.status, 401 | 429), "{default} at {path}");
        }
    }
    // A person who may edit may not delete.
    let delete = server.send("DELETE", &format!("{MLFLOW}/registered-models/delete"), &named("wine"));
    assert_eq!(delete.clone().by(world.token("bob")).answer().status, 403);
    assert_eq!(delete.by(world.token("carol")).answer().status, 404);
}

/// CVE-2022-0736, 2025-10279, 2026-4137: temporary files that other users can read or predict.
#[cfg(unix)]
#[test]
fn what_the_server_writes_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (world, server, _) = victim();
    server.post("registered-models/create", &named("beer")).json(200);
    let left: Vec<_> = fs::read_dir(world.sandbox.path("../tmp")).expect("it is there").collect();
    assert!(left.is_empty(), "nothing in a folder that others use: {left:?}");
    let state = world.sandbox.path("r/.git/greenroom");
    let tokens = fs::metadata(state.join("tokens.toml")).expect("there are tokens").permissions().mode();
    assert_eq!(tokens & 0o077, 0, "{tokens:o}");
}
