//! Installed hooks: beside other hooks, and their refusals when something is missing or broken.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::{Sandbox, Shell, trees};

/// An empty served repository, and a clone of a registry to push from.
struct Served {
    sandbox: Sandbox,
}

const UNIX: [&str; 4] = ["hook", "install", "--host", "unix"];

impl Served {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.git(["init", "--quiet", "--bare", "served.git"]).success();
        sandbox.greenroom(["init", "registry"]).success();
        Self { sandbox }
    }

    fn server(&self) -> Shell<'_> {
        self.sandbox.alice().within("served.git")
    }

    fn alice(&self) -> Shell<'_> {
        self.sandbox.alice().within("registry").env("LOGNAME", "alice").env("USER", "alice")
    }

    fn hook(&self, path: &str, text: &str) {
        self.sandbox.write(format!("served.git/hooks/{path}"), text);
        let permissions = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(path), permissions).expect("writable");
    }

    fn path(&self, hook: &str) -> PathBuf {
        self.sandbox.path("served.git/hooks").join(hook)
    }

    /// The installed hooks, without git's samples.
    fn hooks(&self) -> Vec<String> {
        let mut found = trees::files(&self.path(""));
        found.retain(|f| !f.ends_with(".sample"));
        found
    }

    #[track_caller]
    fn lands(&self) {
        self.alice().git(["push", "../served.git", "main"]).success();
    }

    #[track_caller]
    fn refused(&self, words: &str) {
        let said = self.alice().git(["push", "../served.git", "main"]).code(1);
        assert!(said.stderr().contains(words), "{words:?} is not in\n{}", said.stderr());
        let refs = self.server().git(["for-each-ref"]).success();
        assert_eq!(refs.stdout(), "", "a refused push moved something");
    }
}

#[test]
fn hooks_are_real_files_that_say_what_they_are() {
    let served = Served::new();
    served.server().greenroom(UNIX).success();
    assert_eq!(served.hooks(), ["post-receive", "pre-receive"]);
    for name in served.hooks() {
        let file = fs::symlink_metadata(served.path(&name)).expect("it is there");
        assert!(file.is_file() && file.permissions().mode() & 0o777 == 0o755, "{name}");
        let shown = served.server().run("sh", ["-n", &format!("hooks/{name}")]).success();
        assert_eq!(shown.stderr(), "", "sh takes it");
    }
    served.lands();
}

#[test]
fn installing_twice_changes_nothing() {
    let served = Served::new();
    served.server().greenroom(UNIX).success();
    let config = served.sandbox.read("served.git/config");
    let again = served.server().greenroom(UNIX).success();
    assert_eq!(again.stdout(), "the gate is already installed\n");
    assert_eq!(served.sandbox.read("served.git/config"), config);
    assert_eq!(served.hooks(), ["post-receive", "pre-receive"]);
}

#[test]
fn the_settings_of_a_served_repository_are_written_and_those_that_differ_are_told() {
    let served = Served::new();
    served.server().git(["config", "receive.autogc", "true"]).success();
    let words = ["hook", "install", "--host", "http", "--protect", "release/*", "--protect", "prod"];
    let said = served.server().greenroom(words).success();
    assert!(said.stderr().contains("receive.autogc is true and was not changed"), "{}", said.stderr());
    let get = |key: &str| served.server().git(["config", "--local", "--get-all", key]).success().stdout().to_owned();
    assert_eq!(get("greenroom.host"), "http\n");
    assert_eq!(get("greenroom.protected"), "release/*\nprod\n");
    assert_eq!(get("receive.denyNonFastForwards"), "true\n");
    assert_eq!(get("receive.fsckObjects"), "true\n");
    assert_eq!(get("core.fsync"), "all\n");
    assert_eq!(get("receive.autogc"), "true\n");
    served.server().greenroom(["hook", "install", "--host", "http"]).success();
    served.server().git(["config", "--get", "greenroom.protected"]).code(1);
    // A config key that git does not know would cause a warning at each push.
    served.server().greenroom(UNIX).success();
    let push = served.alice().git(["push", "../served.git", "main"]).success();
    assert!(!push.stderr().to_lowercase().contains("unknown"), "{}", push.stderr());
}

