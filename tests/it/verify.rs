//! `greenroom verify` finds changes of a history that bypassed the gate, as far as one clone shows them.

mod world;

use std::fs;

use greenroom::registry::Registry;
use greenroom::time::Timestamp;
use serde_json::{Value, json};

use crate::support::Sandbox;
use world::World;

/// The rules of the findings, without repetition, in their order.
fn rules(told: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for finding in told["findings"].as_array().expect("findings are a list") {
        let rule = finding["rule"].as_str().expect("a finding has a rule").to_owned();
        if !out.contains(&rule) {
            out.push(rule);
        }
    }
    out
}

fn messages(told: &Value) -> String {
    let all = told["findings"].as_array().expect("findings are a list");
    all.iter().map(|f| f["message"].as_str().expect("a message")).collect::<Vec<_>>().join("\n")
}

/// The unchecked things and their numbers, without the file contents that verify was not asked to read.
fn unchecked(told: &Value) -> Vec<(String, u64)> {
    let all = told["unchecked"].as_array().expect("unchecked is a list");
    let one = |u: &Value| (u["message"].as_str().expect("text").to_owned(), u["count"].as_u64().expect("a number"));
    all.iter().map(one).filter(|(m, _)| m != UNREAD).collect()
}

const UNREAD: &str = "the bytes of a stored file: only its size was compared (`greenroom verify --files` reads them)";

/// Verifies the served repository and demands a fault.
#[track_caller]
fn wrong(world: &World, args: &[&str]) -> Value {
    let told = world.verify(args).code(7).json();
    assert_eq!(told["ok"], false);
    told
}

/// Verifies the served repository and demands that there is no fault.
#[track_caller]
fn right(world: &World, args: &[&str]) -> Value {
    let told = world.verify(args).code(0).json();
    assert_eq!((&told["ok"], rules(&told)), (&Value::Bool(true), Vec::new()));
    told
}

#[test]
fn a_history_that_the_gate_took_holds() {
    let world = World::new();
    let told = right(&world, &[]);
    assert_eq!(told["steps"], world.count());
    assert_eq!((&told["pushes"], &told["recorded"]), (&told["steps"], &told["steps"]), "each was pushed by itself");
    assert_eq!(unchecked(&told), []);
    let text = world.bare().greenroom(["verify"]).success();
    assert!(
        text.stdout().contains("\nEverything that could be checked is valid: 9 steps of main up to "),
        "{}",
        text.stdout()
    );
}

#[test]
fn an_edited_step_is_found() {
    let world = World::new();
    let tip = world.tip();
    world.rewrite(|_| ());
    assert_eq!(world.tip(), tip, "made again without an edit it is the same");
    world.rewrite(|steps| steps[3].message.push_str("\nI never said this"));
    let told = wrong(&world, &[]);
    assert_eq!(rules(&told), ["push-record"]);
    assert!(messages(&told).contains("which is not in its first-parent history"), "{}", messages(&told));
}

#[test]
fn a_deleted_step_is_found() {
    let world = World::new();
    world.rewrite(|steps| drop(steps.remove(4)));
    assert_eq!(rules(&wrong(&world, &[]))[0], "push-record");
}

#[test]
fn an_inserted_step_is_found() {
    let world = World::new();
    world.rewrite(|steps| {
        let mut other = steps[4].clone();
        other.message = "Not there before".to_owned();
        steps.insert(5, other);
    });
    assert_eq!(rules(&wrong(&world, &[]))[0], "push-record");
}

#[test]
fn reordered_steps_are_found() {
    let world = World::new();
    world.rewrite(|steps| steps.swap(1, 2));
    assert_eq!(rules(&wrong(&world, &[]))[0], "push-record");
}

#[test]
fn a_step_that_was_signed_again_is_found() {
    crate::support::tools::signing_tools();
    let world = World::new();
    world.rewrite(|steps| steps[2].sign = true);
    assert_eq!(rules(&wrong(&world, &[]))[0], "push-record");
}

