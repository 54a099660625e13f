//! Greenroom behind the MLflow server of a team, and services that act for other people.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{World, said, token};
use crate::support::server::{MLFLOW, Request, Server};
use crate::support::{Shell, tools};

/// The header in which services name people.
const PERSON: &str = "X-Forwarded-User";

/// An MLflow server that ends when its value is dropped.
struct Mlflow {
    child: Child,
}

impl Mlflow {
    /// Starts an MLflow server on a port, with its registry at a URI.
    fn start(shell: &Shell<'_>, folder: &Path, port: u16, registry: &str) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = shell.command(tools::python().with_file_name("mlflow"));
        command.args(["server", "--host", "127.0.0.1", "--workers", "1", "--port", &port.to_string()]);
        command.args(["--backend-store-uri", &format!("sqlite:///{}/mlflow.db", folder.display())]);
        command.args(["--artifacts-destination", &format!("{}/artifacts", folder.display())]);
        // Its eight job runners take half a minute of two processors to start, and no test needs them.
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        command.args(["--registry-store-uri", registry]);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log).spawn();
        let server = Self { child: child.expect("mlflow runs") };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(180), "mlflow server does not listen: {}", log());
            thread::sleep(Duration::from_millis(100));
        }
        server
    }
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        // Its workers are processes of their own, in one group.
        let group = format!("-{}", self.child.id());
        let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// Alice's registry with Bob, who may move all versions, and a person for the MLflow server with its token.
fn world() -> (World, String) {
    let world = World::new(&[("bob", "CAN_MANAGE_PRODUCTION_VERSIONS"), ("mlflow", "CAN_READ")]);
    world.alice().greenroom(["stage", "set", "Production", "--approvals", "1"]).success();
    let service = token(&world.alice(), "mlflow", &["--delegate"]);
    (world, service)
}

/// Uses an MLflow server whose registry URI has this scheme.
fn drive(scheme: &str) {
    let (world, service) = world();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let tracking = format!("http://127.0.0.1:{port}");
    let server = world.serve(&["--require-token", "--tracking-uri", &tracking, "--person-header", PERSON]);
    let shell = world.sandbox.alice().env("PYTHONPATH", tools::mlflow_plugin());
    let shell = shell.env("GREENROOM_PERSON_HEADER", PERSON);
    let shell = shell.env("GREENROOM_TOKEN", &service);
    let (shell, registry) = match scheme {
        "databricks" => {
            let host = format!("http://{}", server.address());
            (shell.env("DATABRICKS_HOST", host).env("DATABRICKS_TOKEN", &service), scheme.to_owned())
        }
        _ => (shell, format!("{scheme}://{}", server.address())),
    };
    let mlflow = Mlflow::start(&shell, &world.sandbox.path("mlflow"), port, &registry);
    let script = tools::python_script("behind_mlflow.py").into_os_string();
    let bob = world.sandbox.alice().env("MLFLOW_TRACKING_TOKEN", world.token("bob"));
    let (out, err) = bob.run(tools::python(), [script, tracking.into(), "bob".into(), scheme.into()]).any();
    let log = fs::read_to_string(world.sandbox.path("mlflow/log")).unwrap_or_default();
    drop(mlflow);
    let answer: Value = serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap_or_default();
    assert_eq!(answer["ok"], true, "{out}\n{err}\n{}\n{log}", server.log());
    assert!(answer["refusal"].as_str().expect("words").contains("approv"), "{answer}");
    // Bob is the author of every commit, and the metrics of Bob's run are recorded.
    let authors = world.alice().git(["log", "--format=%an", "HEAD", "--", "models"]).success();
    let mut authors: Vec<&str> = authors.stdout().lines().collect();
    authors.sort_unstable();
    authors.dedup();
    assert_eq!(authors, ["bob"]);
    let shown = world.alice().git(["show", "HEAD:models/flow/versions/1/version.toml"]).success();
    for part in ["C = \"0.1\"", "auc = { value = 0.91", "[artifacts]", "created_by = \"bob\""] {
        assert!(shown.stdout().contains(part), "{part}: {}", shown.stdout());
    }
    world.alice().greenroom(["check"]).success();
    world.is_sound();
}

#[test]
fn an_mlflow_server_keeps_its_registry_here_by_the_plugins_scheme() {
    drive("greenroom+http");
}

#[test]
fn an_mlflow_server_keeps_its_registry_here_by_databricks_scheme() {
    drive("databricks");
}

/// A comment on wine, which shows its author.
fn comment(server: &Server) -> Request<'_> {
    server.post("comments/create", &json!({ "name": "wine", "version": "1", "comment": "Hello" }))
}

