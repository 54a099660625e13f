//! Attacks on the secrets of webhooks by a person who manages one model and pushes, with the gate and a real receiver.

use crate::support::hooked::Hooked;
use crate::support::{Output, Sandbox, Shell};

/// A served repository with the gate, a clone of Alice, who manages the registry, and one of Bob, who manages the model
/// `churn`.
struct Served {
    sandbox: Sandbox,
}

const CANARY: &str = "canary-of-alice";

impl Served {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.git(["init", "--quiet", "--bare", "served.git"]).success();
        sandbox.greenroom(["init", "alice"]).success();
        let served = Self { sandbox };
        let alice = served.alice();
        alice.greenroom(["person", "add", "bob", "--email", "bob@example.org"]).success();
        alice.greenroom(["person", "add", "carol", "--email", "carol@example.org"]).success();
        for model in ["churn", "wine"] {
            alice.greenroom(["model", "create", model]).success();
        }
        alice.greenroom(["access", "grant", "bob", "CAN_MANAGE", "--model", "churn"]).success();
        alice.git(["remote", "add", "origin", "../served.git"]).success();
        served.lands(&alice);
        served.server().greenroom(["hook", "install", "--host", "unix"]).success();
        for (key, value) in [("greenroom.webhookAllow", "127.0.0.1"), ("greenroom.retryScale", "0.00001")] {
            served.server().git(["config", key, value]).success();
        }
        for person in ["bob", "carol"] {
            served.sandbox.git(["clone", "--quiet", "served.git", person]).success();
        }
        served.watch();
        served
    }

    fn server(&self) -> Shell<'_> {
        self.sandbox.alice().within("served.git")
    }

    fn alice(&self) -> Shell<'_> {
        self.sandbox.alice().within("alice").env("LOGNAME", "alice").env("USER", "alice")
    }

    fn bob(&self) -> Shell<'_> {
        self.sandbox.bob().within("bob").env("LOGNAME", "bob").env("USER", "bob")
    }

    fn carol(&self) -> Shell<'_> {
        let carol = self.sandbox.shell("Carol", "carol@example.org");
        carol.within("carol").env("LOGNAME", "carol").env("USER", "carol")
    }

    /// Pushes what a person committed, on top of the served branch.
    #[track_caller]
    fn lands(&self, person: &Shell<'_>) {
        person.git(["push", "--quiet", "origin", "main"]).success();
    }

    #[track_caller]
    fn refused(&self, person: &Shell<'_>, words: &str) {
        let said = person.git(["push", "origin", "main"]).code(1);
        assert!(said.stderr().contains(words), "{words:?} is not in\n{}", said.stderr());
        person.git(["reset", "--quiet", "--hard", "origin/main"]).success();
    }

    /// Takes the branch of Alice's clone as it is, as if there had been no gate at that time.
    #[track_caller]
    fn arrives_unjudged(&self) {
        self.server().git(["fetch", "--quiet", "../alice", "+main:main"]).success();
    }

    #[track_caller]
    fn pulls(&self, person: &Shell<'_>) {
        person.git(["pull", "--quiet", "--rebase", "origin", "main"]).success();
    }

    /// Commits a text of a file by hand.
    #[track_caller]
    fn writes(&self, person: &Shell<'_>, path: &str, text: &str) {
        std::fs::write(person.folder().join(path), text).expect("the clone is writable");
        person.git(["add", "."]).success();
        person.git(["commit", "--quiet", "-m", "By hand"]).success();
    }

    /// Creates a webhook of a model with a token, in the clone of a person, and pushes it. Returns the path of its file.
    #[track_caller]
    fn webhook(&self, person: &Shell<'_>, model: &str, url: &str, secret: &str) -> String {
        let path = self.makes(person, model, url, secret);
        self.lands(person);
        path
    }

    #[track_caller]
    fn makes(&self, person: &Shell<'_>, model: &str, url: &str, secret: &str) -> String {
        let before = hooks(person);
        let args =
            ["webhook", "create", "--model", model, "--event", "model.*", "--url", url, "--authorization", secret];
        person.greenroom(args).success();
        hooks(person).into_iter().find(|path| !before.contains(path)).expect("a new file")
    }

    /// Makes an event of the model, and sends what there is to send.
    #[track_caller]
    fn happens(&self, value: &str) {
        self.pulls(&self.alice());
        self.alice().greenroom(["tag", "set", "churn", &format!("k={value}")]).success();
        self.lands(&self.alice());
        self.watch();
    }

    fn watch(&self) {
        self.watch_with(&[]);
    }

    fn watch_with(&self, env: &[(&str, &str)]) {
        let server = env.iter().fold(self.server(), |server, (name, value)| server.env(*name, *value));
        server.greenroom(["watch", "--once"]).any();
    }

    fn sets(&self, args: &[&str]) -> Output {
        self.server().input(CANARY).greenroom(["secret", "set"].iter().chain(args))
    }
}