#[test]
fn a_back_dated_step_is_found() {
    let world = World::new();
    world.rewrite(|steps| steps.last_mut().unwrap().date = "2020-01-01T00:00:00Z".to_owned());
    assert!(rules(&wrong(&world, &[])).contains(&"push-record".to_owned()));
    // A step added later without a record cannot be older than its parent.
    let world = World::new();
    world.rewrite(|steps| {
        let mut other = steps.last().unwrap().clone();
        other.date = "2020-01-01T00:00:00Z".to_owned();
        steps.push(other);
    });
    let told = wrong(&world, &[]);
    assert_eq!(rules(&told), ["push-time"]);
    assert!(messages(&told).contains("its time is 2020-01-01"), "{}", messages(&told));
}

#[test]
fn a_step_that_is_newer_than_its_push_is_found() {
    let world = World::new();
    world.act_at("alice", "2090-01-01T00:00:00Z", &["model", "create", "later"]);
    let told = wrong(&world, &[]);
    assert!(messages(&told).contains("its time is 2090-01-01"), "{}", messages(&told));
}

#[test]
fn a_shortened_history_is_found() {
    let world = World::new();
    let tip = world.tip();
    world.bare().git(["update-ref", "refs/heads/main", "main~2"]).success();
    assert_eq!(rules(&wrong(&world, &[])), ["push-record"]);
    // Without the record only a checkpoint shows it.
    world.bare().git(["update-ref", "-d", "refs/notes/greenroom/pushes"]).success();
    right(&world, &[]);
    assert_eq!(rules(&wrong(&world, &["--expect", &tip])), ["expected"]);
    assert_eq!(rules(&wrong(&world, &["--expect", "v1.0"])), ["expected"], "a tag that is not there");
    right(&world, &["--expect", "main~1"]);
}

#[test]
fn a_step_that_broke_a_rule_while_the_hook_was_off_is_found() {
    let world = World::new();
    // Bob may read, and makes a forbidden change.
    world.unguarded("bob", |work| {
        work.run("sh", ["-c", "mkdir models/churn/aliases; echo 'version = 1' >models/churn/aliases/best.toml"])
            .success();
    });
    world.act("alice", &["model", "describe", "churn", "goes on"]);
    let told = wrong(&world, &[]);
    assert_eq!(rules(&told), ["permission"]);
    let finding = &told["findings"][0];
    assert_eq!((&finding["by"], &finding["path"]), (&"bob".into(), &"models/churn/aliases/best.toml".into()));
    assert_eq!(finding["commit"], world.rev("main~1"));
    assert_eq!(told["findings"].as_array().unwrap().len(), 1, "what follows is judged by itself");
    let not_checked = unchecked(&told);
    assert_eq!(
        not_checked,
        [("the pusher, because no push of it is recorded; its committer was trusted".to_owned(), 1)]
    );
    let text = world.bare().greenroom(["verify"]).code(7);
    assert!(text.stdout().contains("bob: An edit\n    fault: models/churn/aliases/best.toml: "), "{}", text.stdout());
    right(&world, &["main~1.."]);
    wrong(&world, &["..main~1"]);
}

#[test]
fn a_swapped_pointer_is_found() {
    let world = World::new();
    world.unguarded("alice", |work| {
        let file = world.stored_path();
        let pointer = work.git(["show", &format!("HEAD:{file}")]).success().stdout().to_owned();
        assert!(pointer.starts_with("version https://git-lfs"), "{pointer}");
        let line = pointer.lines().find(|l| l.starts_with("oid sha256:")).unwrap();
        world.write(&file, &pointer.replace(line, &format!("oid sha256:{}", "ab".repeat(32))));
    });
    let told = wrong(&world, &[]);
    let found = rules(&told);
    assert!(found.contains(&"digest".to_owned()) && found.contains(&"immutable".to_owned()), "{found:?}");
    assert!(unchecked(&told).iter().any(|(m, _)| m.starts_with("a stored file, because it is not here")));
}

#[test]
fn a_swapped_stored_object_is_found_when_its_bytes_are_read() {
    let world = World::new();
    let object = world.stored_object();
    let told = right(&world, &["--files"]);
    assert_eq!(told["read_files"], told["stored_files"]);
    let mut bytes = fs::read(&object).unwrap();
    bytes[0] ^= 1;
    world.overwrite(&object, &bytes);
    let told = right(&world, &[]);
    assert_eq!(told["unchecked"][0]["message"], UNREAD);
    let told = wrong(&world, &["--files"]);
    assert_eq!(rules(&told), ["file"]);
    let file = world.stored_path();
    assert!(messages(&told).starts_with(&format!("{file}: the stored object ")), "{}", messages(&told));
    bytes.push(0);
    world.overwrite(&object, &bytes);
    assert_eq!(rules(&wrong(&world, &[])), ["file"], "another size is seen without reading");
    fs::remove_file(&object).unwrap();
    right(&world, &["--files"]);
}

