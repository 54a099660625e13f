//! The scenario for every git host: the pushes that the gate must accept and refuse.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Sandbox, Shell};

/// A person who pushes.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    pub login: &'static str,
    name: &'static str,
    pub email: &'static str,
}

/// May read, and so request and comment.
pub const ALICE: Person = Person { login: "alice", name: "Alice", email: "alice@example.org" };
/// May move versions to Production.
pub const BOB: Person = Person { login: "bob", name: "Bob", email: "bob@example.org" };
/// Manages the registry.
pub const CAROL: Person = Person { login: "carol", name: "Carol", email: "carol@example.org" };

/// A served repository with the gate, and the way people reach it.
pub trait Server {
    /// The path of the repository on the server.
    fn bare(&self) -> PathBuf;
    /// The URL of the repository for a person.
    fn url(&self, person: Person) -> String;
    /// Whether the host runs post-receive hooks, and so has a record of pushes.
    fn records(&self) -> bool {
        true
    }
    /// Whether pushes are signed.
    fn signs(&self) -> bool {
        false
    }
    /// A shell whose git is authenticated as a person.
    fn client<'s>(&self, shell: Shell<'s>, person: Person) -> Shell<'s>;
}

/// The scenario with a server and people who have clones.
pub struct Story<'s> {
    sandbox: &'s Sandbox,
    server: &'s dyn Server,
}

/// The state that a refused push must not change.
type Stored = (String, BTreeSet<String>);

/// Makes Carol's registry in `registry`: Alice may read; Bob may move versions to Production, which needs one approval
/// by another person than the requester.
pub fn registry(sandbox: &Sandbox) {
    let carol = sandbox.shell(CAROL.name, CAROL.email);
    carol.greenroom(["init", "registry", "--maker", CAROL.login]).success();
    let carol = carol.within("registry");
    let act = |args: &[&str]| carol.greenroom(args).success();
    for person in [ALICE, BOB] {
        act(&["person", "add", person.login, "--email", person.email]);
    }
    act(&["access", "grant", "group:everyone", "CAN_READ"]);
    act(&["access", "grant", "bob", "CAN_MANAGE_PRODUCTION_VERSIONS"]);
    act(&["model", "create", "churn"]);
    act(&["register", "churn", "--source", "s3://models/churn/1"]);
    act(&["stage", "set", "Production", "--approvals", "1"]);
}

/// Carol sets the authority to `pusher` and publishes her registry; then every push that a gate must accept or refuse
/// is tried.
pub fn tell(sandbox: &Sandbox, server: &dyn Server) {
    let story = Story { sandbox, server };
    story.founded();
    story.cloned();
    story.alice_may_ask_and_comment();
    story.alice_may_not_move_a_version();
    story.alice_may_not_approve_her_own_request();
    story.nobody_speaks_for_another();
    story.nobody_grants_himself_what_he_uses();
    story.bob_approves();
    story.nothing_is_rewound_or_deleted();
}

