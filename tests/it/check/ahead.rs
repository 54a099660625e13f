//! `greenroom check` of commits that are made and not pushed: it says what the gate would, with what can still be done.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Sandbox, Shell};

const PEOPLE: [(&str, &str); 3] = [("alice", ""), ("bob", "manage-production"), ("carol", "edit")];

/// A served registry of Alice's behind a gate that takes the pusher's word, and a clone of it for each person.
fn served() -> Sandbox {
    let sandbox = Sandbox::new();
    let alice = by(&sandbox, "alice");
    sandbox.git(["init", "--quiet", "--bare", "served.git"]).success();
    sandbox.greenroom(["hook", "install", "--bare", "served.git", "--host", "unix"]).success();
    sandbox.greenroom(["init", "alice"]).success();
    for (name, level) in &PEOPLE[1..] {
        alice.greenroom(["person", "add", name, "--email", &format!("{name}@example.org")]).success();
        alice.greenroom(["access", "grant", name, level]).success();
    }
    for line in ["register churn --source s3://models/churn/1", "settings set --authority pusher"] {
        alice.greenroom(line.split(' ')).success();
    }
    alice.git(["remote", "add", "origin", "../served.git"]).success();
    alice.git(["push", "--quiet", "-u", "origin", "main"]).success();
    for (name, _) in &PEOPLE[1..] {
        sandbox.git(["clone", "--quiet", "served.git", name]).success();
    }
    sandbox
}

/// A person's shell in a clone.
fn by<'s>(sandbox: &'s Sandbox, name: &str) -> Shell<'s> {
    let shell = sandbox.shell(name, &format!("{name}@example.org")).within(name);
    shell.env("LOGNAME", name).env("USER", name)
}

/// A person edits a file by hand and commits it.
fn edit(sandbox: &Sandbox, name: &str, path: &str, text: &str) {
    sandbox.write(format!("{name}/{path}"), text);
    by(sandbox, name).git(["add", path]).success();
    by(sandbox, name).git(["commit", "--quiet", "-m", "by hand"]).success();
}

/// The rules of the faults that `check` reports.
#[track_caller]
fn checked(shell: &Shell<'_>, code: i32) -> (BTreeSet<String>, Value) {
    let told = shell.greenroom(["check", "-o", "json"]).code(code).json();
    let rules = told["faults"].as_array().expect("faults").iter().map(|f| f["rule"].as_str().expect("a rule"));
    (rules.map(str::to_owned).collect(), told)
}

/// The rules that the gate names when a person pushes.
#[track_caller]
fn refused(shell: &Shell<'_>) -> BTreeSet<String> {
    let said = shell.git(["push", "--quiet", "origin", "HEAD:main"]).code(1);
    let rule = |line: &str| Some(line.trim_end().strip_suffix(']')?.rsplit_once('[')?.1.to_owned());
    let rules: BTreeSet<String> = said.stderr().lines().filter(|l| l.starts_with("remote:")).filter_map(rule).collect();
    assert!(!rules.is_empty(), "{}", said.stderr());
    rules
}

#[test]
fn a_forbidden_commit_is_told_as_the_gate_tells_it_and_can_be_taken_back() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    edit(&sandbox, "carol", "models/churn/stages/Staging.toml", "versions = [1]\n");
    let (rules, told) = checked(&carol, 5);
    assert_eq!(rules, refused(&carol));
    let fault = &told["faults"][0];
    let said = (fault["message"].as_str().expect("a message"), fault["help"].as_str().expect("help"));
    assert!(said.0.starts_with("commit ") && said.0.contains("carol may not"), "{said:?}");
    let doctor = carol.greenroom(["doctor"]).code(7).stdout().to_owned();
    assert!(doctor.contains("fail  steps     1 fault of commits that are not pushed yet"), "{doctor}");
    // Bob may make the change, but the verdict is about the person who would push.
    assert_eq!(checked(&carol, 5).0, BTreeSet::from(["permission".to_owned()]));
    // The advice is a command that works.
    let way = said.1.split('`').find(|word| word.starts_with("git reset --keep")).expect("a command").to_owned();
    carol.git(way.split(' ').skip(1)).success();
    assert_eq!(checked(&carol, 0).0, BTreeSet::new());
    carol.greenroom(["doctor"]).success();
}

