//! Registering and fetching on the command line: which files are stored, left out, and refused.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Sandbox, tools};

/// A registry that Alice created, and a model folder beside it.
fn bench() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    sandbox.write("model/MLmodel", "flavors: {}\nrun_id: run7\n");
    sandbox.write("model/weights.bin", vec![7; 50_000]);
    sandbox
}

/// The objects of the content store.
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
    assert_eq!((&show("1")["source"]["run_id"], &show("1")["source"]["uri"]), (&json!("run7"), &json!("")));
    assert_eq!((&show("2")["source"]["run_id"], &show("2")["source"]["uri"]), (&json!("mine"), &json!("s3://b/m")));
    assert_eq!(show("1")["metrics"]["loss"]["value"], json!("NaN"));
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

/// The files and empty folders below a folder, with their bytes.
fn all_below(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    fn below(root: &Path, at: &Path, out: &mut Vec<(PathBuf, Option<Vec<u8>>)>) {
        let entries: Vec<_> = fs::read_dir(at).into_iter().flatten().flatten().map(|e| e.path()).collect();
        let name = |path: &Path| path.strip_prefix(root).map(Path::to_owned).unwrap_or_default();
        if entries.is_empty() {
            out.push((name(at), None));
        }
        for path in entries {
            if path.is_dir() { below(root, &path, out) } else { out.push((name(&path), fs::read(&path).ok())) }
        }
    }
    let mut out = Vec::new();
    below(folder, folder, &mut out);
    out.sort();
    out
}

#[test]
fn a_folder_with_names_that_steer_git_comes_back_byte_for_byte_and_steers_nothing() {
    let sandbox = bench();
    let long = "x".repeat(251);
    for (path, bytes) in [
        (".gitattributes", "* text=auto eol=crlf\n*.bin filter=evil\n"),
        (".lfsconfig", "[lfs]\nurl = https://elsewhere.example\n"),
        (".git/config", "[core]\nfsmonitor = evil\n"),
        (".git/HEAD", "ref: refs/heads/main\n"),
        ("code/pkg/.gitignore", "*\n"),
        ("code/pkg/__init__.py", "x = 1\r\n"),
        ("#1 what? 100%.txt", "odd"),
        ("cafe\u{301}/größe 日本語.json", "{}"),
        ("aux.txt", "a device"),
        ("end.", "a dot"),
    ] {
        sandbox.write(format!("model/{path}"), bytes);
    }
    sandbox.write(format!("model/{long}.txt"), "long");
    fs::create_dir_all(sandbox.path("model/assets/empty")).expect("a folder");
    tools::git_lfs();
    let alice = sandbox.alice().within("registry");
    alice.git(["lfs", "install", "--local"]).success();
    let said = alice.greenroom(["register", "wine", "../model", "--with-git"]).success();
    assert!(said.stderr().contains("git repository inside"), "{}", said.stderr());
    assert_eq!(alice.git(["status", "--porcelain"]).success().stdout(), "");
    let steering = alice.git(["ls-files", ":(glob)**/.git*", ":(glob)models/**/.lfsconfig"]).success();
    assert!(!steering.stdout().contains("artifacts/"), "{}", steering.stdout());
    let attribute = alice.git(["check-attr", "text", "models/wine/versions/1/artifacts/weights.bin"]).success();
    assert!(attribute.stdout().ends_with(": unset\n"), "{}", attribute.stdout());
    alice.greenroom(["check"]).success();
    alice.greenroom(["verify"]).success();
    alice.greenroom(["fetch", "wine/1", "../out"]).success();
    assert_eq!(all_below(&sandbox.path("out")), all_below(&sandbox.path("model")));
    // The fetched model has the same digest as the registered one.
    let digest = |version: &str| {
        let file = sandbox.read(format!("registry/models/wine/versions/{version}/version.toml"));
        file.lines().find(|line| line.starts_with("digest = ")).map(str::to_owned)
    };
    alice.greenroom(["register", "wine", "../out", "--with-git"]).success();
    assert!(digest("1").is_some() && digest("1") == digest("2"));
}