#[test]
fn a_header_makes_nobody_of_who_has_no_token_for_that() {
    let (world, service) = world();
    world.alice().greenroom(["register", "wine", "--source", "s3://bucket/1"]).success();
    let (bob, wrong) = (world.token("bob"), "grm_00000000000000000000000000000000");
    let open = world.serve(&["--person-header", PERSON]);
    let refused = [
        (comment(&open).header(PERSON, "bob"), 403, "the local user is not a service"),
        (comment(&open).header(PERSON, "alice").by(bob), 403, "a token of a person's own"),
        (comment(&open).header(PERSON, "bob").by(bob), 403, "not even for the same person"),
        (comment(&open).header(PERSON, "alice").by(wrong), 401, "an unknown token"),
        (comment(&open).header(PERSON, "nobody").by(&service), 403, "an unknown person"),
        (comment(&open).header(PERSON, "alice, bob").by(&service), 403, "two at once"),
        (comment(&open).header(PERSON, " ").by(&service), 403, "an empty name"),
        (comment(&open).header(PERSON, "alice").header(PERSON, "bob").by(&service), 400, "two headers"),
    ];
    for (request, status, what) in refused {
        assert_eq!(request.answer().status, status, "{what}");
    }
    let said = comment(&open).header(PERSON, "BOB@example.org").by(&service).json(200);
    assert_eq!(said["comment"]["user_id"], "bob", "an address in any case");
    let said = comment(&open).by(&service).json(200);
    assert_eq!(said["comment"]["user_id"], "mlflow", "without the header it is the token's own person");
    drop(open);
    // Without the option, the header has no effect.
    let plain = world.serve(&[]);
    let said = comment(&plain).header(PERSON, "alice").by(bob).json(200);
    assert_eq!(said["comment"]["user_id"], "bob");
    drop(plain);
    // A caller through a proxy that authenticates people is that person alone.
    let options = ["--behind-proxy", "--proxy-user-header", "X-User", "--person-header", PERSON];
    let proxied = world.serve(&options);
    assert_eq!(comment(&proxied).header("X-User", "bob").json(200)["comment"]["user_id"], "bob");
    assert_eq!(comment(&proxied).header("X-User", "bob").header(PERSON, "alice").answer().status, 403);
    drop(proxied);
    let same = ["serve", "--bind", "127.0.0.1:0", "--behind-proxy", "--proxy-user-header", "x-user", "--person-header"];
    for taken in ["X-User", "Authorization"] {
        let said = world.alice().greenroom(same.iter().chain(&[taken])).code(2);
        assert!(said.stderr().contains("already has another meaning"), "{}", said.stderr());
    }
    world.is_sound();
}

#[test]
fn a_service_approves_nothing_and_manages_nobody_in_anybodys_name() {
    let (world, service) = world();
    world.alice().greenroom(["register", "wine", "--source", "s3://bucket/1"]).success();
    let server = world.serve(&["--require-token", "--person-header", PERSON]);
    let asked = json!({ "name": "wine", "version": "1", "stage": "Production" });
    let for_ = |person: &str, method: &'static str, path: &str, body: &Value| {
        server.send(method, path, body).header(PERSON, person).by(&service).answer()
    };
    let path = |path: &str| format!("{MLFLOW}/{path}");
    assert_eq!(for_("bob", "POST", &path("transition-requests/create"), &asked).status, 200);
    let hook = json!({ "events": ["COMMENT_CREATED"], "http_url_spec": { "url": "https://hooks.example.org/", "secret": "canary" } });
    let grants = json!({ "access_control_list": [{ "user_name": "mlflow", "permission_level": "CAN_MANAGE" }] });
    for (method, path, body) in [
        ("POST", path("transition-requests/approve"), &asked),
        ("POST", path("transition-requests/reject"), &asked),
        ("POST", path("registry-webhooks/create"), &hook),
        ("PATCH", "/api/2.0/permissions/registered-models/root".to_owned(), &grants),
        ("PUT", "/api/2.0/permissions/registered-models/root".to_owned(), &grants),
        ("POST", "/api/greenroom/notifications".to_owned(), &json!({ "off": true })),
    ] {
        let refused = for_("alice", method, &path, body);
        assert_eq!(refused.status, 403, "{path}: {}", String::from_utf8_lossy(&refused.body));
    }
    assert_eq!(world.alice().greenroom(["secret", "list", "-o", "json"]).success().json(), json!([]));
    // With her own token she approves.
    let approved = server.post("transition-requests/approve", &asked).by(world.token("alice")).json(200);
    assert_eq!(approved["activity"]["activity_type"], "APPROVED_REQUEST");
    // A read-only token reads for other people, too.
    let reader = token(&world.alice(), "mlflow", &["--delegate", "--read-only"]);
    let refused = comment(&server).header(PERSON, "bob").by(&reader).json(403);
    assert_eq!(said(&refused), ("PERMISSION_DENIED", "This token may only read."));
    world.is_sound();
}
