//! Model files over HTTP: uploaded, registered, and downloaded byte for byte by people with permission.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{World, named, said};
use crate::support::server::{Answer, MLFLOW, Request, Server};
use crate::support::tools;

/// The path prefix of files.
const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// The id of upload number `n`.
fn upload(n: u32) -> String {
    format!("{n:032x}")
}

/// The PUT request of a file.
fn put<'s>(server: &'s Server, upload: &str, path: &str, bytes: &[u8]) -> Request<'s> {
    server.get(&format!("{FILES}/uploads/{upload}/{path}")).method("PUT").body(bytes)
}

/// A small model: a committed text, a text that is too large for that, binary data, an empty file, and odd names.
fn model() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("MLmodel", b"flavors:\n  python_function:\n    python_version: 3.11.7\nrun_id: r1\nmodel_id: m-1\n".to_vec()),
        ("data/big.json", format!("[{}0]", "1,".repeat(20_000)).into_bytes()),
        ("data/none.bin", Vec::new()),
        ("data/weights.bin", (0..700_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect()),
        ("gr\u{f6}\u{df}e & [1] #2.txt", "süß".into()),
    ]
}

/// A path, percent-encoded for a URL.
fn encoded(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Uploads a model and registers it; returns the URI of the version.
fn registered(server: &Server, world: &World, person: &str, name: &str, files: &[(&str, Vec<u8>)]) -> String {
    let (id, token) = (upload(77), world.token(person));
    for (path, bytes) in files {
        assert_eq!(put(server, &id, &encoded(path), bytes).by(token).json(200), json!({}), "{path}");
    }
    let create = json!({ "name": name, "source": format!("mlflow-artifacts:/uploads/{id}") });
    let made = server.post("model-versions/create", &create).by(token).json(200);
    assert_eq!(made["model_version"]["status"], "READY");
    address(server, world, person, name)
}

/// The path of the newest version's files, without the host.
fn address(server: &Server, world: &World, person: &str, name: &str) -> String {
    let uri = format!("{MLFLOW}/model-versions/get-download-uri?name={name}&version=1");
    let found = server.get(&uri).by(world.token(person)).json(200);
    let uri = found["artifact_uri"].as_str().expect("a text");
    uri.strip_prefix(&format!("http://{}", server.address())).expect("it is this server's").to_owned()
}

/// A world in which Alice has a model `wine`; Bob may edit it, Rita may read it, and Carol cannot see it.
fn world() -> World {
    let world = World::new(&[("bob", "CAN_EDIT"), ("rita", "CAN_READ"), ("carol", "")]);
    world.alice().greenroom(["model", "create", "wine"]).success();
    world
}

/// The files in the content store.
fn stored(world: &World) -> Vec<PathBuf> {
    fn walk(at: &std::path::Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(at).into_iter().flatten().flatten() {
            if entry.path().is_dir() { walk(&entry.path(), out) } else { out.push(entry.path()) }
        }
    }
    let mut out = Vec::new();
    walk(&world.sandbox.path("r/.git/lfs/objects"), &mut out);
    out
}

#[test]
fn what_is_sent_becomes_a_version_in_one_commit_and_comes_back_byte_for_byte() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let files = model();
    let at = registered(&server, &world, "bob", "wine", &files);
    assert_eq!(world.subjects(1), ["bob: Register wine version 1"]);
    for (path, bytes) in &files {
        let answer = server.get(&format!("{at}/{}", encoded(path))).by(world.token("rita")).answer();
        assert_eq!((answer.status, &answer.body), (200, bytes), "{path}");
    }
    let shown = world.alice().greenroom(["version", "show", "wine/1", "-o", "json"]).success().json();
    assert_eq!((&shown["source"]["run_id"], &shown["source"]["model_id"]), (&json!("r1"), &json!("m-1")));
    assert_eq!(shown["source"]["uri"], format!("mlflow-artifacts:/uploads/{}", upload(77)));
    assert_eq!(shown["artifacts"]["files"], 5);
    assert_eq!(stored(&world).len(), 2, "only files other than small texts are in the store");
    world.alice().greenroom(["fetch", "wine/1", "../out"]).success();
    for (path, bytes) in &files {
        assert_eq!(&fs::read(world.sandbox.path("out").join(path)).expect("it was fetched"), bytes, "{path}");
    }
    world.alice().greenroom(["check"]).success();
    world.is_sound();
    // A model registered by command looks the same over HTTP.
    world.alice().greenroom(["register", "beer", "../out"]).success();
    let by_hand = world.alice().greenroom(["version", "show", "beer/1", "-o", "json"]).success().json();
    assert_eq!(by_hand["artifacts"], shown["artifacts"]);
    for part in ["model_info", "schema", "environment"] {
        assert_eq!(by_hand[part], shown[part], "{part}");
    }
    for part in ["run_id", "model_id"] {
        assert_eq!(by_hand["source"][part], shown["source"][part], "{part}");
    }
}

