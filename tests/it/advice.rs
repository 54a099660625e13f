//! The advice of commands about wrong names, and the short form of long lists.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::Sandbox;
use crate::support::sandbox::Done;

/// A registry `r` that Alice manages.
fn registry() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    sandbox
}

/// Runs a command of Alice's in the registry, whose words are parted by spaces.
fn run(sandbox: &Sandbox, line: &str, code: i32) -> Done {
    sandbox.alice().within("r").greenroom(line.split(' ')).code(code)
}

/// Demands that a command fails with a code and says all these words.
#[track_caller]
fn refused(sandbox: &Sandbox, line: &str, code: i32, words: &[&str]) {
    let done = run(sandbox, line, code);
    for word in words {
        assert!(done.stderr().contains(word), "{line}: {word:?} is not in\n{}", done.stderr());
    }
}

#[test]
fn what_commands_write_is_as_fmt_wants_it() {
    let sandbox = registry();
    sandbox.write("model/weights.bin", "1234");
    for line in [
        "person add bob --email bob@example.org --login bobby",
        "stage set Canary --approvals 1 --require-metric auc>=0.5",
        "settings set --daily-cap 7",
        "settings set --authority author --self-approval true",
        "settings set --add-web web@example.org --name Ours --removal any",
        "alias guard champion --from Production --level manage-production",
        "stage set Production --from Staging --freeze 2026-12-20..2027-01-03 --require-tag ok=yes",
        "stage set Production --approver bob --drop-tag ok --thaw",
        "settings set --add-source s3://models/",
        "access grant bob edit",
        "register churn ../model --metric auc=0.9 --alias candidate",
        "version record churn 1 --metric f1=0.5",
        "tag set churn 1 b=2 a=1",
        "version record churn 1 --param depth=3",
        "version describe churn 1 A_text",
        "tag set churn team=risk",
        "model describe churn For_us",
        "comment add churn 1 Hello",
        "transition churn 1 Staging",
        "request create churn 1 Production",
        "request approve churn 1",
        "access group risk --add bob",
        "access grant group:risk read --model churn",
        "person set bob --add-login robert --name Bob",
        "notify model churn --level all",
        "notify digest daily",
        "webhook create https://hooks.example.org/x --event version.*",
        "model rename churn credit",
    ] {
        let done = sandbox.alice().within("r").greenroom(line.split(' '));
        // Whatever a command did or refused, it left the files in order.
        let fmt = sandbox.alice().within("r").greenroom(["fmt", "--check"]);
        assert_eq!(fmt.success().stdout(), "All files are in canonical form.\n", "{line}: {done:?}");
    }
    // Comments of people do not change that.
    let text = sandbox.read("r/greenroom.toml");
    sandbox.write("r/greenroom.toml", format!("# Ours\n{text}# The end\n"));
    run(&sandbox, "fmt", 0);
    sandbox.alice().within("r").git(["commit", "-qam", "Comment"]).success();
    run(&sandbox, "settings set --unready allow", 0);
    run(&sandbox, "fmt --check", 0);
    let text = sandbox.read("r/greenroom.toml");
    assert!(text.contains("# Ours\n") && text.contains("# The end\n") && text.contains("unready"), "{text}");
}

#[test]
fn register_names_all_that_cannot_be_stored_and_says_what_is_no_model_folder() {
    let sandbox = registry();
    for n in 0..13 {
        sandbox.write(format!("bad/a\\{n:02}"), "x");
    }
    symlink("a", sandbox.path("bad/link")).expect("a link");
    let done = run(&sandbox, "register m ../bad", 1);
    let said = done.stderr();
    assert!(said.contains("14 files cannot be part of a model:") && said.contains("and 4 more"), "{said}");
    assert_eq!(
        said.matches("control and invisible characters").count() + said.matches("is a symbolic link").count(),
        10
    );
    refused(&sandbox, "register m s3://bucket/m", 2, &["'s3://bucket/m' is a URI", "--source URI"]);
    refused(&sandbox, "register m file:///srv/m", 2, &["give the path of the folder: /srv/m"]);
    let local = ["register", "m", "runs:/0123/model", "--tracking-uri", "sqlite:///x.db"];
    let said = sandbox.alice().within("r").greenroom(local).code(2).stderr().to_owned();
    assert!(
        said.contains("not the URL of a tracking server") && said.contains("register the folder of the model"),
        "{said}"
    );

    for folder in ["blobs", "refs", "snapshots/0a1b"] {
        fs::create_dir_all(sandbox.path(format!("hub/{folder}"))).expect("a folder");
    }
    sandbox.write("hub/refs/main", "0a1b\n");
    sandbox.write("hub/blobs/f00d", "weights");
    symlink("../../blobs/f00d", sandbox.path("hub/snapshots/0a1b/model.bin")).expect("a link");
    refused(&sandbox, "register m ../hub", 2, &["Hugging Face hub", "give a snapshot: ../hub/snapshots/0a1b"]);
    run(&sandbox, "register m ../hub/snapshots/0a1b", 0);
    let again = run(&sandbox, "register m ../hub/snapshots/0a1b", 0);
    assert!(again.stderr().contains("the files are the same as those of version 1"), "{}", again.stderr());
    sandbox.write("other/model.bin", "other weights");
    assert!(!run(&sandbox, "register m ../other", 0).stderr().contains("same files"), "they are others");
}

