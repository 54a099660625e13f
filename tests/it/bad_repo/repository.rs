//! Repositories of another kind, state or owner than a registry's usual one.

use super::{fill, head, models, need_root, registry, says, sound};
use crate::support::Sandbox;

/// Commands that read, and one that writes.
const COMMANDS: [&str; 6] =
    ["model list", "version show churn 1", "log", "search versions", "check", "model create risk"];

#[test]
fn no_repository_at_all() {
    let sandbox = Sandbox::new();
    for line in COMMANDS {
        says(&sandbox.alice(), 3, line, "is not in a git repository; go to one, or make one with `git init`");
    }
}

#[test]
fn a_repository_without_any_commit() {
    let sandbox = Sandbox::new();
    sandbox.git(["init", "--quiet", "r"]).success();
    let shell = sandbox.alice().within("r");
    for line in COMMANDS {
        says(&shell, 3, line, "holds no registry; make one with `greenroom init`");
    }
    assert_eq!(shell.git(["status", "--porcelain"]).success().stdout(), "");
    says(&shell, 0, "init .", "Made a registry");
    says(&shell, 0, "model create risk", "");
}

#[test]
fn a_repository_that_is_no_registry() {
    let sandbox = Sandbox::new();
    sandbox.git(["init", "--quiet", "r"]).success();
    let shell = sandbox.alice().within("r");
    // Files of a registry that nobody committed do not make one.
    sandbox.write("r/README.md", "x\n");
    shell.git(["add", "."]).success();
    shell.git(["commit", "--quiet", "-m", "Start"]).success();
    sandbox.write("r/greenroom.toml", "format = 1\n");
    let before = head(&shell);
    for line in COMMANDS {
        says(&shell, 3, line, "holds no registry; make one with `greenroom init`");
    }
    assert_eq!(head(&shell), before);
}

#[test]
fn a_shallow_clone_knows_the_present_and_says_that_it_has_no_past() {
    let sandbox = registry();
    let origin = format!("file://{}", sandbox.path("r").display());
    sandbox.git(["clone", "--quiet", "--depth=1", &origin, "shallow"]).success();
    let shell = sandbox.alice().within("shallow");
    says(&shell, 0, "model list", "churn");
    says(&shell, 0, "version show churn 1", "s3://models/1");
    says(&shell, 0, "check", "No faults");
    says(&shell, 0, "model create risk", "register the model risk");
    let cut = "the repository is a shallow clone and this needs its history; run `git fetch --unshallow`";
    for line in ["log", "log churn", "show models:/churn/1@{2020-01-01}", "search versions", "diff 2020-01-01"] {
        says(&shell, 1, line, cut);
    }
    says(&shell, 3, "show models:/churn/1@{HEAD~5}", "nor a revision of the repository");
    says(&shell, 7, "doctor", "the clone is shallow: the past cannot be read");
    // The way out that it names is one.
    shell.git(["fetch", "--quiet", "--unshallow"]).success();
    says(&shell, 0, "log", "register churn version 1");
    sound(&shell);
}

/// Commands that write.
const WRITES: [&str; 3] = ["model create risk", "comment add churn 1 hm", "transition churn 1 Staging"];

#[test]
fn head_on_no_branch() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    shell.git(["switch", "--quiet", "--detach"]).success();
    let before = head(&shell);
    for line in WRITES {
        says(&shell, 1, line, "HEAD is on no branch (detached)");
    }
    assert_eq!(head(&shell), before);
    // What is checked out can be read all the same, as jobs of CI do.
    says(&shell, 0, "log", "register churn version 1");
    shell.git(["switch", "--quiet", "main"]).success();
    says(&shell, 0, "model create risk", "register the model risk");
}

