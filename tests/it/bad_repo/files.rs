//! Registry files with wrong content or of a wrong kind: `check` reports every fault with its place, readable files
//! stay readable, and no file is mistaken for another.

use std::fs;

use serde_json::Value;

use super::{fill, head, models, registry, says, sound};
use crate::support::{Sandbox, Shell};

const MODEL: &str = "models/churn/model.toml";
const VERSION: &str = "models/churn/versions/1/version.toml";

/// Commits a tree entry that no work tree would produce: its mode, object and path.
fn commit_entry(shell: &Shell<'_>, mode: &str, id: &str, path: &str) {
    shell.git(["update-index", "--add", "--cacheinfo", &format!("{mode},{id},{path}")]).success();
    shell.git(["commit", "--quiet", "-m", "By hand"]).success();
}

/// Stores bytes as a blob; returns its id.
fn blob(shell: &Shell<'_>, bytes: impl Into<Vec<u8>>) -> String {
    let made = shell.clone().input(bytes).git(["hash-object", "-w", "--stdin"]).success();
    made.stdout().trim().to_owned()
}

/// A clone of the registry without a work tree, so that only committed files count.
fn bare<'a>(sandbox: &'a Sandbox) -> Shell<'a> {
    sandbox.git(["clone", "--quiet", "--bare", "--no-local", "r", "bare.git"]).success();
    sandbox.alice().within("bare.git")
}

/// Commits these bytes as a file, without the work tree.
fn with_file(sandbox: &Sandbox, path: &str, bytes: impl Into<Vec<u8>>) {
    let shell = sandbox.alice().within("r");
    let id = blob(&shell, bytes);
    commit_entry(&shell, "100644", &id, path);
}

