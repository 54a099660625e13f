//! Repositories of an unusual kind, state or owner.

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
        says(&shell, 3, line, "has no registry; make one with `greenroom init`");
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
    // Uncommitted files of a registry do not make a registry.
    sandbox.write("r/README.md", "x\n");
    shell.git(["add", "."]).success();
    shell.git(["commit", "--quiet", "-m", "Start"]).success();
    sandbox.write("r/greenroom.toml", "format = 1\n");
    let before = head(&shell);
    for line in COMMANDS {
        says(&shell, 3, line, "has no registry; make one with `greenroom init`");
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
    says(&shell, 7, "doctor", "the clone is shallow: the older history is not available");
    // The hint of the error works.
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
    // The checked-out state can be read all the same, as CI jobs do.
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
    // Only the user can trust the repository, not the repository's own config.
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
    // The hint of the error works.
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
    // Bob asks for a version that Alice's newest commit deleted.
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
    // A deletion by hand, as git users do it.
    shell.git(["rm", "-r", "--quiet", "models/churn/versions/2"]).success();
    shell.git(["commit", "--quiet", "-m", "Gone"]).success();
    says(&shell, 3, "transition churn 2 Staging", "not found");
    assert_eq!(shell.git(["rev-parse", "HEAD~1"]).success().stdout().trim(), before);
}

#[test]
fn a_repository_that_git_refuses_is_not_written_to() {
    for (version, key, value, words) in [
        ("1", "extensions.foo", "true", "its extension `foo` is not supported"),
        ("1", "extensions.compatObjectFormat", "sha256", "its extension `compatobjectformat` is not supported"),
        ("2", "core.bare", "false", "only versions 0 and 1 are supported"),
        ("0", "extensions.objectFormat", "sha1", "objectFormat is a v1-only extension"),
    ] {
        let sandbox = registry();
        let shell = sandbox.alice().within("r");
        let before = head(&shell);
        let config = ["config", "--file", ".git/config"];
        shell.git(config.iter().chain(&[key, value])).success();
        shell.git(config.iter().chain(&["core.repositoryFormatVersion", version])).success();
        // Git itself supports compatObjectFormat; its extra data is not written here.
        let refuses = shell.git(["log"]).ended().2 == Some(128);
        assert!(refuses || key == "extensions.compatObjectFormat", "git opens it: {key}");
        for line in WRITES.iter().chain(&["model list", "init ."]) {
            says(&shell, 1, line, words);
        }
        shell.git(["config", "--file", ".git/config", "core.repositoryFormatVersion", "0"]).success();
        shell.git(["config", "--file", ".git/config", "--unset", key]).success();
        assert_eq!(head(&shell), before);
    }
    // Git ignores this extension, and so does greenroom.
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    shell.git(["config", "extensions.foo", "true"]).success();
    says(&shell, 0, "model create risk", "register the model risk");
}

#[test]
fn an_extension_that_the_installed_git_does_not_know() {
    let sandbox = registry();
    let shell = sandbox.alice().within("r");
    shell.git(["config", "extensions.relativeWorktrees", "true"]).success();
    shell.git(["config", "core.repositoryFormatVersion", "1"]).success();
    // Git supports it since 2.48.
    let known = shell.git(["log", "-1", "--format=x"]).ended().2 == Some(0);
    if known {
        says(&shell, 0, "model create risk", "register the model risk");
    } else {
        says(
            &shell,
            1,
            "model create risk",
            "its extension `relativeworktrees` is unknown to the git that is installed",
        );
    }
}

#[test]
fn a_bare_repository_that_is_to_be_named() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "--bare", "r.git"]).success();
    sandbox.greenroom(["init", "r"]).success();
    let shell = sandbox.alice().within("r.git");
    says(&shell, 0, "model list", "");
    // The repository's own config does not count.
    shell.git(["config", "safe.bareRepository", "explicit"]).success();
    says(&shell, 0, "model list", "");
    shell.git(["config", "--global", "safe.bareRepository", "explicit"]).success();
    shell.git(["log"]).code(128);
    for line in ["model list", "model create risk"] {
        says(&shell, 1, line, "safe.bareRepository allows bare repositories only if they are named: GIT_DIR=");
    }
    let named = shell.clone().env("GIT_DIR", sandbox.path("r.git"));
    says(&named, 0, "model create risk", "register the model risk");
    says(&named, 0, "doctor", "commits on main");
    says(&sandbox.alice().within("r"), 0, "model create risk", "register the model risk");
}

#[test]
fn a_new_repository_is_as_git_would_make_it() {
    let sandbox = Sandbox::new();
    sandbox.write("template/hooks/commit-msg", "#!/bin/sh\nexit 0\n");
    sandbox.write("template/hooks/pre-push", "#!/bin/sh\necho pushed >>seen\n");
    sandbox.write("template/info/exclude", "*.tmp\n");
    let run = ["-c", "chmod 755 template/hooks/*"];
    sandbox.alice().run("sh", run).success();
    let template = sandbox.path("template");
    for (key, value) in [
        ("init.templateDir", template.to_str().expect("UTF-8")),
        ("init.defaultObjectFormat", "sha256"),
        ("init.defaultBranch", "trunk"),
    ] {
        sandbox.git(["config", "--global", key, value]).success();
    }
    // The environment names another repository.
    let shell = sandbox.alice();
    says(&shell.clone().env("GIT_DIR", sandbox.path("elsewhere")), 0, "init r", "Made a registry");
    assert!(!sandbox.path("elsewhere").exists());
    let shell = shell.within("r");
    assert_eq!(shell.git(["rev-parse", "--show-object-format"]).success().stdout(), "sha256\n");
    assert_eq!(shell.git(["branch", "--show-current"]).success().stdout(), "trunk\n");
    assert!(sandbox.path("r/.git/hooks/commit-msg").exists());
    assert_eq!(sandbox.read("r/.git/info/exclude"), "*.tmp\n");
    assert_eq!(sandbox.read("r/.git/hooks/pre-push.d/00-existing"), sandbox.read("template/hooks/pre-push"));
    fill(&shell);
    sound(&shell);
    says(&shell, 0, "log", "register churn version 1");
}