/// The files of the webhooks in a clone.
fn hooks(person: &Shell<'_>) -> Vec<String> {
    let found = std::fs::read_dir(person.folder().join("webhooks")).into_iter().flatten().flatten();
    found.map(|entry| format!("webhooks/{}", entry.file_name().to_string_lossy())).collect()
}

/// The id of the webhook in a file.
fn id(path: &str) -> &str {
    path.trim_start_matches("webhooks/").trim_end_matches(".toml")
}

/// The tokens that a receiver got.
fn tokens(receiver: &Hooked) -> Vec<String> {
    receiver.got().iter().filter_map(|got| got.header("authorization").map(str::to_owned)).collect()
}

#[test]
fn a_target_that_changes_in_two_commits_gets_no_secret_before_it_is_released() {
    let served = Served::new();
    let (good, evil) = (Hooked::with_status(200), Hooked::with_status(200));
    let bob = served.bob();
    let path = served.webhook(&bob, "churn", &good.url(), "webhook-churn");
    let said = served.sets(&["webhook-churn"]).success();
    for part in [id(&path), "churn", &good.url()] {
        assert!(said.stdout().contains(part), "{part:?}: {}", said.stdout());
    }
    served.happens("1");
    assert_eq!(tokens(&good), [CANARY]);

    served.pulls(&bob);
    let text = served.sandbox.read(format!("bob/{path}"));
    let without = text.replace(&good.url(), &evil.url()).replace("authorization = \"webhook-churn\"\n", "");
    assert!(without != text && !without.contains("authorization"), "{text}");
    served.writes(&bob, &path, &without);
    served.writes(&bob, &path, &text.replace(&good.url(), &evil.url()));
    served.refused(&bob, "it would be sent a secret that was set for another target");
    // Two pushes are as one.
    served.writes(&bob, &path, &without);
    served.lands(&bob);
    served.writes(&bob, &path, &text.replace(&good.url(), &evil.url()));
    served.refused(&bob, "it would be sent a secret that was set for another target");
    // An administrator may; the value waits until the administrator says that the new target gets it.
    let alice = served.alice();
    served.pulls(&alice);
    served.writes(&alice, &path, &text.replace(&good.url(), &evil.url()));
    served.lands(&alice);
    served.happens("2");
    assert_eq!((tokens(&good), evil.got().len()), (vec![CANARY.to_owned()], 0), "{:?}", evil.got());
    let why = "the secret 'webhook-churn' was set for another target or use of the webhook";
    let waiting = served.server().greenroom(["webhook", "deliveries", "-o", "json"]).success();
    assert!(waiting.stdout().contains(why), "{}", waiting.stdout());
    let listed = served.server().greenroom(["webhook", "list"]).success();
    assert!(listed.stderr().contains(why), "{}", listed.stderr());
    let tested = served.server().greenroom(["webhook", "test", id(&path)]).code(1);
    assert!(tested.stderr().contains(why), "{}", tested.stderr());
    // Neither a successor, nor a promotion, nor a deletion lets the target have it.
    let next = served.server().input("next").greenroom(["secret", "set", "webhook-churn.next"]).code(1);
    assert!(next.stderr().contains(why), "{}", next.stderr());
    served.happens("3");
    assert_eq!(evil.got().len(), 0);

    // No event is lost: they arrive where an administrator says.
    let said = served.server().greenroom(["secret", "release", "webhook-churn"]).success();
    assert!(said.stdout().contains(&evil.url()), "{}", said.stdout());
    served.server().greenroom(["webhook", "replay", "--dead"]).any();
    served.happens("4");
    served.watch();
    let got = tokens(&evil);
    assert!(got.len() >= 3 && got.iter().all(|token| token == CANARY), "{got:?}");
}