#[test]
fn a_host_with_pull_requests_lets_people_rewrite_their_branches() {
    let served = Served::new();
    served.server().greenroom(["hook", "install", "--host", "gitea"]).success();
    served.server().git(["config", "receive.denyNonFastForwards"]).code(1);
    let gitea = [("GITEA_PUSHER_NAME", "alice"), ("GITEA_PUSHER_EMAIL", "alice@example.org")];
    let alice = gitea.iter().fold(served.alice(), |alice, (name, value)| alice.env(*name, *value));
    alice.git(["switch", "--quiet", "-c", "topic"]).success();
    for message in ["First", "Second"] {
        alice.git(["commit", "--quiet", "--allow-empty", "-m", message]).success();
        alice.git(["push", "--quiet", "--force", "../served.git", "topic"]).success();
        alice.git(["reset", "--quiet", "--hard", "HEAD~1"]).success();
    }
    let tip = served.server().git(["log", "-1", "--format=%s", "topic"]).success();
    assert_eq!(tip.stdout(), "Second\n", "the branch was rewritten");
}

#[test]
fn a_branch_that_becomes_protected_with_commits_of_its_own_is_named() {
    let served = Served::new();
    served.server().greenroom(UNIX).success();
    served.alice().git(["push", "--quiet", "../served.git", "main"]).success();
    served.server().git(["branch", "hotfix/x", "main"]).success();
    let said = served.server().greenroom(["hook", "install", "--host", "unix", "--protect", "hotfix/*"]).success();
    assert!(said.stderr().contains("the branch hotfix/x is protected from now on"), "{}", said.stderr());
    let said = served.server().greenroom(["hook", "install", "--host", "unix", "--protect", "hotfix/*"]).success();
    assert!(!said.stderr().contains("hotfix/x"), "it is said once: {}", said.stderr());
}

#[test]
fn a_hook_that_is_there_runs_first_and_comes_back() {
    let served = Served::new();
    let text = "#!/bin/sh\ncat >>seen\n[ ! -e stop ] || { echo 'not on Fridays' >&2; exit 7; }\n";
    served.hook("pre-receive", text);
    let said = served.server().greenroom(UNIX).success();
    assert!(said.stdout().contains("moved the existing hook"), "{}", said.stdout());
    let beside = ["post-receive", "pre-receive", "pre-receive.d/00-existing", "pre-receive.d/greenroom"];
    assert_eq!(served.hooks(), beside);
    served.server().greenroom(UNIX).success();
    assert_eq!(served.hooks(), beside, "a second time changes nothing");

    served.sandbox.write("served.git/stop", "");
    served.refused("not on Fridays");
    fs::remove_file(served.sandbox.path("served.git/stop")).expect("it is there");
    served.lands();
    let tip = served.alice().git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    let zeros = "0".repeat(tip.len());
    let line = format!("{zeros} {tip} refs/heads/main\n");
    assert_eq!(served.sandbox.read("served.git/seen"), line.repeat(2), "it read what git writes, each time");

    // The gate's own refusal still counts, even if another hook accepts.
    served.alice().git(["reset", "--hard", "--quiet", "HEAD"]).success();
    let gone = served.alice().git(["push", "../served.git", "--delete", "main"]).code(1);
    assert!(gone.stderr().contains("may not be deleted"), "{}", gone.stderr());

    served.server().greenroom(["hook", "uninstall"]).success();
    assert_eq!(served.hooks(), ["pre-receive"]);
    assert_eq!(served.sandbox.read("served.git/hooks/pre-receive"), text);
    served.server().git(["config", "greenroom.host"]).code(1);
    let nothing = served.server().greenroom(["hook", "uninstall"]).success();
    assert_eq!(nothing.stdout(), "the gate is not installed\n");
}

