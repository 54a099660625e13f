//! Commands and the server use the same authority as the gate: `greenroom verify` accepts every commit they make.

use serde_json::json;

use crate::support::{Sandbox, Shell, server::Server, tools};

/// A registry `r` of Alice's, with a model of one version: Bob may manage Production, Carol manages the registry, and
/// Dave is not in the registry.
struct World {
    sandbox: Sandbox,
}

impl World {
    fn new(authority: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.greenroom(["init", "r"]).success();
        let world = Self { sandbox };
        for args in [
            "person add bob --email bob@example.org",
            "person add carol --email carol@example.org",
            "access grant bob manage-production",
            "access grant carol CAN_MANAGE",
            "model create churn",
            "register churn --source s3://churn/1",
        ] {
            world.by("alice").greenroom(args.split(' ')).success();
        }
        if authority == "signature" {
            for name in ["alice", "bob", "carol", "dave"] {
                let path = world.key(name);
                world.by("alice").run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", &path]).success();
                if name != "dave" {
                    let public = format!("{path}.pub");
                    world.by("alice").greenroom(["person", "set", name, "--key", &public]).success();
                }
            }
        }
        let shell = if authority == "signature" { world.signing("alice", "alice") } else { world.by("alice") };
        shell.greenroom(["settings", "set", "--authority", authority]).success();
        world
    }

    fn key(&self, name: &str) -> String {
        self.sandbox.path(format!("{name}.key")).to_str().expect("a plain path").to_owned()
    }

    fn by(&self, name: &str) -> Shell<'_> {
        self.sandbox.shell(name, &format!("{name}@example.org")).within("r")
    }

    /// A person's commands, whose commits are signed with the key of a possibly different person.
    fn signing(&self, name: &str, key: &str) -> Shell<'_> {
        let settings = [("commit.gpgSign", "true"), ("gpg.format", "ssh"), ("user.signingKey", &self.key(key))];
        let shell = self.by(name).env("GIT_CONFIG_COUNT", "3");
        settings.iter().enumerate().fold(shell, |shell, (n, (name, value))| {
            shell.env(format!("GIT_CONFIG_KEY_{n}"), name).env(format!("GIT_CONFIG_VALUE_{n}"), value)
        })
    }

    fn tip(&self) -> String {
        self.by("alice").git(["rev-parse", "main"]).success().stdout().to_owned()
    }

    /// Demands that a command is refused, with a reason and a hint, and makes no commit.
    #[track_caller]
    fn refused(&self, shell: &Shell<'_>, args: &str, parts: &[&str]) {
        let before = self.tip();
        let said = shell.greenroom(args.split(' ')).code(5);
        for part in parts {
            assert!(said.stderr().contains(part), "{part} is not in\n{}", said.stderr());
        }
        assert_eq!(self.tip(), before, "nothing was to be written");
        let shown = shell.greenroom(args.split(' ').chain(["-n", "-o", "json"])).code(5).json();
        assert_ne!(shown["faults"], json!([]), "{shown}");
    }

    /// Demands that a command succeeds, and that the audit accepts its commit.
    #[track_caller]
    fn lands(&self, shell: &Shell<'_>, args: &str) {
        let before = self.tip();
        shell.greenroom(args.split(' ')).success();
        assert_ne!(self.tip(), before);
        let told = self.by("alice").greenroom(["verify", "-o", "json"]).success().json();
        assert_eq!(told["findings"], json!([]));
    }
}

#[test]
fn where_the_pusher_counts_the_committer_must_be_a_person() {
    let world = World::new("pusher");
    let outsider = ["not a person in people/", "set user.email", "--branch"];
    world.refused(&world.by("dave"), "access grant bob CAN_MANAGE", &outsider);
    world.refused(&world.by("mallory"), "comment add churn 1 hello", &outsider);
    world.lands(&world.by("bob"), "transition churn 1 Production");
    world.lands(&world.by("carol"), "access grant bob CAN_EDIT");
}

#[test]
fn where_the_pusher_counts_nobody_lands_in_anothers_name() {
    let world = World::new("pusher");
    // Bob has fewer permissions than Alice, in whose name the command acts.
    world.refused(
        &world.by("bob"),
        "access grant bob CAN_MANAGE --as alice",
        &["bob puts it on the branch, but its author is alice", "without --as"],
    );
    // Alice manages the registry, so the gate accepts another person's work from her. But it stays her action, and is
    // no second approval.
    world.lands(&world.by("alice"), "comment add churn 1 imported --as bob");
    world.lands(&world.by("carol"), "stage set Production --approvals 1");
    world.lands(&world.by("carol"), "request create churn 1 Production");
    world.refused(&world.by("carol"), "request approve churn 1 --as alice", &["only the commit's author field"]);
    world.lands(&world.by("alice"), "request approve churn 1");
}

