//! The commands that change a registry: exit codes, JSON, dry runs, permissions and the rules of stages.

use serde_json::{Value, json};

use crate::support::Sandbox;

/// A registry that Alice manages, with Bob, Carol and Dave as people, and the model `churn` with two versions.
struct Registry {
    sandbox: Sandbox,
}

impl Registry {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "r"]).success();
        let registry = Self { sandbox };
        let person = |who: &str| json!({"do": "person.add", "user": who, "emails": [format!("{who}@example.org")]});
        registry.apply(&[
            person("bob"),
            person("carol"),
            person("dave"),
            json!({"do": "model.create", "model": "churn"}),
            json!({"do": "version.create", "model": "churn", "source": "s3://models/1", "metrics": {"auc": 0.91}}),
            json!({"do": "version.create", "model": "churn", "source": "s3://models/2", "metrics": {"auc": 0.8}}),
        ]);
        registry
    }

    /// Applies actions as Alice in one commit.
    #[track_caller]
    fn apply(&self, actions: &[Value]) {
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        let shell = self.sandbox.alice().within("r").input(lines.join("\n"));
        shell.greenroom(["apply", "-f", "-"]).success();
    }

    /// Grants permission levels on the model.
    #[track_caller]
    fn grant(&self, levels: &[(&str, &str)]) {
        let grant =
            |(to, level): &(&str, &str)| json!({"do": "access.grant", "model": "churn", "to": to, "level": level});
        self.apply(&levels.iter().map(grant).collect::<Vec<_>>());
    }

    /// Runs the command of a line as a person. Returns its stdout, or its stderr if it is expected to fail.
    #[track_caller]
    fn by(&self, who: &str, code: i32, line: &str) -> String {
        let shell = self.sandbox.shell(who, &format!("{who}@example.org")).within("r");
        let done = shell.greenroom(line.split(' ')).code(code);
        if code == 0 { done.stdout().to_owned() } else { done.stderr().to_owned() }
    }

    #[track_caller]
    fn alice(&self, line: &str) -> String {
        self.by("alice", 0, line)
    }

    /// The JSON that a command prints.
    #[track_caller]
    fn json(&self, who: &str, line: &str) -> Value {
        let text = self.by(who, 0, &format!("{line} -o json"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{line}: {e}\n{text}"))
    }

    /// Demands that a change is refused with a code and words, in a dry run and for real, and that it changes nothing.
    #[track_caller]
    fn refused(&self, who: &str, code: i32, line: &str, says: &str) {
        let before = self.everything();
        let said = self.by(who, code, line);
        assert!(said.contains(says), "{line}: {says:?} is not in\n{said}");
        let shell = self.sandbox.shell(who, &format!("{who}@example.org")).within("r");
        let dry = shell.greenroom(format!("{line} -n").split(' ')).code(code);
        let said = format!("{}{}", dry.stdout(), dry.stderr());
        assert!(said.contains(says), "{line} -n: {says:?} is not in\n{said}");
        assert_eq!(before, self.everything(), "{line}");
    }

    /// The head, the state of the work tree and the number of objects, which no refused or dry run may change.
    fn everything(&self) -> String {
        let git = self.sandbox.alice().within("r");
        let of = |args: &[&str]| git.git(args).success().stdout().to_owned();
        of(&["rev-parse", "HEAD"]) + &of(&["status", "--porcelain"]) + &of(&["count-objects", "-v"])
    }

    /// The versions in a stage, by the stage's file.
    fn versions_in(&self, stage: &str) -> Vec<u64> {
        let file = format!("r/models/churn/stages/{stage}.toml");
        if !self.sandbox.path(&file).exists() {
            return Vec::new();
        }
        let text = self.sandbox.read(&file);
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
    }

    /// The state of the newest request, and the people whose approvals count.
    fn request(&self) -> (String, Vec<String>) {
        let all = self.json("alice", "request list churn --state all");
        let last = all.as_array().and_then(|a| a.last()).expect("there is a request");
        let by =
            last["approvals"]["by"].as_array().expect("a list").iter().map(|u| u.as_str().unwrap_or("").to_owned());
        (last["state"].as_str().unwrap_or("").to_owned(), by.collect())
    }
}

fn pending(by: &[&str]) -> (String, Vec<String>) {
    ("pending".to_owned(), by.iter().map(|s| (*s).to_owned()).collect())
}

fn approved(by: &[&str]) -> (String, Vec<String>) {
    ("approved".to_owned(), by.iter().map(|s| (*s).to_owned()).collect())
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let r = Registry::new();
    r.alice("alias set churn champion 1");
    r.by("alice", 3, "transition churn 1 Prod");
    r.by("alice", 2, "transition churn 1");
    r.by("alice", 2, "access grant bob admin");
    r.by("alice", 2, "comment add churn 1");
    r.by("alice", 3, "transition churn 9 Staging");
    r.by("alice", 3, "alias set nosuch champion 1");
    r.by("alice", 3, "tag set churn@nosuch a=b");
    r.by("alice", 3, "request approve churn 1");
    r.by("alice", 3, "comment delete churn 1 00000000 --yes");
    r.by("alice", 3, "access revoke bob");
    r.by("alice", 3, "access group nosuch");
    r.by("alice", 3, "person show nosuch");
    r.by("alice", 3, "stage unset Production");
    r.by("alice", 4, "person add bob --email b@example.org");
    r.by("bob", 5, "transition churn 1 Staging");
    r.sandbox.write("r/models/churn/aliases/champion.toml", "version = 2\n");
    r.by("alice", 6, "alias unset churn champion");
    let outside = r.sandbox.alice();
    outside.greenroom(["request", "list"]).code(3);
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_would_happen() {
    let r = Registry::new();
    r.alice("comment add churn 1 hm");
    r.alice("alias set churn champion 1");
    r.alice("request create churn 1 Production");
    let before = r.everything();
    for line in [
        "transition churn 1 Staging",
        "request create churn 2 Staging",
        "request approve churn 1",
        "request reject churn 1",
        "request cancel churn 1",
        "comment add churn 1 hello",
        "tag set churn/1 a=b c=d",
        "alias set churn champion 2",
        "alias unset churn champion",
        "access grant bob read",
        "access group risk --add bob",
        "person add erin --email erin@example.org",
        "person remove bob --yes",
        "settings set --self-approval true",
        "stage set Production --approvals 1",
    ] {
        let said = r.alice(&format!("{line} -n"));
        assert!(said.contains("Would make this commit:") && said.contains("The rules allow it."), "{line}:\n{said}");
        assert_eq!(r.everything(), before, "{line}");
    }
}

#[test]
fn who_can_read_may_ask_and_comment_but_not_move() {
    let r = Registry::new();
    r.refused("bob", 5, "request create churn 1 Staging", "it needs CAN_READ on 'churn'; there is no grant");
    r.refused("bob", 5, "comment add churn 1 hello", "it needs CAN_READ");
    r.grant(&[("bob", "CAN_READ"), ("carol", "CAN_MANAGE_STAGING_VERSIONS")]);
    r.by("bob", 0, "request create churn 1 Staging");
    r.by("bob", 0, "comment add churn 1 hello");
    r.refused("bob", 5, "transition churn 1 Staging", "ask alice, carol");
    r.refused("bob", 5, "request approve churn 1", "ask alice, carol");
    r.refused("bob", 5, "request reject churn 1", "ask alice, carol");
    r.refused("bob", 5, "tag set churn/1 a=b", "CAN_EDIT");
    r.refused("bob", 5, "alias set churn champion 1", "CAN_EDIT");
    r.refused("bob", 5, "access grant bob manage --model churn", "CAN_MANAGE");
    r.refused("bob", 5, "settings set --self-approval true", "CAN_MANAGE");

    let hint = r.by("bob", 5, "transition churn 1 Staging");
    assert!(hint.contains("hint: request it: greenroom request create churn 1 Staging"), "{hint}");
    r.refused("carol", 5, "transition churn 1 Production", "CAN_MANAGE_PRODUCTION_VERSIONS");
    r.by("carol", 0, "request approve churn 1 Staging");
    assert_eq!(r.versions_in("Staging"), [1]);
}

#[test]
fn requests_end_by_who_may_end_them() {
    let r = Registry::new();
    r.grant(&[("bob", "CAN_READ"), ("carol", "CAN_MANAGE_PRODUCTION_VERSIONS"), ("dave", "CAN_READ")]);
    r.by("bob", 0, "request create churn 1 Production -m please");
    r.refused("bob", 4, "request create churn 1 Production", "you already have an open request");
    r.refused("carol", 5, "request cancel churn 1", "may not cancel");
    r.by("bob", 0, "request cancel churn 1 -m later");
    let all = r.json("bob", "request list --state cancelled");
    assert_eq!(all[0]["close_comment"], "later");

    r.by("bob", 0, "request create churn 1 Production");
    r.by("dave", 0, "request create churn 1 Staging");
    let several = r.by("carol", 1, "request reject churn 1");
    assert!(several.contains("several open requests"), "{several}");
    r.by("carol", 0, "request reject churn 1 production -m no");
    assert_eq!(r.json("bob", "request list --mine --state rejected").as_array().map(Vec::len), Some(1));
    let open = r.json("carol", "request list --waiting");
    let id = open[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!((open.as_array().map(Vec::len), &open[0]["created_by"]), (Some(1), &json!("dave")));
    r.by("alice", 0, &format!("request cancel churn 1 {}", &id[28..]));
    assert_eq!(r.json("carol", "request list"), json!([]));
}

#[test]
fn four_eyes_nobody_approves_an_own_request() {
    let r = Registry::new();
    r.grant(&[("bob", "CAN_MANAGE_PRODUCTION_VERSIONS")]);
    r.alice("stage set Production --approvals 1");
    r.refused("alice", 5, "transition churn 1 Production", "only through a request with 1 approval");
    r.alice("request create churn 1 Production");
    r.alice("request approve churn 1");
    assert_eq!(r.request(), pending(&[]));
    assert_eq!(r.versions_in("Production"), [0_u64; 0]);
    let shown = r.json("alice", "request list");
    assert_eq!(shown[0]["review"][0]["void"], "people cannot approve their own requests");
    assert_eq!(r.json("alice", "request list --waiting"), json!([]));
    r.by("bob", 0, "request approve churn 1 -m fine");
    assert_eq!(r.request(), approved(&["bob"]));
    assert_eq!(r.versions_in("Production"), [1]);
}

#[test]
fn a_registry_of_one_person_may_approve_itself() {
    let r = Registry::new();
    r.alice("stage set Production --approvals 1");
    r.alice("settings set --self-approval true");
    r.alice("request create churn 1 Production");
    assert_eq!(r.json("alice", "request list --waiting").as_array().map(Vec::len), Some(1));
    r.alice("request approve churn 1");
    assert_eq!(r.versions_in("Production"), [1]);
}

#[test]
fn a_quorum_of_two_needs_two_people() {
    let r = Registry::new();
    r.grant(&[("bob", "CAN_MANAGE_PRODUCTION_VERSIONS"), ("carol", "CAN_MANAGE_PRODUCTION_VERSIONS")]);
    r.grant(&[("dave", "CAN_MANAGE_PRODUCTION_VERSIONS")]);
    r.alice("stage set Production --approvals 2");
    r.by("dave", 0, "request create churn 1 Production");
    r.by("bob", 0, "request approve churn 1");
    r.refused("bob", 4, "request approve churn 1", "a second approval adds nothing");
    assert_eq!(r.request(), pending(&["bob"]));
    assert_eq!(r.json("bob", "request list --waiting"), json!([]));
    assert_eq!(r.json("carol", "request list --waiting").as_array().map(Vec::len), Some(1));
    r.by("carol", 0, "request approve churn 1");
    assert_eq!(r.request(), approved(&["bob", "carol"]));
    assert_eq!(r.versions_in("Production"), [1]);
}

#[test]
fn an_approval_counts_no_more_when_its_giver_lost_the_right_and_others_can_still_approve() {
    let r = Registry::new();
    let manage = "CAN_MANAGE_PRODUCTION_VERSIONS";
    r.grant(&[("bob", manage), ("carol", manage), ("dave", "CAN_READ")]);
    r.alice("stage set Production --approvals 2");
    r.by("dave", 0, "request create churn 1 Production");
    r.by("bob", 0, "request approve churn 1");
    r.alice("access grant bob read --model churn");
    assert_eq!(r.request(), pending(&[]));
    r.by("carol", 0, "request approve churn 1");
    assert_eq!(r.request(), pending(&["carol"]));
    r.alice("request approve churn 1");
    assert_eq!(r.versions_in("Production"), [1]);
}

#[test]
fn named_approvers_need_no_other_right() {
    let r = Registry::new();
    r.grant(&[("bob", "CAN_READ"), ("carol", "CAN_READ"), ("dave", "CAN_MANAGE_PRODUCTION_VERSIONS")]);
    r.alice("access group risk --add carol");
    r.alice("stage set Production --approver group:risk");
    r.refused("dave", 5, "transition churn 1 Production", "let others approve the request: carol (");
    r.by("bob", 0, "request create churn 1 Production");
    r.refused("bob", 5, "request approve churn 1", "bob may not approve");
    r.by("dave", 0, "request approve churn 1");
    assert_eq!(r.request(), pending(&[]), "dave may move versions, but is not in the group");
    assert_eq!(r.json("carol", "request list --waiting").as_array().map(Vec::len), Some(1));
    r.by("carol", 0, "request approve churn 1");
    assert_eq!(r.request(), approved(&["carol"]), "as it counted then, and not by who closed it");
    assert_eq!(r.versions_in("Production"), [1]);
}

#[test]
fn nothing_enters_in_a_freeze() {
    let r = Registry::new();
    r.alice("stage set Production --freeze 2000-01-01..2999-01-01 --reason moving");
    r.refused("alice", 5, "transition churn 1 Production", "Production is frozen");
    r.alice("transition churn 1 Staging");
    r.alice("stage set Production --thaw");
    r.alice("transition churn 1 Production");
    assert_eq!((r.versions_in("Staging"), r.versions_in("Production")), (vec![], vec![1]));
}

#[test]
fn evidence_is_asked_for_where_the_rule_says_so() {
    let r = Registry::new();
    r.alice("stage set Production --require-metric auc>=0.85 --require-tag validated=true");
    r.refused("alice", 5, "transition churn 2 Production", "the metric 'auc' is 0.8, which is not >= 0.85");
    r.refused("alice", 5, "transition churn 1 Production", "the tag 'validated' is missing");
    r.alice("tag set churn/1 validated=no");
    r.refused("alice", 5, "transition churn 1 Production", "the tag 'validated' is 'no', not 'true'");
    r.alice("tag set churn/1 validated=true");
    r.alice("transition churn 1 Production");
    r.alice("stage set Staging --require-description --from None");
    r.refused("alice", 5, "transition churn 2 Staging", "it has no description");
    r.refused("alice", 5, "transition churn 1 Staging", "only from None; it is in Production");
}

#[test]
fn an_exclusive_stage_archives_what_was_there() {
    let r = Registry::new();
    r.alice("transition churn 1 Staging");
    r.alice("transition churn 2 Staging");
    assert_eq!(r.versions_in("Staging"), [1, 2]);
    r.alice("transition churn 2 Production");
    r.alice("stage set Production --exclusive");
    let said = r.alice("transition churn 1 Production");
    assert!(said.contains("move churn version 2 from Production to Archived (version 1 took its place)"), "{said}");
    assert_eq!((r.versions_in("Production"), r.versions_in("Archived")), (vec![1], vec![2]));
    r.alice("stage set Production --exclusive=false");
    r.alice("transition churn 2 Production --archive-existing");
    assert_eq!((r.versions_in("Production"), r.versions_in("Archived")), (vec![2], vec![1]));
    r.refused("alice", 1, "transition churn 2 Archived --archive-existing", "not an Active stage");
}

#[test]
fn a_transition_overtakes_open_requests_for_the_stage() {
    let r = Registry::new();
    r.grant(&[("bob", "CAN_READ"), ("carol", "CAN_READ")]);
    r.by("bob", 0, "request create churn 1 Staging");
    r.by("carol", 0, "request create churn 1 Production");
    let said = r.alice("transition churn 1 Staging");
    assert!(said.contains("cancel the request of Staging for churn version 1 (overtaken)"), "{said}");
    let open = r.json("alice", "request list");
    assert_eq!((open.as_array().map(Vec::len), &open[0]["to"]), (Some(1), &json!("Production")));
    assert_eq!(r.json("alice", "request list --state cancelled")[0]["closed_by"], "alice");
}

#[test]
fn an_approval_is_void_when_what_was_seen_changes_but_not_for_other_changes() {
    let r = Registry::new();
    let manage = "CAN_MANAGE_PRODUCTION_VERSIONS";
    r.grant(&[("bob", manage), ("carol", manage), ("dave", manage)]);
    r.alice("stage set Production --approvals 2 --require-tag validated=*");
    r.alice("tag set churn/1 validated=yes");
    r.alice("request create churn 1 Production");
    r.by("bob", 0, "request approve churn 1");
    r.alice("tag set churn/1 other=tag");
    r.alice("comment add churn 1 by-the-way");
    assert_eq!(r.request(), pending(&["bob"]));
    r.alice("tag set churn/1 validated=again");
    assert_eq!(r.request(), pending(&[]));
    let shown = r.json("bob", "request list --waiting");
    assert_eq!(shown[0]["review"][0]["void"], "the version, its stage or the rule changed after the approval");
    r.by("carol", 0, "request approve churn 1");
    assert_eq!(r.request(), pending(&["carol"]));
    r.by("bob", 0, "request approve churn 1");
    assert_eq!(r.versions_in("Production"), [1]);
}

#[test]
fn lists_have_the_field_names_of_the_files() {
    let r = Registry::new();
    r.grant(&[("bob", "CAN_READ")]);
    r.by("bob", 0, "request create churn 1 Staging -m please");
    let keys = |value: &Value| value[0].as_object().map(|o| o.keys().cloned().collect::<Vec<_>>().join(" "));
    let list = r.json("bob", "request list churn 1");
    assert_eq!(
        keys(&list).as_deref(),
        Some(
            "id model version stage to state created_by created_at comment archive_existing approvals review closed_by \
             closed_at close_comment missing waits_for"
        )
    );
    assert_eq!((&list[0]["version"], &list[0]["comment"]), (&json!(1), &json!("please")));

    r.by("bob", 0, "comment add churn 1 hello");
    let list = r.json("bob", "comment list churn 1");
    assert_eq!(keys(&list).as_deref(), Some("id model version created_by created_at edited_at text"));
    assert_eq!(list[0]["edited_at"], Value::Null);

    r.alice("alias set churn champion 2");
    assert_eq!(r.json("bob", "alias list churn"), json!([{"alias": "champion", "version": 2, "stage": "None"}]));
    assert_eq!(
        r.json("bob", "access list --model churn"),
        json!([
            {"to": "bob", "level": "CAN_READ", "model": "churn", "inherited": false},
            {"to": "alice", "level": "CAN_MANAGE", "model": null, "inherited": true},
        ])
    );
    r.alice("access group risk --add carol --add bob");
    assert_eq!(r.json("bob", "access group"), json!([{"name": "risk", "members": ["bob", "carol"]}]));
    let bob = json!({"id": "bob", "name": "", "emails": ["bob@example.org"], "logins": [], "keys": []});
    assert_eq!(r.json("bob", "person list")[1], bob);
    let stages = r.json("bob", "stage list");
    let names: Vec<&str> = stages.as_array().into_iter().flatten().filter_map(|s| s["stage"].as_str()).collect();
    assert_eq!(names, ["None", "Staging", "Production", "Archived"]);
}

#[test]
fn comments_are_edited_by_their_author_and_named_by_a_part_of_their_id() {
    let r = Registry::new();
    r.grant(&[("bob", "CAN_READ"), ("carol", "CAN_READ")]);
    r.by("bob", 0, "comment add churn 1 first");
    let id = r.json("bob", "comment list churn 1")[0]["id"].as_str().expect("an id").to_owned();
    let end = &id[28..];
    r.refused("carol", 5, &format!("comment edit churn 1 {end} mine"), "carol may not edit a comment");
    r.by("bob", 0, &format!("comment edit churn 1 {end} -m second"));
    assert_eq!(r.json("bob", "comment list churn 1")[0]["text"], "second");
    r.by("bob", 2, &format!("comment delete churn 1 {end}"));
    r.refused("carol", 5, &format!("comment delete churn 1 {id} --yes"), "carol may not delete a comment");
    r.alice(&format!("comment delete churn 1 {end} --yes"));
    assert_eq!(r.json("bob", "comment list churn 1"), json!([]));
}

#[test]
fn a_file_of_actions_lands_whole_or_not_at_all() {
    let r = Registry::new();
    let before = r.everything();
    let lines = [
        json!({"do": "model.create", "model": "fraud"}),
        json!({"do": "version.create", "model": "fraud", "source": "s3://models/fraud"}),
        json!({"do": "alias.set", "model": "fraud", "alias": "champion", "version": 2}),
    ];
    let text = |lines: &[Value]| lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let shell = r.sandbox.alice().within("r");
    let failed = shell.clone().input(text(&lines)).greenroom(["apply", "-f", "-"]).code(3);
    assert!(failed.stderr().contains("action 3 of 3 (alias.set): Model Version (name=fraud, version=2) not found"));
    assert_eq!(r.everything(), before);

    let bob = r.sandbox.bob().within("r").input(text(&lines[..2]));
    bob.greenroom(["apply", "-f", "-"]).success();
    r.sandbox.write("r-actions.toml", "[[action]]\ndo = 'model.describe'\nmodel = 'churn'\ndescription = 'x'\n");
    let bob = r.sandbox.bob().within("r");
    bob.greenroom(["apply", "-f", "../r-actions.toml"]).code(5);
    shell.greenroom(["apply", "-f", "../r-actions.toml", "-m", "Say what it is for"]).success();
    let log = shell.git(["log", "-1", "--format=%s%n%b"]).success();
    assert!(log.stdout().starts_with("Describe the model churn\nSay what it is for\n"), "{}", log.stdout());
    let faults = shell.clone().input("[[action]]\ndo = 'model.describe'\nmodel = 'churn'\n");
    let said = faults.greenroom(["apply", "-f", "-"]).code(1);
    assert!(said.stderr().contains("standard input:1:1: `description` is missing"), "{}", said.stderr());
}

#[test]
fn a_person_leaves_with_grants_and_memberships() {
    let r = Registry::new();
    r.grant(&[("bob", "CAN_READ")]);
    r.alice("access grant bob edit");
    r.alice("access group risk --add bob --add carol");
    r.alice("person remove bob --yes");
    assert_eq!(r.json("alice", "access group"), json!([{"name": "risk", "members": ["carol"]}]));
    assert_eq!(r.json("alice", "access list --model churn").as_array().map(Vec::len), Some(1));
    r.refused("alice", 5, "person remove alice --yes", "the registry would have no administrator");
}

#[test]
fn a_private_key_is_never_taken() {
    let r = Registry::new();
    let armour = |what: &str| format!("-----{what} OPENSSH PRIVATE {}-----", "KEY");
    r.sandbox.write("r/id_ed25519", format!("{}\nb3BlbnNzaC1rZXk\n{}\n", armour("BEGIN"), armour("END")));
    r.sandbox.write(
        "r/id_ed25519.pub",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl bob\n",
    );
    assert!(r.by("alice", 2, "person set bob --key id_ed25519").contains("private key"));
    assert!(r.by("alice", 2, "person set bob --key /dev/null").contains("not a public key"));
    r.alice("person set bob --key id_ed25519.pub --login bob-at-work");
    let bob = r.json("alice", "person show bob");
    assert_eq!((&bob["keys"][0]["revoked_at"], &bob["logins"]), (&Value::Null, &json!(["bob-at-work"])));
    r.alice("person set bob --revoke-key GKJl");
    assert!(r.json("alice", "person show bob")["keys"][0]["revoked_at"].is_string());
    r.by("alice", 3, "person set bob --revoke-key GKJl");
}

#[test]
fn on_a_terminal_a_deletion_asks_for_the_name() {
    let r = Registry::new();
    let before = r.everything();
    let typed = |words: &str| {
        let shell = r.sandbox.alice().within("r").input(format!("{words}\n"));
        // `script` gives the command a terminal, and exits with its exit code.
        shell.run("script", ["-qec", "greenroom person remove dave", "/dev/null"])
    };
    let said = typed("yes").code(1);
    assert!(said.stdout().contains("Type 'dave' to confirm:"), "{}", said.stdout());
    assert_eq!(r.everything(), before);
    typed("dave").success();
    assert_eq!(r.json("alice", "person list").as_array().map(Vec::len), Some(3));
}

#[test]
fn an_error_whose_words_are_those_of_a_closed_pipe_is_told() {
    let sandbox = Sandbox::new();
    sandbox.greenroom(["init", "r"]).success();
    let refused = sandbox.alice().within("r").greenroom(["tag", "set", "Broken pipe", "a=1"]).code(3);
    assert!(refused.stderr().contains("Broken pipe"), "{}", refused.stderr());
}

#[test]
fn two_values_for_one_key_are_refused() {
    let registry = Registry::new();
    for line in [
        "register churn --source s3://m/3 --metric a=1 --metric a=2",
        "register churn --source s3://m/3 --param a=1 --param a=1",
        "register churn --source s3://m/3 --tag a=1 --tag a=2",
        "model create risk --tag a=1 --tag a=2",
        "version record churn 1 --metric a=1 --metric a=2",
        "version record churn 1 --param a=1 --param a=2",
        "tag set churn 1 a=1 a=2",
        "stage set Production --require-metric auc>0.5 --require-metric auc<0.9",
        "stage set Production --require-tag a=1 --require-tag a=2",
        "alias guard champion --require-metric auc>0.5 --require-metric auc<0.9",
    ] {
        registry.refused("alice", 2, line, "twice");
    }
    registry.refused("alice", 2, "register churn --source s3://m/3 --metric b=1e400", "too large for a metric");
}

#[test]
fn one_condition_of_a_rule_is_taken_away_again() {
    let registry = Registry::new();
    registry.alice("stage set Production --require-metric auc>=0.5 --require-metric f1>=0.5 --require-tag ok=*");
    registry.alice("stage set Production --drop-metric auc --drop-tag ok");
    let stages = registry.json("alice", "stage list");
    let rule = stages.as_array().into_iter().flatten().find(|s| s["stage"] == "Production").expect("the stage");
    assert_eq!(rule["rule"]["require"]["metrics"], json!({"f1": ">= 0.5"}));
    assert_eq!(rule["rule"]["require"]["tags"], json!({}));
    registry.refused("alice", 3, "stage set Production --drop-metric auc", "does not require the metric 'auc'");
}

#[test]
fn a_freeze_ends_after_it_begins() {
    let registry = Registry::new();
    registry.refused("alice", 2, "stage set Production --freeze 2026-12-05..2026-12-01", "ends before it begins");
    registry.refused("alice", 2, "alias guard champion --freeze 2026-12-05..2026-12-01", "ends before it begins");
    registry.alice("stage set Production --freeze 2026-12-01..2026-12-01");
    let file = registry.sandbox.read("r/greenroom.toml");
    registry.sandbox.write("r/greenroom.toml", file.replace("to = 2026-12-01", "to = 2026-11-01"));
    let said = registry.sandbox.alice().within("r").greenroom(["check"]).code(1);
    assert!(said.stdout().contains("a freeze of Production ends before it begins: 2026-12-01..2026-11-01 [freeze]"));
}

#[test]
fn what_git_has_begun_is_told_and_nothing_is_committed_into_it() {
    for (begin, operation) in [("merge", "a merge"), ("rebase", "a rebase"), ("cherry-pick", "a cherry-pick")] {
        let registry = Registry::new();
        let alice = registry.sandbox.alice().within("r");
        alice.git(["switch", "--quiet", "-c", "other"]).success();
        registry.alice("register churn --source s3://models/theirs");
        alice.git(["switch", "--quiet", "main"]).success();
        registry.alice("register churn --source s3://models/ours");
        let (_, _) = alice.git([begin, "other"]).any();
        let said = alice.greenroom(["check"]).code(1);
        let conflicts = said.stdout().matches("a merge left a conflict here").count();
        let file = "models/churn/versions/3/version.toml";
        assert!(conflicts == 1 && said.stdout().contains(file), "{begin}: {}", said.stdout());
        assert!(said.stdout().contains("1 fault"), "{begin}: {}", said.stdout());
        assert!(said.stdout().contains(&format!("{operation} is in progress")), "{begin}: {}", said.stdout());
        let doctor = alice.greenroom(["doctor"]).any().0;
        assert!(doctor.contains(&format!("{operation} is in progress")), "{begin}: {doctor}");
        for line in ["tag set churn 1 a=b", "tag set churn 1 a=b -n", "request create churn 1 Production"] {
            let said = alice.greenroom(line.split(' ')).code(6);
            assert!(said.stderr().contains(&format!("{operation} is in progress")), "{line}: {}", said.stderr());
        }
        alice.git([begin, "--abort"]).success();
        registry.alice("tag set churn 1 a=b");
    }
}

#[test]
fn grants_that_cannot_be_read_are_named_where_they_are_needed() {
    let registry = Registry::new();
    let alice = registry.sandbox.alice().within("r");
    registry.alice("access grant bob edit --model churn");
    for (path, lines) in [
        ("access.toml", &["access list", "access group", "access group risk", "tag set churn 1 a=b"][..]),
        ("models/churn/access.toml", &["access list --model churn"]),
    ] {
        let before = registry.sandbox.read(format!("r/{path}"));
        registry.sandbox.write(format!("r/{path}"), "grants = [\n");
        alice.git(["commit", "--quiet", "-am", "By hand"]).success();
        for line in lines {
            let said = alice.greenroom(line.split(' ')).code(1);
            let stderr = said.stderr();
            assert!(stderr.contains(path) && stderr.contains("greenroom check"), "{line}: {stderr}");
        }
        registry.sandbox.write(format!("r/{path}"), before);
        alice.git(["commit", "--quiet", "-am", "Mended"]).success();
    }
    let before = registry.sandbox.read("r/models/churn/model.toml");
    registry.sandbox.write("r/models/churn/model.toml", format!("{before}colour = 3\ndescription = 4\n"));
    alice.git(["commit", "--quiet", "-am", "By hand"]).success();
    for line in ["model show churn", "tag set churn 1 a=b"] {
        let said = alice.greenroom(line.split(' ')).success();
        assert!(said.stderr().contains("models/churn/model.toml"), "{line}: {}", said.stderr());
    }
}

#[test]
fn doctor_counts_the_commits_of_a_linked_work_tree() {
    let registry = Registry::new();
    let alice = registry.sandbox.alice();
    alice.clone().within("r").git(["worktree", "add", "--quiet", "../linked", "-b", "other"]).success();
    alice.clone().within("r").git(["worktree", "add", "--quiet", "--detach", "../away"]).success();
    for (folder, branch) in [("linked", "other"), ("away", "HEAD")] {
        let (said, _) = alice.clone().within(folder).greenroom(["doctor"]).any();
        assert!(said.contains(&format!("ok    history   2 commits on {branch}")), "{folder}: {said}");
    }
}

#[test]
fn what_a_deletion_would_do_is_shown_without_a_question() {
    let registry = Registry::new();
    registry.alice("webhook create --event version.transitioned --url https://example.org/x");
    registry.alice("comment add churn 1 x");
    let id = |line: &str| registry.json("alice", line)[0]["id"].as_str().expect("an id").to_owned();
    let comment = id("comment list churn 1");
    for line in [
        "version delete churn 1 -n".to_owned(),
        "model delete churn -n".to_owned(),
        "person remove dave -n".to_owned(),
        format!("webhook delete {} -n", id("webhook list")),
        format!("comment delete churn 1 {comment} -n"),
    ] {
        let before = registry.everything();
        assert!(registry.alice(&line).contains("Would make this commit"), "{line}");
        assert_eq!(before, registry.everything(), "{line}");
    }
    registry.sandbox.greenroom(["init", "nameless", "--name", ""]).code(2);
}
