//! A model is registered by MLflow's own calls, and everyone with read permission loads it without the tracking store.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::World;
use crate::support::server::{MLFLOW, Server};
use crate::support::{Shell, tools};

/// The number of URIs that `flows.py load` loads.
const ADDRESSES: usize = 7;

/// Runs `flows.py` with the newest MLflow and returns its output.
#[track_caller]
fn flows(shell: &Shell<'_>, arguments: &[&str]) -> Value {
    flows_with(tools::python(), shell, arguments)
}

/// Runs `flows.py` with a Python and returns its output.
#[track_caller]
fn flows_with(python: PathBuf, shell: &Shell<'_>, arguments: &[&str]) -> Value {
    let script = tools::python_script("flows.py").into_os_string();
    let arguments = arguments.iter().map(|a| (*a).into());
    let out = shell.run(python, std::iter::once(script).chain(arguments)).success();
    let line = out.stdout().lines().last().unwrap_or_default().to_owned();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {}\n{}", out.stdout(), out.stderr()))
}

/// A shell with the plugin, in a folder of its own.
fn with_plugin<'s>(shell: Shell<'s>) -> Shell<'s> {
    shell.env("PYTHONPATH", tools::mlflow_plugin())
}

/// Demands that the model of every URI predicts as the original does.
#[track_caller]
fn all_predict(loaded: &Value, made: &Value) {
    let loaded = loaded.as_object().expect("an object");
    assert_eq!(loaded.len(), ADDRESSES);
    for (address, predicted) in loaded {
        assert_eq!(predicted, &made["predicted"], "{address}");
    }
}

/// Demands that the registry has the files and the run's measurements of every version.
#[track_caller]
fn all_recorded(world: &World, made: &Value) {
    for version in
        ["flow/versions/1", "flow/versions/2", "flow/versions/3", "flow%20copy/versions/1", "flow%20other/versions/1"]
    {
        let shown = world.alice().git(["show", &format!("HEAD:models/{version}/version.toml")]).success();
        let record = shown.stdout();
        let run = format!("run_id = {}", made["run"]);
        for part in [
            run.as_str(),
            "[artifacts]",
            "C = \"0.1\"",
            "auc = { value = 0.91, step = 3",
            "loss = { value = nan",
            "[schema]",
        ] {
            assert!(record.contains(part), "{version}: {part}: {record}");
        }
    }
    world.alice().greenroom(["check"]).success();
    world.is_sound();
}

/// A real tracking server of MLflow, which ends when its value is dropped.
struct Tracking {
    child: Child,
    url: String,
}

impl Tracking {
    /// Starts one of the newest MLflow in a folder.
    fn start(shell: &Shell<'_>, folder: &Path) -> Self {
        Self::start_with(&tools::python(), shell, folder)
    }

    /// Starts one of the MLflow of a Python in a folder.
    fn start_with(python: &Path, shell: &Shell<'_>, folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = shell.command(python);
        command.args(["-m", "mlflow"]);
        command.args(["server", "--host", "127.0.0.1", "--workers", "1", "--port", &port.to_string()]);
        command.args(["--backend-store-uri", &format!("sqlite:///{}/mlflow.db", folder.display())]);
        command.args(["--artifacts-destination", &format!("{}/artifacts", folder.display())]);
        // Its eight job runners take half a minute of two processors to start, and no test needs them.
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log).spawn();
        let tracking = Self { child: child.expect("mlflow runs"), url: format!("http://127.0.0.1:{port}") };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(180), "mlflow server does not listen: {}", log());
            thread::sleep(Duration::from_millis(100));
        }
        tracking
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        // Its workers are processes of their own, in one group.
        let group = format!("-{}", self.child.id());
        let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn the_plugin_serves_a_registry_by_its_path_and_copies_models_into_it() {
    plugin_by_path(&tools::python());
}

#[test]
fn the_plugin_works_with_the_oldest_client_that_it_promises() {
    plugin_by_path(&tools::python_of_mlflow_2());
}