#[test]
fn a_name_of_another_kind_or_time_is_hinted_at() {
    let sandbox = registry();
    run(&sandbox, "register churn --source s3://m/1 --alias candidate", 0);
    refused(&sandbox, "show churn Candidate", 3, &["candidate is an alias: write churn@candidate"]);
    run(&sandbox, "model rename churn credit", 0);
    run(&sandbox, "model create later", 0);
    for line in [
        "show credit@{HEAD~2}",
        "show credit/1@{HEAD~2}",
        "fetch credit/1@{HEAD~2} out",
        "version list credit@{HEAD~2}",
    ] {
        refused(&sandbox, line, 3, &["the model credit was called 'churn' before"]);
    }
    refused(&sandbox, "show later@{HEAD~1}", 3, &["`greenroom log later` shows when"]);
    refused(&sandbox, "show credlt", 3, &["did you mean 'credit'?"]);
    refused(&sandbox, "search versions colour='red'", 2, &["also has alias, stage, description", "metrics.KEY"]);
    let typo = run(&sandbox, "stage set Prodution --approvals 1 -n", 0);
    assert!(typo.stderr().contains("if Production was meant, name that"), "{}", typo.stderr());
    assert!(typo.stdout().contains("declare the stage Prodution"), "{}", typo.stdout());
}

#[test]
fn a_freeze_reads_the_moments_that_people_write() {
    let sandbox = Sandbox::new();
    let then = "2026-03-01T12:00:00Z";
    sandbox.alice().at(then).greenroom(["init", "r"]).success();
    let freeze = ["stage", "set", "Production", "--freeze", "yesterday..tomorrow", "--reason", "Holidays"];
    sandbox.alice().within("r").at(then).greenroom(freeze).success();
    let text = sandbox.read("r/greenroom.toml");
    assert!(text.contains("from = 2026-02-28") && text.contains("to = 2026-03-02"), "{text}");
    refused(&sandbox, "stage set Production --freeze tomorrow..yesterday", 2, &["ends before it begins"]);
    refused(&sandbox, "alias guard champion --freeze soon..tomorrow", 2, &["--freeze", "'soon' is not a date"]);
}

#[test]
fn what_is_said_twice_or_with_nothing_is_refused() {
    let sandbox = registry();
    let apply = |text: &str| {
        let shell = sandbox.alice().within("r").input(text.to_owned());
        shell.greenroom(["apply", "-f", "-"]).code(1).stderr().to_owned()
    };
    let said = apply(r#"{"do": "model.create", "model": "a", "model": "b"}"#);
    assert!(said.contains("the key 'model' is given twice"), "{said}");
    let said = apply(r#"[{"do": "model.create", "model": "a", "tags": {"x": "1", "x": "2"}}]"#);
    assert!(said.contains("the key 'x' is given twice"), "{said}");
    let said = sandbox.alice().within("r").greenroom(["settings", "set", "--name", " "]).code(2).stderr().to_owned();
    assert!(said.contains("the name is empty"), "{said}");
    assert_eq!(run(&sandbox, "model list -o json", 0).json(), json!([]));
}

#[test]
fn many_faults_of_a_kind_are_folded() {
    let sandbox = registry();
    for n in 0..17 {
        sandbox.write(format!("r/notes/{n}.txt"), "x\n");
    }
    let done = run(&sandbox, "check", 1);
    let said = done.stdout();
    assert_eq!(said.matches("fault: notes/").count(), 3, "{said}");
    assert!(said.contains("and 14 more like it; `-o json` lists all") && said.contains("17 faults"), "{said}");
    assert!(said.contains("README.md, README, LICENSE") && said.contains("docs/"), "{said}");
    assert_eq!(run(&sandbox, "check -o json", 1).json()["faults"].as_array().map(Vec::len), Some(17));
}

#[test]
fn doctor_advises_to_rebase_where_a_gate_refuses_merges() {
    let sandbox = registry();
    let alice = sandbox.alice().within("r");
    let pull = || {
        let all = run(&sandbox, "doctor -o json", 0).json();
        let found = all["checks"].as_array().expect("checks").iter().find(|c| c["name"] == "pull").cloned();
        found.map(|check| check["help"].as_str().unwrap_or_default().to_owned())
    };
    sandbox.alice().git(["init", "-q", "--bare", "served.git"]).success();
    alice.git(["remote", "add", "origin", "../served.git"]).success();
    alice.git(["push", "-q", "-u", "origin", "main"]).success();
    assert_eq!(pull(), None, "no gate is said to judge");
    run(&sandbox, "settings set --authority pusher", 0);
    assert_eq!(pull().as_deref(), Some("git config pull.rebase true"));
    alice.git(["config", "pull.rebase", "true"]).success();
    assert_eq!(pull(), None);
    alice.git(["config", "branch.main.rebase", "false"]).success();
    assert!(pull().is_some(), "the branch's own setting goes first");
}
