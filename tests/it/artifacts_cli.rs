//! Registering and fetching by the command line: what is stored, what is left, what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Sandbox, tools};

/// A registry by Alice, and a model folder beside it.
fn bench() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    sandbox.write("model/MLmodel", "flavors: {}\nrun_id: run7\n");
    sandbox.write("model/weights.bin", vec![7; 50_000]);
    sandbox
}

/// The objects of the store.
fn objects(sandbox: &Sandbox) -> Vec<PathBuf> {
    fn below(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { below(&path, out) } else { out.push(path) }
        }
    }
    let mut out = Vec::new();
    below(&sandbox.path("registry/.git/lfs"), &mut out);
    out
}

#[test]
fn the_same_bytes_are_stored_once() {
    let sandbox = bench();
    let alice = sandbox.alice().within("registry");
    sandbox.write("model/copy.bin", vec![7; 50_000]);
    alice.greenroom(["register", "wine", "../model"]).success();
    let before = objects(&sandbox);
    assert_eq!(before.len(), 1);
    let written = |path: &PathBuf| fs::metadata(path).and_then(|m| m.modified()).expect("it is there");
    let at = written(&before[0]);
    alice.greenroom(["register", "wine", "../model"]).success();
    alice.greenroom(["register", "other", "../model"]).success();
    assert_eq!(objects(&sandbox), before);
    assert_eq!(written(&before[0]), at, "it is not written again");
    let trees =
        alice.git(["rev-parse", "HEAD:models/wine/versions/1/artifacts", "HEAD:models/other/versions/1/artifacts"]);
    let trees = trees.success();
    let ids: Vec<&str> = trees.stdout().lines().collect();
    assert_eq!(ids[0], ids[1], "git holds the folder once");
}

#[test]
fn a_flipped_byte_is_found_and_nothing_is_left() {
    let sandbox = bench();
    let alice = sandbox.alice().within("registry");
    alice.greenroom(["register", "wine", "../model"]).success();
    let object = objects(&sandbox).pop().expect("an object");
    let mut bytes = fs::read(&object).expect("it can be read");
    bytes[4321] ^= 1;
    fs::remove_file(&object).and_then(|()| fs::write(&object, bytes)).expect("it can be replaced");
    let said = alice.greenroom(["fetch", "wine/1", "../out/model"]).code(7);
    assert!(said.stderr().contains("is damaged"), "{}", said.stderr());
    assert!(fs::read_dir(sandbox.path("out")).map_or(0, Iterator::count) == 0, "nothing is left");
}

#[test]
fn a_dry_run_keeps_nothing_and_says_all() {
    let sandbox = bench();
    let alice = sandbox.alice().within("registry");
    let head = alice.git(["rev-parse", "HEAD"]).success().stdout().to_owned();
    let dry = alice.greenroom(["register", "wine", "../model", "-n", "-o", "json"]).success().json();
    assert_eq!((&dry["commit"], &dry["dry_run"]), (&json!(null), &json!(true)));
    assert_eq!(alice.git(["rev-parse", "HEAD"]).success().stdout(), head);
    assert_eq!(objects(&sandbox), [""; 0].map(PathBuf::from));
    let real = alice.greenroom(["register", "wine", "../model", "-o", "json"]).success().json();
    let created = |v: &serde_json::Value| {
        let events = v["events"].as_array().cloned().unwrap_or_default();
        events.into_iter().find(|e| e["event"] == "version.created").map(|e| e["created"]["artifacts"].clone())
    };
    assert_eq!(created(&dry), created(&real));
    assert_eq!(dry["warnings"], real["warnings"]);
}

#[test]
fn who_may_not_register_stores_nothing() {
    let sandbox = bench();
    sandbox.greenroom(["-C", "registry", "model", "create", "wine"]).success();
    let said = sandbox.bob().within("registry").greenroom(["register", "wine", "../model"]).code(5);
    assert!(said.stderr().contains("CAN_EDIT"), "{}", said.stderr());
    assert_eq!(objects(&sandbox), [""; 0].map(PathBuf::from));
}

#[test]
fn what_is_given_stands_before_what_the_model_says() {
    let sandbox = bench();
    let alice = sandbox.alice().within("registry");
    alice.greenroom(["register", "wine", "../model", "--metric", "loss=nan"]).success();
    alice.greenroom(["register", "wine", "../model", "--run-id", "mine", "--source", "s3://b/m"]).success();
    let show = |n: &str| alice.greenroom(["version", "show", "wine", n, "-o", "json"]).success().json();
    assert_eq!((&show("1")["run_id"], &show("1")["source"]), (&json!("run7"), &json!("")));
    assert_eq!((&show("2")["run_id"], &show("2")["source"]), (&json!("mine"), &json!("s3://b/m")));
    assert_eq!(show("1")["metrics"][0]["value"], json!("NaN"));
    assert_eq!(show("2")["artifacts"]["files"], json!(2));
}

#[test]
fn a_maker_of_a_model_may_register_files_that_need_attributes() {
    let sandbox = bench();
    sandbox.write("model/vocabulary.json", format!("[{}0]", "1,".repeat(20_000)));
    let long = format!("model {}", "é".repeat(100));
    sandbox.greenroom(["-C", "registry", "person", "add", "bob", "--email", "bob@example.org"]).success();
    for name in ["tokens", &long] {
        let bob = sandbox.bob().within("registry");
        bob.greenroom(["register", name, "../model"]).success();
        bob.greenroom(["register", name, "../model"]).success();
        bob.greenroom(["version", "delete", name, "1", "--yes"]).success();
    }
    let attributes = sandbox.read("registry/models/tokens/versions/2/.gitattributes");
    assert_eq!(attributes, "artifacts/vocabulary.json filter=lfs diff=lfs merge=lfs -text\n");
    let bob = sandbox.bob().within("registry");
    bob.greenroom(["model", "rename", "tokens", "words"]).success();
    bob.greenroom(["fetch", "words/2", "../out"]).success();
    assert_eq!(sandbox.read("out/vocabulary.json"), sandbox.read("model/vocabulary.json"));
}

#[test]
fn hostile_text_in_a_model_does_not_reach_the_terminal() {
    let sandbox = bench();
    sandbox.write("model/MLmodel", "flavors: {}\nrun_id: \"a\\e]0;owned\\a\\nStatus: X\"\n");
    sandbox.write("model/conda.yaml", "channels: [\"defaults\", \"\\e[2J\"]\ndependencies: [\"x\\e[31m\"]\n");
    let alice = sandbox.alice().within("registry");
    let registered = alice.greenroom(["register", "wine", "../model"]).success();
    let shown = alice.greenroom(["version", "show", "wine/1"]).success();
    let compared = alice.greenroom(["compare", "wine", "1", "latest"]).success();
    for text in [registered.stdout(), registered.stderr(), shown.stdout(), compared.stdout()] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    assert!(!shown.stdout().lines().any(|l| l.starts_with("Status: X")), "{}", shown.stdout());
}

#[test]
fn a_bare_registry_takes_and_gives_files() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry.git", "--bare"]).success();
    let alice = sandbox.alice().within("registry.git");
    let folder = tools::examples().join("wine-v1");
    alice.greenroom(["register", "wine", &folder.to_string_lossy()]).success();
    assert!(sandbox.path("registry.git/lfs/objects").is_dir());
    alice.greenroom(["fetch", "wine/latest", "../out"]).success();
    let skops = |folder: PathBuf| fs::read(folder.join("model.skops")).expect("it is there");
    assert_eq!(skops(sandbox.path("out")), skops(tools::examples().join("wine-v1")));
}