/// Registers and loads models in every way by the plugin, with the MLflow of a Python.
fn plugin_by_path(python: &Path) {
    let world = World::new(&[]);
    let registry = format!("greenroom://{}", world.sandbox.path("r").display());
    let notice = world.sandbox.path("r/.git/greenroom/server.json");
    for folder in ["maker", "reader"] {
        fs::create_dir(world.sandbox.path(folder)).expect("a folder");
    }
    let maker = with_plugin(world.sandbox.alice().within("maker"));
    let made = flows_with(python.into(), &maker, &["register", &registry, "sqlite:///mlflow.db"]);
    all_recorded(&world, &made);
    // `log_model` and its like create a model together with its first version.
    let subjects = world.alice().git(["log", "--format=%s"]).success().stdout().to_owned();
    for name in ["flow", "flow copy", "flow other", "greet"] {
        let alone = format!("Register the model {name}");
        assert!(!subjects.lines().any(|line| line == alone), "{subjects}");
        assert!(subjects.lines().any(|line| line == format!("Register {name} version 1")), "{subjects}");
    }
    let first: Value = serde_json::from_slice(&fs::read(&notice).expect("a server runs")).expect("JSON");
    // The registry now holds every needed file.
    fs::remove_dir_all(world.sandbox.path("maker")).expect("it can be removed");
    let reader = with_plugin(world.sandbox.alice().within("reader"));
    let loaded = flows_with(python.into(), &reader, &["load", &registry]);
    let second: Value = serde_json::from_slice(&fs::read(&notice).expect("a server runs")).expect("JSON");
    let pid = first["pid"].to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    all_predict(&loaded, &made);
    assert_eq!(first, second, "both used one server");
}

#[test]
fn models_of_a_tracking_server_are_copied_by_the_plugin_and_by_the_server() {
    let by_plugin = World::new(&[("bob", "CAN_READ")]);
    let tracking = Tracking::start(&by_plugin.sandbox.alice(), &by_plugin.sandbox.path("tracking"));
    let by_server = World::new(&[]);
    for world in [&by_plugin, &by_server] {
        for folder in ["maker", "reader"] {
            fs::create_dir(world.sandbox.path(folder)).expect("a folder");
        }
    }
    // From a remote machine, each person with their own token, which is not the tracking server's.
    let remote = by_plugin.serve(&["--require-token"]);
    let registry = format!("greenroom+http://{}", remote.address());
    let shell = |person: &str, folder: &str| {
        let shell = with_plugin(by_plugin.sandbox.alice().within(folder));
        shell.env("GREENROOM_TOKEN", by_plugin.token(person)).env("MLFLOW_TRACKING_TOKEN", "of-the-tracking-server")
    };
    // By the server; the clients know only its URL.
    let server = by_server.serve(&["--tracking-uri", &tracking.url]);
    let plain = format!("http://{}", server.address());
    let clients = |folder: &str| by_server.sandbox.alice().within(folder);
    let (made, imported) = thread::scope(|threads| {
        let made = threads.spawn(|| flows(&shell("alice", "maker"), &["register", &registry, &tracking.url]));
        let imported = flows(&clients("maker"), &["register", &plain, &tracking.url]);
        (made.join().expect("it went well"), imported)
    });
    all_recorded(&by_plugin, &made);
    all_recorded(&by_server, &imported);
    drop(tracking);
    thread::scope(|threads| {
        threads.spawn(|| all_predict(&flows(&shell("bob", "reader"), &["load", &registry]), &made));
        all_predict(&flows(&clients("reader"), &["load", &plain]), &imported);
    });
    let uploads = by_plugin.sandbox.path("r/.git/lfs/uploads");
    assert_eq!(fs::read_dir(uploads).map_or(0, Iterator::count), 0, "no upload is left behind");
}

#[test]
fn the_cli_fetches_from_the_oldest_tracking_server() {
    fetched_by_the_cli(&tools::python_of_mlflow_2());
}

