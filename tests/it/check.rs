//! `greenroom check` and `greenroom doctor` on registries with every kind of damage.

mod ahead;
mod syntax;

use serde_json::Value;

use crate::support::{Sandbox, Shell, tools};

/// A registry `registry` of Alice's with the model `churn`.
fn registry() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "registry"]).success();
    sandbox.alice().within("registry").greenroom(["model", "create", "churn"]).success();
    sandbox
}

/// The faults of a check as `path:line rule`.
fn short(told: &Value) -> Vec<String> {
    let list = told["faults"].as_array().expect("faults is a list");
    let one = |f: &Value| format!("{}:{} {}", f["path"].as_str().unwrap(), f["line"], f["rule"].as_str().unwrap());
    list.iter().map(one).collect()
}

/// The faults that `check` reports; demands its exit code.
#[track_caller]
fn faults(shell: &Shell<'_>, code: i32) -> Vec<String> {
    short(&shell.greenroom(["check", "-o", "json"]).code(code).json())
}

/// Demands exactly one such fault.
#[track_caller]
fn assert_told(found: &[String], fault: &str) {
    assert!(found.iter().any(|f| f == fault), "{fault} is not in {found:#?}");
}

#[test]
fn each_kind_of_harm_has_its_fault() {
    const ID: &str = "0198c0de-0000-7000-8000-00000000000a";
    let model = |name: &str| {
        format!("id = \"{ID}\"\nname = \"{name}\"\ncreated_at = 2026-01-01T00:00:00.000Z\ncreated_by = \"alice\"\n")
    };
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("models/churn/model.toml", b"name = [".to_vec(), "models/churn/model.toml:1 toml"),
        ("models/churn/model.toml", b"\xff\xfe".to_vec(), "models/churn/model.toml:1 utf-8"),
        ("models/risk/model.toml", model("other").into(), "models/risk/model.toml:0 place"),
        ("models/risk/notes.txt", b"x".to_vec(), "models/risk/notes.txt:0 path"),
        ("src/main.py", b"x".to_vec(), "src/main.py:0 path"),
        ("models/Churn/model.toml", model("Churn").into(), "models/Churn/model.toml:0 name"),
        ("models/churn/aliases/best.toml", b"version = 4\n".to_vec(), "models/churn/aliases/best.toml:0 pointer"),
        ("models/churn/stages/Live.toml", b"versions = [1]\n".to_vec(), "models/churn/stages/Live.toml:0 stage-known"),
        ("models/ghost/stages/Staging.toml", b"versions = [1]\n".to_vec(), "models/ghost/model.toml:0 place"),
        ("models/churn/versions/1/artifacts/a.txt", b"x".to_vec(), "models/churn/versions/1/version.toml:0 place"),
    ];
    for (path, bytes, fault) in cases {
        let sandbox = registry();
        sandbox.write(format!("registry/{path}"), bytes);
        let shell = sandbox.alice().within("registry");
        let (told, _) = shell.greenroom(["check", "-o", "json"]).any();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_told(&short(&told), fault);
    }
}

#[test]
fn an_id_that_is_used_twice_is_found_wherever_it_is() {
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    let churn = sandbox.read("registry/models/churn/model.toml");
    sandbox.write("registry/models/risk/model.toml", churn.replace("\"churn\"", "\"risk\""));
    assert_told(&faults(&shell, 1), "models/risk/model.toml:0 name");
    // After the commit no new step shows the fault; only the state does.
    shell.git(["add", "."]).success();
    shell.git(["commit", "--quiet", "-m", "copied by hand"]).success();
    assert_told(&faults(&shell, 1), "models/risk/model.toml:0 name");
    shell.greenroom(["doctor"]).code(7);
}

#[test]
fn a_huge_file_is_told_by_its_size() {
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    shell.run("truncate", ["--size", "100M", "models/churn/access.toml"]).success();
    assert_told(&faults(&shell, 1), "models/churn/access.toml:0 file");
    shell.run("truncate", ["--size", "1G", "models/churn/access.toml"]).success();
    let told = shell.greenroom(["check"]).code(1);
    assert!(told.stdout().contains("1073741824 bytes"), "{}", told.stdout());
}

#[test]
fn names_that_git_or_other_systems_misread_are_faults() {
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    shell.run("sh", ["-c", r"mkdir docs && touch 'docs/a\b' && printf x > $(printf 'docs/\377')"]).success();
    shell.run("sh", ["-c", "mkfifo models/churn/access.toml; git init --quiet docs/inner"]).success();
    shell.run("sh", ["-c", "ln -s /etc/passwd models/churn/stages"]).success();
    let found = faults(&shell, 1);
    assert_told(&found, r"docs/a\b:0 path");
    assert_told(&found, "models/churn/stages:0 path");
    assert!(found.iter().all(|f| !f.contains("passwd")), "{found:?}");
}

