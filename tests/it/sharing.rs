//! Several accounts of one machine write to one repository: every written file honours `core.sharedRepository` and the
//! umask.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::bad_repo::need_root;
use crate::hosts::page;
use crate::support::{Output, Sandbox, Shell, tools};

/// The set-up that the guide recommends.
const GUIDE: &str = "guide";

/// The group of both accounts.
const GROUP: &str = "7000";

/// Two accounts in one group, each with a home of its own.
struct Machine {
    sandbox: Sandbox,
    greenroom: PathBuf,
    umask: &'static str,
}

impl Machine {
    fn new(umask: &'static str) -> Self {
        let sandbox = Sandbox::new();
        need_root(&sandbox, "run commands as two accounts");
        tools::git_lfs();
        sandbox.git(["config", "--global", "safe.directory", "*"]).success();
        let shell = sandbox.alice();
        let root = sandbox.path("").parent().expect("the sandbox's folder").to_owned();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("it is ours");
        // Other accounts may have no access to the build folder.
        let greenroom = sandbox.path("greenroom");
        shell.run("cp", [Path::new(env!("CARGO_BIN_EXE_greenroom")), &greenroom]).success();
        for (folder, owner, mode) in [("srv", "7001", "2775"), ("7001", "7001", "755"), ("7002", "7002", "755")] {
            fs::create_dir(sandbox.path(folder)).expect("writable");
            shell.run("chown", [&format!("{owner}:{GROUP}"), folder]).success();
            shell.run("chmod", [mode, folder]).success();
            // git-lfs asks git about a remote by path, without config from the environment.
            sandbox.write(format!("{folder}/.gitconfig"), "[safe]\n\tdirectory = *\n");
        }
        sandbox.write("model/weights.bin", vec![1; 4000]);
        sandbox.write("other/weights.bin", vec![2; 4000]);
        Self { sandbox, greenroom, umask }
    }

    /// Sets the repository up as root, with the commands of the guide.
    fn follow_the_guide(&self) {
        let at = self.sandbox.path("srv/r.git").to_str().expect("UTF-8").to_owned();
        let replaced = [
            ("/srv/git/registry.git", at),
            ("chgrp -R models", format!("chgrp -R {GROUP}")),
            ("git config --system", "git config --global".to_owned()),
        ];
        let guide = page::text("bare-ssh", "README.md", &replaced);
        let folder = self.greenroom.parent().expect("a folder").to_str().expect("UTF-8").to_owned();
        let path = format!("{folder}:{}", std::env::var("PATH").expect("it is set"));
        page::run(&guide, "accounts", &self.sandbox.alice().env("PATH", path));
    }

    fn shell(&self, account: &str) -> Shell<'_> {
        let home = self.sandbox.path(account);
        let shell = if account == "7001" { self.sandbox.alice() } else { self.sandbox.bob() };
        let name = if account == "7001" { "alice" } else { "bob" };
        shell.within(account).env("HOME", &home).env("TMPDIR", &home).env("LOGNAME", name).env("USER", name)
    }

    fn run(&self, account: &str, program: &str, words: &str) -> Output {
        let user = format!("--reuid={account}");
        let group = format!("--regid={GROUP}");
        let script = format!("umask {}; exec \"$0\" \"$@\"", self.umask);
        let before = [&user, &group, "--clear-groups", "sh", "-c", &script, program];
        self.shell(account).run("setpriv", before.into_iter().chain(words.split(' ')))
    }

    #[track_caller]
    fn git(&self, account: &str, words: &str) -> String {
        self.run(account, "git", words).success().stderr().to_owned()
    }

    #[track_caller]
    fn greenroom(&self, account: &str, words: &str) -> String {
        self.run(account, self.greenroom.to_str().expect("UTF-8"), words).success().stdout().to_owned()
    }
}

/// Demands that the group may do everything in a folder that the owner may, and other users only what `others` allows.
fn judge(at: &Path, others: u32, faults: &mut Vec<String>) {
    for entry in fs::read_dir(at).expect("it can be listed") {
        let path = entry.expect("an entry").path();
        let meta = path.symlink_metadata().expect("it is there");
        let mode = meta.permissions().mode() & 0o7777;
        let group = (mode >> 3) & 0o6;
        let wanted = if meta.is_dir() { 0o7 } else { (mode >> 6) & 0o6 };
        let fits = group & wanted == wanted & 0o6 && mode & 0o7 & !others == 0;
        if !fits || (meta.is_dir() && mode & 0o2000 == 0) {
            faults.push(format!("{mode:o} {}", path.display()));
        }
        if meta.is_dir() {
            judge(&path, others, faults);
        }
    }
}

