//! Transition requests by command: approvals that are kept while the version may not move, and those that do not count.

use serde_json::Value;

use crate::support::{Sandbox, Shell};

/// A registry of Alice's where Production takes two approvals, and only versions from Staging; Bob, Carol and Dave may
/// approve. Version 1 of `churn` is in no stage.
fn registry() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let alice = by(&sandbox, "alice");
    for name in ["bob", "carol", "dave"] {
        alice.greenroom(["person", "add", name, "--email", &format!("{name}@example.org")]).success();
        alice.greenroom(["access", "grant", name, "manage-production"]).success();
    }
    alice.greenroom(["register", "churn", "--source", "s3://models/churn/1", "--metric", "auc=0.9"]).success();
    alice.greenroom("stage set Production --from Staging --approvals 2".split(' ')).success();
    sandbox
}

fn by<'s>(sandbox: &'s Sandbox, name: &str) -> Shell<'s> {
    sandbox.shell(name, &format!("{name}@example.org")).within("r")
}

/// What a command prints, and what it warns of.
#[track_caller]
fn told(shell: &Shell<'_>, line: &str) -> (String, String) {
    let done = shell.greenroom(line.split(' ')).success();
    (done.stdout().to_owned(), done.stderr().to_owned())
}

/// The requests that are open.
fn open(sandbox: &Sandbox) -> Vec<Value> {
    let all = by(sandbox, "alice").greenroom(["request", "list", "-o", "json"]).success().json();
    all.as_array().expect("a list").clone()
}

const FROM: &str =
    "version 1 may enter Production only from Staging; it is in None; moving it there voids this approval";

#[test]
fn the_approval_that_completes_a_request_is_kept_while_the_version_may_not_enter() {
    let sandbox = registry();
    told(&by(&sandbox, "alice"), "request create churn 1 Production");
    let (_, warned) = told(&by(&sandbox, "bob"), "request approve churn 1");
    assert!(warned.contains(FROM) && !warned.contains("has all approvals"), "{warned}");
    let (shown, warned) = told(&by(&sandbox, "carol"), "request approve churn 1 -n");
    assert!(shown.contains("(the request stays open)") && warned.contains("does not move yet"), "{shown}{warned}");
    let (_, warned) = told(&by(&sandbox, "carol"), "request approve churn 1");
    let whole = "the request has all approvals that it takes, but version 1 does not move yet";
    assert!(warned.contains(whole) && warned.contains(FROM), "{warned}");
    let all = open(&sandbox);
    assert_eq!(all[0]["approvals"]["by"], serde_json::json!(["bob", "carol"]));
    let (checked, _) = told(&by(&sandbox, "alice"), "check");
    assert!(checked.contains("the version does not move yet: version 1 may enter Production only from"), "{checked}");
    // As the warning said, the move voids both approvals; after it, new approvals move the version.
    told(&by(&sandbox, "alice"), "transition churn 1 Staging");
    assert_eq!(open(&sandbox)[0]["approvals"]["by"], serde_json::json!([]));
    let (_, warned) = told(&by(&sandbox, "bob"), "request approve churn 1");
    assert_eq!(warned, "");
    let (shown, _) = told(&by(&sandbox, "carol"), "request approve churn 1");
    assert!(shown.contains("move churn version 1 from Staging to Production (approved)"), "{shown}");
    let audit = by(&sandbox, "alice").greenroom(["verify", "-o", "json"]).success().json();
    assert_eq!(audit["findings"], serde_json::json!([]));
    // The log says which of the five counted.
    let (log, _) = told(&by(&sandbox, "alice"), "log churn -n 1");
    assert_eq!(log.matches("(void: it was for a different state than the one that entered)").count(), 2, "{log}");
    assert_eq!(log.matches("        approved by ").count(), 4, "{log}");
}