#[test]
fn a_rename_breaks_no_address_and_a_version_without_files_leads_to_its_source() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let at = registered(&server, &world, "alice", "wine", &model());
    let alice = world.token("alice");
    let rename = json!({ "name": "wine", "new_name": "beer" });
    server.post("registered-models/rename", &rename).by(alice).json(200);
    assert_eq!(address(&server, &world, "alice", "beer"), at);
    assert_eq!(server.get(&format!("{at}/MLmodel")).by(alice).answer().status, 200);
    let copy = json!({ "name": "beer", "source": "models:/beer/1" });
    server.post("model-versions/create", &copy).by(alice).json(200);
    let uri = |version: u32| {
        let asked = format!("{MLFLOW}/model-versions/get-download-uri?name=beer&version={version}");
        server.get(&asked).by(alice).json(200)["artifact_uri"].as_str().expect("a text").to_owned()
    };
    assert_eq!(Some(uri(2).as_str()), uri(1).strip_suffix('1').map(|at| format!("{at}2")).as_deref());
    server
        .send("DELETE", &format!("{MLFLOW}/model-versions/delete"), &json!({ "name": "beer", "version": "1" }))
        .by(alice)
        .json(200);
    let copied = format!("{}2/data/weights.bin", at.strip_suffix('1').expect("version 1"));
    assert_eq!(server.get(&copied).by(alice).answer().body, model()[3].1, "a copy has the files itself");
    server.get(&format!("{at}/MLmodel")).by(alice).json(404);
    let plain = json!({ "name": "beer", "source": "s3://bucket/model" });
    server.post("model-versions/create", &plain).by(alice).json(200);
    assert_eq!(uri(3), "s3://bucket/model");
    let none = server.get(&format!("{}3/MLmodel", at.strip_suffix('1').expect("version 1"))).by(alice).json(404);
    assert!(said(&none).1.contains("were not copied into the registry"), "{none}");
}

#[test]
fn an_upload_is_its_owners_alone() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let (bob, alice) = (world.token("bob"), world.token("alice"));
    let id = upload(1);
    put(&server, &id, "MLmodel", b"flavors: {}\n").by(bob).json(200);
    let file = format!("{FILES}/uploads/{id}/MLmodel");
    assert_eq!(server.get(&file).by(bob).answer().body, b"flavors: {}\n");
    let create = json!({ "name": "wine", "source": format!("mlflow-artifacts:/uploads/{id}") });
    let others: [(&str, Value); 5] = [
        ("read", server.get(&file).by(alice).json(404)),
        ("write", put(&server, &id, "other", b"x").by(alice).json(404)),
        ("list", server.get(&format!("{FILES}?path=uploads/{id}")).by(alice).json(404)),
        ("remove", server.get(&file).method("DELETE").by(alice).json(404)),
        ("use", server.post("model-versions/create", &create).by(alice).json(404)),
    ];
    let missing = server.get(&format!("{FILES}/uploads/{}/MLmodel", upload(2))).by(alice).json(404);
    for (what, answer) in others {
        let (code, message) = said(&answer);
        assert_eq!(
            (code, message.replace(&id, "ID")),
            ("RESOURCE_DOES_NOT_EXIST", said(&missing).1.replace(&upload(2), "ID")),
            "{what}"
        );
    }
    // Bob's read-only token may not upload, either.
    let reading = super::token(&world.alice(), "bob", &["--read-only"]);
    put(&server, &id, "more", b"x").by(&reading).json(403);
    server.get(&file).method("DELETE").by(&reading).json(403);
    server.post("model-versions/create", &create).by(&reading).json(403);
    let listed = server.get(&format!("{FILES}?path=uploads/{id}")).by(bob).json(200);
    assert_eq!(listed, json!({ "files": [{ "path": "MLmodel", "is_dir": false, "file_size": 12 }] }));
    server.post("model-versions/create", &create).by(bob).json(200);
    // A second version of the same upload, and one of a subfolder.
    put(&server, &id, "sub/MLmodel", b"flavors: {}\n").by(bob).json(200);
    let base = format!("http://{}{FILES}/uploads/{id}/sub", server.address());
    let below = json!({ "name": "wine", "source": base, "original_source": "runs:/r1/model" });
    let made = server.post("model-versions/create", &below).by(bob).json(200);
    assert_eq!(
        (&made["model_version"]["version"], &made["model_version"]["source"]),
        (&json!("2"), &json!("runs:/r1/model"))
    );
    assert_eq!(
        world.alice().greenroom(["version", "show", "wine/2", "-o", "json"]).success().json()["artifacts"]["files"],
        1
    );
    server.get(&format!("{FILES}/uploads/{id}")).method("DELETE").by(bob).json(200);
    server.get(&file).by(bob).json(404);
    server.post("model-versions/create", &create).by(bob).json(404);
}