#[test]
fn a_model_file_that_cannot_be_read_is_told_and_hides_no_other_model() {
    let deep = format!("x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let tables = format!("[{}a]\n", "a.".repeat(100_000));
    let inline = format!("x = {}1{}\n", "{a=".repeat(50_000), "}".repeat(50_000));
    let huge = format!("description = \"{}\"\n", "a".repeat(100_000_000));
    for (bytes, fault) in [
        (deep, "cannot recurse further; max recursion depth met [toml]"),
        (tables, "[toml]"),
        (inline, "cannot recurse further; max recursion depth met [toml]"),
        (huge, "the file has 100000017 bytes; at most 262144 are allowed [file]"),
    ] {
        let sandbox = registry();
        says(&sandbox.alice().within("r"), 0, "model create risk", "");
        with_file(&sandbox, MODEL, bytes);
        let shell = bare(&sandbox);
        let told = says(&shell, 1, "check", fault);
        assert!(told.contains(&format!("fault: {MODEL}")), "{told}");
        assert_eq!(models(&shell), ["risk"]);
        let list = shell.greenroom(["model", "list"]).success();
        let left_out = "the model in models/churn is left out: its model.toml cannot be read; `greenroom check` says";
        assert!(list.stderr().contains(left_out), "{}", list.stderr());
        says(&shell, 1, "model show churn", "models/churn: its model.toml cannot be read");
        says(&shell, 1, "model describe churn better", "repair the file first");
        says(&shell, 0, "log", &format!("make {MODEL} unreadable"));
        says(&shell, 0, "search models", "risk");
        says(&shell, 7, "doctor", MODEL);
        // A later change is not blamed for the fault.
        let said = says(&shell, 0, "register churn --source s3://models/2", "register churn version 2");
        assert!(!said.contains("unreadable"), "{said}");
    }
}

#[test]
fn a_version_file_that_cannot_be_read_is_an_error_where_it_is_needed() {
    let link = "120000";
    let submodule = "160000";
    for (mode, bytes, fault) in [
        (
            "100644",
            &b"# two lines\ndescription = \"\xff\xfe\"\n"[..],
            "version.toml:2:1: the file is not UTF-8 [utf-8]",
        ),
        (
            link,
            b"../../../../../../../../etc/passwd",
            "version.toml: this is a symbolic link; it must be a file [mode]",
        ),
        (link, b"../../model.toml", "version.toml: this is a symbolic link; it must be a file [mode]"),
        (submodule, b"", "version.toml: this is a submodule; it must be a file [mode]"),
    ] {
        let sandbox = registry();
        let shell = sandbox.alice().within("r");
        let id = if mode == submodule { head(&shell) } else { blob(&shell, bytes) };
        commit_entry(&shell, mode, &id, VERSION);
        let shell = bare(&sandbox);
        for line in ["version show churn 1", "show models:/churn/1"] {
            let said = says(&shell, 1, line, fault);
            assert!(said.contains("the record of churn version 1 cannot be read"), "{said}");
        }
        says(&shell, 1, "fetch models:/churn/1 ../out", "the record of churn version 1 cannot be read");
        says(&shell, 0, "version list churn", "unreadable");
        let list = shell.greenroom(["version", "list", "churn", "-o", "json"]).success();
        assert_eq!(list.json(), Value::Array(Vec::new()));
        assert!(list.stderr().contains("version 1 is left out, because its version.toml cannot be read"));
        says(&shell, 1, "version describe churn 1 better", "repair the file first");
        // An unreadable version cannot enter a stage in use, but can leave one.
        says(&shell, 1, "transition churn 1 Production", "repair the file first");
        says(&shell, 0, "transition churn 1 Archived", "move churn version 1 from None to Archived");
        says(&shell, 1, "check", VERSION);
        let all = format!("{}{}", says(&shell, 0, "log", ""), says(&shell, 7, "doctor", ""));
        assert!(!all.contains("root:"), "{all}");
    }
}

#[test]
fn links_and_submodules_where_folders_belong_hold_nothing() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    let (etc, commit) = (blob(&shell, "/etc"), head(&shell));
    for (mode, id, path) in [
        ("120000", &etc, "models/evil"),
        ("120000", &etc, "models/churn/stages"),
        ("160000", &commit, "models/sub"),
        ("160000", &commit, "people/bob.toml"),
    ] {
        commit_entry(&shell, mode, id, path);
    }
    let bare = bare(&sandbox);
    assert_eq!(models(&bare), ["churn"]);
    let told = says(&bare, 1, "check", "4 faults");
    for fault in [
        "models/evil: a model has no file with this path [path]",
        "models/sub: a model has no file with this path [path]",
        "models/churn/stages: a model has no file with this path [path]",
        "people/bob.toml: this is a submodule; it must be a plain file [path]",
    ] {
        assert!(told.contains(fault), "{fault:?} is not in\n{told}");
    }
    for name in ["evil", "sub"] {
        says(&bare, 3, &format!("model show {name}"), "not found");
        says(&bare, 3, &format!("transition {name} 1 Staging"), "not found");
    }
    // In the work tree the link leads out of the repository; greenroom must not write through it.
    shell.git(["reset", "--quiet", "--hard"]).success();
    says(&shell, 1, "check", "models/evil: a model has no file with this path [path]");
    let before = fs::read_dir("/etc").unwrap().count();
    says(&shell, 0, "transition churn 1 Staging", "move churn version 1 from None to Staging");
    assert_eq!(fs::read_dir("/etc").unwrap().count(), before);
    let folder = fs::symlink_metadata(sandbox.path("r/models/churn/stages")).unwrap();
    assert!(folder.is_dir(), "the link gave way to a folder");
    sound(&shell);
}

#[test]
fn ids_that_are_used_twice_and_names_that_look_alike() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    let model = sandbox.read(format!("r/{MODEL}"));
    with_file(&sandbox, "models/Churn/model.toml", model.replace("\"churn\"", "\"Churn\""));
    with_file(&sandbox, "models/caf\u{e9}/model.toml", model.replace("\"churn\"", "\"caf\u{e9}\""));
    with_file(&sandbox, "models/cafe\u{301}/model.toml", model.replace("\"churn\"", "\"cafe\u{301}\""));
    let bare = bare(&sandbox);
    let told = says(&bare, 1, "check", "");
    for fault in [
        "differ only by case or Unicode normalisation [name]",
        "is also used in models/",
        "'caf\u{e9}' is not the folder name of a model [path]",
        "'cafe\u{301}' is not the folder name of a model [path]",
    ] {
        assert!(told.contains(fault), "{fault:?} is not in\n{told}");
    }
    says(&bare, 7, "doctor", " in the newest commit; the first:");
    // greenroom itself normalizes names.
    says(&shell, 0, "model create caf\u{e9}", "");
    for name in ["CHURN", "cafe\u{301}", "CAF\u{c9}"] {
        let alike = "differ only by case or Unicode normalisation [name]";
        says(&shell, 5, &format!("model create {name}"), alike);
    }
}