#[test]
fn a_commit_of_somebody_else_cannot_be_pushed() {
    let sandbox = served();
    by(&sandbox, "carol").greenroom(["comment", "add", "churn", "1", "good"]).success();
    let bob = by(&sandbox, "bob").within("../carol");
    assert_eq!(checked(&bob, 5).0, refused(&bob));
    checked(&by(&sandbox, "carol"), 0);
}

#[test]
fn all_rules_are_named_that_a_reverted_registration_breaks() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    carol.greenroom(["register", "churn", "--source", "s3://models/churn/2"]).success();
    carol.git(["push", "--quiet"]).success();
    carol.git(["revert", "--no-edit", "HEAD"]).success();
    let (rules, _) = checked(&carol, 5);
    assert_eq!(rules, BTreeSet::from(["number".to_owned(), "permission".to_owned()]));
    assert_eq!(rules, refused(&carol));
    // A person who may delete the version must follow the advice in the commit itself; a later commit is too late.
    let alice = by(&sandbox, "alice");
    alice.git(["pull", "--quiet", "--rebase"]).success();
    alice.git(["revert", "--no-edit", "HEAD"]).success();
    let (rules, told) = checked(&alice, 5);
    assert_eq!(rules, BTreeSet::from(["number".to_owned()]));
    let help = told["faults"][0]["help"].as_str().expect("help");
    assert!(help.contains("`retired = 2`") && help.contains("git commit --amend"), "{help}");
    let model = sandbox.read("alice/models/churn/model.toml");
    sandbox.write("alice/models/churn/model.toml", format!("{model}retired = 2\n"));
    alice.git(["commit", "--quiet", "--all", "--amend", "--no-edit"]).success();
    checked(&alice, 0);
    alice.git(["push", "--quiet"]).success();
}

#[test]
fn a_branch_that_others_will_merge_is_left_to_that_merge() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    carol.git(["switch", "--quiet", "-c", "ask"]).success();
    edit(&sandbox, "carol", "models/churn/stages/Staging.toml", "versions = [1]\n");
    let (_, told) = checked(&carol, 0);
    let warning = told["warnings"].as_array().expect("a list").iter().find(|w| w["rule"] == "unpushed");
    let help = warning.and_then(|w| w["help"].as_str()).expect("the output names what was not judged");
    assert!(help.contains("`greenroom check origin/main..`"), "{help}");
    let said = carol.greenroom(["check", "origin/main.."]).success().stdout().to_owned();
    assert!(said.contains("may merge this"), "{said}");
}

#[test]
fn commits_beside_those_of_the_remote_are_judged_from_where_they_leave_it() {
    let sandbox = served();
    by(&sandbox, "bob").greenroom(["comment", "add", "churn", "1", "first"]).success();
    by(&sandbox, "bob").git(["push", "--quiet"]).success();
    let carol = by(&sandbox, "carol");
    edit(&sandbox, "carol", "models/churn/stages/Staging.toml", "versions = [1]\n");
    carol.git(["fetch", "--quiet"]).success();
    let (rules, told) = checked(&carol, 5);
    assert_eq!(rules, BTreeSet::from(["permission".to_owned()]));
    assert!(told["warnings"].to_string().contains("origin/main has commits that are not here"), "{told}");
    // What git's pull makes of it the gate refuses, too.
    carol.git(["reset", "--quiet", "--hard", "HEAD~1"]).success();
    carol.greenroom(["comment", "add", "churn", "1", "second"]).success();
    carol.git(["pull", "--quiet", "--no-rebase"]).success();
    assert_eq!(checked(&carol, 5).0, refused(&carol));
}