#[test]
fn a_file_of_an_upload_can_be_replaced_and_removed() {
    let world = world();
    let server = world.serve(&[]);
    let id = upload(3);
    for (path, bytes) in [("a/x", "1"), ("a/y", "2"), ("b", "3"), ("a/x", "4")] {
        put(&server, &id, path, bytes.as_bytes()).json(200);
    }
    let get = |path: &str| server.get(&format!("{FILES}/uploads/{id}/{path}")).answer();
    assert_eq!(get("a/x").body, b"4");
    server.get(&format!("{FILES}/uploads/{id}/a")).method("DELETE").json(200);
    assert_eq!((get("a/x").status, get("a/y").status, get("b").status), (404, 404, 200));
}

#[test]
/// Names that git would interpret, or that some file systems cannot have, are stored under other names; readers get
/// the original names.
fn odd_names_come_back_as_they_were() {
    let world = world();
    let server = world.serve(&[]);
    let id = upload(5);
    let odd = [
        ("MLmodel", "MLmodel"),
        (".git/config", ".git/config"),
        ("code/.gitignore", "code/.gitignore"),
        (".gitattributes", ".gitattributes"),
        ("cafe\u{301}", "cafe%cc%81"),
        ("100%25", "100%2525"),
        ("#1 what?", "%231%20what%3f"),
        ("nul", "nul"),
        ("12:30", "12%3A30"),
    ];
    for (name, path) in odd {
        let bytes: &[u8] = if name == "MLmodel" { b"flavors: {}\nrun_id: [1]\n" } else { name.as_bytes() };
        put(&server, &id, path, bytes).json(200);
    }
    let source = json!({ "name": "odd", "source": format!("mlflow-artifacts:/uploads/{id}") });
    server.post("registered-models/create", &json!({ "name": "odd" })).json(200);
    let made = server.post("model-versions/create", &source).json(200);
    assert_eq!(made["model_version"]["status_message"], "MLmodel: run_id is not text", "the finding is shown");
    for (name, path) in odd.iter().skip(1) {
        let query = format!("{MLFLOW}/model-versions/get-artifact?name=odd&version=1&path={path}");
        assert_eq!(server.get(&query).answer().body, name.as_bytes(), "{name}");
    }
    let listed = server.get(&format!("{MLFLOW}/model-versions/list-artifacts?name=odd&version=1")).json(200);
    let text = listed.to_string();
    assert!(text.contains("#1 what?") && text.contains("\".gitattributes\"") && !text.contains("%2E"), "{text}");
    let tree = world.alice().git(["ls-tree", "-r", "--name-only", "HEAD", "models/odd/versions/1/artifacts"]).success();
    assert!(
        tree.stdout().contains("artifacts/code/%2Egitignore") && !tree.stdout().contains("/.git"),
        "{}",
        tree.stdout()
    );
    world.is_sound();
}

#[test]
fn mlflows_client_loads_the_names_that_are_not_warned_of_and_empty_folders() {
    let world = world();
    let alice = world.alice();
    let data = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/names").join(name);
    for (model, list) in [("good", "loadable.txt"), ("bad", "unloadable.txt")] {
        let names = fs::read_to_string(data(list)).expect("names");
        for (number, name) in names.lines().enumerate() {
            world.sandbox.write(format!("{model}/{number}/{name}"), name);
        }
        for folder in ["none", "deep/none"] {
            fs::create_dir_all(world.sandbox.path(format!("{model}/{folder}"))).expect("a folder");
        }
        let said = alice.greenroom(["register", model, &format!("../{model}")]).success().stderr().to_owned();
        let warned = format!(
            "MLflow's client cannot load this version from the URL of a server, because it reads the names of {}",
            names.lines().count()
        );
        assert_eq!(said.contains(&warned), model == "bad", "{said}");
    }
    let server = world.serve(&[]);
    let url = format!("http://{}", server.address());
    let script = tools::python_script("artifacts.py");
    let (good, bad) = (data("loadable.txt"), data("unloadable.txt"));
    thread::scope(|threads| {
        for (folder, python) in [("newest", tools::python()), ("oldest", tools::python_of_mlflow_2())] {
            let (world, url, script) = (&world, &url, &script);
            let arguments = [script.as_os_str(), "names".as_ref(), good.as_os_str(), bad.as_os_str()];
            threads.spawn(move || {
                fs::create_dir_all(world.sandbox.path(folder)).expect("a folder");
                let shell = world.sandbox.alice().within(folder).env("GREENROOM_URL", url);
                assert_eq!(shell.run(python, arguments).success().stdout(), "names\n", "{folder}");
            });
        }
    });
}

