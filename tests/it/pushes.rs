//! The record of pushes: notes that git itself shows, in order, without gaps, even with concurrent pushes.

use greenroom::gate::{GateLimits, Pusher, Update, record::record};
use greenroom::git::Repo;
use greenroom::name::UserName;
use greenroom::pushes::{Push, Pushes, PushesError, REFERENCE};
use greenroom::time::Timestamp;
use greenroom::tree::Oid;

use crate::support::{Sandbox, Shell};

/// A served repository `r.git` and Alice's clone `alice` with one commit pushed and recorded.
struct Served {
    sandbox: Sandbox,
}

impl Served {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.git(["init", "--quiet", "--bare", "r.git"]).success();
        sandbox.git(["clone", "--quiet", "r.git", "alice"]).success();
        let served = Self { sandbox };
        served.commit("first");
        served.push("main", "alice");
        served
    }

    fn clone(&self) -> Shell<'_> {
        self.sandbox.alice().within("alice")
    }

    fn bare(&self) -> Shell<'_> {
        self.sandbox.alice().within("r.git")
    }

    fn repo(&self) -> Repo {
        Repo::open(&self.sandbox.path("r.git")).unwrap()
    }

    fn commit(&self, message: &str) -> Oid {
        self.clone().git(["commit", "--quiet", "--allow-empty", "-m", message]).success();
        self.id("HEAD")
    }

    fn id(&self, rev: &str) -> Oid {
        Oid::from_hex(self.clone().git(["rev-parse", rev]).success().stdout().trim()).unwrap()
    }

    /// Pushes HEAD to a branch without a record; returns the update that a hook would get.
    fn push_only(&self, branch: &str) -> Update {
        let name = format!("refs/heads/{branch}");
        let old = self.repo().reference(&name).unwrap();
        self.clone().git(["push", "--quiet", "--force", "origin", &format!("HEAD:{name}")]).success();
        Update { old, new: Some(self.id("HEAD")), name }
    }

    fn push(&self, branch: &str, person: &str) -> u64 {
        let update = self.push_only(branch);
        self.record(&[update], person).unwrap().unwrap()
    }

    fn record(&self, updates: &[Update], person: &str) -> Result<Option<u64>, PushesError> {
        let pusher = Pusher { login: Some(format!("{person}-login")), via: "gitolite".to_owned(), ..Pusher::default() };
        let now = Timestamp::from_millis(1_772_366_400_125);
        record(&self.repo(), updates, &pusher, UserName::new(person).ok(), now, &GateLimits::default())
    }

    fn of(&self, commit: &Oid) -> Vec<Push> {
        Pushes::open(&self.repo()).unwrap().of(commit).unwrap()
    }
}

/// Number, reference and person of pushes.
fn short(pushes: &[Push]) -> Vec<(u64, &str, &str)> {
    pushes.iter().map(|p| (p.number, p.reference.as_str(), p.by.as_ref().map_or("", UserName::as_str))).collect()
}

#[test]
fn git_shows_the_notes() {
    let served = Served::new();
    let first = served.id("HEAD");
    let note = served.bare().git(["notes", "--ref=greenroom/pushes", "show", "main"]).success();
    let wanted = format!(
        "[[push]]\nnumber = 1\nref = \"refs/heads/main\"\nnew = \"{first}\"\nat = 2026-03-01T12:00:00.125Z\n\
         by = \"alice\"\nlogin = \"alice-login\"\nvia = \"gitolite\"\n"
    );
    assert_eq!(note.stdout(), wanted);
    let log = served.bare().git(["log", "--notes=greenroom/pushes", "main"]).success();
    assert!(log.stdout().contains("by = \"alice\""), "{}", log.stdout());
    let record = served.bare().git(["log", "-1", "--format=%an %cn %ct%n%B", REFERENCE]).success();
    let subject = "greenroom greenroom 1772366400\nPush 1 by alice via gitolite: refs/heads/main\n\n";
    assert_eq!(record.stdout().trim_end(), format!("{subject}{wanted}").trim_end());
    served.bare().git(["fsck", "--strict"]).success();
}