#[test]
fn a_repository_of_another_owner() {
    let sandbox = registry();
    need_root(&sandbox, "give a repository to another user");
    let shell = sandbox.alice().within("r");
    shell.run("chown", ["-R", "nobody", "."]).success();
    let path = sandbox.path("r");
    let hint = format!("git config --global --add safe.directory {}", path.display());
    for line in COMMANDS {
        let said = says(&shell, 1, line, &hint);
        assert!(said.contains("belongs to another user (git calls this dubious ownership)"), "{said}");
    }
    // Trust is for the user to say, not for the repository itself.
    shell.run("sh", ["-c", "printf '[safe]\\n\\tdirectory = *\\n' >> .git/config"]).success();
    says(&shell, 1, "model list", &hint);
    sandbox.write("trusting", format!("[safe]\n\tdirectory = {}\n", path.display()));
    let trusting = shell.env("GIT_CONFIG_GLOBAL", sandbox.path("trusting"));
    says(&trusting, 0, "model list", "churn");
    says(&trusting, 0, "model create risk", "register the model risk");
}

#[test]
fn a_reftable_repository() {
    let sandbox = Sandbox::new();
    sandbox.git(["init", "--quiet", "--ref-format=reftable", "r"]).success();
    let shell = sandbox.alice().within("r");
    for line in ["init .", "model list", "log", "model create risk"] {
        let said = says(&shell, 1, line, "keeps its references in the format `reftable`, which is not supported");
        assert!(said.contains("refs migrate --ref-format=files"), "{said}");
    }
    // The way out that it names is one.
    shell.git(["refs", "migrate", "--ref-format=files"]).success();
    says(&shell, 0, "init .", "Made a registry");
}

#[test]
fn a_sha256_repository_works_from_end_to_end() {
    let sandbox = Sandbox::new();
    sandbox.git(["init", "--quiet", "--object-format=sha256", "r"]).success();
    let shell = sandbox.alice().within("r");
    says(&shell, 0, "init .", "Made a registry");
    fill(&shell);
    sandbox.write("model/weights.txt", "1 2 3\n");
    says(&shell, 0, "register churn ../model", "register churn version 2");
    says(&shell, 0, "transition churn 2 Staging", "move churn version 2 from None to Staging");
    let log = shell.greenroom(["log", "-o", "json"]).success().json();
    let commits: Vec<&str> = log.as_array().unwrap().iter().filter_map(|s| s["commit"].as_str()).collect();
    assert!(!commits.is_empty() && commits.iter().all(|c| c.len() == 64), "{commits:?}");
    assert!(commits.contains(&head(&shell).as_str()), "{commits:?}");
    says(&shell, 0, "search versions", "churn");
    says(&shell, 0, "show models:/churn/Staging", "2 of churn");
    says(&shell, 0, "show models:/churn/2@{HEAD~1}", "None");
    says(&shell, 0, "diff HEAD~1", "move churn version 2 from None to Staging");
    says(&shell, 0, "fetch models:/churn/Staging ../out", "verified");
    assert_eq!(sandbox.read("out/weights.txt"), "1 2 3\n");
    says(&shell, 0, "check", "No faults");
    sandbox.git(["clone", "--quiet", "--bare", "r", "bare.git"]).success();
    assert_eq!(models(&sandbox.alice().within("bare.git")), ["churn"]);
    assert_eq!(shell.git(["status", "--porcelain"]).success().stdout(), "");
    sound(&shell);
}

#[test]
fn what_another_writer_deleted_meanwhile_is_not_found() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    says(&shell, 0, "register churn --source s3://models/2", "register churn version 2");
    // Bob asks for a version that Alice's step, the newest of the branch, has taken away.
    says(&shell, 0, "version delete churn 1 --yes", "delete churn version 1");
    let before = head(&shell);
    let bob = sandbox.bob().within("r");
    for line in [
        "transition churn 1 Staging",
        "version show churn 1",
        "comment add churn 1 hello",
        "request create churn 1 Staging",
        "show models:/churn/1",
    ] {
        says(&bob, 3, line, "not found");
    }
    // By hand, as git users delete.
    shell.git(["rm", "-r", "--quiet", "models/churn/versions/2"]).success();
    shell.git(["commit", "--quiet", "-m", "Gone"]).success();
    says(&shell, 3, "transition churn 2 Staging", "not found");
    assert_eq!(shell.git(["rev-parse", "HEAD~1"]).success().stdout().trim(), before);
}