#[test]
fn no_path_leaves_its_folder() {
    let world = world();
    let server = world.serve(&[]);
    let at = registered(&server, &world, "alice", "wine", &model());
    let id = upload(4);
    put(&server, &id, "good", b"x").json(200);
    let long = "x".repeat(256);
    let deep = ["d"; 33].join("/");
    let hostile = [
        "../secret",
        "%2e%2e/secret",
        "%2E%2e%2fsecret",
        "a/%2e%2e/%2e%2e/secret",
        "%252e%252e/secret",
        "%252e%252e%252fsecret",
        "..%5csecret",
        "a%5cb",
        "a%255cb",
        "a%00b",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a//b",
        "a/",
        "./a",
        "C:x",
        "a%0ab",
        "a%e2%80%aeb",
        "a%ffb",
        &long,
        &deep,
    ];
    for path in hostile {
        let addresses = [format!("{FILES}/uploads/{id}/{path}"), format!("{at}/{path}")];
        for address in &addresses {
            let (got, sent) = (server.get(address).answer(), server.get(address).method("PUT").body("x").answer());
            let removed = server.get(address).method("DELETE").answer();
            let refused = |a: &Answer| matches!(a.status, 400 | 403 | 404);
            assert!(refused(&got) && refused(&sent) && refused(&removed), "{address}: {got:?} {sent:?} {removed:?}");
        }
        assert_eq!(put(&server, &id, path, b"x").answer().status, 400, "{path}");
        let source = json!({ "name": "wine", "source": format!("mlflow-artifacts:/uploads/{id}/{path}") });
        let made = server.post("model-versions/create", &source).answer();
        assert!(made.status == 400 || (made.status == 404 && path == "a/"), "{path}: {made:?}");
        for query in [
            format!("{FILES}?path=uploads/{id}/{path}"),
            format!("{FILES}?path={}/{path}", at.strip_prefix(FILES).expect("below").trim_start_matches('/')),
        ] {
            let listed = server.get(&query).answer();
            let empty = listed.status == 200 && listed.body == b"{}";
            assert!(empty || matches!(listed.status, 400 | 404), "{query}: {listed:?}");
        }
        for call in ["get-artifact", "list-artifacts", "get-signed-download-uri"] {
            let query = format!("{MLFLOW}/model-versions/{call}?name=wine&version=1&path={path}");
            let answer = server.get(&query).answer();
            let empty = answer.status == 200 && answer.body == b"{}";
            assert!(empty || matches!(answer.status, 400 | 404), "{query}: {answer:?}");
        }
    }
    for bad in ["x", "..", "%2e%2e", &"0".repeat(31), &"0".repeat(65), "0123456789abcdef0123456789abcdeg", ".git"] {
        assert!(matches!(put(&server, bad, "a", b"x").answer().status, 400 | 404), "{bad}");
    }
    let listed = server.get(&format!("{FILES}?path=uploads/{id}")).json(200);
    assert_eq!(listed["files"].as_array().map(Vec::len), Some(1), "{listed}");
    let folders = fs::read_dir(world.sandbox.path("r/.git/lfs/uploads")).expect("it is there").count();
    assert_eq!(folders, 2);
}

#[test]
fn files_that_cannot_lie_beside_each_other_are_no_model() {
    let world = world();
    let server = world.serve(&[]);
    for (n, paths, word) in [(5, ["a", "a/b"], "also a folder"), (6, ["Model.pkl", "model.pkl"], "differ only by case")]
    {
        for path in paths {
            put(&server, &upload(n), path, b"x").json(200);
        }
        let create = json!({ "name": "wine", "source": format!("mlflow-artifacts:/uploads/{}", upload(n)) });
        let refused = server.post("model-versions/create", &create).json(400);
        assert!(said(&refused).1.contains(word), "{refused}");
    }
    put(&server, &upload(7), "gone", b"x").json(200);
    server.get(&format!("{FILES}/uploads/{}/gone", upload(7))).method("DELETE").json(200);
    let empty = json!({ "name": "wine", "source": format!("mlflow-artifacts:/uploads/{}", upload(7)) });
    server.post("model-versions/create", &empty).json(404);
    assert_eq!(world.subjects(1), ["Alice: Register the model wine"]);
}

#[test]
fn the_files_of_a_version_never_change() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let at = registered(&server, &world, "alice", "wine", &model());
    let alice = world.token("alice");
    for path in ["/MLmodel", "/new", ""] {
        for method in ["PUT", "DELETE"] {
            let refused = server.get(&format!("{at}{path}")).method(method).body("x").by(alice).json(403);
            assert!(said(&refused).1.contains("never change"), "{refused}");
            let unseen = server.get(&format!("{at}{path}")).method(method).body("x").by(world.token("carol")).json(404);
            assert_eq!(said(&unseen).0, "RESOURCE_DOES_NOT_EXIST");
        }
    }
    assert_eq!(world.subjects(1), ["Alice: Register wine version 1"]);
}