#[test]
fn a_git_object_that_was_swapped_on_disk_is_found() {
    for (what, other) in [
        ("main:models/churn/versions/1/version.toml", "main:greenroom.toml"),
        ("main:README.md", "main:greenroom.toml"),
        ("main~2^{tree}", "main^{tree}"),
        ("main~2", "main~3"),
    ] {
        let world = World::new();
        let (swapped, by) = (world.loose(what), world.loose(other));
        world.overwrite(&swapped, &fs::read(by).unwrap());
        let told = wrong(&world, &[]);
        assert!(rules(&told).contains(&"object".to_owned()), "{what}: {told}");
        assert!(messages(&told).contains("its content does not have this id"), "{what}: {}", messages(&told));
    }
}

#[test]
fn a_rewritten_record_is_found_as_far_as_it_shows() {
    const NOTES: &str = "refs/notes/greenroom/pushes";
    let world = World::new();
    let record = world.rev(NOTES);
    // A note with another text.
    world.bare().git(["notes", "--ref=greenroom/pushes", "add", "-f", "-m", "not me", "main"]).success();
    assert_eq!(rules(&wrong(&world, &[])), ["push-record"]);
    // A message that names another person as the pusher.
    let tree = world.rev(&format!("{record}^{{tree}}"));
    let message = world.bare().git(["log", "-1", "--format=%B", &record]).success();
    let lie = message.stdout().replace("\"alice\"", "\"bob\"");
    let forged = world.bare().input(lie).git(["commit-tree", &tree, "-p", &format!("{record}~1")]);
    let forged = forged.success().stdout().trim().to_owned();
    world.bare().git(["update-ref", NOTES, &forged]).success();
    let said = messages(&wrong(&world, &[]));
    assert!(said.contains("it records a different push"), "{said}");
    // One push taken out of the middle.
    let skipped = world.bare().input(message.stdout()).git(["commit-tree", &tree, "-p", &format!("{record}~2")]);
    let skipped = skipped.success().stdout().trim().to_owned();
    world.bare().git(["update-ref", NOTES, &skipped]).success();
    let said = messages(&wrong(&world, &[]));
    assert!(said.contains("in the place of push"), "{said}");
    // A record cut at its end shows as steps without a record; a checkpoint of the record proves it.
    world.bare().git(["update-ref", NOTES, &format!("{record}~2")]).success();
    let told = right(&world, &[]);
    assert_eq!(
        unchecked(&told),
        [("the pusher, because no push of it is recorded; its committer was trusted".to_owned(), 2)]
    );
    assert_eq!(rules(&wrong(&world, &["--expect", &record])), ["expected"]);
    world.bare().git(["update-ref", NOTES, &record]).success();
    right(&world, &["--expect", &record]);
}

#[test]
fn what_a_clone_lacks_is_said() {
    let world = World::new();
    world.bare().git(["clone", "--quiet", "--bare", ".", "../plain.git"]).success();
    let clone = |name: &str| world.bare().within(format!("../{name}"));
    let told = clone("plain.git").greenroom(["verify", "-o", "json"]).success().json();
    let said: Vec<String> = unchecked(&told).into_iter().map(|(m, _)| m).collect();
    assert!(
        said.iter().any(|m| m.starts_with("who pushed, because the record of pushes is not in this clone")),
        "{said:?}"
    );
    assert!(said.iter().any(|m| m.starts_with("a stored file, because it is not here")), "{said:?}");
    // The records are fetched if they are asked for.
    clone("plain.git").git(["fetch", "--quiet", "origin", "refs/notes/greenroom/*:refs/notes/greenroom/*"]).success();
    let told = clone("plain.git").greenroom(["verify", "-o", "json"]).success().json();
    assert_eq!(told["recorded"], world.count());
    let url = format!("file://{}", world.path("r.git").display());
    world.bare().git(["clone", "--quiet", "--bare", "--depth=2", &url, "../shallow.git"]).success();
    let told = clone("shallow.git").greenroom(["verify", "-o", "json"]).success().json();
    assert_eq!(told["steps"], 1, "the oldest has nothing to be compared with");
    assert!(unchecked(&told).iter().any(|(m, _)| m.contains("the clone is shallow")), "{told}");
}