#[test]
fn the_cli_fetches_from_the_newest_tracking_server() {
    fetched_by_the_cli(&tools::python());
}

/// Registers what a run logged to a real tracking server, with the MLflow of a Python: by its run and, where that MLflow has
/// logged models, by its id.
fn fetched_by_the_cli(python: &Path) {
    let world = World::new(&[]);
    fs::create_dir(world.sandbox.path("maker")).expect("a folder");
    let maker = world.sandbox.alice().within("maker");
    let tracking = Tracking::start_with(python, &world.sandbox.alice(), &world.sandbox.path("tracking"));
    let logged = flows_with(python.into(), &maker, &["log", &tracking.url]);
    let word = |key: &str| logged[key].as_str().map(str::to_owned);
    let run = word("run").expect("a run");
    let mut sources = vec![format!("runs:/{run}/model")];
    sources.extend(word("model").map(|id| format!("models:/{id}")));
    for (number, source) in (1..).zip(&sources) {
        let alice = world.alice().env("MLFLOW_TRACKING_URI", &tracking.url);
        alice.greenroom(["register", "flow", source]).success();
        let shown = world.alice().greenroom(["version", "show", "flow", &format!("{number}"), "-o", "json"]).success();
        let version = shown.json();
        assert_eq!((&version["source"]["uri"], &version["source"]["run_id"]), (&json!(source), &json!(run)));
        assert_eq!(version["params"], json!({ "C": "0.1", "solver": "linear" }), "{source}");
        let metric = &version["metrics"]["auc"];
        assert_eq!((&metric["value"], &metric["step"]), (&json!(0.91), &json!(3)), "{source}");
        assert_eq!(version["metrics"]["loss"]["value"], "NaN", "{source}");
        assert_eq!(version["model_info"]["mlflow_version"], logged["mlflow"], "{source}");
        let out = world.sandbox.path(format!("out-{number}"));
        world.alice().greenroom(["fetch", &format!("flow/{number}"), out.to_str().expect("UTF-8")]).success();
        for (path, sha256) in logged["files"].as_object().expect("files") {
            let bytes = fs::read(out.join(path)).unwrap_or_else(|e| panic!("{source}: {path}: {e}"));
            assert_eq!(sha256.as_str(), Some(greenroom::artifact::copy::sha256(&bytes).as_str()), "{source}: {path}");
        }
    }
    world.is_sound();
}

#[test]
fn without_the_plugin_and_without_an_allowed_place_a_version_is_a_reference() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    server.post("registered-models/create", &json!({ "name": "flow" })).json(200);
    for source in
        ["models:/m-0123456789abcdef0123456789abcdef", "runs:/0123/model", "mlflow-artifacts:/1/m", "file:///srv/m"]
    {
        let made = server.post("model-versions/create", &json!({ "name": "flow", "source": source })).json(200);
        let version = made["model_version"]["version"].as_str().expect("a number").to_owned();
        assert_eq!(made["model_version"]["status"], "READY");
        let path = format!("{MLFLOW}/model-versions/get-download-uri?name=flow&version={version}");
        assert_eq!(server.get(&path).json(200)["artifact_uri"], source);
    }
}

/// The location of a version's files, as a caller gets it.
fn location(server: &Server, token: &str, name: &str) -> String {
    let path = format!("{MLFLOW}/model-versions/get-download-uri?name={name}&version=1");
    server.get(&path).by(token).json(200)["artifact_uri"].as_str().expect("an address").to_owned()
}

#[test]
fn a_copy_stays_with_the_files_it_was_made_of_when_another_model_takes_the_name() {
    let world = World::new(&[]);
    let server = world.serve(&[]);
    let make = |name: &str, source: &str| {
        let version = json!({ "name": name, "source": source });
        server.post("registered-models/create", &json!({ "name": name })).json(200);
        server.post("model-versions/create", &version).json(200);
    };
    make("wine", "s3://bucket/ours");
    make("copy", "models:/wine/1");
    server.post("registered-models/rename", &json!({ "name": "wine", "new_name": "port" })).json(200);
    make("wine", "s3://bucket/theirs");
    assert_eq!(location(&server, world.token("alice"), "copy"), "s3://bucket/ours");
}