#[test]
fn two_accounts_of_a_group_share_a_served_repository() {
    for (shared, umask, others) in
        [(GUIDE, "022", 0o5), ("group", "022", 0o5), ("group", "077", 0), ("0660", "022", 0), ("all", "077", 0o5)]
    {
        let machine = Machine::new(umask);
        let sandbox = &machine.sandbox;
        if shared == GUIDE {
            machine.follow_the_guide();
        } else {
            machine.git("7001", &format!("init --quiet --bare --shared={shared} -b main ../srv/r.git"));
            machine.greenroom("7001", "hook install --bare ../srv/r.git --host unix");
        }
        machine.greenroom("7001", "init r");
        machine.greenroom("7001", "-C r person add bob --email bob@example.org");
        machine.greenroom("7001", "-C r access grant bob manage");
        machine.greenroom("7001", "-C r register churn ../model");
        machine.git("7001", "-C r push ../../srv/r.git main");
        // The other account pushes, and the push is recorded.
        machine.git("7002", "clone --quiet ../srv/r.git r");
        machine.greenroom("7002", "-C r tag set churn a=1");
        let pushed = machine.git("7002", "-C r push origin main");
        assert!(!pushed.contains("could not be written"), "{shared} {umask}: {pushed}");
        let notes = sandbox.alice().within("srv/r.git").git(["rev-list", "--count", "refs/notes/greenroom/pushes"]);
        assert_eq!(notes.success().stdout(), "2\n", "{shared} {umask}");
        // Both write in turn to the repository itself: commits, the store, the index.
        for (account, number) in [("7002", 1), ("7001", 2), ("7002", 3)] {
            machine.greenroom(account, &format!("-C ../srv/r.git tag set churn b={number}"));
            let model = if number == 3 { "model" } else { "other" };
            machine.greenroom(account, &format!("-C ../srv/r.git register churn ../{model}"));
            let log = machine.greenroom(account, "-C ../srv/r.git log");
            assert!(log.contains(&format!("register churn version {}", number + 1)), "{log}");
            machine.greenroom(account, "-C ../srv/r.git index rebuild");
        }
        let told = machine.greenroom("7002", "-C ../srv/r.git doctor");
        assert!(told.contains("the group of the repository may write to it"), "{told}");
        let mut faults = Vec::new();
        for folder in ["objects", "refs", "logs", "greenroom", "lfs/incoming"] {
            judge(&sandbox.path("srv/r.git").join(folder), others, &mut faults);
        }
        // git-lfs hard-links files of a clone with another umask; its folders deny access to others.
        judge(&sandbox.path("srv/r.git/lfs/objects"), 0o7, &mut faults);
        assert!(faults.is_empty(), "{shared}, umask {umask}:\n{}", faults.join("\n"));
    }
}

#[test]
fn a_repository_that_nobody_shares_follows_the_umask() {
    let machine = Machine::new("077");
    machine.greenroom("7001", "init --bare r.git");
    machine.greenroom("7001", "-C r.git register churn ../model");
    machine.greenroom("7001", "-C r.git log");
    let open = machine
        .sandbox
        .alice()
        .run("find", [machine.sandbox.path("7001/r.git").to_str().expect("UTF-8"), "-perm", "/077"]);
    let open = open.success().stdout().to_owned();
    let ours: Vec<&str> =
        open.lines().filter(|path| !path.contains("/hooks/") && !path.contains("/lfs/objects/")).collect();
    assert_eq!(ours, [""; 0], "others may use what the umask withholds");
}

#[test]
fn what_is_secret_stays_with_the_account_that_keeps_it() {
    let machine = Machine::new("022");
    machine.git("7001", "init --quiet --bare --shared=group -b main ../srv/r.git");
    machine.greenroom("7001", "init --bare ../srv/r.git");
    machine.greenroom("7001", "-C ../srv/r.git token create --person alice --expires 30d");
    let tokens = machine.sandbox.path("srv/r.git/greenroom/tokens.toml");
    assert_eq!(fs::metadata(&tokens).expect("it is there").permissions().mode() & 0o777, 0o600);
    let refused = machine.run("7002", machine.greenroom.to_str().expect("UTF-8"), "-C ../srv/r.git token list").code(1);
    assert!(refused.stderr().contains("only account 7001 can read"), "{}", refused.stderr());
}
