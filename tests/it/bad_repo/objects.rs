//! Damaged or missing objects: an error that names the object, never a wrong answer.

use std::fs;
use std::path::PathBuf;

use super::{head, registry, says};
use crate::support::{Sandbox, Shell};

const VERSION: &str = "models/churn/versions/1/version.toml";

/// The id of a file of the newest commit, and its loose object, made writable.
fn loose(sandbox: &Sandbox, file: &str) -> (String, PathBuf) {
    let shell = sandbox.alice().within("r");
    let id = shell.git(["rev-parse", &format!("HEAD:{file}")]).success().stdout().trim().to_owned();
    let path = sandbox.path(format!("r/.git/objects/{}/{}", &id[..2], &id[2..]));
    shell.run("chmod", ["u+w", path.to_str().unwrap()]).success();
    (id, path)
}

/// Demands that every command that needs the version's file fails with these words, and that other commands work.
#[track_caller]
fn unreadable(shell: &Shell<'_>, words: &str) {
    for line in [
        "version show churn 1",
        "version list churn",
        "show models:/churn/1",
        "fetch models:/churn/1 ../out",
        "version describe churn 1 better",
        "log",
        "search versions",
    ] {
        says(shell, 1, line, words);
    }
    says(shell, 0, "model list", "churn");
    says(shell, 7, "doctor", words);
}

#[test]
fn a_loose_object_of_garbage() {
    let sandbox = registry();
    let (id, path) = loose(&sandbox, VERSION);
    fs::write(path, "garbage").unwrap();
    unreadable(&sandbox.alice().within("r"), &format!("object {id} is damaged"));
}

#[test]
fn a_loose_object_that_ends_early() {
    let sandbox = registry();
    let (id, path) = loose(&sandbox, VERSION);
    let bytes = fs::read(&path).unwrap();
    for left in [bytes.len() / 2, 2, 0] {
        fs::write(&path, &bytes[..left]).unwrap();
        let said = says(&sandbox.alice().within("r"), 1, "version show churn 1", &id);
        assert!(said.contains("damaged"), "{left} bytes: {said}");
    }
}

#[test]
fn a_loose_object_with_the_content_of_another() {
    let sandbox = registry();
    let (id, path) = loose(&sandbox, VERSION);
    fs::copy(loose(&sandbox, "access.toml").1, path).unwrap();
    let words = format!("object {id} is damaged: its content does not have this id");
    unreadable(&sandbox.alice().within("r"), &words);
}

#[test]
fn a_missing_object() {
    let sandbox = registry();
    let (id, path) = loose(&sandbox, VERSION);
    fs::remove_file(path).unwrap();
    let words = format!("object {id} is missing from the repository; fetch it, or run `git fsck`");
    unreadable(&sandbox.alice().within("r"), &words);
}

#[test]
fn a_missing_tree_or_commit() {
    for what in ["models", ""] {
        let sandbox = registry();
        let (id, path) = loose(&sandbox, what);
        fs::remove_file(path).unwrap();
        let shell = sandbox.alice().within("r");
        for line in ["model list", "log", "model create risk", "transition churn 1 Staging"] {
            says(&shell, 1, line, &format!("object {id} is missing"));
        }
    }
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    let tip = head(&shell);
    fs::remove_file(sandbox.path(format!("r/.git/objects/{}/{}", &tip[..2], &tip[2..]))).unwrap();
    for line in ["model list", "log", "model create risk", "doctor"] {
        says(&shell, 1, line, &format!("object {tip} is missing"));
    }
    assert_eq!(sandbox.read("r/.git/refs/heads/main").trim(), tip);
}

#[test]
fn a_truncated_pack() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    shell.git(["gc", "--quiet"]).success();
    let folder = sandbox.path("r/.git/objects/pack");
    let files = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let pack = files.into_iter().find(|f| f.extension().is_some_and(|e| e == "pack")).unwrap();
    shell.run("chmod", ["u+w", pack.to_str().unwrap()]).success();
    let bytes = fs::read(&pack).unwrap();
    let before = head(&shell);
    // Truncates the pack: without its later objects, then with only its head, then empty.
    for (left, words) in [(bytes.len() / 2, "is damaged"), (10, "is damaged"), (0, "is damaged")] {
        fs::write(&pack, &bytes[..left]).unwrap();
        for line in ["version show churn 1", "log", "transition churn 1 Staging", "model create risk"] {
            says(&shell, 1, line, words);
        }
    }
    fs::remove_file(&pack).unwrap();
    says(&shell, 1, "model list", "is missing from the repository");
    fs::write(&pack, &bytes).unwrap();
    assert_eq!(head(&shell), before);
    says(&shell, 0, "transition churn 1 Staging", "move churn version 1 from None to Staging");
}