#[test]
fn ranges_are_of_the_line() {
    let world = World::new();
    assert_eq!(right(&world, &["main~3..main~1"])["steps"], 2);
    assert_eq!(right(&world, &["main~3.."])["steps"], 3);
    assert_eq!(right(&world, &["main..main"])["steps"], 0);
    world.bare().greenroom(["verify", "main...main"]).code(2);
    world.bare().greenroom(["verify", "nothing.."]).code(3);
    let other = world.bare().input("aside").git(["commit-tree", "main^{tree}"]).success().stdout().trim().to_owned();
    let said = world.bare().greenroom(["verify", &other]).code(3);
    assert!(said.stderr().contains("is not in the first-parent history of refs/heads/main"), "{}", said.stderr());
}

#[test]
fn a_repository_without_a_record_is_verified_by_what_its_commits_say() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let alice = sandbox.alice().within("r");
    alice.greenroom(["model", "create", "churn"]).success();
    let told = alice.greenroom(["verify", "-o", "json"]).success().json();
    assert_eq!(told["steps"], 2);
    sandbox.write("r/models/churn/model.toml", "name = \"churn\"\n");
    alice.git(["commit", "--quiet", "-am", "by hand"]).success();
    let told = alice.greenroom(["verify", "-o", "json"]).code(7).json();
    assert!(rules(&told).contains(&"file".to_owned()) || !rules(&told).is_empty(), "{told}");
}

#[test]
fn an_id_that_was_used_in_the_past_is_found_before_and_after_it_is_committed() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let alice = sandbox.alice().within("r");
    alice.greenroom(["model", "create", "churn"]).success();
    let text = std::fs::read_to_string(sandbox.path("r/models/churn/model.toml")).expect("the file is there");
    alice.greenroom(["model", "delete", "churn", "--yes"]).success();
    sandbox.write("r/models/stolen/model.toml", text.replace("\"churn\"", "\"stolen\""));
    let said = alice.greenroom(["check"]).code(1).stdout().to_owned();
    assert!(said.contains("was used before: commit"), "{said}");
    alice.git(["add", "."]).success();
    alice.git(["commit", "--quiet", "-m", "by hand"]).success();
    for args in [&["verify", "-o", "json"][..], &["verify", "main~1..", "-o", "json"]] {
        let told = alice.greenroom(args).code(7).json();
        assert_eq!(rules(&told), ["id"], "{told}");
    }
}

#[test]
fn a_branch_that_was_lost_and_pushed_again_is_one_fault_that_can_be_acknowledged() {
    let world = World::new();
    let tip = world.tip();
    world.bare().git(["update-ref", "-d", "refs/heads/main"]).success();
    world.push_again("alice");
    let told = wrong(&world, &[]);
    let found = told["findings"].as_array().expect("a list");
    assert_eq!(found.len(), 1, "{told:#}");
    assert_eq!((&found[0]["rule"], &found[0]["commit"]), (&json!("push-record"), &json!(tip)));
    assert!(
        messages(&told).contains("created the branch, although earlier pushes had created it"),
        "{}",
        messages(&told)
    );
    world.act("alice", &["settings", "acknowledge", &tip, "push-record", "-m", "the disk was restored"]);
    let told = right(&world, &[]);
    assert_eq!(told["acknowledged"].as_array().map(Vec::len), Some(1), "{told:#}");
}