#[test]
fn what_only_the_record_of_pushes_tells_is_not_checked_without_it() {
    let sandbox = served();
    let (bob, carol) = (by(&sandbox, "bob"), by(&sandbox, "carol"));
    carol.git(["switch", "--quiet", "-c", "words"]).success();
    carol.greenroom(["comment", "add", "churn", "1", "good"]).success();
    carol.git(["push", "--quiet", "origin", "words"]).success();
    bob.git(["fetch", "--quiet"]).success();
    bob.git(["merge", "--quiet", "--no-ff", "--no-edit", "origin/words"]).success();
    let (_, told) = checked(&bob, 0);
    assert!(told["warnings"].to_string().contains("only the record of pushes"), "{told}");
    bob.git(["fetch", "--quiet", "origin", "refs/notes/greenroom/*:refs/notes/greenroom/*"]).success();
    let (_, told) = checked(&bob, 0);
    assert_eq!(told["warnings"], serde_json::json!([]));
    bob.git(["push", "--quiet"]).success();
}

#[test]
fn without_a_remote_recent_commits_are_judged_as_verify_does() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    let alice = by(&sandbox, "alice");
    alice.greenroom(["settings", "set", "--authority", "author"]).success();
    alice.git(["push", "--quiet"]).success();
    carol.git(["pull", "--quiet", "--rebase"]).success();
    carol.git(["remote", "remove", "origin"]).success();
    checked(&carol, 0);
    edit(&sandbox, "carol", "models/churn/stages/Staging.toml", "versions = [1]\n");
    assert_eq!(checked(&carol, 5).0, BTreeSet::from(["permission".to_owned()]));
    carol.greenroom(["doctor"]).code(7);
    carol.greenroom(["verify"]).code(7);
}

#[test]
fn a_clone_that_was_cut_says_what_was_not_judged() {
    let sandbox = served();
    let url = format!("file://{}", sandbox.path("served.git").display());
    sandbox.git(["clone", "--quiet", "--depth", "1", &url, "cut"]).success();
    let cut = by(&sandbox, "carol").within("../cut");
    cut.git(["commit", "--quiet", "--allow-empty", "-m", "nothing"]).success();
    checked(&cut, 0);
    sandbox.write("cut/models/churn/stages/Staging.toml", "versions = [1]\n");
    cut.git(["add", "."]).success();
    cut.git(["commit", "--quiet", "-m", "by hand"]).success();
    assert_eq!(checked(&cut, 5).0, BTreeSet::from(["permission".to_owned()]));
}

/// The warning of `check` about commits that were not judged, with its help.
#[track_caller]
fn unjudged(told: &Value) -> (String, String) {
    let warnings = told["warnings"].as_array().expect("a list");
    let warning = warnings.iter().find(|w| w["rule"] == "unpushed").unwrap_or_else(|| panic!("no warning: {told}"));
    let text = |key: &str| warning[key].as_str().expect("text").to_owned();
    (text("message"), text("help"))
}

const STAGING: &str = "models/churn/stages/Staging.toml";

#[test]
fn a_detached_head_says_that_its_commits_were_not_judged() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    carol.git(["switch", "--quiet", "--detach"]).success();
    let (_, told) = checked(&carol, 0);
    assert_eq!(told["warnings"], serde_json::json!([]));
    edit(&sandbox, "carol", STAGING, "versions = [1]\n");
    let (message, help) = unjudged(&checked(&carol, 0).1);
    assert!(message.contains("not in origin/main were not judged: HEAD is on no branch"), "{message}");
    assert!(help.contains("`greenroom check origin/main..`"), "{help}");
    carol.greenroom(["check", "origin/main.."]).success();
    let doctor = carol.greenroom(["doctor"]).any().0;
    assert!(doctor.contains("warn  steps     the commits that are not in origin/main were not judged"), "{doctor}");
    carol.greenroom(["verify"]).any();
}