#[test]
fn without_greenroom_nothing_is_accepted() {
    let served = Served::new();
    // A program at a path that must be quoted for the shell.
    let folder = served.sandbox.path("it's a $HOME of `its` own");
    fs::create_dir(&folder).expect("writable");
    let program = folder.join("green room");
    // A separate process makes the copy: children of other tests may hold a file of this process open for a moment.
    served.server().run("cp", [Path::new(env!("CARGO_BIN_EXE_greenroom")), &program]).success();
    served.server().run(&program, UNIX).success();
    served.server().run(&program, ["hook", "status"]).success();
    // Another greenroom would write other hooks.
    let other = served.server().greenroom(["hook", "status"]).code(7);
    assert!(other.stdout().contains("starts another"), "{}", other.stdout());

    let kept = folder.join("kept");
    fs::rename(&program, &kept).expect("writable");
    served.refused("the gate of this registry cannot run");
    let broken = |text: &str| {
        fs::write(&program, text).expect("writable");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("writable");
        let _ = fs::metadata(&program);
    };
    for crash in ["#!/bin/sh\nkill -SEGV $$\n", "#!/bin/sh\nexit 101\n", "#!/nowhere/at/all\n"] {
        broken(crash);
        served.refused("pre-receive hook declined");
        fs::remove_file(&program).expect("it is there");
    }
    fs::rename(&kept, &program).expect("writable");
    served.lands();
}

#[test]
fn a_gate_that_was_taken_out_of_the_folder_refuses() {
    let served = Served::new();
    served.hook("pre-receive", "#!/bin/sh\ncat >/dev/null\n");
    served.server().greenroom(UNIX).success();
    fs::remove_file(served.path("pre-receive.d/greenroom")).expect("it is there");
    served.refused("the gate of this registry cannot run");
}

#[test]
fn without_a_host_nothing_is_accepted() {
    let served = Served::new();
    served.server().greenroom(UNIX).success();
    served.server().git(["config", "--unset", "greenroom.host"]).success();
    served.refused("no setting says how this server names the pusher");
    served.server().git(["config", "greenroom.host", "sourceforge"]).success();
    served.refused("'sourceforge' is not a known git host");
    // The user's own config does not count: every person who pushes to a path has one.
    served.server().git(["config", "--unset", "greenroom.host"]).success();
    served.server().git(["config", "--global", "greenroom.host", "unix"]).success();
    served.refused("no setting says how this server names the pusher");
    let update = ["hook", "pre-receive", "--host", "http"];
    served.server().git(["config", "greenroom.host", "unix"]).success();
    let two = served.server().env("GIT_DIR", ".").greenroom(update).code(1);
    assert!(two.stderr().contains("for a host of the kind http, but the repository says"), "{}", two.stderr());
}

#[test]
fn what_git_would_not_send_is_refused() {
    let served = Served::new();
    served.server().greenroom(UNIX).success();
    let tip = served.alice().git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    let zeros = "0".repeat(tip.len());
    let line = |name: &str| format!("{zeros} {tip} {name}\n");
    let many: String = (0..60).map(|i| line(&format!("refs/heads/x{i}"))).collect();
    for (input, words) in [
        ("rubbish\n".to_owned(), "fewer than three parts"),
        (line("HEAD"), "a name is not the name of a reference"),
        (line("refs/heads/a\u{1b}[2J"), "a name is not the name of a reference"),
        (line("refs/heads/x").trim_end().to_owned(), "the last line is not complete"),
        (format!("{}{}", line("refs/heads/x"), "\u{0}\n"), "fewer than three parts"),
        (many, "more than 50 references"),
        (line("refs/heads/main"), "which is missing"),
    ] {
        let said = served.server().env("LOGNAME", "alice").input(input.clone()).greenroom(["hook", "pre-receive"]);
        let said = said.code(1);
        assert!(said.stderr().contains(words), "{input:?}: {words:?} is not in\n{}", said.stderr());
        assert!(said.stderr().is_ascii() && said.stderr().len() <= 4096);
    }
}