#[test]
fn a_webhook_that_returns_to_its_target_is_sent_its_secret_again() {
    let served = Served::new();
    let good = Hooked::with_status(200);
    let (alice, bob) = (served.alice(), served.bob());
    let path = served.webhook(&bob, "churn", &good.url(), "webhook-churn");
    served.sets(&["webhook-churn"]).success();
    let text = served.sandbox.read(format!("bob/{path}"));
    for text in [text.replace("authorization", "secret"), text] {
        served.pulls(&alice);
        let parts: Vec<&str> = text.lines().filter(|line| !line.contains("webhook-churn")).collect();
        served.writes(&alice, &path, &format!("{}\n", parts.join("\n")));
        served.writes(&alice, &path, &text);
        served.lands(&alice);
        served.happens(if text.contains("authorization") { "2" } else { "1" });
    }
    served.watch();
    assert!(!tokens(&good).is_empty() && tokens(&good).iter().all(|token| token == CANARY), "{:?}", good.got());
    assert_eq!(tokens(&good).len(), good.got().len(), "nothing was sent for the other use");
}

#[test]
fn names_with_one_variable_are_one_name_for_the_gate_and_for_the_environment() {
    let served = Served::new();
    let (good, evil) = (Hooked::with_status(200), Hooked::with_status(200));
    let (alice, bob) = (served.alice(), served.bob());
    let path = served.webhook(&alice, "churn", &good.url(), "webhook-mine-a");
    let env = [("GREENROOM_SECRET_WEBHOOK_MINE_A", CANARY)];
    served.watch_with(&env);
    served.pulls(&bob);
    for twin in ["webhook-MINE-A", "webhook-mine.a", "webhook-mine_a", "webhook-mine-a.next", "webhook-mine-a-next"] {
        let args =
            ["webhook", "create", "--model", "churn", "--event", "model.*", "--url", &evil.url(), "--secret", twin];
        let said = bob.greenroom(args).any();
        assert!(said.1.contains("[permission]") || said.1.contains("permission"), "{twin}: {}", said.1);
    }
    // The first webhook goes, and its secret with it: the variable belongs to that webhook still.
    alice.greenroom(["webhook", "delete", id(&path), "--yes"]).success();
    served.lands(&alice);
    served.pulls(&bob);
    let args = ["webhook", "create", "--model", "churn", "--event", "model.*", "--url", &evil.url()];
    let said = bob.greenroom(args.iter().chain(&["--authorization", "webhook-mine_a"])).code(5);
    assert!(said.stderr().contains("a secret that was set for another target"), "{}", said.stderr());
    served.pulls(&alice);
    served.webhook(&alice, "churn", &evil.url(), "webhook-mine_a");
    served.happens("1");
    served.watch_with(&env);
    served.watch_with(&env);
    assert_eq!(evil.got().len(), 0, "{:?}", evil.got());
    let waiting = served.server().greenroom(["webhook", "deliveries", "-o", "json"]).success();
    assert!(waiting.stdout().contains(id(&path)), "{}", waiting.stdout());
}

