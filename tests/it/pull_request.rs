//! A pull request from its branch to its merge, on a pair of repositories, by the commands of `examples/ci`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Sandbox, Shell};

/// A repository `origin.git` with a registry of Alice's: Bob may move versions to Production, Carol may read. Version
/// 1 of `churn` is in Production, version 2 is better. Each person has a clone.
struct World {
    sandbox: Sandbox,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.git(["init", "--quiet", "--bare", "origin.git"]).success();
        sandbox.greenroom(["init", "alice"]).success();
        let world = Self { sandbox };
        let alice = world.person("alice");
        for args in [
            "person add bob --email bob@example.org",
            "person add carol --email carol@example.org",
            "access grant bob manage-production",
            "access grant carol read",
            "model create churn",
            "register churn --source s3://churn/1 --metric auc=0.91 --param C=0.1 --tag data=june",
            "register churn --source s3://churn/2 --metric auc=0.94 --param C=0.2",
            "transition churn 1 Production",
            "stage set Production --approvals 1 --exclusive --require-metric auc>=0.9",
        ] {
            alice.greenroom(args.split(' ')).success();
        }
        alice.git(["remote", "add", "origin", "../origin.git"]).success();
        alice.git(["push", "--quiet", "-u", "origin", "main"]).success();
        for name in ["bob", "carol"] {
            world.sandbox.git(["clone", "--quiet", "origin.git", name]).success();
        }
        world
    }

    /// A person's commands in their own clone.
    fn person(&self, name: &str) -> Shell<'_> {
        let mut capital = name.to_owned();
        capital[..1].make_ascii_uppercase();
        self.sandbox.shell(&capital, &format!("{name}@example.org")).within(name)
    }

    /// A person requests a transition of a version by a branch and pushes it; returns the branch.
    fn ask(&self, name: &str, version: u64) -> String {
        let shell = self.person(name);
        let version = version.to_string();
        let words = ["request", "create", "churn", &version, "Production", "--branch", "-m", "AUC is up", "-o", "json"];
        let made = shell.greenroom(words).success().json();
        shell.run("sh", ["-c", made["push"].as_str().expect("a command")]).success();
        made["branch"].as_str().expect("a name").to_owned()
    }

    /// The clone of a CI job: fresh, without a name or address, with a detached HEAD at a revision.
    fn job(&self, folder: &str, revision: &str) -> Shell<'_> {
        self.sandbox.git(["clone", "--quiet", "--no-checkout", "origin.git", folder]).success();
        let shell = self.sandbox.alice().within(folder);
        shell.git(["fetch", "--quiet", "origin", "+refs/pull/*:refs/remotes/pull/*"]).success();
        shell.git(["checkout", "--quiet", "--detach", revision]).success();
        let nobody = shell.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "user.useConfigOnly");
        let nobody = nobody.env("GIT_CONFIG_VALUE_0", "true");
        ["NAME", "EMAIL"].iter().fold(nobody, |shell, part| {
            shell.env(format!("GIT_AUTHOR_{part}"), "").env(format!("GIT_COMMITTER_{part}"), "")
        })
    }

    /// Makes the merge that GitHub makes for a pull request, as `refs/pull/1/merge`.
    fn test_merge(&self, branch: &str) {
        let host = self.sandbox.shell("Somebody", "noreply@github.com").within("origin.git");
        let tree = host.git(["merge-tree", "--write-tree", "main", branch]).success().stdout().trim().to_owned();
        let made = host.git(["commit-tree", &tree, "-p", "main", "-p", branch, "-m", "Merge"]).success();
        host.git(["update-ref", "refs/pull/1/merge", made.stdout().trim()]).success();
    }

    fn merge(&self, name: &str, branch: &str) {
        let shell = self.person(name);
        shell.git(["pull", "--quiet", "--ff-only", "origin", "main"]).success();
        shell.git(["fetch", "--quiet", "origin"]).success();
        shell.git(["merge", "--quiet", "--no-ff", "-m", "Merge it", &format!("origin/{branch}")]).success();
        shell.git(["push", "--quiet", "origin", "main"]).success();
    }
}

/// The command of an example file that checks a pull request.
fn command(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let line =
        text.lines().find(|l| l.contains(" greenroom check ")).unwrap_or_else(|| panic!("{file} checks nothing"));
    line.trim().trim_start_matches("run: ").trim_start_matches("- ").to_owned()
}

