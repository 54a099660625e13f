//! A bare repository at a path, with the environment that a git host gives its hooks, as the documentation of each
//! host lists it. Everyone who can write to the path can set this environment, so do not serve a registry in this way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::page;
use super::scenario::{self, Person, Server};
use crate::support::{Sandbox, Shell};

/// The variables of a host, in which `LOGIN` and `EMAIL` stand for the person's.
type Variables = &'static [(&'static str, &'static str)];

struct AtPath {
    bare: PathBuf,
    variables: Variables,
    records: bool,
}

impl Server for AtPath {
    fn bare(&self) -> PathBuf {
        self.bare.clone()
    }

    fn records(&self) -> bool {
        self.records
    }

    fn url(&self, _: Person) -> String {
        self.bare.to_str().expect("UTF-8").to_owned()
    }

    fn client<'s>(&self, shell: Shell<'s>, person: Person) -> Shell<'s> {
        let of = |value: &str| value.replace("LOGIN", person.login).replace("EMAIL", person.email);
        self.variables.iter().fold(shell, |shell, (name, value)| shell.env(*name, of(value)))
    }
}

/// Makes a repository, prepares its hooks as the host does, installs the gate and plays the scenario.
fn tell(variables: Variables, prepare: impl Fn(&Sandbox, &Path), install: &[&str]) {
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    sandbox.git(["init", "--quiet", "--bare", "served here.git"]).success();
    let bare = sandbox.path("served here.git");
    prepare(&sandbox, &bare);
    sandbox.alice().within("served here.git").greenroom(["hook", "install"].iter().chain(install)).success();
    scenario::tell(&sandbox, &AtPath { bare, variables, records: true });
}

/// The same for a host that gets a hook by other means: the hook of the guide.
fn tell_by_hand(guide: &str, variables: Variables) {
    let sandbox = Sandbox::new();
    scenario::registry(&sandbox);
    sandbox.git(["init", "--quiet", "--bare", "served.git"]).success();
    let bare = sandbox.path("served.git");
    let program = ("/opt/greenroom/greenroom", env!("CARGO_BIN_EXE_greenroom").to_owned());
    hook(&bare.join("hooks/pre-receive"), &page::text(guide, "pre-receive.sh", &[program]));
    scenario::tell(&sandbox, &AtPath { bare, variables, records: false });
}

/// A hook of the host's own, as it exists before the gate is installed.
fn hook(path: &Path, text: &str) {
    fs::write(path, text).expect("writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("writable");
}

fn nothing(_: &Sandbox, _: &Path) {}

#[test]
fn an_account_for_each_person() {
    tell(&[("LOGNAME", "LOGIN"), ("USER", "LOGIN")], nothing, &["--host", "unix"]);
}

#[test]
fn a_variable_of_a_forced_command() {
    tell(&[("GREENROOM_USER", "LOGIN")], nothing, &["--host", "forced-command"]);
}

/// Gitaly runs the hooks of `custom_hooks`, and does not pass `GIT_QUARANTINE_PATH` to them.
#[test]
fn the_environment_of_gitlab() {
    let variables: Variables = &[
        ("GL_ID", "user-7"),
        ("GL_USERNAME", "LOGIN"),
        ("GL_PROTOCOL", "http"),
        ("GL_REPOSITORY", "project-3"),
        ("GL_PROJECT_PATH", "ml/registry"),
    ];
    let gitaly = |_: &Sandbox, bare: &Path| {
        for name in ["pre-receive", "post-receive"] {
            let text = format!(
                "#!/bin/sh\nunset GIT_QUARANTINE_PATH\ninput=$(cat)\nfor hook in custom_hooks/{name}.d/*; do\n\
                 printf '%s\\n' \"$input\" | \"$hook\" || exit 1\ndone\n"
            );
            hook(&bare.join("hooks").join(name), &text);
        }
    };
    let install = ["--host", "gitlab", "--into", "custom_hooks"];
    assert!(
        page::text("gitlab", "README.md", &[]).contains(&format!("\ngreenroom hook install {}\n", install.join(" ")))
    );
    tell(variables, gitaly, &install);
}

/// Gitea and Forgejo install hooks that run those in `hooks/pre-receive.d`, one of which is their own.
#[test]
fn the_environment_of_gitea() {
    let variables: Variables = &[
        ("GITEA_PUSHER_NAME", "LOGIN"),
        ("GITEA_PUSHER_ID", "7"),
        ("GITEA_PUSHER_EMAIL", "EMAIL"),
        ("GITEA_REPO_NAME", "registry"),
        ("GITEA_REPO_USER_NAME", "bob"),
        ("GITEA_DEPLOY_KEY_ID", "0"),
        ("GITEA_ACTIONS_TASK_ID", "0"),
    ];
    let gitea = |_: &Sandbox, bare: &Path| {
        for name in ["pre-receive", "post-receive"] {
            let folder = bare.join("hooks").join(format!("{name}.d"));
            fs::create_dir_all(&folder).expect("writable");
            hook(&folder.join("gitea"), "#!/bin/sh\ncat >/dev/null\n");
            let text = format!(
                "#!/usr/bin/env bash\n# AUTO GENERATED\ndata=$(cat)\nfor hook in ${{GIT_DIR}}/hooks/{name}.d/*; do\n\
                 test -x \"$hook\" || continue\necho \"$data\" | \"$hook\" || exit $?\ndone\n"
            );
            hook(&bare.join("hooks").join(name), &text);
        }
    };
    let bare = "--bare /var/lib/gitea/data/gitea-repositories/ml/registry.git";
    let install = ["--host", "gitea"];
    let command = format!("\ngreenroom hook install {bare} {}\n", install.join(" "));
    assert!(page::text("gitea", "README.md", &[]).contains(&command));
    tell(variables, gitea, &install);
}

/// A hook of GitHub Enterprise Server is a file of a repository of hooks, as the guide shows.
#[test]
fn the_environment_of_github_enterprise() {
    let variables: Variables = &[
        ("GITHUB_USER_LOGIN", "LOGIN"),
        ("GITHUB_USER_IP", "10.0.0.7"),
        ("GITHUB_REPO_NAME", "ml/registry"),
        ("GITHUB_REPO_PUBLIC", "false"),
    ];
    tell_by_hand("github-enterprise", variables);
}

#[test]
fn the_environment_of_bitbucket() {
    let variables: Variables = &[
        ("BB_USER_NAME", "LOGIN"),
        ("BB_USER_DISPLAY_NAME", "Somebody"),
        ("BB_USER_EMAIL", "EMAIL"),
        ("BB_USER_PERMISSION", "REPO_WRITE"),
        ("BB_HOOK_TYPE", "PRE_RECEIVE"),
        ("BB_HOOK_TRIGGER_ID", "push"),
    ];
    tell_by_hand("bitbucket", variables);
}