#[test]
fn names_that_would_escape_the_tree_are_refused_when_they_are_given() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    let before = head(&shell);
    for name in ["..", ".", "../evil", "/etc/evil", "a/b", "models:/x"] {
        says(&shell, 2, &format!("model create {name}"), "nvalid");
        says(&shell, 2, &format!("register {name} --source s3://x"), "nvalid");
    }
    assert_eq!(head(&shell), before);
    // Awkward names are stored in folders that every file system can hold.
    for name in ["con", ".git", "a\\b", "%2e%2e", "x.", "-"] {
        let done = shell.greenroom(["model", "create", "--", name]).success();
        assert!(!done.stderr().contains("panicked"), "{name}: {}", done.stderr());
    }
    assert_eq!(models(&shell), ["%2e%2e", "-", ".git", "a\\b", "churn", "con", "x."]);
    says(&shell, 0, "check", "No faults");
    sound(&shell);
    assert_eq!(shell.git(["status", "--porcelain"]).success().stdout(), "");
}

/// Makes a tree of entries (mode, name, id) that git would not make.
fn tree(shell: &Shell<'_>, entries: &[(&str, &str, &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(format!("{mode} {name}\0").bytes());
        bytes.extend((0..id.len()).step_by(2).map(|i| u8::from_str_radix(&id[i..i + 2], 16).unwrap()));
    }
    let made = shell.clone().input(bytes).git(["hash-object", "-t", "tree", "-w", "--literally", "--stdin"]).success();
    made.stdout().trim().to_owned()
}

#[test]
fn trees_with_names_that_escape_are_told_and_never_written() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    let evil = blob(&shell, "evil");
    let above = tree(&shell, &[("100644", "evil.toml", &evil)]);
    let dot_git = tree(&shell, &[("100644", "config", &evil)]);
    let models = tree(&shell, &[("40000", "..", &above), ("40000", ".git", &dot_git), ("100644", "a/b", &evil)]);
    let id = |of: &str| shell.git(["rev-parse", &format!("HEAD:{of}")]).success().stdout().trim().to_owned();
    let (access, settings, people) = (id("access.toml"), id("greenroom.toml"), id("people"));
    let root = [
        ("100644", "access.toml", access.as_str()),
        ("100644", "greenroom.toml", &settings),
        ("40000", "models", &models),
        ("40000", "people", &people),
    ];
    let root = tree(&shell, &root);
    let commit = shell.git(["commit-tree", "-p", "HEAD", "-m", "Evil", &root]).success().stdout().trim().to_owned();
    shell.git(["update-ref", "refs/heads/evil", &commit]).success();
    sandbox.git(["init", "--quiet", "--bare", "bare.git"]).success();
    let bare = sandbox.alice().within("bare.git");
    bare.git(["fetch", "--quiet", "../r", "evil:main"]).success();
    let told = says(&bare, 1, "check", "3 faults");
    for path in ["models/../evil.toml", "models/.git/config", "models/a/b"] {
        assert!(told.contains(&format!("fault: {path}: ")), "{path} is not in\n{told}");
    }
    says(&bare, 0, "log", "add models/../evil.toml");
    says(&bare, 7, "doctor", "models/../evil.toml");
    assert_eq!(super::models(&bare), [""; 0]);
    // In a work tree, too, a change writes only the changed files.
    let config = sandbox.read("r/.git/config");
    shell.git(["update-ref", "refs/heads/main", &commit]).success();
    shell.git(["read-tree", "--empty"]).success();
    let (_, said) = shell.greenroom(["model", "create", "risk"]).any();
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(sandbox.read("r/.git/config"), config);
    assert!(!sandbox.path("r/evil.toml").exists() && !sandbox.path("evil.toml").exists());
    assert!(!sandbox.path("r/models/.git").exists());
}