fn rules(told: &Value) -> Vec<String> {
    let faults = told["faults"].as_array().expect("faults is a list");
    faults.iter().map(|f| f["rule"].as_str().expect("a rule has a name").to_owned()).collect()
}

/// Runs the shell of a job again, for its output as JSON.
#[track_caller]
fn check(shell: &Shell<'_>, args: &[&str], code: i32) -> Value {
    shell.greenroom(["check"].iter().chain(args).chain(&["-o", "json"])).code(code).json()
}

#[test]
fn github_checks_the_merge_that_it_would_make() {
    let world = World::new();
    let branch = world.ask("carol", 2);
    world.test_merge(&branch);
    let job = world.job("job", "pull/1/merge");
    let base = job.git(["rev-parse", "origin/main"]).success().stdout().trim().to_owned();
    let summary = world.sandbox.path("summary.md");
    let job = job.env("BASE", base).env("GITHUB_STEP_SUMMARY", summary);
    let said = job.run("sh", ["-ec", &command("github/.github/workflows/greenroom.yml")]).success();
    assert_eq!(said.stdout(), "::notice title=greenroom::alice, bob may merge this.\n");
    let summary = world.sandbox.read("summary.md");
    for part in [
        "## Greenroom: this may be merged\n",
        ": 1 commit by carol",
        "**alice, bob may merge this**",
        "  - move churn version 2 from None to Production\n",
        "  - move churn version 1 from Production to Archived (version 2 took its place)\n",
        "  - ✅ one approval, which may be the merge by another person\n",
        "  - ✅ `the metric auc >= 0.9 (it is 0.94)`\n",
        "| → auc | 0.94 | 0.91 |\n",
        "| → data | (none) | june |\n",
    ] {
        assert!(summary.contains(part), "{part} is not in\n{summary}");
    }
    world.merge("bob", &branch);
    let bob = world.person("bob");
    assert_eq!(bob.greenroom(["version", "show", "churn", "Production", "-o", "json"]).success().json()["version"], 2);
    let log = bob.greenroom(["log", "churn", "-o", "json"]).success().json();
    assert_eq!((&log[0]["by"], &log[0]["asked_by"]), (&json!("bob"), &json!(["carol"])));
    let told = bob.greenroom(["log", "churn", "-n", "1"]).success();
    assert!(told.stdout().contains("authored by carol"), "{}", told.stdout());
    let asked = bob.git(["log", "-1", "--format=%an %s", &format!("origin/{branch}")]).success();
    assert_eq!(asked.stdout(), "Carol Move churn version 2 from None to Production\n");
}

#[test]
fn gitlab_and_gitea_check_the_tip_of_the_branch() {
    let world = World::new();
    let branch = world.ask("carol", 2);
    let job = world.job("gitlab", &format!("origin/{branch}"));
    job.git(["fetch", "--quiet", "origin", "+refs/heads/main:refs/remotes/origin/greenroom-base"]).success();
    let said = job.run("sh", ["-ec", &command("gitlab/.gitlab-ci.yml")]).success();
    assert!(said.stdout().ends_with("\nalice, bob may merge this.\n"), "{}", said.stdout());
    assert_eq!(world.sandbox.read("gitlab/gl-code-quality-report.json"), "[]\n");
    assert!(world.sandbox.read("gitlab/greenroom.md").contains("this may be merged"));

    let job = world.job("gitea", &format!("origin/{branch}"));
    let base = job.git(["rev-parse", "origin/main"]).success().stdout().trim().to_owned();
    let said = job.env("BASE", base).run("sh", ["-ec", &command("gitea/.gitea/workflows/greenroom.yml")]).success();
    assert!(said.stdout().contains("\n  move churn version 2 from None to Production\n"), "{}", said.stdout());
}