#[test]
fn what_git_ignores_and_what_is_elsewhere_is_left_alone() {
    let sandbox = Sandbox::new();
    let shell = sandbox.alice().within("product");
    sandbox.git(["init", "--quiet", "product"]).success();
    shell.greenroom(["init", ".", "--at", "registry"]).success();
    sandbox.write("product/src/main.py", "print(1)\n");
    sandbox.write("product/registry/.gitignore", "*.pyc\n");
    sandbox.write("product/registry/models/x.pyc", "x");
    assert_eq!(faults(&shell, 0), [""; 0]);
    sandbox.write("product/registry/models/x.txt", "x");
    assert_eq!(faults(&shell, 1), ["registry/models/x.txt:0 path"]);
    shell.greenroom(["check", "registry/people"]).success();
    shell.greenroom(["check", "registry/models"]).code(1);
    shell.greenroom(["check", "elsewhere/people"]).code(3);
    sandbox.alice().greenroom(["check", "product/registry/models/x.txt"]).code(1);
}

#[test]
fn edits_are_judged_as_the_step_they_would_be() {
    let sandbox = registry();
    let bob = sandbox.bob().within("registry");
    sandbox.write("registry/access.toml", "grants = [{ to = \"bob@example.org\", level = \"CAN_MANAGE\" }]\n");
    let found = faults(&bob, 5);
    assert_told(&found, "access.toml:0 permission");
    assert_told(&found, "access.toml:0 principal");
    // Without a git identity, the files are checked nevertheless.
    let nobody = sandbox.shell("", "").within("registry").env("GIT_AUTHOR_NAME", "").env("GIT_COMMITTER_NAME", "");
    assert_eq!(faults(&nobody, 1), ["access.toml:0 principal"]);
    bob.greenroom(["check", "--as", "nobody"]).code(3);
}

#[test]
fn nothing_stays_of_a_check() {
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    let objects = || shell.git(["count-objects", "-v"]).success().stdout().to_owned();
    let before = objects();
    sandbox.write("registry/models/risk/notes.txt", "x");
    shell.greenroom(["check"]).code(1);
    assert_eq!(objects(), before);
    assert_eq!(shell.git(["status", "--short"]).success().stdout(), "?? models/risk/\n");
}

#[test]
fn a_bare_repository_is_checked_at_its_newest_commit() {
    let sandbox = registry();
    sandbox.git(["clone", "--quiet", "--bare", "registry", "bare.git"]).success();
    let bare = sandbox.alice().within("bare.git");
    assert_eq!(faults(&bare, 0), [""; 0]);
    bare.greenroom(["doctor"]).success();
    bare.greenroom(["schema", "--write"]).code(1);
}

#[test]
fn model_files_that_git_lfs_checked_out_are_no_change() {
    tools::git_lfs();
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    sandbox.git(["lfs", "install", "--skip-repo"]).success();
    let model = tools::examples().join("wine-v1");
    shell.greenroom(["register", "wine", model.to_str().unwrap()]).success();
    shell.git(["lfs", "checkout"]).success();
    let file = "registry/models/wine/versions/1/artifacts/model.skops";
    assert!(std::fs::metadata(sandbox.path(file)).unwrap().len() > 1024, "git lfs put the bytes there");
    let told = shell.greenroom(["check", "-o", "json"]).success().json();
    assert_eq!(told["changed"], serde_json::json!([]));
    // A file with the same bytes and another time is unchanged; a file with other bytes is changed.
    shell.run("touch", ["-d", "2020-01-01", "models/wine/versions/1/artifacts/model.skops"]).success();
    let told = shell.greenroom(["check", "-o", "json"]).success().json();
    assert_eq!(told["changed"], serde_json::json!([]));
    sandbox.write(file, "other bytes");
    assert_told(&faults(&shell, 5), "models/wine/versions/1/artifacts:0 immutable");
}