#[test]
fn hooks_in_a_folder_of_ones_own_are_found() {
    let served = Served::new();
    served.server().git(["config", "core.hooksPath", "my hooks"]).success();
    let said = served.server().greenroom(UNIX).success();
    assert!(!said.stderr().contains("warning"), "{}", said.stderr());
    assert!(served.sandbox.path("served.git/my hooks/pre-receive").exists());
    served.alice().git(["push", "../served.git", "main"]).success();
    let gone = served.alice().git(["push", "../served.git", "--delete", "main"]).code(1);
    assert!(gone.stderr().contains("may not be deleted"), "{}", gone.stderr());
    served.server().greenroom(["hook", "uninstall"]).success();
    assert!(!served.sandbox.path("served.git/my hooks/pre-receive").exists());

    // A hooks folder that other repositories share causes a warning.
    served.server().git(["config", "--unset", "core.hooksPath"]).success();
    let shared = served.sandbox.path("shared");
    served.server().git(["config", "--global", "core.hooksPath", shared.to_str().expect("UTF-8")]).success();
    let said = served.server().greenroom(UNIX).success();
    assert!(said.stderr().contains("in every repository that uses it"), "{}", said.stderr());
    assert!(shared.join("pre-receive").exists());
}

#[test]
fn a_repository_that_cannot_be_served_is_told() {
    let served = Served::new();
    let said = served.alice().greenroom(UNIX).success();
    assert!(said.stderr().contains("this repository has a work tree"), "{}", said.stderr());
    let shell = served.sandbox.alice();
    // Git supports the format since 2.45.
    let made = shell.git(["init", "--quiet", "--bare", "--ref-format=reftable", "table.git"]).any();
    if made.1.is_empty() {
        let said = shell.greenroom(["hook", "install", "--bare", "table.git", "--host", "unix"]).code(1);
        assert!(said.stderr().contains("reftable"), "{}", said.stderr());
    }
    shell.greenroom(["hook", "install", "--bare", "nowhere", "--host", "unix"]).code(3);
    shell.greenroom(["hook", "install", "--bare", "served.git", "--host", "sourceforge"]).code(2);
    let pattern = ["hook", "install", "--bare", "served.git", "--host", "unix", "--protect=-x"];
    shell.greenroom(pattern).code(2);
    served.hook("pre-receive", "#!/bin/sh\n");
    served.hook("pre-receive.d/00-existing", "#!/bin/sh\n");
    let said = served.server().greenroom(UNIX).code(6);
    assert!(said.stderr().contains("the existing hook would be moved to this path"), "{}", said.stderr());
}

#[test]
fn other_branches_are_free_and_need_no_pusher() {
    let served = Served::new();
    served.server().greenroom(["hook", "install", "--host", "http"]).success();
    served.lands();
    let push = served.alice().git(["push", "../served.git", "main:wip"]).success();
    assert!(push.stderr().contains("[new branch]"), "{}", push.stderr());
}

#[test]
fn status_says_whether_the_gate_is_in_force() {
    let served = Served::new();
    let none = served.server().greenroom(["hook", "status"]).code(7);
    assert!(none.stdout().contains("it is not installed"), "{}", none.stdout());
    served.server().greenroom(UNIX).success();
    let json = served.server().greenroom(["hook", "status", "-o", "json"]).success().json();
    assert_eq!((&json["ok"], &json["host"]), (&serde_json::json!(true), &serde_json::json!("unix")));
    fs::set_permissions(served.path("pre-receive"), fs::Permissions::from_mode(0o644)).expect("writable");
    let idle = served.server().greenroom(["hook", "status"]).code(7);
    assert!(idle.stdout().contains("it is not executable, so git ignores it"), "{}", idle.stdout());
}