#[test]
fn who_may_not_read_a_model_sees_none() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let at = registered(&server, &world, "alice", "wine", &model());
    let carol = world.token("carol");
    let other = at.replace(&at[FILES.len() + 8..FILES.len() + 44], "01890000-0000-7000-8000-000000000000");
    assert_ne!(other, at);
    let strip = |path: &str| path.strip_prefix(FILES).expect("below").trim_start_matches('/').to_owned();
    for (hers, none) in [
        (format!("{at}/MLmodel"), format!("{other}/MLmodel")),
        (format!("{FILES}?path={}", strip(&at)), format!("{FILES}?path={}", strip(&other))),
    ] {
        let (hidden, missing) = (server.get(&hers).by(carol).json(404), server.get(&none).by(carol).json(404));
        assert_eq!(said(&hidden).0, said(&missing).0);
        let blank = |v: &Value| said(v).1.split("id=").next().expect("a part").to_owned();
        assert_eq!(blank(&hidden), blank(&missing));
    }
    for call in ["get-artifact", "list-artifacts", "get-signed-download-uri", "get-download-uri"] {
        let ask = |name: &str| {
            server
                .get(&format!("{MLFLOW}/model-versions/{call}?name={name}&version=1&path=MLmodel"))
                .by(carol)
                .json(404)
        };
        let (hidden, missing) = (ask("wine"), ask("none"));
        assert_eq!(
            (said(&hidden).0, said(&hidden).1.replace("wine", "none")),
            (said(&missing).0, said(&missing).1.to_owned())
        );
    }
}

#[test]
fn a_download_is_saved_and_never_shown_and_parts_can_be_had() {
    let world = world();
    let server = world.serve(&[]);
    let mut files = model();
    files.push(("page.html", b"<script>alert(1)</script>".to_vec()));
    let at = registered(&server, &world, "alice", "wine", &files);
    let page = server.get(&format!("{at}/page.html")).answer();
    let header = |name: &str| page.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("content-disposition"), "attachment; filename=\"page.html\"; filename*=UTF-8''page.html");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(page.headers.iter().filter(|(name, _)| name == "content-security-policy").count(), 1);
    // The large file comes from the store, the small one from git.
    for path in ["data/weights.bin", "MLmodel"] {
        let bytes = &files.iter().find(|(p, _)| *p == path).expect("it is there").1;
        let url = format!("{at}/{path}");
        let whole = server.get(&url).answer();
        assert_eq!(whole.header("content-length"), Some(bytes.len().to_string().as_str()));
        let etag = whole.header("etag").expect("an entity tag").to_owned();
        let sha256: String = {
            use sha2::Digest as _;
            sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
        };
        assert_eq!(etag, format!("\"{sha256}\""));
        let part = server.get(&url).header("Range", "bytes=10-19").answer();
        assert_eq!((part.status, part.body.as_slice()), (206, &bytes[10..20]));
        assert_eq!(part.header("content-range"), Some(format!("bytes 10-19/{}", bytes.len()).as_str()));
        let tail = server.get(&url).header("Range", "bytes=-5").answer();
        assert_eq!((tail.status, tail.body.as_slice()), (206, &bytes[bytes.len() - 5..]));
        let beyond = server.get(&url).header("Range", &format!("bytes={}-", bytes.len())).answer();
        assert_eq!(beyond.status, 416);
        assert_eq!(beyond.header("content-range"), Some(format!("bytes */{}", bytes.len()).as_str()));
        let changed = server.get(&url).header("Range", "bytes=0-1").header("If-Range", "\"other\"").answer();
        assert_eq!((changed.status, &changed.body), (200, bytes));
        let known = server.get(&url).header("If-None-Match", &etag).answer();
        assert_eq!((known.status, known.body.len()), (304, 0));
    }
}

#[test]
fn a_damaged_object_is_never_given_whole_and_a_missing_one_says_what_to_do() {
    let world = world();
    let server = world.serve(&[]);
    let at = registered(&server, &world, "alice", "wine", &model());
    let whole = |path: &str| server.get(&format!("{at}/{path}")).try_answer();
    let stored = stored(&world);
    let of =
        |size: u64| stored.iter().find(|p| p.metadata().expect("it is there").len() == size).expect("a size").clone();
    let (weights, json) = (of(700_000), of(40_003));
    let damage = |path: &PathBuf| {
        let mut bytes = fs::read(path).expect("it can be read");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::remove_file(path).expect("it can be removed");
        fs::write(path, bytes).expect("it can be written");
    };
    damage(&weights);
    damage(&json);
    // Several chunks: the connection breaks before the end. One chunk: an error with a message.
    let cut = whole("data/weights.bin");
    assert!(cut.is_err(), "{cut:?}");
    let said_so = whole("data/big.json").expect("an answer");
    assert_eq!(said_so.status, 500);
    assert!(String::from_utf8_lossy(&said_so.body).contains("is damaged"), "{said_so:?}");
    let part = server.get(&format!("{at}/data/weights.bin")).header("Range", "bytes=0-9").json(500);
    assert!(said(&part).1.contains("is damaged"), "{part}");
    fs::remove_file(&weights).expect("it can be removed");
    let missing = server.get(&format!("{at}/data/weights.bin")).json(404);
    assert!(said(&missing).1.contains("git lfs fetch") && said(&missing).1.contains("data/weights.bin"), "{missing}");
}