#[test]
fn a_commit_is_noted_where_it_came_and_where_it_landed() {
    let served = Served::new();
    let base = served.id("HEAD");
    served.clone().git(["switch", "--quiet", "-c", "feature"]).success();
    let (one, two) = (served.commit("one"), served.commit("two"));
    served.push("feature", "alice");
    served.clone().git(["switch", "--quiet", "main"]).success();
    served.clone().git(["merge", "--quiet", "--no-ff", "feature", "-m", "merge"]).success();
    let merge = served.id("HEAD");
    served.push("main", "bob");
    assert_eq!(short(&served.of(&one)), [(2, "refs/heads/feature", "alice")]);
    assert_eq!(short(&served.of(&two)), [(2, "refs/heads/feature", "alice")]);
    assert_eq!(short(&served.of(&merge)), [(3, "refs/heads/main", "bob")]);
    assert_eq!(short(&served.of(&base)), [(1, "refs/heads/main", "alice")], "nothing new happened to it");
    // A fast-forward adds commits to the first-parent history that came by another branch before.
    served.clone().git(["switch", "--quiet", "-c", "next"]).success();
    let three = served.commit("three");
    served.push("next", "alice");
    served.push("main", "bob");
    assert_eq!(short(&served.of(&three)), [(4, "refs/heads/next", "alice"), (5, "refs/heads/main", "bob")]);
    let repo = served.repo();
    let pushes = Pushes::open(&repo).unwrap();
    assert_eq!(pushes.first(&three).unwrap().unwrap().by, UserName::new("alice").ok());
    assert_eq!(pushes.landing(&three, "refs/heads/main").unwrap().unwrap().number, 5);
    assert_eq!(pushes.landing(&one, "refs/heads/main").unwrap(), None);
    // A new branch at an existing commit brings no commits.
    served.push("again", "carol");
    assert_eq!(served.of(&three).len(), 2);
}

#[test]
fn the_record_is_one_line_of_all_pushes() {
    let served = Served::new();
    let base = served.id("HEAD");
    served.clone().git(["switch", "--quiet", "-c", "x"]).success();
    let dropped = served.commit("dropped");
    served.push("x", "alice");
    served.clone().git(["reset", "--quiet", "--hard", "HEAD~"]).success();
    let kept = served.commit("kept");
    served.push("x", "alice");
    served.bare().git(["update-ref", "-d", "refs/heads/x"]).success();
    let gone = Update { old: Some(kept), new: None, name: "refs/heads/x".to_owned() };
    assert_eq!(served.record(std::slice::from_ref(&gone), "bob").unwrap(), Some(4));
    assert_eq!(served.record(&[], "bob").unwrap(), None);
    let repo = served.repo();
    let entries: Vec<_> = Pushes::open(&repo).unwrap().in_order().map(Result::unwrap).collect();
    let moves: Vec<_> = entries.iter().flat_map(|e| &e.pushes).map(|p| (p.number, p.old, p.new)).collect();
    let wanted =
        [(4, Some(kept), None), (3, Some(dropped), Some(kept)), (2, None, Some(dropped)), (1, None, Some(base))];
    assert_eq!(moves, wanted);
    assert_eq!(short(&served.of(&kept)), [(3, "refs/heads/x", "alice")]);
    entries.iter().for_each(|e| e.check_notes(&repo).unwrap());
}

#[test]
fn tags_and_several_references_are_one_push() {
    let served = Served::new();
    let commit = served.commit("tagged");
    served.clone().git(["tag", "-a", "v1", "-m", "one"]).success();
    served.clone().git(["push", "--quiet", "origin", "v1", "HEAD:refs/heads/y"]).success();
    let tag = served.id("v1");
    let update = |name: &str, new| Update { old: None, new: Some(new), name: name.to_owned() };
    let number = served.record(&[update("refs/tags/v1", tag), update("refs/heads/y", commit)], "alice").unwrap();
    assert_eq!(number, Some(2));
    let wanted = [(2, "refs/tags/v1", "alice"), (2, "refs/heads/y", "alice")];
    assert_eq!(short(&served.of(&commit)), wanted);
    // A tag of a file brings no commit.
    served.sandbox.write("alice/f", "x");
    let blob = served.clone().git(["hash-object", "-w", "f"]).success().stdout().trim().to_owned();
    served.clone().git(["push", "--quiet", "origin", &format!("{blob}:refs/tags/blob")]).success();
    let number = served.record(&[update("refs/tags/blob", Oid::from_hex(&blob).unwrap())], "alice").unwrap();
    assert_eq!(number, Some(3));
}