#[test]
fn whose_word_was_taken_is_told_where_the_authors_counts() {
    let world = World::new();
    world.act("alice", &["settings", "set", "--authority", "author"]);
    world.act("alice", &["comment", "add", "churn", "1", "mine"]);
    let taken = |told: &Value| -> Vec<(String, u64)> {
        unchecked(told).into_iter().filter(|(message, _)| message.starts_with("who acted")).collect()
    };
    assert_eq!(taken(&right(&world, &[])), [], "the record names the author");
    world.act("alice", &["comment", "add", "churn", "1", "not mine", "--as", "bob"]);
    let told = taken(&right(&world, &[]));
    assert!(
        matches!(told.as_slice(), [(message, 1)] if message.contains("another person pushed the commit")),
        "{told:?}"
    );
    world.bare().git(["update-ref", "-d", "refs/notes/greenroom/pushes"]).success();
    let told = taken(&right(&world, &[]));
    assert!(matches!(told.as_slice(), [(message, 2..)] if message.contains("no proof exists")), "{told:?}");
}

#[test]
fn a_range_may_begin_before_the_history() {
    let world = World::new();
    let all = right(&world, &[])["steps"].clone();
    assert_eq!(right(&world, &["1999-01-01.."])["steps"], all);
}

#[test]
fn as_of_a_time_before_its_push_a_step_had_not_landed() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let world = World::new();
    let before = world.tip();
    // Made today, and pushed in three days: by the commit alone, it could as well be dated back by three days.
    world.act_and_push_later("alice", 3 * DAY, &["model", "describe", "churn", "Who leaves, and when"]);
    let as_of = |days: i64| {
        let time = world::now().plus_millis(days * DAY).to_string();
        let registry = Registry::discover(&world.path("r.git")).expect("a registry");
        registry.moment(&time).expect("a step").to_string()
    };
    assert_eq!((as_of(1), as_of(4)), (before, world.tip()));
    let told = right(&world, &[]);
    let remarks = told["remarks"].to_string();
    assert!(remarks.contains("more than a day before its push"), "{told}");
    // Commits of the push that created the branch have the age that they claim.
    let root = world.bare().git(["rev-list", "--max-parents=0", "main"]).success().stdout().trim().to_owned();
    let first: Timestamp =
        world.bare().git(["log", "-1", "--format=%cI", &root]).success().stdout().trim().parse().expect("a time");
    let registry = Registry::discover(&world.path("r.git")).expect("a registry");
    assert!(registry.moment(&first.plus_millis(2000).to_string()).is_ok());
    // Without the record, only the commit's own time is known.
    world.bare().git(["update-ref", "-d", "refs/notes/greenroom/pushes"]).success();
    assert_eq!(as_of(1), world.tip());
}

#[test]
fn a_second_registry_is_what_its_commit_says() {
    let sandbox = Sandbox::new();
    let alice = sandbox.alice().within("r");
    sandbox.greenroom(["init", "r", "--at", "one"]).success();
    alice.greenroom(["-C", "one", "register", "churn", "--source", "s3://models/churn/1"]).success();
    alice.greenroom(["init", ".", "--at", "two"]).success();
    alice.greenroom(["-C", "two", "register", "wine", "--source", "s3://models/wine/1"]).success();
    let told = alice.greenroom(["-C", "two", "verify", "-o", "json"]).success().json();
    assert_eq!((&told["findings"], told.get("remarks")), (&json!([]), None), "{told}");
}

#[test]
fn a_fresh_clone_says_that_the_files_are_not_there() {
    let sandbox = Sandbox::new();
    sandbox.write("model/weights.bin", vec![7; 3000]);
    sandbox.greenroom(["init", "r"]).success();
    let alice = sandbox.alice();
    alice.clone().within("r").greenroom(["register", "churn", "../model"]).success();
    let text = alice.clone().within("r").greenroom(["verify", "--files"]).success().stdout().to_owned();
    assert!(text.contains(", 1 stored file, every byte of 1 read."), "{text}");
    sandbox
        .git(["-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false", "clone", "--quiet", "r", "c"])
        .success();
    let clone = alice.within("c");
    for line in [&["verify"][..], &["verify", "--files"][..]] {
        let text = clone.greenroom(line).success().stdout().to_owned();
        assert!(
            text.contains("not checked: a stored file, because it is not here (`git lfs fetch --all` fetches it)"),
            "{text}"
        );
        assert!(text.contains(", 1 stored file, not checked because none is here."), "{text}");
    }
    // Without a branch, as in a CI job.
    clone.git(["checkout", "--quiet", "--detach"]).success();
    clone.greenroom(["verify"]).success();
}