#[test]
fn what_cannot_be_stored_is_refused_with_the_option_that_helps() {
    let sandbox = bench();
    let alice = sandbox.alice().within("registry");
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{:064}\nsize 12345\n", 7);
    sandbox.write("model/away.safetensors", pointer);
    std::os::unix::fs::symlink("weights.bin", sandbox.path("model/link.bin")).expect("a link");
    sandbox.write("model/C:x", "a drive");
    let tried = |args: &[&str]| alice.greenroom([&["register", "wine", "../model"][..], args].concat());
    for (args, part) in [
        (&[][..], "--exclude"),
        (&["--exclude", "C:x"], "--follow-links"),
        (&["--exclude", "C:x", "--follow-links"], "git lfs pull"),
    ] {
        let said = tried(args).code(1);
        assert!(said.stderr().contains(part), "{args:?}: {}", said.stderr());
        assert_eq!(objects(&sandbox), [""; 0].map(PathBuf::from), "nothing is written");
    }
    tried(&["--exclude", "# nothing"]).code(2);
    sandbox.write("model/.greenroomignore", "*.safetensors\n");
    let said = tried(&["--exclude", "C:x", "--follow-links"]).success();
    assert!(said.stderr().contains("left out by a pattern: "), "{}", said.stderr());
    alice.greenroom(["fetch", "wine/1", "../out"]).success();
    let names: Vec<_> = all_below(&sandbox.path("out")).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["MLmodel", "link.bin", "weights.bin"].map(PathBuf::from));
}

#[test]
fn a_pointer_in_a_clone_is_taken_for_its_object() {
    let sandbox = bench();
    sandbox.git(["init", "--quiet", "hub"]).success();
    let sha256 = greenroom::artifact::copy::sha256(b"\0weights");
    let hex = sha256.as_str();
    sandbox.write(format!("hub/.git/lfs/objects/{}/{}/{hex}", &hex[..2], &hex[2..4]), b"\0weights");
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hex}\nsize 8\n");
    sandbox.write("hub/model/model.safetensors", pointer);
    sandbox.write("hub/model/MLmodel", "flavors: {}\n");
    let alice = sandbox.alice().within("registry");
    alice.greenroom(["register", "wine", "../hub/model"]).success();
    alice.greenroom(["fetch", "wine/1", "../out"]).success();
    assert_eq!(fs::read(sandbox.path("out/model.safetensors")).expect("it is there"), b"\0weights");
}

#[test]
fn what_an_interrupted_registration_left_goes_with_the_next_and_with_doctor() {
    let sandbox = bench();
    let alice = sandbox.alice().within("registry");
    let left = || sandbox.write("registry/.git/lfs/incoming/put-left", "torn off");
    left();
    alice.greenroom(["register", "wine", "../model"]).success();
    assert!(!sandbox.path("registry/.git/lfs/incoming/put-left").exists());
    left();
    let said = alice.greenroom(["doctor"]);
    let said = said.ended().0;
    assert!(said.contains("unfinished files of interrupted registrations"), "{said}");
    assert!(!sandbox.path("registry/.git/lfs/incoming/put-left").exists());
}

#[test]
fn what_is_wrong_with_mlmodel_stays_with_the_version() {
    let sandbox = bench();
    sandbox.write(
        "model/MLmodel",
        "flavors: {sklearn: {sklearn_version: 1.10}}\nrun_id: [1]\nsignature: {inputs: \
         '[{\"type\":\"double\",\"name\":\"x\"}]', params: \
         '[{\"name\":\"clip\",\"default\":Infinity,\"shape\":null,\"type\":\"double\"}]'}\n",
    );
    let alice = sandbox.alice().within("registry");
    let said = alice.greenroom(["register", "wine", "../model"]).success();
    assert!(said.stderr().contains("run_id is not text"), "{}", said.stderr());
    let shown = alice.greenroom(["version", "show", "wine", "1"]).success();
    for part in ["Findings", "MLmodel: run_id is not text", "sklearn 1.10", "Infinity"] {
        assert!(shown.stdout().contains(part), "{part}: {}", shown.stdout());
    }
    let file = sandbox.read("registry/models/wine/versions/1/version.toml");
    assert!(file.contains("findings = [\"MLmodel: run_id is not text\"]"), "{file}");
    alice.greenroom(["check"]).success();
}

/// The commit, the state of the work tree and the stored objects, which a refused registration must not change.
fn everything(sandbox: &Sandbox) -> String {
    let alice = sandbox.alice().within("registry");
    let head = alice.git(["rev-parse", "HEAD"]).success().stdout().to_owned();
    let status = alice.git(["status", "--porcelain"]).success().stdout().to_owned();
    format!("{head}{status}{:?}", objects(sandbox))
}