#[test]
fn doctor_misses_stored_files_and_finds_damaged_ones() {
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    let model = tools::examples().join("wine-v1");
    shell.greenroom(["register", "wine", model.to_str().unwrap()]).success();
    let check = |args: &[&str], code: i32| {
        let told = shell.greenroom([&["doctor", "-o", "json"], args].concat()).code(code).json();
        let files = told["checks"].as_array().unwrap().iter().find(|c| c["name"] == "files").unwrap().clone();
        files["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(check(&["--verify"], 0), "ok");
    let stored =
        shell.run("sh", ["-c", "find .git/lfs/objects -type f | head -1"]).success().stdout().trim().to_owned();
    shell.run("sh", ["-c", &format!("chmod u+w {stored}; tr a b <{stored} >x && cat x >{stored}; rm x")]).success();
    assert_eq!(check(&[], 0), "ok", "only --verify reads the bytes");
    assert_eq!(check(&["--verify"], 7), "fail");
    shell.run("rm", ["-f", &stored]).success();
    assert_eq!(check(&[], 0), "warn");
}

#[test]
fn a_review_by_hand_is_printed_with_its_subject_and_another_one_is_explained() {
    let sandbox = registry();
    let (alice, bob) = (sandbox.alice().within("registry"), sandbox.bob().within("registry"));
    for line in [
        "person add bob --email bob@example.org",
        "person add carol --email carol@example.org",
        "access grant bob manage-production",
        "access grant carol manage-production",
        "register churn --source s3://churn/1",
        "stage set Production --approvals 2",
        "request create churn 1 Production",
    ] {
        alice.greenroom(line.split(' ')).success();
    }
    let folder = sandbox.path("registry/models/churn/versions/1/requests");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let path = format!("registry/models/churn/versions/1/requests/{file}");
    let request = sandbox.read(&path);
    let block = bob.greenroom(["request", "approve", "churn", "1", "--print", "-m", "fine"]).success();
    let block = block.stdout().to_owned();
    assert!(block.starts_with("[[review]]\nby = \"bob\"\n") && block.contains("comment = \"fine\"\n"), "{block}");
    assert_eq!(bob.git(["status", "--short"]).success().stdout(), "", "nothing was changed");
    let subject = block.lines().find_map(|l| l.strip_prefix("subject = \"")).unwrap().trim_end_matches('"').to_owned();

    // With a wrong subject, the message explains it and names the right one.
    sandbox.write(&path, format!("{request}\n{}", block.replace(&subject, &"a".repeat(64))));
    let told = bob.greenroom(["check"]).code(5).stdout().to_owned();
    assert!(told.contains("the approval cannot count: its subject is aaaa") && told.contains(&subject), "{told}");
    assert!(told.contains("request approve churn 1 ") && told.contains("--print"), "{told}");

    // The printed block counts until the version changes.
    sandbox.write(&path, format!("{request}\n{block}"));
    bob.greenroom(["check"]).success();
    bob.git(["commit", "--quiet", "-am", "Approve"]).success();
    let shown = |words: &[&str]| bob.greenroom(words).success().stdout().to_owned();
    let id = file.trim_end_matches(".toml");
    assert!(shown(&["request", "list"]).contains("1 of 2"), "{}", shown(&["request", "list"]));
    alice.greenroom(["version", "describe", "churn", "1", "Another story"]).success();
    let told = shown(&["request", "show", id]);
    assert!(
        told.contains("(does not count: the version, its stage or the rule changed after the approval: description)"),
        "{told}"
    );

    // If no rule was asked, the reason is that the subject never matched this version.
    sandbox.write(&path, format!("{request}\n{}", block.replace(&subject, &"a".repeat(64))));
    bob.git(["commit", "--quiet", "-am", "Undo it, and approve anything"]).success();
    let told = shown(&["request", "show", id]);
    assert!(told.contains("does not count: "), "{told}");
}

#[test]
fn who_landed_words_of_another_is_told() {
    let sandbox = registry();
    let alice = sandbox.alice().within("registry");
    alice.greenroom(["person", "add", "bob", "--email", "bob@example.org"]).success();
    alice.greenroom(["access", "grant", "bob", "edit"]).success();
    alice.greenroom(["register", "churn", "--source", "s3://churn/1", "--as", "bob"]).success();
    alice.greenroom(["comment", "add", "churn", "1", "good", "--as", "bob"]).success();
    alice.greenroom(["request", "create", "churn", "1", "Staging", "--as", "bob"]).success();
    let told = |words: &[&str]| alice.greenroom(words).success().stdout().to_owned();
    assert!(told(&["comment", "list", "churn", "1"]).contains(", committed by alice\n"));
    assert!(told(&["request", "list"]).contains("bob (landed by alice)"));
    let page = told(&["version", "show", "churn", "1"]);
    assert_eq!(page.matches("committed by alice").count(), 3, "{page}");
    let json = |words: &[&str]| alice.greenroom(words.iter().chain(&["-o", "json"])).success().json();
    assert_eq!(json(&["comment", "list", "churn", "1"])[0]["landed_by"], "alice");
    assert_eq!(json(&["request", "list"])[0]["landed_by"], "alice");
    assert_eq!(json(&["version", "show", "churn", "1"])["landed_by"], "alice");
    alice.greenroom(["comment", "add", "churn", "1", "mine"]).success();
    assert_eq!(json(&["comment", "list", "churn", "1"])[1].get("landed_by"), None);
}

#[test]
fn a_reverted_registration_is_told_after_the_commit_and_can_be_mended() {
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    shell.greenroom(["register", "churn", "--source", "s3://models/churn/1"]).success();
    shell.greenroom(["register", "churn", "--source", "s3://models/churn/2"]).success();
    shell.git(["revert", "--no-edit", "HEAD"]).success();
    let reverted = shell.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    assert_told(&faults(&shell, 5), "models/churn/model.toml:0 number");
    shell.greenroom(["doctor"]).code(7);
    shell.greenroom(["verify"]).code(7);
    // The hint works: a later step retires the number.
    let model = sandbox.read("registry/models/churn/model.toml");
    sandbox.write("registry/models/churn/model.toml", format!("{model}retired = 3\n"));
    assert_told(&faults(&shell, 5), "models/churn/model.toml:0 number");
    sandbox.write("registry/models/churn/model.toml", format!("{model}retired = 2\n"));
    shell.git(["commit", "--quiet", "-am", "retire what was reverted"]).success();
    let told = shell.greenroom(["register", "churn", "--source", "s3://models/churn/3", "-o", "json"]).success();
    assert!(sandbox.path("registry/models/churn/versions/3").is_dir(), "{}", told.stdout());
    // The step that broke the rule stays in the history and can be acknowledged.
    let acknowledge = ["settings", "acknowledge", &reverted, "number"];
    shell.greenroom(acknowledge).code(2);
    shell.greenroom([&acknowledge[..], &["-m", "Reverted by hand"]].concat()).success();
    assert_eq!(faults(&shell, 0), [""; 0]);
    shell.greenroom(["doctor"]).any();
    let told = shell.greenroom(["verify"]).success().stdout().to_owned();
    assert!(told.contains("acknowledged:") && told.contains("Reverted by hand"), "{told}");
    let told = shell.greenroom(["verify", "-o", "json"]).success().json();
    assert_eq!(told["acknowledged"][0]["rule"], "number", "{told}");
    shell.greenroom([&acknowledge[..], &["--revoke"]].concat()).success();
    shell.greenroom(["verify"]).code(7);
}

#[test]
fn a_folder_that_a_merge_mixed_of_two_versions_is_told_before_and_after_the_commit() {
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    for name in ["a", "b"] {
        sandbox.write(format!("{name}/{name}.txt"), format!("file of {name}\n"));
        shell.git(["checkout", "--quiet", "-b", name, "main"]).success();
        shell.greenroom(["register", "churn", &format!("../{name}")]).success();
    }
    shell.git(["checkout", "--quiet", "main"]).success();
    shell.git(["merge", "--quiet", "a"]).success();
    shell.git(["merge", "--quiet", "b"]).any();
    let version = "models/churn/versions/1/version.toml";
    shell.git(["checkout", "--quiet", "--ours", version]).success();
    shell.git(["add", "--all"]).success();
    assert_told(&faults(&shell, 5), "models/churn/versions/1/artifacts:0 digest");
    shell.git(["commit", "--quiet", "-m", "merged"]).success();
    assert_told(&faults(&shell, 5), "models/churn/versions/1/artifacts:0 digest");
    let told = shell.greenroom(["doctor"]).code(7).stdout().to_owned();
    assert!(told.contains("digest") || told.contains("fault"), "{told}");
}

/// A fault committed before it was refused does not fail every later check; a fault in new changes does.
#[test]
fn files_that_nothing_is_said_of_are_a_fault_only_before_they_are_committed() {
    let sandbox = registry();
    let shell = sandbox.alice().within("registry");
    shell.greenroom(["register", "churn", "--source", "s3://models/churn"]).success();
    sandbox.write("registry/models/churn/versions/1/artifacts/weights", b"0");
    assert_told(&faults(&shell, 5), "models/churn/versions/1/artifacts:0 digest");
    shell.git(["add", "--all"]).success();
    shell.git(["commit", "--quiet", "--no-verify", "--amend", "--no-edit"]).success();
    sandbox.git(["clone", "--quiet", "registry", "clone"]).success();
    let clone = sandbox.alice().within("clone");
    let told = clone.greenroom(["check", "-o", "json"]).success().json();
    assert_eq!(short(&told), Vec::<String>::new());
    let warned = told["warnings"].as_array().expect("a list").iter().any(|w| w["rule"] == "digest");
    assert!(warned, "{told}");
}