#[test]
fn a_name_that_was_taken_first_is_shown_to_who_sets_it_and_given_to_no_second_webhook() {
    let served = Served::new();
    let evil = Hooked::with_status(200);
    let (alice, bob) = (served.alice(), served.bob());
    let none = served.server().input(CANARY).greenroom(["secret", "set", "webhook-team"]).code(6);
    assert!(none.stderr().contains("no webhook of this branch names the secret 'webhook-team'"), "{}", none.stderr());
    let taken = served.webhook(&bob, "churn", &evil.url(), "webhook-team");
    served.pulls(&alice);
    let args = ["webhook", "create", "--model", "wine", "--event", "*", "--url", "https://example.org/", "--secret"];
    let said = alice.greenroom(args.iter().chain(&["webhook-team"])).any();
    assert!(said.1.contains(id(&taken)), "{}", said.1);
    let next = alice.greenroom(args.iter().chain(&["webhook-wine.next"])).any();
    assert!(next.1.contains("is the successor of another one"), "{}", next.1);
    let shown = served.sets(&["webhook-team", "-o", "json"]).success().json();
    assert_eq!(shown["webhook"], id(&taken));
    let shown = served.server().greenroom(["secret", "set", "webhook-team", "--generate"]).success();
    assert!(shown.stderr().contains(&evil.url()) && shown.stdout().starts_with("whsec_"), "{}", shown.stderr());
}

#[test]
fn of_several_webhooks_with_one_secret_the_administrator_chooses_one() {
    let served = Served::new();
    let (one, two) = (Hooked::with_status(200), Hooked::with_status(200));
    let alice = served.alice();
    let first = served.makes(&alice, "churn", &one.url(), "webhook-churn");
    let text = served.sandbox.read(format!("alice/{first}")).replace(&one.url(), &two.url());
    let second = "webhooks/019cd79e-4600-7648-a98b-48be03199627.toml";
    served.writes(&alice, second, &text.replace(id(&first), id(second)));
    // It came before there was a gate.
    served.arrives_unjudged();
    served.watch_with(&[("GREENROOM_SECRET_WEBHOOK_CHURN", CANARY)]);
    served.happens("1");
    assert_eq!((one.got().len(), two.got().len()), (0, 0));
    let several = served.server().input(CANARY).greenroom(["secret", "set", "webhook-churn"]).code(6);
    for part in [id(&first), id(second), &one.url(), &two.url(), "--webhook ID"] {
        assert!(several.stderr().contains(part), "{part:?}: {}", several.stderr());
    }
    served.sets(&["webhook-churn", "--webhook", id(second)]).success();
    served.server().greenroom(["webhook", "replay", "--dead"]).any();
    served.happens("2");
    served.watch();
    assert_eq!(one.got().len(), 0);
    assert!(!tokens(&two).is_empty(), "{:?}", two.got());
    served.server().greenroom(["secret", "release", "webhook-churn"]).code(6);
    served.server().greenroom(["secret", "release", "webhook-churn", "--webhook", id(&first)]).success();
    served.happens("3");
    assert!(!tokens(&one).is_empty(), "{:?}", one.got());
}

#[test]
fn a_model_goes_with_its_webhooks_and_a_stranger_gets_none_that_was_left() {
    let served = Served::new();
    let good = Hooked::with_status(200);
    let (alice, bob, carol) = (served.alice(), served.bob(), served.carol());
    let path = served.webhook(&bob, "churn", &good.url(), "webhook-churn");
    served.pulls(&carol);
    bob.git(["mv", "models/churn", "models/churned"]).success();
    let model = served.sandbox.read("bob/models/churned/model.toml").replace("name = \"churn\"", "name = \"churned\"");
    served.writes(&bob, "models/churned/model.toml", &model);
    served.refused(&bob, "the model 'churn' is renamed, and the webhook");
    bob.git(["rm", "-q", "-r", "models/churn"]).success();
    bob.git(["commit", "-q", "-m", "By hand"]).success();
    served.refused(&bob, "the model 'churn' is deleted, and the webhook");

    // A history that holds such a state already.
    served.pulls(&alice);
    alice.git(["rm", "-q", "-r", "models/churn"]).success();
    alice.git(["commit", "-q", "-m", "By hand"]).success();
    served.arrives_unjudged();
    carol.git(["pull", "--quiet", "origin", "main"]).success();
    let said = carol.greenroom(["model", "create", "churn"]).any();
    assert!(said.1.contains("is left from another model 'churn'"), "{}", said.1);
    alice.greenroom(["webhook", "delete", id(&path), "--yes"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    carol.git(["pull", "--quiet", "origin", "main"]).success();
    carol.greenroom(["model", "create", "churn"]).success();
    served.lands(&carol);
}