#[test]
fn where_signatures_count_the_signer_acts() {
    tools::signing_tools();
    let world = World::new("signature");
    let unsigned = ["not signed by a person of this registry", "commit.gpgSign", "person set ID --key"];
    world.refused(&world.by("bob"), "transition churn 1 Staging", &unsigned);
    world.refused(&world.signing("bob", "dave"), "transition churn 1 Staging", &unsigned[..1]);
    world.refused(
        &world.signing("bob", "alice"),
        "transition churn 1 Staging",
        &["alice puts it on the branch, but its committer is bob"],
    );
    world.lands(&world.signing("bob", "bob"), "transition churn 1 Staging");
    world.refused(&world.signing("bob", "bob"), "access grant bob CAN_MANAGE --as alice", &["its author is alice"]);
    let print = world.by("alice").run("ssh-keygen", ["-l", "-f", &world.key("bob")]).success();
    let print = print.stdout().split(' ').nth(1).expect("a fingerprint").to_owned();
    world.lands(&world.signing("alice", "alice"), &format!("person set bob --revoke-key {print}"));
    world.refused(&world.signing("bob", "bob"), "transition churn 1 Archived", &["its signature does not count"]);
}

#[test]
fn a_signature_that_a_stage_asks_for_is_one_by_a_key_of_people() {
    tools::signing_tools();
    let world = World::new("author");
    let path = world.key("bob");
    world.by("alice").run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", &path]).success();
    world.lands(&world.by("alice"), "stage set Production --require-signed");
    world.refused(&world.signing("bob", "bob"), "transition churn 1 Production", &["must sign"]);
    world.lands(&world.by("alice"), &format!("person set bob --key {path}.pub"));
    world.lands(&world.signing("bob", "bob"), "transition churn 1 Production");
}

#[test]
fn whatever_a_command_lands_the_audit_accepts() {
    for authority in ["author", "pusher"] {
        for name in ["alice", "bob", "carol", "dave", "mallory"] {
            for named in ["", " --as bob", " --as carol"] {
                let world = World::new(authority);
                for what in [
                    "comment add churn 1 hello",
                    "transition churn 1 Staging",
                    "access grant bob CAN_MANAGE",
                    "request create churn 1 Production",
                ] {
                    let args = format!("{what}{named}");
                    let (_, said, code) = world.by(name).greenroom(args.split(' ')).ended();
                    assert!(matches!(code, Some(0 | 5)), "{authority} {name}: {args}: {said}");
                }
                let told = world.by("alice").greenroom(["verify", "-o", "json"]).any().0;
                let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
                assert_eq!(told["findings"], json!([]), "{authority} {name}{named}");
            }
        }
    }
}

#[test]
fn the_check_of_edits_asks_for_the_same() {
    let world = World::new("pusher");
    world.sandbox.write("r/models/churn/aliases/best.toml", "version = 1\n");
    let said = world.by("dave").greenroom(["check"]).code(5);
    assert!(said.stdout().contains("not a person in people/"), "{}", said.stdout());
    world.by("alice").greenroom(["check"]).success();
    world.by("dave").greenroom(["check", "--as", "alice"]).success();
}

#[test]
fn a_server_acts_for_its_callers_where_the_registry_says_so() {
    let world = World::new("pusher");
    world.lands(&world.by("alice"), "person add bot --email bot@example.org");
    let token = world.by("alice").greenroom(["token", "create", "--person", "bob", "-o", "json"]).success().json();
    let token = token["token"].as_str().expect("a token").to_owned();
    let tag = json!({"name": "churn", "key": "seen", "value": "yes"});
    let stage = json!({"name": "churn", "version": "1", "stage": "Production", "archive_existing_versions": false});
    let serve = |name: &str| Server::start(&world.by(name), world.sandbox.path("log"), &["--require-token"]);
    // Alice manages the registry: her server must not lend her permissions to Bob.
    for name in ["alice", "bot"] {
        let server = serve(name);
        let before = world.tip();
        let said = server.post("model-versions/transition-stage", &stage).by(&token).json(403);
        let parts = ["is not in identity.servers", "its author is bob"];
        assert!(said["message"].as_str().is_some_and(|m| parts.iter().any(|p| m.contains(p))), "{name}: {said}");
        server.post("registered-models/set-tag", &tag).by(&token).json(403);
        assert_eq!(world.tip(), before);
    }
    world.lands(&world.by("alice"), "settings set --add-server bot");
    let server = serve("bot");
    server.post("model-versions/transition-stage", &stage).by(&token).json(200);
    server.post("registered-models/set-tag", &tag).by(&token).json(200);
    drop(server);
    let told = world.by("alice").greenroom(["verify", "-o", "json"]).success().json();
    assert_eq!(told["findings"], json!([]));
    let by = world.by("alice").git(["log", "-1", "--format=%ae %ce"]).success();
    assert_eq!(by.stdout(), "bob@example.org bot@example.org\n");
}

