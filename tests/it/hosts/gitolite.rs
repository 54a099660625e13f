//! gitolite of the Debian package, behind an sshd of its own.

use std::path::PathBuf;

use super::daemon::{Daemon, account, keys, ssh_command, sshd};
use super::page;
use super::scenario::{self, ALICE, BOB, CAROL, Person, Server};
use crate::support::{Sandbox, Shell, tools};

struct Gitolite<'s> {
    sandbox: &'s Sandbox,
    _sshd: Daemon,
    port: u16,
}

impl Gitolite<'_> {
    fn host(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}", account(), self.port)
    }
}

impl Server for Gitolite<'_> {
    fn bare(&self) -> PathBuf {
        home(self.sandbox).join("repositories/registry.git")
    }

    fn url(&self, _: Person) -> String {
        format!("{}/registry", self.host())
    }

    fn client<'s>(&self, shell: Shell<'s>, person: Person) -> Shell<'s> {
        shell.env("GIT_SSH_COMMAND", ssh_command(self.sandbox, &format!("keys/{}", person.login)))
    }
}

/// The home of the sandbox serves as the home of the account `git`.
fn home(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("../home").canonicalize().expect("the sandbox has a home")
}

#[test]
fn gitolite_with_three_people() {
    tools::git_hosts();
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    for person in [ALICE, BOB, CAROL] {
        keys(&sandbox, &format!("keys/{}", person.login));
        let public = sandbox.read(format!("keys/{}.pub", person.login));
        sandbox.write(format!("{}.pub", person.login), public);
    }
    let guide = page::text("gitolite", "README.md", &[]);
    let root = sandbox.shell("Root", "root@example.org");
    page::run(&guide, "server", &root);
    let (daemon, port) = sshd(&sandbox, &home(&sandbox).join(".ssh/authorized_keys"), "");
    let server = Gitolite { sandbox: &sandbox, _sshd: daemon, port };
    let guide = guide.replace("ssh://git@git.example.org", &server.host());
    page::run(&guide, "admin", &server.client(sandbox.shell("Carol", "carol@example.org"), CAROL));
    page::run(&guide, "gate", &root);
    scenario::tell(&sandbox, &server);
    sandbox.write("guide/.keep", "");
    let said = page::run(&guide, "client", &server.client(sandbox.alice(), ALICE).within("guide"));
    assert!(said.contains("main -> main"), "{said}");
    // gitolite's own permissions stay in force.
    keys(&sandbox, "keys/mallory");
    let mallory = sandbox.alice().env("GIT_SSH_COMMAND", ssh_command(&sandbox, "keys/mallory"));
    mallory.git(["clone", "--quiet", &server.url(ALICE), "stolen"]).code(128);
}