#[test]
fn a_hand_edited_registry_shows_all_its_faults_at_once() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    let edit = |path: &str, lines: &[&str]| sandbox.write(format!("r/{path}"), format!("{}\n", lines.join("\n")));
    edit(
        MODEL,
        &[
            "id = \"not an id\"",
            "name = \"Other\"",
            "created_at = \"yesterday\"",
            "created_by = 7",
            "description = 3",
            "colour = \"red\"",
            "tags = [\"x\"]",
        ],
    );
    edit(
        VERSION,
        &[
            "created_at = 2026-11-22T20:52:39.028Z",
            "created_at = 2026-11-22T20:52:39.028Z",
            "created_by = \"alice\"",
            "status = \"SORT OF\"",
            "source = \"x\"",
            "[params]",
            "a = 1",
            "[metrics]",
            "b = \"x\"",
        ],
    );
    edit("access.toml", &["grants = [{ to = \"alice\", level = \"CAN_DO\" }, 3]"]);
    edit("people/alice.toml", &["name = \"A", "emails = 1"]);
    edit("models/churn/aliases/best.toml", &["version = 9"]);
    edit("models/churn/stages/Live.toml", &["versions = [1]"]);
    let before = head(&shell);
    let told = says(&shell, 1, "check", "");
    let wanted = [
        "access.toml:1:35: `level` must be one of",
        "access.toml:1:47: `grants` must be a table, but it is an integer [type]",
        "models/churn/aliases/best.toml: ",
        "models/churn/model.toml:1:6: `id`: Invalid id 'not an id'",
        "models/churn/model.toml:3:14: `created_at` must be a date-time",
        "models/churn/model.toml:4:14: `created_by` must be a string, but it is an integer [type]",
        "models/churn/model.toml:5:15: `description` must be a string, but it is an integer [type]",
        "models/churn/model.toml:6:1: `colour` is not a key of this table [unknown-key]",
        "models/churn/model.toml:7:8: `tags` must be a table, but it is an array [type]",
        "models/churn/stages/Live.toml: ",
        "models/churn/versions/1/version.toml:1:1: `id` is missing [missing-key]",
        "models/churn/versions/1/version.toml:2:1: duplicate key [toml]",
        "people/alice.toml:1:10: invalid basic string",
    ];
    let missing: Vec<_> = wanted.iter().filter(|w| !told.contains(&format!("fault: {w}"))).collect();
    assert!(missing.is_empty(), "{missing:#?} are not in\n{told}");
    assert!(told.contains("not listed: 4 faults that may follow from it"), "{told}");
    // The JSON output has the same faults.
    let json = shell.greenroom(["check", "-o", "json"]).code(1).json();
    assert!(json["faults"].as_array().unwrap().len() >= wanted.len());
    assert!(json["changed"].as_array().unwrap().len() >= 6);
    // The committed files are intact, and the edits are not overwritten.
    says(&shell, 0, "version show churn 1", "s3://models/1");
    says(&shell, 6, "model describe churn better", MODEL);
    assert_eq!(head(&shell), before);
    shell.git(["clean", "--quiet", "-fd"]).success();
    shell.git(["restore", "."]).success();
    says(&shell, 0, "check", "No faults");
}

#[test]
fn settings_that_cannot_be_read_let_nothing_through() {
    for bytes in ["layout = [\n", "format = 99\n", "format = 1\nstages = 3\n"] {
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "r"]).success();
        fill(&sandbox.alice().within("r"));
        with_file(&sandbox, "greenroom.toml", bytes);
        let shell = bare(&sandbox);
        let before = head(&shell);
        says(&shell, 1, "check", "greenroom.toml");
        for line in ["transition churn 1 Production", "model create risk"] {
            says(&shell, 5, line, "greenroom.toml");
        }
        assert_eq!(head(&shell), before);
        says(&shell, 7, "doctor", "greenroom.toml");
    }
}
