//! A bare repository behind sshd, with one account for all people.

use std::path::PathBuf;

use super::daemon::{Daemon, account, keys, ssh_command, sshd};
use super::page;
use super::scenario::{self, ALICE, BOB, CAROL, Person, Server};
use crate::support::{Sandbox, Shell, tools};

struct Ssh<'s> {
    sandbox: &'s Sandbox,
    _sshd: Daemon,
    port: u16,
    signed: bool,
}

impl Ssh<'_> {
    fn host(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}", account(), self.port)
    }
}

impl Server for Ssh<'_> {
    fn bare(&self) -> PathBuf {
        self.sandbox.path("srv/git/registry.git")
    }

    fn url(&self, _: Person) -> String {
        format!("{}{}", self.host(), self.bare().display())
    }

    fn signs(&self) -> bool {
        self.signed
    }

    fn client<'s>(&self, shell: Shell<'s>, person: Person) -> Shell<'s> {
        let command = ssh_command(self.sandbox, &format!("keys/{}", person.login));
        // What a client may try: to send another person's name.
        let lie = "-o SendEnv=GREENROOM_USER -o SendEnv=LOGNAME -o SendEnv=REMOTE_USER";
        let shell = shell.env("GREENROOM_USER", "carol").env("LOGNAME", "carol").env("REMOTE_USER", "carol");
        let shell = shell.env("GIT_SSH_COMMAND", format!("{command} {lie}"));
        if !self.signed {
            return shell;
        }
        let key = self.sandbox.path(format!("keys/{}", person.login));
        let settings =
            [("push.gpgSign", "true"), ("gpg.format", "ssh"), ("user.signingKey", key.to_str().expect("UTF-8"))];
        settings.iter().enumerate().fold(shell.env("GIT_CONFIG_COUNT", "3"), |shell, (i, (key, value))| {
            shell.env(format!("GIT_CONFIG_KEY_{i}"), *key).env(format!("GIT_CONFIG_VALUE_{i}"), *value)
        })
    }
}

/// Replacements for the real machine's names in the guide.
fn places(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let path = |inner: &str| sandbox.path(inner).to_str().expect("UTF-8").to_owned();
    vec![("/srv/git", path("srv/git")), ("/home/git", path("home-git"))]
}

/// The server of the guide: the commands for its role `first`, then sshd.
fn served<'s>(sandbox: &'s Sandbox, role: &str, settings: &str) -> (Ssh<'s>, String) {
    tools::git_hosts();
    let guide = page::text("bare-ssh", "README.md", &places(sandbox));
    for person in [ALICE, BOB, CAROL] {
        keys(sandbox, &format!("keys/{}", person.login));
        std::fs::copy(
            sandbox.path(format!("keys/{}.pub", person.login)),
            sandbox.path(format!("{}.pub", person.login)),
        )
        .expect("writable");
    }
    std::fs::copy(page::folder("bare-ssh").join("allow.sh"), sandbox.path("allow.sh")).expect("writable");
    page::run(&guide, "server", &sandbox.shell("Root", "root@example.org"));
    page::run(&guide, role, &sandbox.shell("Root", "root@example.org"));
    let settings = format!("AcceptEnv GREENROOM_USER LOGNAME REMOTE_USER\n{settings}");
    let (daemon, port) = sshd(sandbox, &sandbox.path("home-git/.ssh/authorized_keys"), &settings);
    (Ssh { sandbox, _sshd: daemon, port, signed: role == "push-certificate" }, guide)
}

#[test]
fn a_shared_account_with_forced_commands() {
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    let (server, guide) = served(&sandbox, "forced-command", "");
    scenario::tell(&sandbox, &server);
    // The guide's own commands for people, and no more than git: a key opens no shell.
    let guide = guide.replace("ssh://git@git.example.org", &server.host());
    sandbox.write("guide/.keep", "");
    let said = page::run(&guide, "client", &server.client(sandbox.alice(), ALICE).within("guide"));
    assert!(said.contains("main -> main"), "{said}");
    let alice = server.client(sandbox.alice(), ALICE);
    let open = format!("{} -p {} {}@127.0.0.1 id", ssh_command(&sandbox, "keys/alice"), server.port, account());
    let (_, said) = alice.run("sh", ["-c", &open]).any();
    assert!(said.contains("unrecognized command 'id'"), "{said}");
}

#[test]
fn a_shared_account_where_sshd_tells_the_key() {
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    let settings = page::text("bare-ssh", "sshd_config", &[("Match User git\n", String::new())]);
    let (server, _) = served(&sandbox, "ssh-key", &settings);
    for person in [ALICE, BOB, CAROL] {
        let key = sandbox.read(format!("{}.pub", person.login));
        let carol = sandbox.shell("Carol", "carol@example.org").within("registry");
        carol.greenroom(["person", "set", person.login, "--key", key.trim()]).success();
    }
    scenario::tell(&sandbox, &server);
}

#[test]
fn signed_pushes_whatever_the_transport_says() {
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    let (mut server, _) = served(&sandbox, "push-certificate", "");
    sandbox.alice().run("sh", ["-c", "cat alice.pub bob.pub carol.pub >> home-git/.ssh/authorized_keys"]).success();
    scenario::tell(&sandbox, &server);
    // The key authenticated the connection, but it did not sign the push.
    server.signed = false;
    let alice = server.client(sandbox.alice(), ALICE).within("alice-clone");
    alice.greenroom(["comment", "add", "churn", "1", "unsigned"]).success();
    let said = alice.git(["push", "origin", "HEAD:main"]).code(1);
    assert!(said.stderr().contains("the push is not signed correctly: it has no certificate"), "{}", said.stderr());
}