#[test]
fn a_signed_address_opens_one_file_for_a_while_without_a_token() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let files = model();
    registered(&server, &world, "alice", "wine", &files);
    let rita = world.token("rita");
    let sign = |path: &str, prefix: &str| {
        let query = format!("{prefix}/model-versions/get-signed-download-uri?name=wine&version=1&path={path}");
        let signed = server.get(&query).by(rita).json(200);
        assert_eq!(signed["headers"], json!([]));
        let uri = signed["signed_uri"].as_str().expect("a text").to_owned();
        uri.strip_prefix(&format!("http://{}", server.address())).expect("it is this server's").to_owned()
    };
    let address = sign("data/weights.bin", "/api/2.0/preview/mlflow");
    assert!(!address.contains(rita) && !address.contains(&rita[4..]));
    let got = server.get(&address).answer();
    assert_eq!((got.status, &got.body), (200, &files[3].1));
    let part = server.get(&address).header("Range", "bytes=5-8").answer();
    assert_eq!((part.status, part.body.as_slice()), (206, &files[3].1[5..9]));
    // The signed URL is for one file only, and no part of it can be changed.
    let other = sign("MLmodel", MLFLOW);
    let (text, code) = address.split_once('.').map(|_| address.rsplit_once('.').expect("a code")).expect("a code");
    let (other_text, _) = other.rsplit_once('.').expect("a code");
    for forged in [text.to_owned(), format!("{other_text}.{code}"), format!("{address}x"), format!("{text}.AAAA")] {
        assert_eq!(server.get(&forged).answer().status, 401, "{forged}");
    }
    let grant = address.split_once('?').expect("a query").1;
    for elsewhere in [format!("{FILES}?path=uploads&{grant}"), format!("{MLFLOW}/registered-models/search?{grant}")] {
        assert_eq!(server.get(&elsewhere).answer().status, 401, "{elsewhere}");
    }
    assert!(!server.log().contains("grant="), "what opens a file is not in the log");
    // A person who loses read permission cannot use an earlier signed URL.
    world.alice().greenroom(["access", "revoke", "rita"]).success();
    assert_eq!(server.get(&address).answer().status, 404);
    world.alice().greenroom(["person", "remove", "rita", "--yes"]).success();
    assert_eq!(server.get(&address).answer().status, 401);
}

#[test]
fn databricks_lists_paths_from_the_root() {
    let world = world();
    let server = world.serve(&[]);
    let at = registered(&server, &world, "alice", "wine", &model());
    let list = |path: &str| {
        server.get(&format!("{MLFLOW}/model-versions/list-artifacts?name=wine&version=1&path={path}")).json(200)
    };
    let file = |path: &str, size: u64| json!({ "path": path, "is_dir": false, "file_size": size });
    let root = list("");
    assert_eq!(root["files"][0], file("MLmodel", 80));
    assert_eq!(root["files"][1], json!({ "path": "data", "is_dir": true }));
    assert_eq!(
        list("data")["files"],
        json!([file("data/big.json", 40_003), file("data/none.bin", 0), file("data/weights.bin", 700_000)])
    );
    assert_eq!(list("data/none.bin")["files"], json!([file("data/none.bin", 0)]));
    assert_eq!(list("none"), json!({}));
    // MLflow's own proxy lists base names, and nothing for a file.
    let page = server.get("/model-versions/get-artifact?name=wine&version=1&path=MLmodel").answer();
    assert_eq!((page.status, &page.body), (200, &model()[0].1));
    let proxy = |path: &str| server.get(&format!("{FILES}?path={}{path}", &at[FILES.len() + 1..])).json(200);
    assert_eq!(
        proxy("/data")["files"],
        json!([file("big.json", 40_003), file("none.bin", 0), file("weights.bin", 700_000)])
    );
    assert_eq!((proxy("/MLmodel"), proxy("/none")), (json!({}), json!({})));
    assert_eq!(proxy("")["files"].as_array().map(Vec::len), Some(3));
}

#[test]
fn an_upload_in_parts_is_refused_in_the_words_that_make_the_client_send_it_whole() {
    let world = world();
    let server = world.serve(&[]);
    for step in ["create", "complete", "abort"] {
        let path = format!("/api/2.0/mlflow-artifacts/mpu/{step}/uploads/{}", upload(1));
        let refused = server.send("POST", &path, &json!({ "path": "big.bin", "num_parts": 3 })).json(501);
        assert!(said(&refused).1.starts_with("Multipart upload is not supported for the current artifact repository"));
    }
    let info = server.get("/api/3.0/mlflow/server-info").json(200);
    assert_eq!(
        (&info["multipart_uploads_enabled"], &info["multipart_downloads_enabled"]),
        (&json!(false), &json!(false))
    );
}