#[test]
fn a_branch_of_this_repository_as_upstream_hides_no_commit() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    carol.git(["branch", "--quiet", "side"]).success();
    carol.git(["branch", "--quiet", "--set-upstream-to=side", "main"]).success();
    edit(&sandbox, "carol", STAGING, "versions = [1]\n");
    assert_eq!(checked(&carol, 5).0, BTreeSet::from(["permission".to_owned()]));
    carol.git(["switch", "--quiet", "-c", "ask", "--track", "main"]).success();
    let (message, _) = unjudged(&checked(&carol, 0).1);
    assert!(message.contains("not in origin/main were not judged"), "{message}");
}

#[test]
fn commits_that_only_a_fork_has_are_said_to_be_unjudged() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    sandbox.git(["clone", "--quiet", "--bare", "served.git", "fork.git"]).success();
    carol.git(["remote", "add", "fork", "../fork.git"]).success();
    edit(&sandbox, "carol", STAGING, "versions = [1]\n");
    carol.git(["push", "--quiet", "-u", "fork", "main"]).success();
    let (message, help) = unjudged(&checked(&carol, 0).1);
    assert!(message.starts_with("1 commit that fork/main has and origin/main has not"), "{message}");
    assert!(help.contains("`greenroom check origin/main..`"), "{help}");
    // A branch of the fork is no main branch, even where git does not know the fork's HEAD.
    carol.git(["switch", "--quiet", "-c", "ask"]).success();
    carol.git(["push", "--quiet", "-u", "fork", "ask"]).success();
    edit(&sandbox, "carol", "README.md", "# Models\n");
    let (message, help) = unjudged(&checked(&carol, 0).1);
    assert!(message.contains("not in fork/ask were not judged: the branch is not the main one"), "{message}");
    assert!(help.contains("`greenroom check fork/main..`"), "{help}");
}

#[test]
fn a_remote_that_was_never_fetched_is_named() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    carol.git(["remote", "set-head", "origin", "--delete"]).success();
    carol.git(["update-ref", "-d", "refs/remotes/origin/main"]).success();
    let (message, help) = unjudged(&checked(&carol, 0).1);
    assert!(message.contains("no branch of the remote 'origin' is known here"), "{message}");
    assert!(help.contains("`git fetch origin`"), "{help}");
    carol.git(["fetch", "--quiet", "origin"]).success();
    assert_eq!(checked(&carol, 0).1["warnings"], serde_json::json!([]));
}

#[test]
fn another_protected_branch_is_judged_where_its_name_is_set() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    carol.git(["switch", "--quiet", "-c", "release/1"]).success();
    carol.git(["push", "--quiet", "-u", "origin", "release/1"]).success();
    edit(&sandbox, "carol", STAGING, "versions = [1]\n");
    let (message, help) = unjudged(&checked(&carol, 0).1);
    assert!(message.contains("not in origin/release/1"), "{message}");
    let way = help.split('`').find(|word| word.starts_with("git config")).expect("a command").replace('\'', "");
    carol.git(way.split(' ').skip(1)).success();
    assert_eq!(checked(&carol, 5).0, BTreeSet::from(["permission".to_owned()]));
}

/// Bob and Carol push a comment each; then the server loses both. Returns the commit that the branch was at.
fn lost(sandbox: &Sandbox) -> String {
    let before = sandbox.git(["-C", "served.git", "rev-parse", "main"]).success().stdout().trim().to_owned();
    for name in ["bob", "carol"] {
        let shell = by(sandbox, name);
        shell.git(["pull", "--quiet", "--rebase"]).success();
        shell.greenroom(["comment", "add", "churn", "1", "good"]).success();
        shell.git(["push", "--quiet"]).success();
    }
    sandbox.git(["-C", "served.git", "update-ref", "refs/heads/main", &before]).success();
    by(sandbox, "carol").git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned()
}