#[test]
fn a_push_of_very_many_commits_notes_the_newest() {
    let served = Served::new();
    let (one, two, three) = (served.commit("1"), served.commit("2"), served.commit("3"));
    let update = served.push_only("main");
    let limits = GateLimits { commits: 2, ..GateLimits::default() };
    let now = Timestamp::from_millis(0);
    record(&served.repo(), &[update], &Pusher::default(), None, now, &limits).unwrap();
    assert_eq!([one, two, three].map(|c| served.of(&c).len()), [0, 0, 1]);
    assert_eq!(served.of(&three)[0].via, "unknown");
}

#[test]
fn pushes_that_are_recorded_at_once_all_are() {
    let served = Served::new();
    let updates: Vec<Update> = (0..8)
        .map(|n| {
            served.commit(&format!("of {n}"));
            served.push_only("main")
        })
        .collect();
    std::thread::scope(|threads| {
        let started: Vec<_> = updates
            .iter()
            .map(|u| threads.spawn(|| served.record(std::slice::from_ref(u), "alice").unwrap()))
            .collect();
        let gc = threads.spawn(|| {
            (0..5).for_each(|_| drop(served.bare().git(["gc", "--quiet"]).success()));
        });
        let mut numbers: Vec<_> = started.into_iter().map(|t| t.join().unwrap().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (2..=9).collect::<Vec<_>>());
        gc.join().unwrap();
    });
    for update in &updates {
        assert_eq!(served.of(&update.new.unwrap()).len(), 1);
    }
    let repo = served.repo();
    assert_eq!(Pushes::open(&repo).unwrap().in_order().map(Result::unwrap).count(), 9);
    served.bare().git(["fsck", "--strict"]).success();
}

#[test]
fn what_is_damaged_says_where_and_is_never_taken_for_missing() {
    let served = Served::new();
    let head = served.id("HEAD");
    served.bare().git(["notes", "--ref=greenroom/pushes", "add", "-f", "-m", "other", "main"]).success();
    let repo = served.repo();
    let pushes = Pushes::open(&repo).unwrap();
    let said = pushes.of(&head).unwrap_err().to_string();
    assert!(said.contains(&format!("the note of {head}:1:")), "{said}");
    let said = pushes.in_order().next().unwrap().unwrap_err().to_string();
    assert!(said.contains("the message of"), "{said}");
    assert!(matches!(served.record(&[served.push_only("z")], "bob"), Err(PushesError::Damaged { .. })));
}

#[test]
fn what_the_host_says_cannot_break_the_record() {
    let served = Served::new();
    served.commit("next");
    let update = served.push_only("main");
    let pusher = Pusher {
        login: Some("a\"\n[[push]]\nnumber = 99\u{1b}[31m\u{202e}".to_owned()),
        via: String::new(),
        key: None,
        detail: Some("x".repeat(100_000)),
        ..Pusher::default()
    };
    let now = Timestamp::from_millis(0);
    record(&served.repo(), &[update], &pusher, None, now, &GateLimits::default()).unwrap();
    let push = served.of(&served.id("HEAD")).remove(0);
    assert_eq!(
        (push.number, push.login.as_deref()),
        (2, Some("a\"\u{fffd}[[push]]\u{fffd}number = 99\u{fffd}[31m\u{fffd}"))
    );
    assert_eq!(push.detail.map(|d| d.len()), Some(4096));
    let repo = served.repo();
    assert_eq!(Pushes::open(&repo).unwrap().in_order().map(Result::unwrap).count(), 2);
}

#[test]
fn the_record_is_signed_where_commits_are() {
    crate::support::tools::signing_tools();
    let served = Served::new();
    served.sandbox.alice().run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", "key"]).success();
    let key = served.sandbox.path("key").to_str().unwrap().to_owned();
    for (name, value) in [("commit.gpgSign", "true"), ("gpg.format", "ssh"), ("user.signingKey", key.as_str())] {
        served.bare().git(["config", name, value]).success();
    }
    served.commit("next");
    served.push("main", "alice");
    let raw = served.bare().git(["cat-file", "commit", REFERENCE]).success();
    assert!(raw.stdout().contains("gpgsig -----BEGIN SSH SIGNATURE-----"), "{}", raw.stdout());
}