/// The head of a PUT request, written by hand.
fn head(server: &Server, id: &str, path: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("it has time");
    let head = format!("PUT {FILES}/uploads/{id}/{path} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", server.address());
    stream.write_all(head.as_bytes()).expect("it takes bytes");
    stream
}

/// The number of temporary files of uploads in progress.
fn under_way(world: &World) -> usize {
    fs::read_dir(world.sandbox.path("r/.git/lfs/incoming")).map_or(0, Iterator::count)
}

/// Waits until a condition holds.
#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_upload_that_breaks_off_is_invisible_and_can_be_sent_again() {
    let world = world();
    let server = world.serve(&[]);
    let id = upload(8);
    let bytes = vec![5; 900_000];
    let get = || server.get(&format!("{FILES}/uploads/{id}/weights.bin")).answer();
    // Three uploads: shorter than its length; chunked without an end; and one that pauses during the test.
    let mut short = head(&server, &id, "weights.bin", "Content-Length: 900000\r\n");
    short.write_all(&bytes[..600_000]).expect("it takes bytes");
    until("it arrives", || under_way(&world) == 1);
    assert_eq!(get().status, 404, "it is invisible while it comes");
    drop(short);
    let mut chunked = head(&server, &id, "weights.bin", "Transfer-Encoding: chunked\r\n");
    chunked.write_all(b"5\r\naaaaa\r\nFF\r\nbb").expect("it takes bytes");
    drop(chunked);
    until("the received bytes are removed", || under_way(&world) == 0);
    assert_eq!(get().status, 404);
    let create = json!({ "name": "wine", "source": format!("mlflow-artifacts:/uploads/{id}") });
    server.post("model-versions/create", &create).json(404);
    // A wrong digest, and a right one.
    let sent = || put(&server, &id, "weights.bin", &bytes);
    let wrong = sent().header("Content-Digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:").json(400);
    assert!(said(&wrong).1.contains("SHA-256"), "{wrong}");
    assert_eq!((get().status, under_way(&world)), (404, 0));
    assert_eq!(sent().json(200), json!({}));
    assert_eq!(get().body, bytes);
    assert!(stored(&world).is_empty(), "nothing is in the store before there is a version");
    server.post("model-versions/create", &create).json(200);
    assert_eq!(stored(&world).len(), 1);
}

#[test]
fn uploads_have_a_size() {
    let world = world();
    let server = world.serve(&["--max-upload", "1MiB"]);
    let id = upload(9);
    let half = vec![1; 600_000];
    put(&server, &id, "one", &half).json(200);
    let refused = put(&server, &id, "two", &half).json(413);
    assert!(said(&refused).1.contains("--max-upload"), "{refused}");
    assert_eq!(under_way(&world), 0);
    // A refused upload takes no room.
    put(&server, &id, "two", &half[..300_000]).json(200);
    put(&server, &upload(10), "one", &half).json(200);
}

#[test]
fn the_same_file_may_be_sent_by_many_at_once() {
    let world = world();
    let server = world.serve(&[]);
    let bytes: Vec<u8> = (0..2_000_000_u32).map(|i| u8::try_from(i % 253).unwrap()).collect();
    thread::scope(|threads| {
        for n in 0..8_u32 {
            let (server, bytes) = (&server, &bytes);
            threads.spawn(move || {
                // Half of them to one path of one upload, half to uploads of their own.
                let id = if n % 2 == 0 { upload(20) } else { upload(20 + n) };
                put(server, &id, "weights.bin", bytes).json(200);
                let create = json!({ "name": "wine", "source": format!("mlflow-artifacts:/uploads/{id}"), "run_id": n.to_string() });
                server.post("model-versions/create", &create).json(200);
            });
        }
    });
    assert_eq!((stored(&world).len(), under_way(&world)), (1, 0));
    let shown = world.alice().greenroom(["version", "list", "wine", "-o", "json"]).success().json();
    assert_eq!(shown.as_array().map(Vec::len), Some(8));
    world.alice().greenroom(["fetch", "wine/8", "../out"]).success();
    assert_eq!(fs::read(world.sandbox.path("out/weights.bin")).expect("it was fetched"), bytes);
    world.is_sound();
}

#[test]
fn killed_amid_an_upload_the_server_has_nothing_of_it_and_all_that_it_acknowledged() {
    let world = world();
    let id = upload(30);
    let bytes = vec![3; 3_000_000];
    let server = world.serve(&[]);
    put(&server, &id, "MLmodel", b"flavors: {}\n").json(200);
    put(&server, &id, "first.bin", &bytes).json(200);
    let mut stream = head(&server, &id, "second.bin", "Content-Length: 3000000\r\n");
    stream.write_all(&bytes[..2_000_000]).expect("it takes bytes");
    until("it arrives", || under_way(&world) == 1);
    server.signal("KILL");
    drop(server);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "no answer came");
    let server = world.serve(&[]);
    let listed = server.get(&format!("{FILES}?path=uploads/{id}")).json(200);
    let names: Vec<_> =
        listed["files"].as_array().expect("a list").iter().map(|f| f["path"].as_str().expect("a text")).collect();
    assert_eq!(names, ["MLmodel", "first.bin"]);
    assert!(stored(&world).is_empty());
    put(&server, &id, "second.bin", &bytes).json(200);
    let create = json!({ "name": "wine", "source": format!("mlflow-artifacts:/uploads/{id}") });
    server.post("model-versions/create", &create).json(200);
    world.alice().greenroom(["fetch", "wine/1", "../out"]).success();
    assert_eq!(fs::read(world.sandbox.path("out/second.bin")).expect("it was fetched"), bytes);
    world.is_sound();
}

