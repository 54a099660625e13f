//! The log of a served repository: the people who pushed, requested and merged.

use greenroom::gate::{GateLimits, Pusher, Update, record::record};
use greenroom::git::Repo;
use greenroom::name::UserName;
use greenroom::time::Timestamp;
use greenroom::tree::Oid;
use serde_json::json;

use crate::support::Sandbox;

/// Pushes HEAD of `work` to a branch of `r.git` and records the pusher.
fn push(sandbox: &Sandbox, person: &str, branch: &str) {
    let name = format!("refs/heads/{branch}");
    let served = Repo::open(&sandbox.path("r.git")).unwrap();
    let old = served.reference(&name).unwrap();
    let work = sandbox.alice().within("work");
    work.git(["push", "--quiet", "../r.git", &format!("HEAD:{name}")]).success();
    let new = Oid::from_hex(work.git(["rev-parse", "HEAD"]).success().stdout().trim());
    let pusher = Pusher { login: Some(person.to_owned()), via: "gitolite".to_owned(), ..Pusher::default() };
    let now = Timestamp::from_millis(1_772_370_000_000);
    let update = Update { old, new, name };
    record(&served, &[update], &pusher, UserName::new(person).ok(), now, &GateLimits::default()).unwrap();
}

#[test]
fn who_is_not_proven_to_have_asked_is_named_as_a_claim() {
    for (first, claimed) in [("alice", false), ("bob", true)] {
        let sandbox = Sandbox::new();
        let (alice, bob) = (sandbox.alice().within("work"), sandbox.bob().within("work"));
        sandbox.greenroom(["init", "work"]).success();
        alice.greenroom(["person", "add", "bob", "--email", "bob@example.org"]).success();
        alice.greenroom(["settings", "set", "--authority", "pusher"]).success();
        sandbox.git(["init", "--quiet", "--bare", "r.git"]).success();
        push(&sandbox, "alice", "main");
        alice.git(["switch", "--quiet", "-c", "feature"]).success();
        alice.greenroom(["model", "create", "churn"]).success();
        push(&sandbox, first, "feature");
        alice.git(["switch", "--quiet", "main"]).success();
        bob.git(["merge", "--quiet", "--no-ff", "feature", "-m", "Merge it"]).success();
        push(&sandbox, "bob", "main");
        let served = sandbox.alice().within("r.git");
        let head = if claimed { " bob, authored by alice (not proven)\n" } else { " bob, authored by alice\n" };
        for words in [["log", "churn"], ["show", "main"]] {
            let text = served.greenroom(words).success();
            assert!(text.stdout().contains(head), "{first}: {}", text.stdout());
        }
        let told = served.greenroom(["log", "churn", "-o", "json"]).success().json();
        let unproven = if claimed { json!(["alice"]) } else { json!([]) };
        assert_eq!((&told[0]["asked_by"], &told[0]["unproven"]), (&json!(["alice"]), &unproven));
    }
}

#[test]
fn a_merge_tells_who_asked_who_merged_and_who_pushed() {
    let sandbox = Sandbox::new();
    let (alice, bob) = (sandbox.alice().within("work"), sandbox.bob().within("work"));
    sandbox.greenroom(["init", "work"]).success();
    alice.greenroom(["person", "add", "bob", "--email", "bob@example.org"]).success();
    sandbox.git(["init", "--quiet", "--bare", "r.git"]).success();
    push(&sandbox, "alice", "main");
    alice.git(["switch", "--quiet", "-c", "feature"]).success();
    alice.greenroom(["model", "create", "churn"]).success();
    alice.greenroom(["model", "describe", "churn", "Who leaves"]).success();
    push(&sandbox, "alice", "feature");
    alice.git(["switch", "--quiet", "main"]).success();
    bob.git(["merge", "--quiet", "--no-ff", "feature", "-m", "Merge it"]).success();
    push(&sandbox, "bob", "main");

    let served = sandbox.alice().within("r.git");
    let text = served.greenroom(["log", "churn"]).success();
    let head =
        " bob, authored by alice\n    pushed by bob via gitolite 2026-03-01 13:00Z\n    register the model churn\n";
    assert!(text.stdout().contains(head), "{}", text.stdout());
    let told = served.greenroom(["log", "churn", "-o", "json"]).success().json();
    assert_eq!((&told[0]["by"], &told[0]["asked_by"]), (&json!("bob"), &json!(["alice"])));
    let push = &told[0]["push"];
    assert_eq!((&push["by"], &push["via"], &push["number"]), (&json!("bob"), &json!("gitolite"), &json!(3)));
    assert_eq!((&push["ref"], &push["new"]), (&json!("refs/heads/main"), &told[0]["commit"]));
    // A merged request is found under the requester's name.
    let told = served.greenroom(["log", "churn", "--by", "alice", "-o", "json"]).success().json();
    assert_eq!(told.as_array().map(Vec::len), Some(1));
    let told = served.greenroom(["show", "main", "-o", "json"]).success().json();
    assert_eq!(told["asked_by"], json!(["alice"]));
    // A clone without the record does not mention pushes.
    let plain = alice.greenroom(["log", "-o", "json"]).success().json();
    assert!(plain.as_array().unwrap().iter().all(|e| e["push"].is_null()), "{plain}");
}

#[test]
fn a_damaged_record_is_a_warning_and_the_log_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "work"]).success();
    sandbox.git(["init", "--quiet", "--bare", "r.git"]).success();
    push(&sandbox, "alice", "main");
    let served = sandbox.alice().within("r.git");
    served.git(["notes", "--ref=greenroom/pushes", "add", "-f", "-m", "\u{1b}[31m", "main"]).success();
    let log = served.greenroom(["log"]).success();
    assert!(log.stderr().starts_with("warning: the record of pushes is damaged: "), "{}", log.stderr());
    assert!(!log.stderr().contains('\u{1b}') && !log.stdout().contains("pushed by"));
}