#[test]
fn nobody_merges_what_he_asked_for_himself() {
    let world = World::new();
    let branch = world.ask("bob", 2);
    let job = world.job("job", &format!("origin/{branch}"));
    let told = check(&job, &["origin/main..HEAD"], 0);
    assert_eq!(told["may_merge"], json!(["alice"]));
    assert_eq!(told["authors"], json!(["bob"]));
    let told = check(&job, &["origin/main..HEAD", "--as", "bob"], 5);
    assert_eq!(rules(&told), ["stage-approvals"]);
    check(&job, &["origin/main..HEAD", "--as", "alice"], 0);

    let alice = world.person("alice");
    world.person("bob").git(["push", "--quiet", "origin", "--delete", &branch]).success();
    alice.greenroom(["access", "revoke", "bob"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    let branch = world.ask("alice", 2);
    let job = world.job("alone", &format!("origin/{branch}"));
    let told = check(&job, &["origin/main..HEAD"], 5);
    assert_eq!((told["may_merge"].clone(), told["passes"].clone()), (json!([]), json!(false)));
    assert!(rules(&told).contains(&"stage-approvals".to_owned()), "{told:#}");
    let text = job.greenroom(["check", "origin/main..HEAD"]).code(5);
    assert!(text.stdout().contains("No person may merge this; "), "{}", text.stdout());
}

#[test]
fn what_lacks_evidence_is_refused_to_everyone() {
    let world = World::new();
    let alice = world.person("alice");
    alice.greenroom(["register", "churn", "--source", "s3://churn/3", "--metric", "auc=0.5"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    let carol = world.person("carol");
    carol.git(["fetch", "--quiet", "origin"]).success();
    // The command refuses the request; by hand it can be committed all the same.
    let said = carol.greenroom(["request", "create", "churn", "3", "Production", "--branch"]).code(5);
    assert!(said.stderr().contains("the metric 'auc' is 0.5, which is not >= 0.9"), "{}", said.stderr());
    carol.git(["checkout", "--quiet", "-b", "mine", "origin/main"]).success();
    world.sandbox.write("carol/models/churn/stages/Production.toml", "versions = [3]\n");
    world.sandbox.write("carol/models/churn/stages/Archived.toml", "versions = [1]\n");
    carol.git(["add", "."]).success();
    carol.git(["commit", "--quiet", "-m", "By hand"]).success();
    let told = check(&carol, &["origin/main...mine"], 5);
    assert_eq!(rules(&told), ["stage-evidence"]);
    let github = carol.greenroom(["check", "origin/main..", "--format", "github"]).code(5);
    let start = "::error file=models/churn/stages/Production.toml,title=stage-evidence::version 3 of 'churn'";
    assert!(github.stdout().starts_with(start), "{}", github.stdout());
}

#[test]
fn a_claim_of_another_author_gives_no_approval() {
    let world = World::new();
    let alice = world.person("alice");
    alice.greenroom(["settings", "set", "--authority", "pusher"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    world.person("bob").git(["pull", "--quiet"]).success();
    // Bob commits in Carol's name, to give Bob's own change a second approval.
    let bob = world.person("bob").env("GIT_AUTHOR_NAME", "Carol").env("GIT_AUTHOR_EMAIL", "carol@example.org");
    bob.greenroom(["request", "create", "churn", "2", "Production", "--branch=forged"]).success();
    bob.git(["push", "--quiet", "origin", "forged"]).success();
    let job = world.job("job", "origin/forged");
    let told = check(&job, &["origin/main..HEAD"], 5);
    assert_eq!((told["authors_proven"].clone(), told["may_merge"].clone()), (json!(false), json!([])));
    assert_eq!(rules(&told), ["stage-approvals"]);
    // If the host vouches for authors, the same commit would be Carol's.
    let told = check(&job, &["origin/main..HEAD", "--authors-proven"], 0);
    assert_eq!(told["may_merge"], json!(["alice", "bob"]));
    job.greenroom(["check", "--authors-proven"]).code(2);
}

#[test]
fn a_signed_branch_is_its_authors() {
    let world = World::new();
    let carol = world.person("carol");
    carol.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", "../carol.key"]).success();
    let alice = world.person("alice");
    alice.greenroom(["person", "set", "carol", "--key", "../carol.key.pub"]).success();
    alice.greenroom(["settings", "set", "--authority", "pusher"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    carol.git(["pull", "--quiet"]).success();
    for (key, value) in [("gpg.format", "ssh"), ("user.signingKey", "../carol.key"), ("commit.gpgSign", "true")] {
        carol.git(["config", "--global", key, value]).success();
    }
    let branch = world.ask("carol", 2);
    let job = world.job("job", &format!("origin/{branch}"));
    let told = check(&job, &["origin/main..HEAD"], 0);
    assert_eq!((told["authors_proven"].clone(), told["may_merge"].clone()), (json!(true), json!(["alice", "bob"])));
    // The same signature on a commit that names Bob as author is refused.
    let forger = world.person("carol").env("GIT_AUTHOR_NAME", "Bob").env("GIT_AUTHOR_EMAIL", "bob@example.org");
    forger.greenroom(["request", "create", "churn", "2", "Production", "--branch=forged"]).success();
    let told = check(&carol, &["main..forged"], 5);
    assert_eq!(rules(&told), ["signature", "stage-approvals"]);
}

#[test]
fn what_two_branches_change_differently_is_a_conflict() {
    let world = World::new();
    let alice = world.person("alice");
    alice.greenroom(["register", "churn", "--source", "s3://churn/3", "--metric", "auc=0.95"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    world.person("carol").git(["fetch", "--quiet", "origin"]).success();
    let (second, third) = (world.ask("carol", 2), world.ask("carol", 3));
    world.merge("bob", &second);
    let job = world.job("job", &format!("origin/{third}"));
    let told = check(&job, &["origin/main..HEAD"], 5);
    // Both archive version 1, which is the same on either side.
    assert_eq!(rules(&told), ["merge"]);
    assert_eq!(told["faults"][0]["path"], "models/churn/stages/Production.toml");
    // Against its own base, the branch is still valid.
    check(&job, &["HEAD"], 0);
}

#[test]
fn what_lands_meanwhile_elsewhere_is_no_conflict() {
    let world = World::new();
    let branch = world.ask("carol", 2);
    let alice = world.person("alice");
    alice.greenroom(["model", "create", "risk"]).success();
    alice.git(["push", "--quiet", "origin", "main"]).success();
    let job = world.job("job", &format!("origin/{branch}"));
    let told = check(&job, &["origin/main..HEAD"], 0);
    let names: Vec<&str> = told["events"].as_array().unwrap().iter().filter_map(|e| e["event"].as_str()).collect();
    assert!(names.iter().all(|n| *n == "version.transitioned"), "{told:#}");
    assert_eq!(told["may_merge"], json!(["alice", "bob"]));
}

/// A clone of the newest commits only, with HEAD at a branch.
fn shallow<'w>(world: &'w World, folder: &str, branch: &str) -> Shell<'w> {
    let url = format!("file://{}", world.sandbox.path("origin.git").display());
    world.sandbox.git(["clone", "--quiet", "--depth=1", "--no-single-branch", &url, folder]).success();
    let cut = world.sandbox.alice().within(folder);
    cut.git(["checkout", "--quiet", "--detach", &format!("origin/{branch}")]).success();
    cut
}

#[test]
fn a_cut_clone_is_judged_by_what_it_holds() {
    let world = World::new();
    let branch = world.ask("carol", 2);
    // Both ends are there, and no commit between them is missing.
    let cut = shallow(&world, "enough", &branch);
    assert_eq!(check(&cut, &["origin/main..HEAD"], 0)["may_merge"], json!(["alice", "bob"]));

    let carol = world.person("carol");
    carol.git(["checkout", "--quiet", &branch]).success();
    carol.git(["commit", "--quiet", "--allow-empty", "-m", "One more"]).success();
    carol.git(["push", "--quiet", "origin", &branch]).success();
    // Without the common ancestor there is no merge base.
    let cut = shallow(&world, "cut", &branch);
    let said = cut.greenroom(["check", "origin/main..HEAD"]).code(1);
    assert!(said.stderr().contains("unshallow"), "{}", said.stderr());
    // The host's own merge can be judged; the authors of the rest of the branch are unknown.
    world.test_merge(&branch);
    cut.git(["fetch", "--quiet", "--depth=2", "origin", "refs/pull/1/merge"]).success();
    cut.git(["checkout", "--quiet", "--detach", "FETCH_HEAD"]).success();
    let told = check(&cut, &["HEAD"], 5);
    assert_eq!(rules(&told), ["stage-approvals"]);
    assert_eq!(told["warnings"][0]["rule"], "shallow");
}

#[test]
fn a_branch_is_made_once_and_the_work_tree_stays() {
    let world = World::new();
    let carol = world.person("carol");
    let before = carol.git(["rev-parse", "HEAD"]).success().stdout().to_owned();
    let words = ["request", "create", "churn", "2", "Production", "--branch"];
    let dry = carol.greenroom(words.iter().chain(&["-n"])).success();
    assert!(
        dry.stdout().starts_with("Would make the branch request/churn-2-Production on top of "),
        "{}",
        dry.stdout()
    );
    carol.greenroom(words).success();
    let again = carol.greenroom(words).code(4);
    assert!(again.stderr().contains("git push origin request/churn-2-Production"), "{}", again.stderr());
    assert_eq!(carol.git(["rev-parse", "HEAD"]).success().stdout(), before);
    assert_eq!(carol.git(["status", "--porcelain"]).success().stdout(), "");
    let parents = carol.git(["log", "-1", "--format=%P", "request/churn-2-Production"]).success();
    assert_eq!(parents.stdout(), before);
    // A person without read permission cannot request a transition.
    let eve = world.sandbox.shell("Eve", "eve@example.org").within("carol");
    eve.greenroom(["request", "create", "churn", "2", "Production", "--branch=eve"]).code(5);
    eve.git(["rev-parse", "--verify", "--quiet", "eve"]).code(1);
    carol.greenroom(["request", "create", "churn", "2", "Production", "--branch=no..name"]).code(1);
    carol.greenroom(["request", "create", "churn", "2", "Production", "--branch=main"]).code(4);
}

#[test]
fn owners_that_are_no_longer_the_grants_are_told() {
    let world = World::new();
    let alice = world.person("alice");
    alice.greenroom(["codeowners", "--host", "github", "--write"]).success();
    let file = world.sandbox.read("alice/.github/CODEOWNERS");
    assert!(file.contains("\n/models/*/stages/Production.toml @alice @bob\n"), "{file}");
    alice.git(["add", "."]).success();
    alice.git(["commit", "--quiet", "-m", "Owners"]).success();
    alice.greenroom(["codeowners", "--write"]).success();
    assert_eq!(check(&alice, &[], 0)["warnings"], json!([]));
    alice.greenroom(["access", "grant", "carol", "manage-production"]).success();
    assert_eq!(check(&alice, &[], 0)["warnings"][0]["rule"], "codeowners");
    assert_eq!(check(&alice, &["HEAD"], 0)["warnings"][0]["path"], ".github/CODEOWNERS");
    alice.greenroom(["codeowners", "--write"]).success();
    assert_eq!(check(&alice, &[], 0)["warnings"], json!([]));
}

#[test]
fn reports_are_what_their_readers_take() {
    let world = World::new();
    let alice = world.person("alice");
    world.sandbox.write("alice/models/churn/model.toml", "name = [");
    world.sandbox.write("alice/src/[x] {0} @y%.py", "");
    alice.git(["add", "."]).success();
    alice.git(["commit", "--quiet", "-m", "Harm"]).success();
    let formats = ["sarif=r.sarif", "gitlab=r.json", "markdown=r.md", "json=r2.json", "text"];
    let args = formats.iter().flat_map(|f| ["--format", f]);
    alice.greenroom(["check", "HEAD"].into_iter().chain(args)).code(1);
    let log: Value = serde_json::from_str(&world.sandbox.read("alice/r.sarif")).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../data/sarif.schema.json")).unwrap();
    let faults: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&log)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert_eq!(faults, [""; 0]);
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(results.len() >= 2, "{log:#}");
    let gitlab: Value = serde_json::from_str(&world.sandbox.read("alice/r.json")).unwrap();
    assert_eq!(gitlab.as_array().map(Vec::len), Some(results.len()));
    let prints: std::collections::BTreeSet<&str> =
        gitlab.as_array().unwrap().iter().filter_map(|f| f["fingerprint"].as_str()).collect();
    assert_eq!(prints.len(), results.len());
    let page = world.sandbox.read("alice/r.md");
    assert!(page.contains("`src/[x] {0} @y%.py`"), "{page}");
    // The same for files that are not committed.
    let told = alice.greenroom(["check", "--format", "sarif"]).any().0;
    assert!(told.contains("\"level\": \"error\""), "{told}");
    alice.greenroom(["check", "--format", "gitlab="]).code(2);
}

#[test]
fn a_detached_head_can_be_read_and_not_written_to() {
    let world = World::new();
    let job = world.sandbox.alice().within("bob");
    job.git(["checkout", "--quiet", "--detach"]).success();
    assert_eq!(job.greenroom(["log", "churn", "-o", "json"]).success().json()[0]["by"], "alice");
    job.greenroom(["show"]).success();
    job.greenroom(["check"]).success();
    job.greenroom(["doctor"]).any();
    let refused = job.greenroom(["model", "create", "risk"]).code(1);
    assert!(refused.stderr().contains("git switch"), "{}", refused.stderr());
}