#[test]
fn a_source_by_hand_leads_only_to_models_that_the_caller_may_read() {
    let world = World::new(&[("bob", "")]);
    let alice = world.alice();
    world.sandbox.write("files/weights.bin", "0");
    alice.greenroom(["register", "hidden", "../files"]).success();
    alice.greenroom(["register", "open", "--source", "models:/hidden/1"]).success();
    alice.greenroom(["access", "grant", "bob", "CAN_READ", "--model", "open"]).success();
    let server = world.serve(&["--require-token"]);
    let address = location(&server, world.token("alice"), "open");
    assert_eq!(address, location(&server, world.token("alice"), "hidden"), "there the files are");
    assert_eq!(location(&server, world.token("bob"), "open"), "models:/hidden/1");
}

#[test]
fn the_plugins_own_tests_pass() {
    let world = World::new(&[]);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mlflow-plugin/tests");
    let shell = with_plugin(world.sandbox.alice());
    for python in [tools::python(), tools::python_of_mlflow_2()] {
        let run = shell.run(python, ["-m", "unittest", "discover", "-s", tests.to_str().expect("UTF-8")]).success();
        assert!(run.stderr().contains("\nOK\n"), "{}", run.stderr());
    }
}

/// The plugin starts a server again after the server ended, or was killed.
#[test]
fn the_plugin_starts_a_server_again_when_it_is_gone() {
    let world = World::new(&[]);
    let script = "import json, os, signal, sys, time\n\
        from mlflow import MlflowClient\n\
        from mlflow_greenroom import local\n\
        import pathlib\n\
        folder = pathlib.Path(sys.argv[1])\n\
        client = MlflowClient(registry_uri=f'greenroom://{folder}')\n\
        client.create_registered_model('one')\n\
        notice = folder / '.git/greenroom/server.json'\n\
        first = json.loads(notice.read_text())['pid']\n\
        os.kill(first, signal.SIGKILL)\n\
        while local._running(notice.parent): time.sleep(0.05)\n\
        client.create_registered_model('two')\n\
        second = json.loads(notice.read_text())['pid']\n\
        os.kill(second, signal.SIGTERM)\n\
        print(json.dumps([first != second, oct(os.stat(notice.parent / 'server.log').st_mode & 0o777)]))\n";
    world.sandbox.write("again.py", script);
    let registry = world.sandbox.path("r");
    let shell = with_plugin(world.sandbox.alice());
    let out = shell.run(tools::python(), ["again.py", registry.to_str().expect("UTF-8")]).success();
    assert_eq!(out.stdout().trim(), r#"[true, "0o600"]"#);
    assert_eq!(world.subjects(2), ["Alice: Register the model two", "Alice: Register the model one"]);
    // Without a registry, the error says so.
    let none = shell.run(tools::python(), ["again.py", world.sandbox.path("").to_str().expect("UTF-8")]).code(1);
    assert!(none.stderr().contains("is in no git repository"), "{}", none.stderr());
}

/// A server of a registry that people reach by the plugin without any token.
#[test]
fn the_notice_of_a_server_that_somebody_started_is_used() {
    let world = World::new(&[]);
    let server: Server = world.serve(&[]);
    let script = "import sys\nfrom mlflow_greenroom import local\nimport pathlib\nprint(local.url_of(pathlib.Path(sys.argv[1])))\n";
    world.sandbox.write("find.py", script);
    let registry = world.sandbox.path("r");
    let shell = with_plugin(world.sandbox.alice());
    let out = shell.run(tools::python(), ["find.py", registry.to_str().expect("UTF-8")]).success();
    assert_eq!(out.stdout().trim(), format!("http://{}", server.address()));
}