#[test]
fn a_repository_that_lost_its_hooks_is_noticed() {
    let served = Served::new();
    served.server().greenroom(UNIX).success();
    served.lands();
    let gate = |shell: &Shell<'_>| {
        let (stdout, _, code) = shell.greenroom(["doctor", "-o", "json"]).ended();
        let told: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        let check =
            told["checks"].as_array().expect("checks").iter().find(|c| c["name"] == "gate").expect("made").clone();
        (
            check["state"].as_str().expect("a word").to_owned(),
            check["message"].to_string(),
            check["help"].to_string(),
            code,
        )
    };
    assert_eq!(gate(&served.server()).0, "ok");
    let quiet = served.server().greenroom(["watch", "--once"]).success();
    assert!(!quiet.stderr().contains("greenroom.host"), "{}", quiet.stderr());

    // A backup without the hooks; one whose files are not executable; one where core.hooksPath leads elsewhere.
    let lose: [&dyn Fn(); 3] = [
        &|| fs::remove_file(served.path("pre-receive")).expect("it is there"),
        &|| fs::set_permissions(served.path("pre-receive"), fs::Permissions::from_mode(0o644)).expect("writable"),
        &|| drop(served.server().git(["config", "core.hooksPath", "/nowhere/at/all"]).success()),
    ];
    for lost in lose {
        lost();
        let (state, message, help, code) = gate(&served.server());
        assert_eq!((state.as_str(), code), ("fail", Some(7)), "{message}");
        assert!(message.contains("greenroom.host is set") && help.contains("hook install --bare"), "{message} {help}");
        let watched = served.server().greenroom(["watch", "--once"]).success();
        assert!(watched.stderr().contains("greenroom.host is set"), "{}", watched.stderr());
        let log = served.sandbox.path("serve.log");
        let server = crate::support::server::Server::start(&served.server(), log.clone(), &[]);
        drop(server);
        let said = fs::read_to_string(&log).expect("the log of the server");
        assert!(said.contains("greenroom.host is set") && said.contains("hook install --bare"), "{said}");
        served.server().git(["config", "--unset", "core.hooksPath"]).any();
        served.server().greenroom(UNIX).success();
        assert_eq!(gate(&served.server()).0, "ok");
    }
    // If no gate is meant to be installed, none is missed.
    served.server().greenroom(["hook", "uninstall"]).success();
    assert_eq!(gate(&served.server()).0, "ok");
}

/// A served repository with a registry two folders deep, the authority `pusher`, and a push by another person.
fn deep_registry() -> Served {
    let sandbox = Sandbox::new();
    sandbox.git(["init", "--quiet", "--bare", "served.git"]).success();
    sandbox.greenroom(["init", "registry", "--at", "ml/team/registry"]).success();
    let served = Served { sandbox };
    served.server().greenroom(UNIX).success();
    served.alice().greenroom(["settings", "set", "--authority", "pusher"]).success();
    served.lands();
    served
}

/// A person without any grant commits and pushes.
fn bob(served: &Served) -> Shell<'_> {
    served.sandbox.shell("Bob", "bob@example.org").within("bob").env("LOGNAME", "bob").env("USER", "bob")
}