#[test]
fn nobody_is_locked_out_by_an_authority_that_no_manager_can_meet() {
    tools::signing_tools();
    let world = World::new("author");
    let alice = world.by("alice");
    let switch = "settings set --authority signature";
    // First no person has a key; then only a person without the permission; then a manager whose commits are unsigned.
    world.refused(&alice, switch, &["`authority = \"signature\"` requires a valid signing key", "is not signed"]);
    for name in ["bob", "alice"] {
        alice.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", &world.key(name)]).success();
    }
    let key = |name: &str| format!("{}.pub", world.key(name));
    alice.greenroom(["person", "set", "bob", "--key", &key("bob")]).success();
    world.refused(&alice, switch, &["requires a valid signing key"]);
    alice.greenroom(["person", "set", "alice", "--key", &key("alice")]).success();
    world.refused(&alice, switch, &["the change to `authority = \"signature\"` is not signed"]);
    let signing = world.signing("alice", "alice");
    signing.greenroom(switch.split(' ')).success();
    // The last key of a manager cannot be removed, and neither can the last address.
    world.refused(&signing, "person set alice --revoke-key ssh-ed25519", &["requires a valid signing key"]);
    world.refused(&signing, "person set alice --remove-email alice@example.org", &["an e-mail address for commits"]);
    signing.greenroom(["settings", "set", "--authority", "author"]).success();
    // Carol is a manager, too, and has an address: that is enough for the authority `pusher`.
    alice.greenroom(["person", "set", "carol", "--remove-email", "carol@example.org"]).success();
    alice.greenroom(["settings", "set", "--authority", "pusher"]).success();
    world.refused(&alice, "person set alice --remove-email alice@example.org", &["an e-mail address for commits"]);
}

#[test]
fn check_judges_a_hand_edit_that_would_lock_everybody_out() {
    let world = World::new("author");
    let file = "r/greenroom.toml";
    let text = format!("{}\n[identity]\nauthority = \"signature\"\n", world.sandbox.read(file));
    world.sandbox.write(file, &text);
    let said = world.by("alice").greenroom(["check"]).code(5);
    assert!(said.stdout().contains("requires a valid signing key"), "{}", said.stdout());
    // A signature that is still missing is not a fault of the edit.
    assert!(said.stdout().contains("not checked: the signature, which is judged when you commit"), "{}", said.stdout());
    assert!(!said.stdout().contains("is not signed"), "{}", said.stdout());
}

#[test]
fn how_a_commit_will_be_signed_is_said_to_be_not_checked() {
    tools::signing_tools();
    let world = World::new("signature");
    world.sandbox.write("r/models/churn/stages/Staging.toml", "versions = [1]\n");
    let not_checked = "not checked: the signature, which is judged when you commit";
    // Whether git signs at once or not, nothing is known before the commit.
    for bob in [world.by("bob"), world.signing("bob", "bob")] {
        let said = bob.greenroom(["check"]).success();
        assert!(said.stdout().contains(not_checked), "{}", said.stdout());
    }
    // A fault that no signature can repair is reported.
    let said = world.by("dave").greenroom(["check"]).code(5).stdout().to_owned();
    assert!(said.contains("is not a person in people/") && !said.contains("not signed"), "{said}");
    std::fs::remove_file(world.sandbox.path("r/models/churn/stages/Staging.toml")).expect("a file");
    let said = world.by("bob").greenroom(["check"]).success();
    assert!(!said.stdout().contains(not_checked), "nothing is to be signed: {}", said.stdout());
    // Once it is committed it is judged.
    world.sandbox.write("r/models/churn/stages/Staging.toml", "versions = [1]\n");
    world.by("bob").git(["add", "."]).success();
    world.by("bob").git(["commit", "--quiet", "-m", "unsigned"]).success();
    let said = world.by("bob").greenroom(["check"]).code(5).stdout().to_owned();
    assert!(said.contains("it is not signed by a person of this registry"), "{said}");
}

#[test]
fn a_signature_that_a_stage_asks_for_is_not_checked_before_the_commit() {
    let world = World::new("author");
    world.lands(&world.by("alice"), "stage set Staging --require-signed");
    world.sandbox.write("r/models/churn/stages/Staging.toml", "versions = [1]\n");
    let said = world.by("bob").greenroom(["check"]).success().stdout().to_owned();
    assert!(said.contains("models/churn/stages/Staging.toml: not checked: the signature, which is judged"), "{said}");
}