#[test]
fn the_stock_git_lfs_moves_what_was_sent() {
    tools::git_lfs();
    let world = world();
    let server = world.serve(&[]);
    let files = model();
    registered(&server, &world, "alice", "wine", &files);
    drop(server);
    let (alice, sandbox) = (world.alice(), &world.sandbox);
    alice.git(["lfs", "install", "--local"]).success();
    assert_eq!(alice.git(["status", "--porcelain"]).success().stdout(), "");
    sandbox.git(["init", "--quiet", "--bare", "remote.git"]).success();
    alice.git(["remote", "add", "origin", "../remote.git"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    for (key, value) in
        [("process", "git-lfs filter-process"), ("smudge", "git-lfs smudge -- %f"), ("clean", "git-lfs clean -- %f")]
    {
        sandbox.git(["config", "--global", &format!("filter.lfs.{key}"), value]).success();
    }
    sandbox.git(["clone", "--quiet", "remote.git", "clone"]).success();
    for (path, bytes) in &files {
        let file = sandbox.path("clone/models/wine/versions/1/artifacts").join(path);
        assert_eq!(&fs::read(file).expect("it was checked out"), bytes, "{path}");
    }
    let clone = sandbox.alice().within("clone");
    clone.git(["lfs", "fsck"]).success();
    // A server over the clone serves the files.
    let server = Server::start(&clone, sandbox.path("clone.log"), &[]);
    let uri = server.get(&format!("{MLFLOW}/model-versions/get-download-uri?name=wine&version=1")).json(200);
    let at = uri["artifact_uri"].as_str().expect("a text").split_once(FILES).expect("below").1.to_owned();
    assert_eq!(server.get(&format!("{FILES}{at}/data/weights.bin")).answer().body, files[3].1);
    server.post("registered-models/create", &named("beer")).json(200);
}

#[test]
fn a_model_that_mlflows_client_sent_loads_elsewhere_and_predicts_the_same() {
    let world = world();
    let server = world.serve(&["--require-token"]);
    let url = format!("http://{}", server.address());
    let (python, script) = (tools::python(), tools::python_script("artifacts.py"));
    world.alice().greenroom(["model", "delete", "wine", "--yes"]).success();
    let asked = |person: &str, args: &[&str]| {
        fs::create_dir_all(world.sandbox.path(person)).expect("a folder");
        let shell = world.sandbox.alice().within(person).env("GREENROOM_URL", &url);
        let shell = shell.env("MLFLOW_TRACKING_TOKEN", world.token(person));
        let shell = shell.env("DATABRICKS_HOST", &url).env("DATABRICKS_TOKEN", world.token(person));
        let args = [script.clone().into_os_string()].into_iter().chain(args.iter().map(Into::into));
        shell.run(&python, args.collect::<Vec<_>>()).success()
    };
    let folder = tools::examples().join("wine-v2");
    let predicts = json!([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2]);
    assert_eq!(asked("alice", &["send", folder.to_str().expect("UTF-8")]).stdout(), "sent\n");
    world.alice().greenroom(["access", "grant", "rita", "CAN_READ", "--model", "wine"]).success();
    thread::scope(|threads| {
        threads.spawn(|| assert_eq!(asked("rita", &["load"]).json(), predicts));
        threads.spawn(|| assert_eq!(asked("bob", &["load-databricks"]).json(), predicts));
        threads.spawn(|| assert_eq!(asked("carol", &["refused"]).stdout(), "refused\n"));
    });
    let log = server.log();
    let signed = log.lines().filter(|l| l.contains("/mlflow-artifacts/signed")).count();
    assert!(signed > 5, "Databricks' client came by signed addresses, in parts where files are large: {signed}");
    assert!(
        log.lines().any(|l| l.contains("/mpu/create/") && l.contains("\"status\":501")),
        "the client asked for parts"
    );
    let failed: Vec<_> = log.lines().filter(|l| l.contains("\"level\":\"error\"")).collect();
    assert_eq!(failed, Vec::<&str>::new());
    for person in ["alice", "rita", "bob", "carol"] {
        assert!(!log.contains(world.token(person)), "no token is in the log");
    }
    world.alice().greenroom(["check"]).success();
    world.is_sound();
}