#[test]
fn a_registry_at_any_depth_is_judged_when_it_changes_moves_or_comes() {
    let served = deep_registry();
    let clone = ["clone", "--quiet", "../served.git", "."];
    fs::create_dir_all(served.sandbox.path("bob")).expect("writable");
    bob(&served).git(clone).success();
    let refused = |change: &dyn Fn(&Shell<'_>), words: &str| {
        let shell = bob(&served);
        change(&shell);
        shell.git(["add", "-A"]).success();
        shell.git(["commit", "--quiet", "-m", "mine"]).success();
        let said = shell.git(["push", "--quiet", "origin", "HEAD:main"]).code(1);
        assert!(said.stderr().contains(words), "{words:?} is not in\n{}", said.stderr());
        shell.git(["reset", "--quiet", "--hard", "origin/main"]).success();
    };
    let settings = "bob/ml/team/registry/greenroom.toml";
    let rename = |_: &Shell<'_>| {
        let text = fs::read_to_string(served.sandbox.path(settings)).expect("it is there");
        served.sandbox.write(settings, text.replace("name = \"registry\"", "name = \"hacked\""));
    };
    refused(&rename, "is not a person of this registry");
    refused(&|shell| drop(shell.git(["mv", "ml/team/registry", "reg2"]).success()), "is not a person of this registry");
    let another = |at: &str| {
        let text = fs::read_to_string(served.sandbox.path(settings)).expect("it is there");
        served.sandbox.write(format!("bob/{at}/greenroom.toml"), &text);
    };
    refused(&|_| another("top"), "is not a person of this registry");
    refused(&|_| another("x/y/z"), "is not a person of this registry");
    // Everyone may change files beside the registry.
    let shell = bob(&served);
    served.sandbox.write("bob/src/a/b/c.txt", "text");
    shell.git(["add", "-A"]).success();
    shell.git(["commit", "--quiet", "-m", "beside it"]).success();
    shell.git(["push", "--quiet", "origin", "HEAD:main"]).success();
    // A new installation records the folder of the registry in the config.
    let again = served.server().greenroom(UNIX).success();
    assert!(again.stdout().contains("set greenroom.registry to ml/team/registry"), "{}", again.stdout());
    refused(&rename, "is not a person of this registry");
}

#[test]
fn a_deep_registry_is_found_from_the_root_and_in_a_bare_repository_and_status_names_it() {
    let served = deep_registry();
    served.alice().greenroom(["model", "create", "churn"]).success();
    served.alice().git(["config", "--unset", "greenroom.registry"]).success();
    served.alice().greenroom(["model", "create", "other"]).success();
    let found = served.alice().greenroom(["model", "list"]).success();
    assert!(found.stdout().contains("churn") && found.stdout().contains("other"), "{}", found.stdout());
    served.lands();
    let found = served.server().greenroom(["model", "list"]).success();
    assert!(found.stdout().contains("churn"), "{}", found.stdout());
    let json = served.server().greenroom(["hook", "status", "-o", "json"]).success().json();
    assert_eq!(json["registries"], serde_json::json!(["ml/team/registry/"]));
    let doctor = served.server().greenroom(["doctor", "-o", "json"]).ended().0;
    assert!(doctor.contains("the registry in ml/team/registry/"), "{doctor}");
}

#[test]
fn a_push_whose_folders_cannot_be_searched_is_refused_and_status_fails() {
    let served = deep_registry();
    fs::create_dir_all(served.sandbox.path("bob")).expect("writable");
    bob(&served).git(["clone", "--quiet", "../served.git", "."]).success();
    let shell = bob(&served);
    served.sandbox.write(format!("bob/{}deep.txt", "d/".repeat(140)), "text");
    shell.git(["add", "-A"]).success();
    shell.git(["commit", "--quiet", "-m", "deep"]).success();
    let said = shell.git(["push", "--quiet", "origin", "HEAD:main"]).code(1);
    assert!(said.stderr().contains("greenroom: the push is refused"), "{}", said.stderr());
    // The push bypasses the gate: then the gate must not claim that it knows all registries.
    fs::rename(served.path("pre-receive"), served.path("away")).expect("it is there");
    shell.git(["push", "--quiet", "origin", "HEAD:main"]).success();
    fs::rename(served.path("away"), served.path("pre-receive")).expect("it is there");
    let status = served.server().greenroom(["hook", "status"]).code(7);
    assert!(status.stdout().contains("cannot be found"), "{}", status.stdout());
}