#[test]
fn nothing_of_a_registry_becomes_part_of_a_model() {
    let sandbox = bench();
    let alice = sandbox.alice().within("registry");
    alice.greenroom(["person", "add", "bob", "--email", "bob@example.org"]).success();
    alice.clone().input("hush").greenroom(["secret", "set", "smtp"]).success();
    alice.git(["worktree", "add", "--quiet", "../linked", "-b", "other"]).success();
    sandbox.git(["clone", "--quiet", "registry", "clone"]).success();
    sandbox.alice().within("clone").greenroom(["register", "own", "--source", "s3://b/m"]).success();
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(sandbox.path(to), sandbox.path(at)).expect("a link");
    let before = everything(&sandbox);
    let refused = |args: &[&str]| {
        for dry in [&["-n"][..], &[]] {
            let said = sandbox.greenroom([&["-C", "registry", "register", "m"], args, dry].concat()).code(1);
            assert!(said.stderr().contains("belongs to the registry in"), "{args:?}: {}", said.stderr());
            assert_eq!(everything(&sandbox), before, "{args:?}");
        }
    };
    refused(&["."]);
    link("registry", "as-linked");
    for path in [
        "registry",
        "registry/people",
        "registry/people/alice.toml",
        "registry/.git",
        "registry/.git/greenroom",
        "registry/.git/greenroom/secrets.toml",
        "linked",
        "linked/people",
        "as-linked/people",
    ] {
        refused(&[path, "--with-git"]);
        refused(&[path]);
    }
    // A clone of any registry has a folder of secrets, too; and a link may lead there.
    refused(&["clone", "--with-git"]);
    for to in ["registry", "registry/people", "registry/.git/greenroom/secrets.toml", "clone/.git/greenroom"] {
        link(to, "model/link");
        refused(&["model", "--follow-links"]);
        fs::remove_file(sandbox.path("model/link")).expect("a link");
    }
    alice.greenroom(["register", "m", "../model"]).success();
}

#[test]
fn no_mount_hides_that_a_folder_lies_in_a_registry() {
    let sandbox = bench();
    fs::create_dir(sandbox.path("seen")).expect("a folder");
    let script = "mount --bind registry/people seen && exec \"$0\" -C registry register m seen";
    let apart = tools::own_mounts();
    let tried = sandbox.alice().run("unshare", [apart, "sh", "-c", script, env!("CARGO_BIN_EXE_greenroom")]);
    let said = tried.code(1).stderr().to_owned();
    assert!(said.contains("belongs to the registry in"), "{said}");
}

#[test]
fn a_git_folder_is_left_out_unless_it_is_asked_for() {
    let sandbox = bench();
    sandbox.git(["init", "--quiet", "model"]).success();
    sandbox.git(["-C", "model", "remote", "add", "origin", "https://me:zq7canary@example.org/m"]).success();
    sandbox.write("model/code/.git", "gitdir: ../../zq7elsewhere\n");
    let alice = sandbox.alice().within("registry");
    let said = alice.greenroom(["register", "wine", "../model"]).success();
    assert!(
        said.stderr().contains("left out, because they are not part of the model: .git/, code/.git"),
        "{}",
        said.stderr()
    );
    let all = alice.git(["log", "--all", "-p", "--format="]).success().stdout().to_owned();
    assert!(!all.contains("zq7canary") && !all.contains("zq7elsewhere"));
    alice.greenroom(["register", "wine", "../model", "--with-git"]).success();
    alice.greenroom(["fetch", "wine/2", "../out"]).success();
    assert!(sandbox.read("out/.git/config").contains("zq7canary"));
}

/// A copy records the place of the original's files, shows it, and is fetched from there.
#[test]
fn a_copy_names_its_original_by_number_and_shows_the_place_of_its_files() {
    let sandbox = bench();
    let alice = sandbox.alice().within("registry");
    alice.greenroom(["register", "port", "--source", "s3://stock/port", "--alias", "best"]).success();
    alice.greenroom(["register", "copy", "--source", "models:/port@best"]).success();
    let shown = alice.greenroom(["version", "show", "copy", "1", "-o", "json"]).success().json();
    let source = &shown["source"];
    assert_eq!((&source["uri"], &source["location"]), (&json!("models:/port/1"), &json!("s3://stock/port")));
    let text = alice.greenroom(["version", "show", "copy", "1"]).success();
    assert!(text.stdout().contains("Location:    s3://stock/port"), "{}", text.stdout());
    let log = alice.greenroom(["log", "copy"]).success();
    assert!(log.stdout().contains("location: s3://stock/port"), "{}", log.stdout());
    alice.greenroom(["request", "create", "copy", "1", "Staging"]).success();
    let request = alice.greenroom(["request", "show", "copy", "1"]).success();
    assert!(request.stdout().contains("Location:  s3://stock/port"), "{}", request.stdout());
    let away = alice.greenroom(["fetch", "copy/1", "../away"]).code(3);
    assert!(away.stderr().contains("they are at s3://stock/port"), "{}", away.stderr());
    // A copy of an original in the registry has the original's files.
    alice.greenroom(["register", "wine", "../model"]).success();
    alice.greenroom(["register", "again", "--source", "models:/wine/1"]).success();
    alice.greenroom(["fetch", "again/1", "../files"]).success();
    assert_eq!(sandbox.read("files/MLmodel"), sandbox.read("model/MLmodel"));
    alice.greenroom(["register", "none", "--source", "models:/wine/9"]).code(5);
}