#[test]
fn a_branch_that_the_server_lost_is_one_fault_with_the_commit_that_it_was_at() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    let at = lost(&sandbox);
    carol.git(["fetch", "--quiet"]).success();
    let (rules, told) = checked(&carol, 5);
    assert_eq!(rules, BTreeSet::from(["ref-lost".to_owned()]));
    assert_eq!(told["faults"].as_array().map(Vec::len), Some(1), "{told}");
    let fault = &told["faults"][0];
    let (message, help) = (fault["message"].as_str().expect("text"), fault["help"].as_str().expect("text"));
    assert!(message.contains("behind what it was before") && message.contains(&at[..12]), "{message}");
    assert!(help.starts_with("keep the commits here"), "{help}");
    let said = carol.git(["push", "--quiet"]).code(1).stderr().to_owned();
    assert!(said.contains("[ref-lost]") && said.contains(&at[..12]), "{said}");
    assert!(said.contains("it breaks a rule"), "{said}");
    // The advice is a command that works.
    let way = help.split('`').find(|word| word.starts_with("git update-ref")).expect("a command").to_owned();
    sandbox.git(["-C", "served.git"].into_iter().chain(way.split(' ').skip(1))).success();
    carol.git(["fetch", "--quiet"]).success();
    checked(&carol, 0);
    carol.greenroom(["comment", "add", "churn", "1", "and on"]).success();
    carol.git(["push", "--quiet"]).success();
}

#[test]
fn a_lost_branch_is_known_by_what_was_fetched_where_the_record_of_pushes_is_lost_too() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    lost(&sandbox);
    sandbox.git(["-C", "served.git", "update-ref", "-d", "refs/notes/greenroom/pushes"]).success();
    // Commits of today that are at fault are told as well.
    edit(&sandbox, "carol", STAGING, "versions = [1]\n");
    carol.git(["fetch", "--quiet"]).success();
    let (rules, _) = checked(&carol, 5);
    assert_eq!(rules, BTreeSet::from(["permission".to_owned(), "ref-lost".to_owned()]));
}

#[test]
fn the_advice_names_the_branch_that_was_pushed() {
    let sandbox = served();
    sandbox.git(["-C", "served.git", "config", "--add", "greenroom.protected", "release/*"]).success();
    by(&sandbox, "alice").git(["push", "--quiet", "origin", "main:release/1"]).success();
    for name in ["bob", "carol"] {
        let shell = by(&sandbox, name);
        shell.git(["fetch", "--quiet"]).success();
        shell.git(["switch", "--quiet", "release/1"]).success();
        shell.greenroom(["comment", "add", "churn", "1", "good"]).success();
    }
    by(&sandbox, "bob").git(["push", "--quiet"]).success();
    let carol = by(&sandbox, "carol");
    carol.git(["pull", "--quiet", "--no-rebase", "--no-edit"]).success();
    let said = carol.git(["push", "--quiet"]).code(1).stderr().to_owned();
    assert!(said.contains("`git rebase origin/release/1 && git push`"), "{said}");
    carol.git(["switch", "--quiet", "--orphan", "own"]).success();
    carol.git(["commit", "--quiet", "--allow-empty", "-m", "nothing"]).success();
    let said = carol.git(["push", "--quiet", "origin", "own:release/2"]).code(1).stderr().to_owned();
    assert!(said.contains("`git switch -c release/2 origin/main`"), "{said}");
}

#[test]
fn the_deletion_of_a_branch_that_does_not_exist_is_left_to_git() {
    let sandbox = served();
    let carol = by(&sandbox, "carol");
    let said = carol.git(["push", "origin", ":refs/heads/gone"]).any().1;
    assert!(!said.contains("remote: greenroom"), "{said}");
    // The record of pushes goes on without a gap.
    carol.greenroom(["comment", "add", "churn", "1", "good"]).success();
    carol.git(["push", "--quiet"]).success();
    let verified = sandbox.alice().greenroom(["-C", "served.git", "verify", "-o", "json"]).success().json();
    assert_eq!(verified["findings"], serde_json::json!([]));
}