#[test]
fn an_approval_in_a_freeze_counts_when_it_is_over() {
    let sandbox = registry();
    let alice = by(&sandbox, "alice");
    let freeze = "stage set Production --from None --approvals 1 --freeze 2000-01-01..2999-01-01";
    told(&alice, freeze);
    told(&alice, "request create churn 1 Production");
    let (_, warned) = told(&by(&sandbox, "bob"), "request approve churn 1");
    assert!(warned.contains("Production is frozen now; the approval counts when that is over"), "{warned}");
    assert_eq!(open(&sandbox)[0]["approvals"]["by"], serde_json::json!(["bob"]));
}

#[test]
fn a_file_of_changes_keeps_no_approval_that_moves_nothing() {
    let sandbox = registry();
    told(&by(&sandbox, "alice"), "request create churn 1 Production");
    told(&by(&sandbox, "bob"), "request approve churn 1");
    sandbox.write("approve.toml", "[[action]]\ndo = \"request.approve\"\nmodel = \"churn\"\nversion = 1\n");
    let said = by(&sandbox, "carol").greenroom(["apply", "-f", "../approve.toml"]).any();
    assert!(said.1.contains("[stage-from]"), "{said:?}");
    assert_eq!(open(&sandbox)[0]["approvals"]["by"], serde_json::json!(["bob"]));
}

#[test]
fn evidence_that_is_missing_is_told_to_each_who_approves() {
    let sandbox = registry();
    told(&by(&sandbox, "alice"), "stage set Production --from None --approvals 2 --require-description");
    told(&by(&sandbox, "alice"), "request create churn 1 Production");
    let lacks = "version 1 may not enter Production: it has no description; describe the version first; changing that \
                 voids this approval";
    for name in ["bob", "carol"] {
        let (_, warned) = told(&by(&sandbox, name), "request approve churn 1");
        assert!(warned.contains(lacks), "{warned}");
    }
}

#[test]
fn a_branch_is_refused_where_its_merge_would_be_one_approval_of_two() {
    let sandbox = registry();
    let said = by(&sandbox, "alice").greenroom("request create churn 1 Production --branch".split(' ')).code(5);
    let parts = [
        "needs 2 approvals, but the merge of a branch gives only one approval",
        "greenroom request create churn 1 Production",
    ];
    assert!(parts.iter().all(|part| said.stderr().contains(part)), "{}", said.stderr());
    let branches = by(&sandbox, "alice").git(["branch", "--list", "request/*"]).success();
    assert_eq!(branches.stdout(), "");
}

#[test]
fn check_says_what_a_review_by_hand_completes() {
    let sandbox = registry();
    let alice = by(&sandbox, "alice");
    told(&alice, "stage set Production --from None --approvals 2");
    told(&alice, "request create churn 1 Production");
    let requests = "r/models/churn/versions/1/requests";
    let file = std::fs::read_dir(sandbox.path(requests)).expect("a folder").next().expect("a file").expect("an entry");
    let path = format!("{requests}/{}", file.file_name().into_string().expect("UTF-8"));
    for (name, completes) in [("bob", false), ("carol", true)] {
        let shell = by(&sandbox, name);
        let (block, _) = told(&shell, "request approve churn 1 --print");
        sandbox.write(&path, format!("{}\n{block}", sandbox.read(&path)));
        // Before the commit and after it.
        for _ in 0..2 {
            let (said, _) = told(&shell, "check");
            assert_eq!(said.contains("has all required approvals, but it is still open"), completes, "{name}: {said}");
            assert_eq!(said.contains("greenroom request approve 'churn' 1 Production"), completes, "{name}: {said}");
            shell.git(["commit", "--quiet", "--all", "--allow-empty", "-m", "by hand"]).success();
        }
    }
    let (shown, _) = told(&by(&sandbox, "carol"), "request approve churn 1 Production");
    assert!(shown.contains("move churn version 1 from None to Production (approved)"), "{shown}");
    let (said, _) = told(&alice, "check");
    assert!(!said.contains("it is still open"), "{said}");
}
