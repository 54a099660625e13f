//! The `-o json` output of commands matches its JSON Schema, with one format for times and people.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use greenroom::view::schema::ALL;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::schema::outputs;
use crate::support::Sandbox;
use crate::support::hooked::Hooked;
use crate::support::sandbox::Done;
use crate::support::smtp::Sink;

/// The committed schema of an output.
fn validator(name: &str) -> Validator {
    let path = outputs().join(format!("{name}.schema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let schema = serde_json::from_str(&text).expect("a schema is JSON");
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect("a valid schema")
}

/// Demands that a value matches the schema of an output, and that it is [`clean`].
#[track_caller]
pub fn valid(name: &str, value: &Value) {
    let faults: Vec<String> =
        validator(name).iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(faults.is_empty(), "{name}:\n{}\n{value:#}", faults.join("\n"));
    clean(value, name);
}

/// Demands that no key is from MLflow's or Databricks' APIs, that no number looks like milliseconds since the epoch,
/// and that every time is RFC 3339 in UTC with milliseconds.
#[track_caller]
pub fn clean(value: &Value, at: &str) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let of_others = ["user_id", "current_stage", "to_stage", "from_stage"].contains(&key.as_str());
                assert!(!of_others && !key.ends_with("_timestamp"), "{at}: the key {key}");
                let is_time = key.ends_with("_at") || key == "at" || key == "timestamp";
                if let (true, Value::String(text)) = (is_time, inner) {
                    let is_written = text.len() == 24 && text.ends_with('Z') && text.get(10..11) == Some("T");
                    assert!(is_written, "{at}.{key}: {text}");
                }
                assert!(!is_time || inner.is_string() || inner.is_null(), "{at}.{key}: {inner}");
                clean(inner, &format!("{at}.{key}"));
            }
        }
        Value::Array(items) => items.iter().for_each(|inner| clean(inner, &format!("{at}[]"))),
        Value::Number(number) => {
            let is_epoch = number.as_f64().is_some_and(|n| (1e12..1e13).contains(&n));
            assert!(!is_epoch, "{at}: {number} looks like milliseconds since the epoch");
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// A registry whose command output is validated, and the validated outputs.
struct World {
    sandbox: Sandbox,
    seen: RefCell<BTreeSet<&'static str>>,
}

impl World {
    /// Runs a command as a person and demands that its output matches the schema of an output.
    #[track_caller]
    fn prints(&self, who: &str, name: &'static str, line: &str) -> Value {
        self.judge(name, &self.run(who, &format!("{line} -o json")).success())
    }

    fn run(&self, who: &str, line: &str) -> crate::support::sandbox::Output {
        self.sandbox.shell(who, &format!("{who}@example.org")).within("r").greenroom(line.split(' '))
    }

    #[track_caller]
    fn judge(&self, name: &'static str, done: &Done) -> Value {
        let value = done.json();
        self.judge_value(name, &value);
        value
    }

    #[track_caller]
    fn judge_value(&self, name: &'static str, value: &Value) {
        valid(name, value);
        self.seen.borrow_mut().insert(name);
    }
}

#[test]
fn every_command_prints_what_its_schema_says() {
    let world = World { sandbox: Sandbox::new(), seen: RefCell::default() };
    world.sandbox.greenroom(["init", "r"]).success();
    evidence(&world);
    people(&world);
    requests(&world);
    history(&world);
    files(&world);
    secrets(&world);
    deliveries(&world);
    let seen = world.seen.into_inner();
    // The HTTP API is held against its schemas in tests/it/server/own.rs.
    let of_commands = ALL.iter().map(|k| k.name).filter(|name| !name.starts_with("api-"));
    let missed: Vec<&str> = of_commands.filter(|name| !seen.contains(name)).collect();
    assert_eq!(missed, [""; 0], "outputs that no command of this test printed");
}

/// Models and versions, with every part that a version can have.
fn evidence(world: &World) {
    let (sandbox, alice) = (&world.sandbox, "alice");
    sandbox.write(
        "model/MLmodel",
        "flavors:\n  python_function:\n    env:\n      conda: conda.yaml\nmlflow_version: 3.1.0\n",
    );
    sandbox
        .write("model/conda.yaml", "channels: [defaults]\ndependencies: [python=3.12, pip, {pip: [numpy==2.1.0]}]\n");
    world.prints(alice, "change", "model create churn");
    world.prints(alice, "change", "register churn ../model --metric auc=0.91 --param depth=3");
    let action = json!({
        "do": "version.create", "model": "churn", "source": "s3://models/2",
        "metrics": { "auc": { "value": 0.8, "step": 3, "timestamp": "2026-03-01T12:00:00Z" } },
    });
    let shell = sandbox.alice().within("r").input(action.to_string());
    world.judge("change", &shell.greenroom(["apply", "-f", "-", "-o", "json"]).success());
    world.prints(alice, "change", "tag set churn/1 validated=true");
    world.prints(alice, "change", "alias set churn champion 1");
    world.prints(alice, "change", "comment add churn 1 hello");
    world.prints(alice, "change", "transition churn 1 Staging -n");
    world.prints(alice, "change", "transition churn 1 Staging");
    let list = world.prints(alice, "model-list", "model list");
    assert_eq!(list[0]["latest_versions"], json!([{ "version": 1, "stage": "Staging", "aliases": ["champion"] }]));
    world.prints(alice, "model-show", "model show churn");
    world.prints(alice, "model-show", "show churn");
    let versions = world.prints(alice, "version-list", "version list churn");
    let metric = json!({ "value": 0.8, "step": 3, "timestamp": "2026-03-01T12:00:00.000Z" });
    assert_eq!(versions[0]["metrics"]["auc"], metric);
    world.prints(alice, "version-show", "version show churn 1");
    world.prints(alice, "version-show", "show churn/2");
    world.prints(alice, "alias-list", "alias list churn");
    world.prints(alice, "search-models", "search models");
    world.prints(alice, "search-models", "search models --with-token");
    world.prints(alice, "search-versions", "search versions");
    world.prints(alice, "search-versions", "search versions --max-results 1 --with-token");
    let compared = world.prints(alice, "compare", "compare churn 1 2");
    let keys: Vec<&str> =
        compared["about"].as_array().expect("rows").iter().filter_map(|r| r["key"].as_str()).collect();
    assert_eq!(keys, ["stage", "created_at", "created_by", "run_id", "digest"]);
    world.prints(alice, "comment-list", "comment list churn 1");
    world.prints(alice, "fetch", "fetch churn/1 ../fetched");
    let failed = world.run(alice, "model show nothing -o json").code(3);
    world.judge_value("error", &serde_json::from_str(failed.stderr()).expect("an error is JSON"));
}

/// People, grants, mail and settings.
fn people(world: &World) {
    let alice = "alice";
    world.prints(alice, "change", "person add bob --email bob@example.org --login bobb");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl bob\n";
    world.sandbox.write("r/bob.pub", key);
    world.prints(alice, "change", "person set bob --key bob.pub");
    fs::remove_file(world.sandbox.path("r/bob.pub")).expect("it is there");
    world.prints(alice, "change", "access grant bob CAN_MANAGE_PRODUCTION_VERSIONS --model churn");
    world.prints(alice, "change", "access group risk --add bob");
    world.prints(alice, "access-list", "access list --model churn");
    world.prints(alice, "access-group", "access group");
    world.prints(alice, "person-list", "person list");
    world.prints(alice, "person-show", "person show bob");
    world.prints(alice, "person-allowed-signers", "person allowed-signers");
    world.prints(alice, "change", "stage set Production --approvals 1 --freeze 2000-01-01..2000-01-02 --reason done");
    world.prints(alice, "stage-list", "stage list");
    world.prints(alice, "change", "alias guard champion --approver group:risk");
    world.prints(alice, "alias-rules", "alias rules");
    world.prints(alice, "settings-show", "settings show");
    world.prints("bob", "notify-show", "notify show");
    let sink = Sink::start(&world.sandbox.path("mail"), &[]);
    let git = world.sandbox.alice().within("r");
    git.git(["config", "greenroom.smtp", &format!("smtp://127.0.0.1:{}", sink.port())]).success();
    git.git(["config", "greenroom.mailFrom", "greenroom@example.org"]).success();
    world.prints("bob", "notify-test", "notify test");
    git.git(["config", "--unset", "greenroom.smtp"]).success();
}

/// Transition requests in each state, and verdicts on pull requests.
fn requests(world: &World) {
    let shell = world.sandbox.alice().within("r");
    let base = shell.git(["rev-parse", "HEAD"]).success().stdout().trim().to_owned();
    world.prints("alice", "change", "request create churn 1 Production -m please");
    world.prints("bob", "request-review", "request approve churn 1 --print");
    world.prints("alice", "check-range", &format!("check {base}..HEAD"));
    world.prints("bob", "change", "request approve churn 1 -m fine");
    world.prints("alice", "change", "request create churn 2 Staging");
    world.prints("alice", "change", "request cancel churn 2");
    world.prints("alice", "change", "request create churn 2 Archived");
    let closed = world.prints("alice", "request-list", "request list churn 1 --state all");
    assert_eq!(closed[0]["approvals"], json!({ "needed": 1, "by": ["bob"] }));
    assert_eq!((&closed[0]["to"], &closed[0]["review"][0]["by"]), (&json!("Production"), &json!("bob")));
    world.prints("alice", "request-list", "request list");
    world.prints("alice", "request-show", "request show churn 2");
    world.prints("alice", "version-show", "version show churn 1");
    world.prints("alice", "proposal", "request create churn 2 Production --branch=to-production --onto HEAD");
    shell.git(["checkout", "--quiet", "main"]).success();
}

/// The history and its audits.
fn history(world: &World) {
    let alice = "alice";
    world.prints(alice, "log", "log");
    world.prints(alice, "show-commit", "show HEAD~1");
    world.prints(alice, "show-registry", "show");
    world.prints(alice, "diff", "diff HEAD~3");
    world.prints(alice, "verify", "verify");
    world.prints(alice, "index-status", "index status");
    world.prints(alice, "index-rebuild", "index rebuild");
    let doctor = world.run(alice, "doctor -o json").any().0;
    world.judge_value("doctor", &serde_json::from_str(&doctor).expect("JSON"));
}

/// Files of the work tree, hooks and schemas.
fn files(world: &World) {
    let (alice, shell) = ("alice", world.sandbox.alice());
    world.prints(alice, "check", "check");
    world.prints(alice, "fmt", "fmt");
    world.prints(alice, "codeowners", "codeowners");
    world.prints(alice, "schema-list", "schema --list");
    world.prints(alice, "schema-write", "schema --write");
    shell.git(["clone", "--quiet", "--bare", "r", "served.git"]).success();
    let install = ["hook", "install", "--bare", "served.git", "--host", "unix", "-o", "json"];
    world.judge("hook-install", &shell.greenroom(install).success());
    world.judge("hook-status", &shell.greenroom(["hook", "status", "--bare", "served.git", "-o", "json"]).success());
}

/// Secrets, tokens and the server.
fn secrets(world: &World) {
    let alice = "alice";
    world.prints(alice, "secret-change", "secret set release.next --generate");
    world.prints(alice, "secret-list", "secret list");
    world.prints(alice, "secret-change", "secret promote release");
    world.prints(alice, "secret-change", "secret delete release --yes");
    let token = world.prints(alice, "token-create", "token create --person alice --expires 9d --read-only");
    world.prints(alice, "token-list", "token list");
    let prefix = token["token"].as_str().and_then(|t| t.get(..10)).expect("a token");
    world.prints(alice, "token-revoke", &format!("token revoke {prefix}"));
    world.prints(alice, "serve", "serve --bind 127.0.0.1:0 --idle-exit 1");
}

/// Webhooks, deliveries that arrive and deliveries that fail.
fn deliveries(world: &World) {
    let (alice, receiver) = ("alice", Hooked::with_status(200));
    let shell = world.sandbox.alice().within("r");
    shell.git(["config", "greenroom.webhookAllow", "127.0.0.1"]).success();
    world.prints(alice, "watch", "watch --once");
    world.prints(alice, "change", &format!("webhook create --event model.* --url {}", receiver.url()));
    world.prints(alice, "change", "webhook create --event * --url http://127.0.0.1:9/ --name closed");
    let hooks = world.prints(alice, "webhook-list", "webhook list");
    let id = hooks[0]["id"].as_str().expect("an id");
    world.prints(alice, "webhook-test", &format!("webhook test {id}"));
    world.prints(alice, "change", "tag set churn a=b");
    world.judge("watch", &world.run(alice, "watch --once -o json").code(1));
    let listed = world.prints(alice, "webhook-deliveries", "webhook deliveries");
    let states: BTreeSet<&str> =
        listed["deliveries"].as_array().expect("a list").iter().filter_map(|d| d["state"].as_str()).collect();
    assert!(states.contains("delivered") && states.contains("failed"), "{listed:#}");
    let replayed = world.run(alice, &format!("webhook replay {id} --from HEAD~1 -o json")).success();
    assert!(!replayed.stdout().is_empty());
    for line in replayed.stdout().lines() {
        world.judge_value("webhook-replay", &serde_json::from_str(line).expect("a line of JSON"));
    }
    world.prints(alice, "webhook-replay-dead", "webhook replay --dead");
    // The watcher reports a commit that breaks a rule.
    let settings = world.sandbox.read("r/greenroom.toml");
    world.sandbox.write("r/greenroom.toml", format!("{settings}\n[identity]\nself_approval = true\n"));
    world.sandbox.bob().within("r").git(["commit", "--quiet", "-am", "By hand"]).success();
    let (_, told) = world.run(alice, "watch --once -o json").any();
    assert!(told.contains("\"by\":\"bob\""), "{told}");
    for line in told.lines() {
        world.judge_value("watch-message", &serde_json::from_str(line).expect("a line of JSON"));
    }
}

#[test]
fn a_key_of_another_contract_is_noticed() {
    let noticed = |value: Value| std::panic::catch_unwind(|| clean(&value, "x")).is_err();
    assert!(noticed(json!({ "a": [{ "user_id": "bob" }] })));
    assert!(noticed(json!({ "creation_timestamp": null })));
    assert!(noticed(json!([1_772_366_880_000_u64])));
    assert!(noticed(json!({ "created_at": "2026-03-01T12:00:00Z" })));
    assert!(noticed(json!({ "at": 12 })));
    assert!(!noticed(json!({ "at": "2026-03-01T12:00:00.000Z", "size": 1_000_000 })));
}