impl<'s> Story<'s> {
    /// The shell of a person, in their clone.
    fn of(&self, person: Person) -> Shell<'s> {
        self.server
            .client(self.sandbox.shell(person.name, person.email), person)
            .within(format!("{}-clone", person.login))
    }

    fn founded(&self) {
        let carol = self.server.client(self.sandbox.shell(CAROL.name, CAROL.email), CAROL).within("registry");
        carol.greenroom(["settings", "set", "--authority", "pusher"]).success();
        let push = carol.git(["push", &self.server.url(CAROL), "main"]).success();
        assert!(push.stderr().contains("[new branch]"), "{}", push.stderr());
    }

    fn cloned(&self) {
        for person in [ALICE, BOB] {
            let shell = self.server.client(self.sandbox.shell(person.name, person.email), person);
            let folder = format!("{}-clone", person.login);
            shell.git(["clone", "--quiet", &self.server.url(person), &folder]).success();
        }
    }

    /// Writes a file by hand and commits it.
    #[track_caller]
    fn edit(&self, person: Person, path: &str, text: &str) {
        self.sandbox.write(format!("{}-clone/{path}", person.login), text);
        let shell = self.of(person);
        shell.git(["add", path]).success();
        shell.git(["commit", "--quiet", "-m", "An edit by hand"]).success();
    }

    /// The references and objects of the served repository.
    fn stored(&self) -> Stored {
        let bare = self.server.bare();
        let refs =
            self.sandbox.shell("Root", "root@example.org").git(["-C", bare.to_str().expect("UTF-8"), "for-each-ref"]);
        let objects = crate::support::trees::files(&bare.join("objects")).into_iter();
        (refs.success().stdout().to_owned(), objects.collect())
    }

    /// The differences from before. If pushes are signed, git itself stores their certificates, even of refused
    /// pushes.
    fn left_behind(&self, before: &Stored) -> Vec<String> {
        let (refs, objects) = self.stored();
        let bare = self.server.bare();
        let certificate = |object: &String| {
            let id = object.replace('/', "");
            let show = self.sandbox.git(["-C", bare.to_str().expect("UTF-8"), "cat-file", "blob", &id]);
            show.any().0.starts_with("certificate version 0.1")
        };
        let changed = objects.symmetric_difference(&before.1);
        let moved = Some(refs).filter(|refs| *refs != before.0);
        changed.filter(|o| !(self.server.signs() && certificate(o))).cloned().chain(moved).collect()
    }

    #[track_caller]
    fn lands(&self, person: Person) {
        let shell = self.of(person);
        let push = shell.git(["push", "origin", "HEAD:main"]).success();
        assert!(!push.stderr().contains("remote:"), "an accepted push has no message: {}", push.stderr());
        let tip = shell.git(["rev-parse", "HEAD"]).success();
        let tip = tip.stdout().trim();
        assert!(self.stored().0.contains(tip), "main is not the pushed commit");
        if self.server.records() {
            let bare = self.server.bare();
            let show = ["-C", bare.to_str().expect("UTF-8"), "notes", "--ref=greenroom/pushes", "show", tip];
            let note = self.sandbox.git(show).success();
            assert!(note.stdout().contains(&format!("by = \"{}\"", person.login)), "{}", note.stdout());
        }
    }

    /// Pushes. The client must see all these words, and the server must not change. Then the clone follows the server.
    #[track_caller]
    fn refused(&self, person: Person, push: &[&str], words: &[&str]) {
        let before = self.stored();
        let shell = self.of(person);
        let (_, said) = shell.git(["push", "origin"].iter().chain(push)).any();
        let words = ["greenroom: the push is refused", "[remote rejected]"].iter().chain(words);
        for word in words {
            assert!(said.contains(word), "{word:?} is not in what the client shows:\n{said}");
        }
        assert!(said.is_ascii() && said.len() < 6000, "it is not readable:\n{said}");
        // The server may take a moment to delete objects that it did not accept.
        let start = Instant::now();
        while !self.left_behind(&before).is_empty() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.left_behind(&before), [""; 0], "the refused push left something behind");
        shell.git(["fetch", "--quiet", "origin"]).success();
        shell.git(["reset", "--quiet", "--hard", "origin/main"]).success();
    }

    fn alice_may_ask_and_comment(&self) {
        let alice = self.of(ALICE);
        alice.greenroom(["request", "create", "churn", "1", "Production", "-m", "It is better"]).success();
        alice.greenroom(["comment", "add", "churn", "1", "See the run"]).success();
        self.lands(ALICE);
    }

    fn alice_may_not_move_a_version(&self) {
        self.edit(ALICE, "models/churn/stages/Production.toml", "versions = [1]\n");
        self.refused(
            ALICE,
            &["HEAD:main"],
            &["by alice", "CAN_MANAGE_PRODUCTION_VERSIONS", "models/churn/stages/Production.toml", "->"],
        );
    }

    /// Tries the approval as greenroom would write it for Bob, with Alice's name in it.
    fn alice_may_not_approve_her_own_request(&self) {
        let alice = self.of(ALICE);
        self.pretend_to_be_bob();
        let sed = "sed -i 's/\"bob\"/\"alice\"/' models/churn/versions/1/requests/*.toml";
        alice.run("sh", ["-c", sed]).success();
        alice.git(["commit", "--quiet", "--all", "--amend", "--no-edit", "--reset-author"]).success();
        self.refused(ALICE, &["HEAD:main"], &["by alice", "models/churn/versions/1/requests/"]);
    }

    /// Approves in Alice's clone with Bob's name as author and committer, which no command can detect.
    fn pretend_to_be_bob(&self) {
        let alice = self.of(ALICE);
        let as_bob = alice.env("GIT_COMMITTER_NAME", BOB.name).env("GIT_COMMITTER_EMAIL", BOB.email);
        as_bob.greenroom(["request", "approve", "churn", "1", "--as", "bob"]).success();
    }

    fn nobody_speaks_for_another(&self) {
        let alice = self.of(ALICE);
        alice.greenroom(["request", "approve", "churn", "1", "--as", "bob"]).code(5);
        self.pretend_to_be_bob();
        alice.git(["commit", "--quiet", "--amend", "--no-edit"]).success();
        self.refused(ALICE, &["HEAD:main"], &["alice puts it on the branch, but its author is bob"]);
        self.pretend_to_be_bob();
        self.refused(ALICE, &["HEAD:main"], &["alice puts it on the branch, but its committer is bob"]);
    }

    fn nobody_grants_himself_what_he_uses(&self) {
        self.edit(ALICE, "access.toml", "grants = [{ to = \"alice\", level = \"CAN_MANAGE\" }]\n");
        self.edit(ALICE, "models/churn/stages/Production.toml", "versions = [1]\n");
        self.refused(ALICE, &["HEAD:main"], &["access.toml", "CAN_MANAGE", "by alice"]);
    }

    fn bob_approves(&self) {
        let bob = self.of(BOB);
        bob.git(["pull", "--quiet", "--ff-only"]).success();
        bob.greenroom(["request", "approve", "churn", "1"]).success();
        self.lands(BOB);
        let alice = self.of(ALICE);
        alice.git(["pull", "--quiet", "--ff-only"]).success();
        let version = alice.greenroom(["version", "show", "churn", "1", "-o", "json"]).success().json();
        assert_eq!(version["stage"], "Production");
    }

    fn nothing_is_rewound_or_deleted(&self) {
        self.of(BOB).git(["reset", "--quiet", "--hard", "HEAD~1"]).success();
        self.refused(BOB, &["--force", "HEAD:main"], &["refs/heads/main", "may not be reset to an older commit"]);
        self.of(BOB).git(["commit", "--quiet", "--amend", "--message", "It was never said otherwise"]).success();
        self.refused(BOB, &["--force", "HEAD:main"], &["refs/heads/main"]);
        self.refused(BOB, &["--delete", "main"], &["may not be deleted"]);
    }
}
